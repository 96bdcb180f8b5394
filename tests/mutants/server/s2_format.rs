//! The format of packets (section 2).

use simrun::codec::{AckKind, Packet, PacketIdentifier, Qos};
use simrun::trace::Way;

use crate::mutants::tools::{alter, mend, with_body};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "reserved flags are not looked at",
        breaks: &["v3.1.1/MQTT-2.2.2-2", "v5/MQTT-2.1.3-1"],
        via: &[],
        kind: Kind::Broker(|| {
            mend(|bytes| match bytes[0] >> 4 {
                3 => {}
                6 | 8 | 10 => bytes[0] = bytes[0] & 0xF0 | 0b0010,
                _ => bytes[0] &= 0xF0,
            })
        }),
    },
    Mutant {
        name: "a SUBSCRIBE may have the packet identifier 0",
        breaks: &["v3.1.1/MQTT-2.3.1-1", "v5/MQTT-2.2.1-3"],
        via: &[],
        kind: Kind::Broker(|| {
            mend(|bytes| {
                if bytes[0] >> 4 == 8 && bytes[2..4] == [0, 0] {
                    bytes[3] = 1;
                }
            })
        }),
    },
    Mutant {
        name: "all deliveries have the same packet identifier",
        breaks: &["v3.1.1/MQTT-2.3.1-4", "v5/MQTT-2.2.1-4"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Down, Packet::Publish(publish)) = (way, &mut packet)
                    && publish.qos > Qos::AtMostOnce
                {
                    publish.packet_identifier = Some(PacketIdentifier::MIN);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "what is sent again has another packet identifier",
        breaks: &["v3.1.1/MQTT-2.3.1-4"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Down, Packet::Publish(publish)) = (way, &mut packet)
                    && publish.dup
                {
                    publish.packet_identifier = publish.packet_identifier.and_then(|id| id.checked_add(1000));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a packet identifier at QoS 0",
        breaks: &["v3.1.1/MQTT-2.3.1-5", "v5/MQTT-2.2.1-2"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Down, Packet::Publish(publish)) = (way, &mut packet)
                    && publish.qos == Qos::AtMostOnce
                {
                    // Where a reader finds it that expects none: at the head of the payload.
                    publish.payload = [&[0, 1], &publish.payload[..]].concat().into();
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "PUBACK names another packet identifier",
        breaks: &["v3.1.1/MQTT-2.3.1-6", "v5/MQTT-2.2.1-5"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Down, Packet::Ack(ack)) = (way, &mut packet)
                    && ack.kind == AckKind::PubAck
                {
                    ack.packet_identifier = another(ack.packet_identifier);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "SUBACK and UNSUBACK name another packet identifier",
        breaks: &["v3.1.1/MQTT-2.3.1-7", "v5/MQTT-2.2.1-6"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                match &mut packet {
                    Packet::SubAck(suback) => suback.packet_identifier = another(suback.packet_identifier),
                    Packet::UnsubAck(unsuback) => unsuback.packet_identifier = another(unsuback.packet_identifier),
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a CONNECT needs no property length",
        breaks: &["v5/MQTT-2.2.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            mend(|bytes| {
                if bytes[0] >> 4 == 1 {
                    with_body(bytes, |body| body.insert(10, 0));
                }
            })
        }),
    },
];

fn another(identifier: PacketIdentifier) -> PacketIdentifier {
    identifier.checked_add(1).unwrap_or(PacketIdentifier::MIN)
}
