//! What the operator of a broker sees and does: clients, sessions, subscriptions, retained messages a level at a time,
//! notices for the log, `$SYS`, and what changes when the operator publishes, disconnects, ends and deletes.

use std::time::Duration;

use bytes::Bytes;
use simrun::broker::inspect::{Search, Unpublished};
use simrun::broker::{AccessRule, Broker, Config, Input, Limit, Noticed, Notices, Output, Peer, WillFate};
use simrun::codec::{
    Connect, Disconnect, Frame, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Reason, Subscribe,
    Subscription, Text, Value, Version, Will,
};
use simrun::link::{Cause, LinkId};
use simrun::store::Restored;
use simrun::time::Time;
use simrun::topic::TopicFilter;

/// A broker, and what it sent since that was asked for last.
struct Desk {
    broker: Broker,
    now: Time,
    sent: Vec<(LinkId, Packet)>,
    closed: Vec<(LinkId, Cause)>,
}

impl Desk {
    fn new(config: Config) -> Desk {
        let broker = Broker::new(config, Restored::default(), Time::ZERO);
        Desk { broker, now: Time::ZERO, sent: Vec::new(), closed: Vec::new() }
    }

    fn handle(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send(link, frame) => self.sent.push((link, frame.decode(Version::V5).expect("it is valid"))),
                Output::Close(link, cause) => self.closed.push((link, cause)),
                _ => {}
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        self.handle(Input::Timeout);
    }

    fn send(&mut self, link: u64, packet: &Packet) {
        let frame = Frame::new(packet, Version::V5).expect("it can be written");
        self.handle(Input::Received(LinkId(link), frame.to_bytes()));
    }

    /// Connects a client whose session lasts an hour, or is over with the connection.
    fn connect(&mut self, link: u64, client_id: &str, lasting: bool, will: Option<Will>) {
        self.handle(Input::Opened(LinkId(link), Peer(format!("10.0.0.{link}:1000"))));
        let expiry = if lasting { 3600 } else { 0_u32 };
        let connect = Connect {
            version: Version::V5,
            clean_start: false,
            keep_alive: 60,
            client_id: text(client_id),
            username: Some(text("ada")),
            password: Some(Bytes::from_static(b"lovelace")),
            will,
            properties: Properties::new().with(Property::SessionExpiryInterval, expiry),
        };
        self.send(link, &Packet::Connect(Box::new(connect)));
    }

    fn subscribe(&mut self, link: u64, filter: &str) {
        let subscription =
            Subscription { filter: text(filter), options: simrun::codec::SubscriptionOptions::default() };
        let subscribe = Subscribe {
            packet_identifier: PacketIdentifier::new(1).expect("it is not 0"),
            properties: Properties::new(),
            subscriptions: vec![subscription],
        };
        self.send(link, &Packet::Subscribe(subscribe));
    }

    fn publish(&mut self, link: u64, topic: &str, payload: &'static str, retain: bool) {
        let publish = Publish { topic: text(topic), payload: payload.into(), retain, ..Publish::default() };
        self.send(link, &Packet::Publish(publish));
    }

    fn notices(&mut self) -> Vec<Noticed> {
        std::iter::from_fn(|| self.broker.poll_notice()).map(|notice| notice.what).collect()
    }

    /// The payloads that came on a link, by topic.
    fn heard(&mut self, link: u64) -> Vec<(String, String)> {
        let sent = std::mem::take(&mut self.sent);
        let published = sent.into_iter().filter_map(|(to, packet)| match packet {
            Packet::Publish(publish) if to == LinkId(link) => Some(publish),
            _ => None,
        });
        published.map(|p| (p.topic.to_string(), String::from_utf8_lossy(&p.payload).into_owned())).collect()
    }
}

fn text(text: &str) -> Text {
    Text::try_from(text).expect("MQTT can carry it")
}

fn pages(most: usize) -> Search {
    Search { most, ..Search::default() }
}

fn of(contains: &str) -> Search {
    Search { contains: contains.to_owned(), most: 100, ..Search::default() }
}

fn config() -> Config {
    Config { notices: Notices::All, ..Config::default() }
}

#[test]
fn clients_are_seen_with_their_traffic_a_page_at_a_time() {
    let mut desk = Desk::new(config());
    for n in 0..25 {
        desk.connect(n, &format!("client-{n:02}"), false, None);
    }
    desk.pass(Duration::from_secs(7));
    desk.subscribe(3, "a/#");
    desk.publish(4, "a/b", "hello", false);
    let first = desk.broker.clients(&pages(10), desk.now);
    assert_eq!((first.items.len(), first.next.as_deref()), (10, Some("client-09")));
    let second = desk.broker.clients(&Search { after: first.next, ..pages(10) }, desk.now);
    let third = desk.broker.clients(&Search { after: second.next.clone(), ..pages(10) }, desk.now);
    assert_eq!((second.items.len(), third.items.len(), third.next), (10, 5, None));
    let three = desk.broker.client("client-03", desk.now).expect("it is connected");
    assert_eq!((three.user.as_deref(), &*three.address, &*three.version), (Some("ada"), "10.0.0.3:1000", "5.0"));
    assert_eq!((three.keep_alive, three.connected_for, three.subscriptions), (60, 7, 1));
    assert_eq!((three.packets_received, three.packets_sent), (2, 3), "CONNACK, SUBACK, PUBLISH");
    assert!(three.bytes_received > 40 && three.bytes_sent > 10);
    assert_eq!(desk.broker.clients(&of("CLIENT-1"), desk.now).items.len(), 10, "letters of either case");
    assert_eq!(desk.broker.clients(&of("10.0.0.24"), desk.now).items.len(), 1, "by address");
    let totals = desk.broker.totals().counters;
    assert_eq!((totals.connected, totals.opened, totals.accepted), (25, 25, 25));
    assert_eq!((totals.packets.received.number, totals.packets.sent.number), (27, 27));
    assert_eq!((totals.publishes.received.bytes, totals.publishes.sent.bytes), (5, 5));
}

#[test]
fn a_search_hands_back_how_far_it_came() {
    let mut desk = Desk::new(Config { connections_maximum: 20_000, ..Config::default() });
    for n in 0..12_000 {
        desk.connect(n, &format!("{n:06}"), false, None);
    }
    let page = desk.broker.clients(&of("011999"), desk.now);
    assert!(page.items.is_empty() && page.next.is_some(), "the one that is looked for stands far behind");
    let rest = desk.broker.clients(&Search { after: page.next, ..of("011999") }, desk.now);
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

#[test]
fn sessions_are_seen_offline_too_and_end_when_told() {
    let mut desk = Desk::new(config());
    desk.connect(1, "lasting", true, None);
    desk.connect(2, "brief", false, None);
    desk.handle(Input::Closed(LinkId(1), Cause::Reset));
    desk.pass(Duration::from_secs(60));
    let offline = desk.broker.session_list(&pages(10), true, desk.now).items;
    assert_eq!((offline.len(), offline[0].connected, offline[0].expires_in), (1, false, Some(3540)));
    assert_eq!(desk.broker.session_list(&pages(10), false, desk.now).items.len(), 2);
    assert!(desk.broker.end_session_of(desk.now, "lasting"));
    assert!(desk.broker.end_session_of(desk.now, "brief"));
    assert!(!desk.broker.end_session_of(desk.now, "nobody"));
    desk.drain();
    assert_eq!(desk.closed, [(LinkId(2), Cause::Administrative)]);
    assert_eq!(desk.broker.totals().sessions, 0);
}

#[test]
fn a_client_that_the_operator_disconnects_is_told_why() {
    let mut desk = Desk::new(config());
    desk.connect(1, "x", true, None);
    assert!(desk.broker.disconnect(desk.now, "x") && !desk.broker.disconnect(desk.now, "y"));
    desk.drain();
    let told = desk.sent.iter().find_map(|(_, packet)| match packet {
        Packet::Disconnect(Disconnect { reason, .. }) => Some(*reason),
        _ => None,
    });
    assert_eq!(told, Some(Reason::AdministrativeAction));
    assert_eq!(desk.closed, [(LinkId(1), Cause::Administrative)]);
    let session = desk.broker.session("x", desk.now).expect("the session goes on");
    assert!(!session.connected);
    assert_eq!(desk.broker.totals().counters.connected, 0);
}

#[test]
fn subscriptions_are_seen_over_page_borders() {
    let mut desk = Desk::new(config());
    for n in 0..3 {
        desk.connect(n, &format!("c{n}"), false, None);
        for filter in ["a/#", "b/+", "$share/g/c"] {
            desk.subscribe(n, filter);
        }
    }
    let mut seen = Vec::new();
    let mut search = pages(2);
    loop {
        let page = desk.broker.subscription_list(&search, None);
        assert!(page.items.len() <= 2);
        seen.extend(page.items);
        search.after = page.next;
        if search.after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 9);
    assert!(seen.iter().any(|item| item.shared && item.filter == "$share/g/c"));
    assert_eq!(desk.broker.subscription_list(&pages(10), Some("c1")).items.len(), 3);
    assert_eq!(desk.broker.subscription_list(&of("B/+"), None).items.len(), 3);
}

#[test]
fn retained_messages_are_seen_level_by_level() {
    let mut desk = Desk::new(config());
    desk.connect(1, "x", false, None);
    for topic in ["home/kitchen/light", "home/kitchen", "home/hall/light", "/odd", "office", "homer"] {
        desk.publish(1, topic, "on", true);
    }
    let level = |below: Option<&str>, after: Option<&str>, most| {
        let page = desk.broker.retained_level(below, after, most, desk.now);
        let items = page.items.iter().map(|branch| (branch.level.clone(), branch.message.is_some(), branch.below));
        (items.collect::<Vec<_>>(), page.next)
    };
    let row = |level: &str, message, below| (level.to_owned(), message, below);
    let top =
        vec![row("", false, true), row("home", false, true), row("homer", true, false), row("office", true, false)];
    assert_eq!(level(None, None, 10), (top.clone(), None));
    assert_eq!(level(None, None, 2), (top[..2].to_vec(), Some("home".to_owned())));
    assert_eq!(level(None, Some("home"), 10), (top[2..].to_vec(), None));
    assert_eq!(level(Some("home"), None, 10).0, [row("hall", false, true), row("kitchen", true, true)]);
    assert_eq!(level(Some(""), None, 10).0, [row("odd", true, false)]);
    assert!(level(Some("nowhere"), None, 10).0.is_empty());
    assert!(desk.broker.delete_retained(desk.now, "office") && !desk.broker.delete_retained(desk.now, "office"));
    assert_eq!(desk.broker.totals().retained, 5);
    let message = desk.broker.retained_message("homer", 1000, desk.now).expect("it is retained");
    assert_eq!((message.text.as_deref(), message.size, message.cut), (Some("on"), 2, false));
}

#[test]
fn payloads_are_cut_between_characters_and_shown_in_hex_where_they_are_no_text() {
    let mut desk = Desk::new(config());
    let mut publish = |payload: &'static [u8]| {
        let payload = Bytes::from_static(payload);
        desk.broker.publish_from_operator(desk.now, "t", payload, Qos::AtMostOnce, true).expect("it is published");
        let seen = desk.broker.retained_message("t", 6, desk.now).expect("it is retained");
        (seen.text, seen.hex, seen.cut)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(publish("现在天黑了".as_bytes()), (text("现在"), None, true));
    assert_eq!(publish("äöüß".as_bytes()), (text("äöü"), None, true));
    assert_eq!(publish(b"xx\xc3\xa4\xc3\xa4"), (text("xxää"), None, false));
    assert_eq!(publish(b"\x1b[31m"), (None, text("1b 5b 33"), true));
    assert_eq!(publish(b"\xff\xfe"), (None, text("ff fe"), false));
}

#[test]
fn the_operator_publishes_to_subscribers_and_listens_without_being_one() {
    let mut desk = Desk::new(config());
    desk.connect(1, "x", false, None);
    desk.subscribe(1, "lamp/+");
    let ear = desk.broker.listen(vec![TopicFilter::try_from("lamp/#").expect("a filter")], desk.now).expect("room");
    let say = |desk: &mut Desk, topic: &str, retain| {
        desk.broker.publish_from_operator(desk.now, topic, "on".into(), Qos::AtLeastOnce, retain)
    };
    assert_eq!(say(&mut desk, "lamp/1", false), Ok(true));
    assert_eq!(say(&mut desk, "elsewhere", false), Ok(false), "nobody is subscribed");
    assert_eq!(say(&mut desk, "$SYS/x", false), Err(Unpublished::Reserved));
    assert!(matches!(say(&mut desk, "a/#", false), Err(Unpublished::Topic(_))));
    desk.drain();
    assert_eq!(desk.heard(1), [("lamp/1".to_owned(), "on".to_owned())]);
    let heard = desk.broker.heard(ear, desk.now).expect("it listens");
    assert_eq!((heard.messages.len(), heard.missed), (1, 0));
    for _ in 0..1_500 {
        desk.publish(1, "lamp/1/2", "much", false);
    }
    let heard = desk.broker.heard(ear, desk.now).expect("it listens");
    assert_eq!((heard.messages.len(), heard.missed), (1_000, 500), "what is not fetched in time is lost");
    desk.pass(Duration::from_secs(61));
    desk.publish(1, "lamp/1", "late", false);
    assert!(desk.broker.heard(ear, desk.now).is_none(), "who does not ask is forgotten");
}

#[test]
fn what_is_counted_is_published_under_sys_as_mosquitto_does() {
    let interval = Duration::from_secs(10);
    let mut desk = Desk::new(Config { sys_interval: Some(interval), ..Config::default() });
    desk.pass(Duration::ZERO);
    desk.connect(1, "x", false, None);
    desk.subscribe(1, "#");
    assert!(desk.heard(1).is_empty(), "a wildcard at the beginning does not match $SYS");
    desk.subscribe(1, "$SYS/#");
    let said = desk.heard(1);
    let value = |said: &[(String, String)], name: &str| {
        let topic = format!("$SYS/broker/{name}");
        said.iter().find(|(of, _)| *of == topic).map(|(_, value)| value.clone())
    };
    assert_eq!(value(&said, "clients/connected").as_deref(), Some("0"), "retained from the beginning");
    assert_eq!(value(&said, "uptime").as_deref(), Some("0 seconds"));
    assert!(value(&said, "version").is_some_and(|version| version.starts_with("simrun version ")));
    desk.publish(1, "a", "12345", false);
    desk.sent.clear();
    desk.pass(interval);
    let said = desk.heard(1);
    assert_eq!(value(&said, "clients/connected").as_deref(), Some("1"));
    assert_eq!(value(&said, "uptime").as_deref(), Some("10 seconds"));
    assert_eq!(value(&said, "subscriptions/count").as_deref(), Some("2"));
    assert_eq!(value(&said, "publish/bytes/received").as_deref(), Some("5"));
    assert_eq!(value(&said, "version"), None, "what has not changed is not said again");
    // One message in ten seconds are six a minute; of that the averages take in their part.
    assert_eq!(value(&said, "load/publish/received/1min").as_deref(), Some("0.92"));
    assert_eq!(value(&said, "load/publish/received/15min").as_deref(), Some("0.07"));
    desk.publish(1, "$SYS/broker/uptime", "for ever", true);
    desk.pass(interval);
    assert_eq!(value(&desk.heard(1), "uptime").as_deref(), Some("20 seconds"), "clients cannot say it");
    assert!(desk.broker.totals().retained > 20);
}

#[test]
fn notices_say_who_came_and_went_and_why() {
    let mut desk = Desk::new(Config { queue_maximum: 1, retained_maximum: 1, ..config() });
    let will = Will {
        topic: text("gone"),
        payload: "x".into(),
        qos: Qos::AtMostOnce,
        retain: false,
        properties: Properties::new().with(Property::WillDelayInterval, Value::Four(5)),
    };
    desk.connect(1, "x", true, Some(will));
    let first = desk.broker.poll_notice().expect("it connected");
    assert_eq!(first.who.client_id.as_deref(), Some("x"));
    assert_eq!((first.who.user.as_deref(), first.who.address), (Some("ada"), Some(Peer("10.0.0.1:1000".into()))));
    assert!(matches!(first.what, Noticed::Connected { keep_alive: 60, session_present: false, .. }));
    desk.subscribe(1, "a");
    assert_eq!(desk.notices(), [Noticed::Subscribed(text("a"), Ok(Qos::AtMostOnce))]);
    desk.connect(2, "x", true, None);
    let notices = desk.notices();
    let taken = Noticed::Disconnected { cause: Cause::TakenOver, will: WillFate::Delayed(5) };
    assert_eq!(notices[0], taken);
    assert!(matches!(notices[1], Noticed::Connected { session_present: true, .. }), "{notices:?}");
    desk.handle(Input::Closed(LinkId(2), Cause::Reset));
    desk.notices();
    desk.pass(Duration::from_secs(3601));
    assert_eq!(desk.notices(), [Noticed::Expired]);
    assert_eq!(desk.broker.totals().counters.expired, 1);
    desk.handle(Input::Opened(LinkId(3), Peer("10.0.0.3:1".into())));
    desk.handle(Input::Received(LinkId(3), Bytes::from_static(b"\xf0\0")));
    assert!(matches!(desk.notices()[..], [Noticed::Refused(Cause::Malformed(_))]));
    assert_eq!(desk.broker.totals().counters.refused, 1);
}

#[test]
fn a_refusal_names_who_asked() {
    let users = [("ada".to_owned(), "another".into())].into();
    let mut desk = Desk::new(Config { users, anonymous: false, ..config() });
    desk.connect(1, "intruder", false, None);
    let notice = desk.broker.poll_notice().expect("a notice");
    assert_eq!(notice.what, Noticed::Refused(Cause::Refused(Reason::BadUserNameOrPassword)));
    assert_eq!((notice.who.client_id.as_deref(), notice.who.user.as_deref()), (Some("intruder"), Some("ada")));
}

#[test]
fn a_limit_that_is_hit_often_is_told_once_a_second() {
    let mut desk = Desk::new(Config { retained_maximum: 1, ..config() });
    desk.connect(1, "x", false, None);
    desk.notices();
    for topic in ["a", "b", "c", "d"] {
        desk.publish(1, topic, "x", true);
    }
    assert_eq!(desk.notices(), [Noticed::LimitHit(Limit::Retained, 1)]);
    desk.pass(Duration::from_secs(1));
    desk.publish(1, "e", "x", true);
    assert_eq!(desk.notices(), [Noticed::LimitHit(Limit::Retained, 3)]);
}

#[test]
fn nothing_is_noted_where_nobody_reads() {
    let mut desk = Desk::new(Config::default());
    desk.connect(1, "x", false, None);
    desk.subscribe(1, "a");
    assert!(desk.notices().is_empty());
}

#[test]
fn an_operator_is_a_user_whom_no_rule_denies_anything() {
    let rule = |user: Option<&str>, allow| AccessRule {
        user: user.map(str::to_owned),
        client_id: None,
        action: None,
        filter: None,
        allow,
    };
    let with = |access: Vec<AccessRule>| Desk::new(Config { access, ..Config::default() }).broker;
    assert!(with(vec![]).is_operator("ada"));
    let some = with(vec![rule(Some("ada"), true), rule(None, false)]);
    assert!(some.is_operator("ada") && !some.is_operator("bob"));
    assert!(!with(vec![rule(Some("ada"), false), rule(None, true)]).is_operator("ada"));
}
