//! The owner's messages on their way out: refused, queued, sent, sent again (sections 3.3, 4.3, 4.4, 4.9).

use super::alias::Spelling;
use super::session::Sent;
use super::{Client, Event, Refused, Token};
use crate::codec::{
    Ack, AckKind, Frame, Packet, PacketIdentifier, Property, Publish, Qos, Reason, Text, Value, Version,
};
use crate::flight::Awaited;
use crate::message::Message;
use crate::time::Time;
use crate::topic::TopicName;

/// A message of the owner.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) token: Token,
    pub(super) message: Message,
    /// The alias that the owner wants for the topic.
    alias: Option<u16>,
    /// The owner left the topic out.
    short: bool,
}

impl Client {
    /// Publishes a message: now, or when there is a connection and room in it. Messages go out in the order in which
    /// they were given, of whatever QoS. DUP and packet identifier are the client's affair, and ignored here.
    ///
    /// A topic alias among the properties is a wish: the topic is sent in full where the server does not know the alias,
    /// above all when the message is sent again.
    ///
    /// # Errors
    /// If the standard, or the server that is connected, does not allow it, or too many wait already.
    pub fn publish(&mut self, now: Time, publish: Publish) -> Result<Token, Refused> {
        self.catch_up(now);
        let (topic, alias, short) = self.named(&publish)?;
        let mut outgoing =
            Outgoing { token: Token(0), message: Message::from_publish(&publish, topic, self.now), alias, short };
        if publish.properties.subscription_identifiers().next().is_some() {
            return Err(Refused::SubscriptionIdentifier);
        }
        if self.config.version == Version::V3_1_1 && !publish.properties.is_empty() {
            return Err(Refused::NotInThisVersion("properties"));
        }
        let server = self.connected().map(|link| link.server).unwrap_or_default();
        if publish.qos > server.maximum_qos {
            return Err(Refused::Qos(server.maximum_qos)); // MQTT-3.2.2-11
        }
        if publish.retain && !server.retain_available {
            return Err(Refused::Retain); // MQTT-3.2.2-14
        }
        let id = (publish.qos != Qos::AtMostOnce).then_some(PacketIdentifier::MIN);
        let plain = Spelling { alias: None, short: false };
        let frame = Frame::new(&self.written(&outgoing.message, plain, id, false), self.config.version)?;
        if frame.len() > server.maximum_packet_size {
            return Err(Refused::TooLarge { len: frame.len(), most: server.maximum_packet_size });
        }
        if self.queue.len() >= self.config.queue_maximum {
            return Err(Refused::QueueFull(self.queue.len()));
        }
        outgoing.token = self.token();
        let token = outgoing.token;
        self.queue.push_back(outgoing);
        self.flush();
        Ok(token)
    }

    /// The topic that the owner means, the alias it wants, and whether it left the topic out.
    fn named(&mut self, publish: &Publish) -> Result<(Text, Option<u16>, bool), Refused> {
        let alias = publish.properties.topic_alias();
        let short = publish.topic.is_empty() && alias.is_some();
        if !short {
            TopicName::try_from(publish.topic.clone())?;
        }
        let Some(number) = alias else { return Ok((publish.topic.clone(), None, false)) };
        if self.connected().is_none() {
            // What the server will take is not known: the alias stays a wish.
            return if short { Err(Refused::NoTopic) } else { Ok((publish.topic.clone(), alias, false)) };
        }
        let Some(link) = self.link_mut() else { return Err(Refused::NotConnected) };
        let most = link.server.topic_alias_maximum;
        if number == 0 || number > most {
            return Err(Refused::TopicAlias(number, most)); // MQTT-3.3.2-9
        }
        let topic = link.aliases.asked(&publish.topic, number).ok_or(Refused::NoTopic)?;
        Ok((topic, alias, short))
    }

    /// Sends all that there is room for: requests, which need none; then what earlier connections left unsettled; then
    /// what waits, in order.
    pub(super) fn flush(&mut self) {
        while self.connected().is_some() && (self.send_request() || self.resend_one() || self.send_queued()) {}
    }

    /// Sends one unsettled PUBLISH or PUBREL of an earlier connection again [MQTT-4.4.0-1].
    fn resend_one(&mut self) -> bool {
        let Some((id, _, sent)) = self.session.outbound.resend() else { return false };
        let outgoing = match sent {
            Sent::Message(outgoing) => outgoing.clone(),
            Sent::Released(..) | Sent::Request(_) => {
                self.send(&Packet::Ack(Ack::new(AckKind::PubRel, id, Reason::Success)));
                return true;
            }
        };
        // In full: the alias of an earlier connection means nothing here.
        self.send_publish(&outgoing, Spelling { alias: None, short: false }, Some(id), true);
        true
    }

    /// Sends the next message that waits, if there is room for it.
    fn send_queued(&mut self) -> bool {
        let outbound = &mut self.session.outbound;
        let Some(next) = self.queue.front() else { return false };
        let qos = next.message.qos;
        if !outbound.all_resent() || (qos != Qos::AtMostOnce && !outbound.has_quota()) {
            return false;
        }
        let Some(outgoing) = self.queue.pop_front() else { return false };
        if outgoing.message.expired(self.now) {
            self.tell(Event::Expired(outgoing.token));
            return true;
        }
        let awaited = match qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => Some(Awaited::PubAck),
            Qos::ExactlyOnce => Some(Awaited::PubRec),
        };
        let mut id = None;
        if let Some(awaited) = awaited {
            id = self.session.outbound.begin(awaited, Sent::Message(outgoing.clone())).ok();
            if id.is_none() {
                self.queue.push_front(outgoing);
                return false;
            }
        }
        let spelling = self.spelling(&outgoing);
        if self.send_publish(&outgoing, spelling, id, false) && qos == Qos::AtMostOnce {
            self.tell(Event::Published(outgoing.token, Reason::Success));
        }
        true
    }

    /// Sends one PUBLISH. What this server does not take is settled at once, as refused; then it returns false.
    fn send_publish(
        &mut self,
        outgoing: &Outgoing,
        spelling: Spelling,
        id: Option<PacketIdentifier>,
        dup: bool,
    ) -> bool {
        let server = self.connected().map(|link| link.server).unwrap_or_default();
        let message = &outgoing.message;
        let reason = if message.qos > server.maximum_qos {
            Reason::QosNotSupported
        } else if message.retain && !server.retain_available {
            Reason::RetainNotSupported
        } else {
            let packet = self.written(message, spelling, id, dup);
            if self.send(&packet) {
                if let (Some(alias), Some(link)) = (spelling.alias, self.link_mut()) {
                    link.aliases.sent(&message.topic, alias);
                }
                return true;
            }
            Reason::PacketTooLarge
        };
        if let Some(id) = id {
            self.session.outbound.finish(id, self.session.outbound.awaited(id).unwrap_or(Awaited::PubAck));
        }
        self.tell(Event::Published(outgoing.token, reason));
        false
    }

    fn spelling(&self, outgoing: &Outgoing) -> Spelling {
        let Some(link) = self.connected() else { return Spelling { alias: None, short: false } };
        let (topic, most) = (&outgoing.message.topic, link.server.topic_alias_maximum);
        match outgoing.alias {
            Some(alias) => link.aliases.wanted(topic, alias, outgoing.short, most),
            None if self.config.topic_aliases => link.aliases.chosen(topic, most),
            None => Spelling { alias: None, short: false },
        }
    }

    fn written(&self, message: &Message, spelling: Spelling, id: Option<PacketIdentifier>, dup: bool) -> Packet {
        let mut properties = message.properties.clone();
        if let Some(seconds) = message.expiry_left(self.now) {
            properties.push(Property::MessageExpiryInterval, Value::Four(seconds));
        }
        if let Some(alias) = spelling.alias {
            properties.push(Property::TopicAlias, Value::Two(alias));
        }
        Packet::Publish(Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: if spelling.short { Text::EMPTY } else { message.topic.clone() },
            packet_identifier: id,
            properties,
            payload: message.payload.clone(),
        })
    }
}
