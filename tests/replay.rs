//! A new subscription may match a great many retained messages: they come in portions, between which others are served.

mod support;

use simrun::broker::{Config, Input};
use simrun::codec::*;
use simrun::link::LinkId;
use support::*;

const ALL: usize = 1000;

/// A broker with so many retained messages that they are more than one portion, one topic beside them, and a subscriber to
/// all; what it heard of them at once.
fn begun(qos: Qos) -> (Host, LinkId, Vec<String>) {
    let mut host = Host::new(Config::default());
    let (sensor, _) = host.connect(hello(Version::V5, "sensor"));
    for number in 0..ALL {
        host.send(sensor, Publish { retain: true, ..publish(&format!("t/{number:04}"), "on", 0, 0) });
    }
    host.send(sensor, Publish { retain: true, ..publish("$t", "hidden", 0, 0) });
    let (hall, _) = host.connect(hello(Version::V5, "hall"));
    assert_eq!(host.subscribe(hall, "#", qos).len(), 1);
    let heard = hear(&mut host, hall);
    (host, hall, heard)
}

fn hear(host: &mut Host, link: LinkId) -> Vec<String> {
    std::iter::from_fn(|| (!host.silent(link)).then(|| host.next_publish(link).topic.to_string())).collect()
}

fn is_due(host: &Host) -> bool {
    host.broker.next_timeout() == Some(host.now)
}

/// What comes as long as there is more to do at once.
fn hear_all(host: &mut Host, link: LinkId) -> Vec<String> {
    let mut heard = Vec::new();
    while is_due(host) {
        host.input(Input::Timeout);
        heard.extend(hear(host, link));
    }
    heard
}

#[test]
fn all_come_in_order_and_others_are_served_between() {
    let (mut host, hall, mut heard) = begun(Qos::AtMostOnce);
    assert!(heard.len() < ALL / 2, "{} at once", heard.len());
    let (other, _) = host.connect(hello(Version::V5, "other"));
    host.send(other, Packet::PingReq);
    assert_eq!(host.next(other), Packet::PingResp);
    heard.extend(hear_all(&mut host, hall));
    assert_eq!(heard, (0..ALL).map(|number| format!("t/{number:04}")).collect::<Vec<_>>());
}

#[test]
fn a_connection_that_takes_no_more_loses_nothing() {
    let (mut host, hall, mut heard) = begun(Qos::AtMostOnce);
    host.input(Input::Congested(hall));
    while is_due(&host) {
        host.input(Input::Timeout);
    }
    assert!(host.silent(hall));
    host.input(Input::Drained(hall));
    heard.extend(hear_all(&mut host, hall));
    assert_eq!(heard.len(), ALL);
}

#[test]
fn they_end_with_the_subscription_and_with_the_connection() {
    let (mut host, hall, _) = begun(Qos::AtMostOnce);
    let filters = vec![text("#")];
    host.send(hall, Unsubscribe { packet_identifier: pid(2), properties: Properties::new(), filters });
    assert!(matches!(host.next(hall), Packet::UnsubAck(_)));
    host.input(Input::Timeout);
    assert!(host.silent(hall) && !is_due(&host));

    let (mut host, hall, _) = begun(Qos::AtMostOnce);
    host.cut(hall);
    host.input(Input::Timeout);
    assert!(!is_due(&host));
}

#[test]
fn who_subscribes_again_meanwhile_hears_all_from_the_beginning() {
    let (mut host, hall, _) = begun(Qos::AtMostOnce);
    host.subscribe(hall, "#", Qos::AtMostOnce);
    let mut heard = hear(&mut host, hall);
    heard.extend(hear_all(&mut host, hall));
    assert_eq!(heard.len(), ALL);
}

/// What is owed is owed from the SUBACK on.
#[test]
fn at_qos_1_they_are_taken_at_once() {
    let (host, _, heard) = begun(Qos::AtLeastOnce);
    assert_eq!(heard.len(), ALL);
    assert!(!is_due(&host));
}
