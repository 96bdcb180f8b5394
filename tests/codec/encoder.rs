//! The encoder refuses what a peer would have to refuse, and then writes nothing.

use bytes::Bytes;
use simrun::codec::Version::{V3_1_1, V5};
use simrun::codec::*;

#[track_caller]
fn refuses(version: Version, packet: Packet, why: Unencodable) {
    let mut out = b"before".to_vec();
    assert_eq!(encode(&packet, version, &mut out), Err(why));
    assert_eq!(out, b"before");
    assert_eq!(Frame::new(&packet, version), Err(why));
}

fn id() -> PacketIdentifier {
    PacketIdentifier::MIN
}

fn publish() -> Publish {
    Publish { topic: Text::literal("t"), ..Publish::default() }
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 0,
        client_id: Text::EMPTY,
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    }
}

#[test]
fn publish_that_no_version_allows() {
    for version in [V3_1_1, V5] {
        refuses(version, Packet::Publish(Publish { dup: true, ..publish() }), Fault::DupAtQos0.into());
        let without_identifier = Publish { qos: Qos::AtLeastOnce, ..publish() };
        refuses(version, Packet::Publish(without_identifier), Unencodable::NoPacketIdentifier);
        let with_identifier = Publish { packet_identifier: Some(id()), ..publish() };
        refuses(version, Packet::Publish(with_identifier), Unencodable::PacketIdentifierAtQos0);
        for topic in ["+", "a/#", "12345678+12345678", "1234567890123456#"] {
            let topic = Text::try_from(topic).unwrap();
            refuses(version, Packet::Publish(Publish { topic, ..publish() }), Fault::TopicWildcard.into());
        }
    }
    let nameless = Packet::Publish(Publish::default());
    refuses(V3_1_1, nameless.clone(), Fault::TopicEmpty.into());
    refuses(V5, nameless, Fault::TopicMissing.into());
}

#[test]
fn packets_that_are_too_long() {
    let payload = Bytes::from(vec![0; 268_435_456]);
    let fits = Publish { payload: payload.slice(..268_435_455 - 3), ..publish() };
    assert_eq!(Frame::new(&Packet::Publish(fits), V3_1_1).map(|frame| frame.len()), Ok(268_435_455 + 5));
    let long = Publish { payload: payload.slice(..268_435_455 - 2), ..publish() };
    refuses(V3_1_1, Packet::Publish(long), Unencodable::PacketTooLong);
}

#[test]
fn fields_that_are_too_long() {
    let long = Bytes::from(vec![0; MAX_FIELD_LEN + 1]);
    let packet = Connect { username: Some(Text::EMPTY), password: Some(long.clone()), ..connect(V3_1_1) };
    refuses(V3_1_1, Packet::Connect(Box::new(packet)), Unencodable::FieldTooLong);
    let will = Will { topic: Text::literal("t"), payload: long.clone(), ..Will::default() };
    refuses(V5, Packet::Connect(Box::new(Connect { will: Some(will), ..connect(V5) })), Unencodable::FieldTooLong);
    let properties = Properties::new().with(Property::CorrelationData, long);
    refuses(V5, Packet::Publish(Publish { properties, ..publish() }), Fault::PropertyUnknown.into());
    // 4.7.3-3: refused, not cut off.
    assert_eq!(Text::try_from("x".repeat(MAX_FIELD_LEN + 1)), Err(TextError::TooLong));
    assert!(Text::try_from("x".repeat(MAX_FIELD_LEN)).is_ok());
}

#[test]
fn strings_that_mqtt_cannot_carry() {
    assert_eq!(Text::try_from("a\0b"), Err(TextError::Null));
    assert_eq!(Text::try_from("ein Fön\0"), Err(TextError::Null));
    for ill_formed in [&b"\xed\xa0\x80"[..], b"\xc0\x80", b"12345678\xe5\xa4", b"\xff"] {
        assert_eq!(Text::try_from(Bytes::copy_from_slice(ill_formed)), Err(TextError::NotUtf8));
    }
}

#[test]
fn connect_that_is_not_allowed() {
    let unclean = Connect { clean_start: false, ..connect(V3_1_1) };
    refuses(V3_1_1, Packet::Connect(Box::new(unclean)), Unencodable::EmptyClientIdentifier);
    let password = Connect { password: Some(Bytes::new()), ..connect(V3_1_1) };
    refuses(V3_1_1, Packet::Connect(Box::new(password)), Fault::PasswordWithoutUserName.into());
    for (topic, fault) in [("", Fault::TopicEmpty), ("a/+", Fault::WillTopicWildcard)] {
        let will = Will { topic: Text::literal(topic), ..Will::default() };
        refuses(V5, Packet::Connect(Box::new(Connect { will: Some(will), ..connect(V5) })), fault.into());
    }
}

#[test]
fn connack_that_is_not_allowed() {
    let refusal =
        |session_present, reason| Packet::ConnAck(ConnAck { session_present, reason, properties: Properties::new() });
    refuses(V3_1_1, refusal(false, Reason::QuotaExceeded), Unencodable::NoReturnCode(Reason::QuotaExceeded));
    refuses(V5, refusal(false, Reason::NoMatchingSubscribers), Fault::ConnAckCode.into());
    refuses(V5, refusal(true, Reason::NotAuthorized), Fault::SessionPresentWithError.into());
}

#[test]
fn codes_and_filters() {
    let reason = Reason::NoMatchingSubscribers;
    let properties = Properties::new();
    refuses(V5, Packet::Ack(Ack::new(AckKind::PubRel, id(), reason)), Fault::PubRelCode.into());
    refuses(V5, Packet::Disconnect(Disconnect::new(reason)), Fault::DisconnectCode.into());
    let suback = |reasons| SubAck { packet_identifier: id(), properties: Properties::new(), reasons };
    refuses(V3_1_1, Packet::SubAck(suback(vec![reason])), Fault::SubAckCode.into());
    refuses(V5, Packet::SubAck(suback(Vec::new())), Fault::NoCodes.into());
    let unsubscribe = Unsubscribe { packet_identifier: id(), properties: properties.clone(), filters: Vec::new() };
    refuses(V5, Packet::Unsubscribe(unsubscribe), Fault::NoFiltersToEnd.into());
    let subscribe = |subscriptions| {
        Packet::Subscribe(Subscribe { packet_identifier: id(), properties: Properties::new(), subscriptions })
    };
    refuses(V3_1_1, subscribe(Vec::new()), Fault::NoFilters.into());
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
    let shared = Subscription { filter: Text::literal("$share/g/t"), options };
    refuses(V5, subscribe(vec![shared]), Fault::NoLocalShared.into());
}

#[test]
fn auth_is_of_5_and_names_its_method() {
    let auth = |reason| Packet::Auth(Auth { reason, properties: Properties::new() });
    refuses(V3_1_1, auth(Reason::Success), Fault::NotInThisVersion.into());
    refuses(V5, auth(Reason::ContinueAuthentication), Fault::AuthMethodMissing.into());
}

#[test]
fn properties_that_are_not_allowed() {
    let with = |property, value: Value| {
        Packet::Publish(Publish { properties: Properties::new().with(property, value), ..publish() })
    };
    refuses(V5, with(Property::TopicAlias, Value::Two(0)), Fault::TopicAliasZero.into());
    refuses(V5, with(Property::ReceiveMaximum, Value::Two(1)), Fault::PropertyMisplaced.into());
    refuses(V5, with(Property::PayloadFormatIndicator, Value::Byte(2)), Fault::PropertyValue.into());
    refuses(V5, with(Property::TopicAlias, Value::Byte(1)), Fault::PropertyUnknown.into());
    let unwritable = Properties::new().with(Property::TopicAlias, 1_u8).with(Property::ContentType, Text::EMPTY);
    let rest = unwritable.borrowed().without(&[Property::ContentType]);
    refuses(V5, Packet::Publish(Publish { properties: rest, ..publish() }), Fault::PropertyUnknown.into());
    let wildcard = Value::Text(Text::literal("a/#"));
    refuses(V5, with(Property::ResponseTopic, wildcard), Fault::ResponseTopicWildcard.into());
    let twice = Properties::new().with(Property::TopicAlias, 1_u16).with(Property::TopicAlias, 1_u16);
    refuses(V5, Packet::Publish(Publish { properties: twice, ..publish() }), Fault::PropertyRepeated.into());
}

/// What a broker passes on as it came is what it would have written itself.
#[test]
fn a_plain_publish_is_known_by_its_bytes() {
    let plain = |version, packet: &[u8]| {
        let mut reader = Reader::new(1000);
        // Something stands before it.
        reader.feed(Bytes::from([&[0xc0, 0], packet].concat()));
        assert!(matches!(reader.next_packet(version), Ok(Some(PacketRef::PingReq))));
        let Ok(Some(PacketRef::Publish(publish))) = reader.next_packet(version) else { panic!("no PUBLISH") };
        publish.plain_bytes(version)
    };
    for version in [V3_1_1, V5] {
        let bytes = |publish: Publish| Frame::new(&Packet::Publish(publish), version).unwrap().to_bytes();
        for length in [0, 1, 100] {
            let packet = bytes(Publish { payload: vec![7; length].into(), ..publish() });
            assert_eq!(plain(version, &packet), Some(packet));
        }
        assert_eq!(plain(version, &bytes(Publish { payload: vec![7; 200].into(), ..publish() })), None);
        assert_eq!(plain(version, &bytes(Publish { retain: true, ..publish() })), None);
        let certain = Publish { qos: Qos::AtLeastOnce, packet_identifier: Some(id()), ..publish() };
        assert_eq!(plain(version, &bytes(certain)), None);
    }
    let talkative = Properties::new().with(Property::ContentType, Value::Text(Text::literal("x")));
    let packet = Packet::Publish(Publish { properties: talkative, ..publish() });
    assert_eq!(plain(V5, &Frame::new(&packet, V5).unwrap().to_bytes()), None);
}
