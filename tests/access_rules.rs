//! Access rules: who may publish and subscribe to what, in both versions.

mod support;

use proptest::prelude::*;
use simrun::broker::{AccessRule, Action, Config};
use simrun::codec::*;
use simrun::topic::{TopicFilter, TopicName};
use support::*;

const ANYTHING: AccessRule = AccessRule { user: None, client_id: None, action: None, filter: None, allow: false };

fn filter(string: &str) -> Option<TopicFilter> {
    Some(TopicFilter::try_from(string).expect("a filter"))
}

fn host(access: Vec<AccessRule>) -> Host {
    Host::new(Config { access, ..Config::default() })
}

/// Connects as this user.
fn hello_as(version: Version, client_id: &str, user: &str) -> Connect {
    Connect { username: Some(text(user)), ..hello(version, client_id) }
}

fn refusal(version: Version) -> Reason {
    match version {
        Version::V3_1_1 => Reason::UnspecifiedError,
        Version::V5 => Reason::NotAuthorized,
    }
}

/// Publishes at QoS 1; the reason code of the answer. What else is heard is passed over.
fn publish_once(host: &mut Host, link: simrun::link::LinkId, topic: &str) -> Reason {
    host.send(link, publish(topic, "on", 1, 1));
    let mut reason = None;
    while !host.silent(link) {
        if let Packet::Ack(ack) = host.next(link) {
            reason = Some(ack.reason);
        }
    }
    reason.expect("PUBACK")
}

/// The answer to a PUBLISH that may not be: 3.1.1 cannot say so.
fn refused(version: Version, kind: AckKind, id: u16) -> Packet {
    if version == Version::V3_1_1 {
        return Packet::Ack(ack(kind, id));
    }
    let properties = Properties::new().with(Property::ReasonString, text("not authorized"));
    Packet::Ack(Ack { properties, ..Ack::new(kind, pid(id), Reason::NotAuthorized) })
}

#[test]
fn a_failure_is_not_explained_to_a_client_that_does_not_want_to_know() {
    let mut host = host(vec![ANYTHING]);
    let properties = Properties::new().with(Property::RequestProblemInformation, 0_u8);
    let (thief, _) = host.connect(Connect { properties, ..hello(Version::V5, "thief") });
    host.send(thief, publish("door/front", "open", 1, 1));
    assert_eq!(host.next(thief), Packet::Ack(Ack::new(AckKind::PubAck, pid(1), Reason::NotAuthorized)));
}

#[test]
fn a_forbidden_publish_is_answered_and_goes_nowhere() {
    for version in BOTH {
        let rule = AccessRule { action: Some(Action::Publish), filter: filter("door/#"), ..ANYTHING };
        let mut host = host(vec![rule]);
        let (watcher, _) = host.connect(hello(version, "watcher"));
        host.subscribe(watcher, "#", Qos::ExactlyOnce);
        let (thief, _) = host.connect(hello(version, "thief"));
        host.send(thief, publish("door/front", "open", 0, 0));
        assert!(host.silent(thief));
        host.send(thief, Publish { retain: true, ..publish("door/front", "open", 1, 1) });
        assert_eq!(host.next(thief), refused(version, AckKind::PubAck, 1));
        host.send(thief, publish("door/front", "open", 2, 2));
        assert_eq!(host.next(thief), refused(version, AckKind::PubRec, 2));
        if version == Version::V3_1_1 {
            // Nothing tells the client of 3.1.1, so it goes on as usual.
            host.send(thief, ack(AckKind::PubRel, 2));
            assert_eq!(host.next(thief), Packet::Ack(ack(AckKind::PubComp, 2)));
        }
        host.send(thief, publish("window", "open", 0, 0));
        assert_eq!(host.next_publish(watcher).topic, "window");
        assert!(host.silent(watcher) && host.closed(thief).is_none());
        host.subscribe(watcher, "door/front", Qos::ExactlyOnce);
        assert!(host.silent(watcher), "it was retained");
    }
}

#[test]
fn a_forbidden_will_goes_nowhere() {
    for version in BOTH {
        let mut host = host(vec![AccessRule { filter: filter("door/#"), action: Some(Action::Publish), ..ANYTHING }]);
        let (watcher, _) = host.connect(hello(version, "watcher"));
        host.subscribe(watcher, "#", Qos::AtMostOnce);
        for (topic, heard) in [("door/front", false), ("window", true)] {
            let will = Will { topic: text(topic), payload: "gone".into(), ..Will::default() };
            let (thief, _) = host.connect(Connect { will: Some(will), ..hello(version, "thief") });
            host.cut(thief);
            assert_eq!(!host.silent(watcher), heard, "{topic}");
        }
    }
}

#[test]
fn a_forbidden_subscription_is_refused_and_the_others_of_its_packet_are_not() {
    for version in BOTH {
        let mut host = host(vec![AccessRule { filter: filter("door/+"), action: Some(Action::Subscribe), ..ANYTHING }]);
        let (hall, _) = host.connect(hello(version, "hall"));
        let options = SubscriptionOptions { qos: Qos::AtLeastOnce, ..SubscriptionOptions::default() };
        let wanted = ["window", "door/front", "door/+", "light"];
        let subscriptions = wanted.map(|filter| Subscription { filter: text(filter), options }).to_vec();
        host.send(hall, Subscribe { packet_identifier: pid(1), properties: Properties::new(), subscriptions });
        let Packet::SubAck(suback) = host.next(hall) else { panic!("no SUBACK") };
        let (yes, no) = (Reason::GrantedQos1, refusal(version));
        assert_eq!(suback.reasons, [yes, no, no, yes]);
        host.send(hall, publish("door/front", "open", 0, 0));
        assert!(host.silent(hall));
    }
}

#[test]
fn a_filter_that_matches_more_than_a_client_may_hear_brings_the_rest() {
    for version in BOTH {
        let mut host = host(vec![AccessRule { filter: filter("door/#"), client_id: Some("hall".into()), ..ANYTHING }]);
        let (porch, _) = host.connect(hello(version, "porch"));
        host.send(porch, Publish { retain: true, ..publish("door/front", "open", 0, 0) });
        host.send(porch, Publish { retain: true, ..publish("window", "open", 0, 0) });
        let (hall, _) = host.connect(hello(version, "hall"));
        assert_eq!(host.subscribe(hall, "#", Qos::AtMostOnce), [Reason::Success]);
        assert_eq!(host.next_publish(hall).topic, "window");
        assert!(host.silent(hall), "a retained message");
        host.send(porch, publish("door/front", "shut", 0, 0));
        assert!(host.silent(hall), "a live message");
        host.send(porch, publish("window", "shut", 0, 0));
        assert_eq!(host.next_publish(hall).topic, "window");
    }
}

#[test]
fn a_shared_subscription_gives_a_message_to_a_member_that_may_hear_it() {
    let mut host = host(vec![AccessRule { filter: filter("door/front"), client_id: Some("a".into()), ..ANYTHING }]);
    let (a, _) = host.connect(hello(Version::V5, "a"));
    let (b, _) = host.connect(hello(Version::V5, "b"));
    for member in [a, b] {
        host.subscribe(member, "$share/group/door/+", Qos::AtMostOnce);
    }
    for _ in 0..3 {
        host.send(b, publish("door/front", "open", 0, 0));
        assert_eq!(host.next_publish(b).topic, "door/front");
        assert!(host.silent(a));
    }
    assert_eq!(host.subscribe(a, "$share/group/door/front", Qos::AtMostOnce), [Reason::NotAuthorized]);
}

#[test]
fn the_first_rule_that_applies_decides_by_user_and_client_identifier() {
    for version in BOTH {
        let allow = |user: Option<&str>, client_id: Option<&str>, of: Option<&str>| AccessRule {
            user: user.map(str::to_owned),
            client_id: client_id.map(str::to_owned),
            filter: of.and_then(filter),
            allow: true,
            ..ANYTHING
        };
        let mut host = host(vec![
            allow(Some("admin"), None, None),
            allow(None, Some("lamp"), Some("light/#")),
            AccessRule { filter: filter("light/porch"), ..ANYTHING },
            AccessRule { action: Some(Action::Publish), ..allow(None, None, Some("light/+")) },
            ANYTHING,
        ]);
        let clients = [
            (hello_as(version, "any", "admin"), [("light/porch", true), ("light/hall", true), ("$other", false)]),
            (hello(version, "lamp"), [("light/porch", true), ("light/hall", true), ("door", false)]),
            (hello_as(version, "other", "guest"), [("light/porch", false), ("light/hall", true), ("door", false)]),
        ];
        for (connect, publishes) in clients {
            let (link, _) = host.connect(connect.clone());
            let is_admin = connect.username.as_deref() == Some("admin");
            let hears = is_admin || &*connect.client_id == "lamp";
            let granted = if hears { Reason::Success } else { refusal(version) };
            assert_eq!(host.subscribe(link, "light/hall", Qos::AtMostOnce), [granted]);
            // 3.1.1 does not tell.
            for (topic, may) in publishes.into_iter().filter(|_| version == Version::V5) {
                let refused = publish_once(&mut host, link, topic).is_error();
                assert_eq!(!refused, may, "{} to {topic}", connect.client_id);
            }
        }
    }
}

#[test]
fn topics_that_begin_with_a_dollar_are_covered_by_a_rule_without_a_filter() {
    for version in BOTH {
        let mut host = host(vec![ANYTHING]);
        let (hall, _) = host.connect(hello(version, "hall"));
        for wanted in ["$SYS/#", "#", "$SYS/broker/uptime"] {
            assert_eq!(host.subscribe(hall, wanted, Qos::AtMostOnce), [refusal(version)]);
        }
    }
}

proptest! {
    #[test]
    fn a_filter_covers_another_only_if_it_matches_all_that_the_other_does(
        one in "(\\$|a|b|\\+)(/(a|b|\\+)){0,2}(/#)?|#",
        other in "(\\$|a|b|\\+)(/(a|b|\\+)){0,2}(/#)?|#",
    ) {
        let [one, other] = [one, other].map(|of| TopicFilter::try_from(of.as_str()).expect("a filter"));
        // Deep enough to tell them apart; `c` stands for whatever neither names.
        let words = ["$", "a", "b", "c"];
        let mut names: Vec<String> = words.map(str::to_owned).to_vec();
        let mut deepest = names.clone();
        for _ in 0..3 {
            deepest = deepest.iter().flat_map(|name| words.map(|word| format!("{name}/{word}"))).collect();
            names.extend(deepest.iter().cloned());
        }
        let names = names.iter().map(|name| TopicName::try_from(name.as_str()).expect("a name"));
        let all = names.clone().filter(|name| other.matches(name)).all(|name| one.matches(&name));
        let exception = one.as_str() == "+/#" && other.as_str() == "#";
        prop_assert_eq!(one.covers(&other), all && !exception);
    }
}
