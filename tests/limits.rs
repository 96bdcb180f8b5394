//! Everything that a peer could make the broker hold has a limit: each is met by going past it.

mod support;

use std::time::Duration;

use simrun::broker::{Config, Input};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use support::*;

fn limited(change: impl FnOnce(&mut Config)) -> Host {
    let mut config = Config::default();
    change(&mut config);
    Host::new(config)
}

/// Publishes at QoS 1 and passes over the answer.
fn say(host: &mut Host, link: LinkId, topic: &str, payload: &'static str) {
    host.send(link, publish(topic, payload, 1, 1));
    assert!(matches!(host.next(link), Packet::Ack(_)));
}

/// A session without a connection that is owed all there is under `light/#`.
fn absent(host: &mut Host, client_id: &str) {
    let (link, _) = host.connect(hello_lasting(Version::V5, client_id));
    host.subscribe(link, "light/#", Qos::AtLeastOnce);
    host.cut(link);
}

/// Comes back and counts what was kept.
fn kept(host: &mut Host, client_id: &str) -> usize {
    let (link, _) = host.connect(hello_lasting(Version::V5, client_id));
    let mut count = 0;
    while !host.silent(link) {
        let packet = host.next_publish(link).packet_identifier.expect("QoS 1");
        host.send(link, Ack::new(AckKind::PubAck, packet, Reason::Success));
        count += 1;
    }
    count
}

#[test]
fn connections_in_all_and_from_one_address() {
    let mut host = limited(|config| config.connections_maximum = 2);
    let links = [host.open(), host.open(), host.open()];
    assert_eq!(links.map(|link| host.closed(link).is_some()), [false, false, true]);
    host.cut(links[0]);
    let next = host.open();
    assert!(host.closed(next).is_none(), "there is room again");

    let mut host = limited(|config| config.connections_per_address_maximum = 2);
    let mut open = |from: &str| {
        let link = host.open_from(from);
        (link, host.closed(link).is_none())
    };
    let (first, _) = open("10.0.0.1:1");
    assert!(open("10.0.0.1:2").1 && !open("10.0.0.1:3").1 && open("10.0.0.2:3").1);
    host.cut(first);
    let link = host.open_from("10.0.0.1:4");
    assert!(host.closed(link).is_none(), "there is room again");
}

#[test]
fn messages_queued_for_a_session() {
    let mut host = limited(|config| config.queue_maximum = 3);
    absent(&mut host, "hall");
    let (porch, _) = host.connect(hello(Version::V5, "porch"));
    for _ in 0..5 {
        say(&mut host, porch, "light/porch", "on");
    }
    assert_eq!(kept(&mut host, "hall"), 3);
}

#[test]
fn bytes_queued_for_a_session_and_for_all() {
    // Each message counts as some two hundred bytes more than its payload.
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let mut one = limited(|config| config.queue_bytes_maximum = 4000);
    absent(&mut one, "hall");
    absent(&mut one, "porch");
    let mut all = limited(|config| config.all_queues_bytes_maximum = 4000);
    absent(&mut all, "hall");
    absent(&mut all, "porch");
    for (host, kept_by_each) in [(&mut one, [3, 3]), (&mut all, [2, 1])] {
        let (link, _) = host.connect(hello(Version::V5, "publisher"));
        for _ in 0..5 {
            say(host, link, "light/porch", long);
        }
        assert_eq!(["hall", "porch"].map(|name| kept(host, name)), kept_by_each);
        // What is delivered counts no more.
        for name in ["hall", "porch"] {
            absent(host, name);
        }
        for _ in 0..5 {
            say(host, link, "light/porch", long);
        }
        assert_eq!(["hall", "porch"].map(|name| kept(host, name)), kept_by_each);
    }
}

#[test]
fn a_message_larger_than_all_that_may_be_queued_is_queued_alone() {
    let long: &'static str = Box::leak("x".repeat(10_000).into_boxed_str());
    let mut host = limited(|config| config.queue_bytes_maximum = 4000);
    absent(&mut host, "hall");
    let (porch, _) = host.connect(hello(Version::V5, "porch"));
    say(&mut host, porch, "light/porch", long);
    say(&mut host, porch, "light/porch", "on");
    assert_eq!(kept(&mut host, "hall"), 1);
}

#[test]
fn what_is_sent_and_not_acknowledged_counts_too() {
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let mut host = limited(|config| config.queue_bytes_maximum = 4000);
    let (hall, _) = host.connect(hello(Version::V5, "hall"));
    host.subscribe(hall, "light/#", Qos::AtLeastOnce);
    let (porch, _) = host.connect(hello(Version::V5, "porch"));
    for _ in 0..5 {
        say(&mut host, porch, "light/porch", long);
    }
    let packets: Vec<_> =
        std::iter::from_fn(|| (!host.silent(hall)).then(|| host.next_publish(hall).packet_identifier.expect("QoS 1")))
            .collect();
    assert_eq!(packets.len(), 3);
    host.send(hall, Ack::new(AckKind::PubAck, packets[0], Reason::Success));
    say(&mut host, porch, "light/porch", long);
    assert!(!host.silent(hall), "there is room again");
}

#[test]
fn messages_of_all_queues_and_a_session_that_ends_owes_nothing() {
    let mut host = limited(|config| config.all_queues_maximum = 4);
    for round in 0..3 {
        absent(&mut host, "hall");
        let (porch, _) = host.connect(hello(Version::V5, "porch"));
        for _ in 0..6 {
            say(&mut host, porch, "light/porch", "on");
        }
        // A clean start ends the session with what was queued.
        let (link, _) = host.connect(hello(Version::V5, "hall"));
        host.cut(link);
        absent(&mut host, "hall");
        for _ in 0..6 {
            say(&mut host, porch, "light/porch", "on");
        }
        assert_eq!(kept(&mut host, "hall"), 4, "round {round}");
    }
}

#[test]
fn retained_messages_and_their_bytes() {
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let by_number = limited(|config| config.retained_maximum = 2);
    let by_bytes = limited(|config| config.retained_bytes_maximum = 3000);
    for mut host in [by_number, by_bytes] {
        let (porch, _) = host.connect(hello(Version::V5, "porch"));
        let retain = |host: &mut Host, topic: &str, payload| {
            host.send(porch, Publish { retain: true, ..publish(topic, payload, 0, 0) });
        };
        let mut count = 0;
        let mut there = |host: &mut Host| {
            count += 1;
            let (link, _) = host.connect(hello(Version::V5, &format!("reader-{count}")));
            host.subscribe(link, "light/#", Qos::AtMostOnce);
            let topics: Vec<String> =
                std::iter::from_fn(|| (!host.silent(link)).then(|| host.next_publish(link).topic.to_string()))
                    .collect();
            topics.join(" ")
        };
        for topic in ["light/a", "light/b", "light/c"] {
            retain(&mut host, topic, long);
        }
        assert_eq!(there(&mut host), "light/a light/b");
        retain(&mut host, "light/a", long);
        retain(&mut host, "light/b", "");
        retain(&mut host, "light/c", long);
        assert_eq!(there(&mut host), "light/a light/c", "one that is replaced or ended makes room");
    }
}

#[test]
fn subscriptions_of_a_session_and_levels_of_a_filter() {
    let mut host = limited(|config| (config.subscriptions_maximum, config.filter_levels_maximum) = (2, 3));
    let (hall, _) = host.connect(hello(Version::V5, "hall"));
    let mut ask = |filter: &str| host.subscribe(hall, filter, Qos::AtMostOnce)[0];
    assert_eq!(ask("a/b/c/d"), Reason::QuotaExceeded, "four levels");
    assert_eq!(
        ["a", "b", "a", "c"].map(&mut ask),
        [Reason::Success, Reason::Success, Reason::Success, Reason::QuotaExceeded]
    );
}

#[test]
fn unfinished_qos_2_in_both_versions() {
    for version in BOTH {
        let mut host = limited(|config| (config.receive_maximum, config.receive_maximum_3_1_1) = (2, 2));
        let (porch, _) = host.connect(hello(version, "porch"));
        for id in 1..=2 {
            host.send(porch, publish("light", "on", 2, id));
        }
        host.send(porch, Publish { dup: true, ..publish("light", "on", 2, 2) });
        assert!(host.closed(porch).is_none(), "one sent again is no new one");
        host.send(porch, publish("light", "on", 2, 3));
        let cause = host.closed(porch);
        assert!(matches!(cause, Some(Cause::Protocol(Reason::ReceiveMaximumExceeded, _))), "{cause:?}");
    }
}

#[test]
fn topic_aliases() {
    let mut host = limited(|config| config.topic_alias_maximum = 2);
    let (porch, connack) = host.connect(hello(Version::V5, "porch"));
    assert_eq!(connack.properties.topic_alias_maximum(), Some(2));
    let properties = Properties::new().with(Property::TopicAlias, Value::Two(3));
    host.send(porch, Publish { properties, ..publish("light", "on", 0, 0) });
    assert!(matches!(host.closed(porch), Some(Cause::Protocol(Reason::TopicAliasInvalid, _))));
}

#[test]
fn packets_that_are_too_large() {
    let mut host = limited(|config| config.maximum_packet_size = 100);
    let (porch, _) = host.connect(hello(Version::V5, "porch"));
    host.send_bytes(porch, &[0x30, 99]);
    assert!(matches!(host.closed(porch), Some(Cause::Malformed(_))), "at its head, before it is there");
}

#[test]
fn a_publish_rate() {
    for version in BOTH {
        let mut host = limited(|config| config.publish_rate_maximum = 10);
        let (porch, _) = host.connect(hello(version, "porch"));
        for _ in 0..3 {
            for _ in 0..10 {
                host.send(porch, publish("light", "on", 0, 0));
            }
            host.wait(Duration::from_secs(1));
        }
        assert!(host.closed(porch).is_none(), "ten a second are allowed");
        for _ in 0..11 {
            if host.closed(porch).is_none() {
                host.send(porch, publish("light", "on", 0, 0));
            }
        }
        assert!(matches!(host.closed(porch), Some(Cause::Protocol(Reason::MessageRateTooHigh, _))));
    }
}

#[test]
fn whoever_does_not_read_is_cut_after_a_while_and_whoever_reads_slowly_is_not() {
    let mut host = limited(|config| config.congestion_timeout = Duration::from_secs(60));
    let (deaf, _) = host.connect(hello(Version::V5, "deaf"));
    let (slow, _) = host.connect(hello(Version::V5, "slow"));
    host.input(Input::Congested(deaf));
    for _ in 0..3 {
        host.input(Input::Congested(slow));
        host.wait(Duration::from_secs(29));
        host.input(Input::Drained(slow));
    }
    assert_eq!(host.closed(deaf), Some(&Cause::Congested));
    assert!(host.closed(slow).is_none());
}

#[test]
fn a_byte_a_second_does_not_keep_a_connection_open() {
    let mut host = limited(|_| {});
    let link = host.open();
    for byte in b"\x10\x0e\0\x04MQTT\x05\x02\0\0" {
        host.send_bytes(link, &[*byte]);
        host.wait(Duration::from_secs(1));
    }
    assert_eq!(host.closed(link), Some(&Cause::ConnectTimeout));
    // Neither after CONNECT: whole packets count.
    let (link, _) = host.connect(Connect { keep_alive: 4, ..hello(Version::V5, "porch") });
    for byte in [0x30, 10, 0, 1, b'a', 0, 0] {
        host.send_bytes(link, &[byte]);
        host.wait(Duration::from_secs(1));
    }
    assert_eq!(host.closed(link), Some(&Cause::KeepAlive));
}

#[test]
fn what_waits_for_a_disk_is_counted_in_bytes() {
    let long: &'static str = Box::leak("x".repeat(1000).into_boxed_str());
    let mut host = limited(|config| config.durable = true);
    let (hall, _) = host.connect(hello(Version::V5, "hall"));
    host.subscribe(hall, "light/#", Qos::AtMostOnce);
    let (porch, _) = host.connect(hello(Version::V5, "porch"));
    assert_eq!(host.broker.waiting_bytes(), 0);
    host.disk_answers = false;
    host.send(porch, Publish { retain: true, ..publish("light/porch", "on", 1, 1) });
    // At QoS 0 nothing is promised, but order is kept: it waits behind what was stored.
    for _ in 0..10 {
        host.send(porch, publish("light/porch", long, 0, 0));
    }
    let waiting = host.broker.waiting_bytes();
    assert!((10_000..11_000).contains(&waiting), "{waiting}");
    host.cut(hall);
    assert!(host.broker.waiting_bytes() < 100, "{}", host.broker.waiting_bytes());
}
