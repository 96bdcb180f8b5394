//! simrun: a deterministic MQTT simulator and conformance test harness.
pub mod codec;
pub mod time;
