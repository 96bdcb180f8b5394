//! The results of sweeps. They hold nothing of the machine or the clock, so that parts that ran elsewhere merge into what
//! one run would have given.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::examine::Examined;

/// The version of this form.
pub const SCHEMA: &str = "simrun-explore/1";

/// What came of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was explored: a scenario's file, or `workload`.
    pub source: String,
    /// The first seed, and the one behind the last.
    pub seeds: [u64; 2],
    /// How many were run.
    pub runs: u64,
    /// What broke, by statement.
    pub failures: BTreeMap<String, Failure>,
    /// How often each statement was exercised.
    pub exercised: BTreeMap<String, u64>,
    /// How often each word of fault befell somebody.
    pub faults: BTreeMap<String, u64>,
}

/// Runs that broke the same statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was wrong at the lowest of the seeds.
    pub why: String,
    /// The seeds.
    pub seeds: BTreeSet<u64>,
}

/// Why results do not merge.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A file is no result.
    #[error("it is no result of simrun explore: {0}")]
    Form(#[from] serde_json::Error),
    /// A result is in another form.
    #[error("it has the schema {0:?}, this program reads {SCHEMA:?}")]
    Schema(String),
    /// The results are about different things.
    #[error("it is about {0}, the others are about {1}")]
    Source(String, String),
}

impl Outcome {
    pub(super) fn of(seeds: &Range<u64>, results: BTreeMap<u64, Examined>) -> Outcome {
        let mut outcome = Outcome { schema: SCHEMA.to_owned(), seeds: [seeds.start, seeds.end], ..Outcome::default() };
        for (seed, examined) in results {
            outcome.runs += 1;
            for (id, times) in examined.exercised {
                *outcome.exercised.entry(id.name().to_owned()).or_default() += times as u64;
            }
            for (word, times) in examined.faults {
                *outcome.faults.entry(word.to_owned()).or_default() += times as u64;
            }
            for (what, why) in examined.broken {
                let failure = outcome.failures.entry(what).or_insert_with(|| Failure { why, ..Failure::default() });
                failure.seeds.insert(seed);
            }
        }
        outcome
    }

    /// Reads what [`Outcome::json`] wrote.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(json: &str) -> Result<Outcome, MergeError> {
        let outcome: Outcome = serde_json::from_str(json)?;
        if outcome.schema == SCHEMA { Ok(outcome) } else { Err(MergeError::Schema(outcome.schema)) }
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Adds what another part of the seeds gave.
    ///
    /// # Errors
    /// If it is about something else.
    pub fn merge(&mut self, other: Outcome) -> Result<(), MergeError> {
        if self.source != other.source {
            return Err(MergeError::Source(other.source, self.source.clone()));
        }
        self.seeds = [self.seeds[0].min(other.seeds[0]), self.seeds[1].max(other.seeds[1])];
        self.runs += other.runs;
        for (what, failure) in other.failures {
            let entry = self.failures.entry(what).or_default();
            let earlier = failure.seeds.first() < entry.seeds.first() || entry.seeds.is_empty();
            if earlier {
                entry.why = failure.why;
            }
            entry.seeds.extend(failure.seeds);
        }
        for (id, times) in other.exercised {
            *self.exercised.entry(id).or_default() += times;
        }
        for (word, times) in other.faults {
            *self.faults.entry(word).or_default() += times;
        }
        Ok(())
    }
}
