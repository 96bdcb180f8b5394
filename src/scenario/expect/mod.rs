//! Holds a trace against what a scenario demands.
//!
//! A pattern under `by` takes, for its client, the next event that fits after the one that the pattern before it took,
//! and not later than `by`. With `count` it takes none: so many events must fit since the run began. What stands under
//! `never` must fit nothing in the whole run.

mod fields;
mod sight;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fields::{Wanted, actual, wanted};
use sight::{Kind, Sight, sights};

use super::model::Scenario;
use super::pattern::{Count, Pattern};
use super::units::Span;
use crate::time::Time;
use crate::trace::Event;

/// Whether one thing that a scenario demands was so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it was.
    pub held: bool,
    /// What was demanded.
    pub what: String,
    /// Where it held: when. Where it did not: what came nearest to it, or what forbidden thing happened.
    pub why: String,
    /// The event that it is about, as its number in the trace.
    pub event: Option<usize>,
    /// By when it was to be so; none where it must never be.
    pub by: Option<Time>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Holds a trace against every expectation of a scenario, in the order of its text.
pub fn judge(scenario: &Scenario, trace: &[Event]) -> Vec<Verdict> {
    judge_with_grace(scenario, trace, Duration::ZERO)
}

/// The same for a trace of real time, where nothing happens to the moment: what is to be so by a moment may be so up to
/// `grace` after it.
pub fn judge_with_grace(scenario: &Scenario, trace: &[Event], grace: Duration) -> Vec<Verdict> {
    let sights = sights(trace);
    let mut judge = Judge { scenario, sights: &sights, next: BTreeMap::new(), grace };
    let mut verdicts = Vec::new();
    for step in &scenario.timeline {
        for pattern in step.expect.iter().flatten() {
            verdicts.push(judge.expected(pattern, step.time()));
        }
    }
    verdicts.extend(scenario.never.iter().map(|pattern| judge.never(pattern)));
    verdicts
}

/// The trace, and how far each client's story has been told.
struct Judge<'a> {
    scenario: &'a Scenario,
    sights: &'a [Sight],
    /// The place in `sights` after the last match, for each client.
    next: BTreeMap<String, usize>,
    grace: Duration,
}

impl Judge<'_> {
    fn expected(&mut self, pattern: &Pattern, by: Span) -> Verdict {
        let look = Look::new(self.scenario, pattern);
        let deadline = Time::after(by.0);
        let what = format!("{} by {by}", look.words);
        match pattern.count {
            Some(count) => self.counted(&look, count, deadline, what),
            None => self.next(pattern, &look, deadline, what),
        }
    }

    fn counted(&self, look: &Look<'_>, count: Count, deadline: Time, what: String) -> Verdict {
        let fitting: Vec<&Sight> = self.sights.iter().filter(|sight| look.fits(sight)).collect();
        let (least, most) = (count.least as usize, count.most as usize);
        let until = |moment: Time| fitting.iter().filter(|sight| sight.time <= moment).count();
        // At some moment of the grace it is as wanted: as soon as enough have come.
        let in_time = until(deadline).max(least.min(until(deadline + self.grace)));
        let held = (least..=most).contains(&in_time);
        let last = fitting.get(in_time.wrapping_sub(1)).copied();
        let why = match (held, last) {
            (true, Some(last)) => format!("the last at {}", seconds(last.time)),
            (true, None) => "none came".to_owned(),
            (false, _) if in_time > most => {
                let beyond = fitting.get(most).map_or(Time::ZERO, |sight| sight.time);
                format!("{in_time} came, one too many at {}", seconds(beyond))
            }
            (false, _) => {
                let late = fitting.len() - in_time;
                let late = if late > 0 { format!(", and {late} too late") } else { String::new() };
                let near = if in_time == 0 && late.is_empty() { self.near(look, 0) } else { String::new() };
                format!("{in_time} came{late}{near}")
            }
        };
        Verdict { held, what, why, event: last.map(|sight| sight.event), by: Some(deadline) }
    }

    fn next(&mut self, pattern: &Pattern, look: &Look<'_>, deadline: Time, what: String) -> Verdict {
        let client = subject(pattern).to_owned();
        let from = self.next.get(&client).copied().unwrap_or(0);
        let found = self.sights.iter().enumerate().skip(from).find(|(_, sight)| look.fits(sight));
        match found {
            Some((place, sight)) if sight.time <= deadline + self.grace => {
                self.next.insert(client, place + 1);
                let why = format!("at {}", seconds(sight.time));
                Verdict { held: true, what, why, event: Some(sight.event), by: Some(deadline) }
            }
            Some((_, sight)) => {
                let why = format!("it came too late, at {}", seconds(sight.time));
                Verdict { held: false, what, why, event: Some(sight.event), by: Some(deadline) }
            }
            None => {
                let earlier = self.sights[..from].iter().rev().find(|sight| look.fits(sight));
                let why = match earlier {
                    Some(sight) => format!("it came before what stands above it, at {}", seconds(sight.time)),
                    None => format!("it did not come{}", self.near(look, from)),
                };
                Verdict { held: false, what, why, event: earlier.map(|sight| sight.event), by: Some(deadline) }
            }
        }
    }

    fn never(&self, pattern: &Pattern) -> Verdict {
        let look = Look::new(self.scenario, pattern);
        let what = format!("never {}", look.words);
        match self.sights.iter().find(|sight| look.fits(sight)) {
            None => Verdict { held: true, what, why: "nor did it happen".to_owned(), event: None, by: None },
            Some(sight) => {
                let why = format!("it happened at {}: {}", seconds(sight.time), sight.words());
                Verdict { held: false, what, why, event: Some(sight.event), by: None }
            }
        }
    }

    /// What came nearest: the same kind of thing at the same client with the fewest other fields.
    fn near(&self, look: &Look<'_>, from: usize) -> String {
        let candidates = self.sights.iter().skip(from).filter(|sight| look.is_about(sight));
        let nearest = candidates.map(|sight| (look.misses(sight), sight)).min_by_key(|(misses, _)| misses.len());
        match nearest {
            None => "; nothing of its kind did".to_owned(),
            Some((misses, sight)) => {
                let misses: Vec<String> =
                    misses.iter().map(|(field, was)| format!("{field} was {was}")).take(4).collect();
                format!("; nearest at {}: {}, but {}", seconds(sight.time), sight.words(), misses.join(", "))
            }
        }
    }
}

/// A moment as a reader wants it: `3.005s`.
fn seconds(time: Time) -> String {
    let shown = time.to_string();
    format!("{}s", shown.trim_end_matches('0').trim_end_matches('.'))
}

/// Whose story a pattern belongs to: the client's, where broker and client are named.
fn subject(pattern: &Pattern) -> &str {
    let named = [&pattern.client, &pattern.to, &pattern.from];
    let mut names = named.into_iter().flatten().map(String::as_str);
    let first = names.next().unwrap_or_default();
    if first == super::check::BROKER { names.next().unwrap_or(first) } else { first }
}

/// A pattern made ready for looking.
struct Look<'a> {
    pattern: &'a Pattern,
    to: Option<Vec<String>>,
    from: Option<Vec<String>>,
    client: Option<Vec<String>>,
    wanted: Vec<Wanted>,
    words: String,
}

impl<'a> Look<'a> {
    fn new(scenario: &Scenario, pattern: &'a Pattern) -> Look<'a> {
        let members = |name: &Option<String>| {
            let name = name.as_deref()?;
            let members = scenario.members_named(name);
            Some(if members.is_empty() { vec![name.to_owned()] } else { members })
        };
        let wanted = wanted(pattern);
        Look {
            pattern,
            to: members(&pattern.to),
            from: members(&pattern.from),
            client: members(&pattern.client),
            words: words(pattern, &wanted),
            wanted,
        }
    }

    fn fits(&self, sight: &Sight) -> bool {
        self.is_about(sight) && self.wanted.iter().all(|wanted| wanted.is_among(&actual(sight, wanted)))
    }

    /// Whether it is the kind of thing that is looked for, at whom it is looked for.
    fn is_about(&self, sight: &Sight) -> bool {
        let among = |names: &Option<Vec<String>>, name: &str| {
            names.as_ref().is_none_or(|names| names.iter().any(|other| other == name))
        };
        match &sight.kind {
            Kind::Packet { from, to, packet, arrived, .. } => {
                let Some(wanted) = self.pattern.packet else { return false };
                // Each packet is seen twice: when it left and when it arrived. What is said `to` somebody has arrived.
                wanted.0 == packet.packet_type()
                    && *arrived == self.to.is_some()
                    && among(&self.to, to)
                    && among(&self.from, from)
            }
            Kind::Happened { client, event, at, .. } => {
                let closed_here = self.pattern.at.as_deref().unwrap_or(client) == &**at;
                self.pattern.event == Some(*event) && closed_here && among(&self.client, client)
            }
        }
    }

    /// The fields that are not as wanted, with what they were.
    fn misses(&self, sight: &Sight) -> Vec<(String, String)> {
        let missed = self.wanted.iter().filter_map(|wanted| {
            let was = actual(sight, wanted);
            let shown = if was.is_empty() { "not there".to_owned() } else { was.join(", ") };
            (!wanted.is_among(&was)).then(|| (wanted.field.clone(), shown))
        });
        missed.collect()
    }
}

/// A pattern in words: `to porch: publish light, payload "on", dup false`.
fn words(pattern: &Pattern, wanted: &[Wanted]) -> String {
    let mut words = String::new();
    for (label, name) in [("from", &pattern.from), ("to", &pattern.to)] {
        if let Some(name) = name {
            words.push_str(&format!("{label} {name} "));
        }
    }
    words.push_str(pattern.client.as_deref().unwrap_or_default());
    let mut words = words.trim_end().to_owned();
    if !words.is_empty() {
        words.push_str(": ");
    }
    words.push_str(&pattern.packet.map_or_else(String::new, |packet| packet.0.name().to_owned()));
    words.push_str(pattern.event.map_or("", |event| event.word()));
    if let Some(at) = &pattern.at {
        words.push_str(&format!(" at {at}"));
    }
    for wanted in wanted {
        words.push_str(&format!(", {} {}", wanted.field, wanted.value));
    }
    match pattern.count {
        Some(Count { least, most }) if least == most => words.push_str(&format!(" × {least}")),
        Some(Count { least, most: u32::MAX }) => words.push_str(&format!(" × {least} or more")),
        Some(Count { least, most }) => words.push_str(&format!(" × {least} to {most}")),
        None => {}
    }
    words
}
