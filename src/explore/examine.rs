//! One run on the direct engine, and what broke.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::rules::Id;
use crate::scenario::Scenario;
use crate::sim;
use crate::trace::What;

/// More than this does not happen in a run of the sizes that are explored, unless somebody never rests.
const MOST_EVENTS: usize = 200_000;

/// What one run showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// How often each statement was exercised.
    pub exercised: BTreeMap<Id, usize>,
    /// How often each word of fault befell somebody.
    pub faults: BTreeMap<&'static str, usize>,
    /// What broke: a statement's name, `panic`, or `endless` where the machines never rest; with the first reason.
    pub broken: BTreeMap<String, String>,
}

/// Runs a scenario with its own seed, watched by rules and history.
pub fn examine(scenario: &Scenario) -> Examined {
    let run = catch_unwind(AssertUnwindSafe(|| sim::run_at_most(scenario, scenario.seed, MOST_EVENTS)));
    let mut examined = Examined::default();
    let run = match run {
        Ok(run) => run,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            examined.broken.insert("panic".to_owned(), words.unwrap_or_else(|| "without a word".to_owned()));
            return examined;
        }
    };
    if run.trace.len() >= MOST_EVENTS {
        let why = format!("more than {MOST_EVENTS} things happened until {} s", run.ended);
        examined.broken.insert("endless".to_owned(), why);
        return examined;
    }
    for event in &run.trace {
        if let What::Fault { word, began: true, .. } = &event.what {
            *examined.faults.entry(word).or_default() += 1;
        }
    }
    for (id, finding) in sim::watch(scenario, &run.trace) {
        examined.exercised.insert(id, finding.exercised);
        if let Some(breach) = finding.breaches.first() {
            examined.broken.insert(id.name().to_owned(), breach.why.clone());
        }
    }
    examined
}
