//! CONNACK (section 3.2).

use simrun::codec::{ConnAck, Packet, Properties, Property, Qos, Reason, Text, Value, Version};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{alter, body, change, never_closes, patch, swallow, without};
use crate::mutants::{Kind, Mutant};

/// Changes flags and code of a CONNACK that refuses.
fn refusal(change: impl Fn(&mut [u8]) + Send + 'static) -> Box<dyn Tamper> {
    patch(Way::Down, move |_, bytes| {
        let flags = body(bytes);
        if bytes[0] == 0x20 && bytes[flags + 1] != 0 {
            change(&mut bytes[flags..]);
        }
    })
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a PINGRESP comes before CONNACK",
        breaks: &["v3.1.1/MQTT-3.2.0-1", "v5/MQTT-3.2.0-1"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                if matches!(packet, Packet::ConnAck(_)) {
                    onward.packet(version, way, &Packet::PingResp);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a second CONNECT is answered by a second CONNACK",
        breaks: &["v5/MQTT-3.2.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut connected = false;
            alter(move |version, way, packet, onward| {
                let connect = matches!(packet, Packet::Connect(_));
                if connect && connected {
                    let properties = Properties::new();
                    let connack = ConnAck { session_present: false, reason: Reason::Success, properties };
                    onward.packet(version, Way::Down, &Packet::ConnAck(connack));
                } else {
                    onward.packet(version, way, &packet);
                }
                connected |= connect;
            })
        }),
    },
    Mutant {
        name: "a session that has expired is there for ever",
        breaks: &["v5/MQTT-3.2.2-3"],
        via: &["session_present_after_expiry"],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Connect(connect) = packet
                    && connect.properties.session_expiry_interval().is_some()
                {
                    let others = without(&connect.properties, Property::SessionExpiryInterval);
                    connect.properties = others.with(Property::SessionExpiryInterval, u32::MAX);
                }
            })
        }),
    },
    Mutant {
        name: "a refusal says that a session is present",
        breaks: &["v3.1.1/MQTT-3.2.2-4", "v5/MQTT-3.2.2-6"],
        via: &[],
        kind: Kind::Broker(|| refusal(|connack| connack[0] = 1)),
    },
    Mutant {
        name: "a connection that was refused stays open",
        breaks: &["v3.1.1/MQTT-3.2.2-5", "v5/MQTT-3.2.2-7"],
        via: &[],
        kind: Kind::Broker(never_closes),
    },
    Mutant {
        name: "refusals have a code of their own",
        breaks: &["v3.1.1/MQTT-3.2.2-6", "v5/MQTT-3.2.2-8"],
        via: &["codes_of_refusals"],
        kind: Kind::Broker(|| refusal(|connack| connack[1] = 6)),
    },
    Mutant {
        name: "what has no code is refused with that for the protocol level",
        breaks: &["v3.1.1/MQTT-3.2.2-6"],
        via: &["refusal_without_a_code"],
        kind: Kind::Broker(|| {
            let mut refused = false;
            alter(move |version, way, packet, onward| {
                if let Packet::Connect(connect) = &packet {
                    refused = connect.will.as_ref().is_some_and(|will| will.qos == Qos::ExactlyOnce);
                }
                if refused {
                    let (reason, properties) = (Reason::UnsupportedProtocolVersion, Properties::new());
                    let connack = ConnAck { session_present: false, reason, properties };
                    onward.packet(version, Way::Down, &Packet::ConnAck(connack));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "Maximum QoS is not told",
        breaks: &["v5/MQTT-3.2.2-9"],
        via: &["maximum_qos_0", "maximum_qos_1"],
        kind: Kind::Broker(|| {
            change(Way::Down, |_, packet| {
                if let Packet::ConnAck(connack) = packet {
                    connack.properties = without(&connack.properties, Property::MaximumQos);
                }
            })
        }),
    },
    Mutant {
        name: "QoS 2 is not served, and nobody is told",
        breaks: &["v5/MQTT-3.2.2-9"],
        via: &["maximum_qos_holds"],
        kind: Kind::Broker(|| {
            swallow(Way::Up, |_, packet| matches!(packet, Packet::Publish(publish) if publish.qos == Qos::ExactlyOnce))
        }),
    },
    Mutant {
        name: "subscriptions at QoS 2 are refused where it is not served",
        breaks: &["v5/MQTT-3.2.2-10"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut above = false;
            alter(move |version, way, mut packet, onward| {
                match &mut packet {
                    Packet::Subscribe(subscribe) => {
                        above = subscribe.subscriptions.iter().any(|asked| asked.options.qos == Qos::ExactlyOnce);
                    }
                    Packet::SubAck(suback) if above => suback.reasons.fill(Reason::UnspecifiedError),
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "messages above Maximum QoS are taken at a lower one",
        breaks: &["v5/MQTT-3.2.2-11"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Publish(publish) = packet {
                    publish.qos = publish.qos.min(Qos::AtLeastOnce);
                }
            })
        }),
    },
    Mutant {
        name: "wills above Maximum QoS, or retained against the rules, are taken as it can",
        breaks: &["v5/MQTT-3.2.2-12", "v5/MQTT-3.2.2-13"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Connect(connect) = packet
                    && let Some(will) = &mut connect.will
                {
                    will.qos = Qos::AtMostOnce;
                    will.retain = false;
                }
            })
        }),
    },
    Mutant {
        name: "retained messages are taken as if they were others",
        breaks: &["v5/MQTT-3.2.2-14"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Publish(publish) = packet {
                    publish.retain = false;
                }
            })
        }),
    },
    Mutant {
        name: "packets that are too large are overlooked",
        breaks: &["v5/MQTT-3.2.2-15"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Up, |_, bytes| {
                if bytes.len() > 256 {
                    bytes.clear();
                }
            })
        }),
    },
    Mutant {
        name: "all who bring no client identifier are told the same",
        breaks: &["v5/MQTT-3.2.2-16"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |_, packet| {
                if let Packet::ConnAck(connack) = packet
                    && connack.properties.assigned_client_identifier().is_some()
                {
                    let others = without(&connack.properties, Property::AssignedClientIdentifier);
                    connack.properties = others.with(Property::AssignedClientIdentifier, Text::literal("nobody"));
                }
            })
        }),
    },
    Mutant {
        name: "topic aliases that are not allowed are not looked at",
        breaks: &["v5/MQTT-3.2.2-17", "v5/MQTT-3.2.2-18"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Publish(publish) = packet {
                    publish.properties = without(&publish.properties, Property::TopicAlias);
                }
            })
        }),
    },
    Mutant {
        name: "a reason string, however little the client takes",
        breaks: &["v5/MQTT-3.2.2-19"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Connect(connect) = packet {
                    connect.properties = without(&connect.properties, Property::MaximumPacketSize);
                }
            })
        }),
    },
    Mutant {
        name: "CONNACK has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.2.2-20"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |version, packet| {
                if let (Version::V5, Packet::ConnAck(connack)) = (version, packet) {
                    let pair = Value::Pair(Text::literal("node"), Text::literal("one"));
                    connack.properties.push(Property::UserProperty, pair);
                }
            })
        }),
    },
    Mutant {
        name: "keep alive is shorter than the client asked for",
        breaks: &["v5/MQTT-3.2.2-22"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Connect(connect) = packet {
                    connect.keep_alive = connect.keep_alive.min(1);
                }
            })
        }),
    },
];
