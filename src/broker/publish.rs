//! A message comes in (section 3.3): its topic, whether it may be, and to whom it goes.

use std::borrow::Cow;
use std::convert::Infallible;

use super::deliver::Copies;
use super::quota::weight;
use super::routes::Route;
use super::session::SessionKey;
use super::{Broker, Wanted};
use crate::codec::{
    Ack, AckKind, Packet, PacketIdentifier, Property, PublishRef, Qos, Reason, SubscriptionOptions, Value, Version,
};
use crate::flight::Receipt;
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::topic::TopicName;

impl Broker {
    pub(super) fn publish(&mut self, id: LinkId, session: SessionKey, publish: &PublishRef<'_>) {
        if self.config.publish_rate_maximum != u32::MAX && !self.keeps_pace(id) {
            let cause = Cause::Protocol(Reason::MessageRateTooHigh, "more messages a second than allowed");
            return self.close(id, cause);
        }
        let route = match self.route_of(id, publish) {
            Ok(route) => route,
            Err(cause) => return self.close(id, cause),
        };
        match self.refusal(publish) {
            Some(cause) => self.close(id, cause),
            None => self.publish_to(id, session, publish, &route),
        }
        self.routes.put_back(route);
    }

    /// What ends the connection of a client that publishes so, if anything does.
    fn refusal(&self, publish: &PublishRef<'_>) -> Option<Cause> {
        if publish.properties.subscription_identifiers().next().is_some() {
            let what = "a subscription identifier in a PUBLISH from a client"; // 5.0, 3.3.4-6
            return Some(Cause::Protocol(Reason::ProtocolError, what));
        }
        if publish.qos > self.config.maximum_qos {
            return Some(Cause::Protocol(Reason::QosNotSupported, "the QoS is above the maximum announced"));
        }
        if publish.retain && !self.config.retain_available {
            return Some(Cause::Protocol(Reason::RetainNotSupported, "retained messages are not available"));
        }
        None
    }

    fn publish_to(&mut self, id: LinkId, session: SessionKey, publish: &PublishRef<'_>, route: &Route) {
        self.counters.publishes.received.add(publish.payload.len());
        let message = Message::received(publish, route.topic.text().clone(), self.now);
        match (publish.qos, publish.packet_identifier) {
            (Qos::AtLeastOnce, Some(packet)) => self.publish_qos_1(id, session, packet, route, message),
            (Qos::ExactlyOnce, Some(packet)) => self.publish_qos_2(id, session, packet, route, message),
            _ => {
                let version = self.links.get(&id).map_or(Version::V5, |link| link.version);
                let copies = Copies::of_plain(version, publish.plain_bytes(version));
                self.admit_with(session, route, message, copies);
            }
        }
    }

    /// Where a PUBLISH goes: its topic name is its own, or what its topic alias stands for (5.0 section 3.3.2.3.4).
    fn route_of(&mut self, id: LinkId, publish: &PublishRef<'_>) -> Result<Box<Route>, Cause> {
        let valid = || {
            TopicName::try_from(publish.shared_topic())
                .map_err(|_| Cause::Protocol(Reason::TopicNameInvalid, "the topic name is not valid"))
        };
        let Some(alias) = publish.properties.topic_alias() else {
            return self.find_route(publish.topic.as_bytes(), valid);
        };
        if alias > self.config.topic_alias_maximum {
            let what = "the topic alias is above the maximum announced";
            return Err(Cause::Protocol(Reason::TopicAliasInvalid, what));
        }
        let unknown = Cause::Protocol(Reason::ProtocolError, "nothing says what the topic alias stands for");
        let Some(link) = self.links.get_mut(&id) else { return Err(unknown) };
        let topic = if publish.topic.is_empty() {
            link.aliases.as_ref().and_then(|aliases| aliases.theirs.get(&alias)).cloned().ok_or(unknown)?
        } else {
            let topic = valid()?.detached();
            link.aliases.get_or_insert_default().theirs.insert(alias, topic.clone());
            topic
        };
        self.find_route(topic.as_str().as_bytes(), || Ok(topic.clone()))
    }

    fn publish_qos_1(
        &mut self,
        id: LinkId,
        session: SessionKey,
        packet: PacketIdentifier,
        route: &Route,
        message: Message,
    ) {
        if self.sessions[session].inbound.contains(packet) {
            return self.answer(id, AckKind::PubAck, packet, Reason::PacketIdentifierInUse);
        }
        let reason = self.admit(session, route, message);
        self.answer(id, AckKind::PubAck, packet, reason);
    }

    fn publish_qos_2(
        &mut self,
        id: LinkId,
        session: SessionKey,
        packet: PacketIdentifier,
        route: &Route,
        message: Message,
    ) {
        let inbound = &mut self.sessions[session].inbound;
        let is_v5 = self.links.get(&id).is_some_and(|link| link.version == Version::V5);
        let most = if is_v5 { self.config.receive_maximum } else { self.config.receive_maximum_3_1_1 };
        if inbound.unacked() >= usize::from(most) && !inbound.contains(packet) {
            let cause = Cause::Protocol(Reason::ReceiveMaximumExceeded, "more unfinished messages than allowed");
            return self.close(id, cause);
        }
        let reason = match inbound.receive(packet, Qos::ExactlyOnce) {
            Receipt::Repeated => Reason::Success,
            Receipt::InUse => Reason::PacketIdentifierInUse,
            Receipt::New => {
                // Before anyone hears it: after a crash the publisher sends it again, and it would be heard twice.
                self.store_unreleased(session, packet);
                let reason = self.admit(session, route, message);
                if reason.is_error() {
                    // PUBREC with an error ends the exchange: the identifier is free (5.0, 4.3.3-9).
                    self.sessions[session].inbound.release(packet);
                    self.forget_unreleased(session, packet);
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
    pub(super) fn admit(&mut self, session: SessionKey, route: &Route, message: Message) -> Reason {
        self.admit_with(session, route, message, Copies::default())
    }

    fn admit_with(&mut self, session: SessionKey, route: &Route, message: Message, copies: Copies) -> Reason {
        if route.topic.is_reserved() {
            // Topics that begin with `$` are the server's own (section 4.7.2).
            return Reason::NotAuthorized;
        }
        if !self.may_publish(session, &route.topic) {
            return Reason::NotAuthorized; // 3.1.1 cannot say so: 3.3.5-2
        }
        if self.pass_on(session, route, message, copies) { Reason::Success } else { Reason::NoMatchingSubscribers }
    }

    /// Keeps a message if it is to be retained, and hands it to every session subscribed; whether there was one.
    pub(super) fn route(&mut self, origin: SessionKey, topic: &TopicName, message: Message) -> bool {
        let Ok(route) = self.find_route(topic.as_str().as_bytes(), || Ok::<_, Infallible>(topic.clone()));
        let matched = self.pass_on(origin, &route, message, Copies::default());
        self.routes.put_back(route);
        matched
    }

    fn pass_on(&mut self, origin: SessionKey, route: &Route, message: Message, mut copies: Copies) -> bool {
        let keep = message.retain || message.qos > Qos::AtMostOnce;
        let message = if keep { message.detached() } else { message };
        if message.retain {
            self.retain(&route.topic, &message);
        }
        self.overhear(&route.topic, &message);
        let mut matched = false;
        for group in &route.groups {
            if let Some(chosen) = self.choose_member(*group, &route.topic) {
                matched = true;
                // A copy of its own, whatever else the member is subscribed to (4.8.2).
                self.hand_out(chosen.0, Cow::Borrowed(&message), &[chosen], &mut Copies::default());
            }
        }
        let hears = |broker: &Broker, (session, wanted): &(SessionKey, Wanted)| {
            !(wanted.options.no_local && origin == *session) && broker.may_hear(*session, &route.topic)
        };
        if let ([only], []) = (&route.sessions[..], &route.groups[..]) {
            // The most frequent case, and nobody else needs the message.
            let matched = hears(self, only);
            if matched {
                self.hand_out(only.0, Cow::Owned(message), &[*only], &mut copies);
            }
            return matched;
        }
        for of_one in route.sessions.chunk_by(|a, b| a.0 == b.0) {
            if of_one.iter().all(|subscription| hears(self, subscription)) {
                matched = true;
                self.hand_out(of_one[0].0, Cow::Borrowed(&message), of_one, &mut copies);
            } else {
                let heard: Vec<_> = of_one.iter().filter(|subscription| hears(self, subscription)).copied().collect();
                if let Some((session, _)) = heard.first() {
                    matched = true;
                    self.hand_out(*session, Cow::Borrowed(&message), &heard, &mut copies);
                }
            }
        }
        matched
    }

    /// One copy for a session, whatever number of its subscriptions matched (3.3.4): the highest QoS they allow, the
    /// identifiers of all of them.
    fn hand_out(
        &mut self,
        session: SessionKey,
        message: Cow<'_, Message>,
        matching: &[(SessionKey, Wanted)],
        copies: &mut Copies,
    ) {
        let options = || matching.iter().map(|(_, wanted)| &wanted.options);
        let qos = options().map(|options: &SubscriptionOptions| options.qos).max().unwrap_or_default();
        let qos = message.qos.min(qos);
        let retain = message.retain && options().any(|options| options.retain_as_published);
        if qos == Qos::AtMostOnce && matching.iter().all(|(_, wanted)| wanted.identifier.is_none()) {
            return self.deliver_at_most_once(session, &message, retain, Some(copies));
        }
        let mut copy = Message { qos, retain, ..message.into_owned() };
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
            if let Some(ended) = self.retained.remove(topic) {
                self.retained_bytes -= weight(&ended);
            }
            self.store_retained(topic, None);
            return;
        }
        let instead = self.retained.get(topic).map(weight);
        if !self.may_retain(message, instead) {
            return;
        }
        let message = message.compact();
        self.store_retained(topic, Some(&message));
        self.retained.insert(topic.sharing(&message.topic), message);
    }
}
