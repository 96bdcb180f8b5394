//! Exploration: a scenario under thousands of orders of faults, each drawn from a seed, all watched by rules and history;
//! what breaks is shrunk to a few lines that replay it.
//!
//! | file | what |
//! |---|---|
//! | `plan` | a scenario as it is written, so that it can be changed and written again |
//! | `draw` | choices made from a seed |
//! | `workload` | a scenario drawn from a seed: clients and what they do |
//! | `swarm` | faults drawn from a seed |
//! | `examine` | one run, and what broke |
//! | `sweep` | many seeds, over all cores |
//! | `shrink` | fewer clients, steps and faults that still break the same |
//! | `outcome` | the results of sweeps, which merge |

mod draw;
mod examine;
mod outcome;
mod plan;
mod shrink;
mod swarm;
mod sweep;
mod workload;

pub use examine::{Examined, examine};
pub use outcome::{Failure, MergeError, Outcome, SCHEMA};
pub use plan::Plan;
pub use shrink::{Shrunk, shrink};
pub use swarm::with_faults;
pub use sweep::{Orders, Seeds, Shard, Source, sweep};
pub use workload::workload;
