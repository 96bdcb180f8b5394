//! What is wrong with a file, where, and what to do about it.

use std::fmt;

use thiserror::Error;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The longest part of an offending line that is shown, in columns of the terminal.
const SHOWN: usize = 100;

/// What is wrong with a file. Shown with the place and the line:
///
/// ```text
/// error: there is no client `porhc`
///   --> scenarios/lamp.yaml:12:10
///    |
/// 12 |     cut: porhc
///    |          ^^^^^
///    = help: did you mean `porch`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Diagnosis {
    /// The file, as it was named.
    pub file: String,
    /// Where in it; `None` if it is the file as a whole.
    pub place: Option<Spot>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line's text.
    pub text: String,
}

impl Spot {
    /// The place at this line and column of a text; both from 1, and brought within the text.
    pub(crate) fn new(text: &str, line: usize, column: usize) -> Spot {
        let lines = text.lines().count().max(1);
        let line = line.clamp(1, lines);
        let text = text.lines().nth(line - 1).unwrap_or_default().trim_start_matches('\u{feff}').to_owned();
        let column = column.clamp(1, text.chars().count() + 1);
        Spot { line, column, text }
    }

    /// The line as a terminal can show it and the caret below it.
    fn shown(&self) -> (String, String) {
        let before: String = self.text.chars().take(self.column - 1).map(visible).collect();
        let after: String = self.text.chars().skip(self.column - 1).map(visible).collect();
        let marked = &after[..token(&after)];
        // A long line is cut on both sides, so that what is marked can be seen.
        let before = if before.width() > SHOWN / 2 { format!("…{}", tail(&before, SHOWN / 2)) } else { before };
        let marked = head(marked, SHOWN / 2);
        let rest = head(&after, SHOWN.saturating_sub(before.width()));
        let more = if rest.len() < after.len() { "…" } else { "" };
        let caret = format!("{}{}", " ".repeat(before.width()), "^".repeat(marked.width().max(1)));
        (format!("{before}{rest}{more}"), caret)
    }
}

/// A character that does not steer the terminal and has a width.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        _ if character.is_control() || character.width().unwrap_or(0) == 0 => '\u{fffd}',
        _ => character,
    }
}

/// How many bytes the word at the beginning of `text` has.
fn token(text: &str) -> usize {
    let first = text.chars().next().unwrap_or(' ');
    if matches!(first, '"' | '\'')
        && let Some(end) = text[1..].find(first)
    {
        return end + 2;
    }
    if matches!(first, '{' | '[') {
        return 1;
    }
    let ends = [", ", ": ", " #", "]", "}"].iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text[..ends].trim_end().trim_end_matches([':', ',']).len()
}

/// The beginning of `text` that fits into so many columns.
fn head(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// The end of `text` that fits into so many columns.
fn tail(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices().rev() {
        used += character.width().unwrap_or(0);
        if used > columns {
            return &text[at + character.len_utf8()..];
        }
    }
    text
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| -> String { text.chars().map(visible).collect() };
        write!(f, "error: {}", plain(&self.what))?;
        match &self.place {
            None => write!(f, "\n  --> {}", plain(&self.file))?,
            Some(spot) => {
                let (line, caret) = spot.shown();
                let number = spot.line.to_string();
                let gap = " ".repeat(number.len());
                write!(f, "\n {gap}--> {}:{}:{}", plain(&self.file), spot.line, spot.column)?;
                write!(f, "\n{gap}  |\n{number}  | {line}\n{gap}  | {caret}")?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n   = help: {}", plain(help)),
            None => Ok(()),
        }
    }
}
