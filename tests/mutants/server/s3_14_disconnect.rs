//! DISCONNECT (section 3.14).

use std::time::Duration;

use simrun::codec::{Packet, Properties, Property, Text, Value, Version};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{alter, change, lingers, patch};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a DISCONNECT with a reserved bit is taken for a good one",
        breaks: &["v3.1.1/MQTT-3.14.1-1", "v5/MQTT-3.14.1-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Up, |_, bytes| {
                if bytes.first() == Some(&0xE1) {
                    bytes[0] = 0xE0;
                }
            })
        }),
    },
    Mutant {
        name: "DISCONNECT leaves the will where it is",
        breaks: &["v3.1.1/MQTT-3.14.4-3", "v5/MQTT-3.14.4-3"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                match packet {
                    // The broker sees the end of the stream alone.
                    Packet::Disconnect(_) if way == Way::Up => onward.end(Way::Up),
                    other => onward.packet(version, way, &other),
                }
            })
        }),
    },
    Mutant {
        name: "something follows DISCONNECT",
        breaks: &["v5/MQTT-3.14.4-1"],
        via: &["disconnect_is_the_last"],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                onward.packet(version, way, &packet);
                if way == Way::Down && matches!(packet, Packet::Disconnect(_)) {
                    onward.packet(version, way, &Packet::PingResp);
                }
            })
        }),
    },
    Mutant {
        name: "the server sets a session expiry interval in DISCONNECT",
        breaks: &["v5/MQTT-3.14.2-2"],
        via: &["disconnect_is_the_last"],
        kind: Kind::Broker(|| {
            change(Way::Down, |version, packet| {
                if let (Version::V5, Packet::Disconnect(disconnect)) = (version, packet) {
                    disconnect.properties = Properties::new().with(Property::SessionExpiryInterval, Value::Four(1));
                }
            })
        }),
    },
    Mutant {
        name: "DISCONNECT has a reason code that there is not",
        breaks: &["v5/MQTT-3.14.2-1"],
        via: &["disconnect_is_the_last"],
        kind: Kind::Broker(|| {
            patch(Way::Down, |version, bytes| {
                if version == Version::V5 && bytes[0] == 0xE0 && bytes.len() > 2 {
                    bytes[2] = 0x7F;
                }
            })
        }),
    },
    Mutant {
        name: "a CONNACK that refuses comes behind a DISCONNECT",
        breaks: &["v5/MQTT-3.14.0-1"],
        via: &["wrong_proof"],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                let refuses = matches!(&packet, Packet::ConnAck(connack) if connack.reason.is_error());
                if refuses && version == Version::V5 {
                    onward.later(Duration::ZERO, way, vec![0xE0, 0x00].into());
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "the server says DISCONNECT and stays",
        breaks: &["v5/MQTT-3.14.4-2"],
        via: &[],
        kind: Kind::Broker(lingers),
    },
    Mutant {
        name: "DISCONNECT has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.14.2-3"],
        via: &[],
        kind: Kind::Broker(|| says(Property::ReasonString, || Value::Text(Text::literal(REASON)))),
    },
    Mutant {
        name: "DISCONNECT has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.14.2-4"],
        via: &[],
        kind: Kind::Broker(|| {
            says(Property::UserProperty, || Value::Pair(Text::literal("node"), Text::literal("one")))
        }),
    },
];

/// Longer than any reason that our broker gives.
const REASON: &str =
    "the server has its reasons, and tells all of them whether anybody has room for them or not, one by one";

/// Puts this into every DISCONNECT of the server.
fn says(property: Property, value: fn() -> Value) -> Box<dyn Tamper> {
    change(Way::Down, move |version, packet| {
        if let (Version::V5, Packet::Disconnect(disconnect)) = (version, packet)
            && !disconnect.properties.iter().any(|(has, _)| has == property)
        {
            disconnect.properties.push(property, value());
        }
    })
}
