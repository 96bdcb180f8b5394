//! Retained messages on their way to new subscribers (section 3.3.1.3).
//!
//! A subscription may match a million of them. At QoS 0 they are sent in portions, between which others are served, and
//! only while the connection takes them. At QoS 1 and 2 they are owed from the moment of the SUBACK on, and what a
//! session can be owed has its limits: they are taken all at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hint::black_box;

use super::Broker;
use super::session::{SessionKey, Subscribed};
use crate::codec::{Property, Qos, Value};
use crate::message::Message;
use crate::topic::{TopicFilter, TopicName};

/// How many messages one portion has.
const PORTION: usize = 128;
/// How many of them are fetched side by side, before they are sent: what a processor keeps at hand.
const NEAR: usize = 16;

/// What is still to be sent, to whom.
#[derive(Debug, Default)]
pub(super) struct Replays {
    of: BTreeMap<SessionKey, VecDeque<Replay>>,
    /// Whose connections take more, as far as is known.
    ready: BTreeSet<SessionKey>,
}

/// What one subscription is still to be sent.
#[derive(Debug)]
struct Replay {
    filter: TopicFilter,
    subscribed: Subscribed,
    /// The topic up to which it has been.
    after: Option<TopicName>,
}

impl Replays {
    /// Whether there is anything that can be sent.
    pub(super) fn are_due(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The connection of a session takes more again.
    pub(super) fn drained(&mut self, session: SessionKey) {
        if self.of.contains_key(&session) {
            self.ready.insert(session);
        }
    }

    /// A subscription has ended, or begins anew.
    pub(super) fn cancel(&mut self, session: SessionKey, filter: &str) {
        if let Some(of_session) = self.of.get_mut(&session) {
            of_session.retain(|replay| replay.filter.as_str() != filter);
        }
    }

    /// A connection has ended.
    pub(super) fn forget(&mut self, session: SessionKey) {
        self.of.remove(&session);
        self.ready.remove(&session);
    }
}

impl Broker {
    /// Sends the retained messages that a new subscription matches, or begins to.
    pub(super) fn send_retained(&mut self, session: SessionKey, filter: TopicFilter, subscribed: Subscribed) {
        self.replays.cancel(session, filter.as_str());
        let mut replay = Replay { filter, subscribed, after: None };
        if subscribed.options.qos > Qos::AtMostOnce {
            while self.send_portion(session, &mut replay) {}
        } else if self.send_portion(session, &mut replay) {
            self.replays.of.entry(session).or_default().push_back(replay);
            self.replays.ready.insert(session);
        }
    }

    /// Goes on with what retained messages are still to be sent: one portion for each connection that takes more.
    pub(super) fn send_more_retained(&mut self) {
        for session in std::mem::take(&mut self.replays.ready) {
            if self.open_link(session).is_none() {
                continue;
            }
            let Some(mut of_session) = self.replays.of.remove(&session) else { continue };
            if let Some(mut replay) = of_session.pop_front()
                && self.send_portion(session, &mut replay)
            {
                of_session.push_front(replay);
            }
            if !of_session.is_empty() {
                self.replays.of.insert(session, of_session);
                self.replays.ready.insert(session);
            }
        }
    }

    /// Sends one portion; whether there may be more.
    fn send_portion(&mut self, session: SessionKey, replay: &mut Replay) -> bool {
        // Put aside, so that the messages need not be copied before they are sent.
        let retained = std::mem::take(&mut self.retained);
        let mut portion = Vec::new();
        retained.visit(&replay.filter, replay.after.as_ref(), |topic, message| {
            portion.push((topic, message));
            portion.len() < PORTION
        });
        replay.after = portion.get(PORTION - 1).map(|(topic, _)| (*topic).clone());
        // The processor fetches side by side what is looked at here, where sending would wait for one after the other.
        for near in portion.chunks(NEAR) {
            for (_, message) in near {
                black_box((message.qos, message.expires, message.topic.as_bytes().first(), message.payload.last()));
            }
            for (topic, message) in near {
                if !message.expired(self.now) && self.may_hear(session, topic) {
                    self.send_one_retained(session, &replay.subscribed, message);
                }
            }
        }
        self.retained = retained;
        replay.after.is_some()
    }

    fn send_one_retained(&mut self, key: SessionKey, subscribed: &Subscribed, message: &Message) {
        let qos = message.qos.min(subscribed.options.qos);
        if qos == Qos::AtMostOnce && subscribed.identifier.is_none() {
            return self.deliver_at_most_once(key, message, true, None);
        }
        let mut copy = Message { qos, retain: true, ..message.clone() };
        if let Some(identifier) = subscribed.identifier {
            copy.properties.push(Property::SubscriptionIdentifier, Value::Variable(identifier));
        }
        self.deliver(key, copy);
    }
}
