//! Messages that the peer sent at QoS 1 and 2.

use super::by_identifier::ByIdentifier;
use crate::codec::{PacketIdentifier, Qos};

/// What a PUBLISH with a packet identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// A new message.
    New,
    /// The same message once more: acknowledge it, do not pass it on again [MQTT-4.3.3-10].
    Repeated,
    /// The peer uses the identifier of an unfinished exchange for a message of another QoS (0x91).
    InUse,
}

#[derive(Clone, Copy, Debug)]
struct Received {
    qos: Qos,
    /// Whether it arrived on the present connection, and so occupies quota.
    counted: bool,
}

/// The packet identifiers that the peer occupies: QoS 2 from PUBLISH to PUBREL, QoS 1 from PUBLISH to PUBACK.
///
/// Whether a message is new is told by this set alone, never by its DUP flag [MQTT-3.3.1-3].
#[derive(Clone, Debug, Default)]
pub struct Inbound {
    received: ByIdentifier<Received>,
    unacked: usize,
}

impl Inbound {
    /// Nothing received.
    pub fn new() -> Inbound {
        Inbound::default()
    }

    /// Takes note of a PUBLISH. At QoS 0, which has no identifier, everything is new.
    pub fn receive(&mut self, id: PacketIdentifier, qos: Qos) -> Receipt {
        if qos == Qos::AtMostOnce {
            return Receipt::New;
        }
        if let Some(known) = self.received.get_mut(id) {
            if known.qos != qos {
                return Receipt::InUse;
            }
            if !known.counted {
                known.counted = true;
                self.unacked += 1;
            }
            return Receipt::Repeated;
        }
        self.received.insert(id, Received { qos, counted: true });
        self.unacked += 1;
        Receipt::New
    }

    /// The PUBACK was sent. Nothing happens to a QoS 2 exchange, which ends with [`release`](Inbound::release).
    pub fn acked(&mut self, id: PacketIdentifier) {
        if self.received.get(id).is_some_and(|known| known.qos == Qos::AtLeastOnce) {
            self.remove(id);
        }
    }

    /// PUBREL arrived, or the PUBREC that was sent refuses the message: the identifier is free.
    /// False if it was not occupied by a QoS 2 exchange (answer 0x92).
    pub fn release(&mut self, id: PacketIdentifier) -> bool {
        let known = self.received.get(id).is_some_and(|known| known.qos == Qos::ExactlyOnce);
        if known {
            self.remove(id);
        }
        known
    }

    /// Whether a QoS 2 message with this identifier was received and not released.
    pub fn contains(&self, id: PacketIdentifier) -> bool {
        self.received.get(id).is_some_and(|known| known.qos == Qos::ExactlyOnce)
    }

    /// How much of our Receive Maximum the peer uses: messages that came on this connection and that are neither
    /// acknowledged nor released. More than we announced is an error (0x93) [MQTT-3.3.4-9].
    pub fn unacked(&self) -> usize {
        self.unacked
    }

    /// The QoS 2 identifiers received and not released, which belong to the session state, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = PacketIdentifier> {
        let of_qos_2 = |(id, known): (PacketIdentifier, &Received)| (known.qos == Qos::ExactlyOnce).then_some(id);
        let mut ids: Vec<_> = self.received.iter().filter_map(of_qos_2).collect();
        ids.sort_unstable();
        ids.into_iter()
    }

    /// Takes over a QoS 2 identifier from an earlier process.
    pub fn restore(&mut self, id: PacketIdentifier) {
        self.remove(id);
        self.received.insert(id, Received { qos: Qos::ExactlyOnce, counted: false });
    }

    /// Begins a new connection: the peer's quota is whole again, and QoS 1 messages not acknowledged will come again.
    pub fn reconnected(&mut self) {
        self.received.retain(|known| {
            known.counted = false;
            known.qos == Qos::ExactlyOnce
        });
        self.unacked = 0;
    }

    /// Forgets everything, for a session that ended.
    pub fn clear(&mut self) {
        *self = Inbound::default();
    }

    fn remove(&mut self, id: PacketIdentifier) {
        if self.received.remove(id).is_some_and(|known| known.counted) {
            self.unacked -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketIdentifier {
        PacketIdentifier::new(number).unwrap()
    }

    #[test]
    fn a_repeated_qos_2_message_is_new_once_until_released() {
        let mut inbound = Inbound::new();
        assert_eq!(inbound.receive(id(7), Qos::ExactlyOnce), Receipt::New);
        inbound.acked(id(7));
        assert_eq!(inbound.receive(id(7), Qos::ExactlyOnce), Receipt::Repeated);
        assert_eq!(inbound.unacked(), 1);
        assert!(inbound.release(id(7)));
        assert!(!inbound.release(id(7)));
        assert_eq!(inbound.receive(id(7), Qos::ExactlyOnce), Receipt::New);
    }

    #[test]
    fn qos_1_occupies_its_identifier_until_acked() {
        let mut inbound = Inbound::new();
        assert_eq!(inbound.receive(id(1), Qos::AtLeastOnce), Receipt::New);
        assert_eq!(inbound.receive(id(1), Qos::ExactlyOnce), Receipt::InUse);
        assert!(!inbound.release(id(1)));
        inbound.acked(id(1));
        assert_eq!(inbound.unacked(), 0);
        assert_eq!(inbound.receive(id(1), Qos::AtLeastOnce), Receipt::New);
    }

    #[test]
    fn a_new_connection_keeps_qos_2_identifiers_but_not_their_quota() {
        let mut inbound = Inbound::new();
        inbound.receive(id(1), Qos::AtLeastOnce);
        inbound.receive(id(2), Qos::ExactlyOnce);
        inbound.reconnected();
        assert_eq!(inbound.unacked(), 0);
        assert_eq!(inbound.iter().collect::<Vec<_>>(), [id(2)]);
        assert_eq!(inbound.receive(id(2), Qos::ExactlyOnce), Receipt::Repeated);
        assert_eq!(inbound.unacked(), 1);
        assert_eq!(inbound.receive(id(1), Qos::AtLeastOnce), Receipt::New);
    }
}
