//! A message goes out to a session: at once where its connection has room, else from its queue (sections 3.3.4, 4.4,
//! 4.6, 4.9).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Broker;
use super::link::Link;
use super::session::{Owed, SessionKey};
use crate::codec::{AckKind, Frame, PacketIdentifier, Property, PublishParts, Qos, Reason, Text, Value, Version};
use crate::flight::Awaited;
use crate::link::LinkId;
use crate::message::Message;
use crate::time::Time;

impl Broker {
    /// Gives a session a message of QoS 0. What cannot be sent now is not kept. `copies` holds what other sessions were
    /// sent of the same message, where this one gets nothing of its own.
    pub(super) fn deliver_at_most_once(
        &mut self,
        key: SessionKey,
        message: &Message,
        retain: bool,
        copies: Option<&mut Copies>,
    ) {
        let Some(id) = self.sessions[key].link else { return };
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.congested) else {
            self.counters.dropped += 1;
            return;
        };
        let shared = copies.filter(|_| link.aliases_out_maximum == 0);
        let flags = Flags { dup: false, qos: Qos::AtMostOnce, retain };
        let frame = match shared.map(|copies| copies.of(link.version, retain)) {
            Some(Some(frame)) => Some(frame.clone()),
            Some(place @ None) => {
                *place = link.frame(message, flags, None, self.now);
                place.clone()
            }
            None => link.frame(message, flags, None, self.now),
        };
        let frame = frame.filter(|frame| link.takes(frame));
        self.send_publish(id, frame, message.payload.len(), Order::Kept);
    }

    /// Gives a session a message, with the QoS and the flags it is to have there.
    pub(super) fn deliver(&mut self, key: SessionKey, message: Message) {
        if message.qos == Qos::AtMostOnce {
            return self.deliver_at_most_once(key, &message, message.retain, None);
        }
        if !self.may_owe(key, &message) {
            return;
        }
        let place = self.sessions[key].take_place();
        let mut owed = Owed { place, message, left: true, stored: false };
        self.owe(key, &owed);
        let next = self.sessions[key].queue.is_empty();
        match self.open_link(key) {
            Some(link) if next && self.may_send(key) => self.begin(key, link, owed),
            _ => {
                self.store_owed(key, &mut owed);
                self.sessions[key].queue.push_back(owed);
            }
        }
    }

    /// Sends what a session is owed, in order, as far as its connection has room: first what an earlier connection left
    /// unsettled, then the queue.
    pub(super) fn send_queued(&mut self, key: SessionKey) {
        let session = &self.sessions[key];
        if session.queue.is_empty() && session.outbound.all_resent() {
            return;
        }
        while let Some(link) = self.open_link(key) {
            if self.resend_one(key, link) {
                continue;
            }
            if !self.may_send(key) {
                return;
            }
            let Some(owed) = self.sessions[key].queue.pop_front() else { return };
            if owed.message.expired(self.now) {
                self.paid(key, &owed);
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
                let (place, dup) = (owed.place, owed.left);
                if let Some(owed) = self.sessions[key].outbound.value_mut(packet) {
                    owed.left = true;
                }
                if !self.send_begun(key, link, packet, dup, Order::Kept) {
                    self.give_up(key, packet, awaited, place);
                }
            }
            Awaited::SubAck | Awaited::UnsubAck => {}
        }
        true
    }

    /// Sends a QoS 1 or 2 message for the first time. At QoS 1 that need not wait until it is stored if that has not been
    /// promised to anyone either: see [`Broker::output_ahead`].
    fn begin(&mut self, key: SessionKey, link: LinkId, owed: Owed) {
        let awaited = match owed.message.qos {
            Qos::ExactlyOnce => Awaited::PubRec,
            Qos::AtLeastOnce | Qos::AtMostOnce => Awaited::PubAck,
        };
        let (place, stored) = (owed.place, owed.stored);
        let outbound = &mut self.sessions[key].outbound;
        let block = outbound.block();
        let packet = match outbound.begin(awaited, owed) {
            Ok(packet) => packet,
            Err(mut owed) => {
                self.store_owed(key, &mut owed);
                self.sessions[key].queue.push_front(owed);
                return;
            }
        };
        let order = if awaited == Awaited::PubAck && !stored { Order::MayOvertake } else { Order::Kept };
        if self.config.durable {
            self.store_sent(key, packet, false);
            if self.sessions[key].outbound.block() != block {
                self.enter_block(key, link);
            }
        }
        if !self.send_begun(key, link, packet, false, order) {
            self.give_up(key, packet, awaited, place);
        }
    }

    /// Sends the PUBLISH of an exchange that has begun; whether the client takes one of its size.
    fn send_begun(&mut self, key: SessionKey, id: LinkId, packet: PacketIdentifier, dup: bool, order: Order) -> bool {
        let Some(owed) = self.sessions[key].outbound.value(packet) else { return false };
        let Some(link) = self.links.get_mut(&id) else { return false };
        let Message { qos, retain, .. } = owed.message;
        let frame = link.frame(&owed.message, Flags { dup, qos, retain }, Some(packet), self.now);
        let frame = frame.filter(|frame| link.takes(frame));
        let payload = owed.message.payload.len();
        self.send_publish(id, frame, payload, order)
    }

    /// A message larger than the client takes counts as delivered (5.0, 3.1.2-25).
    fn give_up(&mut self, key: SessionKey, packet: PacketIdentifier, awaited: Awaited, place: u64) {
        if let Some(owed) = self.sessions[key].outbound.finish(packet, awaited) {
            self.paid(key, &owed);
        }
        self.forget_owed(key, place);
    }

    /// The connection of a session, if it has one that takes more.
    pub(super) fn open_link(&self, key: SessionKey) -> Option<LinkId> {
        let id = self.sessions[key].link?;
        let link = self.links.get(&id)?;
        (!link.congested).then_some(id)
    }

    fn may_send(&self, key: SessionKey) -> bool {
        let outbound = &self.sessions[key].outbound;
        outbound.all_resent() && outbound.has_quota()
    }

    /// Queues a PUBLISH, if there is one; whether there is.
    fn send_publish(&mut self, id: LinkId, frame: Option<Frame>, payload: usize, order: Order) -> bool {
        let Some(frame) = frame else { return false };
        self.counters.packets.sent.add(frame.len());
        self.counters.publishes.sent.add(payload);
        match order {
            Order::MayOvertake => self.output_ahead(id, frame),
            Order::Kept => self.output_in_order(id, frame),
        }
        true
    }
}

/// Whether a PUBLISH waits its turn behind what is to be stored, or may overtake it: see [`Broker::output_ahead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kept,
    MayOvertake,
}

/// One message as clients got it that get nothing of their own in it: it is encoded once for all of a kind.
#[derive(Debug, Default)]
pub(super) struct Copies([Option<Frame>; 4]);

impl Copies {
    /// A message that came as others are to get it.
    pub(super) fn of_plain(version: Version, packet: Option<Bytes>) -> Copies {
        let mut copies = Copies::default();
        *copies.of(version, false) = packet.map(Frame::from);
        copies
    }

    /// The place of the one for this version, with or without the RETAIN flag.
    fn of(&mut self, version: Version, retain: bool) -> &mut Option<Frame> {
        &mut self.0[usize::from(version == Version::V5) * 2 + usize::from(retain)]
    }
}

/// What the first byte of a PUBLISH says (section 3.3.1).
#[derive(Clone, Copy)]
struct Flags {
    dup: bool,
    qos: Qos,
    retain: bool,
}

/// A topic alias towards a client, and whether the client knows it.
#[derive(Clone, Copy)]
struct Alias {
    number: u16,
    known: bool,
}

impl Link {
    /// A message as this client gets it; `None` if it cannot be sent.
    fn frame(&mut self, message: &Message, flags: Flags, packet: Option<PacketIdentifier>, now: Time) -> Option<Frame> {
        // A message sent again names its topic in full: the alias of an earlier connection means nothing here.
        let alias = if flags.dup { None } else { self.alias_for(&message.topic) };
        let frame = self.encode(message, flags, packet, alias, now)?;
        let Some(Alias { number, known: false }) = alias else { return Some(frame) };
        if frame.len() > self.takes_bytes {
            // To tell a client of an alias takes room that the message itself may need.
            return self.encode(message, flags, packet, None, now);
        }
        self.aliases.get_or_insert_default().ours.insert(message.topic.clone(), number);
        Some(frame)
    }

    fn encode(
        &self,
        message: &Message,
        Flags { dup, qos, retain }: Flags,
        packet: Option<PacketIdentifier>,
        alias: Option<Alias>,
        now: Time,
    ) -> Option<Frame> {
        let (expiry, version) = (message.expiry_left(now), self.wire_version());
        let mut publish = PublishParts {
            dup,
            qos,
            retain,
            topic: &message.topic,
            packet_identifier: packet,
            properties: &message.properties,
            payload: &message.payload,
        };
        if expiry.is_none() && alias.is_none() {
            return Frame::of_publish(publish, version).ok();
        }
        let (mut properties, unnamed) = (message.properties.clone(), Text::EMPTY);
        if let Some(seconds) = expiry {
            properties.push(Property::MessageExpiryInterval, Value::Four(seconds));
        }
        if let Some(alias) = alias {
            properties.push(Property::TopicAlias, Value::Two(alias.number));
            if alias.known {
                publish.topic = &unnamed;
            }
        }
        publish.properties = &properties;
        Frame::of_publish(publish, version).ok()
    }

    /// The alias to send a topic with: its own, or the next free one for as long as there are any.
    fn alias_for(&self, topic: &Text) -> Option<Alias> {
        if self.aliases_out_maximum == 0 {
            return None;
        }
        let known = self.aliases.as_ref().map(|aliases| &aliases.ours);
        if let Some(&number) = known.and_then(|known| known.get(topic)) {
            return Some(Alias { number, known: true });
        }
        let number = u16::try_from(known.map_or(0, BTreeMap::len)).ok()?.checked_add(1)?;
        (number <= self.aliases_out_maximum).then_some(Alias { number, known: false })
    }
}
