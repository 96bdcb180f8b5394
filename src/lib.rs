//! simrun: a deterministic MQTT simulator and conformance test harness.
//!
//! # Layout
//!
//! What stands above the line knows nothing of sockets, clocks, files, tokio or turmoil.
//!
//! - [`time`]: a moment of a run.
//! - [`codec`]: bytes to packets and back, for both versions.
//! - [`topic`]: names, filters, matching, the subscription index.
//! - [`flight`]: QoS 1 and 2 in both directions: packet identifier to what is awaited.
//! - [`link`], [`message`], [`timers`], `chance`: what broker and client share.
//! - [`broker`]: the server as a state machine.
//! - [`password`]: hashes of passwords.
//! - [`scram`]: SCRAM-SHA-256, for enhanced authentication.
//! - [`client`]: the client as a state machine.
//! - [`store`]: what must outlive a crash.
//! - [`trace`]: what happened in a run, and its forms.
//! - [`rules`]: passive checks of numbered statements over a trace.
//! - [`machine`]: a broker or a scenario's client, seen alike.
//!
//! Below the line:
//!
//! - [`drive`]: one loop between a machine and a byte stream. The only place that waits.
//! - [`notation`]: how YAML files are read that people write, and what is wrong with one.
//! - [`sim`]: a scenario in simulated time.
//! - [`explore`]: many seeds, what breaks shrunk to a few lines.
//! - [`conform`]: every numbered statement, for brokers and clients.
//! - [`report`]: runs as a reader sees them.
//! - [`cli`]: the command line.

pub mod broker;
mod chance;
pub mod cli;
pub mod client;
pub mod codec;
pub mod conform;
pub mod drive;
pub mod explore;
pub mod flight;
pub mod link;
pub mod live;
pub mod machine;
pub mod message;
pub mod notation;
pub mod password;
pub mod report;
pub mod rules;
pub mod scenario;
pub mod scram;
pub mod sim;
pub mod store;
pub mod time;
pub mod timers;
pub mod topic;
pub mod trace;
