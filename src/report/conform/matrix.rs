//! Statements by targets, side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::html;

use super::document::{Document, StatementEntry};
use super::html::{VERDICTS, frame, word};
use crate::conform::result::Verdict;
use crate::rules::Id;

/// Several results, side by side.
#[derive(Clone, Debug)]
pub struct Matrix {
    documents: Vec<Document>,
    /// For each statement that some target was asked, what came of it with each target.
    rows: BTreeMap<Id, Vec<Option<StatementEntry>>>,
}

impl Matrix {
    /// Of these results, in this order.
    pub fn new(documents: Vec<Document>) -> Matrix {
        let mut rows: BTreeMap<Id, Vec<Option<StatementEntry>>> = BTreeMap::new();
        for (place, document) in documents.iter().enumerate() {
            for entry in &document.statements {
                let Some(id) = Id::named(&entry.id) else { continue };
                rows.entry(id).or_insert_with(|| vec![None; documents.len()])[place] = Some(entry.clone());
            }
        }
        Matrix { documents, rows }
    }

    /// As text: the counts, then every statement that some target did not simply keep.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (place, document) in self.documents.iter().enumerate() {
            let counts: Vec<String> =
                VERDICTS.iter().map(|verdict| format!("{} {}", document.count(*verdict), word(*verdict))).collect();
            let _ = writeln!(text, "{}  {}: {}", letter(place), document.target, counts.join(", "));
        }
        let letters: Vec<String> = (0..self.documents.len()).map(letter).collect();
        let _ = writeln!(text, "\n{}  statement (· kept, F broken, a advice, - skipped, x excused)", letters.join(" "));
        for (id, row) in &self.rows {
            if row.iter().flatten().all(|entry| matches!(entry.verdict, Verdict::Pass | Verdict::Excused)) {
                continue;
            }
            let marks: Vec<&str> =
                row.iter().map(|entry| entry.as_ref().map_or(" ", |entry| mark(entry.verdict))).collect();
            let _ = writeln!(text, "{}  {id}  {}", marks.join(" "), id.statement().summary);
        }
        text
    }

    /// As Markdown: the counts, then every statement that some target broke or that there is advice on.
    pub fn markdown(&self) -> String {
        let line =
            |first: &str, cells: Vec<String>, last: &str| format!("| {first} | {} | {last} |\n", cells.join(" | "));
        let targets = || self.documents.iter().map(|document| document.target.clone()).collect::<Vec<_>>();
        let ruler = line("---", vec!["---".to_owned(); self.documents.len()], "---");
        let mut text = line("statements", targets(), "") + &ruler;
        for verdict in VERDICTS {
            let counts = self.documents.iter().map(|document| document.count(verdict).to_string());
            text.push_str(&line(word(verdict), counts.collect(), ""));
        }
        text.push('\n');
        text.push_str(&(line("statement", targets(), "asks") + &ruler));
        for (id, row) in &self.rows {
            if !row.iter().flatten().any(|entry| matches!(entry.verdict, Verdict::Fail | Verdict::Advice)) {
                continue;
            }
            let cell = |entry: &Option<StatementEntry>| match entry.as_ref().map(|entry| entry.verdict) {
                Some(Verdict::Fail) => "**broken**",
                Some(Verdict::Advice) => "advice",
                Some(Verdict::Pass) => "·",
                _ => "",
            };
            let cells = row.iter().map(|entry| cell(entry).to_owned()).collect();
            text.push_str(&line(&format!("`{id}`"), cells, id.statement().summary));
        }
        text
    }

    /// As a page.
    pub fn html(&self) -> String {
        let body = html! {
            h1 { "simrun conform: " (self.documents.len()) " targets" }
            table.m {
                tr { th { "statement" } @for document in &self.documents { th { (document.target) } } th { "asks" } }
                @for verdict in VERDICTS {
                    tr {
                        td class=(word(verdict)) { (word(verdict)) }
                        @for document in &self.documents { td { (document.count(verdict)) } }
                        td {}
                    }
                }
                @for (id, row) in &self.rows {
                    tr {
                        td { code { (id) } }
                        @for entry in row {
                            @match entry {
                                Some(entry) => {
                                    td class=(word(entry.verdict)) title=(reason(entry)) { (word(entry.verdict)) }
                                }
                                None => td {}
                            }
                        }
                        td { (id.statement().summary) }
                    }
                }
            }
        };
        frame("simrun conform: matrix", &body)
    }
}

fn reason(entry: &StatementEntry) -> String {
    let breach = entry.breaches.first().map(|breach| breach.why.clone());
    entry.why.clone().or(breach).unwrap_or_else(|| entry.cases.join(", "))
}

/// A, B, … for the columns of the text.
fn letter(place: usize) -> String {
    let letter = u8::try_from(place % 26).map_or('?', |place| char::from(b'A' + place));
    letter.to_string()
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "·",
        Verdict::Fail => "F",
        Verdict::Advice => "a",
        Verdict::Skipped => "-",
        Verdict::Excused => "x",
    }
}
