//! What a broker and its clients owe each other beyond one connection: sessions that last as long as they were promised,
//! wills when they are due, copies that say what their subscriptions ask for, exchanges that go on after a lost link.
//!
//! It keeps books of all that reached or left the broker, as the standard wants them kept, and names what does not agree
//! with them. Like [`history`](super::history) it looks at the trace of a run whose faults are healed and that is quiet at its
//! end. Where the standard leaves room, or a crash leaves in doubt what was kept, nothing is demanded.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the books: connections, sessions, subscriptions |
//! | `lasting` | how long sessions last, who is displaced, how connections end |
//! | `wills` | wills, when they are due |
//! | `copies` | what a PUBLISH to a subscriber says |
//! | `ending` | what must not be open when all is quiet |

mod copies;
mod ending;
mod lasting;
mod wills;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::history::Circumstances;
use super::{Breach, Findings, Id};
use crate::codec::{
    Ack, AckKind, Connect, Disconnect, Packet, Publish, Qos, Reason, RetainHandling, Subscribe, SubscriptionOptions,
    Text, Version, decode,
};
use crate::link::LinkId;
use crate::time::Time;
use crate::topic::{Target, TopicFilter, TopicName};
use crate::trace::{Event, Name, Transfer, What};

/// A statement in both versions; empty where a version has none.
type Names = [&'static str; 2];

/// Topic and payload: what a message is known by.
type Key = (String, Bytes);

/// Clients that are judged, and their lasting subscriptions.
pub type Honest = BTreeMap<Name, BTreeSet<String>>;

/// How exactly things happen that are counted in seconds, on real sockets too.
const SLACK: Duration = Duration::from_secs(1);

/// How exactly a broker's timers keep their time.
const TICK: Duration = Duration::from_millis(100);

/// Holds the trace of a run against the books. The broker is called `broker`; clients are judged if they are
/// among the `honest` ones, each with the filters that it is to be subscribed to whenever it is connected.
pub fn ledger(trace: &[Event], broker: &str, honest: &Honest, circumstances: Circumstances) -> Findings {
    let mut ledger = Ledger { broker, honest: honest.clone(), circumstances, ..Ledger::default() };
    for (place, event) in trace.iter().enumerate() {
        (ledger.place, ledger.now) = (place, event.time);
        ledger.pass_time();
        ledger.take_in(&event.what);
    }
    ledger.now = ledger.now.max(circumstances.ended);
    ledger.end();
    ledger.findings
}

#[derive(Debug, Default)]
struct Ledger<'a> {
    broker: &'a str,
    honest: Honest,
    circumstances: Circumstances,
    place: usize,
    now: Time,
    /// Before this moment no session ends and no will is due.
    due: Time,
    links: BTreeMap<LinkId, Line>,
    sessions: BTreeMap<Text, Session>,
    clients: BTreeMap<Name, Own>,
    messages: BTreeMap<Key, Said>,
    wills: wills::Wills,
    /// How often a session was sent a message at QoS 0.
    at_most_once: BTreeMap<(Text, Key), usize>,
    /// The best QoS at which a session was sent a message that is due at a better one.
    lesser: BTreeMap<(Text, Key), copies::Lesser>,
    /// When the last fault began or ended.
    troubled: Option<Time>,
    findings: Findings,
}

/// A connection.
#[derive(Debug)]
struct Line {
    client: Name,
    connect: Option<Connect>,
    client_id: Option<Text>,
    /// When and where CONNECT reached the broker.
    asked: (Time, usize),
    accepted: bool,
    refused: bool,
    /// Open at the broker, at the client.
    open: [bool; 2],
    /// When the last packet reached the broker.
    heard: Time,
    keep_alive: Duration,
    /// How many unfinished messages the broker takes, where its CONNACK says so.
    receive_maximum: Option<u16>,
    /// The client's DISCONNECT.
    goodbye: Option<Disconnect>,
    /// The reason of the broker's DISCONNECT.
    told: Option<Reason>,
    /// Another connection has taken over its session.
    displaced: bool,
    /// The last packets that reached the broker, and the client.
    last: [Option<Packet>; 2],
    /// The last packet that reached the broker was a repeat of an exchange that is not over.
    repeats: bool,
    aliases_in: BTreeMap<u16, Text>,
    aliases_out: BTreeMap<u16, Text>,
    requests: BTreeMap<u16, Packet>,
}

/// What the broker is to keep for a client identifier.
#[derive(Debug)]
struct Session {
    version: Version,
    /// It is there, for all that can be known.
    alive: bool,
    /// When it was last taken up.
    taken_up: Time,
    /// A crash has left in doubt what of it was kept.
    doubtful: bool,
    /// Where the CONNECT arrived that it began with, and on which connection.
    begun: usize,
    begun_on: Option<LinkId>,
    link: Option<LinkId>,
    /// The earliest and the latest moment at which its connection may have ended for the broker.
    left: Option<(Time, Time)>,
    /// How long it outlives its connection; `None` is for ever.
    expiry: Option<Duration>,
    limited: bool,
    subscriptions: BTreeMap<String, Subscription>,
    /// Those that were ended: what they brought may still be on its way.
    former: Vec<Subscription>,
    /// Where a subscription was last asked for, or changed.
    changed: usize,
    /// Filters for which retained messages are due, with the topics that were sent for each.
    retained: Vec<(TopicFilter, BTreeSet<String>)>,
    /// Filters that it has, or had, messages with their RETAIN for.
    as_published: Vec<TopicFilter>,
    will: Option<wills::Will>,
    /// Exchanges that the broker began.
    sent: BTreeMap<u16, Exchange>,
    /// Exchanges that the client began, as far as the broker knows.
    got: BTreeMap<u16, Key>,
}

#[derive(Clone, Debug)]
struct Subscription {
    target: Target,
    options: SubscriptionOptions,
    /// It is in force: asked for and granted.
    granted: bool,
    /// The client has asked for its end, and not for it anew since.
    ending: bool,
}

/// An exchange of a sender: on which connection it was last heard of.
#[derive(Debug)]
struct Exchange {
    link: LinkId,
    place: usize,
    expires: bool,
    /// What the broker sends at QoS 1.
    at_least_once: Option<Key>,
}

/// What a client is to keep.
#[derive(Debug, Default)]
struct Own {
    link: Option<LinkId>,
    sent: BTreeMap<u16, Exchange>,
    /// PUBLISH packets that the broker has refused, at QoS 2.
    refused: BTreeSet<u16>,
    /// Connections on which it was told of a new session.
    fresh: BTreeSet<LinkId>,
    /// Filters that it once was granted.
    filters: BTreeSet<String>,
    /// When the broker has accepted it.
    accepted: Vec<Time>,
}

/// A message that has reached the broker.
#[derive(Debug)]
struct Said {
    /// Whose client published it last.
    from: Text,
    place: usize,
    time: Time,
    qos: Qos,
    retain: bool,
    expiry: Option<u32>,
    times: usize,
    /// The broker has acknowledged it.
    confirmed: bool,
}

impl Ledger<'_> {
    fn take_in(&mut self, what: &What) {
        match what {
            What::Opened { link, client, .. } => drop(self.links.insert(*link, Line::new(client, self.now))),
            What::Closed { link, at, cause } if **at == *self.broker => self.closed_by_broker(*link, cause),
            What::Closed { link, cause, .. } => self.closed_by_client(*link, cause),
            What::Left(transfer) if *transfer.from == *self.broker => self.left_broker(transfer),
            What::Arrived(transfer) if *transfer.to == *self.broker => self.reached_broker(transfer),
            What::Left(transfer) => self.left_client(transfer),
            What::Arrived(transfer) => self.reached_client(transfer),
            What::Fault { word, names, began } => {
                self.troubled = Some(self.now);
                let broker = names.iter().any(|name| **name == *self.broker);
                match *word {
                    "kill" | "power_off" if *began && broker => self.broker_died(),
                    "kill" | "power_off" => names.iter().for_each(|name| drop(self.clients.remove(name))),
                    "start" if broker => self.broker_is_back(),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn packet(&self, transfer: &Transfer) -> Option<Packet> {
        let line = self.links.get(&transfer.link)?;
        let version = line.connect.as_ref().map_or(transfer.version, |connect| connect.version);
        decode(version, &transfer.bytes).ok()
    }

    fn reached_broker(&mut self, transfer: &Transfer) {
        let packet = self.packet(transfer);
        let (now, place) = (self.now, self.place);
        let Some(line) = self.links.get_mut(&transfer.link) else { return };
        line.heard = now;
        line.repeats = false;
        line.last[0].clone_from(&packet);
        let client_id = line.client_id.clone();
        match packet {
            Some(Packet::Connect(connect)) if line.connect.is_none() => {
                line.asked = (now, place);
                line.keep_alive = Duration::from_secs(connect.keep_alive.into());
                line.client_id = Some(connect.client_id.detached());
                line.connect = Some(*connect);
            }
            Some(Packet::Disconnect(disconnect)) => line.goodbye = Some(disconnect),
            Some(Packet::Subscribe(subscribe)) => {
                if let Some(session) = client_id.and_then(|client_id| self.sessions.get_mut(&client_id)) {
                    session.asked_for(&subscribe, place);
                }
                line.requests.insert(subscribe.packet_identifier.get(), Packet::Subscribe(subscribe));
            }
            Some(Packet::Unsubscribe(unsubscribe)) => {
                if let Some(session) = client_id.and_then(|client_id| self.sessions.get_mut(&client_id)) {
                    session.changed = place;
                    for filter in &unsubscribe.filters {
                        let Some(known) = session.subscriptions.get_mut(filter.as_str()) else { continue };
                        (known.granted, known.ending) = (false, true);
                    }
                }
                line.requests.insert(unsubscribe.packet_identifier.get(), Packet::Unsubscribe(unsubscribe));
            }
            Some(Packet::Publish(publish)) => self.message_came(transfer.link, &publish),
            Some(Packet::Ack(ack)) => {
                if let Some(session) = client_id.and_then(|client_id| self.sessions.get_mut(&client_id)) {
                    session.answered(&ack);
                }
            }
            _ => {}
        }
    }

    fn left_broker(&mut self, transfer: &Transfer) {
        let Some(packet) = self.packet(transfer) else { return };
        let place = self.place;
        let Some(line) = self.links.get_mut(&transfer.link) else { return };
        if line.displaced && !matches!(packet, Packet::Disconnect(_)) {
            self.goes_on(transfer.link);
            return;
        }
        let client_id = line.client_id.clone();
        match packet {
            Packet::ConnAck(connack) if !connack.reason.is_error() => {
                if let Some(assigned) = connack.properties.assigned_client_identifier() {
                    line.client_id = Some(assigned.detached());
                }
                if let Some(keep_alive) = connack.properties.server_keep_alive() {
                    line.keep_alive = Duration::from_secs(keep_alive.into());
                }
                line.receive_maximum = connack.properties.receive_maximum();
                let expiry = connack.properties.session_expiry_interval();
                self.accepted(transfer.link, connack.session_present, expiry);
            }
            Packet::ConnAck(_) => line.refused = true,
            Packet::Disconnect(disconnect) => line.told = Some(disconnect.reason),
            Packet::SubAck(suback) => {
                let asked = line.requests.remove(&suback.packet_identifier.get());
                let client = line.client.clone();
                let session = client_id.and_then(|client_id| self.sessions.get_mut(&client_id));
                if let (Some(Packet::Subscribe(subscribe)), Some(session)) = (asked, session) {
                    session.changed = place;
                    for (asked, reason) in subscribe.subscriptions.iter().zip(&suback.reasons) {
                        let granted = Qos::from_number(reason.code());
                        let Some(known) = session.subscriptions.get_mut(asked.filter.as_str()) else { continue };
                        match granted {
                            Some(qos) => {
                                (known.granted, known.options.qos) = (true, qos);
                                self.clients
                                    .entry(client.clone())
                                    .or_default()
                                    .filters
                                    .insert(asked.filter.to_string());
                            }
                            None => drop(session.subscriptions.remove(asked.filter.as_str())),
                        }
                    }
                }
            }
            Packet::UnsubAck(unsuback) => {
                let asked = line.requests.remove(&unsuback.packet_identifier.get());
                let session = client_id.and_then(|client_id| self.sessions.get_mut(&client_id));
                if let (Some(Packet::Unsubscribe(unsubscribe)), Some(session)) = (asked, session) {
                    session.changed = place;
                    for filter in &unsubscribe.filters {
                        if session.subscriptions.get(filter.as_str()).is_some_and(|known| known.ending) {
                            session.former.extend(session.subscriptions.remove(filter.as_str()));
                        }
                    }
                }
            }
            Packet::Publish(publish) => self.copy(transfer.link, &publish),
            Packet::Ack(ack) => {
                let session = client_id.and_then(|client_id| self.sessions.get_mut(&client_id));
                if let Some(session) = session {
                    let confirmed = session.answers(&ack, transfer.link);
                    let said = confirmed.and_then(|key| self.messages.get_mut(&key));
                    said.into_iter().for_each(|said| said.confirmed = true);
                }
            }
            _ => {}
        }
    }

    fn left_client(&mut self, transfer: &Transfer) {
        let Some(packet) = self.packet(transfer) else { return };
        let (link, place) = (transfer.link, self.place);
        let own = self.clients.entry(transfer.from.clone()).or_default();
        match packet {
            // It has given up its session, whether or not it hears of the new one.
            Packet::Connect(connect) if connect.clean_start => {
                own.sent.clear();
                own.refused.clear();
            }
            Packet::Publish(publish) => {
                if let Some(identifier) = publish.packet_identifier {
                    own.refused.remove(&identifier.get());
                    own.sent.insert(identifier.get(), Exchange { link, place, expires: false, at_least_once: None });
                }
            }
            Packet::Ack(ack) if ack.kind == AckKind::PubRel => {
                let identifier = ack.packet_identifier.get();
                if let Some(exchange) = own.sent.get_mut(&identifier) {
                    exchange.link = link;
                }
                let refused = own.refused.contains(&identifier);
                let why = format!("PUBREL for packet identifier {identifier}, whose PUBREC was a refusal");
                self.note_of_client(&["", "v5/MQTT-4.3.3-4"], link, refused.then_some(why));
            }
            _ => {}
        }
    }

    fn reached_client(&mut self, transfer: &Transfer) {
        let packet = self.packet(transfer);
        if let Some(line) = self.links.get_mut(&transfer.link) {
            line.last[1].clone_from(&packet);
        }
        let own = self.clients.entry(transfer.to.clone()).or_default();
        match packet {
            Some(Packet::ConnAck(connack)) if !connack.reason.is_error() => {
                own.link = Some(transfer.link);
                own.accepted.push(self.now);
                if !connack.session_present {
                    own.fresh.insert(transfer.link);
                    own.sent.clear();
                    own.refused.clear();
                }
            }
            Some(Packet::Ack(ack)) => {
                let identifier = ack.packet_identifier.get();
                match ack.kind {
                    AckKind::PubAck | AckKind::PubComp => drop(own.sent.remove(&identifier)),
                    AckKind::PubRec if ack.reason.is_error() => {
                        own.sent.remove(&identifier);
                        own.refused.insert(identifier);
                    }
                    AckKind::PubRec => drop(own.refused.remove(&identifier)),
                    AckKind::PubRel => {}
                }
            }
            _ => {}
        }
    }

    /// A message reached the broker.
    fn message_came(&mut self, link: LinkId, publish: &Publish) {
        let Some(line) = self.links.get_mut(&link) else { return };
        let topic = spelt_out(&mut line.aliases_in, publish);
        let key = (topic.as_deref().unwrap_or_default().to_owned(), publish.payload.clone());
        if let Some(session) = line.client_id.as_ref().and_then(|client_id| self.sessions.get_mut(client_id))
            && let Some(identifier) = publish.packet_identifier
        {
            line.repeats = session.got.insert(identifier.get(), key.clone()).is_some();
        }
        let (from, Some(_)) = (line.client_id.clone().unwrap_or_default(), topic) else { return };
        let said = self.messages.entry(key).or_insert_with(|| Said {
            from: from.clone(),
            place: 0,
            time: self.now,
            qos: publish.qos,
            retain: publish.retain,
            expiry: None,
            times: 0,
            confirmed: false,
        });
        said.times += 1;
        said.confirmed = false;
        (said.place, said.time) = (self.place, self.now);
        said.expiry = publish.properties.message_expiry_interval();
    }

    /// The version that a connection speaks.
    fn version(&self, link: LinkId) -> Version {
        let connect = self.links.get(&link).and_then(|line| line.connect.as_ref());
        connect.map_or(Version::V5, |connect| connect.version)
    }

    /// Notes what is said of a statement about this connection.
    fn note(&mut self, names: &Names, link: LinkId, broken: Option<String>) {
        self.note_at(names, self.version(link), self.place, broken);
    }

    /// Notes what is said of its client, if that is judged.
    fn note_of_client(&mut self, names: &Names, link: LinkId, broken: Option<String>) {
        if self.links.get(&link).is_some_and(|line| self.honest.contains_key(&line.client)) {
            self.note(names, link, broken);
        }
    }

    fn note_at(&mut self, names: &Names, version: Version, place: usize, broken: Option<String>) {
        let name = if version == Version::V5 { names[1] } else { names[0] };
        let Some(id) = Id::named(name) else { return };
        let finding = self.findings.entry(id).or_default();
        finding.exercised += 1;
        finding.breaches.extend(broken.map(|why| Breach { event: place, why }));
    }
}

impl Line {
    fn new(client: &Name, now: Time) -> Line {
        Line {
            client: client.clone(),
            connect: None,
            client_id: None,
            asked: (now, 0),
            accepted: false,
            refused: false,
            open: [true; 2],
            heard: now,
            keep_alive: Duration::ZERO,
            receive_maximum: None,
            goodbye: None,
            told: None,
            displaced: false,
            last: [None, None],
            repeats: false,
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    fn asks_for_new_session(&self) -> bool {
        self.connect.as_ref().is_some_and(|connect| connect.clean_start)
    }
}

impl Session {
    fn new(version: Version) -> Session {
        Session {
            version,
            alive: false,
            taken_up: Time::ZERO,
            doubtful: false,
            begun: 0,
            begun_on: None,
            link: None,
            left: None,
            expiry: None,
            limited: false,
            subscriptions: BTreeMap::new(),
            former: Vec::new(),
            changed: 0,
            retained: Vec::new(),
            as_published: Vec::new(),
            will: None,
            sent: BTreeMap::new(),
            got: BTreeMap::new(),
        }
    }

    fn asked_for(&mut self, subscribe: &Subscribe, place: usize) {
        self.changed = place;
        for asked in &subscribe.subscriptions {
            let Ok(target) = TopicFilter::try_from(asked.filter.clone()).and_then(Target::try_from) else { continue };
            let known = self.subscriptions.contains_key(asked.filter.as_str());
            let due = match asked.options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => !known,
                RetainHandling::DoNotSend => false,
            };
            if let Target::Own(filter) = &target
                && due
            {
                self.retained.push((filter.clone(), BTreeSet::new()));
            }
            if asked.options.retain_as_published {
                self.as_published.push(target.filter().clone());
            }
            let subscription = Subscription { target, options: asked.options, granted: false, ending: false };
            self.subscriptions.insert(asked.filter.to_string(), subscription);
        }
    }

    /// The subscriptions, granted or asked for, that a topic matches.
    fn matching<'a>(&'a self, topic: &'a TopicName) -> impl Iterator<Item = &'a Subscription> {
        self.subscriptions.values().filter(|subscription| subscription.target.filter().matches(topic))
    }

    /// How many copies of one message on this topic it may be sent.
    fn copies(&self, topic: &TopicName) -> usize {
        let former = self.former.iter().filter(|subscription| subscription.target.filter().matches(topic));
        self.matching(topic).count() + former.count()
    }

    /// The client answered what the broker began, or went on with what it began itself.
    fn answered(&mut self, ack: &Ack) {
        let identifier = ack.packet_identifier.get();
        match ack.kind {
            AckKind::PubAck | AckKind::PubComp => drop(self.sent.remove(&identifier)),
            AckKind::PubRec if ack.reason.is_error() => drop(self.sent.remove(&identifier)),
            AckKind::PubRec => {}
            AckKind::PubRel => drop(self.got.remove(&identifier)),
        }
    }

    /// The broker answers what the client began, or goes on with what it began itself.
    /// What it has acknowledged with that.
    fn answers(&mut self, ack: &Ack, link: LinkId) -> Option<Key> {
        let identifier = ack.packet_identifier.get();
        match ack.kind {
            AckKind::PubAck => return self.got.remove(&identifier),
            AckKind::PubRec if ack.reason.is_error() => drop(self.got.remove(&identifier)),
            AckKind::PubRec => return self.got.get(&identifier).cloned(),
            AckKind::PubRel => self.sent.get_mut(&identifier).into_iter().for_each(|exchange| exchange.link = link),
            AckKind::PubComp => {}
        }
        None
    }

    /// All that it holds is gone.
    fn clear(&mut self) {
        self.subscriptions.clear();
        self.former.clear();
        self.retained.clear();
        self.as_published.clear();
        self.sent.clear();
        self.got.clear();
    }
}

/// The topic of a PUBLISH, whatever alias stands for it.
fn spelt_out(aliases: &mut BTreeMap<u16, Text>, publish: &Publish) -> Option<Text> {
    match publish.properties.topic_alias() {
        Some(alias) if publish.topic.is_empty() => aliases.get(&alias).cloned(),
        Some(alias) => {
            aliases.insert(alias, publish.topic.detached());
            Some(publish.topic.clone())
        }
        None => Some(publish.topic.clone()),
    }
}

/// A message, for people.
fn words((topic, payload): &Key) -> String {
    let shown = &payload[..payload.len().min(40)];
    format!("{:?} on {topic}", String::from_utf8_lossy(shown))
}
