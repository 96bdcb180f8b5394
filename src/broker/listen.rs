//! Messages overheard for the operator: what a page shows of the topics that somebody looks at. A listener is no
//! subscriber: it changes nothing for clients, and what it does not fetch in time is lost to it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Broker;
use crate::message::Message;
use crate::time::Time;
use crate::topic::{TopicFilter, TopicName};

/// How many there may be.
const LISTENERS: usize = 64;
/// How many messages are kept for one.
const MESSAGES: usize = 1_000;
/// How many bytes are kept for one.
const BYTES: usize = 4 * 1024 * 1024;
/// How long one is kept that does not ask.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names a listener within one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(u64);

/// All listeners.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    all: BTreeMap<ListenerId, Listener>,
    made: u64,
}

#[derive(Debug)]
struct Listener {
    filters: Vec<TopicFilter>,
    heard: VecDeque<(Time, Message)>,
    bytes: usize,
    missed: u64,
    asked: Time,
}

/// What a listener heard since it asked last.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The messages and when they came, in order.
    pub messages: Vec<(Time, Message)>,
    /// How many more there were.
    pub missed: u64,
}

impl Listeners {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn hear(&mut self, topic: &TopicName, message: &Message, now: Time) {
        self.all.retain(|_, listener| now.since(listener.asked) < PATIENCE);
        for listener in self.all.values_mut() {
            if listener.filters.iter().any(|filter| filter.matches(topic)) {
                listener.hear(message, now);
            }
        }
    }
}

impl Listener {
    fn hear(&mut self, message: &Message, now: Time) {
        let weight = message.weight();
        if self.heard.len() >= MESSAGES || self.bytes + weight > BYTES {
            self.missed += 1;
            return;
        }
        self.bytes += weight;
        self.heard.push_back((now, message.clone().detached()));
    }
}

impl Broker {
    /// Listens to what is published from now on; `None` if there are too many listeners.
    pub fn listen(&mut self, filters: Vec<TopicFilter>, now: Time) -> Option<ListenerId> {
        self.listeners.all.retain(|_, listener| now.since(listener.asked) < PATIENCE);
        if self.listeners.all.len() >= LISTENERS {
            return None;
        }
        self.listeners.made += 1;
        let id = ListenerId(self.listeners.made);
        let listener = Listener { filters, heard: VecDeque::new(), bytes: 0, missed: 0, asked: now };
        self.listeners.all.insert(id, listener);
        Some(id)
    }

    /// What it heard since this was asked last; `None` once it is forgotten, which a minute without asking does.
    pub fn heard(&mut self, id: ListenerId, now: Time) -> Option<Heard> {
        let listener = self.listeners.all.get_mut(&id)?;
        listener.asked = now;
        listener.bytes = 0;
        Some(Heard { messages: listener.heard.drain(..).collect(), missed: std::mem::take(&mut listener.missed) })
    }

    /// Forgets a listener.
    pub fn stop_listening(&mut self, id: ListenerId) {
        self.listeners.all.remove(&id);
    }

    /// A message is on its way to its subscribers.
    #[inline]
    pub(super) fn overhear(&mut self, topic: &TopicName, message: &Message) {
        if !self.listeners.is_empty() {
            self.listeners.hear(topic, message, self.now);
        }
    }
}
