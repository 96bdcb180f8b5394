//! Flow control (5.0 section 4.9).

use simrun::codec::{AckKind, Property};

use super::s3_1_connect::ignores;
use super::{client, loses};
use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[
    client("Receive Maximum is ignored", &["v5/MQTT-3.3.4-7", "v5/MQTT-4.9.0-1", "v5/MQTT-4.9.0-2"], || {
        ignores(Property::ReceiveMaximum)
    }),
    client("PUBACK waits for quota", &["v5/MQTT-3.3.4-8"], || loses(AckKind::PubAck)),
    client("PUBREC waits for quota", &["v5/MQTT-4.9.0-3"], || loses(AckKind::PubRec)),
];
