//! A machine's chance, made from its seed: one source for each purpose, so that a draw in one does not move another, nor
//! tells anything of it.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest as _, Sha256};

/// A source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Chance(ChaCha12Rng);

impl Chance {
    /// The source for a purpose: another one for each seed and each machine by its name.
    pub(crate) fn new(seed: u64, name: &str, purpose: &str) -> Chance {
        let key = Sha256::new()
            .chain_update(seed.to_le_bytes())
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(name)
            .finalize();
        Chance(ChaCha12Rng::from_seed(key.into()))
    }

    /// Any number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }
}
