//! Transports and conformance (3.1.1 section 7, 5.0 section 4.2).

use simrun::codec::{AckKind, Packet};
use simrun::trace::Way;

use super::{client, instead, loses};
use crate::mutants::Mutant;

pub const MUTANTS: &[Mutant] = &[
    client("what does not come in one segment is cut off", &["v3.1.1/MQTT-7.1.2-1", "v5/MQTT-4.2-1"], || {
        instead(
            |publish| publish.payload.len() > 100,
            |version, mut publish, onward| {
                publish.payload.truncate(100);
                onward.packet(version, Way::Down, &Packet::Publish(publish));
            },
        )
    }),
    client("who does not speak an extension gets no PUBACK", &["v3.1.1/MQTT-7.0.0-2"], || loses(AckKind::PubAck)),
];
