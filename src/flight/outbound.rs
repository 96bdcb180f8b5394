//! Exchanges that this side began: PUBLISH at QoS 1 and 2, SUBSCRIBE, UNSUBSCRIBE.

use std::collections::BTreeSet;
use std::fmt;

use super::by_identifier::ByIdentifier;
use crate::codec::PacketIdentifier;

/// The packet that would move an exchange on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Awaited {
    PubAck,
    PubRec,
    PubComp,
    SubAck,
    UnsubAck,
}

impl Awaited {
    /// Whether it is a step in the delivery of a message, which counts against the peer's Receive Maximum and belongs
    /// to the session state.
    pub const fn is_delivery(self) -> bool {
        matches!(self, Awaited::PubAck | Awaited::PubRec | Awaited::PubComp)
    }
}

/// An acknowledgement that answers nothing this side is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// No exchange has this identifier.
    NotFound,
    /// The exchange with this identifier waits for something else.
    Awaits(Awaited),
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unexpected::NotFound => f.write_str("no exchange has this packet identifier"),
            Unexpected::Awaits(awaited) => write!(f, "the exchange with this packet identifier awaits {awaited:?}"),
        }
    }
}

impl std::error::Error for Unexpected {}

/// How large a block of identifiers is, in steps of the identifier's upper byte: 4,096 identifiers, of which the sixteenth
/// block ends with 65,535.
const BLOCK: u8 = 16;

#[derive(Clone, Debug)]
struct Exchange<T> {
    awaited: Awaited,
    /// Its place in the order of sending. A PUBREL takes its place when the PUBREC arrives [MQTT-4.6.0-4].
    place: u64,
    /// Whether its packet was sent on the present connection, and so occupies quota if it is a delivery.
    sent: bool,
    value: T,
}

impl<T> Exchange<T> {
    /// Its place among what is to be sent again.
    fn key(&self, id: PacketIdentifier) -> (bool, u64, PacketIdentifier) {
        (self.awaited != Awaited::PubComp, self.place, id)
    }
}

/// The exchanges that this side began and that are not finished, with the identifiers they occupy.
///
/// `T` is what the owner needs to send the packet again, or to know what the answer means.
#[derive(Clone, Debug)]
pub struct Outbound<T> {
    exchanges: ByIdentifier<Exchange<T>>,
    last: PacketIdentifier,
    next_place: u64,
    receive_maximum: u16,
    /// Deliveries in flight on the present connection.
    in_flight: usize,
    /// Deliveries not yet sent again on the present connection: PUBREL (false) before PUBLISH (true), each by place.
    unsent: BTreeSet<(bool, u64, PacketIdentifier)>,
}

impl<T> Outbound<T> {
    /// Nothing begun; the peer takes `receive_maximum` deliveries at a time (65,535 unless it says otherwise).
    pub fn new(receive_maximum: u16) -> Outbound<T> {
        Outbound {
            exchanges: ByIdentifier::default(),
            last: PacketIdentifier::MAX,
            next_place: 0,
            receive_maximum,
            in_flight: 0,
            unsent: BTreeSet::new(),
        }
    }

    /// Takes the Receive Maximum that the peer announced for the present connection.
    pub fn set_receive_maximum(&mut self, receive_maximum: u16) {
        self.receive_maximum = receive_maximum;
    }

    /// Whether one more PUBLISH with QoS 1 or 2 may be sent now (section 4.9).
    pub fn has_quota(&self) -> bool {
        self.in_flight < usize::from(self.receive_maximum)
    }

    /// Begins an exchange with the first free identifier after the one given out last, so that identifiers come back
    /// into use as late as possible.
    ///
    /// A delivery occupies quota; the caller has asked [`has_quota`](Outbound::has_quota) before. It counts as sent.
    ///
    /// # Errors
    /// All 65,535 identifiers are in use: the value comes back.
    pub fn begin(&mut self, awaited: Awaited, value: T) -> Result<PacketIdentifier, T> {
        let Some(id) = self.free() else { return Err(value) };
        self.last = id;
        self.insert(id, awaited, true, value);
        Ok(id)
    }

    /// Takes over an exchange from an earlier connection or process, after all others in the order of sending. It is
    /// not sent on the present connection; [`resend`](Outbound::resend) will yield it.
    pub fn restore(&mut self, id: PacketIdentifier, awaited: Awaited, value: T) {
        self.remove(id);
        self.last = id;
        self.insert(id, awaited, false, value);
    }

    /// The block of identifiers that the next one is looked for in.
    pub fn block(&self) -> u8 {
        following(self.last).get().to_be_bytes()[0] / BLOCK
    }

    /// Leaves out what is left of a block: the identifiers of messages that are not known any more may be in it.
    pub fn leave_block(&mut self, block: u8) {
        let end = u16::from_be_bytes([block * BLOCK + (BLOCK - 1), u8::MAX]);
        self.last = PacketIdentifier::new(end).unwrap_or(PacketIdentifier::MAX);
    }

    /// What the exchange with this identifier waits for.
    pub fn awaited(&self, id: PacketIdentifier) -> Option<Awaited> {
        self.exchanges.get(id).map(|exchange| exchange.awaited)
    }

    /// What was kept with this exchange, to be changed.
    pub fn value_mut(&mut self, id: PacketIdentifier) -> Option<&mut T> {
        self.exchanges.get_mut(id).map(|exchange| &mut exchange.value)
    }

    /// What was kept with this exchange.
    pub fn value(&self, id: PacketIdentifier) -> Option<&T> {
        self.exchanges.get(id).map(|exchange| &exchange.value)
    }

    /// Moves a QoS 2 exchange on after its PUBREC: it awaits PUBCOMP now, and only its PUBREL may be sent again
    /// [MQTT-4.3.3-6]. A repeated PUBREC changes nothing and is not unexpected.
    ///
    /// # Errors
    /// If no exchange with this identifier awaits `heard`, which must be [`Awaited::PubRec`].
    pub fn advance(&mut self, id: PacketIdentifier, heard: Awaited) -> Result<&mut T, Unexpected> {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Err(Unexpected::NotFound) };
        match (exchange.awaited, heard) {
            (Awaited::PubComp, Awaited::PubRec) => {}
            (Awaited::PubRec, Awaited::PubRec) => {
                // The PUBREL goes out now, whether or not the PUBLISH was sent again on this connection.
                if !exchange.sent {
                    self.unsent.remove(&(true, exchange.place, id));
                    exchange.sent = true;
                    self.in_flight += 1;
                }
                exchange.awaited = Awaited::PubComp;
                exchange.place = self.next_place;
                self.next_place += 1;
            }
            (awaited, _) => return Err(Unexpected::Awaits(awaited)),
        }
        Ok(&mut exchange.value)
    }

    /// Ends the exchange that awaits `heard` and frees its identifier and quota. `None` if there is none.
    ///
    /// A PUBREC that reports an error ends a QoS 2 exchange: `finish(id, Awaited::PubRec)`.
    pub fn finish(&mut self, id: PacketIdentifier, heard: Awaited) -> Option<T> {
        if self.awaited(id) != Some(heard) {
            return None;
        }
        self.remove(id)
    }

    /// Every unfinished exchange in the order of sending.
    pub fn unfinished(&self) -> impl Iterator<Item = (PacketIdentifier, Awaited, &T)> {
        let mut all: Vec<_> = self.exchanges.iter().collect();
        all.sort_unstable_by_key(|(_, exchange)| exchange.place);
        all.into_iter().map(|(id, exchange)| (id, exchange.awaited, &exchange.value))
    }

    /// How many exchanges are unfinished.
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether nothing is unfinished.
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// Begins a new connection: quota is whole again, and every unfinished delivery is to be sent again
    /// [MQTT-4.4.0-1]. SUBSCRIBE and UNSUBSCRIBE belong to the connection, not to the session: they end, and what was
    /// kept with them is handed back in order.
    pub fn reconnected(&mut self) -> Vec<T> {
        let ended: Vec<_> =
            self.unfinished().filter(|(_, awaited, _)| !awaited.is_delivery()).map(|(id, ..)| id).collect();
        let values = ended.into_iter().filter_map(|id| self.remove(id)).collect();
        for (id, exchange) in self.exchanges.iter_mut() {
            exchange.sent = false;
            self.unsent.insert(exchange.key(id));
        }
        self.in_flight = 0;
        values
    }

    /// The next delivery to be sent again on the present connection, counted as sent from now on: PUBREL for those that
    /// await PUBCOMP, in the order in which their PUBRECs came, which no quota holds up [MQTT-4.9.0-3]; then PUBLISH
    /// with DUP, in the order of their first sending [MQTT-4.6.0-1], while quota lasts.
    ///
    /// Until [`all_resent`](Outbound::all_resent), nothing new may be sent, or it would overtake.
    pub fn resend(&mut self) -> Option<(PacketIdentifier, Awaited, &T)> {
        let next @ (is_publish, _, id) = *self.unsent.first()?;
        if is_publish && !self.has_quota() {
            return None;
        }
        self.unsent.remove(&next);
        let exchange = self.exchanges.get_mut(id)?;
        exchange.sent = true;
        self.in_flight += 1;
        Some((id, exchange.awaited, &exchange.value))
    }

    /// Whether every delivery of earlier connections has been sent again on the present one.
    pub fn all_resent(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Forgets everything, for a session that ended, and hands back what was kept in the order of sending.
    pub fn clear(&mut self) -> Vec<T> {
        let ids: Vec<_> = self.unfinished().map(|(id, ..)| id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn insert(&mut self, id: PacketIdentifier, awaited: Awaited, sent: bool, value: T) {
        let exchange = Exchange { awaited, place: self.next_place, sent, value };
        if awaited.is_delivery() {
            if sent {
                self.in_flight += 1;
            } else {
                self.unsent.insert(exchange.key(id));
            }
        }
        self.exchanges.insert(id, exchange);
        self.next_place += 1;
    }

    fn remove(&mut self, id: PacketIdentifier) -> Option<T> {
        let exchange = self.exchanges.remove(id)?;
        if exchange.awaited.is_delivery() {
            if exchange.sent {
                self.in_flight -= 1;
            } else {
                self.unsent.remove(&exchange.key(id));
            }
        }
        Some(exchange.value)
    }

    /// The first free identifier after the last one given out, wrapping from 65,535 to 1.
    fn free(&self) -> Option<PacketIdentifier> {
        if self.exchanges.len() >= usize::from(u16::MAX) {
            return None;
        }
        let mut id = following(self.last);
        while self.exchanges.contains(id) {
            id = following(id);
        }
        Some(id)
    }
}

fn following(id: PacketIdentifier) -> PacketIdentifier {
    id.checked_add(1).unwrap_or(PacketIdentifier::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketIdentifier {
        PacketIdentifier::new(number).unwrap()
    }

    #[test]
    fn identifiers_in_use_are_skipped_after_the_counter_wraps() {
        let mut out = Outbound::new(u16::MAX);
        let held = out.begin(Awaited::PubAck, 0).unwrap();
        for round in 0..70_000_u32 {
            let next = out.begin(Awaited::PubAck, round).unwrap();
            assert_ne!(next, held);
            assert_eq!(out.finish(next, Awaited::PubAck), Some(round));
        }
    }

    #[test]
    fn a_block_that_is_left_gives_no_identifiers() {
        let mut out = Outbound::new(u16::MAX);
        for (block, first) in [(0, 0x1000), (1, 0x2000), (14, 0xf000), (15, 1)] {
            out.leave_block(block);
            assert_eq!(out.block(), (block + 1) % 16);
            assert_eq!(out.begin(Awaited::PubAck, block), Ok(id(first)));
            assert_eq!(out.block(), (block + 1) % 16);
        }
    }

    #[test]
    fn none_is_free_when_all_are_in_use() {
        let mut out = Outbound::new(u16::MAX);
        for _ in 0..u16::MAX {
            assert!(out.begin(Awaited::SubAck, ()).is_ok());
        }
        assert_eq!(out.begin(Awaited::SubAck, ()), Err(()));
        assert!(out.has_quota(), "only PUBLISH uses quota");
        out.finish(id(77), Awaited::SubAck).unwrap();
        assert_eq!(out.begin(Awaited::PubRec, ()), Ok(id(77)));
    }

    #[test]
    fn quota_comes_back_with_puback_pubcomp_and_a_refusing_pubrec() {
        let mut out = Outbound::new(2);
        let one = out.begin(Awaited::PubRec, "one").unwrap();
        let two = out.begin(Awaited::PubRec, "two").unwrap();
        assert!(!out.has_quota());
        assert_eq!(out.finish(one, Awaited::PubComp), None, "not yet");
        assert_eq!(out.advance(one, Awaited::PubRec), Ok(&mut "one"));
        assert_eq!(out.advance(one, Awaited::PubRec), Ok(&mut "one"), "repeated");
        assert!(!out.has_quota());
        assert_eq!(out.finish(one, Awaited::PubComp), Some("one"));
        assert!(out.has_quota());
        assert_eq!(out.finish(two, Awaited::PubRec), Some("two"));
        assert_eq!(out.advance(two, Awaited::PubRec), Err(Unexpected::NotFound));
        assert!(out.is_empty());
    }

    #[test]
    fn resending_keeps_the_order_and_the_new_quota() {
        let mut out = Outbound::new(10);
        let a = out.begin(Awaited::PubAck, 'a').unwrap();
        let b = out.begin(Awaited::PubRec, 'b').unwrap();
        out.begin(Awaited::SubAck, 's').unwrap();
        let c = out.begin(Awaited::PubRec, 'c').unwrap();
        let d = out.begin(Awaited::PubAck, 'd').unwrap();
        out.advance(c, Awaited::PubRec).unwrap();
        out.advance(b, Awaited::PubRec).unwrap();
        assert_eq!(out.reconnected(), ['s']);
        out.set_receive_maximum(3);
        assert_eq!(out.resend(), Some((c, Awaited::PubComp, &'c')));
        assert_eq!(out.resend(), Some((b, Awaited::PubComp, &'b')));
        assert_eq!(out.resend(), Some((a, Awaited::PubAck, &'a')));
        assert_eq!(out.resend(), None, "no quota");
        assert!(!out.all_resent());
        out.finish(b, Awaited::PubComp).unwrap();
        assert_eq!(out.resend(), Some((d, Awaited::PubAck, &'d')));
        assert!(out.all_resent());
        assert_eq!(out.clear(), ['a', 'd', 'c']);
    }

    #[test]
    fn an_identifier_restored_is_not_given_out_again() {
        let mut out = Outbound::new(10);
        out.restore(id(1), Awaited::PubAck, ());
        out.restore(id(2), Awaited::PubComp, ());
        assert_eq!(out.begin(Awaited::PubAck, ()), Ok(id(3)));
    }
}
