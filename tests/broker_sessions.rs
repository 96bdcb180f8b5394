//! Sessions, deliveries, wills and retained messages outlive connections as the standard says, in both versions.

mod support;

use std::time::Duration;

use simrun::broker::Config;
use simrun::codec::*;
use simrun::link::Cause;
use support::*;

#[test]
fn a_message_reaches_a_subscriber_at_each_qos() {
    for version in BOTH {
        for qos in 0..=2 {
            let mut host = Host::new(Config::default());
            let (hall, _) = host.connect(hello(version, "hall"));
            host.subscribe(hall, "light", Qos::ExactlyOnce);
            let (switch, _) = host.connect(hello(version, "switch"));
            host.send(switch, publish("light", "on", qos, if qos > 0 { 7 } else { 0 }));
            let heard = host.next_publish(hall);
            assert_eq!((heard.qos.number(), &heard.payload[..], heard.dup), (qos, &b"on"[..], false));
            match qos {
                1 => assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubAck, 7))),
                2 => {
                    assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubRec, 7)));
                    host.send(switch, ack(AckKind::PubRel, 7));
                    assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubComp, 7)));
                    let id = heard.packet_identifier.expect("at QoS 2").get();
                    host.send(hall, ack(AckKind::PubRec, id));
                    assert_eq!(host.next(hall), Packet::Ack(ack(AckKind::PubRel, id)));
                    host.send(hall, ack(AckKind::PubComp, id));
                }
                _ => {}
            }
            assert!(host.silent(hall) && host.silent(switch));
        }
    }
}

#[test]
fn what_was_not_acknowledged_is_sent_again_after_a_cut_with_dup_and_the_same_identifier() {
    for version in BOTH {
        let mut host = Host::new(Config::default());
        let (hall, first) = host.connect(hello_lasting(version, "hall"));
        assert!(!first.session_present);
        host.subscribe(hall, "light", Qos::AtLeastOnce);
        let (switch, _) = host.connect(hello(version, "switch"));
        host.send(switch, publish("light", "on", 1, 1));
        let before = host.next_publish(hall);
        host.cut(hall);
        host.send(switch, publish("light", "off", 1, 2));
        let (hall, again) = host.connect(hello_lasting(version, "hall"));
        assert!(again.session_present);
        let resent = host.next_publish(hall);
        assert_eq!(resent, Publish { dup: true, ..before });
        assert_eq!(&host.next_publish(hall).payload[..], b"off");
    }
}

#[test]
fn a_pubrel_is_sent_again_after_a_cut_and_the_publish_is_not() {
    for version in BOTH {
        let mut host = Host::new(Config::default());
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        host.subscribe(hall, "light", Qos::ExactlyOnce);
        let (switch, _) = host.connect(hello(version, "switch"));
        host.send(switch, publish("light", "on", 2, 1));
        let id = host.next_publish(hall).packet_identifier.expect("at QoS 2").get();
        host.send(hall, ack(AckKind::PubRec, id));
        host.cut(hall);
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        assert_eq!(host.next(hall), Packet::Ack(ack(AckKind::PubRel, id)));
        assert!(host.silent(hall));
    }
}

#[test]
fn a_repeated_qos_2_publish_is_delivered_once() {
    for version in BOTH {
        let mut host = Host::new(Config::default());
        let (hall, _) = host.connect(hello(version, "hall"));
        host.subscribe(hall, "light", Qos::AtMostOnce);
        let (switch, _) = host.connect(hello_lasting(version, "switch"));
        host.send(switch, publish("light", "on", 2, 1));
        host.cut(switch);
        let (switch, _) = host.connect(hello_lasting(version, "switch"));
        host.send(switch, Publish { dup: true, ..publish("light", "on", 2, 1) });
        assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubRec, 1)));
        host.next_publish(hall);
        assert!(host.silent(hall));
    }
}

#[test]
fn a_second_connection_with_a_client_identifier_closes_the_first() {
    for version in BOTH {
        let mut host = Host::new(Config::default());
        let (first, _) = host.connect(hello(version, "twin"));
        let (second, _) = host.connect(hello(version, "twin"));
        assert_eq!(host.closed(first), Some(&Cause::TakenOver));
        assert!(host.closed(second).is_none());
        if version == Version::V5 {
            let Packet::Disconnect(disconnect) = host.next(first) else { panic!("no DISCONNECT") };
            assert_eq!(disconnect.reason, Reason::SessionTakenOver);
        }
    }
}

#[test]
fn silence_for_one_and_a_half_keep_alives_ends_the_connection_and_publishes_the_will() {
    for version in BOTH {
        let mut host = Host::new(Config::default());
        let (watcher, _) = host.connect(hello(version, "watcher"));
        host.subscribe(watcher, "gone", Qos::AtMostOnce);
        let will = Will { topic: text("gone"), payload: "hall".into(), ..Will::default() };
        let (hall, _) = host.connect(Connect { keep_alive: 10, will: Some(will), ..hello(version, "hall") });
        host.wait(Duration::from_secs(14));
        host.send(hall, Packet::PingReq);
        assert_eq!(host.next(hall), Packet::PingResp);
        host.wait(Duration::from_millis(14_999));
        assert!(host.closed(hall).is_none());
        // A byte of a packet that never ends is not a packet.
        host.send_bytes(hall, &[0x30]);
        host.wait(Duration::from_millis(2));
        assert_eq!(host.closed(hall), Some(&Cause::KeepAlive));
        assert_eq!(&host.next_publish(watcher).payload[..], b"hall");
    }
}

#[test]
fn a_will_is_not_published_after_disconnect_nor_when_its_client_returns_within_the_delay() {
    let mut host = Host::new(Config::default());
    let (watcher, _) = host.connect(hello(Version::V5, "watcher"));
    host.subscribe(watcher, "gone", Qos::AtMostOnce);
    let properties = Properties::new().with(Property::WillDelayInterval, Value::Four(5));
    let will = Will { topic: text("gone"), properties, ..Will::default() };
    let connect = Connect { will: Some(will), ..hello_lasting(Version::V5, "hall") };
    let (hall, _) = host.connect(connect.clone());
    host.send(hall, Disconnect::new(Reason::Success));
    host.wait(Duration::from_secs(10));
    let (hall, _) = host.connect(connect.clone());
    host.cut(hall);
    host.wait(Duration::from_secs(4));
    let (hall, _) = host.connect(connect);
    host.wait(Duration::from_secs(10));
    assert!(host.silent(watcher));
    host.cut(hall);
    host.wait(Duration::from_secs(6));
    host.next_publish(watcher);
}

#[test]
fn a_session_ends_with_its_expiry_interval_and_not_before() {
    let mut host = Host::new(Config::default());
    let properties = Properties::new().with(Property::SessionExpiryInterval, Value::Four(3));
    let connect = Connect { properties, ..hello_lasting(Version::V5, "hall") };
    for (away, present) in [(2900, true), (3100, false)] {
        let (hall, _) = host.connect(connect.clone());
        host.cut(hall);
        host.wait(Duration::from_millis(away));
        let (hall, connack) = host.connect(connect.clone());
        assert_eq!(connack.session_present, present, "after {away} ms");
        host.cut(hall);
    }
}

#[test]
fn retained_messages_are_sent_to_new_subscribers_and_cleared_by_an_empty_one() {
    for version in BOTH {
        let mut host = Host::new(Config::default());
        let (switch, _) = host.connect(hello(version, "switch"));
        host.send(switch, Publish { retain: true, ..publish("light", "on", 0, 0) });
        let (hall, _) = host.connect(hello(version, "hall"));
        host.subscribe(hall, "#", Qos::AtMostOnce);
        assert!(host.next_publish(hall).retain);
        host.send(switch, Publish { retain: true, ..publish("light", "", 0, 0) });
        assert!(!host.next_publish(hall).retain);
        host.subscribe(hall, "light", Qos::AtMostOnce);
        assert!(host.silent(hall));
    }
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    for version in BOTH {
        let mut host = Host::new(Config { durable: true, ..Config::default() });
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        host.subscribe(hall, "light", Qos::ExactlyOnce);
        host.cut(hall);
        let (switch, _) = host.connect(hello_lasting(version, "switch"));
        host.send(switch, publish("light", "on", 2, 1));
        assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubRec, 1)));
        host.disk_answers = false;
        host.send(switch, publish("light", "off", 1, 2));
        assert!(host.silent(switch), "the acknowledgement does not leave before its promise is on disk");
        host.restart();
        let (switch, connack) = host.connect(hello_lasting(version, "switch"));
        assert!(connack.session_present);
        host.send(switch, Publish { dup: true, ..publish("light", "on", 2, 1) });
        let (hall, connack) = host.connect(hello_lasting(version, "hall"));
        assert!(connack.session_present);
        assert_eq!(&host.next_publish(hall).payload[..], b"on");
        assert!(host.silent(hall));
    }
}

/// At QoS 1 the subscriber hears it at once, while the sender waits for its acknowledgement until the promise is on disk.
/// A crash may undo it then: what comes instead has another packet identifier, for the first may still be in use.
#[test]
fn what_was_promised_to_nobody_may_be_heard_before_it_is_stored() {
    for version in BOTH {
        let mut host = Host::new(Config { durable: true, ..Config::default() });
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        host.subscribe(hall, "light", Qos::ExactlyOnce);
        let (switch, _) = host.connect(hello_lasting(version, "switch"));
        host.disk_answers = false;
        host.send(switch, publish("light", "on", 1, 1));
        let first = host.next_publish(hall);
        assert!(host.silent(switch), "the acknowledgement does not leave before its promise is on disk");
        host.send(switch, publish("light", "dim", 2, 2));
        assert!(host.silent(hall), "at QoS 2 it would be heard twice");
        host.restart();
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        assert!(host.silent(hall));
        let (switch, _) = host.connect(hello_lasting(version, "switch"));
        host.send(switch, Publish { dup: true, ..publish("light", "on", 1, 1) });
        let second = host.next_publish(hall);
        assert_eq!((second.payload, second.dup), (first.payload, false));
        assert_ne!(second.packet_identifier, first.packet_identifier);
        assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubAck, 1)));
    }
}

/// Nobody would send it again, and it is not heard before its connection is seen to end.
#[test]
fn a_will_is_not_heard_before_it_is_stored() {
    for version in BOTH {
        let mut host = Host::new(Config { durable: true, ..Config::default() });
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        host.subscribe(hall, "gone", Qos::AtLeastOnce);
        let will = Will { topic: text("gone"), qos: Qos::AtLeastOnce, ..Will::default() };
        let (lamp, _) = host.connect(Connect { will: Some(will), ..hello_lasting(version, "lamp") });
        host.disk_answers = false;
        host.cut(lamp);
        assert!(host.silent(hall));
        host.disk_answers = true;
        host.connect(hello_lasting(version, "other"));
        assert_eq!(host.next_publish(hall).topic.as_str(), "gone");
    }
}

/// What was stored before it was sent is sent with an identifier that a crash does not forget.
#[test]
fn what_was_promised_is_not_heard_before_its_packet_identifier_is_stored() {
    let mut host = Host::new(Config { durable: true, ..Config::default() });
    let (hall, _) = host.connect(hello_lasting(Version::V5, "hall"));
    host.subscribe(hall, "light", Qos::AtLeastOnce);
    host.cut(hall);
    let (switch, _) = host.connect(hello_lasting(Version::V5, "switch"));
    host.send(switch, publish("light", "on", 1, 1));
    assert_eq!(host.next(switch), Packet::Ack(ack(AckKind::PubAck, 1)));
    host.disk_answers = false;
    let hall = host.open();
    host.send(hall, hello_lasting(Version::V5, "hall"));
    assert!(host.silent(hall), "neither CONNACK nor message");
}

#[test]
fn crashes_do_not_begin_the_time_of_a_session_anew() {
    let start = || Host::new(Config { durable: true, ..Config::default() });
    let (third, rest) = (Duration::from_secs(1200), Duration::from_secs(1));
    // Its connection ends with the first crash; nothing tells the disk of it.
    let mut host = start();
    host.connect(hello_lasting(Version::V5, "hall"));
    for _ in 0..3 {
        host.restart();
        host.wait(third);
    }
    host.wait(rest);
    assert!(!host.connect(hello_lasting(Version::V5, "hall")).1.session_present);
    // It left before the crashes, and its will came between them.
    let mut host = start();
    let will_delay = Properties::new().with(Property::WillDelayInterval, Value::Four(2000));
    let will = Will { topic: text("gone"), properties: will_delay, ..Will::default() };
    let (hall, _) = host.connect(Connect { will: Some(will), ..hello_lasting(Version::V5, "hall") });
    host.cut(hall);
    for _ in 0..2 {
        host.wait(third);
        host.restart();
    }
    host.wait(third - rest);
    host.restart();
    let (early, connack) = host.connect(hello_lasting(Version::V5, "hall"));
    assert!(connack.session_present, "a second is left");
    host.cut(early);
    host.wait(3 * third - rest);
    host.restart();
    host.wait(rest);
    assert!(!host.connect(hello_lasting(Version::V5, "hall")).1.session_present);
}

#[test]
fn an_alias_is_not_what_makes_a_message_too_large() {
    let mut host = Host::new(Config::default());
    let with = |size| {
        let properties = Properties::new().with(Property::MaximumPacketSize, Value::Four(size));
        Connect {
            properties: properties.with(Property::TopicAliasMaximum, Value::Two(9)),
            ..hello(Version::V5, "hall")
        }
    };
    // Two bytes, the name, the identifier, no properties, the payload; an alias is three more.
    let payload = "on, and so it stays until the last one has left the hall";
    let bare = 2 + 2 + 5 + 2 + 1 + u32::try_from(payload.len()).unwrap();
    for (size, alias) in [(bare, None), (bare + 2, None), (bare + 3, Some(1))] {
        let (hall, _) = host.connect(with(size));
        host.subscribe(hall, "light", Qos::AtLeastOnce);
        let (switch, _) = host.connect(hello(Version::V5, "switch"));
        host.send(switch, publish("light", payload, 1, 1));
        let heard = host.next_publish(hall);
        assert_eq!((heard.topic.as_str(), heard.properties.topic_alias()), ("light", alias), "of {size} bytes");
    }
}

#[test]
fn a_window_is_never_exceeded_and_the_order_is_kept() {
    let mut host = Host::new(Config::default());
    let window = |connect: Connect| Connect {
        properties: connect.properties.with(Property::ReceiveMaximum, Value::Two(2)),
        ..connect
    };
    let (hall, _) = host.connect(window(hello_lasting(Version::V5, "hall")));
    host.subscribe(hall, "count", Qos::AtLeastOnce);
    host.cut(hall);
    let (switch, _) = host.connect(hello(Version::V5, "switch"));
    for payload in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        host.send(switch, publish("count", payload, 1, 1));
    }
    let (hall, _) = host.connect(window(hello_lasting(Version::V5, "hall")));
    for n in 0..8 {
        let heard = host.next_publish(hall);
        assert_eq!(heard.payload, n.to_string().as_bytes());
        if n == 1 {
            host.cut(hall);
            break;
        }
    }
    let (hall, _) = host.connect(window(hello_lasting(Version::V5, "hall")));
    let mut pending = Vec::new();
    for n in 0..8_usize {
        let heard = host.next_publish(hall);
        assert_eq!((heard.payload.as_ref(), heard.dup), (n.to_string().as_bytes(), n < 2));
        pending.push(heard.packet_identifier.expect("at QoS 1").get());
        if pending.len() == 2 {
            assert!(host.silent(hall), "a third message exceeds Receive Maximum");
            host.send(hall, ack(AckKind::PubAck, pending.remove(0)));
        }
    }
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_member_in_turn() {
    let mut host = Host::new(Config::default());
    let (a, _) = host.connect(hello(Version::V5, "a"));
    let (b, _) = host.connect(hello(Version::V5, "b"));
    host.subscribe(a, "$share/team/job", Qos::AtMostOnce);
    host.subscribe(b, "$share/team/job", Qos::AtMostOnce);
    let (boss, _) = host.connect(hello(Version::V5, "boss"));
    for job in ["1", "2", "3", "4"] {
        host.send(boss, publish("job", job, 0, 0));
    }
    assert_eq!(&host.next_publish(a).payload[..], b"1");
    assert_eq!(&host.next_publish(b).payload[..], b"2");
    assert_eq!(&host.next_publish(a).payload[..], b"3");
    assert_eq!(&host.next_publish(b).payload[..], b"4");
}

#[test]
fn a_filter_has_as_many_levels_as_allowed() {
    for (version, refused) in [(Version::V3_1_1, Reason::UnspecifiedError), (Version::V5, Reason::QuotaExceeded)] {
        let mut host = Host::new(Config { filter_levels_maximum: 3, ..Config::default() });
        let (hall, _) = host.connect(hello(version, "hall"));
        for (filter, granted) in [("a/+/#", Reason::Success), ("a/+/c/#", refused), ("$share/g/a/b/c", Reason::Success)]
        {
            let expected = match version {
                Version::V3_1_1 if filter.starts_with("$share") => refused, // a filter like any other, of five levels
                _ => granted,
            };
            assert_eq!(host.subscribe(hall, filter, Qos::AtMostOnce), [expected], "{filter} in {version}");
        }
    }
    let mut host = Host::new(Config::default());
    let (hall, _) = host.connect(hello(Version::V5, "hall"));
    let longest = "+/".repeat(32_767) + "+";
    assert_eq!(host.subscribe(hall, &longest, Qos::AtMostOnce), [Reason::QuotaExceeded]);
}

#[test]
fn a_wrong_password_is_refused_with_the_code_of_each_version() {
    for version in BOTH {
        let mut host = Host::new(Config::apollo());
        let id = host.open();
        host.send(id, hello(version, "stranger"));
        let Packet::ConnAck(connack) = host.next(id) else { panic!("no CONNACK") };
        assert_eq!(connack.reason, Reason::BadUserNameOrPassword);
        assert!(host.closed(id).is_some());
        let known =
            Connect { username: Some(text("admin")), password: Some("password".into()), ..hello(version, "known") };
        assert_eq!(host.connect(known).1.reason, Reason::Success);
    }
}

#[test]
fn scram_lets_in_who_knows_the_password_and_nobody_else() {
    let method = |data: Vec<u8>| {
        Properties::new()
            .with(Property::AuthenticationMethod, Value::Text(text(simrun::scram::METHOD)))
            .with(Property::AuthenticationData, Value::Binary(data.into()))
    };
    for (password, expected) in [("password", Reason::Success), ("guess", Reason::NotAuthorized)] {
        let mut host = Host::new(Config::apollo());
        let mut scram = simrun::scram::Client::new("admin", password, "fyko+d2lbbFgONRv9qkxdawL".to_owned());
        let id = host.open();
        host.send(id, Connect { properties: method(scram.first()), ..hello(Version::V5, "hall") });
        let Packet::Auth(challenge) = host.next(id) else { panic!("no AUTH") };
        assert_eq!(challenge.reason, Reason::ContinueAuthentication);
        let data = challenge.properties.authentication_data().expect("a challenge");
        let proof = method(scram.answer(&data).expect("a challenge of SCRAM"));
        host.send(id, Packet::Auth(Auth { reason: Reason::ContinueAuthentication, properties: proof }));
        let Packet::ConnAck(connack) = host.next(id) else { panic!("no CONNACK") };
        assert_eq!(connack.reason, expected);
        if expected == Reason::Success {
            let data = connack.properties.authentication_data().expect("the server's proof");
            assert_eq!(scram.verify(&data), Ok(()));
        }
    }
}

#[test]
fn a_session_that_ended_leaves_nothing_on_disk() {
    for version in BOTH {
        let mut host = Host::new(Config { durable: true, ..Config::default() });
        let (hall, _) = host.connect(hello_lasting(version, "hall"));
        host.subscribe(hall, "light", Qos::ExactlyOnce);
        let (switch, _) = host.connect(hello_lasting(version, "switch"));
        host.send(switch, publish("light", "on", 2, 1));
        host.cut(hall);
        host.send(switch, publish("light", "off", 2, 2));
        host.cut(switch);
        assert!(host.disk.len() >= 6, "{:?}", host.disk);
        for client_id in ["hall", "switch"] {
            // Taken up once more, but only for as long as the connection.
            let brief = Connect { clean_start: version == Version::V3_1_1, ..hello(version, client_id) };
            let (link, connack) = host.connect(brief);
            assert_eq!(connack.session_present, version == Version::V5);
            host.cut(link);
        }
        assert!(host.disk.is_empty(), "{:?}", host.disk);
    }
}
