//! A broker's disk in simulated time: batches of records that pend until they are synced.

use std::collections::VecDeque;
use std::time::Duration;

use super::random::Random;
use crate::store::{Change, Mark, Restored};

/// How long a sync takes.
pub(crate) const SYNC: Duration = Duration::from_millis(2);

/// What stands on the disk, and what is on its way there.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    synced: Restored,
    pending: VecDeque<(Mark, Vec<Change>)>,
}

impl Disk {
    /// Takes a batch, to be synced later.
    pub fn write(&mut self, mark: Mark, changes: Vec<Change>) {
        self.pending.push_back((mark, changes));
    }

    /// All batches up to this mark are durable.
    pub fn sync(&mut self, mark: Mark) {
        while self.pending.front().is_some_and(|(pending, _)| *pending <= mark) {
            let Some((_, changes)) = self.pending.pop_front() else { return };
            changes.into_iter().for_each(|change| self.synced.apply(change));
        }
    }

    /// The process dies, the host lives: what was written is there.
    pub fn killed(&mut self) {
        self.sync(Mark(u64::MAX));
    }

    /// The power fails: of what pends, a part that chance decides is there. A batch is there whole or not at all, and
    /// none without those before it: the store writes so.
    pub fn power_failed(&mut self, random: &mut Random) {
        let kept = random.within(0..=self.pending.len() as u64);
        self.pending.truncate(usize::try_from(kept).unwrap_or(0));
        self.killed();
    }

    /// What a process that starts now finds.
    pub fn read(&self) -> Restored {
        self.synced.clone()
    }
}
