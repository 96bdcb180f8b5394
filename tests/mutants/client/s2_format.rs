//! Format of packets (section 2).

use simrun::codec::{AckKind, PacketIdentifier};
use simrun::trace::Way;

use super::{acks, client, publishes};
use crate::mutants::Mutant;
use crate::mutants::tools::patch;

pub const MUTANTS: &[Mutant] = &[
    client("PUBACK has flags set", &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0x40 {
                bytes[0] = 0x42;
            }
        })
    }),
    client("packets with wrong flags are ignored", &["v3.1.1/MQTT-2.2.2-2"], || {
        patch(Way::Down, |_, bytes| {
            if [0x41, 0x60, 0x91, 0xd1].contains(&bytes[0]) {
                bytes.clear();
            }
        })
    }),
    client("SUBSCRIBE has packet identifier 0", &["v3.1.1/MQTT-2.3.1-1", "v5/MQTT-2.2.1-3"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0x82 {
                bytes[2..4].fill(0);
            }
        })
    }),
    client(
        "all messages have one packet identifier",
        &[
            "v3.1.1/MQTT-2.3.1-2",
            "v3.1.1/MQTT-4.3.2-1",
            "v3.1.1/MQTT-4.3.3-1",
            "v5/MQTT-2.2.1-3",
            "v5/MQTT-4.3.2-1",
            "v5/MQTT-4.3.3-1",
        ],
        || {
            publishes(|publish| {
                publish.packet_identifier = publish.packet_identifier.and(PacketIdentifier::new(5));
            })
        },
    ),
    client("what is sent again has another packet identifier", &["v3.1.1/MQTT-2.3.1-3"], || {
        publishes(|publish| {
            if publish.dup {
                publish.packet_identifier = publish.packet_identifier.and_then(|id| id.checked_add(100));
            }
        })
    }),
    client("QoS 0 has a packet identifier", &["v3.1.1/MQTT-2.3.1-5", "v5/MQTT-2.2.1-2"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0x30 {
                let behind_topic = 4 + usize::from(bytes[3]);
                bytes.splice(behind_topic..behind_topic, [0, 5]);
                bytes[1] += 2;
            }
        })
    }),
    client("PUBACK names another message", &["v3.1.1/MQTT-2.3.1-6", "v5/MQTT-2.2.1-5"], || {
        acks(|ack| {
            if ack.kind == AckKind::PubAck {
                ack.packet_identifier = ack.packet_identifier.checked_add(1).unwrap_or(PacketIdentifier::MIN);
            }
        })
    }),
    client("SUBSCRIBE has no property length", &["v5/MQTT-2.2.2-1"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0x82 {
                bytes.remove(4);
                bytes[1] -= 1;
            }
        })
    }),
];
