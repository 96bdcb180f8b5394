//! Crash consistency: the broker's host loses its power at a chosen write or sync of its store, what pends on the disk has
//! a chosen fate, and the run goes on. The direct engine runs it; rules and history judge it ([`super::watch`]).

use std::time::Duration;

use super::disk::draw;
use super::platter::{Fate, Operation};
use super::random::{Purpose, Random};
use super::{Run, direct};
use crate::scenario::Scenario;

/// How long the host is without power.
pub(super) const DARK: Duration = Duration::from_secs(1);

/// A moment at which the power fails, and what that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The write, change of length or sync of the run, counted from 0, during which it fails.
    pub operation: u64,
    /// What becomes of what pends.
    pub wreck: Wreck,
}

/// What becomes of the operations that pend when the power fails, the one that it interrupts last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wreck {
    /// None was done.
    Lost,
    /// All were done.
    Kept,
    /// All were done, but the last by half.
    Torn,
    /// The last alone was done: disks reorder.
    LastAlone,
    /// All but the last were done.
    LastLost,
    /// Chance decides for each of them: done, not done, or some of its sectors.
    Drawn(u64),
}

impl Wreck {
    /// Those that chance has no part in.
    pub const CERTAIN: [Wreck; 5] = [Wreck::Lost, Wreck::Kept, Wreck::Torn, Wreck::LastAlone, Wreck::LastLost];

    /// The fates of so many operations, to be asked for in their order.
    pub fn fates(self, pending: usize) -> impl FnMut(&Operation) -> Fate {
        let mut random = match self {
            Wreck::Drawn(seed) => Random::new(seed, Purpose::Disk, 0),
            _ => Random::new(0, Purpose::Disk, 0),
        };
        let mut left = pending;
        move |operation| {
            left = left.saturating_sub(1);
            let last = left == 0;
            match (self, last) {
                (Wreck::Drawn(_), _) => draw(operation, &mut random),
                (Wreck::Kept, _) | (Wreck::Torn | Wreck::LastLost, false) | (Wreck::LastAlone, true) => Fate::Kept,
                (Wreck::Torn, true) => Fate::Torn(match operation {
                    Operation::Write(_, bytes) => bytes.len() / 2,
                    Operation::Resize(_) => 0,
                }),
                (Wreck::Lost, _) | (Wreck::LastLost, true) | (Wreck::LastAlone, false) => Fate::Lost,
            }
        }
    }
}

/// A flaw of the broker's host, with which the checks are seen failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It tells the broker that a batch is durable before it is.
    TellsTooEarly,
    /// Its store takes a batch for durable without a sync.
    NeverSyncs,
}

/// A run with crashes.
#[derive(Clone, Debug)]
pub struct Crashed {
    /// The run.
    pub run: Run,
    /// How many writes, changes of length and syncs the store asked of the disk.
    pub operations: u64,
    /// How many of the crashes happened.
    pub crashes: usize,
    /// How often the broker found a store that it could not open.
    pub damaged: u32,
}

/// Runs a scenario whose broker has a disk, with these crashes in the order of their operations.
pub fn run_with_crashes(scenario: &Scenario, seed: u64, crashes: &[Crash], flaw: Option<Flaw>) -> Crashed {
    direct::run_with_crashes(scenario, seed, crashes, flaw)
}
