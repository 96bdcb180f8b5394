//! Errors (3.1.1 section 4.8, 5.0 section 4.13). That a client stays open after an error: see `s3_14_disconnect`.

use simrun::codec::Packet;
use simrun::trace::Way;

use super::client;
use crate::mutants::Mutant;
use crate::mutants::tools::swallow;

pub const MUTANTS: &[Mutant] =
    &[client("packets that only clients send are ignored", &["v3.1.1/MQTT-4.8.0-1"], || {
        swallow(Way::Down, |_, packet| matches!(packet, Packet::Subscribe(_)))
    })];
