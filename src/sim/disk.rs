//! A broker's disk in simulated time: batches that wait for their sync, and the store that ships on a simulated [`Platter`].

use std::collections::VecDeque;
use std::time::Duration;

use super::crash::Flaw;
use super::platter::{Fate, Mishap, Operation, Platter};
use super::random::Random;
use crate::store::database::Database;
use crate::store::{Change, Mark, Restored};

/// How long a sync takes.
pub(crate) const SYNC: Duration = Duration::from_millis(2);

/// So many operations a batch takes at most, when chance says at which of them the power fails.
const BATCH_OPERATIONS: u64 = 12;
/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What stands on the disk, and what is on its way there.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    platter: Platter,
    /// Open while a process uses it. One that stores nothing has no file.
    database: Option<Database>,
    pending: VecDeque<(Mark, Vec<Change>)>,
    /// How often what was found could not be opened.
    damaged: u32,
}

impl Disk {
    /// A disk with a flaw, for tests of those who rely on it.
    pub fn flawed(flaw: Option<Flaw>) -> Disk {
        let disk = Disk::default();
        disk.platter.lie(flaw == Some(Flaw::NeverSyncs));
        disk
    }

    /// What it is made of.
    pub fn platter(&self) -> &Platter {
        &self.platter
    }

    /// How often what a process found there could not be opened, and was given up.
    pub fn damaged(&self) -> u32 {
        self.damaged
    }

    /// A process starts: what it finds.
    pub fn start(&mut self) -> Restored {
        if self.platter.is_empty() { Restored::default() } else { self.open() }
    }

    /// Takes a batch, to be synced later.
    pub fn write(&mut self, mark: Mark, changes: Vec<Change>) {
        self.pending.push_back((mark, changes));
    }

    /// Makes all batches up to this mark durable; whether they are.
    pub fn sync(&mut self, mark: Mark) -> bool {
        let count = self.pending.iter().take_while(|(pending, _)| *pending <= mark).count();
        self.commit(count)
    }

    /// The process dies, the host lives: what was written is there.
    pub fn killed(&mut self) {
        self.commit(self.pending.len());
        self.process_ends();
    }

    /// The power fails: of what pends, a part that chance decides is there, and the rest is being written.
    pub fn power_failed(&mut self, random: &mut Random) {
        let kept = random.within(0..=self.pending.len() as u64);
        self.commit(usize::try_from(kept).unwrap_or(0));
        if !self.pending.is_empty() {
            let at = self.platter.operations() + random.within(0..=BATCH_OPERATIONS);
            self.platter.plan(at, Mishap::PowerOff);
            self.commit(self.pending.len());
        }
        self.fail_power(|operation| draw(operation, random));
    }

    /// The power fails; what was on its way to the platter has the fate it is told.
    pub fn fail_power(&mut self, fate: impl FnMut(&Operation) -> Fate) {
        self.process_ends();
        self.platter.lose_power(fate);
    }

    /// Writes the first so many batches that wait as one.
    fn commit(&mut self, count: usize) -> bool {
        if count == 0 {
            return true;
        }
        if self.database.is_none() {
            self.open();
        }
        let Some(database) = &mut self.database else { return false };
        let changes = self.pending.iter().take(count).flat_map(|(_, changes)| changes.iter().cloned());
        let written = database.write(&changes.collect(), None).is_ok();
        if written {
            self.pending.drain(..count);
        }
        written
    }

    fn open(&mut self) -> Restored {
        let opened = Database::open(self.platter.clone()).or_else(|error| {
            if self.platter.has_no_power() {
                return Err(error);
            }
            self.damaged += 1;
            self.platter.lose_all();
            Database::open(self.platter.clone())
        });
        let Ok((database, contents)) = opened else { return Restored::default() };
        self.database = Some(database);
        contents.restored
    }

    /// It ends as a process does that is killed: the database cannot tidy up.
    fn process_ends(&mut self) {
        self.pending.clear();
        self.platter.deafen();
        self.database = None;
        self.platter.listen();
    }
}

/// What chance does to an operation.
pub(super) fn draw(operation: &Operation, random: &mut Random) -> Fate {
    match (random.within(0..=2), operation) {
        (0, _) => Fate::Lost,
        (1, Operation::Write(_, bytes)) => {
            let sectors = (bytes.len() / SECTOR) as u64;
            Fate::Torn(usize::try_from(random.within(0..=sectors)).unwrap_or(0) * SECTOR)
        }
        _ => Fate::Kept,
    }
}
