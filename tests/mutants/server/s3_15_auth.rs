//! AUTH and enhanced authentication (5.0 sections 3.15 and 4.12).

use simrun::codec::{Packet, Property, Reason, Text, Value, Version};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{change, never_closes, patch, swallow, without};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "what should be refused is left hanging",
        breaks: &["v5/MQTT-4.12.0-1", "v5/MQTT-4.12.0-4", "v5/MQTT-4.12.1-2"],
        via: &[],
        kind: Kind::Broker(never_closes),
    },
    Mutant {
        name: "the challenge has code 0x00",
        breaks: &["v5/MQTT-4.12.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |_, packet| {
                if let Packet::Auth(auth) = packet {
                    auth.reason = Reason::Success;
                }
            })
        }),
    },
    Mutant {
        name: "the challenge has a code that there is not",
        breaks: &["v5/MQTT-3.15.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes[0] == 0xF0 {
                    bytes[2] = 0x42;
                }
            })
        }),
    },
    Mutant {
        name: "AUTH has a reserved bit set",
        breaks: &["v5/MQTT-3.15.1-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes[0] == 0xF0 {
                    bytes[0] = 0xF1;
                }
            })
        }),
    },
    Mutant {
        name: "the server names another method than the client",
        breaks: &["v5/MQTT-4.12.0-5"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |version, packet| {
                let properties = match packet {
                    Packet::Auth(auth) => &mut auth.properties,
                    Packet::ConnAck(connack) if version == Version::V5 => &mut connack.properties,
                    _ => return,
                };
                if properties.authentication_method().is_some() {
                    *properties = without(properties, Property::AuthenticationMethod)
                        .with(Property::AuthenticationMethod, Value::Text(Text::literal("another")));
                }
            })
        }),
    },
    Mutant {
        name: "CONNACK names a method that nobody asked for",
        breaks: &["v5/MQTT-4.12.0-6"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |version, packet| {
                if let (Version::V5, Packet::ConnAck(connack)) = (version, packet)
                    && connack.properties.authentication_method().is_none()
                {
                    connack.properties.push(Property::AuthenticationMethod, Value::Text(Text::literal("any")));
                }
            })
        }),
    },
    Mutant {
        name: "AUTH is overlooked where none is due",
        breaks: &["v5/MQTT-4.12.0-7", "v5/MQTT-4.12.1-1"],
        via: &[],
        kind: Kind::Broker(|| {
            swallow(Way::Up, |_, packet| matches!(packet, Packet::Auth(auth) if auth.reason == Reason::ReAuthenticate))
        }),
    },
    Mutant {
        name: "AUTH has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.15.2-2"],
        via: &[],
        kind: Kind::Broker(|| says(Property::ReasonString, || Value::Text(Text::literal("because")))),
    },
    Mutant {
        name: "AUTH has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.15.2-3"],
        via: &[],
        kind: Kind::Broker(|| {
            says(Property::UserProperty, || Value::Pair(Text::literal("node"), Text::literal("one")))
        }),
    },
];

/// Puts this into every AUTH of the server.
fn says(property: Property, value: fn() -> Value) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::Auth(auth) = packet {
            auth.properties.push(property, value());
        }
    })
}
