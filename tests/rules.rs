//! The rules on real runs: in no shipped scenario does our broker or client break a statement, and the scenarios between
//! them exercise most that the rules watch.

mod support;

use std::collections::BTreeSet;

use simrun::codec::{
    Ack, AckKind, ConnAck, Connect, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Reason, Subscribe,
    Subscription, SubscriptionOptions, Text, UnsubAck, Value, Version, encode,
};
use simrun::link::LinkId;
use simrun::rules::{Id, Role, Vantage, judge, statements, watched};
use simrun::scenario::read;
use simrun::sim::{Engine, run, watch};
use simrun::time::Time;
use simrun::trace::{Event, Transfer, What};
use support::scenarios::shipped;

#[test]
fn no_shipped_scenario_breaks_a_statement() {
    let mut breaches = Vec::new();
    let mut exercised = BTreeSet::new();
    for file in shipped() {
        let scenario = read(&file).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
        for engine in [Engine::Direct, Engine::Turmoil] {
            let run = run(&scenario, scenario.seed, engine);
            for (id, finding) in watch(&scenario, &run.trace) {
                exercised.insert(id);
                for breach in finding.breaches {
                    breaches.push(format!(
                        "{} on {engine}: {id} at event {}: {}",
                        file.display(),
                        breach.event,
                        breach.why
                    ));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    assert!(exercised.len() > 100, "the scenarios exercise only {} statements", exercised.len());
}

/// The one program that is meant to break a statement, seen as any other.
#[test]
fn a_mad_program_is_seen() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/mad_program.yaml");
    let scenario = read(file.as_ref()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let run = run(&scenario, scenario.seed, Engine::Direct);
    let findings = judge(&run.trace, Role::Client, Vantage::Both);
    let broken: Vec<String> =
        findings.iter().filter(|(_, finding)| !finding.breaches.is_empty()).map(|(id, _)| id.to_string()).collect();
    assert_eq!(broken, ["v3.1.1/MQTT-3.3.1-4"]);
}

#[test]
fn every_rule_names_statements_that_exist() {
    for role in [Role::Server, Role::Client] {
        assert!(watched(role).len() > 60, "{role:?}: {}", watched(role).len());
    }
    let all: Vec<Id> = [Version::V3_1_1, Version::V5].into_iter().flat_map(statements::all).map(|s| s.id).collect();
    assert_eq!(all.len(), 392);
    assert!(all.iter().all(|id| Id::named(id.name()) == Some(*id)));
}

// --- what is held against whom ----------------------------------------------------------------------------------------

const CLIENT: &str = "client";
const BROKER: &str = "broker";

/// The trace of a client's connections, packet by packet; who is judged was seen from the other side.
struct Talk {
    version: Version,
    link: u64,
    trace: Vec<Event>,
}

impl Talk {
    fn new(version: Version) -> Talk {
        Talk { version, link: 0, trace: Vec::new() }
    }

    fn note(&mut self, what: What) {
        self.trace.push(Event { time: Time::ZERO, what });
    }

    fn says(&mut self, from: &str, packet: &Packet) {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).expect("a packet of the standard");
        let to = if from == CLIENT { BROKER } else { CLIENT };
        let (link, version, bytes) = (LinkId(self.link), self.version, bytes.into());
        let transfer = Transfer { link, from: from.into(), to: to.into(), version, bytes };
        self.note(What::Left(transfer.clone()));
        self.note(What::Arrived(transfer));
    }

    /// A new connection for a session that lasts, up to its CONNACK.
    fn connects(&mut self, session_present: bool, properties: Properties) {
        self.asks(self.link + 1, properties);
        self.answers(Reason::Success, session_present);
    }

    /// A new connection up to its CONNECT.
    fn asks(&mut self, link: u64, properties: Properties) {
        self.link = link;
        self.note(What::Opened { link: LinkId(self.link), client: CLIENT.into(), broker: BROKER.into() });
        let connect = Connect {
            version: self.version,
            clean_start: false,
            keep_alive: 60,
            client_id: Text::literal("c"),
            will: None,
            username: None,
            password: None,
            properties,
        };
        self.says(CLIENT, &Packet::Connect(Box::new(connect)));
    }

    fn answers(&mut self, reason: Reason, session_present: bool) {
        let properties = Properties::new();
        self.says(BROKER, &Packet::ConnAck(ConnAck { session_present, reason, properties }));
    }

    fn publishes(&mut self, from: &str, topic: &'static str, qos: Qos, id: u16, dup: bool) {
        let (topic, packet_identifier) = (Text::literal(topic), PacketIdentifier::new(id));
        self.says(from, &Packet::Publish(Publish { topic, qos, packet_identifier, dup, ..Publish::default() }));
    }

    fn acknowledges(&mut self, from: &str, kind: AckKind, id: u16) {
        self.says(from, &Packet::Ack(Ack::new(kind, number(id), Reason::Success)));
    }

    fn subscribes(&mut self, filter: &'static str) {
        let (filter, options) = (Text::literal(filter), SubscriptionOptions::default());
        let subscriptions = vec![Subscription { filter, options }];
        let (packet_identifier, properties) = (number(1), Properties::new());
        self.says(CLIENT, &Packet::Subscribe(Subscribe { packet_identifier, properties, subscriptions }));
    }

    /// The statements that this role has broken.
    fn broken(&self, role: Role) -> Vec<&'static str> {
        let findings = judge(&self.trace, role, Vantage::Opposite);
        findings.iter().filter(|(_, finding)| !finding.breaches.is_empty()).map(|(id, _)| id.name()).collect()
    }
}

fn number(id: u16) -> PacketIdentifier {
    PacketIdentifier::new(id).expect("not 0")
}

/// A client whose server has lost the session goes on with it, as 3.1.1 allows (3.2.2.2). In 5.0 that is a breach of
/// 3.2.2-5, which cases judge; packet identifiers and DUP are as they should be in both.
#[test]
fn going_on_with_a_lost_session_breaks_no_other_statement() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut talk = Talk::new(version);
        talk.connects(false, Properties::new());
        talk.publishes(CLIENT, "a", Qos::AtLeastOnce, 1, false);
        talk.publishes(CLIENT, "a", Qos::ExactlyOnce, 2, false);
        talk.acknowledges(BROKER, AckKind::PubRec, 2);
        talk.acknowledges(CLIENT, AckKind::PubRel, 2);
        talk.connects(false, Properties::new());
        talk.publishes(CLIENT, "a", Qos::AtLeastOnce, 1, true);
        talk.acknowledges(CLIENT, AckKind::PubRel, 2);
        assert_eq!(talk.broken(Role::Client), Vec::<&str>::new());
        // What was never begun is another matter.
        talk.publishes(CLIENT, "a", Qos::AtLeastOnce, 3, true);
        talk.acknowledges(CLIENT, AckKind::PubRel, 4);
        let broken: &[&str] = match version {
            Version::V3_1_1 => &["v3.1.1/MQTT-2.3.1-6"],
            Version::V5 => &["v5/MQTT-2.2.1-5", "v5/MQTT-4.3.2-2"],
        };
        assert_eq!(talk.broken(Role::Client), broken);
    }
}

/// Who begins anew with a message of a lost session whose PUBREL was sent may call it a repeat.
#[test]
fn a_released_message_of_a_lost_session_may_have_dup() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut talk = Talk::new(version);
        talk.connects(false, Properties::new());
        talk.publishes(CLIENT, "a", Qos::ExactlyOnce, 2, false);
        talk.acknowledges(BROKER, AckKind::PubRec, 2);
        talk.acknowledges(CLIENT, AckKind::PubRel, 2);
        talk.connects(false, Properties::new());
        talk.publishes(CLIENT, "a", Qos::ExactlyOnce, 2, true);
        assert_eq!(talk.broken(Role::Client), Vec::<&str>::new());
    }
}

/// What still arrives on a connection after another asked for its client identifier may come too late: the trace does not
/// show whether the server took it in. If it refuses the other connection, it did.
#[test]
fn an_acknowledgement_on_a_displaced_connection_may_come_too_late() {
    let breaches = |asked: bool, accepted: bool, dup: bool| {
        let mut talk = Talk::new(Version::V3_1_1);
        talk.connects(false, Properties::new());
        talk.subscribes("a");
        talk.publishes(BROKER, "a", Qos::AtLeastOnce, 1, false);
        if asked {
            talk.asks(2, Properties::new());
            if !accepted {
                talk.answers(Reason::NotAuthorized, false);
            }
            talk.link = 1;
        }
        talk.acknowledges(CLIENT, AckKind::PubAck, 1);
        if !(asked && accepted) {
            talk.asks(2, Properties::new());
        }
        talk.link = 2;
        talk.answers(Reason::Success, true);
        talk.publishes(BROKER, "a", Qos::AtLeastOnce, 1, dup);
        talk.broken(Role::Server)
    };
    let none = Vec::<&str>::new();
    assert_eq!(breaches(true, true, true), none, "the same message again");
    assert_eq!(breaches(true, true, false), none, "another message");
    assert_eq!(breaches(true, false, true), ["v3.1.1/MQTT-3.3.1-3"], "the other connection was refused");
    assert_eq!(breaches(false, false, true), ["v3.1.1/MQTT-3.3.1-3"], "no other connection had asked");
}

/// Nobody is sent what he never subscribed to; what he no longer wants may be on its way.
#[test]
fn messages_that_nobody_asked_for_are_seen() {
    let broken: [(Version, &[&str]); 2] =
        [(Version::V3_1_1, &["v3.1.1/MQTT-3.3.2-3"]), (Version::V5, &["v5/MQTT-3.3.2-3"])];
    for (version, broken) in broken {
        let mut talk = Talk::new(version);
        talk.connects(false, Properties::new());
        talk.subscribes("light/+");
        talk.publishes(BROKER, "light/hall", Qos::AtMostOnce, 0, false);
        talk.connects(true, Properties::new());
        talk.publishes(BROKER, "light/hall", Qos::AtMostOnce, 0, false);
        assert_eq!(talk.broken(Role::Server), Vec::<&str>::new());
        let (mut other, mut lost) = (Talk { trace: talk.trace.clone(), ..talk }, talk);
        other.publishes(BROKER, "light/hall/lamp", Qos::AtMostOnce, 0, false);
        assert_eq!(other.broken(Role::Server), broken, "another topic");
        lost.connects(false, Properties::new());
        lost.publishes(BROKER, "light/hall", Qos::AtMostOnce, 0, false);
        // In 3.1.1 it is not over: the server only says so.
        let broken = if version == Version::V5 { broken } else { &[] };
        assert_eq!(lost.broken(Role::Server), broken, "a session that is over");
    }
}

/// A server of 3.1.1 that denies the session with which it goes on has one thing wrong, which cases judge.
#[test]
fn going_on_with_a_denied_session_breaks_no_other_statement() {
    let mut talk = Talk::new(Version::V3_1_1);
    talk.connects(false, Properties::new());
    talk.subscribes("a");
    talk.publishes(BROKER, "a", Qos::ExactlyOnce, 1, false);
    talk.acknowledges(CLIENT, AckKind::PubRec, 1);
    talk.acknowledges(BROKER, AckKind::PubRel, 1);
    talk.connects(false, Properties::new());
    talk.acknowledges(BROKER, AckKind::PubRel, 1);
    talk.publishes(BROKER, "a", Qos::AtMostOnce, 0, false);
    assert_eq!(talk.broken(Role::Server), Vec::<&str>::new());
    talk.acknowledges(BROKER, AckKind::PubRel, 2);
    talk.publishes(BROKER, "b", Qos::AtMostOnce, 0, false);
    assert_eq!(talk.broken(Role::Server), ["v3.1.1/MQTT-2.3.1-6", "v3.1.1/MQTT-3.3.2-3"]);
}

/// An UNSUBACK that nothing asked for is held against what speaks of UNSUBACK.
#[test]
fn an_unsuback_says_nothing_of_subacks() {
    for (version, broken) in [(Version::V3_1_1, "v3.1.1/MQTT-2.3.1-7"), (Version::V5, "v5/MQTT-2.2.1-6")] {
        let mut talk = Talk::new(version);
        talk.connects(false, Properties::new());
        let reasons = if version == Version::V5 { vec![Reason::Success] } else { Vec::new() };
        let (packet_identifier, properties) = (number(1), Properties::new());
        talk.says(BROKER, &Packet::UnsubAck(UnsubAck { packet_identifier, properties, reasons }));
        assert_eq!(talk.broken(Role::Server), [broken]);
    }
}

/// An empty topic without an alias is held against who sends it, and not taken for an error that he overlooked.
#[test]
fn an_empty_topic_is_its_senders() {
    for role in [Role::Server, Role::Client] {
        let mut talk = Talk::new(Version::V5);
        talk.connects(false, Properties::new());
        let (from, to) = if role == Role::Server { (BROKER, CLIENT) } else { (CLIENT, BROKER) };
        let (link, version, bytes) = (LinkId(talk.link), Version::V5, vec![0x30, 3, 0, 0, 0].into());
        let transfer = Transfer { link, from: from.into(), to: to.into(), version, bytes };
        talk.note(What::Arrived(transfer));
        assert_eq!(talk.broken(role), ["v5/MQTT-4.7.3-1"]);
    }
}

/// One message too many breaks the rule on the first quota only as long as nothing was answered.
#[test]
fn the_first_quota_is_that_before_the_first_answer() {
    for (answered, broken) in [
        (false, vec!["v5/MQTT-3.3.4-9", "v5/MQTT-4.9.0-1", "v5/MQTT-4.9.0-2"]),
        (true, vec!["v5/MQTT-3.3.4-9", "v5/MQTT-4.9.0-2"]),
    ] {
        let mut talk = Talk::new(Version::V5);
        talk.connects(false, Properties::new().with(Property::ReceiveMaximum, Value::Two(1)));
        talk.subscribes("a");
        if answered {
            talk.publishes(BROKER, "a", Qos::AtLeastOnce, 1, false);
            talk.acknowledges(CLIENT, AckKind::PubAck, 1);
        }
        talk.publishes(BROKER, "a", Qos::AtLeastOnce, 2, false);
        assert_eq!(talk.broken(Role::Server), Vec::<&str>::new());
        talk.publishes(BROKER, "a", Qos::AtLeastOnce, 3, false);
        assert_eq!(talk.broken(Role::Server), broken);
    }
}
