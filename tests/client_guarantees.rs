//! What a client does where the server, the network or its owner goes wrong, each against a server of strings.

use std::time::Duration;

use bytes::Bytes;
use simrun::client::{Backoff, Client, Config, Credentials, Event, Input, Output, Refused, Token};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use simrun::scram;
use simrun::time::Time;

/// A client, and what came out of it.
struct Desk {
    client: Client,
    now: Time,
    version: Version,
    link: LinkId,
    sent: Vec<Packet>,
    events: Vec<Event>,
    closed: Option<Cause>,
    dials: Vec<Time>,
}

impl Desk {
    fn new(config: Config) -> Desk {
        Desk {
            version: config.version,
            client: Client::new(config),
            now: Time::ZERO,
            link: LinkId(0),
            sent: Vec::new(),
            events: Vec::new(),
            closed: None,
            dials: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        self.client.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Dial(link) => {
                    self.link = link;
                    self.closed = None;
                    self.dials.push(self.now);
                }
                Output::Send(link, frame) => {
                    assert_eq!((link, &self.closed), (self.link, &None), "sent on a connection that is closed");
                    self.sent.push(decode(self.version, &frame.to_bytes()).expect("the client sends valid packets"));
                }
                Output::Close(link, cause) => {
                    assert_eq!(link, self.link);
                    self.closed = Some(cause);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn hear(&mut self, packet: Packet) {
        let mut bytes = Vec::new();
        encode(&packet, self.version, &mut bytes).expect("the test sends valid packets");
        self.input(Input::Received(self.link, bytes.into()));
    }

    fn ack(&mut self, kind: AckKind, id: u16) {
        self.hear(Packet::Ack(Ack::new(kind, pid(id), Reason::Success)));
    }

    /// Connects and accepts; what the CONNECT was, and forgets what was told of it.
    fn connect(&mut self, session_present: bool, properties: Properties) -> Connect {
        if self.client.is_resting() {
            self.input(Input::Connect);
        }
        while self.dials.is_empty() {
            self.wait(Duration::from_millis(100));
        }
        self.dials.clear();
        self.accept(session_present, properties)
    }

    fn accept(&mut self, session_present: bool, properties: Properties) -> Connect {
        self.input(Input::Dialed(self.link));
        let Some(Packet::Connect(connect)) = self.sent.pop() else { panic!("no CONNECT") };
        assert!(self.sent.is_empty(), "{:?} before CONNACK", self.sent);
        self.hear(Packet::ConnAck(ConnAck { session_present, reason: Reason::Success, properties }));
        assert!(self.client.is_connected(), "{:?}", self.events);
        self.events.clear();
        *connect
    }

    fn cut(&mut self) {
        self.input(Input::Closed(self.link, Cause::Reset));
        self.sent.clear();
        self.events.clear();
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.client.next_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    fn publish(&mut self, topic: &'static str, qos: u8) -> Token {
        self.try_publish(message(topic, qos)).expect("may be published")
    }

    fn try_publish(&mut self, publish: Publish) -> Result<Token, Refused> {
        let outcome = self.client.publish(self.now, publish);
        self.drain();
        outcome
    }

    fn subscribe(&mut self, filter: &'static str, options: SubscriptionOptions) -> Result<Token, Refused> {
        let subscription = Subscription { filter: Text::literal(filter), options };
        let outcome = self.client.subscribe(self.now, vec![subscription], Properties::new());
        self.drain();
        outcome
    }

    /// What was sent since the last look, in short.
    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).iter().map(short).collect()
    }
}

fn short(packet: &Packet) -> String {
    match packet {
        Packet::Publish(p) => {
            let id = p.packet_identifier.map_or(0, PacketIdentifier::get);
            let alias = p.properties.topic_alias().map_or(String::new(), |alias| format!(" alias {alias}"));
            format!("PUBLISH {id} {}{}{alias}", p.topic, if p.dup { " dup" } else { "" })
        }
        Packet::Ack(ack) if ack.reason == Reason::Success => {
            format!("{} {}", packet.packet_type(), ack.packet_identifier)
        }
        Packet::Ack(ack) => format!("{} {} 0x{:02X}", packet.packet_type(), ack.packet_identifier, ack.reason.code()),
        Packet::Subscribe(s) => {
            let filters: Vec<_> = s.subscriptions.iter().map(|s| s.filter.to_string()).collect();
            format!("SUBSCRIBE {} {}", s.packet_identifier, filters.join(" "))
        }
        Packet::Disconnect(d) => format!("DISCONNECT 0x{:02X}", d.reason.code()),
        other => other.packet_type().to_string(),
    }
}

fn pid(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not zero")
}

fn message(topic: &'static str, qos: u8) -> Publish {
    let qos = Qos::from_number(qos).expect("0 to 2");
    Publish { topic: Text::literal(topic), qos, payload: Bytes::from_static(b"x"), ..Publish::default() }
}

fn incoming(topic: &'static str, qos: u8, id: u16) -> Packet {
    Packet::Publish(Publish { packet_identifier: (qos > 0).then(|| pid(id)), ..message(topic, qos) })
}

/// A client with a session that lasts and that connects again after about a second.
fn lasting(version: Version) -> Config {
    Config {
        version,
        client_id: Text::literal("me"),
        clean_start: false,
        session_expiry: (version == Version::V5).then_some(3600),
        reconnect: Some(Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) }),
        keep_alive: 0,
        ..Config::default()
    }
}

fn with(property: Property, value: Value) -> Properties {
    Properties::new().with(property, value)
}

const BOTH: [Version; 2] = [Version::V3_1_1, Version::V5];

#[test]
fn a_session_resumed_sends_pubrel_and_publish_again_in_order_and_within_the_new_quota() {
    let mut desk = Desk::new(lasting(Version::V5));
    desk.connect(false, Properties::new());
    let tokens: Vec<_> = [("a", 1), ("b", 2), ("c", 2), ("d", 1), ("e", 0)].map(|(t, q)| desk.publish(t, q)).into();
    desk.ack(AckKind::PubRec, 3);
    desk.ack(AckKind::PubRec, 2);
    assert_eq!(desk.events, [Event::Published(tokens[4], Reason::Success)]);
    desk.cut();
    let connect = desk.connect(true, with(Property::ReceiveMaximum, Value::Two(3)));
    assert!(!connect.clean_start);
    assert_eq!(desk.said(), ["PUBREL 3", "PUBREL 2", "PUBLISH 1 a dup"]);
    desk.publish("new", 0);
    assert_eq!(desk.said(), [""; 0], "nothing overtakes what is to be sent again");
    desk.ack(AckKind::PubComp, 3);
    assert_eq!(desk.said(), ["PUBLISH 4 d dup", "PUBLISH 0 new"]);
    for (kind, id) in [(AckKind::PubComp, 2), (AckKind::PubAck, 1), (AckKind::PubAck, 4)] {
        desk.ack(kind, id);
    }
    let done: Vec<_> =
        desk.events.iter().filter_map(|e| if let Event::Published(t, _) = e { Some(*t) } else { None }).collect();
    assert_eq!(done[0], tokens[2]);
    assert!(tokens[..4].iter().all(|token| done.contains(token)));
    assert_eq!(desk.client.unsettled(), 0);
}

#[test]
fn nothing_is_sent_again_on_a_connection_that_stands() {
    let mut desk = Desk::new(lasting(Version::V3_1_1));
    desk.connect(false, Properties::new());
    desk.publish("a", 1);
    desk.publish("b", 2);
    desk.sent.clear();
    desk.wait(Duration::from_secs(3600));
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn a_session_that_is_gone_makes_qos_1_new_reports_qos_2_and_subscribes_anew() {
    for version in BOTH {
        let s = Subscription { filter: Text::literal("s"), options: SubscriptionOptions::default() };
        let mut desk = Desk::new(Config { subscriptions: vec![(s, Properties::new())], ..lasting(version) });
        desk.connect(false, Properties::new());
        assert_eq!(desk.said(), ["SUBSCRIBE 1 s"]);
        desk.hear(Packet::SubAck(SubAck {
            packet_identifier: pid(1),
            properties: Properties::new(),
            reasons: vec![Reason::Success],
        }));
        desk.subscribe("t", SubscriptionOptions::default()).expect("may be subscribed to");
        desk.hear(Packet::SubAck(SubAck {
            packet_identifier: pid(2),
            properties: Properties::new(),
            reasons: vec![Reason::Success],
        }));
        let [_, lost, done] = [("a", 1), ("b", 2), ("c", 2)].map(|(topic, qos)| desk.publish(topic, qos));
        desk.ack(AckKind::PubRec, 5);
        desk.hear(incoming("in", 2, 9));
        desk.cut();
        desk.input(Input::Connect);
        desk.input(Input::Dialed(desk.link));
        desk.sent.clear();
        desk.hear(Packet::ConnAck(ConnAck {
            session_present: false,
            reason: Reason::Success,
            properties: Properties::new(),
        }));
        assert_eq!(desk.said(), ["SUBSCRIBE 6 s t", "PUBLISH 7 a"]);
        assert!(desk.events.contains(&Event::Lost(lost)));
        assert!(desk.events.contains(&Event::Published(done, Reason::Success)));
        desk.events.clear();
        desk.hear(incoming("in", 2, 9));
        let Packet::Publish(again) = incoming("in", 2, 10) else { unreachable!("it is one") };
        desk.hear(Packet::Publish(Publish { dup: true, ..again }));
        let [Event::Message { dup: false, .. }, Event::Message { dup: true, .. }] = desk.events[..] else {
            panic!("identifiers of the new session: {:?}", desk.events);
        };
    }
}

#[test]
fn a_resumed_session_is_not_subscribed_anew_but_what_was_not_answered_is_asked_again() {
    let s = Subscription { filter: Text::literal("s"), options: SubscriptionOptions::default() };
    let mut desk = Desk::new(Config { subscriptions: vec![(s, Properties::new())], ..lasting(Version::V5) });
    desk.connect(true, Properties::new());
    assert_eq!(desk.said(), [""; 0]);
    let token = desk.subscribe("t", SubscriptionOptions::default()).expect("may be subscribed to");
    assert_eq!(desk.said(), ["SUBSCRIBE 1 t"]);
    desk.cut();
    desk.connect(true, Properties::new());
    assert_eq!(desk.said(), ["SUBSCRIBE 2 t"]);
    desk.hear(Packet::SubAck(SubAck {
        packet_identifier: pid(2),
        properties: Properties::new(),
        reasons: vec![Reason::GrantedQos1],
    }));
    assert_eq!(desk.events, [Event::Subscribed(token, vec![Reason::GrantedQos1])]);
}

#[test]
fn a_qos_2_message_is_told_once_over_two_connections() {
    for version in BOTH {
        let mut desk = Desk::new(lasting(version));
        desk.connect(false, Properties::new());
        desk.hear(incoming("a", 2, 1));
        assert_eq!(desk.events.len(), 1);
        desk.hear(incoming("a", 2, 1));
        assert_eq!(desk.said(), ["PUBREC 1", "PUBREC 1"]);
        desk.cut();
        desk.connect(true, Properties::new());
        desk.hear(incoming("a", 2, 1));
        desk.ack(AckKind::PubRel, 1);
        assert_eq!(desk.events, []);
        assert_eq!(desk.said(), ["PUBREC 1", "PUBCOMP 1"]);
        desk.ack(AckKind::PubRel, 1);
        desk.hear(incoming("a", 2, 1));
        let again = if version == Version::V5 { "PUBCOMP 1 0x92" } else { "PUBCOMP 1" };
        assert_eq!(desk.said(), [again, "PUBREC 1"]);
        assert_eq!(desk.events.len(), 1, "a new message");
    }
}

#[test]
fn a_message_first_seen_with_dup_is_told() {
    let mut desk = Desk::new(lasting(Version::V5));
    desk.connect(true, Properties::new());
    desk.hear(Packet::Publish(Publish { dup: true, packet_identifier: Some(pid(1)), ..message("a", 2) }));
    assert_eq!(desk.events.len(), 1);
}

#[test]
fn a_pubrec_that_refuses_ends_the_exchange_and_an_unknown_one_is_answered() {
    let mut desk = Desk::new(lasting(Version::V5));
    desk.connect(false, Properties::new());
    let token = desk.publish("a", 2);
    desk.hear(Packet::Ack(Ack::new(AckKind::PubRec, pid(1), Reason::QuotaExceeded)));
    assert_eq!(desk.events, [Event::Published(token, Reason::QuotaExceeded)]);
    desk.sent.clear();
    desk.ack(AckKind::PubRec, 1);
    desk.ack(AckKind::PubComp, 77);
    desk.ack(AckKind::PubAck, 77);
    assert_eq!(desk.said(), ["PUBREL 1 0x92"]);
    assert_eq!(desk.closed, None);
}

#[test]
fn aliases_end_with_their_connection() {
    let aliases = with(Property::TopicAliasMaximum, Value::Two(2));
    let alias =
        |topic, number| Publish { properties: with(Property::TopicAlias, Value::Two(number)), ..message(topic, 1) };
    let mut desk = Desk::new(lasting(Version::V5));
    desk.connect(false, aliases.clone());
    assert_eq!(desk.try_publish(alias("", 1)), Err(Refused::NoTopic));
    assert_eq!(desk.try_publish(alias("a", 3)), Err(Refused::TopicAlias(3, 2)));
    desk.try_publish(alias("a", 1)).expect("within the maximum");
    desk.try_publish(alias("", 1)).expect("the alias is known");
    assert_eq!(desk.said(), ["PUBLISH 1 a alias 1", "PUBLISH 2  alias 1"]);
    desk.cut();
    desk.connect(true, aliases);
    assert_eq!(desk.said(), ["PUBLISH 1 a dup", "PUBLISH 2 a dup"]);
    assert_eq!(desk.try_publish(alias("", 1)), Err(Refused::NoTopic));
    desk.cut();
    desk.connect(true, Properties::new());
    assert_eq!(desk.try_publish(alias("a", 1)), Err(Refused::TopicAlias(1, 0)));
}

#[test]
fn aliases_of_its_own_choice() {
    let mut desk = Desk::new(Config { topic_aliases: true, ..lasting(Version::V5) });
    desk.connect(false, with(Property::TopicAliasMaximum, Value::Two(1)));
    for topic in ["a", "b", "a"] {
        desk.publish(topic, 0);
    }
    assert_eq!(desk.said(), ["PUBLISH 0 a alias 1", "PUBLISH 0 b", "PUBLISH 0  alias 1"]);
}

#[test]
fn messages_wait_for_a_connection_in_order_up_to_a_limit() {
    let mut desk = Desk::new(Config { queue_maximum: 3, ..lasting(Version::V5) });
    for (topic, qos) in [("a", 1), ("b", 0), ("c", 2)] {
        desk.publish(topic, qos);
    }
    assert_eq!(desk.try_publish(message("d", 1)), Err(Refused::QueueFull(3)));
    desk.connect(false, with(Property::ReceiveMaximum, Value::Two(1)));
    assert_eq!(desk.said(), ["PUBLISH 1 a", "PUBLISH 0 b"]);
    desk.ack(AckKind::PubAck, 1);
    assert_eq!(desk.said(), ["PUBLISH 2 c"]);
}

#[test]
fn a_message_whose_time_is_over_before_it_is_sent_is_dropped_and_others_say_what_is_left() {
    let mut desk = Desk::new(lasting(Version::V5));
    let expiring = |topic, seconds| Publish {
        properties: with(Property::MessageExpiryInterval, Value::Four(seconds)),
        ..message(topic, 1)
    };
    let gone = desk.try_publish(expiring("a", 2)).expect("queued");
    desk.try_publish(expiring("b", 10)).expect("queued");
    desk.wait(Duration::from_secs(3));
    desk.input(Input::Connect);
    desk.input(Input::Dialed(desk.link));
    desk.sent.clear();
    desk.hear(Packet::ConnAck(ConnAck {
        session_present: false,
        reason: Reason::Success,
        properties: Properties::new(),
    }));
    assert!(desk.events.contains(&Event::Expired(gone)));
    let [Packet::Publish(sent)] = &desk.sent[..] else { panic!("{:?}", desk.sent) };
    assert_eq!(sent.properties.message_expiry_interval(), Some(7));
}

#[test]
fn a_dead_link_is_noticed_even_by_a_client_that_only_publishes_at_qos_0() {
    let mut desk = Desk::new(Config { keep_alive: 10, ..lasting(Version::V5) });
    desk.connect(false, Properties::new());
    for _ in 0..8 {
        desk.publish("a", 0);
        desk.wait(Duration::from_secs(1));
    }
    assert!(!desk.said().contains(&"PINGREQ".to_owned()));
    desk.publish("a", 0);
    desk.wait(Duration::from_secs(2));
    assert!(desk.said().contains(&"PINGREQ".to_owned()));
    desk.hear(Packet::PingResp);
    desk.wait(Duration::from_secs(8));
    assert_eq!(desk.closed, None);
    for _ in 0..16 {
        desk.wait(Duration::from_secs(1));
        if desk.closed.is_none() {
            desk.publish("a", 0);
        }
    }
    assert_eq!(
        desk.events.iter().find(|e| matches!(e, Event::Disconnected(..))),
        Some(&Event::Disconnected(Cause::KeepAlive, None))
    );
}

#[test]
fn the_servers_keep_alive_is_kept() {
    for (says, pings) in [(4, true), (0, false)] {
        let mut desk = Desk::new(Config { keep_alive: 10, ..lasting(Version::V5) });
        desk.connect(false, with(Property::ServerKeepAlive, Value::Two(says)));
        desk.wait(Duration::from_secs(4));
        assert_eq!(desk.said().contains(&"PINGREQ".to_owned()), pings);
    }
}

#[test]
fn a_client_that_is_displaced_with_or_without_a_word_comes_back_and_slows_down() {
    for version in BOTH {
        let mut desk = Desk::new(lasting(version));
        desk.connect(false, Properties::new());
        let mut waits = Vec::new();
        for _ in 0..8 {
            let ended = desk.now;
            match version {
                Version::V3_1_1 => desk.cut(),
                Version::V5 => {
                    desk.hear(Packet::Disconnect(Disconnect::new(Reason::SessionTakenOver)));
                    assert_eq!(desk.events, [Event::Disconnected(Cause::Asked, Some(Reason::SessionTakenOver))]);
                    assert_eq!(desk.closed, Some(Cause::Asked));
                }
            }
            while desk.dials.is_empty() {
                desk.wait(Duration::from_millis(50));
            }
            waits.push(desk.dials[0].since(ended).as_secs_f64());
            desk.dials.clear();
            desk.accept(true, Properties::new());
        }
        let longest = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0];
        for (wait, longest) in waits.iter().zip(longest) {
            assert!((longest / 2.0..=longest + 0.06).contains(wait), "{waits:?}");
        }
        desk.wait(Duration::from_secs(61));
        desk.cut();
        desk.wait(Duration::from_secs(1));
        assert_eq!(desk.dials.len(), 1, "after a connection that lasted, it is quick again");
    }
}

#[test]
fn a_client_that_is_displaced_stays_away_if_it_is_not_to_reconnect() {
    let mut desk = Desk::new(Config { reconnect: None, ..lasting(Version::V5) });
    desk.connect(false, Properties::new());
    desk.hear(Packet::Disconnect(Disconnect::new(Reason::SessionTakenOver)));
    assert!(desk.client.is_resting());
    assert_eq!(desk.client.next_timeout(), None);
}

#[test]
fn a_new_session_is_subscribed_once_though_the_one_before_ended_unanswered() {
    let s = Subscription { filter: Text::literal("s"), options: SubscriptionOptions::default() };
    let identifier = with(Property::SubscriptionIdentifier, Value::Variable(7));
    let mut desk = Desk::new(Config { subscriptions: vec![(s, identifier.clone())], ..lasting(Version::V5) });
    for _ in 0..3 {
        desk.connect(false, Properties::new());
        let Some(Packet::Subscribe(subscribe)) = desk.sent.first() else { panic!("{:?}", desk.said()) };
        assert_eq!(subscribe.properties, identifier);
        assert_eq!(desk.sent.len(), 1, "{:?}", desk.said());
        desk.cut();
    }
}

#[test]
fn refusals_for_good_end_the_attempts_and_others_do_not() {
    for (reason, again) in [
        (Reason::ServerUnavailable, true),
        (Reason::BadUserNameOrPassword, false),
        (Reason::NotAuthorized, false),
        (Reason::ClientIdentifierNotValid, false),
    ] {
        for version in BOTH {
            let mut desk = Desk::new(lasting(version));
            desk.input(Input::Connect);
            desk.input(Input::Dialed(desk.link));
            desk.hear(Packet::ConnAck(ConnAck { session_present: false, reason, properties: Properties::new() }));
            assert_eq!(desk.events, [Event::Refused(reason)]);
            assert_eq!(desk.closed, Some(Cause::Refused(reason)));
            assert_eq!(desk.client.next_timeout().is_some(), again, "{reason}");
        }
    }
}

#[test]
fn another_server_is_reported() {
    let there = with(Property::ServerReference, Value::Text(Text::literal("there:1883")));
    let mut desk = Desk::new(lasting(Version::V5));
    desk.connect(false, Properties::new());
    desk.hear(Packet::Disconnect(Disconnect { reason: Reason::ServerMoved, properties: there.clone() }));
    assert_eq!(desk.events[0], Event::Redirected(Reason::ServerMoved, Text::literal("there:1883")));
    desk.input(Input::Connect);
    desk.input(Input::Dialed(desk.link));
    desk.events.clear();
    desk.hear(Packet::ConnAck(ConnAck { session_present: false, reason: Reason::UseAnotherServer, properties: there }));
    let redirected = Event::Redirected(Reason::UseAnotherServer, Text::literal("there:1883"));
    assert_eq!(desk.events, [redirected, Event::Refused(Reason::UseAnotherServer)]);
    assert!(desk.client.is_resting());
}

#[test]
fn what_a_server_must_not_send_ends_the_connection_with_a_reason() {
    let alias = |topic, number| {
        let properties = with(Property::TopicAlias, Value::Two(number));
        Packet::Publish(Publish { properties, ..message(topic, 0) })
    };
    let suback = SubAck { packet_identifier: pid(9), properties: Properties::new(), reasons: vec![Reason::Success] };
    let expiry = with(Property::SessionExpiryInterval, Value::Four(1));
    let connack = ConnAck { session_present: false, reason: Reason::Success, properties: Properties::new() };
    for (packets, reason) in [
        (vec![Packet::PingReq], 0x82),
        (vec![Packet::ConnAck(connack)], 0x82),
        (vec![Packet::SubAck(suback)], 0x82),
        (vec![Packet::Auth(Auth { reason: Reason::Success, properties: Properties::new() })], 0x82),
        (vec![Packet::Disconnect(Disconnect { reason: Reason::ServerBusy, properties: expiry })], 0x82),
        (vec![alias("a", 3)], 0x94),
        (vec![alias("", 2)], 0x82),
        (vec![incoming("a", 2, 1), incoming("a", 2, 2), incoming("a", 2, 3)], 0x93),
        (vec![Packet::Publish(Publish { payload: vec![0; 200].into(), ..message("a", 0) })], 0x95),
    ] {
        let mut desk = Desk::new(Config {
            receive_maximum: 2,
            topic_alias_maximum: 2,
            maximum_packet_size: Some(100),
            ..lasting(Version::V5)
        });
        desk.connect(false, Properties::new());
        for packet in packets.clone() {
            desk.hear(packet);
        }
        assert_eq!(desk.said().last(), Some(&format!("DISCONNECT 0x{reason:02X}")), "{packets:?}");
        assert!(matches!(desk.closed, Some(Cause::Protocol(..) | Cause::Malformed(_))));
    }
    let mut desk = Desk::new(lasting(Version::V3_1_1));
    desk.connect(false, Properties::new());
    desk.hear(Packet::Disconnect(Disconnect::new(Reason::Success)));
    assert_eq!(desk.said(), [""; 0], "3.1.1 has no words for it");
    assert!(desk.closed.is_some());
}

#[test]
fn a_session_that_the_client_does_not_have_is_not_resumed() {
    let fresh = Config { session_expected: false, ..lasting(Version::V5) };
    for config in [fresh, Config { clean_start: true, ..lasting(Version::V5) }] {
        let mut desk = Desk::new(config);
        desk.input(Input::Connect);
        desk.input(Input::Dialed(desk.link));
        desk.hear(Packet::ConnAck(ConnAck {
            session_present: true,
            reason: Reason::Success,
            properties: Properties::new(),
        }));
        assert_eq!(desk.said().last().map(String::as_str), Some("DISCONNECT 0x82"));
    }
}

#[test]
fn a_session_that_expired_here_is_begun_anew() {
    let mut desk = Desk::new(Config { session_expiry: Some(5), reconnect: None, ..lasting(Version::V5) });
    desk.connect(false, Properties::new());
    desk.cut();
    desk.wait(Duration::from_secs(4));
    assert!(!desk.connect(true, Properties::new()).clean_start);
    desk.cut();
    desk.wait(Duration::from_secs(6));
    assert!(desk.connect(false, Properties::new()).clean_start);
}

#[test]
fn clean_start_holds_for_the_first_connection_only_while_the_session_lasts() {
    let mut desk = Desk::new(Config { clean_start: true, ..lasting(Version::V5) });
    assert!(desk.connect(false, Properties::new()).clean_start);
    desk.cut();
    assert!(!desk.connect(true, Properties::new()).clean_start);
    let mut desk = Desk::new(Config { clean_start: true, ..lasting(Version::V3_1_1) });
    assert!(desk.connect(false, Properties::new()).clean_start);
    desk.cut();
    assert!(desk.connect(false, Properties::new()).clean_start);
}

#[test]
fn the_identifier_that_the_server_assigned_is_used_from_then_on() {
    let mut desk = Desk::new(Config { client_id: Text::EMPTY, ..lasting(Version::V5) });
    let given = with(Property::AssignedClientIdentifier, Value::Text(Text::literal("given")));
    assert_eq!(desk.connect(false, given).client_id, "");
    desk.cut();
    assert_eq!(desk.connect(true, Properties::new()).client_id, "given");
}

#[test]
fn what_the_server_does_not_serve_is_refused_and_nothing_is_sent() {
    let says = with(Property::MaximumQos, Value::Byte(0))
        .with(Property::RetainAvailable, Value::Byte(0))
        .with(Property::MaximumPacketSize, Value::Four(40))
        .with(Property::WildcardSubscriptionAvailable, Value::Byte(0))
        .with(Property::SharedSubscriptionAvailable, Value::Byte(0));
    let mut desk = Desk::new(lasting(Version::V5));
    let waiting = desk.publish("early", 1);
    desk.input(Input::Connect);
    desk.input(Input::Dialed(desk.link));
    desk.hear(Packet::ConnAck(ConnAck { session_present: false, reason: Reason::Success, properties: says }));
    assert!(desk.events.contains(&Event::Published(waiting, Reason::QosNotSupported)));
    desk.sent.clear();
    assert_eq!(desk.try_publish(message("a", 1)), Err(Refused::Qos(Qos::AtMostOnce)));
    assert_eq!(desk.try_publish(Publish { retain: true, ..message("a", 0) }), Err(Refused::Retain));
    let large = Publish { payload: vec![0; 40].into(), ..message("a", 0) };
    assert_eq!(desk.try_publish(large), Err(Refused::TooLarge { len: 46, most: 40 }));
    let plain = SubscriptionOptions::default();
    let no_local = SubscriptionOptions { no_local: true, ..plain };
    let unavailable = |reason| Err(Refused::NotAvailable(reason));
    assert_eq!(desk.subscribe("a/#", plain), unavailable(Reason::WildcardSubscriptionsNotSupported));
    assert_eq!(desk.subscribe("$share/g/a", plain), unavailable(Reason::SharedSubscriptionsNotSupported));
    assert_eq!(desk.subscribe("$share/g/a", no_local), Err(Refused::SharedNoLocal));
    assert!(matches!(desk.subscribe("a/#/b", plain), Err(Refused::Topic(_))));
    assert!(matches!(desk.try_publish(message("a/+", 0)), Err(Refused::Topic(_))));
    let identifier = with(Property::SubscriptionIdentifier, Value::Variable(1));
    let published = desk.try_publish(Publish { properties: identifier, ..message("a", 0) });
    assert_eq!(published, Err(Refused::SubscriptionIdentifier));
    assert_eq!(desk.said(), [""; 0]);
}

#[test]
fn an_owner_disconnects_in_good_order_only() {
    let goodbye =
        |reason, expiry| Disconnect { reason, properties: with(Property::SessionExpiryInterval, Value::Four(expiry)) };
    let mut desk = Desk::new(Config { session_expiry: None, ..lasting(Version::V5) });
    assert_eq!(desk.client.disconnect(desk.now, Disconnect::new(Reason::Success)), Err(Refused::NotConnected));
    desk.connect(false, Properties::new());
    let now = desk.now;
    assert_eq!(desk.client.disconnect(now, goodbye(Reason::Success, 5)), Err(Refused::SessionExpiry));
    let refused = desk.client.disconnect(now, Disconnect::new(Reason::ServerShuttingDown));
    assert_eq!(refused, Err(Refused::Reason(Reason::ServerShuttingDown)));
    assert_eq!(desk.client.disconnect(now, goodbye(Reason::DisconnectWithWill, 0)), Ok(()));
    desk.drain();
    assert_eq!(desk.said(), ["DISCONNECT 0x04"]);
    assert_eq!((desk.closed.clone(), desk.client.next_timeout()), (Some(Cause::Asked), None));
    let mut desk = Desk::new(lasting(Version::V3_1_1));
    desk.connect(false, Properties::new());
    let refused = desk.client.disconnect(desk.now, Disconnect::new(Reason::DisconnectWithWill));
    assert!(matches!(refused, Err(Refused::NotInThisVersion(_))));
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut desk = Desk::new(lasting(Version::V5));
    desk.input(Input::Connect);
    desk.wait(Duration::from_secs(10));
    assert_eq!(desk.events, [Event::Disconnected(Cause::ConnectTimeout, None)]);
    assert_eq!(desk.closed, Some(Cause::ConnectTimeout));
    desk.wait(Duration::from_secs(1));
    assert_eq!(desk.dials.len(), 2);
    desk.input(Input::Dialed(LinkId(0)));
    assert_eq!(desk.said(), [""; 0], "an old attempt means nothing");
    desk.input(Input::DialFailed(LinkId(1), Cause::Unreachable("refused".into())));
    desk.wait(Duration::from_secs(2));
    assert_eq!(desk.dials.len(), 3);
}

/// A desk that has sent its CONNECT with SCRAM, and the server's side of the exchange.
fn scram_desk(password: &str) -> (Desk, scram::Server, Vec<u8>) {
    let auth = Credentials { username: "user".into(), password: "pencil".into() };
    let mut desk = Desk::new(Config { auth: Some(auth), seed: 7, ..lasting(Version::V5) });
    desk.input(Input::Connect);
    desk.input(Input::Dialed(desk.link));
    let Some(Packet::Connect(connect)) = desk.sent.pop() else { panic!("no CONNECT") };
    let first = connect.properties.authentication_data().expect("data");
    let verifier = scram::Verifier::new(password, b"salt", 4096);
    let (server, challenge) = scram::Server::begin(&first, "server", |_| verifier).expect("acceptable");
    (desk, server, challenge)
}

fn proof(data: Vec<u8>) -> Properties {
    with(Property::AuthenticationMethod, Value::Text(Text::literal(scram::METHOD)))
        .with(Property::AuthenticationData, Value::Binary(data.into()))
}

fn challenge(desk: &mut Desk, data: Vec<u8>) -> Bytes {
    desk.hear(Packet::Auth(Auth { reason: Reason::ContinueAuthentication, properties: proof(data) }));
    let Some(Packet::Auth(auth)) = desk.sent.pop() else { panic!("no AUTH") };
    auth.properties.authentication_data().expect("data")
}

#[test]
fn scram_convinces_both_sides_and_can_be_repeated() {
    let (mut desk, server, first) = scram_desk("pencil");
    let answer = challenge(&mut desk, first);
    let shown = server.finish(&answer).expect("the right password");
    desk.hear(Packet::ConnAck(ConnAck { session_present: false, reason: Reason::Success, properties: proof(shown) }));
    assert!(desk.client.is_connected(), "{:?}", desk.events);
    desk.client.authenticate_again(desk.now).expect("connected");
    assert_eq!(desk.client.authenticate_again(desk.now), Err(Refused::Authentication));
    desk.drain();
    let Some(Packet::Auth(again)) = desk.sent.pop() else { panic!("no AUTH") };
    assert_eq!(again.reason, Reason::ReAuthenticate);
    let first = again.properties.authentication_data().expect("data");
    let verifier = scram::Verifier::new("pencil", b"salt", 4096);
    let (server, first) = scram::Server::begin(&first, "server", |_| verifier).expect("acceptable");
    let answer = challenge(&mut desk, first);
    let shown = server.finish(&answer).expect("the right password");
    desk.hear(Packet::Auth(Auth { reason: Reason::Success, properties: proof(shown) }));
    assert_eq!(desk.events.last(), Some(&Event::Authenticated));
}

#[test]
fn a_server_that_does_not_know_the_password_is_left() {
    let (mut desk, server, first) = scram_desk("pen");
    let answer = challenge(&mut desk, first);
    assert_eq!(server.finish(&answer), Err(scram::ScramError::Proof));
    let shown = proof(b"v=AAAA".to_vec());
    desk.hear(Packet::ConnAck(ConnAck { session_present: false, reason: Reason::Success, properties: shown }));
    assert_eq!(desk.closed, Some(Cause::Refused(Reason::NotAuthorized)));
    assert!(desk.client.is_resting());
    let (mut desk, ..) = scram_desk("pencil");
    desk.hear(Packet::ConnAck(ConnAck {
        session_present: false,
        reason: Reason::Success,
        properties: Properties::new(),
    }));
    assert_eq!(desk.closed, Some(Cause::Refused(Reason::NotAuthorized)), "a CONNACK without any proof");
}

#[test]
fn packet_identifiers_under_way_are_not_used_again() {
    let mut desk = Desk::new(lasting(Version::V5));
    desk.connect(false, Properties::new());
    desk.publish("held", 2);
    desk.sent.clear();
    for _ in 0..66_000 {
        desk.publish("a", 1);
        let Some(Packet::Publish(publish)) = desk.sent.pop() else { panic!("no PUBLISH") };
        let id = publish.packet_identifier.expect("QoS 1");
        assert_ne!(id, pid(1));
        desk.ack(AckKind::PubAck, id.get());
    }
}
