//! Packets as the standards show them, byte for byte.

use bytes::Bytes;
use simrun::codec::Version::{V3_1_1, V5};
use simrun::codec::*;

/// The bytes that a row's hex digits stand for; `--` stands for the remaining length.
pub(crate) fn bytes(hex: &str) -> Bytes {
    let (head, body) = hex.split_once("--").unwrap_or(("", hex));
    let (mut wire, body) = (digits(head), digits(body));
    if !head.is_empty() {
        wire.push(u8::try_from(body.len()).ok().filter(|len| *len < 128).expect("rows are short"));
    }
    wire.extend(body);
    wire.into()
}

fn digits(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte: {hex}");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

/// Written like this, and read from it.
#[track_caller]
fn is(version: Version, packet: Packet, hex: &str) {
    let mut wire = Vec::new();
    encode(&packet, version, &mut wire).unwrap();
    assert_eq!(Bytes::from(wire), bytes(hex));
    reads(version, hex, packet);
}

#[track_caller]
fn reads(version: Version, hex: &str, packet: Packet) {
    assert_eq!(decode(version, &bytes(hex)), Ok(packet));
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: Text::literal("lamp"),
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    }
}

#[test]
fn connect_3_1_1() {
    let packet = Packet::Connect(Box::new(connect(V3_1_1)));
    is(V3_1_1, packet, "10 10 0004 4d515454 04 02 003c 0004 6c616d70");
}

#[test]
fn connect_5_with_everything() {
    let packet = Connect {
        will: Some(Will {
            qos: Qos::ExactlyOnce,
            retain: true,
            topic: Text::literal("gone"),
            payload: Bytes::from_static(b"\0"),
            properties: Properties::new().with(Property::WillDelayInterval, 5_u32),
        }),
        username: Some(Text::literal("u")),
        password: Some(Bytes::from_static(b"p")),
        properties: Properties::new().with(Property::SessionExpiryInterval, 10_u32),
        ..connect(V5)
    };
    let hex = "10 2b 0004 4d515454 05 f6 003c 05 11 0000000a 0004 6c616d70 05 18 00000005 0004 676f6e65 0001 00 \
               0001 75 0001 70";
    is(V5, Packet::Connect(Box::new(packet)), hex);
}

#[test]
fn connect_of_mqtt_3_1_reads_as_3_1_1() {
    let packet = Packet::Connect(Box::new(connect(V3_1_1)));
    reads(V5, "10 12 0006 4d5149736470 03 02 003c 0004 6c616d70", packet);
}

#[test]
fn a_password_alone_is_allowed_in_5() {
    let packet = Connect { password: Some(Bytes::from_static(b"p")), ..connect(V5) };
    is(V5, Packet::Connect(Box::new(packet)), "10 14 0004 4d515454 05 42 003c 00 0004 6c616d70 0001 70");
}

#[test]
fn connack() {
    let packet =
        |session_present, reason| Packet::ConnAck(ConnAck { session_present, reason, properties: Properties::new() });
    is(V3_1_1, packet(true, Reason::Success), "20 02 01 00");
    is(V3_1_1, packet(false, Reason::BadUserNameOrPassword), "20 02 00 04");
    is(V5, packet(true, Reason::Success), "20 03 01 00 00");
    is(V5, packet(false, Reason::BadUserNameOrPassword), "20 03 00 86 00");
}

#[test]
fn publish() {
    let packet = Publish {
        dup: true,
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: Text::literal("a/b"),
        packet_identifier: Some(id(10)),
        properties: Properties::new(),
        payload: Bytes::from_static(b"on"),
    };
    is(V3_1_1, Packet::Publish(packet.clone()), "3b 09 0003 612f62 000a 6f6e");
    is(V5, Packet::Publish(packet), "3b 0a 0003 612f62 000a 00 6f6e");
}

#[test]
fn publish_at_qos_0_has_no_identifier() {
    let packet = Publish { topic: Text::literal("t"), ..Publish::default() };
    is(V3_1_1, Packet::Publish(packet), "30 03 0001 74");
}

#[test]
fn publish_by_alias() {
    let properties = Properties::new().with(Property::TopicAlias, 3_u16);
    let packet = Publish { properties, ..Publish::default() };
    is(V5, Packet::Publish(packet), "30 06 0000 03 23 0003");
}

#[test]
fn acks_take_the_shortest_form() {
    let ack = |kind, reason| Packet::Ack(Ack::new(kind, id(0x1234), reason));
    is(V3_1_1, ack(AckKind::PubAck, Reason::Success), "40 02 1234");
    is(V5, ack(AckKind::PubAck, Reason::Success), "40 02 1234");
    is(V5, ack(AckKind::PubRec, Reason::NoMatchingSubscribers), "50 03 1234 10");
    is(V5, ack(AckKind::PubRel, Reason::PacketIdentifierNotFound), "62 03 1234 92");
    is(V5, ack(AckKind::PubComp, Reason::Success), "70 02 1234");
    reads(V5, "40 03 1234 00", ack(AckKind::PubAck, Reason::Success));
    reads(V5, "40 04 1234 00 00", ack(AckKind::PubAck, Reason::Success));
}

#[test]
fn an_ack_with_a_reason_string() {
    let properties = Properties::new().with(Property::ReasonString, Text::literal("no"));
    let ack = Ack { properties, ..Ack::new(AckKind::PubAck, id(1), Reason::NotAuthorized) };
    is(V5, Packet::Ack(ack), "40 09 0001 87 05 1f 0002 6e6f");
}

#[test]
fn subscribe_and_suback() {
    let subscription = |qos| Subscription {
        filter: Text::literal("a/#"),
        options: SubscriptionOptions { qos, ..SubscriptionOptions::default() },
    };
    let subscribe = |subscription| {
        Packet::Subscribe(Subscribe {
            packet_identifier: id(2),
            properties: Properties::new(),
            subscriptions: vec![subscription],
        })
    };
    is(V3_1_1, subscribe(subscription(Qos::ExactlyOnce)), "82 08 0002 0003 612f23 02");
    let mut full = subscription(Qos::AtLeastOnce);
    full.options.no_local = true;
    full.options.retain_as_published = true;
    full.options.retain_handling = RetainHandling::DoNotSend;
    is(V5, subscribe(full), "82 09 0002 00 0003 612f23 2d");

    let suback = |reasons: &[Reason]| {
        Packet::SubAck(SubAck { packet_identifier: id(2), properties: Properties::new(), reasons: reasons.to_vec() })
    };
    is(V3_1_1, suback(&[Reason::GrantedQos2, Reason::UnspecifiedError]), "90 04 0002 02 80");
    is(V5, suback(&[Reason::GrantedQos2, Reason::QuotaExceeded]), "90 05 0002 00 02 97");
}

#[test]
fn unsubscribe_and_unsuback() {
    let unsubscribe = Packet::Unsubscribe(Unsubscribe {
        packet_identifier: id(2),
        properties: Properties::new(),
        filters: vec![Text::literal("a"), Text::literal("b")],
    });
    is(V3_1_1, unsubscribe.clone(), "a2 08 0002 0001 61 0001 62");
    is(V5, unsubscribe, "a2 09 0002 00 0001 61 0001 62");
    let unsuback =
        |reasons| Packet::UnsubAck(UnsubAck { packet_identifier: id(2), properties: Properties::new(), reasons });
    is(V3_1_1, unsuback(Vec::new()), "b0 02 0002");
    is(V5, unsuback(vec![Reason::NoSubscriptionExisted]), "b0 04 0002 00 11");
}

#[test]
fn packets_without_a_body() {
    for version in [V3_1_1, V5] {
        is(version, Packet::PingReq, "c0 00");
        is(version, Packet::PingResp, "d0 00");
        is(version, Packet::Disconnect(Disconnect::new(Reason::Success)), "e0 00");
    }
}

#[test]
fn disconnect_may_leave_out_its_end() {
    is(V5, Packet::Disconnect(Disconnect::new(Reason::SessionTakenOver)), "e0 01 8e");
    reads(V5, "e0 02 8e 00", Packet::Disconnect(Disconnect::new(Reason::SessionTakenOver)));
    reads(V5, "e0 01 00", Packet::Disconnect(Disconnect::new(Reason::Success)));
}

#[test]
fn auth() {
    let properties = Properties::new().with(Property::AuthenticationMethod, Text::literal("X"));
    let auth = Auth { reason: Reason::ContinueAuthentication, properties };
    is(V5, Packet::Auth(auth), "f0 06 18 04 15 0001 58");
    is(V5, Packet::Auth(Auth { reason: Reason::Success, properties: Properties::new() }), "f0 00");
}

/// 1.5.4-3: U+FEFF is a character like any other.
#[test]
fn a_byte_order_mark_is_kept() {
    let packet = Publish { topic: Text::literal("\u{feff}t"), ..Publish::default() };
    is(V3_1_1, Packet::Publish(packet), "30 06 0004 efbbbf74");
}

/// What 3.1.1 has no place for is left out.
#[test]
fn a_packet_of_5_in_3_1_1() {
    let properties = Properties::new().with(Property::ContentType, Text::literal("x"));
    let publish = Publish { topic: Text::literal("t"), properties, ..Publish::default() };
    let mut wire = Vec::new();
    encode(&Packet::Publish(publish), V3_1_1, &mut wire).unwrap();
    encode(&Packet::Ack(Ack::new(AckKind::PubAck, id(1), Reason::QuotaExceeded)), V3_1_1, &mut wire).unwrap();
    assert_eq!(Bytes::from(wire), bytes("30 03 0001 74  40 02 0001"));
}

#[test]
fn properties_are_read_as_they_were_put() {
    let properties = Properties::new()
        .with(Property::UserProperty, (Text::literal("a"), Text::literal("1")))
        .with(Property::SubscriptionIdentifier, 7_u32)
        .with(Property::RetainAvailable, false)
        .with(Property::UserProperty, (Text::literal("a"), Text::literal("2")))
        .with(Property::SubscriptionIdentifier, 300_u32);
    assert_eq!(properties.subscription_identifiers().collect::<Vec<_>>(), [7, 300]);
    let pairs: Vec<_> = properties.user_properties().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["a=1", "a=2"]);
    assert_eq!(properties.retain_available(), Some(false));
    assert_eq!(properties.maximum_qos(), None);
    let rest = properties.borrowed().without(&[Property::UserProperty, Property::SubscriptionIdentifier]);
    assert_eq!(rest, Properties::new().with(Property::RetainAvailable, Value::Byte(0)));
    assert_eq!(properties.iter().count(), 5);
}
