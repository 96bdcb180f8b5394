//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7, 4.3).

use super::Broker;
use super::session::SessionKey;
use crate::codec::{AckKind, AckRef, PacketIdentifier, Reason};
use crate::flight::{Awaited, Unexpected};
use crate::link::LinkId;

impl Broker {
    pub(super) fn settle(&mut self, id: LinkId, session: SessionKey, ack: &AckRef<'_>) {
        let packet = ack.packet_identifier;
        match ack.kind {
            AckKind::PubAck => self.settled(session, packet, Awaited::PubAck),
            AckKind::PubRec if ack.reason.is_error() => self.settled(session, packet, Awaited::PubRec),
            AckKind::PubRec => self.received_by_client(id, session, packet),
            AckKind::PubRel => self.released_by_client(id, session, packet),
            AckKind::PubComp => self.settled(session, packet, Awaited::PubComp),
        }
    }

    /// An exchange is over, which makes room for the next message. One that nobody knows is left alone: it may be the
    /// answer to a message that was settled on an earlier connection.
    fn settled(&mut self, session: SessionKey, packet: PacketIdentifier, awaited: Awaited) {
        if let Some(owed) = self.sessions[session].outbound.finish(packet, awaited) {
            self.paid(session, &owed);
            self.forget_owed(session, owed.place);
            self.send_queued(session);
        }
    }

    /// PUBREC: from now on only PUBREL may be sent for this message (4.3.3-6).
    fn received_by_client(&mut self, id: LinkId, session: SessionKey, packet: PacketIdentifier) {
        let outbound = &mut self.sessions[session].outbound;
        let advanced = outbound.advance(packet, Awaited::PubRec).map(drop);
        let reason = match advanced {
            Ok(()) => {
                self.store_sent(session, packet, true);
                Reason::Success
            }
            // A PUBREC once more is answered once more; one for nothing is told so.
            Err(Unexpected::Awaits(Awaited::PubComp)) => Reason::Success,
            Err(_) => Reason::PacketIdentifierNotFound,
        };
        self.answer(id, AckKind::PubRel, packet, reason);
    }

    /// PUBREL: the identifier may name a new message from now on.
    fn released_by_client(&mut self, id: LinkId, session: SessionKey, packet: PacketIdentifier) {
        let known = self.sessions[session].inbound.release(packet);
        if known {
            self.forget_unreleased(session, packet);
        }
        let reason = if known { Reason::Success } else { Reason::PacketIdentifierNotFound };
        self.answer(id, AckKind::PubComp, packet, reason);
    }
}
