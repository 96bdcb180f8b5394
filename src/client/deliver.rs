//! The server's messages, and the acknowledgements of both directions (sections 3.3 to 3.7, 4.3).

use super::session::Sent;
use super::{Client, Event};
use crate::codec::{Ack, AckKind, AckRef, Packet, PacketIdentifier, Property, PublishRef, Qos, Reason, Version};
use crate::flight::{Awaited, Receipt, Unexpected};
use crate::message::Message;

impl Client {
    /// A message came. The owner is told at once, also at QoS 2: the packet identifier keeps it from being told again.
    pub(super) fn deliver(&mut self, publish: &PublishRef<'_>) {
        let (now, most) = (self.now, self.config.topic_alias_maximum);
        let Some(link) = self.link_mut() else { return };
        let alias = publish.properties.topic_alias();
        let topic = match link.aliases.received(publish.shared_topic(), alias, most) {
            Ok(topic) if topic.is_empty() => return self.offend("a message without a topic"),
            Ok(topic) => topic,
            Err(reason) => return self.offend_with(reason, "a topic alias that means nothing"),
        };
        let receipt = match publish.packet_identifier {
            Some(id) => self.session.inbound.receive(id, publish.qos),
            None => Receipt::New,
        };
        if self.session.inbound.unacked() > usize::from(self.config.receive_maximum.max(1))
            && self.config.version == Version::V5
        {
            return self.offend_with(Reason::ReceiveMaximumExceeded, "more messages under way than announced");
        }
        if receipt == Receipt::New {
            let mut message = Message::received(publish, topic, now);
            for identifier in publish.properties.subscription_identifiers() {
                message.properties.push(Property::SubscriptionIdentifier, crate::codec::Value::Variable(identifier));
            }
            self.tell(Event::Message { message, dup: publish.dup });
        }
        let Some(id) = publish.packet_identifier else { return };
        let kind = match publish.qos {
            Qos::ExactlyOnce => AckKind::PubRec,
            Qos::AtLeastOnce | Qos::AtMostOnce => AckKind::PubAck,
        };
        match (receipt, self.config.version) {
            (Receipt::InUse, Version::V3_1_1) => self.offend("a packet identifier that is in use"),
            (Receipt::InUse, Version::V5) => self.answer(kind, id, Reason::PacketIdentifierInUse),
            (Receipt::New | Receipt::Repeated, _) => {
                self.answer(kind, id, Reason::Success);
                self.session.inbound.acked(id);
            }
        }
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP came. One that answers nothing is no reason to part: it may be late, and
    /// parting would only bring it again.
    pub(super) fn settle(&mut self, ack: &AckRef<'_>) {
        let id = ack.packet_identifier;
        match ack.kind {
            AckKind::PubAck => self.finished(id, Awaited::PubAck, ack.reason),
            AckKind::PubRec if ack.reason.is_error() => self.finished(id, Awaited::PubRec, ack.reason),
            AckKind::PubRec => self.received_by_server(id, ack.reason),
            AckKind::PubRel => {
                let known = self.session.inbound.release(id);
                let reason = if known { Reason::Success } else { Reason::PacketIdentifierNotFound };
                self.answer(AckKind::PubComp, id, reason); // MQTT-4.3.3-11
            }
            AckKind::PubComp => self.finished(id, Awaited::PubComp, ack.reason),
        }
    }

    /// The server has a QoS 2 message: from now on only its PUBREL is sent [MQTT-4.3.3-6].
    fn received_by_server(&mut self, id: PacketIdentifier, reason: Reason) {
        match self.session.outbound.advance(id, Awaited::PubRec) {
            Ok(sent) => {
                if let Sent::Message(outgoing) = sent {
                    *sent = Sent::Released(outgoing.token, reason);
                }
                self.answer(AckKind::PubRel, id, Reason::Success);
            }
            // The server waits for a PUBREL, and gets it: else it would hold the identifier for ever.
            Err(Unexpected::NotFound) => self.answer(AckKind::PubRel, id, Reason::PacketIdentifierNotFound),
            Err(Unexpected::Awaits(_)) => self.offend("PUBREC for what is not a QoS 2 message"),
        }
    }

    fn finished(&mut self, id: PacketIdentifier, heard: Awaited, reason: Reason) {
        match self.session.outbound.awaited(id) {
            None => {}
            Some(awaited) if awaited == heard => match self.session.outbound.finish(id, heard) {
                Some(Sent::Message(outgoing)) => self.tell(Event::Published(outgoing.token, reason)),
                // The server took the message with its PUBREC, whatever it says now.
                Some(Sent::Released(token, reason)) => self.tell(Event::Published(token, reason)),
                Some(Sent::Request(_)) | None => {}
            },
            Some(_) => self.offend("an acknowledgement of the wrong kind"),
        }
    }

    fn answer(&mut self, kind: AckKind, id: PacketIdentifier, reason: Reason) {
        self.send(&Packet::Ack(Ack::new(kind, id, reason)));
    }
}
