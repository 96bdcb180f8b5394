//! A page that needs nothing else: by section, for each statement its verdict, its cases and their packets.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::{CaseEntry, Document, StatementEntry};
use super::terminal::died;
use crate::conform::result::Verdict;

/// How the page looks; colours hold in light and dark.
const STYLE: &str = "
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
code,pre,td.p{font-family:ui-monospace,monospace;font-size:12.5px}
details{border-bottom:1px solid #8884;padding:.25rem 0}summary{cursor:pointer}
details details{margin-left:1.2rem;border:0}
.v{display:inline-block;min-width:4.5em;font-weight:600}
.pass{color:#1a7f37}.fail{color:#cf222e}.advice{color:#9a6700}.skipped,.excused{color:#888}
table{border-collapse:collapse}td,th{padding:.1rem .6rem .1rem 0;vertical-align:top;text-align:left}
.hex{color:#888;word-break:break-all}
.m code{white-space:nowrap}
.m td,.m th{border-bottom:1px solid #8884;padding:.15rem .6rem}
";

/// The results as a page.
pub fn page(document: &Document) -> String {
    let title = format!("simrun conform: {}", document.target);
    let body = html! {
        h1 { (title) }
        (counts(document))
        @for death in &document.deaths {
            p.fail { (died(death)) }
        }
        @for verdict in [Verdict::Fail, Verdict::Advice] { (links(document, verdict)) }
        @if document.unsettled().next().is_some() {
            p {
                span.v { "not shown" }
                @for case in document.unsettled() { " " code { (case.name) } }
            }
        }
        @for (section, entries) in sections(document) {
            h2 { (section) }
            @for entry in entries { (statement(document, entry)) }
        }
    };
    frame(&title, &body)
}

/// A whole page around a body.
pub(super) fn frame(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The word for a verdict.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Advice => "advice",
        Verdict::Skipped => "skipped",
        Verdict::Excused => "excused",
    }
}

/// Every verdict, the good one first.
pub(super) const VERDICTS: [Verdict; 5] =
    [Verdict::Pass, Verdict::Fail, Verdict::Advice, Verdict::Skipped, Verdict::Excused];

fn counts(document: &Document) -> Markup {
    html! {
        p {
            (document.statements.len()) " statements, " (document.cases.len()) " cases, simrun " (document.simrun) ": "
            @for verdict in VERDICTS {
                span class=(word(verdict)) { (document.count(verdict)) " " (word(verdict)) } " "
            }
        }
    }
}

/// The way to each statement of which this is said.
fn links(document: &Document, verdict: Verdict) -> Markup {
    let found: Vec<_> = document.statements.iter().filter(|entry| entry.verdict == verdict).collect();
    html! {
        @if !found.is_empty() {
            p {
                span.v.(word(verdict)) { (word(verdict)) }
                @for entry in found { " " a href={ "#" (entry.id) } title=(entry.summary) { code { (entry.id) } } }
            }
        }
    }
}

/// The statements by section, in their order.
fn sections(document: &Document) -> Vec<(String, Vec<&StatementEntry>)> {
    let mut sections: Vec<(String, Vec<&StatementEntry>)> = Vec::new();
    for entry in &document.statements {
        let section = entry.id.rsplit_once('-').map_or(entry.id.as_str(), |(section, _)| section);
        let section = section.replace("v5/MQTT-", "MQTT 5.0, section ").replace("v3.1.1/MQTT-", "MQTT 3.1.1, section ");
        match sections.last_mut() {
            Some((last, entries)) if *last == section => entries.push(entry),
            _ => sections.push((section, vec![entry])),
        }
    }
    sections
}

fn statement(document: &Document, entry: &StatementEntry) -> Markup {
    html! {
        details id=(entry.id) open[entry.verdict == Verdict::Fail] {
            summary {
                span.v.(word(entry.verdict)) { (word(entry.verdict)) } " "
                code { (entry.id) } " " (entry.summary)
            }
            p { (entry.level) @if let Some(why) = &entry.why { ": " (why) } }
            @if entry.exercised > 0 { p { "Seen " (entry.exercised) " times by rules." } }
            @for breach in entry.breaches.iter().take(10) {
                p.fail { (breach.why) " (" (breach.case) ", packet " (breach.packet + 1) ")" }
            }
            @for case in entry.cases.iter().filter_map(|name| document.case(name)) { (case_details(case)) }
            @let ruled = entry.breaches.first().and_then(|breach| document.case(&breach.case));
            @if let Some(case) = ruled.filter(|case| !entry.cases.contains(&case.name)) { (case_details(case)) }
        }
    }
}

fn case_details(case: &CaseEntry) -> Markup {
    html! {
        details open[case.verdict == Verdict::Fail] {
            summary {
                span.v.(word(case.verdict)) { (word(case.verdict)) } " "
                code { (case.name) } " (" (case.role) ", " (case.milliseconds) " ms)"
            }
            @if let Some(expected) = &case.expected { p { "expected: " (expected) } }
            @if let Some(actual) = &case.actual { p { "came: " (actual) } }
            @if let Some(why) = &case.why { p { (why) } }
            table {
                @for packet in &case.packets {
                    tr {
                        td.p { (packet.time) }
                        td.p { (if packet.suite { "→" } else { "←" }) " " (packet.from) " #" (packet.link) }
                        td.p { (packet.words) br; span.hex { (packet.bytes) } }
                    }
                }
            }
        }
    }
}
