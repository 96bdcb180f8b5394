//! What a peer may make the broker hold, in messages and bytes, and how fast it may publish.

use std::time::Duration;

use super::Broker;
use super::notice::Limit;
use super::session::{Owed, SessionKey};
use crate::link::LinkId;
use crate::message::Message;
use crate::time::Time;

/// What keeping a message costs besides its topic and payload, in bytes, roughly.
const OVERHEAD: usize = 200;
/// What a publish rate is counted over.
const SECOND: Duration = Duration::from_secs(1);

/// Messages that are owed to sessions, and their bytes. A payload that several sessions wait for counts for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Debt {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, other: Debt) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// How many messages a connection has published in the second that began then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    since: Time,
    published: u32,
}

/// What a message costs to keep, in bytes.
pub(super) fn weight(message: &Message) -> usize {
    message.payload.len() + message.topic.len() + OVERHEAD
}

impl Broker {
    /// Whether a session may be owed one more message of QoS 1 or 2. What does not fit is noted and lost.
    pub(super) fn may_owe(&mut self, key: SessionKey, message: &Message) -> bool {
        let (config, session) = (&self.config, &self.sessions[key]);
        let bytes = weight(message);
        let (of_one, of_all) = (session.debt, self.debt);
        let too_much = session.queue.len() >= config.queue_maximum
            // One message always fits, however large.
            || (of_one.bytes + bytes > config.queue_bytes_maximum && of_one.messages > 0);
        if too_much {
            self.counters.dropped += 1;
            self.note_limit(Limit::Queue, Some(key));
            return false;
        }
        if of_all.messages >= config.all_queues_maximum || of_all.bytes + bytes > config.all_queues_bytes_maximum {
            self.counters.dropped += 1;
            self.note_limit(Limit::AllQueues, Some(key));
            return false;
        }
        true
    }

    /// A session is owed a message from now on.
    pub(super) fn owe(&mut self, key: SessionKey, owed: &Owed) {
        let bytes = weight(&owed.message);
        self.debt.add(bytes);
        self.sessions[key].debt.add(bytes);
    }

    /// A session is not owed a message any more.
    pub(super) fn paid(&mut self, key: SessionKey, owed: &Owed) {
        let paid = Debt { messages: 1, bytes: weight(&owed.message) };
        self.debt.remove(paid);
        self.sessions[key].debt.remove(paid);
    }

    /// A session is gone, and all that it was owed.
    pub(super) fn write_off(&mut self, debt: Debt) {
        self.debt.remove(debt);
    }

    /// Whether a connection publishes no faster than it may.
    #[cold]
    pub(super) fn keeps_pace(&mut self, id: LinkId) -> bool {
        let now = self.now;
        let most = self.config.publish_rate_maximum;
        let Some(link) = self.links.get_mut(&id) else { return true };
        if now.since(link.pace.since) >= SECOND {
            link.pace = Pace { since: now, published: 0 };
        }
        link.pace.published = link.pace.published.saturating_add(1);
        link.pace.published <= most
    }

    /// Whether a message may be kept for later subscribers, in the place of one that costs `instead` bytes.
    pub(super) fn may_retain(&mut self, message: &Message, instead: Option<usize>) -> bool {
        let config = &self.config;
        let bytes = self.retained_bytes - instead.unwrap_or(0) + weight(message);
        let too_many = instead.is_none() && self.retained.len() >= config.retained_maximum;
        let fits = !too_many && bytes <= config.retained_bytes_maximum;
        if fits {
            self.retained_bytes = bytes;
        } else {
            self.note_limit(Limit::Retained, None);
        }
        fits
    }
}
