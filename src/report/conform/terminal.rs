//! For people, at the end of a run: each finding so that it can be understood without the standard in hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::{CaseEntry, Death, Document, StatementEntry};
use crate::conform::result::Verdict;
use crate::report::terminal::{bad, good};

/// How many packets a finding shows.
const LAST_PACKETS: usize = 8;
/// How many bytes of a packet fit into a line.
const LINE_BYTES: usize = 32;

/// All findings, then the count. `strict` counts advice as failure.
pub fn terminal(document: &Document, strict: bool) -> String {
    let mut text = String::new();
    for entry in &document.statements {
        if entry.verdict == Verdict::Fail || entry.verdict == Verdict::Advice {
            text.push_str(&finding(document, entry));
            text.push('\n');
        }
    }
    for case in document.unsettled() {
        let _ = writeln!(text, "{} {}", bad("NOT SHOWN"), case.name);
        comparison(&mut text, case);
        timeline(&mut text, case, case.packets.len());
        again(&mut text, document, &case.name);
    }
    for death in &document.deaths {
        let _ = writeln!(text, "{} {}", bad("DIED"), died(death));
    }
    skipped(&mut text, document);
    text.push_str(&count(document, strict));
    text
}

/// What is said of a target that died.
pub(super) fn died(death: &Death) -> String {
    let end = match &death.why {
        _ if death.restarted => "it was started again".to_owned(),
        Some(why) => format!("what was left was not tried: {why}"),
        None => "what was left was not tried".to_owned(),
    };
    format!("the target died during {}; {end}", death.during.join(", "))
}

/// One statement that was broken, or kept in a way that is not advisable.
pub fn finding(document: &Document, entry: &StatementEntry) -> String {
    let mut text = String::new();
    let word = if entry.verdict == Verdict::Fail { bad("FAIL") } else { "ADVICE".to_owned() };
    let (version, number) = entry.id.split_once('/').unwrap_or_default();
    let section = number.trim_start_matches("MQTT-").rsplit_once('-').map_or(number, |(section, _)| section);
    let standard = if version == "v5" { "MQTT 5.0" } else { "MQTT 3.1.1" };
    let _ = writeln!(text, "{word} {}  {}", entry.id, entry.summary);
    let _ = writeln!(text, "  stands    {standard}, section {section} ({})", entry.level);
    let told = |case: &&CaseEntry| matches!(case.verdict, Verdict::Fail | Verdict::Advice);
    for case in entry.cases.iter().filter_map(|name| document.case(name)).filter(told) {
        let _ = writeln!(text, "  case      {} ({})", case.name, case.role);
        comparison(&mut text, case);
        timeline(&mut text, case, case.packets.len());
        again(&mut text, document, &case.name);
    }
    if let Some(breach) = entry.breaches.first() {
        let _ = writeln!(text, "  case      {} (seen by a rule)", breach.case);
        let _ = writeln!(text, "  came      {}", breach.why);
        if let Some(case) = document.case(&breach.case) {
            timeline(&mut text, case, breach.packet + 1);
        }
        again(&mut text, document, &breach.case);
        if let more @ 1.. = entry.breaches.len() - 1 {
            let _ = writeln!(text, "  and {more} more like it");
        }
    }
    text
}

fn comparison(text: &mut String, case: &CaseEntry) {
    if let Some(sent) = case.packets.iter().rfind(|packet| packet.suite && !packet.bytes.is_empty()) {
        let _ = writeln!(text, "  sent      {}", sent.words);
    }
    if let Some(expected) = &case.expected {
        let _ = writeln!(text, "  expected  {expected}");
    }
    if let Some(actual) = &case.actual {
        let _ = writeln!(text, "  came      {actual}");
    }
}

/// The last packets before this place.
fn timeline(text: &mut String, case: &CaseEntry, end: usize) {
    let shown = &case.packets[..end.min(case.packets.len())];
    let from = shown.len().saturating_sub(LAST_PACKETS);
    let width = shown[from..].iter().map(|packet| packet.from.chars().count()).max().unwrap_or(0);
    for packet in &shown[from..] {
        let arrow = if packet.suite { "→" } else { "←" };
        let _ =
            writeln!(text, "  {:>10}  {arrow} {:width$} #{}  {}", packet.time, packet.from, packet.link, packet.words);
        if !packet.bytes.is_empty() {
            let _ = writeln!(text, "  {:>10}    {:width$}     {}", "", "", spaced(&packet.bytes));
        }
    }
}

/// Bytes in pairs of digits, as many as a line holds.
fn spaced(hex: &str) -> String {
    let digits: Vec<char> = hex.chars().collect();
    let pairs: Vec<String> = digits.chunks(2).take(LINE_BYTES).map(|pair| pair.iter().collect()).collect();
    let more = if digits.len() > LINE_BYTES * 2 { " …" } else { "" };
    format!("{}{more}", pairs.join(" "))
}

fn again(text: &mut String, document: &Document, case: &str) {
    let space = if document.arguments.is_empty() { "" } else { " " };
    let _ = writeln!(text, "  again     simrun conform {case}{space}{}", document.arguments);
}

/// What was not tried, and why, the same reasons together.
fn skipped(text: &mut String, document: &Document) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in document.statements.iter().filter(|entry| entry.verdict == Verdict::Skipped) {
        *reasons.entry(entry.why.as_deref().unwrap_or("no reason is known")).or_default() += 1;
    }
    let mut reasons: Vec<(&str, usize)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(why, count)| (std::cmp::Reverse(*count), *why));
    for (why, count) in reasons {
        let _ = writeln!(text, "{count:>4} skipped: {why}");
    }
}

fn count(document: &Document, strict: bool) -> String {
    let of = |verdict| document.count(verdict);
    let all = document.statements.len();
    let line = format!(
        "{all} statements: {} kept, {} broken, {} advice, {} skipped, {} excused ({} cases)\n",
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Advice),
        of(Verdict::Skipped),
        of(Verdict::Excused),
        document.cases.len()
    );
    let fails = of(Verdict::Fail) + if strict { of(Verdict::Advice) } else { 0 };
    if fails > 0 || document.unsettled().next().is_some() || !document.deaths.is_empty() {
        return format!("{} {line}", bad(&document.target));
    }
    format!("{} {line}", good(&document.target))
}
