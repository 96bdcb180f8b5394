//! Many seeds, over all cores. What comes of it depends on the seeds alone, not on how many threads there are.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::examine::{Examined, examine};
use super::outcome::Outcome;
use super::plan::Plan;
use super::swarm::with_faults;
use super::workload::workload;

/// Which seeds: `0..10000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let wrong = || format!("{text:?} is no range of seeds; write 0..10000, or one number");
        let number = |text: &str| text.trim().replace('_', "").parse::<u64>().map_err(|_| wrong());
        let range = match text.split_once("..") {
            Some((from, to)) => number(from)?..number(to)?,
            None => number(text)?..number(text)?.saturating_add(1),
        };
        if range.is_empty() { Err(format!("{text:?} holds no seed")) } else { Ok(Seeds(range)) }
    }
}

/// One part of the seeds of many: `3/64`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: NonZeroU64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let wrong = || format!("{text:?} is no shard; write 0/4 to 3/4");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let shard = Shard { number: number.parse().map_err(|_| wrong())?, of: of.parse().map_err(|_| wrong())? };
        if shard.number < shard.of.get() { Ok(shard) } else { Err(wrong()) }
    }
}

impl Shard {
    fn takes(self, seed: u64) -> bool {
        seed % self.of == self.number
    }
}

/// What is explored.
#[derive(Clone, Debug)]
pub enum Source {
    /// A scenario of the user's.
    Scenario(Plan),
    /// One drawn from each seed.
    Workload,
}

impl Source {
    /// The run of a seed: the scenario with its faults.
    pub fn plan(&self, seed: u64) -> Plan {
        match self {
            Source::Scenario(plan) => with_faults(plan, seed),
            Source::Workload => with_faults(&workload(seed), seed),
        }
    }
}

/// How a sweep goes about it.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Which seeds.
    pub seeds: Seeds,
    /// Which part of them.
    pub shard: Option<Shard>,
    /// How many threads.
    pub jobs: usize,
    /// Whether to go on after a failure.
    pub keep_going: bool,
}

/// Runs the seeds until one fails, or all of them. `seen` is told of each as it ends, in any order; `stop` ends it early.
pub fn sweep(source: &Source, orders: &Orders, stop: &AtomicBool, seen: impl Fn(u64, &Examined) + Sync) -> Outcome {
    let next = AtomicU64::new(orders.seeds.0.start);
    // Seeds behind the lowest that failed are of no interest, unless all are.
    let lowest = AtomicU64::new(u64::MAX);
    let results: Mutex<BTreeMap<u64, Examined>> = Mutex::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let past = !orders.keep_going && seed > lowest.load(Ordering::Relaxed);
            if seed >= orders.seeds.0.end || past || stop.load(Ordering::Relaxed) {
                return;
            }
            if orders.shard.is_some_and(|shard| !shard.takes(seed)) {
                continue;
            }
            let Some(scenario) = source.plan(seed).runnable() else { continue };
            let examined = examine(&scenario);
            if !examined.broken.is_empty() {
                lowest.fetch_min(seed, Ordering::Relaxed);
            }
            seen(seed, &examined);
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, examined);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..orders.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !orders.keep_going {
        results.retain(|seed, _| *seed <= lowest.load(Ordering::Relaxed));
    }
    Outcome::of(&orders.seeds.0, results)
}
