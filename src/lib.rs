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
//! - [`link`], [`message`], [`timers`]: what broker and client share.
//! - [`broker`]: the server as a state machine.
//! - [`scram`]: SCRAM-SHA-256, for enhanced authentication.
//! - [`client`]: the client as a state machine.
//! - [`store`]: what must outlive a crash.
//! - [`trace`]: what happened in a run, and its forms.

pub mod broker;
pub mod client;
pub mod codec;
pub mod flight;
pub mod link;
pub mod message;
pub mod scenario;
pub mod scram;
pub mod store;
pub mod time;
pub mod timers;
pub mod topic;
pub mod trace;
