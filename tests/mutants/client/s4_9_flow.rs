//! Flow control (5.0 section 4.9).

use simrun::codec::{AckKind, Packet, Property};
use simrun::trace::Way;

use super::s3_1_connect::ignores;
use super::{client, loses};
use crate::mutants::Mutant;
use crate::mutants::tools::swallow;

pub const MUTANTS: &[Mutant] = &[
    client("Receive Maximum is ignored", &["v5/MQTT-3.3.4-7", "v5/MQTT-4.9.0-1", "v5/MQTT-4.9.0-2"], || {
        ignores(Property::ReceiveMaximum)
    }),
    client("SUBSCRIBE waits for quota", &["v5/MQTT-3.3.4-8"], || {
        swallow(Way::Up, |_, packet| matches!(packet, Packet::Subscribe(_)))
    }),
    client("PUBREC waits for quota", &["v5/MQTT-4.9.0-3"], || loses(AckKind::PubRec)),
];
