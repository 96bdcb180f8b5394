//! Markdown, for the summary of a GitHub job: `-o "$GITHUB_STEP_SUMMARY"` or any file that ends in `.md`.

use std::fmt::Write as _;

use super::document::Document;
use super::junit::plain;
use super::terminal::{died, finding};
use crate::conform::result::Verdict;

/// The results as Markdown: the count, then each finding, folded.
pub fn markdown(document: &Document) -> String {
    let mut text = format!("### simrun conform: {}\n\n", document.target);
    text.push_str("| kept | broken | advice | skipped | excused |\n|---:|---:|---:|---:|---:|\n");
    let of = |verdict| document.count(verdict);
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} |\n",
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Advice),
        of(Verdict::Skipped),
        of(Verdict::Excused)
    );
    for death in &document.deaths {
        let _ = writeln!(text, "❌ {}\n", died(death));
    }
    for entry in &document.statements {
        let mark = match entry.verdict {
            Verdict::Fail => "❌",
            Verdict::Advice => "💡",
            _ => continue,
        };
        let summary = escaped(&entry.summary);
        let _ = writeln!(text, "<details><summary>{mark} <code>{}</code> {summary}</summary>\n", entry.id);
        let _ = writeln!(text, "```text\n{}```\n</details>\n", plain(&finding(document, entry)));
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
