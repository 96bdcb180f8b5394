//! The packets that are measured, as bytes. Every contender has to read the same ones.

use bytes::Bytes;
use simrun::codec::*;

pub const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];
pub const STREAM_LEN: usize = 10_000;

pub struct Sample {
    pub name: &'static str,
    pub version: Version,
    pub wire: Bytes,
}

pub fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for version in VERSIONS {
        let mut add = |name, packet: Packet| {
            samples.push(Sample { name, version, wire: encoded(&packet, version) });
        };
        add("connect", connect(version));
        add("publish 16 B", publish(version, 16));
        add("publish 256 B", publish(version, 256));
        add("publish 64 KiB", publish(version, 65_536));
        if version == Version::V5 {
            add("publish 256 B with properties", publish_with_properties());
        }
        add("subscribe to ten", subscribe(version, 10));
        add("puback", Packet::Ack(Ack::new(AckKind::PubAck, id(7), Reason::Success)));
    }
    samples
}

fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not zero")
}

fn encoded(packet: &Packet, version: Version) -> Bytes {
    let mut wire = Vec::new();
    encode(packet, version, &mut wire).expect("a good packet");
    wire.into()
}

fn connect(version: Version) -> Packet {
    Packet::Connect(Box::new(Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: Text::literal("sensor-00421"),
        will: Some(Will {
            qos: Qos::AtLeastOnce,
            retain: true,
            topic: Text::literal("sensors/00421/status"),
            payload: Bytes::from_static(b"offline"),
            properties: Properties::new(),
        }),
        username: Some(Text::literal("admin")),
        password: Some(Bytes::from_static(b"password")),
        properties: match version {
            Version::V3_1_1 => Properties::new(),
            Version::V5 => {
                Properties::new().with(Property::SessionExpiryInterval, 3600_u32).with(Property::ReceiveMaximum, 20_u16)
            }
        },
    }))
}

fn publish(_: Version, payload: usize) -> Packet {
    Packet::Publish(Publish {
        topic: Text::literal("sensors/00421/temperature"),
        payload: vec![b'x'; payload].into(),
        ..Publish::default()
    })
}

fn publish_with_properties() -> Packet {
    Packet::Publish(Publish {
        qos: Qos::AtLeastOnce,
        packet_identifier: Some(id(7)),
        topic: Text::literal("sensors/00421/temperature"),
        payload: vec![b'x'; 256].into(),
        properties: Properties::new()
            .with(Property::PayloadFormatIndicator, 1_u8)
            .with(Property::MessageExpiryInterval, 3600_u32)
            .with(Property::ContentType, Text::literal("text/plain"))
            .with(Property::ResponseTopic, Text::literal("replies/00421"))
            .with(Property::CorrelationData, Bytes::from_static(b"12345678"))
            .with(Property::UserProperty, (Text::literal("unit"), Text::literal("celsius"))),
        ..Publish::default()
    })
}

fn subscribe(version: Version, filters: usize) -> Packet {
    let subscription = |number| Subscription {
        filter: Text::try_from(format!("sensors/{number:05}/+/#")).expect("short"),
        options: SubscriptionOptions {
            qos: Qos::AtLeastOnce,
            no_local: version == Version::V5,
            ..SubscriptionOptions::default()
        },
    };
    Packet::Subscribe(Subscribe {
        packet_identifier: id(7),
        properties: Properties::new(),
        subscriptions: (0..filters).map(subscription).collect(),
    })
}

/// What a busy connection carries: mostly messages of a few sizes and their acks, pings, now and then a SUBSCRIBE.
pub fn mixed_stream(version: Version) -> Vec<u8> {
    let mut wire = Vec::new();
    for number in 0..STREAM_LEN {
        let identifier = id(u16::try_from(number % 60_000).expect("small") + 1);
        let ack = |kind| Packet::Ack(Ack::new(kind, identifier, Reason::Success));
        let message = |qos: Qos, payload: usize| {
            Packet::Publish(Publish {
                qos,
                packet_identifier: (qos != Qos::AtMostOnce).then_some(identifier),
                topic: Text::try_from(format!("sensors/{:05}/temperature", number * 7919 % 10_000)).expect("short"),
                payload: vec![b'x'; payload].into(),
                ..Publish::default()
            })
        };
        let packet = match number % 10 {
            0..=2 => message(Qos::AtMostOnce, 32),
            3 | 4 => message(Qos::AtLeastOnce, 100),
            5 => message(Qos::ExactlyOnce, 256),
            6 | 7 => ack(AckKind::PubAck),
            8 => ack(AckKind::PubRec),
            _ if number % 100 == 99 => subscribe(version, 2),
            _ => Packet::PingReq,
        };
        encode(&packet, version, &mut wire).expect("a good packet");
    }
    wire
}
