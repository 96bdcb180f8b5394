//! How a line looks: a moment, a level, words, and values by name. Words are ours; values may be anybody's.

use std::fmt::Display;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Form, Level};

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) form: Form,
    pub(super) colours: bool,
}

/// When something happened.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::disallowed_types)] // A log has the time of day.
pub(super) struct Moment(std::time::SystemTime);

impl Moment {
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    pub(super) fn now() -> Moment {
        Moment(std::time::SystemTime::now())
    }
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
}

/// A line that has begun.
pub(super) struct Line<'a> {
    look: Look,
    out: &'a mut Vec<u8>,
}

impl Look {
    /// Begins a line behind those that are there. It needs words and an end.
    pub(super) fn begin(self, out: &mut Vec<u8>, moment: Moment) -> Line<'_> {
        let stamp = humantime::format_rfc3339_micros(moment.0);
        // Writing to memory does not fail; nor does it below.
        let _ = match self.form {
            Form::Json => write!(out, "{{\"timestamp\":\"{stamp}\""),
            Form::Human => write!(out, "{stamp}"),
        };
        Line { look: self, out }
    }
}

impl<'a> Line<'a> {
    /// How much it matters, and what is said.
    pub(super) fn says(self, level: Level, words: &str) -> Line<'a> {
        let (name, colour) = match level {
            Level::Off | Level::Error => ("ERROR", AnsiColor::Red),
            Level::Warn => ("WARN", AnsiColor::Yellow),
            Level::Info => ("INFO", AnsiColor::Green),
            Level::Debug => ("DEBUG", AnsiColor::Blue),
        };
        match self.look.form {
            Form::Json => {
                let _ = write!(self.out, ",\"level\":\"{name}\",\"message\":");
                quote(self.out, words);
            }
            Form::Human => {
                let style = if self.look.colours { colour.on_default() } else { Style::new() };
                let _ = write!(self.out, " {style}{name:>5}{style:#} {words}");
            }
        }
        self
    }

    /// A value, if there is one.
    pub(super) fn with<'v>(self, name: &str, value: impl Into<Option<Value<'v>>>) -> Line<'a> {
        let Some(value) = value.into() else { return self };
        let _ = match self.look.form {
            Form::Json => write!(self.out, ",\"{name}\":"),
            Form::Human => write!(self.out, " {name}="),
        };
        match (value, self.look.form) {
            (Value::Text(text), Form::Json) => quote(self.out, text),
            (Value::Text(text), Form::Human) => put(self.out, format_args!("{text:?}")),
            (Value::Number(number), _) => put(self.out, number),
            (Value::Flag(flag), _) => put(self.out, flag),
        }
        self
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(if self.look.form == Form::Json { b"}\n" } else { b"\n" });
    }
}

fn put(out: &mut Vec<u8>, value: impl Display) {
    let _ = write!(out, "{value}");
}

fn quote(out: &mut Vec<u8>, text: &str) {
    // A text can be written as JSON, and memory takes it.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(form: Form, colours: bool) -> String {
        let mut out = Vec::new();
        let line = Look { form, colours }.begin(&mut out, Moment::now()).says(Level::Warn, "too many");
        let line = line.with("client_id", Value::Text("x\n\u{1b}[31m\"y")).with("user", None::<Value<'_>>);
        line.with("times", Value::Number(3)).with("again", Value::Flag(true)).end();
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_for_a_reader_has_one_line_and_nothing_for_a_terminal() {
        let text = line(Form::Human, false);
        let (stamp, rest) = text.split_once(' ').expect("a moment");
        assert!(stamp.len() == 27 && stamp.starts_with("20") && stamp.ends_with('Z'), "{stamp}");
        assert_eq!(rest, " WARN too many client_id=\"x\\n\\u{1b}[31m\\\"y\" times=3 again=true\n");
        assert!(line(Form::Human, true).contains("\u{1b}[33m WARN\u{1b}[0m too many"), "in colour");
    }

    #[test]
    fn a_line_of_json_is_an_object() {
        let text = line(Form::Json, false);
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        let mut object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(object["timestamp"].take().is_string());
        let rest = serde_json::json!({ "timestamp": null, "level": "WARN", "message": "too many",
            "client_id": "x\n\u{1b}[31m\"y", "times": 3, "again": true });
        assert_eq!(object, rest);
    }
}
