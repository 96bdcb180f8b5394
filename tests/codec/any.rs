//! Packets of every kind, as a given version can carry them.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use simrun::codec::*;

/// A packet that can be sent in this version.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet> {
    let both = prop_oneof![
        connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        connack(version).prop_map(Packet::ConnAck),
        publish(version).prop_map(Packet::Publish),
        ack(version).prop_map(Packet::Ack),
        subscribe(version).prop_map(Packet::Subscribe),
        suback(version).prop_map(Packet::SubAck),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        unsuback(version).prop_map(Packet::UnsubAck),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        disconnect(version).prop_map(Packet::Disconnect),
    ];
    match version {
        Version::V3_1_1 => both.boxed(),
        Version::V5 => prop_oneof![11 => both, 1 => auth().prop_map(Packet::Auth)].boxed(),
    }
}

/// A version, and a packet that can be sent in it.
pub(crate) fn version_and_packet() -> impl Strategy<Value = (Version, Packet)> {
    version().prop_flat_map(|version| (Just(version), packet(version)))
}

/// Either version.
pub(crate) fn version() -> impl Strategy<Value = Version> {
    select(vec![Version::V3_1_1, Version::V5])
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn identifier() -> impl Strategy<Value = PacketIdentifier> {
    any::<PacketIdentifier>()
}

fn text() -> impl Strategy<Value = Text> {
    let string = prop_oneof![
        40 => "[ -~]{0,20}".boxed(),
        40 => any::<String>().prop_map(|string| string.replace('\0', "")).boxed(),
        10 => "\u{feff}[äß天🙂]{0,5}".boxed(),
        1 => Just("x".repeat(MAX_FIELD_LEN)).boxed(),
    ];
    string.prop_map(|string| Text::try_from(string).expect("without NUL and not too long"))
}

fn topic() -> impl Strategy<Value = Text> {
    text().prop_map(|text| {
        let name = text.replace(['+', '#'], "/");
        if name.is_empty() { Text::literal("t") } else { Text::try_from(name).expect("as before") }
    })
}

fn binary() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        60 => vec(any::<u8>(), 0..40),
        1 => Just(vec![0xff; MAX_FIELD_LEN]),
    ]
    .prop_map(Bytes::from)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        60 => vec(any::<u8>(), 0..300),
        1 => (any::<u8>(), prop_oneof![500..520_usize, 16_370..16_400_usize, 2_097_140..2_097_160_usize])
            .prop_map(|(byte, len)| vec![byte; len]),
    ]
    .prop_map(Bytes::from)
}

fn value(property: Property) -> BoxedStrategy<Value> {
    use Property::*;
    match property {
        PayloadFormatIndicator
        | RequestProblemInformation
        | RequestResponseInformation
        | MaximumQos
        | RetainAvailable
        | WildcardSubscriptionAvailable
        | SubscriptionIdentifierAvailable
        | SharedSubscriptionAvailable => (0..=1_u8).prop_map(Value::Byte).boxed(),
        MessageExpiryInterval | SessionExpiryInterval | WillDelayInterval => any::<u32>().prop_map(Value::Four).boxed(),
        MaximumPacketSize => (1..=u32::MAX).prop_map(Value::Four).boxed(),
        ServerKeepAlive | TopicAliasMaximum => any::<u16>().prop_map(Value::Two).boxed(),
        ReceiveMaximum | TopicAlias => (1..=u16::MAX).prop_map(Value::Two).boxed(),
        SubscriptionIdentifier => (1..=268_435_455_u32).prop_map(Value::Variable).boxed(),
        ResponseTopic => topic().prop_map(Value::Text).boxed(),
        ContentType
        | AssignedClientIdentifier
        | AuthenticationMethod
        | ResponseInformation
        | ServerReference
        | ReasonString => text().prop_map(Value::Text).boxed(),
        CorrelationData | AuthenticationData => binary().prop_map(Value::Binary).boxed(),
        UserProperty => (text(), text()).prop_map(|(name, value)| Value::Pair(name, value)).boxed(),
    }
}

/// What may stand in this place: each property at most once, those that repeat more often, in any order.
pub(crate) fn properties(version: Version, place: Place) -> BoxedStrategy<Properties> {
    if version == Version::V3_1_1 {
        return Just(Properties::new()).boxed();
    }
    let allowed: Vec<Property> = Property::ALL.iter().copied().filter(|property| property.allowed_in(place)).collect();
    let repeated: Vec<Property> = allowed.iter().copied().filter(|property| property.repeats_in(place)).collect();
    let most = allowed.len().min(5);
    (subsequence(allowed, 0..=most), vec(select(repeated), 0..3))
        .prop_map(|(once, more)| [once, more].concat())
        .prop_shuffle()
        .prop_map(|mut chosen| {
            // Data goes with a method only.
            if !chosen.contains(&Property::AuthenticationMethod) {
                chosen.retain(|property| *property != Property::AuthenticationData);
            }
            chosen
        })
        .prop_flat_map(|chosen| {
            let values: Vec<_> = chosen.iter().map(|&property| value(property)).collect();
            (Just(chosen), values)
        })
        .prop_map(|(chosen, values)| {
            let mut properties = Properties::new();
            for (property, value) in chosen.into_iter().zip(values) {
                properties.push(property, value);
            }
            properties
        })
        .boxed()
}

fn placed(version: Version, packet: PacketType) -> BoxedStrategy<Properties> {
    properties(version, Place::In(packet))
}

fn reason(packet: PacketType) -> impl Strategy<Value = Reason> {
    let allowed: Vec<Reason> = Reason::ALL.iter().copied().filter(|reason| reason.allowed_in(packet)).collect();
    select(allowed)
}

fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let head = (any::<bool>(), any::<u16>(), text(), placed(version, PacketType::Connect));
    (head, option::of(will(version)), option::of(text()), option::of(binary())).prop_map(
        move |((clean_start, keep_alive, client_id, properties), will, username, password)| {
            let old = version == Version::V3_1_1;
            Connect {
                version,
                clean_start: clean_start || old && client_id.is_empty(),
                keep_alive,
                client_id,
                will,
                password: password.filter(|_| !old || username.is_some()),
                username,
                properties,
            }
        },
    )
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    (qos(), any::<bool>(), topic(), binary(), properties(version, Place::Will))
        .prop_map(|(qos, retain, topic, payload, properties)| Will { qos, retain, topic, payload, properties })
}

fn connack(version: Version) -> impl Strategy<Value = ConnAck> {
    let reasons: Vec<Reason> = match version {
        Version::V3_1_1 => (0..=5).filter_map(Reason::from_return_code).collect(),
        Version::V5 => Reason::ALL.iter().copied().filter(|reason| reason.allowed_in(PacketType::ConnAck)).collect(),
    };
    (any::<bool>(), select(reasons), placed(version, PacketType::ConnAck)).prop_map(|(present, reason, properties)| {
        ConnAck { session_present: present && reason == Reason::Success, reason, properties }
    })
}

fn publish(version: Version) -> impl Strategy<Value = Publish> {
    let flags = (any::<bool>(), qos(), any::<bool>(), identifier());
    (flags, topic(), any::<bool>(), placed(version, PacketType::Publish), payload()).prop_map(
        |((dup, qos, retain, identifier), topic, by_alias, properties, payload)| Publish {
            dup: dup && qos != Qos::AtMostOnce,
            qos,
            retain,
            topic: if by_alias && properties.topic_alias().is_some() { Text::EMPTY } else { topic },
            packet_identifier: (qos != Qos::AtMostOnce).then_some(identifier),
            properties,
            payload,
        },
    )
}

fn ack(version: Version) -> impl Strategy<Value = Ack> {
    select(vec![AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp]).prop_flat_map(move |kind| {
        let packet = kind.packet_type();
        (identifier(), reason(packet), placed(version, packet)).prop_map(
            move |(packet_identifier, reason, properties)| Ack {
                kind,
                packet_identifier,
                reason: in_version(version, reason),
                properties,
            },
        )
    })
}

fn in_version(version: Version, reason: Reason) -> Reason {
    if version == Version::V3_1_1 { Reason::Success } else { reason }
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V3_1_1 => SubscriptionOptions { qos, ..SubscriptionOptions::default() },
            Version::V5 => SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let subscription = (text(), options(version)).prop_map(|(filter, mut options)| {
        options.no_local &= !filter.starts_with("$share/");
        Subscription { filter, options }
    });
    (identifier(), placed(version, PacketType::Subscribe), vec(subscription, 1..6)).prop_map(
        |(packet_identifier, properties, subscriptions)| Subscribe { packet_identifier, properties, subscriptions },
    )
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let code = match version {
        Version::V3_1_1 => {
            select(vec![Reason::Success, Reason::GrantedQos1, Reason::GrantedQos2, Reason::UnspecifiedError]).boxed()
        }
        Version::V5 => reason(PacketType::SubAck).boxed(),
    };
    (identifier(), placed(version, PacketType::SubAck), vec(code, 1..6))
        .prop_map(|(packet_identifier, properties, reasons)| SubAck { packet_identifier, properties, reasons })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (identifier(), placed(version, PacketType::Unsubscribe), vec(text(), 1..6))
        .prop_map(|(packet_identifier, properties, filters)| Unsubscribe { packet_identifier, properties, filters })
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    let reasons = vec(reason(PacketType::UnsubAck), 1..6);
    (identifier(), placed(version, PacketType::UnsubAck), reasons).prop_map(
        move |(packet_identifier, properties, reasons)| UnsubAck {
            packet_identifier,
            properties,
            reasons: if version == Version::V3_1_1 { Vec::new() } else { reasons },
        },
    )
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect> {
    (reason(PacketType::Disconnect), placed(version, PacketType::Disconnect))
        .prop_map(move |(reason, properties)| Disconnect { reason: in_version(version, reason), properties })
}

fn auth() -> impl Strategy<Value = Auth> {
    (reason(PacketType::Auth), placed(Version::V5, PacketType::Auth)).prop_map(|(reason, mut properties)| {
        let short = reason == Reason::Success && properties.is_empty();
        if !short && properties.authentication_method().is_none() {
            properties.push(Property::AuthenticationMethod, Text::literal("SCRAM-SHA-256"));
        }
        Auth { reason, properties }
    })
}
