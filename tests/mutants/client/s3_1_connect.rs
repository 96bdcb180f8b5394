//! CONNECT (section 3.1).

use simrun::codec::{Connect, Packet, PacketIdentifier, Property, Publish, Qos, Text, Version};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::{client, publishes, spoil, without};
use crate::mutants::tools::{alter, patch, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    client("the client begins without CONNECT", &["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"], || {
        swallow(Way::Up, |_, packet| matches!(packet, Packet::Connect(_)))
    }),
    client("the protocol has another name", &["v5/MQTT-3.1.2-1"], || in_connect(|_, bytes| bytes[7] = b'X')),
    client(
        "nothing is sent again",
        &[
            "v3.1.1/MQTT-3.1.2-4",
            "v3.1.1/MQTT-4.1.0-1",
            "v3.1.1/MQTT-4.3.2-1",
            "v3.1.1/MQTT-4.3.3-1",
            "v3.1.1/MQTT-4.4.0-1",
            "v5/MQTT-3.1.2-23",
            "v5/MQTT-4.3.2-3",
            "v5/MQTT-4.3.3-3",
            "v5/MQTT-4.3.3-7",
            "v5/MQTT-4.4.0-1",
        ],
        || swallow(Way::Up, |_, packet| matches!(packet, Packet::Publish(publish) if publish.dup)),
    ),
    client(
        "messages of a lost session come again with DUP 1",
        &["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-3.1.2-4", "v5/MQTT-3.2.2-5"],
        || publishes(|publish| publish.dup = publish.qos > Qos::AtMostOnce),
    ),
    client("a will is forgotten", &["v3.1.1/MQTT-3.1.2-9", "v5/MQTT-3.1.2-9"], || {
        connects(|connect| connect.will = None)
    }),
    client("a will has QoS 3", &["v3.1.1/MQTT-3.1.2-14", "v5/MQTT-3.1.2-12"], || {
        in_connect(|_, bytes| {
            if bytes[9] & 0x04 != 0 {
                bytes[9] |= 0x18;
            }
        })
    }),
    client(
        "will QoS is 1 without a will",
        &["v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-13", "v5/MQTT-3.1.2-11"],
        || in_connect(|_, bytes| bytes[9] |= 0x08),
    ),
    client("will retain is 1 without a will", &["v3.1.1/MQTT-3.1.2-15", "v5/MQTT-3.1.2-13"], || {
        in_connect(|_, bytes| bytes[9] |= 0x20)
    }),
    client(
        "CONNECT has a field without its flag",
        &["v3.1.1/MQTT-3.1.2-18", "v3.1.1/MQTT-3.1.2-20", "v5/MQTT-3.1.2-16", "v5/MQTT-3.1.2-18"],
        || {
            in_connect(|_, bytes| {
                bytes.extend([0, 1, b'u']);
                bytes[1] += 3;
            })
        },
    ),
    client("user name and password are forgotten", &["v3.1.1/MQTT-3.1.2-19", "v5/MQTT-3.1.2-17"], || {
        connects(|connect| (connect.username, connect.password) = (None, None))
    }),
    client("a password is forgotten", &["v3.1.1/MQTT-3.1.2-21", "v5/MQTT-3.1.2-19"], || {
        connects(|connect| connect.password = None)
    }),
    Mutant {
        name: "a password comes without a user name",
        breaks: &["v3.1.1/MQTT-3.1.2-22"],
        via: &["with_password"],
        kind: Kind::Client(|| {
            in_connect(|_, bytes| {
                // Behind the client identifier `a` stands the user name `user`.
                bytes[9] &= !0x80;
                bytes.drain(15..21);
                bytes[1] -= 6;
            })
        }),
    },
    client(
        "there is no PINGREQ",
        &["v3.1.1/MQTT-3.1.2-23", "v5/MQTT-3.1.2-20", "v5/MQTT-3.1.2-21", "v5/MQTT-3.2.2-21"],
        || swallow(Way::Up, |_, packet| *packet == Packet::PingReq),
    ),
    client("Server Keep Alive is ignored", &["v5/MQTT-3.1.2-21", "v5/MQTT-3.2.2-21"], || {
        ignores(Property::ServerKeepAlive)
    }),
    client("user name and password are mixed up", &["v3.1.1/MQTT-3.1.3-1", "v5/MQTT-3.1.3-1"], || {
        connects(|connect| {
            if connect.password.is_some() {
                connect.username = Some(Text::literal("password"));
                connect.password = Some("user".into());
            }
        })
    }),
    client("whoever connects, an old message is sent again", &["v3.1.1/MQTT-3.1.3-2", "v5/MQTT-3.1.3-2"], || {
        alter(|version, way, packet, onward| {
            onward.packet(version, way, &packet);
            if matches!(packet, Packet::ConnAck(_)) {
                let (topic, packet_identifier) = (Text::literal("a"), PacketIdentifier::new(9));
                let old = Publish { dup: true, qos: Qos::AtLeastOnce, topic, packet_identifier, ..Publish::default() };
                onward.packet(version, Way::Up, &Packet::Publish(old));
            }
        })
    }),
    client("there is no client identifier", &["v3.1.1/MQTT-3.1.3-3", "v5/MQTT-3.1.3-3"], || {
        in_connect(|version, bytes| {
            let start = if version == Version::V5 { 13 + usize::from(bytes[12]) } else { 12 };
            let end = start + 2 + usize::from(bytes[start + 1]);
            bytes.drain(start..end);
            bytes[1] -= u8::try_from(end - start).expect("a short identifier");
        })
    }),
    client(
        "strings of CONNECT are not well-formed UTF-8",
        &[
            "v3.1.1/MQTT-3.1.3-4",
            "v3.1.1/MQTT-3.1.3-10",
            "v3.1.1/MQTT-3.1.3-11",
            "v5/MQTT-3.1.3-4",
            "v5/MQTT-3.1.3-11",
            "v5/MQTT-3.1.3-12",
        ],
        || in_connect(|_, bytes| spoil(bytes)),
    ),
    Mutant {
        name: "an empty client identifier goes with Clean Session 0",
        breaks: &["v3.1.1/MQTT-3.1.3-7"],
        via: &["client_identifier_is_there"],
        kind: Kind::Client(|| {
            in_connect(|_, bytes| {
                bytes[9] &= !0x02;
                bytes[1] -= bytes[13];
                bytes.truncate(14);
                bytes[13] = 0;
            })
        }),
    },
];

/// Changes the bytes of CONNECT.
fn in_connect(change: impl Fn(Version, &mut Vec<u8>) + Send + 'static) -> Box<dyn Tamper> {
    patch(Way::Up, move |version, bytes| {
        if bytes[0] == 0x10 {
            change(version, bytes);
        }
    })
}

/// Changes CONNECT.
fn connects(change: impl Fn(&mut Connect) + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let Packet::Connect(connect) = &mut packet {
            change(connect);
        }
        onward.packet(version, way, &packet);
    })
}

/// Does not see this property of CONNACK.
pub(super) fn ignores(property: Property) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let Packet::ConnAck(connack) = &mut packet {
            connack.properties = without(&connack.properties, property);
        }
        onward.packet(version, way, &packet);
    })
}
