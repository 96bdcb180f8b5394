//! A machine's timer table: one slot for each timer, and the earliest of them is the next timeout.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// Timers named by `K`, each set for at most one moment.
#[derive(Debug)]
pub struct Timers<K> {
    due: BTreeSet<(Time, K)>,
    set: BTreeMap<K, Time>,
}

impl<K: Ord + Copy> Timers<K> {
    /// No timer is set.
    pub fn new() -> Timers<K> {
        Timers { due: BTreeSet::new(), set: BTreeMap::new() }
    }

    /// Sets `timer` for `at`, instead of what it was set for.
    pub fn set(&mut self, timer: K, at: Time) {
        self.cancel(timer);
        self.due.insert((at, timer));
        self.set.insert(timer, at);
    }

    /// Unsets `timer` if it was set.
    pub fn cancel(&mut self, timer: K) {
        if let Some(at) = self.set.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// Takes out the earliest timer that is due at `now`. Those of one moment come in the order of their names.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let &(at, timer) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        self.set.remove(&timer);
        Some(timer)
    }

    /// Sets `timer` for `at`, and leaves it to its owner to remember that moment until it has come: half the memory, where
    /// there are very many. It must not be set otherwise.
    pub fn set_remembered(&mut self, timer: K, at: Time) {
        self.due.insert((at, timer));
    }

    /// Unsets a timer that was set for this moment by [`Timers::set_remembered`].
    pub fn cancel_remembered(&mut self, timer: K, at: Time) {
        self.due.remove(&(at, timer));
    }

    /// When `timer` is due, if it is set.
    pub fn at(&self, timer: K) -> Option<Time> {
        self.set.get(&timer).copied()
    }

    /// When the earliest timer is due.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|&(at, _)| at)
    }
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers::new()
    }
}
