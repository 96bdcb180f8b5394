//! A scenario in simulated time.
//!
//! | file | what |
//! |---|---|
//! | `turmoil` | the engine that runs the machines as programs on turmoil's simulated network |
//! | `play` | the machines as programs over byte streams, turmoil's or real ones (`live`) |
//! | `guest` | programs of the user's own in clients' places |
//! | `stage`, `gate` | what these programs share; a stream through which faults act |
//! | `direct` | the engine that is an ordered queue: for many runs |
//! | `network` | its connections, and what befalls them |
//! | `faults` | the faults of a scenario, with whom they befall |
//! | `crash` | the broker's host loses its power at a chosen write of its store |
//! | `disk`, `platter` | a broker's disk; what it is made of, byte for byte |
//! | `ending` | when a run is over |
//! | `watch` | rules and history on every run |
//! | `random` | chance, split by purpose |

pub mod crash;
mod direct;
mod disk;
pub(crate) mod ending;
pub(crate) mod faults;
pub(crate) mod gate;
pub mod guest;
mod network;
pub mod platter;
pub(crate) mod play;
mod random;
pub(crate) mod stage;
mod turmoil;
mod watch;

use std::fmt;

use crate::scenario::{Scenario, setup};
use crate::time::Time;
use crate::trace::{Event, Name};

pub use guest::{Guest, GuestStream, Guests};
pub use watch::watch;

/// What runs the machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Programs on the hosts of turmoil's simulated network.
    #[default]
    Turmoil,
    /// An ordered queue of events.
    Direct,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Turmoil => "turmoil",
            Engine::Direct => "direct",
        })
    }
}

/// What a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What ran it.
    pub engine: Engine,
    /// The seed it was drawn from.
    pub seed: u64,
    /// Everything that happened, in order.
    pub trace: Vec<Event>,
    /// When it was over.
    pub ended: Time,
    /// How many packets were sent.
    pub packets: u64,
}

impl Run {
    fn new(engine: Engine, seed: u64) -> Run {
        Run { engine, seed, trace: Vec::new(), ended: Time::ZERO, packets: 0 }
    }
}

/// Runs a checked scenario. The same scenario, seed and engine give the same trace, byte for byte.
pub fn run(scenario: &Scenario, seed: u64, engine: Engine) -> Run {
    match engine {
        Engine::Direct => direct::run(scenario, seed, usize::MAX),
        Engine::Turmoil => turmoil::run(scenario, seed, &Guests::new()),
    }
}

/// Runs a checked scenario on the direct engine, until `most` things have happened: some broken machines never rest.
pub fn run_at_most(scenario: &Scenario, seed: u64, most: usize) -> Run {
    direct::run(scenario, seed, most)
}

/// Runs a checked scenario on turmoil's network, with programs of the user's own in the places of some clients: see
/// [`guest`]. The same scenario, seed and programs give the same trace, as long as the programs draw from nothing else.
pub fn run_with(scenario: &Scenario, seed: u64, guests: Guests) -> Run {
    turmoil::run(scenario, seed, &guests)
}

/// The names of all machines of a scenario, the broker first.
pub fn names(scenario: &Scenario) -> Vec<Name> {
    let broker = Name::from(setup::BROKER);
    std::iter::once(broker).chain(setup::cast(scenario).into_iter().map(|(name, _)| name)).collect()
}
