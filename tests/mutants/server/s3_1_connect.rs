//! CONNECT (section 3.1).

use bytes::Bytes;
use simrun::codec::{Connect, Packet, Properties, Property, Reason, Text, Value, Version, decode};
use simrun::conform::raw::RawConnect;
use simrun::conform::relay::Tamper;
use simrun::conform::setup::{PASSWORD, USER};
use simrun::trace::Way;

use crate::mutants::tools::{alter, connect_flags, letters_for, mend, never_closes, patch, with_body, without};
use crate::mutants::{Kind, Mutant};

/// A broker that understands other CONNECTs than were sent.
fn misread(change: impl Fn(&mut Connect) + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let Packet::Connect(connect) = &mut packet {
            change(connect);
        }
        onward.packet(version, way, &packet);
    })
}

/// A broker that answers CONNECTs of one kind with another CONNACK.
fn answers(of: fn(&Connect) -> bool, reason: Reason) -> Box<dyn Tamper> {
    let mut concerned = false;
    alter(move |version, way, mut packet, onward| {
        match &mut packet {
            Packet::Connect(connect) => concerned = of(connect),
            Packet::ConnAck(connack) if concerned => {
                connack.session_present = false;
                connack.reason = reason;
            }
            _ => {}
        }
        onward.packet(version, way, &packet);
    })
}

/// Changes a CONNECT on its way up for as long as it is no packet, at most so often.
fn mend_connect(times: usize, change: fn(&mut Vec<u8>)) -> Box<dyn Tamper> {
    mend(move |bytes| {
        let mut changed = bytes.clone();
        for _ in 0..times {
            if changed[0] >> 4 == 1 {
                with_body(&mut changed, change);
            }
            if decode(Version::V5, &Bytes::copy_from_slice(&changed)).is_ok() {
                *bytes = changed;
                return;
            }
        }
    })
}

fn text(string: &str) -> Text {
    Text::try_from(string.to_owned()).expect("a string")
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "what comes before CONNECT is overlooked",
        breaks: &["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut connected = false;
            alter(move |version, way, packet, onward| {
                connected |= matches!(packet, Packet::Connect(_));
                if connected {
                    onward.packet(version, way, &packet);
                }
            })
        }),
    },
    Mutant {
        name: "a second CONNECT is overlooked",
        breaks: &["v3.1.1/MQTT-3.1.0-2", "v5/MQTT-3.1.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut connected = false;
            alter(move |version, way, packet, onward| {
                let connect = matches!(packet, Packet::Connect(_));
                if !(connect && connected) {
                    onward.packet(version, way, &packet);
                }
                connected |= connect;
            })
        }),
    },
    Mutant {
        name: "any protocol name is good enough",
        breaks: &["v3.1.1/MQTT-3.1.2-1", "v5/MQTT-3.1.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            mend_connect(1, |body| {
                if body[2..6] == *b"MQTX" {
                    body[5] = b'T';
                }
            })
        }),
    },
    Mutant {
        name: "a protocol level of the future is taken for this one",
        breaks: &["v3.1.1/MQTT-3.1.2-2", "v5/MQTT-3.1.2-2"],
        via: &[],
        kind: Kind::Broker(|| mend_connect(2, |body| body[6] = if body[6] == 4 { 5 } else { 4 })),
    },
    Mutant {
        name: "a protocol level of the future is refused without a word",
        breaks: &["v3.1.1/MQTT-3.1.2-2"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes == b"\x20\x02\x00\x01" {
                    bytes.clear();
                }
            })
        }),
    },
    Mutant {
        name: "the reserved connect flag is not looked at",
        breaks: &["v3.1.1/MQTT-3.1.2-3", "v5/MQTT-3.1.2-3"],
        via: &[],
        kind: Kind::Broker(|| connect_flags(|flags| flags & !RawConnect::RESERVED)),
    },
    Mutant {
        name: "a will without fields is no will",
        breaks: &["v3.1.1/MQTT-3.1.2-9", "v5/MQTT-3.1.2-9"],
        via: &["will_flag_without_will"],
        kind: Kind::Broker(|| {
            mend_connect(1, |body| body[7] &= !(RawConnect::WILL | RawConnect::WILL_QOS | RawConnect::WILL_RETAIN))
        }),
    },
    Mutant {
        name: "what follows the fields of a CONNECT is overlooked",
        breaks: &[
            "v3.1.1/MQTT-3.1.2-11",
            "v3.1.1/MQTT-3.1.2-18",
            "v3.1.1/MQTT-3.1.2-20",
            "v3.1.1/MQTT-3.1.4-1",
            "v5/MQTT-3.1.2-16",
            "v5/MQTT-3.1.2-18",
            "v5/MQTT-3.1.4-1",
        ],
        via: &[],
        kind: Kind::Broker(|| {
            mend_connect(16, |body| {
                body.pop();
            })
        }),
    },
    Mutant {
        name: "will QoS is not looked at without a will",
        breaks: &["v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-13", "v5/MQTT-3.1.2-11"],
        via: &[],
        kind: Kind::Broker(|| connect_flags(|flags| without_will(flags, RawConnect::WILL_QOS))),
    },
    Mutant {
        name: "will retain is not looked at without a will",
        breaks: &["v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-15", "v5/MQTT-3.1.2-13"],
        via: &[],
        kind: Kind::Broker(|| connect_flags(|flags| without_will(flags, RawConnect::WILL_RETAIN))),
    },
    Mutant {
        name: "will QoS 3 is taken for 2",
        breaks: &["v3.1.1/MQTT-3.1.2-14", "v5/MQTT-3.1.2-12"],
        via: &[],
        kind: Kind::Broker(|| {
            connect_flags(|flags| {
                let three = flags & RawConnect::WILL_QOS == RawConnect::WILL_QOS;
                if three { flags & !0b1000 } else { flags }
            })
        }),
    },
    Mutant {
        name: "fields that are missing in a CONNECT are taken for empty ones",
        breaks: &[
            "v3.1.1/MQTT-3.1.2-19",
            "v3.1.1/MQTT-3.1.2-21",
            "v3.1.1/MQTT-3.1.3-3",
            "v5/MQTT-3.1.2-17",
            "v5/MQTT-3.1.2-19",
            "v5/MQTT-3.1.3-3",
        ],
        via: &[],
        kind: Kind::Broker(|| mend_connect(2, |body| body.extend([0, 0]))),
    },
    Mutant {
        name: "a password may come without a user name",
        breaks: &["v3.1.1/MQTT-3.1.2-22"],
        via: &[],
        // The password is then taken for the user name, which changes nothing else.
        kind: Kind::Broker(|| mend_connect(1, |body| body[7] ^= RawConnect::USER_NAME | RawConnect::PASSWORD)),
    },
    Mutant {
        name: "surrogates are taken for characters in CONNECT",
        breaks: &[
            "v3.1.1/MQTT-3.1.3-4",
            "v3.1.1/MQTT-3.1.3-10",
            "v3.1.1/MQTT-3.1.3-11",
            "v5/MQTT-3.1.3-4",
            "v5/MQTT-3.1.3-11",
            "v5/MQTT-3.1.3-12",
        ],
        via: &[],
        kind: Kind::Broker(|| letters_for(b"\xED\xA0\x80")),
    },
    Mutant {
        name: "will topic and will payload are taken for each other",
        breaks: &["v3.1.1/MQTT-3.1.3-1", "v5/MQTT-3.1.3-1"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|connect| {
                if let Some(will) = &mut connect.will {
                    let topic = text(&String::from_utf8_lossy(&will.payload));
                    will.payload = std::mem::replace(&mut will.topic, topic).as_bytes().clone();
                }
            })
        }),
    },
    Mutant {
        name: "client identifiers of more than 20 characters are refused",
        breaks: &["v3.1.1/MQTT-3.1.3-5", "v5/MQTT-3.1.3-5"],
        via: &[],
        kind: Kind::Broker(|| answers(|connect| connect.client_id.len() > 20, Reason::ClientIdentifierNotValid)),
    },
    Mutant {
        name: "all who bring no client identifier get the same",
        breaks: &["v3.1.1/MQTT-3.1.3-6", "v5/MQTT-3.1.3-6"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|connect| {
                if connect.client_id.is_empty() {
                    connect.client_id = text("nobody");
                }
            })
        }),
    },
    Mutant {
        name: "an empty client identifier may stay",
        breaks: &["v3.1.1/MQTT-3.1.3-8"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|connect| {
                if connect.client_id.is_empty() && !connect.clean_start {
                    connect.client_id = text("nobody");
                }
            })
        }),
    },
    Mutant {
        name: "the assigned client identifier is not the session's",
        breaks: &["v5/MQTT-3.1.3-7"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let Packet::ConnAck(connack) = &mut packet
                    && connack.properties.assigned_client_identifier().is_some()
                {
                    connack.properties = without(&connack.properties, Property::AssignedClientIdentifier)
                        .with(Property::AssignedClientIdentifier, Value::Text(text("somebody-else")));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a client identifier that is too long is refused for another reason, and the connection left open",
        breaks: &["v3.1.1/MQTT-3.1.3-9", "v5/MQTT-3.1.3-8"],
        via: &[],
        kind: Kind::Broker(|| answers(|connect| connect.client_id.len() > 100, Reason::NotAuthorized)),
    },
    Mutant {
        name: "passwords are not looked at",
        breaks: &["v5/MQTT-3.1.4-2"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|connect| {
                connect.username = Some(text(USER));
                connect.password = Some(PASSWORD.into());
            })
        }),
    },
    Mutant {
        name: "an older connection stays open when its client identifier connects anew",
        breaks: &["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"],
        via: &[],
        kind: Kind::Broker(never_closes),
    },
    Mutant {
        name: "a client without keep alive is refused",
        breaks: &["v3.1.1/MQTT-3.1.4-4", "v5/MQTT-3.1.4-5"],
        via: &[],
        kind: Kind::Broker(|| answers(|connect| connect.keep_alive == 0, Reason::ServerUnavailable)),
    },
    Mutant {
        name: "what comes behind a refused CONNECT is acted on",
        breaks: &["v3.1.1/MQTT-3.1.4-5", "v5/MQTT-3.1.4-6"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut refused = false;
            alter(move |version, way, mut packet, onward| {
                match &mut packet {
                    Packet::Connect(connect) => {
                        let unknown_method = connect.properties.authentication_method().is_some();
                        refused = unknown_method || (connect.client_id.is_empty() && !connect.clean_start);
                        if refused {
                            connect.properties = Properties::new();
                            connect.client_id = text("refused");
                        }
                    }
                    Packet::ConnAck(connack) if refused => connack.reason = Reason::NotAuthorized,
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "silent clients are not noticed",
        breaks: &["v3.1.1/MQTT-3.1.2-24", "v5/MQTT-3.1.2-22"],
        via: &[],
        kind: Kind::Broker(|| misread(|connect| connect.keep_alive = 0)),
    },
    Mutant {
        name: "the client's Maximum Packet Size is not looked at",
        breaks: &["v5/MQTT-3.1.2-24", "v5/MQTT-3.1.2-25"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|connect| connect.properties = without(&connect.properties, Property::MaximumPacketSize))
        }),
    },
    Mutant {
        name: "ten topic aliases are used, whatever the client takes",
        breaks: &["v5/MQTT-3.1.2-26", "v5/MQTT-3.1.2-27"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|connect| {
                if connect.version == Version::V5 {
                    let others = without(&connect.properties, Property::TopicAliasMaximum);
                    connect.properties = others.with(Property::TopicAliasMaximum, Value::Two(10));
                }
            })
        }),
    },
    Mutant {
        name: "Response Information that nobody asked for",
        breaks: &["v5/MQTT-3.1.2-28"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let Packet::ConnAck(connack) = &mut packet {
                    connack.properties.push(Property::ResponseInformation, Value::Text(text("reply/to")));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "reason strings whether they are wanted or not",
        breaks: &["v5/MQTT-3.1.2-29"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Down, Packet::Ack(ack)) = (way, &mut packet) {
                    ack.properties.push(Property::ReasonString, Value::Text(text("because")));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
];

/// The connect flags without these where there is no will.
fn without_will(flags: u8, not_looked_at: u8) -> u8 {
    if flags & RawConnect::WILL == 0 { flags & !not_looked_at } else { flags }
}
