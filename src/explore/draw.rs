//! Choices made from a seed.

use crate::chance::Chance;

/// Makes choices: others for each seed and purpose.
#[derive(Clone, Debug)]
pub(super) struct Draw(Chance);

impl Draw {
    pub(super) fn new(seed: u64, purpose: &str) -> Draw {
        Draw(Chance::new(seed, "explore", purpose))
    }

    /// A number from 0 to `most`.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        self.0.draw() % most.saturating_add(1).max(1)
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.up_to(most.saturating_sub(least))
    }

    /// True once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.up_to(times.saturating_sub(1)) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    pub(super) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = self.up_to(choices.len().saturating_sub(1) as u64);
        &choices[usize::try_from(place).unwrap_or_default()]
    }
}
