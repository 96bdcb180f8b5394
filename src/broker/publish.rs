//! A message comes in (section 3.3): its topic, whether it may be, and to whom it goes.

use super::notice::Limit;
use super::session::SessionKey;
use super::{Broker, Subscriber, Wanted};
use crate::codec::{
    Ack, AckKind, Packet, PacketIdentifier, Property, PublishRef, Qos, Reason, SubscriptionOptions, Value, Version,
};
use crate::flight::Receipt;
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::topic::TopicName;

impl Broker {
    pub(super) fn publish(&mut self, id: LinkId, session: SessionKey, publish: &PublishRef<'_>) {
        let topic = match self.topic_of(id, publish) {
            Ok(topic) => topic,
            Err(cause) => return self.close(id, cause),
        };
        if publish.properties.subscription_identifiers().next().is_some() {
            return self.offend(id, "a subscription identifier in a PUBLISH from a client"); // 5.0, 3.3.4-6
        }
        if publish.qos > self.config.maximum_qos {
            let cause = Cause::Protocol(Reason::QosNotSupported, "the QoS is above the maximum announced");
            return self.close(id, cause);
        }
        if publish.retain && !self.config.retain_available {
            let cause = Cause::Protocol(Reason::RetainNotSupported, "retained messages are not available");
            return self.close(id, cause);
        }
        self.counters.publishes.received.add(publish.payload.len());
        let message = Message::received(publish, topic.text().clone(), self.now);
        match (publish.qos, publish.packet_identifier) {
            (Qos::AtLeastOnce, Some(packet)) => self.publish_qos_1(id, session, packet, &topic, message),
            (Qos::ExactlyOnce, Some(packet)) => self.publish_qos_2(id, session, packet, &topic, message),
            _ => drop(self.admit(session, &topic, message)),
        }
    }

    /// The topic name of a PUBLISH: its own, or what its topic alias stands for (5.0 section 3.3.2.3.4).
    fn topic_of(&mut self, id: LinkId, publish: &PublishRef<'_>) -> Result<TopicName, Cause> {
        let invalid = Cause::Protocol(Reason::TopicAliasInvalid, "the topic alias is above the maximum announced");
        let unknown = Cause::Protocol(Reason::ProtocolError, "nothing says what the topic alias stands for");
        let Some(alias) = publish.properties.topic_alias() else {
            return TopicName::try_from(publish.shared_topic())
                .map_err(|_| Cause::Protocol(Reason::TopicNameInvalid, "the topic name is not valid"));
        };
        if alias > self.config.topic_alias_maximum {
            return Err(invalid);
        }
        let Some(link) = self.links.get_mut(&id) else { return Err(unknown) };
        if publish.topic.is_empty() {
            return link.aliases_in.get(&alias).cloned().ok_or(unknown);
        }
        let topic = TopicName::try_from(publish.shared_topic())
            .map_err(|_| Cause::Protocol(Reason::TopicNameInvalid, "the topic name is not valid"))?;
        link.aliases_in.insert(alias, topic.detached());
        Ok(topic)
    }

    fn publish_qos_1(
        &mut self,
        id: LinkId,
        session: SessionKey,
        packet: PacketIdentifier,
        topic: &TopicName,
        message: Message,
    ) {
        if self.sessions[session].inbound.contains(packet) {
            return self.answer(id, AckKind::PubAck, packet, Reason::PacketIdentifierInUse);
        }
        let reason = self.admit(session, topic, message);
        self.answer(id, AckKind::PubAck, packet, reason);
    }

    fn publish_qos_2(
        &mut self,
        id: LinkId,
        session: SessionKey,
        packet: PacketIdentifier,
        topic: &TopicName,
        message: Message,
    ) {
        let inbound = &mut self.sessions[session].inbound;
        let full = inbound.unacked() >= usize::from(self.config.receive_maximum);
        let is_v5 = self.links.get(&id).is_some_and(|link| link.version == Version::V5);
        if full && is_v5 && !inbound.contains(packet) {
            let cause = Cause::Protocol(Reason::ReceiveMaximumExceeded, "more unfinished messages than announced");
            return self.close(id, cause);
        }
        let reason = match inbound.receive(packet, Qos::ExactlyOnce) {
            Receipt::Repeated => Reason::Success,
            Receipt::InUse => Reason::PacketIdentifierInUse,
            Receipt::New => {
                let reason = self.admit(session, topic, message);
                if reason.is_error() {
                    // PUBREC with an error ends the exchange: the identifier is free (5.0, 4.3.3-9).
                    self.sessions[session].inbound.release(packet);
                } else {
                    self.store_unreleased(session, packet);
                }
                reason
            }
        };
        self.answer(id, AckKind::PubRec, packet, reason);
    }

    /// Sends one of the four acks.
    pub(super) fn answer(&mut self, id: LinkId, kind: AckKind, packet: PacketIdentifier, reason: Reason) {
        let words = self.words_for(id, reason);
        self.send_explained(id, words, |properties| {
            Packet::Ack(Ack { kind, packet_identifier: packet, reason, properties })
        });
    }

    /// Passes on what a client published, if it may be passed on.
    pub(super) fn admit(&mut self, session: SessionKey, topic: &TopicName, message: Message) -> Reason {
        if topic.is_reserved() {
            // Topics that begin with `$` are the server's own (section 4.7.2).
            return Reason::NotAuthorized;
        }
        if !self.may_publish(session, topic) {
            return Reason::NotAuthorized; // 3.1.1 cannot say so: 3.3.5-2
        }
        if self.route(session, topic, message) { Reason::Success } else { Reason::NoMatchingSubscribers }
    }

    /// Keeps a message if it is to be retained, and hands it to every session subscribed; whether there was one.
    pub(super) fn route(&mut self, origin: SessionKey, topic: &TopicName, message: Message) -> bool {
        let keep = message.retain || message.qos > Qos::AtMostOnce;
        let message = if keep { message.detached() } else { message };
        if message.retain {
            self.retain(topic, &message);
        }
        self.overhear(topic, &message);
        let (mut sessions, mut groups) = (Vec::new(), Vec::new());
        self.subscriptions.for_each_match(topic, |subscriber, wanted| match subscriber {
            Subscriber::Session(session) => sessions.push((*session, *wanted)),
            Subscriber::Group(group) => groups.push(*group),
        });
        let mut matched = false;
        for group in groups {
            if let Some(chosen) = self.choose_member(group, topic) {
                matched = true;
                // A copy of its own, whatever else the member is subscribed to (4.8.2).
                self.hand_out(chosen.0, &message, &[chosen]);
            }
        }
        sessions.retain(|(session, wanted)| {
            !(wanted.options.no_local && origin == *session) && self.may_hear(*session, topic)
        });
        sessions.sort_by_key(|(session, _)| *session);
        for of_one in sessions.chunk_by(|a, b| a.0 == b.0) {
            matched = true;
            self.hand_out(of_one[0].0, &message, of_one);
        }
        matched
    }

    /// One copy for a session, whatever number of its subscriptions matched (3.3.4): the highest QoS they allow, the
    /// identifiers of all of them.
    fn hand_out(&mut self, session: SessionKey, message: &Message, matching: &[(SessionKey, Wanted)]) {
        let options = || matching.iter().map(|(_, wanted)| &wanted.options);
        let qos = options().map(|options: &SubscriptionOptions| options.qos).max().unwrap_or_default();
        let mut copy = message.clone();
        copy.qos = message.qos.min(qos);
        copy.retain = message.retain && options().any(|options| options.retain_as_published);
        for (_, wanted) in matching {
            if let Some(identifier) = wanted.identifier {
                copy.properties.push(Property::SubscriptionIdentifier, Value::Variable(identifier));
            }
        }
        self.deliver(session, copy);
    }

    /// Keeps a message for later subscribers; an empty one ends what was kept (3.3.1.3).
    pub(super) fn retain(&mut self, topic: &TopicName, message: &Message) {
        if message.payload.is_empty() {
            self.retained.remove(topic);
            self.store_retained(topic, None);
            return;
        }
        let is_new = self.retained.get(topic).is_none();
        if is_new && self.retained.len() >= self.config.retained_maximum {
            self.note_limit(Limit::Retained, None);
            return;
        }
        self.retained.insert(topic.detached(), message.clone());
        self.store_retained(topic, Some(message));
    }
}
