//! The broker as its operator sees it, and what the operator may do to it. Every view is bounded: a page at a time, and a
//! search looks at so many sessions before it hands back how far it came.

use std::ops::Bound;

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use super::link::Link;
use super::notice::{Noticed, Notices};
use super::session::{Session, SessionKey, Subscribed};
use super::{Broker, Counters, Timer, Traffic};
use crate::codec::{Property, Qos, Text, Value};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::time::Time;
use crate::topic::{TopicError, TopicFilter, TopicName};
use crate::trace::Quoted;

/// How many items a page has at most.
pub const PAGE_MAXIMUM: usize = 500;
/// How many sessions one look goes through at most.
const LOOK: usize = 10_000;
/// A message's origin where no session is: no session has this key.
const NOBODY: SessionKey = usize::MAX;

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Begin behind this: [`Page::next`] of the page before.
    pub after: Option<String>,
    /// What client identifier, user name, address or filter contain, in upper or lower case (of ASCII letters); all if
    /// it is empty.
    pub contains: String,
    /// How many items are wanted, at most [`PAGE_MAXIMUM`].
    pub most: usize,
}

/// A part of a list that may be long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// What was found, in the order of client identifiers.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end. There may be more even where nothing was found yet.
    pub next: Option<String>,
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientView {
    /// Its client identifier.
    pub client_id: String,
    /// Its user name.
    pub user: Option<String>,
    /// The other end of its connection.
    pub address: String,
    /// The protocol version.
    pub version: String,
    /// In seconds; 0 where it is off.
    pub keep_alive: u64,
    /// For how many seconds it has been connected.
    pub connected_for: u64,
    /// Whether it asked to begin anew.
    pub clean_start: bool,
    /// Whether it does not read what is for it.
    pub congested: bool,
    /// Messages sent and not acknowledged.
    pub inflight: usize,
    /// Messages that wait.
    pub queued: usize,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Packets from it.
    pub packets_received: u64,
    /// Bytes from it.
    pub bytes_received: u64,
    /// Packets to it.
    pub packets_sent: u64,
    /// Bytes to it.
    pub bytes_sent: u64,
}

/// A session, connected or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionView {
    /// Whose it is.
    pub client_id: String,
    /// The user name of its last connection.
    pub user: Option<String>,
    /// Whether it has a connection now.
    pub connected: bool,
    /// For how many seconds it outlives its connection; `None` for ever.
    pub expiry: Option<u32>,
    /// In how many seconds it ends, if nobody comes back to it.
    pub expires_in: Option<u64>,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// Messages sent and not acknowledged.
    pub inflight: usize,
    /// Messages that wait.
    pub queued: usize,
    /// QoS 2 messages received and not released.
    pub unreleased: usize,
    /// The topic of its will.
    pub will: Option<String>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubscriptionView {
    /// Whose it is.
    pub client_id: String,
    /// Whether that client is connected.
    pub connected: bool,
    /// The topic filter as it was asked for.
    pub filter: String,
    /// Whether it is shared with others.
    pub shared: bool,
    /// The highest QoS.
    pub qos: u8,
    /// Whether what the client publishes itself is left out.
    pub no_local: bool,
    /// Whether the RETAIN flag is kept as published.
    pub retain_as_published: bool,
    /// The subscription identifier.
    pub identifier: Option<u32>,
}

/// One name in one level of the tree of retained messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BranchView {
    /// The level's own name; it may be empty.
    pub level: String,
    /// The whole topic name down to here.
    pub topic: String,
    /// The message retained right here.
    pub message: Option<MessageView>,
    /// Whether there is anything below.
    pub below: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// Its topic name.
    pub topic: String,
    /// How many bytes its payload has.
    pub size: usize,
    /// The payload, or the beginning of it, if it is text.
    pub text: Option<String>,
    /// The payload in hex, or the beginning of it, if it is no text.
    pub hex: Option<String>,
    /// Whether not all of it is shown.
    pub cut: bool,
    /// Its QoS.
    pub qos: u8,
    /// Its RETAIN flag.
    pub retain: bool,
    /// Its properties, by the standard's names.
    pub properties: Vec<(String, String)>,
    /// In how many seconds it expires.
    pub expires_in: Option<u32>,
}

/// The broker in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// What is counted since it began.
    pub counters: Counters,
    /// Connections, also of clients that are not accepted yet.
    pub connections: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Subscriptions; a shared one counts once for its group.
    pub subscriptions: usize,
    /// Groups that share a subscription.
    pub groups: usize,
    /// Retained messages.
    pub retained: usize,
}

/// What is owed to sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait.
    pub queued: u64,
    /// Messages sent and not acknowledged.
    pub inflight: u64,
}

/// Why the operator's message is not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unpublished {
    /// The topic name is none.
    #[error("the topic: {0}")]
    Topic(#[from] TopicError),
    /// It begins with `$`.
    #[error("topics that begin with $ are the broker's own")]
    Reserved,
    /// Retained messages are not kept.
    #[error("retained messages are not available here")]
    Retain,
    /// The QoS is not served.
    #[error("the QoS is above the highest served")]
    Qos,
}

impl Broker {
    /// The broker in numbers.
    pub fn totals(&self) -> Totals {
        Totals {
            counters: self.counters,
            connections: self.links.len(),
            sessions: self.sessions.len(),
            subscriptions: self.subscriptions.len(),
            groups: self.groups.len(),
            retained: self.retained.len(),
        }
    }

    /// What is owed to all sessions together. Looks at each of them.
    pub fn backlog(&self) -> Backlog {
        self.sessions.iter().fold(Backlog::default(), |sum, (_, session)| Backlog {
            queued: sum.queued + session.queue.len() as u64,
            inflight: sum.inflight + session.outbound.len() as u64,
        })
    }

    /// Clients that are connected.
    pub fn clients(&self, search: &Search, now: Time) -> Page<ClientView> {
        self.look(search, |session| {
            let link = session.link.and_then(|id| self.links.get(&id))?;
            let hit = search.hits([&*session.client_id, user(session), &link.peer.0]);
            hit.then(|| client_view(session, link, now))
        })
    }

    /// One client that is connected.
    pub fn client(&self, client_id: &str, now: Time) -> Option<ClientView> {
        let session = &self.sessions[self.session_of(client_id)?];
        let link = self.links.get(&session.link?)?;
        Some(client_view(session, link, now))
    }

    /// Whose connection this is: client identifier and user name.
    pub fn client_of(&self, link: LinkId) -> Option<(Text, Option<Text>)> {
        let session = &self.sessions[self.links.get(&link)?.session()?];
        Some((session.client_id.clone(), session.username.as_deref().cloned()))
    }

    /// Sessions, connected or not.
    pub fn session_list(&self, search: &Search, offline_alone: bool, now: Time) -> Page<SessionView> {
        self.look(search, |session| {
            let hit = search.hits([&*session.client_id, user(session)]) && !(offline_alone && session.link.is_some());
            hit.then(|| self.session_view(session, now))
        })
    }

    /// One session.
    pub fn session(&self, client_id: &str, now: Time) -> Option<SessionView> {
        Some(self.session_view(&self.sessions[self.session_of(client_id)?], now))
    }

    /// Subscriptions, of one client or of all. A page ends at the end of a session's where it can.
    pub fn subscription_list(&self, search: &Search, of: Option<&str>) -> Page<SubscriptionView> {
        // No string of MQTT contains U+0000.
        let after = search.after.as_deref().map(|after| after.split_once('\0').unwrap_or((after, "")));
        let mut page = Page { items: Vec::new(), next: None };
        let from = match (of, after) {
            (Some(of), _) | (None, Some((of, _))) => Bound::Included(of.as_bytes()),
            (None, None) => Bound::Unbounded,
        };
        for (looked, (client_id, key)) in self.by_client_id.range::<[u8], _>((from, Bound::Unbounded)).enumerate() {
            if of.is_some_and(|of| of != &**client_id) {
                break;
            }
            if looked >= LOOK {
                page.next = Some(format!("{client_id}\0"));
                break;
            }
            let session = &self.sessions[*key];
            let behind = match after {
                Some((id, filter)) if id == &**client_id && !filter.is_empty() => Some(filter.as_bytes()),
                _ => None,
            };
            for (filter, subscribed) in session.subscriptions.behind(behind) {
                if !search.hits([&**client_id, &**filter]) {
                    continue;
                }
                if page.items.len() >= search.most() {
                    let last =
                        page.items.last().map(|item: &SubscriptionView| format!("{}\0{}", item.client_id, item.filter));
                    return Page { next: last, ..page };
                }
                page.items.push(subscription_view(session, filter, subscribed));
            }
        }
        page
    }

    /// One level of the tree of retained messages: the first, or the one below a topic name.
    pub fn retained_level(&self, below: Option<&str>, after: Option<&str>, most: usize, now: Time) -> Page<BranchView> {
        let most = most.clamp(1, PAGE_MAXIMUM);
        let mut items = Vec::new();
        let mut next = None;
        self.retained.for_each_branch(below, after, |level, topic, value, more| {
            if items.len() >= most {
                next = items.last().map(|item: &BranchView| item.level.clone());
                return false;
            }
            let message = value.filter(|message| !message.expired(now)).map(|message| message_view(message, 256, now));
            items.push(BranchView { level: level.to_owned(), topic: topic.to_owned(), message, below: more });
            true
        });
        Page { items, next }
    }

    /// The message retained under a topic name, with as much of its payload as is asked for.
    pub fn retained_message(&self, topic: &str, shown: usize, now: Time) -> Option<MessageView> {
        let message = self.retained.get(&TopicName::try_from(topic).ok()?)?;
        (!message.expired(now)).then(|| message_view(message, shown, now))
    }

    /// Retained messages that a filter matches, at most so many.
    pub fn retained_matching(&self, filter: &TopicFilter, most: usize, now: Time) -> Vec<Message> {
        let mut found = Vec::new();
        self.retained.for_each_match(filter, |_, message| {
            if found.len() < most && !message.expired(now) {
                found.push(message.clone());
            }
        });
        found
    }

    /// Whether a user may see and do everything, and so may be the operator: no access rule denies them anything.
    pub fn is_operator(&self, user: &str) -> bool {
        for rule in &self.config.access {
            if rule.user.as_deref().is_some_and(|of| of != user) {
                continue;
            }
            if !rule.allow {
                return false;
            }
            if rule.client_id.is_none() && rule.action.is_none() && rule.filter.is_none() {
                return true;
            }
        }
        true
    }

    /// Publishes a message of the operator's; whether anybody was subscribed.
    ///
    /// # Errors
    /// Why it is not published.
    pub fn publish_from_operator(
        &mut self,
        now: Time,
        topic: &str,
        payload: Bytes,
        qos: Qos,
        retain: bool,
    ) -> Result<bool, Unpublished> {
        let topic = TopicName::try_from(topic)?;
        if topic.is_reserved() {
            return Err(Unpublished::Reserved);
        }
        if retain && !self.config.retain_available {
            return Err(Unpublished::Retain);
        }
        if qos > self.config.maximum_qos {
            return Err(Unpublished::Qos);
        }
        let message = Message { topic: topic.text().clone(), payload, qos, retain, ..Message::default() };
        Ok(self.act(now, |broker| broker.route(NOBODY, &topic, message)))
    }

    /// Disconnects a client, who is told 0x98 (administrative action) in 5.0; whether it was connected.
    pub fn disconnect(&mut self, now: Time, client_id: &str) -> bool {
        let link = self.session_of(client_id).and_then(|key| self.sessions[key].link);
        let Some(link) = link else { return false };
        self.act(now, |broker| broker.close(link, Cause::Administrative));
        true
    }

    /// Ends a session, and its connection if it has one; whether there was one.
    pub fn end_session_of(&mut self, now: Time, client_id: &str) -> bool {
        let Some(key) = self.session_of(client_id) else { return false };
        self.act(now, |broker| {
            broker.note_of(key, Notices::Few, || Noticed::SessionEnded);
            if let Some(link) = broker.sessions[key].link {
                // Nothing of it outlives the connection.
                broker.sessions[key].expiry_seconds = 0;
                broker.close(link, Cause::Administrative);
            } else {
                broker.end_session(key);
            }
        });
        true
    }

    /// Deletes a retained message; whether there was one.
    pub fn delete_retained(&mut self, now: Time, topic: &str) -> bool {
        let Ok(topic) = TopicName::try_from(topic) else { return false };
        let there = self.retained.get(&topic).is_some();
        if there {
            self.act(now, |broker| broker.retain(&topic, &Message::default()));
        }
        there
    }

    /// A turn of the operator's.
    fn act<T>(&mut self, now: Time, act: impl FnOnce(&mut Broker) -> T) -> T {
        self.now = now.max(self.now);
        let done = act(self);
        self.outbox.commit();
        done
    }

    fn session_of(&self, client_id: &str) -> Option<SessionKey> {
        self.by_client_id.get(client_id.as_bytes()).copied()
    }

    /// Goes through sessions in the order of their client identifiers.
    fn look<T>(&self, search: &Search, view: impl Fn(&Session) -> Option<T>) -> Page<T> {
        let from = search.after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
        let mut items = Vec::new();
        let mut last: Option<&Text> = None;
        for (looked, (client_id, key)) in self.by_client_id.range::<[u8], _>((from, Bound::Unbounded)).enumerate() {
            if looked >= LOOK || items.len() >= search.most() {
                return Page { items, next: last.map(ToString::to_string) };
            }
            items.extend(view(&self.sessions[*key]));
            last = Some(client_id);
        }
        Page { items, next: None }
    }

    fn session_view(&self, session: &Session, now: Time) -> SessionView {
        let key = self.by_client_id.get(&session.client_id.as_bytes()[..]);
        let end = key.and_then(|key| self.timers.at(Timer::Session(*key)));
        SessionView {
            client_id: session.client_id.to_string(),
            user: session.username.as_ref().map(ToString::to_string),
            connected: session.link.is_some(),
            expiry: (session.expiry_seconds != u32::MAX).then_some(session.expiry_seconds),
            expires_in: end.map(|end| end.since(now).as_secs()),
            subscriptions: session.subscriptions.len(),
            inflight: session.outbound.len(),
            queued: session.queue.len(),
            unreleased: session.inbound.iter().count(),
            will: session.will.as_ref().map(|will| will.will.topic.to_string()),
        }
    }
}

impl Search {
    fn most(&self) -> usize {
        self.most.clamp(1, PAGE_MAXIMUM)
    }

    fn hits<const N: usize>(&self, texts: [&str; N]) -> bool {
        let wanted = self.contains.as_bytes();
        let within = |text: &str| {
            text.len() >= wanted.len()
                && text.as_bytes().windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
        };
        wanted.is_empty() || texts.into_iter().any(within)
    }
}

fn user(session: &Session) -> &str {
    session.username.as_ref().map(|name| name.as_str()).unwrap_or_default()
}

fn client_view(session: &Session, link: &Link, now: Time) -> ClientView {
    let Traffic { received, sent } = link.counters.traffic;
    ClientView {
        client_id: session.client_id.to_string(),
        user: session.username.as_ref().map(ToString::to_string),
        address: link.peer.0.clone(),
        version: link.wire_version().to_string(),
        keep_alive: link.patience.map_or(0, |patience| patience.as_secs() * 2 / 3),
        connected_for: now.since(link.counters.since).as_secs(),
        clean_start: link.clean_start,
        congested: link.congested,
        inflight: session.outbound.len(),
        queued: session.queue.len(),
        subscriptions: session.subscriptions.len(),
        packets_received: received.number,
        bytes_received: received.bytes,
        packets_sent: sent.number,
        bytes_sent: sent.bytes,
    }
}

fn subscription_view(session: &Session, filter: &Text, subscribed: &Subscribed) -> SubscriptionView {
    SubscriptionView {
        client_id: session.client_id.to_string(),
        connected: session.link.is_some(),
        filter: filter.to_string(),
        shared: subscribed.shared,
        qos: subscribed.options.qos.number(),
        no_local: subscribed.options.no_local,
        retain_as_published: subscribed.options.retain_as_published,
        identifier: subscribed.identifier,
    }
}

/// A message with at most so many bytes of its payload.
pub fn message_view(message: &Message, shown: usize, now: Time) -> MessageView {
    let payload = &message.payload;
    let (text, hex) = match readable(payload, shown) {
        Some(text) => (Some(text.to_owned()), None),
        None => {
            let bytes = payload.iter().take(shown / 2);
            (None, Some(bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")))
        }
    };
    let covered = text.as_ref().map_or(shown / 2, String::len);
    MessageView {
        topic: message.topic.to_string(),
        size: payload.len(),
        cut: payload.len() > covered,
        text,
        hex,
        qos: message.qos.number(),
        retain: message.retain,
        properties: message.properties.iter().map(property_view).collect(),
        expires_in: message.expiry_left(now),
    }
}

/// A property's name and its value in words.
fn property_view((property, value): (Property, Value)) -> (String, String) {
    let value = match value {
        Value::Byte(byte) => byte.to_string(),
        Value::Two(two) => two.to_string(),
        Value::Four(four) | Value::Variable(four) => four.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Binary(bytes) => Quoted(&bytes).to_string(),
        Value::Pair(key, value) => format!("{key} = {value}"),
    };
    (property.name().to_owned(), value)
}

/// The beginning of a payload as text, if all that is shown of it is text.
fn readable(payload: &[u8], shown: usize) -> Option<&str> {
    let part = &payload[..payload.len().min(shown)];
    let text = match std::str::from_utf8(part) {
        Ok(text) => text,
        // A character may be cut in two at the end.
        Err(error) if error.error_len().is_none() && part.len() < payload.len() => {
            std::str::from_utf8(&part[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let plain = |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    text.chars().all(plain).then_some(text)
}
