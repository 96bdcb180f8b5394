//! A message goes out to a session: at once where its connection has room, else from its queue (sections 3.3.4, 4.4,
//! 4.6, 4.9).

use super::Broker;
use super::link::Link;
use super::notice::Limit;
use super::session::{Owed, SessionKey};
use crate::codec::{AckKind, Packet, PacketIdentifier, Property, Publish, Qos, Reason, Text, Value};
use crate::flight::Awaited;
use crate::link::LinkId;
use crate::message::Message;

impl Broker {
    /// Gives a session a message, with the QoS and the flags it is to have there.
    pub(super) fn deliver(&mut self, key: SessionKey, message: Message) {
        if message.qos == Qos::AtMostOnce {
            // What cannot be sent now is not kept: at most once.
            if let Some(link) = self.open_link(key) {
                self.send_message(link, &message, None, false);
            } else if self.sessions[key].link.is_some() {
                self.counters.dropped += 1;
            }
            return;
        }
        if self.sessions[key].queue.len() >= self.config.queue_maximum {
            self.counters.dropped += 1;
            return self.note_limit(Limit::Queue, Some(key));
        }
        let session = &mut self.sessions[key];
        let owed = Owed { place: session.take_place(), message, left: true };
        let next = session.queue.is_empty();
        match self.open_link(key) {
            Some(link) if next && self.may_send(key) => self.begin(key, link, owed),
            _ => {
                self.store_owed(key, &owed, None);
                self.sessions[key].queue.push_back(owed);
            }
        }
    }

    /// Sends what a session is owed, in order, as far as its connection has room: first what an earlier connection left
    /// unsettled, then the queue.
    pub(super) fn send_queued(&mut self, key: SessionKey) {
        while let Some(link) = self.open_link(key) {
            if self.resend_one(key, link) {
                continue;
            }
            if !self.may_send(key) {
                return;
            }
            let Some(owed) = self.sessions[key].queue.pop_front() else { return };
            if owed.message.expired(self.now) {
                self.forget_owed(key, owed.place);
            } else {
                self.begin(key, link, owed);
            }
        }
    }

    /// Sends one unsettled PUBLISH or PUBREL of an earlier connection again (4.4.0-1); whether there was one.
    fn resend_one(&mut self, key: SessionKey, link: LinkId) -> bool {
        let Some((packet, awaited, owed)) = self.sessions[key].outbound.resend() else { return false };
        match awaited {
            Awaited::PubComp => self.answer(link, AckKind::PubRel, packet, Reason::Success),
            Awaited::PubAck | Awaited::PubRec => {
                let (message, place, dup) = (owed.message.clone(), owed.place, owed.left);
                if let Some(owed) = self.sessions[key].outbound.value_mut(packet) {
                    owed.left = true;
                }
                if !self.send_message(link, &message, Some(packet), dup) {
                    self.give_up(key, packet, awaited, place);
                }
            }
            Awaited::SubAck | Awaited::UnsubAck => {}
        }
        true
    }

    /// Sends a QoS 1 or 2 message for the first time.
    fn begin(&mut self, key: SessionKey, link: LinkId, owed: Owed) {
        let awaited = match owed.message.qos {
            Qos::ExactlyOnce => Awaited::PubRec,
            Qos::AtLeastOnce | Qos::AtMostOnce => Awaited::PubAck,
        };
        let place = owed.place;
        let session = &mut self.sessions[key];
        let Some(packet) = session.outbound.begin(awaited, owed.clone()) else {
            self.store_owed(key, &owed, None);
            self.sessions[key].queue.push_front(owed);
            return;
        };
        self.store_owed(key, &owed, Some((packet, false)));
        if !self.send_message(link, &owed.message, Some(packet), false) {
            self.give_up(key, packet, awaited, place);
        }
    }

    /// A message larger than the client takes counts as delivered (5.0, 3.1.2-25).
    fn give_up(&mut self, key: SessionKey, packet: PacketIdentifier, awaited: Awaited, place: u64) {
        self.sessions[key].outbound.finish(packet, awaited);
        self.forget_owed(key, place);
    }

    /// The connection of a session, if it has one that takes more.
    fn open_link(&self, key: SessionKey) -> Option<LinkId> {
        let id = self.sessions[key].link?;
        let link = self.links.get(&id)?;
        (!link.congested).then_some(id)
    }

    fn may_send(&self, key: SessionKey) -> bool {
        let outbound = &self.sessions[key].outbound;
        outbound.all_resent() && outbound.has_quota()
    }

    /// Sends one PUBLISH; whether the client takes one of its size.
    fn send_message(&mut self, id: LinkId, message: &Message, packet: Option<PacketIdentifier>, dup: bool) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let mut properties = message.properties.clone();
        if let Some(seconds) = message.expiry_left(self.now) {
            properties.push(Property::MessageExpiryInterval, Value::Four(seconds));
        }
        // A message sent again names its topic in full: the alias of an earlier connection means nothing here.
        let alias = if dup { None } else { link.alias_for(&message.topic) };
        if let Some(alias) = alias {
            properties.push(Property::TopicAlias, Value::Two(alias.number));
        }
        let known = alias.is_some_and(|alias| alias.known);
        let publish = Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: if known { Text::EMPTY } else { message.topic.clone() },
            packet_identifier: packet,
            properties,
            payload: message.payload.clone(),
        };
        let sent = self.send(id, &Packet::Publish(publish));
        if sent {
            self.counters.publishes.sent.add(message.payload.len());
        }
        if let (true, Some(alias), Some(link)) = (sent, alias, self.links.get_mut(&id)) {
            link.aliases_out.insert(message.topic.clone(), alias.number);
        }
        sent
    }
}

/// A topic alias towards a client, and whether the client knows it.
#[derive(Clone, Copy)]
struct Alias {
    number: u16,
    known: bool,
}

impl Link {
    /// The alias to send a topic with: its own, or the next free one for as long as there are any.
    fn alias_for(&self, topic: &Text) -> Option<Alias> {
        if self.aliases_out_maximum == 0 {
            return None;
        }
        if let Some(&number) = self.aliases_out.get(topic) {
            return Some(Alias { number, known: true });
        }
        let number = u16::try_from(self.aliases_out.len()).ok()?.checked_add(1)?;
        (number <= self.aliases_out_maximum).then_some(Alias { number, known: false })
    }
}
