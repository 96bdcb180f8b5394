//! What applications said and heard: was each promise of delivery kept?
//!
//! - What the broker acknowledged reaches every session that had subscribed to it, as long as the session lasts, once the
//!   client is back (QoS 1 and 2).
//! - At QoS 2 an application hears a message once.
//! - Messages of one publisher, on one topic, at one QoS are heard in the order in which they were said.
//!
//! It looks at the trace of a run whose faults are healed and whose network is quiet at its end. Where the standard
//! leaves room (a message that may expire, a queue that may be full, a packet too large for its receiver, one copy for
//! each of several matching subscriptions) nothing is demanded.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Breach, Findings, Id};
use crate::broker::SessionChange;
use crate::codec::{Ack, AckKind, Connect, Packet, Publish, Qos, Reason, Text, Version, decode};
use crate::link::LinkId;
use crate::message::Message;
use crate::time::Time;
use crate::topic::{Target, TopicFilter, TopicName};
use crate::trace::{Event, Name, Transfer, What};

/// The statements that are judged here, for each version of a subscriber.
const REACHES_ALL: [&str; 2] = ["v3.1.1/MQTT-4.5.0-1", "v5/MQTT-4.5.0-1"];
const ONCE: [&str; 2] = ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"];
const IN_ORDER: [&str; 2] = ["v3.1.1/MQTT-4.6.0-6", "v5/MQTT-4.6.0-6"];

/// What is known of a run beside its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The broker's sessions survive its process.
    pub disk: bool,
    /// The broker may drop what it has no room for.
    pub short_of_room: bool,
    /// Until when the run was watched, if that is later than its last event.
    pub ended: Time,
}

/// Topic and payload: what one application knows another's message by.
type Key = (String, Bytes);

/// Holds the trace of a run against what was promised. The broker is called `broker`.
pub fn history(trace: &[Event], broker: &str, circumstances: Circumstances) -> Findings {
    let mut history = History { broker, circumstances, twins: twins(trace), ..History::default() };
    for (place, event) in trace.iter().enumerate() {
        history.place = place;
        history.take_in(&event.what);
    }
    history.end();
    history.findings
}

/// The client identifiers that several clients connect with.
fn twins(trace: &[Event]) -> BTreeSet<Text> {
    let mut users: BTreeMap<Text, BTreeSet<&str>> = BTreeMap::new();
    for event in trace {
        if let What::Left(transfer) = &event.what
            && transfer.bytes.first().is_some_and(|first| first >> 4 == 1)
            && let Ok(Packet::Connect(connect)) = decode(Version::V5, &transfer.bytes)
            && !connect.client_id.is_empty()
        {
            users.entry(connect.client_id.detached()).or_default().insert(&transfer.from);
        }
    }
    users.into_iter().filter(|(_, users)| users.len() > 1).map(|(client_id, _)| client_id).collect()
}

#[derive(Debug, Default)]
struct History<'a> {
    broker: &'a str,
    circumstances: Circumstances,
    place: usize,
    links: BTreeMap<LinkId, Link>,
    sessions: BTreeMap<Text, Session>,
    /// The client identifier that each client has connected with last.
    identities: BTreeMap<Name, Text>,
    /// Client identifiers that several clients use: what they are owed and have said, nobody can tell.
    twins: BTreeSet<Text>,
    /// Shared subscriptions that such have, or had.
    groups_of_twins: BTreeSet<String>,
    /// How often applications have said it, or may the broker for them as a will.
    said: BTreeMap<Key, usize>,
    /// For each publisher, topic and QoS what it said, in order.
    lines: BTreeMap<(Name, String, Qos), Vec<Bytes>>,
    /// Where each reached the broker for the first time.
    came: BTreeMap<Key, usize>,
    /// What has a lifetime: when that is over for a session, it may still be sent again by its publisher, and be heard late.
    expiring: BTreeSet<Key>,
    owed: Vec<Owed>,
    /// How often each was heard, and how many subscriptions matched it at most.
    heard: BTreeMap<(Name, Key), (usize, usize)>,
    /// For each hearer and line the place of the latest message that it heard for the first time.
    latest: BTreeMap<(Name, Name, String, Qos), usize>,
    findings: Findings,
}

#[derive(Debug)]
struct Link {
    client: Name,
    client_id: Option<Text>,
    version: Version,
    /// SUBSCRIBE and UNSUBSCRIBE that are not answered.
    requests: BTreeMap<u16, Packet>,
    /// What the client's topic aliases stand for.
    aliases: BTreeMap<u16, Text>,
    open: bool,
}

#[derive(Debug)]
struct Session {
    version: Version,
    persistent: bool,
    /// The client limits the size of packets: what is too large is not sent.
    limited: bool,
    subscriptions: BTreeMap<String, Subscription>,
    /// Those that were ended, or that a broker forgot when it died: what they brought may still be under way.
    former: BTreeMap<String, Subscription>,
    /// Packet identifiers of QoS 2 messages from the client that are not released, and of acknowledged QoS 1 messages.
    received: BTreeMap<u16, Key>,
    link: Option<LinkId>,
}

#[derive(Debug)]
struct Subscription {
    target: Target,
    qos: Qos,
    no_local: bool,
    /// Where it was granted for the first time.
    since: usize,
}

/// A message that a session is to be sent.
#[derive(Debug)]
struct Owed {
    key: Key,
    /// Any one of these: the members of a group, or the one session.
    sessions: Vec<Text>,
    /// The publisher's session and packet identifier, until the broker has acknowledged it.
    unconfirmed: Option<(Text, u16)>,
    place: usize,
}

impl History<'_> {
    fn take_in(&mut self, what: &What) {
        match what {
            What::Opened { link, client, .. } => {
                let (client, requests) = (client.clone(), BTreeMap::new());
                let (version, aliases) = (Version::V5, BTreeMap::new());
                let link_of = Link { client, client_id: None, version, requests, aliases, open: true };
                self.links.insert(*link, link_of);
            }
            What::Closed { link, at, .. } => self.closed(*link, at),
            What::Arrived(transfer) if *transfer.to == *self.broker => self.at_broker(transfer, false),
            What::Left(transfer) if *transfer.from == *self.broker => self.at_broker(transfer, true),
            What::Session { client_id, change } => self.session(client_id, *change),
            What::Said { client, publish } => self.said(client, publish),
            What::Told { client, message } => self.told(client, message),
            What::Fault { word: "kill" | "power_off", names, began: true }
                if names.iter().any(|name| **name == *self.broker) =>
            {
                self.broker_died();
            }
            _ => {}
        }
    }

    fn closed(&mut self, id: LinkId, at: &Name) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.open = false;
        if **at == *self.broker
            && let Some(session) = link.client_id.as_ref().and_then(|client_id| self.sessions.get_mut(client_id))
            && session.link == Some(id)
        {
            session.link = None;
        }
    }

    /// A packet reached the broker, or left it.
    fn at_broker(&mut self, transfer: &Transfer, left: bool) {
        let Some(link) = self.links.get_mut(&transfer.link) else { return };
        let Ok(packet) = decode(link.version, &transfer.bytes) else { return };
        match (packet, left) {
            (Packet::Connect(connect), false) => self.connect(transfer.link, &connect),
            (Packet::ConnAck(connack), true) if !connack.reason.is_error() => {
                if let Some(assigned) = connack.properties.assigned_client_identifier() {
                    let client = link.client.clone();
                    link.client_id = Some(assigned.detached());
                    self.identities.insert(client, assigned.detached());
                }
                self.accepted(transfer.link);
            }
            (packet @ Packet::Subscribe(_), false) => link.request(packet),
            (packet @ Packet::Unsubscribe(_), false) => link.request(packet),
            (Packet::SubAck(suback), true) => {
                let asked = link.requests.remove(&suback.packet_identifier.get());
                let client_id = link.client_id.clone();
                if let (Some(Packet::Subscribe(subscribe)), Some(client_id)) = (asked, client_id) {
                    for (asked, reason) in subscribe.subscriptions.iter().zip(&suback.reasons) {
                        self.subscribed(&client_id, asked, *reason);
                    }
                }
            }
            (Packet::UnsubAck(unsuback), true) => {
                let asked = link.requests.remove(&unsuback.packet_identifier.get());
                let client_id = link.client_id.clone();
                if let (Some(Packet::Unsubscribe(unsubscribe)), Some(client_id)) = (asked, client_id) {
                    if let Some(session) = self.sessions.get_mut(&client_id) {
                        for filter in &unsubscribe.filters {
                            session.former.extend(session.subscriptions.remove_entry(filter.as_str()));
                        }
                    }
                    self.forget(&client_id);
                }
            }
            (Packet::Publish(publish), false) => {
                let topic = link.spelt_out(&publish);
                if let (Some(client_id), Some(topic)) = (link.client_id.clone(), topic) {
                    self.received(&client_id, &Publish { topic, ..publish });
                }
            }
            (Packet::Ack(ack), left) => {
                if let Some(client_id) = link.client_id.clone() {
                    self.acknowledged(&client_id, &ack, left);
                }
            }
            _ => {}
        }
    }

    fn connect(&mut self, id: LinkId, connect: &Connect) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.version = connect.version;
        link.client_id = Some(connect.client_id.detached());
        self.identities.insert(link.client.clone(), connect.client_id.detached());
        if let Some(will) = &connect.will {
            *self.said.entry((will.topic.to_string(), will.payload.clone())).or_default() += 1;
        }
        let (v5, properties) = (connect.version == Version::V5, &connect.properties);
        let expiry = properties.session_expiry_interval().unwrap_or(0);
        let persistent = if v5 { expiry > 0 } else { !connect.clean_start };
        let limited = properties.maximum_packet_size().is_some();
        let session = self.sessions.entry(connect.client_id.detached()).or_insert_with(|| Session {
            version: connect.version,
            persistent,
            limited,
            subscriptions: BTreeMap::new(),
            former: BTreeMap::new(),
            received: BTreeMap::new(),
            link: None,
        });
        session.version = connect.version;
        session.persistent = persistent;
        session.limited |= limited;
    }

    fn accepted(&mut self, id: LinkId) {
        let client_id = self.links.get(&id).and_then(|link| link.client_id.clone());
        if let Some(session) = client_id.and_then(|client_id| self.sessions.get_mut(&client_id)) {
            session.link = Some(id);
        }
    }

    fn session(&mut self, client_id: &str, change: SessionChange) {
        if matches!(change, SessionChange::Resumed | SessionChange::Restored) {
            return;
        }
        let Ok(client_id) = Text::try_from(client_id.to_owned()) else { return };
        if let Some(session) = self.sessions.get_mut(&client_id) {
            session.subscriptions.clear();
            session.former.clear();
            session.received.clear();
        }
        self.forget(&client_id);
    }

    /// Nothing is owed to this session any more; to a group that it is a member of, nothing is demanded.
    fn forget(&mut self, client_id: &Text) {
        self.owed.retain(|owed| !owed.sessions.contains(client_id));
    }

    fn subscribed(&mut self, client_id: &Text, asked: &crate::codec::Subscription, reason: Reason) {
        let granted = Qos::from_number(reason.code());
        let target = TopicFilter::try_from(asked.filter.clone()).and_then(Target::try_from);
        let (Some(qos), Ok(target), Some(session)) = (granted, target, self.sessions.get_mut(client_id)) else {
            return;
        };
        if self.twins.contains(client_id) && matches!(target, Target::Shared(..)) {
            self.groups_of_twins.insert(asked.filter.to_string());
        }
        let known = session.subscriptions.get(asked.filter.as_str());
        let since = known.map_or(self.place, |known| known.since);
        let subscription = Subscription { target, qos, no_local: asked.options.no_local, since };
        session.subscriptions.insert(asked.filter.to_string(), subscription);
    }

    /// The broker has got a message: it is owed to every session that has subscribed.
    fn received(&mut self, from: &Text, publish: &Publish) {
        if self.twins.contains(from) {
            return;
        }
        let key = (publish.topic.to_string(), publish.payload.clone());
        let Some(identifier) = publish.packet_identifier.map(u16::from) else { return };
        self.came.entry(key.clone()).or_insert(self.place);
        let Some(publisher) = self.sessions.get_mut(from) else { return };
        let repeated =
            publisher.received.get(&identifier) == Some(&key) && (publish.dup || publish.qos == Qos::ExactlyOnce);
        publisher.received.insert(identifier, key.clone());
        let expires = publish.properties.message_expiry_interval().is_some();
        if expires {
            self.expiring.insert(key.clone());
        }
        if repeated || expires || self.circumstances.short_of_room {
            return;
        }
        let Ok(topic) = TopicName::try_from(publish.topic.clone()) else { return };
        for (sessions, _) in self.whom_for(&topic, from).into_iter().filter(|(_, promised)| *promised) {
            let unconfirmed = Some((from.clone(), identifier));
            self.owed.push(Owed { key: key.clone(), sessions, unconfirmed, place: self.place });
        }
    }

    /// Whom a message is for: each session by itself, or the members of a group; and whether that is a promise, or some of
    /// them may get it at QoS 0 or not at all.
    fn whom_for(&self, topic: &TopicName, from: &Text) -> Vec<(Vec<Text>, bool)> {
        let mut alone: Vec<(Vec<Text>, bool)> = Vec::new();
        let mut groups: BTreeMap<&str, (Vec<Text>, bool)> = BTreeMap::new();
        let changing = self.changing(topic);
        for (client_id, session) in &self.sessions {
            let sure = !self.twins.contains(client_id) && !session.limited && !changing.contains(client_id);
            let (mut best, mut own) = (None, false);
            for (filter, subscription) in &session.subscriptions {
                if !subscription.target.filter().matches(topic) {
                    continue;
                }
                own |= subscription.no_local && client_id == from;
                match &subscription.target {
                    Target::Own(_) => best = best.max(Some(subscription.qos)),
                    Target::Shared(..) => {
                        let group = groups.entry(filter).or_insert_with(|| (Vec::new(), true));
                        group.0.push(client_id.clone());
                        group.1 &= sure && subscription.qos > Qos::AtMostOnce;
                    }
                }
            }
            if best > Some(Qos::AtMostOnce) {
                alone.push((vec![client_id.clone()], sure && !own));
            }
        }
        // Who has asked to join a group may be a member before the answer says so, and whether twins are nobody can tell.
        for (filter, group) in &mut groups {
            group.1 &= !self.groups_of_twins.contains(*filter);
            group.1 &= !self.requests().any(|(_, request)| match request {
                Packet::Subscribe(subscribe) => subscribe.subscriptions.iter().any(|it| *it.filter == **filter),
                _ => false,
            });
        }
        alone.into_iter().chain(groups.into_values()).collect()
    }

    /// Requests that are not answered, and who has made them.
    fn requests(&self) -> impl Iterator<Item = (&Text, &Packet)> {
        let open = self.links.values().filter(|link| !link.requests.is_empty());
        open.flat_map(|link| link.client_id.iter().flat_map(|who| link.requests.values().map(move |it| (who, it))))
    }

    /// The sessions that are about to have other subscriptions that the topic matches.
    fn changing(&self, topic: &TopicName) -> BTreeSet<&Text> {
        let matches = |filter: &Text| {
            let target = TopicFilter::try_from(filter.clone()).and_then(Target::try_from);
            target.is_ok_and(|target| target.filter().matches(topic))
        };
        let changes = |request: &Packet| match request {
            Packet::Subscribe(subscribe) => subscribe.subscriptions.iter().any(|it| matches(&it.filter)),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().any(matches),
            _ => false,
        };
        self.requests().filter(|(_, request)| changes(request)).map(|(who, _)| who).collect()
    }

    fn acknowledged(&mut self, client_id: &Text, ack: &Ack, left: bool) {
        let identifier = ack.packet_identifier.get();
        if left && matches!(ack.kind, AckKind::PubAck | AckKind::PubRec) {
            let of = (client_id.clone(), identifier);
            if ack.reason.is_error() {
                self.owed.retain(|owed| owed.unconfirmed.as_ref() != Some(&of));
            } else {
                let confirmed = self.owed.iter_mut().filter(|owed| owed.unconfirmed.as_ref() == Some(&of));
                confirmed.for_each(|owed| owed.unconfirmed = None);
            }
        }
        // The packet identifier is free again once the exchange is over.
        if !left
            && ack.kind == AckKind::PubRel
            && let Some(session) = self.sessions.get_mut(client_id)
        {
            session.received.remove(&identifier);
        }
        // A subscriber that refuses a message has had it.
        if !left && ack.reason.is_error() {
            self.forget(client_id);
        }
    }

    fn broker_died(&mut self) {
        let disk = self.circumstances.disk;
        let lost: Vec<Text> = self
            .sessions
            .iter_mut()
            .filter(|(_, session)| !disk || !session.persistent)
            .map(|(client_id, session)| {
                session.former = std::mem::take(&mut session.subscriptions);
                session.received.clear();
                client_id.clone()
            })
            .collect();
        lost.iter().for_each(|client_id| self.forget(client_id));
        // What was not acknowledged was not promised, and the publisher sends it again.
        self.owed.retain(|owed| owed.unconfirmed.is_none());
        self.sessions.values_mut().for_each(|session| session.link = None);
    }

    fn said(&mut self, client: &Name, publish: &Publish) {
        let topic = publish.topic.to_string();
        *self.said.entry((topic.clone(), publish.payload.clone())).or_default() += 1;
        self.lines.entry((client.clone(), topic, publish.qos)).or_default().push(publish.payload.clone());
    }

    fn told(&mut self, client: &Name, message: &Message) {
        let key = (message.topic.to_string(), message.payload.clone());
        let Some(client_id) = self.identities.get(client).cloned() else { return };
        let Some(session) = self.sessions.get(&client_id) else { return };
        let version = session.version;
        let matching = |subscription: &&Subscription| match TopicName::try_from(message.topic.clone()) {
            Ok(topic) => subscription.target.filter().matches(&topic),
            Err(_) => false,
        };
        let subscriptions = || session.subscriptions.values().chain(session.former.values());
        let copies = subscriptions().filter(matching).count();
        let shared = subscriptions().any(|subscription| matches!(subscription.target, Target::Shared(..)));
        // One that came before a subscription is heard when it is sent again, and that may be behind later ones.
        let since = subscriptions().filter(matching).map(|subscription| subscription.since).max().unwrap_or(0);
        let in_time = self.came.get(&key).is_none_or(|came| *came >= since);
        // What is owed to this session alone comes before what any member of its group may get.
        let owed = self.owed.iter().enumerate();
        let due = owed.filter(|(_, owed)| owed.key == key && owed.sessions.contains(&client_id));
        let due = due.min_by_key(|(_, owed)| owed.sessions.len()).map(|(place, _)| place);
        if let Some(due) = due {
            self.owed.remove(due);
            self.note(&REACHES_ALL, version, None);
        }
        if message.retain || self.twins.contains(&client_id) || self.said_by_twin(&key) {
            return;
        }
        let heard = self.heard.entry((client.clone(), key.clone())).or_default();
        *heard = (heard.0 + 1, heard.1.max(copies));
        let ((heard, most), said) = (*heard, self.said.get(&key).copied().unwrap_or_default());
        // Without a subscription that is known, nor is how many copies there may be.
        if message.qos == Qos::ExactlyOnce && copies > 0 && most == 1 {
            // What no application said came from a tool's own bytes, who knows how often.
            let doubled = (said > 0 && heard > said)
                .then(|| format!("{client} heard {} {heard} times, it was said {said} times", words(&key)));
            self.note(&ONCE, version, doubled);
        }
        if !shared && said == 1 && heard == 1 && in_time && !self.expiring.contains(&key) {
            self.order(client, &key, version);
        }
    }

    fn said_by_twin(&self, key: &Key) -> bool {
        let by = |publisher: &Name| self.identities.get(publisher).is_some_and(|id| self.twins.contains(id));
        let mut lines = self.lines.iter().filter(|((publisher, topic, _), _)| *topic == key.0 && by(publisher));
        lines.any(|(_, said)| said.contains(&key.1))
    }

    /// What is heard for the first time comes behind what was said before it.
    fn order(&mut self, hearer: &Name, key: &Key, version: Version) {
        let lines = self.lines.iter().filter(|((_, topic, _), _)| *topic == key.0);
        let found: Vec<_> = lines
            .filter_map(|(line, said)| Some((line.clone(), said.iter().position(|payload| *payload == key.1)?)))
            .collect();
        for ((publisher, topic, qos), place) in found {
            let line = (hearer.clone(), publisher.clone(), topic, qos);
            let latest = self.latest.get(&line).copied();
            let late = latest.filter(|latest| place < *latest);
            let why = late.map(|_| format!("{hearer} heard {} of {publisher} behind what was said later", words(key)));
            self.latest.insert(line, latest.unwrap_or(0).max(place));
            self.note(&IN_ORDER, version, why);
        }
    }

    /// All is quiet: what is still owed to somebody who is connected will not come any more.
    fn end(&mut self) {
        for owed in std::mem::take(&mut self.owed) {
            let connected = |client_id: &Text| {
                let link = self.sessions.get(client_id).and_then(|session| session.link);
                link.and_then(|link| self.links.get(&link)).is_some_and(|link| link.open)
            };
            if owed.unconfirmed.is_some() || !owed.sessions.iter().any(connected) {
                continue;
            }
            let who: Vec<&str> = owed.sessions.iter().map(Text::as_str).collect();
            let version = self.sessions.get(&owed.sessions[0]).map_or(Version::V5, |session| session.version);
            self.place = owed.place;
            let why = format!("{} was acknowledged and never reached {}", words(&owed.key), who.join(" or "));
            self.note(&REACHES_ALL, version, Some(why));
        }
    }

    fn note(&mut self, names: &[&str; 2], version: Version, broken: Option<String>) {
        let name = if version == Version::V5 { names[1] } else { names[0] };
        let Some(id) = Id::named(name) else { return };
        let finding = self.findings.entry(id).or_default();
        finding.exercised += 1;
        finding.breaches.extend(broken.map(|why| Breach { event: self.place, why }));
    }
}

impl Link {
    /// The topic of a PUBLISH, whatever alias stands for it.
    fn spelt_out(&mut self, publish: &Publish) -> Option<Text> {
        match publish.properties.topic_alias() {
            Some(alias) if publish.topic.is_empty() => self.aliases.get(&alias).cloned(),
            Some(alias) => {
                self.aliases.insert(alias, publish.topic.detached());
                Some(publish.topic.clone())
            }
            None => Some(publish.topic.clone()),
        }
    }

    fn request(&mut self, packet: Packet) {
        let identifier = match &packet {
            Packet::Subscribe(subscribe) => subscribe.packet_identifier,
            Packet::Unsubscribe(unsubscribe) => unsubscribe.packet_identifier,
            _ => return,
        };
        self.requests.insert(identifier.get(), packet);
    }
}

/// A message, for people.
fn words((topic, payload): &Key) -> String {
    let shown = &payload[..payload.len().min(40)];
    format!("{:?} on {topic}", String::from_utf8_lossy(shown))
}

/// The statements that are judged here.
pub fn judged() -> BTreeSet<Id> {
    [REACHES_ALL, ONCE, IN_ORDER].into_iter().flatten().filter_map(Id::named).collect()
}
