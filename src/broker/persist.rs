//! Records for the disk, and sessions made from them again.

use std::time::Duration;

use super::quota::weight;
use super::session::{DelayedWill, Owed, Session, SessionKey, Subscribed, target};
use super::{Broker, SessionChange, Timer};
use crate::codec::{PacketIdentifier, Qos, Text};
use crate::flight::Awaited;
use crate::message::Message;
use crate::store::{Change, Key, OwedRecord, Restored, SessionRecord, SubscriptionRecord, Value};
use crate::time::Time;
use crate::topic::TopicName;

impl Broker {
    /// Writes down a session itself, if it outlives its connection.
    pub(super) fn store_session(&mut self, key: SessionKey) {
        let left = self.left(key);
        self.store_of(key, |session| {
            let will = session.will.as_ref().map(|will| (will.will.clone(), will.delay_seconds));
            let record = SessionRecord {
                expiry_seconds: session.expiry_seconds,
                left,
                will,
                username: session.username.as_deref().cloned(),
                block: session.outbound.block(),
            };
            (Key::Session(session.client_id.clone()), Some(Value::Session(Box::new(record))))
        });
    }

    /// When the connection of a session ended that has none now.
    fn left(&self, key: SessionKey) -> Option<Time> {
        let session = &self.sessions[key];
        let expiry = Duration::from_secs(session.expiry_seconds.into());
        // One that lasts for ever has no timer to count back from. It comes here just when its connection has ended, and
        // when its will is published; after that nobody asks any more.
        let ended = || self.timers.at(Timer::Session(key)).map_or(self.now, |end| end - expiry);
        session.link.is_none().then(ended)
    }

    pub(super) fn store_subscription(&mut self, key: SessionKey, filter: &Text, subscribed: Option<&Subscribed>) {
        self.store_of(key, |session| {
            let key = Key::Subscription(session.client_id.clone(), filter.clone());
            let record = |subscribed: &Subscribed| SubscriptionRecord {
                options: subscribed.options,
                identifier: subscribed.identifier,
                shared: subscribed.shared,
            };
            (key, subscribed.map(record).map(Value::Subscription))
        });
    }

    /// Writes down a message owed that waits in the queue.
    pub(super) fn store_owed(&mut self, key: SessionKey, owed: &mut Owed) {
        if self.stores(key) {
            self.outbox.store(owed_change(&self.sessions[key].client_id, owed, None));
        }
    }

    /// Writes down with which packet identifier a message owed was sent, and whether its PUBREC has come.
    pub(super) fn store_sent(&mut self, key: SessionKey, packet: PacketIdentifier, received: bool) {
        if self.stores(key) {
            let session = &mut self.sessions[key];
            if let Some(owed) = session.outbound.value_mut(packet) {
                self.outbox.store(owed_change(&session.client_id, owed, Some((packet, received))));
            }
        }
    }

    pub(super) fn forget_owed(&mut self, key: SessionKey, place: u64) {
        self.store_of(key, |session| (Key::Owed(session.client_id.clone(), place), None));
    }

    pub(super) fn store_unreleased(&mut self, key: SessionKey, packet: PacketIdentifier) {
        self.store_of(key, |session| (Key::Unreleased(session.client_id.clone(), packet), Some(Value::Present)));
    }

    pub(super) fn forget_unreleased(&mut self, key: SessionKey, packet: PacketIdentifier) {
        self.store_of(key, |session| (Key::Unreleased(session.client_id.clone(), packet), None));
    }

    pub(super) fn store_retained(&mut self, topic: &TopicName, message: Option<&Message>) {
        // What the broker says of itself is no promise.
        if self.config.durable && !topic.is_reserved() {
            let key = Key::Retained(topic.text().clone());
            self.outbox.store(Change::new(key, message.cloned().map(Box::new).map(Value::Retained)));
        }
    }

    /// Removes all that was written down of a session.
    pub(super) fn forget_session(&mut self, key: SessionKey) {
        if !self.config.durable {
            return;
        }
        let session = &self.sessions[key];
        let id = &session.client_id;
        let unsettled = session.outbound.unfinished().map(|(_, _, owed)| owed.place);
        let queued = session.queue.iter().map(|owed| owed.place);
        let filters = session.subscriptions.iter().map(|(filter, _)| filter);
        let keys = std::iter::once(Key::Session(id.clone()))
            .chain(filters.map(|filter| Key::Subscription(id.clone(), filter.clone())))
            .chain(unsettled.chain(queued).map(|place| Key::Owed(id.clone(), place)))
            .chain(session.inbound.iter().map(|packet| Key::Unreleased(id.clone(), packet)));
        keys.for_each(|key| self.outbox.store(Change::new(key, None)));
    }

    fn store_of(&mut self, key: SessionKey, change: impl FnOnce(&Session) -> (Key, Option<Value>)) {
        if self.stores(key) {
            let (key, value) = change(&self.sessions[key]);
            self.outbox.store(Change::new(key, value));
        }
    }

    /// Whether what is kept for a session is written down.
    fn stores(&self, key: SessionKey) -> bool {
        self.config.durable && self.sessions[key].is_lasting()
    }

    /// Takes up what an earlier broker stored. A connection that was open then ended with it, now.
    pub(super) fn restore(&mut self, restored: Restored) {
        let mut left: Vec<(SessionKey, Option<Time>, u8)> = Vec::new();
        for (key, value) in restored.into_records() {
            match (key, value) {
                (Key::Session(client_id), Value::Session(record)) => {
                    let (moment, block) = (record.left, record.block);
                    left.push((self.restore_session(client_id, *record), moment, block));
                }
                (Key::Subscription(client_id, filter), Value::Subscription(record)) => {
                    let Some(&session) = self.by_client_id.get(&client_id) else { continue };
                    let SubscriptionRecord { options, identifier, shared } = record;
                    let Ok(target) = target(filter.clone(), shared) else { continue };
                    self.add_subscription(session, filter, &target, Subscribed { options, identifier, shared });
                }
                (Key::Owed(client_id, place), Value::Owed(record)) => {
                    if let Some(&session) = self.by_client_id.get(&client_id) {
                        self.restore_owed(session, place, record);
                    }
                }
                (Key::Unreleased(client_id, packet), _) => {
                    if let Some(&session) = self.by_client_id.get(&client_id) {
                        self.sessions[session].inbound.restore(packet);
                    }
                }
                (Key::Retained(topic), Value::Retained(message)) => {
                    if let Ok(topic) = TopicName::try_from(topic) {
                        self.retained_bytes += weight(&message);
                        self.retained.insert(topic, *message);
                    }
                }
                // A key with a record of another kind cannot have been written by us.
                _ => {}
            }
        }
        for (session, moment, block) in left {
            self.sessions[session].outbound.leave_block(block);
            self.wait_for_return(session, moment.unwrap_or(self.now));
            if moment.is_none() {
                // A further crash is not to begin its time anew.
                self.store_session(session);
            }
        }
    }

    fn restore_session(&mut self, client_id: Text, record: SessionRecord) -> SessionKey {
        let mut session = Session::new(client_id.clone(), u16::MAX);
        session.expiry_seconds = record.expiry_seconds;
        session.username = record.username.map(Box::new);
        session.will = record.will.map(|(will, delay_seconds)| Box::new(DelayedWill { will, delay_seconds }));
        let key = self.sessions.insert(session);
        self.by_client_id.insert(client_id, key);
        self.report(key, SessionChange::Restored);
        key
    }

    fn restore_owed(&mut self, key: SessionKey, place: u64, record: OwedRecord) {
        let session = &mut self.sessions[key];
        session.next_place = session.next_place.max(place + 1);
        let owed = Owed { place, message: *record.message, left: true, stored: true };
        self.owe(key, &owed);
        let session = &mut self.sessions[key];
        match record.sent {
            None => session.queue.push_back(owed),
            Some((packet, received)) => {
                let awaited = match (owed.message.qos, received) {
                    (Qos::ExactlyOnce, true) => Awaited::PubComp,
                    (Qos::ExactlyOnce, false) => Awaited::PubRec,
                    _ => Awaited::PubAck,
                };
                session.outbound.restore(packet, awaited, owed);
            }
        }
    }
}

fn owed_change(client_id: &Text, owed: &mut Owed, sent: Option<(PacketIdentifier, bool)>) -> Change {
    let record = OwedRecord { message: Box::new(owed.message.clone()), sent };
    let fresh = !std::mem::replace(&mut owed.stored, true);
    Change { key: Key::Owed(client_id.clone(), owed.place), value: Some(Value::Owed(record)), fresh }
}
