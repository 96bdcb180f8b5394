//! Fewer clients, steps and faults that still break the same statement.

use std::time::Duration;

use serde_yaml::Value;

use super::examine::examine;
use super::plan::{Plan, span};
use super::swarm::steady;

/// How many runs are spent on it at most.
const MOST_RUNS: usize = 1500;
/// How many other seeds are tried where the same one does not do it.
const OTHER_SEEDS: u64 = 4;

/// What became of a failure.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan that still breaks the statement.
    pub plan: Plan,
    /// What is wrong in it.
    pub why: String,
    /// How many runs it took.
    pub runs: usize,
}

/// Shrinks a plan that breaks `what`. `go_on` is asked before each run; when it says no, the best so far is given back.
pub fn shrink(plan: &Plan, what: &str, mut go_on: impl FnMut() -> bool) -> Shrunk {
    let mut shrinking = Shrinking { best: plan.clone(), what, why: String::new(), runs: 0, go_on: &mut go_on };
    shrinking.accepts(plan.clone());
    let mut before = None;
    while before.as_ref() != Some(&shrinking.best) && shrinking.may() {
        before = Some(shrinking.best.clone());
        // What chance has no part in stays the same when the rest changes.
        shrinking.drop_from_head();
        shrinking.drop_clients();
        shrinking.drop_steps();
        shrinking.drop_names();
        shrinking.drop_fields();
        shrinking.simplify();
        shrinking.round_times();
        shrinking.end_sooner();
    }
    Shrunk { plan: shrinking.best, why: shrinking.why, runs: shrinking.runs }
}

struct Shrinking<'a> {
    best: Plan,
    what: &'a str,
    why: String,
    runs: usize,
    go_on: &'a mut dyn FnMut() -> bool,
}

impl Shrinking<'_> {
    fn may(&mut self) -> bool {
        self.runs < MOST_RUNS && (self.go_on)()
    }

    /// Takes a candidate if it is a good scenario and breaks the same.
    fn accepts(&mut self, candidate: Plan) -> bool {
        if !self.may() {
            return false;
        }
        let Some(scenario) = candidate.checked() else { return false };
        self.runs += 1;
        match examine(&scenario).broken.remove(self.what) {
            Some(why) => {
                self.best = candidate;
                self.why = why;
                true
            }
            None => false,
        }
    }

    /// The same with whatever seed does it: what is drawn hangs on who else is there.
    fn accepts_with_some_seed(&mut self, candidate: Plan) -> bool {
        let seeds = std::iter::once(candidate.seed).chain(0..OTHER_SEEDS);
        seeds.into_iter().any(|seed| self.accepts(Plan { seed, ..candidate.clone() }))
    }

    /// Whole clients, with all that they do.
    fn drop_clients(&mut self) {
        let mut place = 0;
        while place < self.best.clients.len() {
            let mut candidate = self.best.clone();
            let (name, _) = candidate.clients.remove(place);
            for (_, step) in &mut candidate.timeline {
                without_name(step, &name);
            }
            candidate.timeline.retain(|(_, step)| !concerns(step, &name));
            if !self.accepts_with_some_seed(candidate) {
                place += 1;
            }
        }
    }

    /// Steps: halves first, then ever smaller parts, then one by one.
    fn drop_steps(&mut self) {
        let mut size = self.best.timeline.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.timeline.len() {
                let mut candidate = self.best.clone();
                let to = (from + size).min(candidate.timeline.len());
                candidate.timeline.drain(from..to);
                if !self.accepts(candidate) {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    /// Names in lists of names.
    fn drop_names(&mut self) {
        for place in 0..self.best.timeline.len() {
            for (name, _) in self.best.clients.clone() {
                let mut candidate = self.best.clone();
                without_name(&mut candidate.timeline[place].1, &name);
                if candidate != self.best {
                    self.accepts(candidate);
                }
            }
        }
    }

    /// What is said of network and broker beyond what must be.
    fn drop_from_head(&mut self) {
        for key in keys(&Value::Mapping(self.best.head.clone())) {
            let mut candidate = self.best.clone();
            candidate.head.shift_remove(&key);
            if self.accepts_with_some_seed(candidate) {
                continue;
            }
            if key == "network" {
                let mut candidate = self.best.clone();
                candidate.head.insert(key, steady());
                if candidate != self.best {
                    self.accepts_with_some_seed(candidate);
                }
                continue;
            }
            for inner in self.best.head.get(&key).map(keys).unwrap_or_default() {
                let mut candidate = self.best.clone();
                if let Some(map) = candidate.head.get_mut(&key).and_then(Value::as_mapping_mut) {
                    map.shift_remove(&inner);
                }
                self.accepts(candidate);
            }
        }
    }

    /// What clients and steps say beyond what they must.
    fn drop_fields(&mut self) {
        for place in 0..self.best.clients.len() {
            self.drop_within(|plan| &mut plan.clients[place].1);
        }
        let mut place = 0;
        while place < self.best.timeline.len() {
            self.drop_within(|plan| &mut plan.timeline[place].1);
            place += 1;
        }
    }

    /// Fields of a mapping, and fields of the mappings in it.
    fn drop_within(&mut self, part: impl Fn(&mut Plan) -> &mut Value) {
        for key in keys(part(&mut self.best.clone())) {
            let mut candidate = self.best.clone();
            if let Some(map) = part(&mut candidate).as_mapping_mut() {
                map.shift_remove(&key);
            }
            if self.accepts(candidate) {
                continue;
            }
            let inner = part(&mut self.best.clone()).get(&key).map(keys).unwrap_or_default();
            for inner in inner {
                let mut candidate = self.best.clone();
                if let Some(map) = part(&mut candidate).get_mut(&key).and_then(Value::as_mapping_mut) {
                    map.shift_remove(&inner);
                }
                self.accepts(candidate);
            }
        }
    }

    /// Fewer messages, lower QoS.
    fn simplify(&mut self) {
        for place in 0..self.best.timeline.len() {
            for key in ["count", "qos"] {
                let number = |plan: &Plan| plan.timeline[place].1.get("publish")?.get(key)?.as_u64();
                let Some(now) = number(&self.best) else { continue };
                for smaller in (1..now).chain((key == "qos").then_some(0)) {
                    let mut candidate = self.best.clone();
                    if let Some(publish) = candidate.timeline[place].1.get_mut("publish") {
                        publish[key] = smaller.into();
                    }
                    if self.accepts(candidate) {
                        break;
                    }
                }
            }
        }
    }

    /// A run that ends by itself, or soon after its last step.
    fn end_sooner(&mut self) {
        let last = self.best.last().as_secs();
        let soon = [10, 30].map(|more| Some(Duration::from_secs(last + more)));
        for ends in std::iter::once(None).chain(soon) {
            let better = self.best.ends.is_some_and(|now| ends.is_none_or(|ends| ends < now));
            if better && self.accepts(Plan { ends, ..self.best.clone() }) {
                return;
            }
        }
        if self.best.seed != 0 {
            self.accepts(Plan { seed: 0, ..self.best.clone() });
        }
    }

    /// Whole seconds where they do.
    fn round_times(&mut self) {
        for place in 0..self.best.timeline.len() {
            for unit in [1_000_000, 100_000, 10_000] {
                let at = u64::try_from(self.best.timeline[place].0.as_micros()).unwrap_or(u64::MAX);
                let rounded = Duration::from_micros(at / unit * unit);
                let before = place.checked_sub(1).map(|before| self.best.timeline[before].0).unwrap_or_default();
                if rounded < before || rounded == self.best.timeline[place].0 {
                    continue;
                }
                let mut candidate = self.best.clone();
                let (at, step) = &mut candidate.timeline[place];
                *at = rounded;
                step["at"] = span(rounded);
                if self.accepts(candidate) {
                    break;
                }
            }
        }
    }
}

fn keys(value: &Value) -> Vec<Value> {
    value.as_mapping().map(|map| map.keys().filter(|key| *key != "at").cloned().collect()).unwrap_or_default()
}

/// Takes a name out of the lists of a step.
fn without_name(step: &mut Value, name: &str) {
    let Some(fields) = step.as_mapping_mut() else { return };
    for (_, value) in fields.iter_mut() {
        if let Some(names) = value.as_sequence_mut()
            && names.len() > 1
        {
            names.retain(|item| item != name);
        }
    }
}

/// Whether a step is about this client.
fn concerns(step: &Value, name: &str) -> bool {
    let Some(fields) = step.as_mapping() else { return false };
    let is_name =
        |value: &Value| value == name || value.as_sequence().is_some_and(|items| items.len() == 1 && items[0] == name);
    fields
        .values()
        .any(|value| is_name(value) || ["from", "client"].iter().any(|key| value.get(key).is_some_and(is_name)))
}
