//! A trace as JSON lines: one event a line, fields always in the same order, the same bytes for the same trace.

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;

use super::{Event, Transfer, What, describe_bytes};
use crate::broker::SessionChange;
use crate::codec::{Properties, Qos};

/// Writes the trace.
///
/// # Errors
/// Whatever the writer says.
pub fn write(trace: &[Event], out: &mut dyn io::Write) -> io::Result<()> {
    for event in trace {
        let mut line = line(event);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// One event as a line, without its end.
pub fn line(event: &Event) -> String {
    let mut object = Object::new();
    object.raw("time", &event.time.to_string());
    match &event.what {
        What::Opened { link, client, broker } => {
            object.text("event", "opened").number("link", link.0).text("client", client).text("broker", broker);
        }
        What::Unreachable { link, client, why } => {
            object.text("event", "unreachable").number("link", link.0).text("client", client).text("why", why);
        }
        What::Closed { link, at, cause } => {
            object.text("event", "closed").number("link", link.0).text("at", at).text("cause", &cause.to_string());
        }
        What::Left(transfer) => object.transfer("left", transfer),
        What::Arrived(transfer) => object.transfer("arrived", transfer),
        What::Fault { word, names, began } => {
            object.text("event", "fault").text("word", word);
            object.list("names", names.iter().map(AsRef::as_ref));
            object.flag("began", *began);
        }
        What::Told { client, message } => {
            object.text("event", "told").text("client", client);
            object.message(&message.topic, &message.payload, message.qos, message.retain, &message.properties);
        }
        What::Said { client, publish } => {
            object.text("event", "said").text("client", client);
            object.message(&publish.topic, &publish.payload, publish.qos, publish.retain, &publish.properties);
        }
        What::Printed { client, line } => {
            object.text("event", "printed").text("client", client).text("line", line);
        }
        What::Session { client_id, change } => {
            object.text("event", "session").text("client_id", client_id).text("change", changed(*change));
        }
        What::Misused { client, why } => {
            object.text("event", "misused").text("client", client).text("why", why);
        }
    }
    object.close()
}

fn changed(change: SessionChange) -> &'static str {
    match change {
        SessionChange::Made => "made",
        SessionChange::Restored => "restored",
        SessionChange::Resumed => "resumed",
        SessionChange::Ended => "ended",
    }
}

/// An object that is being written.
struct Object(String);

impl Object {
    fn new() -> Object {
        Object("{".to_owned())
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(&mut self.0, key);
        self.0.push(':');
    }

    fn raw(&mut self, key: &str, value: &str) -> &mut Object {
        self.key(key);
        self.0.push_str(value);
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Object {
        self.key(key);
        quote(&mut self.0, value);
        self
    }

    fn number(&mut self, key: &str, value: u64) -> &mut Object {
        self.raw(key, &value.to_string())
    }

    fn flag(&mut self, key: &str, value: bool) -> &mut Object {
        self.raw(key, if value { "true" } else { "false" })
    }

    fn list<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        self.key(key);
        self.0.push('[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.0.push(',');
            }
            quote(&mut self.0, value);
        }
        self.0.push(']');
    }

    fn transfer(&mut self, event: &str, transfer: &Transfer) {
        self.text("event", event).number("link", transfer.link.0).text("from", &transfer.from);
        self.text("to", &transfer.to).text("version", &transfer.version.to_string());
        self.text("packet", &describe_bytes(transfer.version, &transfer.bytes));
        self.text("bytes", &hex(&transfer.bytes));
    }

    fn message(&mut self, topic: &str, payload: &Bytes, qos: Qos, retain: bool, properties: &Properties) {
        self.text("topic", topic);
        match std::str::from_utf8(payload) {
            Ok(text) => self.text("payload", text),
            Err(_) => self.text("payload_hex", &hex(payload)),
        };
        self.number("qos", qos.number().into()).flag("retain", retain);
        for (property, value) in properties.iter() {
            self.text(&format!("{property:?}"), &format!("{value:?}"));
        }
    }

    fn close(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Appends `text` as a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
