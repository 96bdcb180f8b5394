//! A scenario as it is written: it can be changed, run, and written again.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use crate::scenario::{self, Diagnosis, Scenario};

/// A scenario without what it expects, which faults make void.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// All but what follows: network, broker …
    pub(super) head: Mapping,
    /// The clients, in order.
    pub(super) clients: Vec<(String, Value)>,
    /// What is done, in the order of time.
    pub(super) timeline: Vec<(Duration, Value)>,
    /// What chance is drawn from.
    pub(super) seed: u64,
    /// When the run ends, if not when all is quiet.
    pub(super) ends: Option<Duration>,
}

impl Plan {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Plan, Box<Diagnosis>> {
        let loaded = scenario::read(path)?;
        // It was read a moment ago; were it gone, there would be nothing to explore.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Ok(Plan::of(&loaded.scenario, &text))
    }

    /// Reads a scenario; `name` is what a diagnosis calls it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_text(name: &str, text: &[u8]) -> Result<Plan, Box<Diagnosis>> {
        let loaded = scenario::parse(name, text)?;
        Ok(Plan::of(&loaded.scenario, &String::from_utf8_lossy(text)))
    }

    fn of(scenario: &Scenario, text: &str) -> Plan {
        let written = serde_yaml::from_str::<Value>(text).ok();
        let mut head = written.and_then(|value| value.as_mapping().cloned()).unwrap_or_default();
        let take = |head: &mut Mapping, key: &str| head.shift_remove(key);
        let clients = take(&mut head, "clients").and_then(|clients| clients.as_mapping().cloned()).unwrap_or_default();
        let steps = take(&mut head, "timeline").and_then(|steps| steps.as_sequence().cloned()).unwrap_or_default();
        for gone in ["never", "covers", "seed", "ends"] {
            take(&mut head, gone);
        }
        let timed = scenario.timeline.iter().zip(steps).filter(|(step, _)| step.by.is_none());
        Plan {
            head,
            clients: clients.into_iter().map(|(name, client)| (plain(&name), client)).collect(),
            timeline: timed.map(|(step, written)| (step.time().0, written)).collect(),
            seed: scenario.seed,
            ends: scenario.ends.map(|ends| ends.0),
        }
    }

    /// Puts steps where their time wants them.
    pub(super) fn add(&mut self, steps: impl IntoIterator<Item = (Duration, Value)>) {
        self.timeline.extend(steps);
        self.timeline.sort_by_key(|(at, _)| *at);
    }

    /// The last moment that the timeline speaks of.
    pub(super) fn last(&self) -> Duration {
        self.timeline.last().map(|(at, _)| *at).unwrap_or_default()
    }

    /// The scenario, unchecked: for plans made by this program.
    pub fn runnable(&self) -> Option<Scenario> {
        Scenario::deserialize(self.value()).ok()
    }

    /// The scenario, checked as one that is read from a file.
    pub(super) fn checked(&self) -> Option<Scenario> {
        scenario::parse("plan", self.yaml(&[]).as_bytes()).ok().map(|loaded| loaded.scenario)
    }

    fn value(&self) -> Value {
        let mut all = self.head.clone();
        let clients = self.clients.iter().map(|(name, client)| (Value::from(name.as_str()), client.clone()));
        all.insert("clients".into(), Value::Mapping(clients.collect()));
        all.insert("timeline".into(), Value::Sequence(self.timeline.iter().map(|(_, step)| step.clone()).collect()));
        all.insert("seed".into(), self.seed.into());
        if let Some(ends) = self.ends {
            all.insert("ends".into(), span(ends));
        }
        Value::Mapping(all)
    }

    /// The scenario as YAML, behind a comment of these lines.
    pub fn yaml(&self, comment: &[String]) -> String {
        let mut text: String = comment.iter().map(|line| format!("# {line}\n")).collect();
        let _ = writeln!(text, "seed: {}", self.seed);
        for (key, value) in &self.head {
            let _ = writeln!(text, "{}: {}", flow(key), flow(value));
        }
        if !self.clients.is_empty() {
            text.push_str("clients:\n");
        }
        for (name, client) in &self.clients {
            let _ = writeln!(text, "  {}: {}", flow(&Value::from(name.as_str())), flow(client));
        }
        if !self.timeline.is_empty() {
            text.push_str("timeline:\n");
        }
        for (_, step) in &self.timeline {
            let _ = writeln!(text, "  - {}", flow(step));
        }
        if let Some(ends) = self.ends {
            let _ = writeln!(text, "ends: {}", flow(&span(ends)));
        }
        text
    }
}

/// A moment or a span, as scenarios write it.
pub(super) fn span(span: Duration) -> Value {
    let (millis, micros) = (span.as_millis(), span.as_micros());
    if micros % 1000 != 0 {
        Value::from(format!("{micros}us"))
    } else if millis % 1000 == 0 {
        Value::from(format!("{}s", millis / 1000))
    } else {
        Value::from(format!("{millis}ms"))
    }
}

/// A step: what is done at a moment.
pub(super) fn step(at: Duration, fields: impl IntoIterator<Item = (&'static str, Value)>) -> (Duration, Value) {
    let fields = fields.into_iter().map(|(key, value)| (Value::from(key), value));
    (at, Value::Mapping(std::iter::once((Value::from("at"), span(at))).chain(fields).collect()))
}

/// A mapping.
pub(super) fn map(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Mapping(fields.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| flow(value), str::to_owned)
}

/// A value in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Mapping(map) => {
            let fields: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", flow(key), flow(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Sequence(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) if reads_as_itself(text) => text.clone(),
        Value::String(text) => serde_json::to_string(text).unwrap_or_default(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Tagged(_) => "null".to_owned(),
    }
}

/// Whether YAML reads the bare text as this very string, also between brackets.
fn reads_as_itself(text: &str) -> bool {
    let simple = |character: char| character.is_ascii_alphanumeric() || "_/ .-".contains(character);
    let first = text.chars().next().is_some_and(|first| first.is_ascii_alphanumeric());
    let last = text.chars().next_back().is_some_and(|last| last.is_ascii_alphanumeric());
    first && last && text.chars().all(simple) && serde_yaml::from_str::<Value>(text).is_ok_and(|value| value == text)
}
