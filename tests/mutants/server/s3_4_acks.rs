//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use simrun::codec::{AckKind, Fault, Packet, PacketType, Property, Text, Value};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{change, overlooks, patch};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a PUBREL with other flags is overlooked",
        breaks: &["v3.1.1/MQTT-3.6.1-1", "v5/MQTT-3.6.1-1"],
        via: &["pubrel_flags"],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::PubRelFlags)),
    },
    Mutant {
        name: "PUBACK has a reason code of SUBACK",
        breaks: &["v5/MQTT-3.4.2-1"],
        via: &["puback_codes"],
        kind: Kind::Broker(|| with_code(PacketType::PubAck)),
    },
    Mutant {
        name: "PUBREC has a reason code of SUBACK",
        breaks: &["v5/MQTT-3.5.2-1"],
        via: &["pubrec_codes"],
        kind: Kind::Broker(|| with_code(PacketType::PubRec)),
    },
    Mutant {
        name: "PUBREL has a reason code of SUBACK",
        breaks: &["v5/MQTT-3.6.2-1"],
        via: &["pubrel_codes"],
        kind: Kind::Broker(|| with_code(PacketType::PubRel)),
    },
    Mutant {
        name: "PUBCOMP has a reason code of SUBACK",
        breaks: &["v5/MQTT-3.7.2-1"],
        via: &["pubcomp_codes"],
        kind: Kind::Broker(|| with_code(PacketType::PubComp)),
    },
    Mutant {
        name: "PUBACK has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.4.2-2"],
        via: &[],
        kind: Kind::Broker(|| explains(AckKind::PubAck)),
    },
    Mutant {
        name: "PUBACK has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.4.2-3"],
        via: &[],
        kind: Kind::Broker(|| adorns(AckKind::PubAck)),
    },
    Mutant {
        name: "PUBREC has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.5.2-2"],
        via: &[],
        kind: Kind::Broker(|| explains(AckKind::PubRec)),
    },
    Mutant {
        name: "PUBREC has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.5.2-3"],
        via: &[],
        kind: Kind::Broker(|| adorns(AckKind::PubRec)),
    },
    Mutant {
        name: "PUBREL has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.6.2-2"],
        via: &[],
        kind: Kind::Broker(|| explains(AckKind::PubRel)),
    },
    Mutant {
        name: "PUBREL has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.6.2-3"],
        via: &[],
        kind: Kind::Broker(|| adorns(AckKind::PubRel)),
    },
    Mutant {
        name: "PUBCOMP has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.7.2-2"],
        via: &[],
        kind: Kind::Broker(|| explains(AckKind::PubComp)),
    },
    Mutant {
        name: "PUBCOMP has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.7.2-3"],
        via: &[],
        kind: Kind::Broker(|| adorns(AckKind::PubComp)),
    },
];

/// Puts a reason code that only SUBACK has into a short ack of this type.
fn with_code(packet_type: PacketType) -> Box<dyn Tamper> {
    patch(Way::Down, move |_, bytes| {
        if bytes[0] >> 4 == packet_type.number() {
            *bytes = vec![bytes[0], 3, bytes[2], bytes[3], 0x02];
        }
    })
}

/// Gives these acks a reason string if they have none.
fn explains(kind: AckKind) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| match packet {
        Packet::Ack(ack) if ack.kind == kind && ack.properties.reason_string().is_none() => {
            ack.properties.push(Property::ReasonString, Text::literal(AT_LENGTH));
        }
        _ => {}
    })
}

/// Gives these acks a user property.
fn adorns(kind: AckKind) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| match packet {
        Packet::Ack(ack) if ack.kind == kind => ack.properties.push(Property::UserProperty, adornment()),
        _ => {}
    })
}

/// Longer than the shortest CONNACK, which has to be small enough too.
pub const AT_LENGTH: &str = "it could not be done, and this is said at length";

pub fn adornment() -> Value {
    Value::Pair(Text::literal("why"), Text::literal(AT_LENGTH))
}
