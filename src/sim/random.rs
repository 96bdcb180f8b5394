//! Chance in simulated time: one seed, split by purpose, so that a new draw in one place does not move another.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What the draws are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// How long bytes travel.
    Latency,
    /// How a stream is cut into pieces.
    Chunk,
    /// What a disk keeps when its power fails.
    Disk,
    /// Seeds of the machines.
    Machine,
}

/// A source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The source for one purpose, and one link or machine by its number.
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Random {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(number.wrapping_mul(8).wrapping_add(purpose as u64));
        Random(generator)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in the range, both ends included. Where the range is empty, its start.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        match end.checked_sub(start) {
            None | Some(0) => start,
            Some(u64::MAX) => self.number(),
            // The bias of the remainder is far below anything that a run could show.
            Some(span) => start + self.number() % (span + 1),
        }
    }

    /// A span in the range, in whole microseconds.
    pub fn span(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let micros = |span: &Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.within(micros(range.start())..=micros(range.end())))
    }
}
