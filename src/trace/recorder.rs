//! Makes a trace of what passes over links: whole packets, though bytes arrive in pieces.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Event, Name, Transfer, What};
use crate::codec::{Packet, Reader, Version, decode};
use crate::link::{Cause, LinkId};
use crate::time::Time;

/// The largest packet that a trace puts together: the largest there can be.
const ANY_SIZE: u32 = u32::MAX;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

impl Way {
    /// Both, in a fixed order.
    pub const BOTH: [Way; 2] = [Way::Up, Way::Down];

    /// The other way.
    pub const fn back(self) -> Way {
        match self {
            Way::Up => Way::Down,
            Way::Down => Way::Up,
        }
    }
}

/// Collects events, and remembers of each link what is needed to name them.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Vec<Event>,
    links: BTreeMap<LinkId, Watched>,
    packets: u64,
}

/// A link as its bystander knows it.
#[derive(Debug)]
struct Watched {
    client: Name,
    broker: Name,
    version: Option<Version>,
    arriving: [Arriving; 2],
    leaving: [Arriving; 2],
    opened: bool,
    /// Which sides are not done with it, by the way in which they send.
    open: [bool; 2],
}

impl Watched {
    fn new(client: &Name, broker: &Name, open: [bool; 2]) -> Watched {
        let pieces = || [Arriving::Packets(Reader::new(ANY_SIZE)), Arriving::Packets(Reader::new(ANY_SIZE))];
        let (client, broker, arriving, leaving) = (client.clone(), broker.clone(), pieces(), pieces());
        Watched { client, broker, version: None, arriving, leaving, opened: false, open }
    }
}

/// Bytes that come in pieces.
#[derive(Debug)]
enum Arriving {
    Packets(Reader),
    /// Something came that is no packet: from there on the bytes are taken as they are.
    Garbage,
}

impl Arriving {
    /// The packets that these bytes complete.
    fn whole(&mut self, bytes: Bytes) -> Vec<Bytes> {
        let Arriving::Packets(reader) = self else { return vec![bytes] };
        let (mut whole, mut length) = (Vec::new(), 0);
        reader.feed(bytes.clone());
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    length += frame.len();
                    whole.push(frame);
                }
                Ok(None) => break,
                Err(_) => {
                    *self = Arriving::Garbage;
                    whole.push(bytes.slice(length.min(bytes.len())..));
                    break;
                }
            }
        }
        whole
    }
}

impl Recorder {
    /// Nothing has happened yet.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// Notes an event.
    pub fn note(&mut self, time: Time, what: What) {
        self.events.push(Event { time, what });
    }

    /// A client dials: from now on the link has its names.
    pub fn dialled(&mut self, link: LinkId, client: &Name, broker: &Name) {
        self.links.insert(link, Watched::new(client, broker, [true; 2]));
    }

    /// A client of which only the broker's end is seen is connected. [`Recorder::overheard`] notes its packets.
    pub fn overhear(&mut self, time: Time, link: LinkId, client: &Name, broker: &Name) {
        self.links.insert(link, Watched::new(client, broker, [false, true]));
        self.opened(time, link);
    }

    /// The link is older than the recorder: what version it speaks, and the beginning of a packet that has come.
    pub fn joined(&mut self, link: LinkId, version: Option<Version>, begun: Bytes) {
        let Some(watched) = self.links.get_mut(&link) else { return };
        watched.version = version;
        if let Arriving::Packets(reader) = &mut watched.arriving[Way::Up as usize] {
            reader.feed(begun);
        }
    }

    /// The connection is made.
    pub fn opened(&mut self, time: Time, link: LinkId) {
        if let Some(watched) = self.links.get_mut(&link) {
            watched.opened = true;
            let (client, broker) = (watched.client.clone(), watched.broker.clone());
            self.note(time, What::Opened { link, client, broker });
        }
    }

    /// The connection could not be made.
    pub fn unreachable(&mut self, time: Time, link: LinkId, why: impl Into<String>) {
        if let Some(watched) = self.links.remove(&link) {
            self.note(time, What::Unreachable { link, client: watched.client, why: why.into() });
        }
    }

    /// The side that sends `way` is done with the connection, which it was told of.
    pub fn closed(&mut self, time: Time, link: LinkId, way: Way, cause: Cause) {
        let Some(watched) = self.links.get_mut(&link) else { return };
        if !watched.opened || !watched.open[way as usize] {
            return;
        }
        let at = match way {
            Way::Up => watched.client.clone(),
            Way::Down => watched.broker.clone(),
        };
        watched.open[way as usize] = false;
        if watched.open == [false; 2] {
            self.links.remove(&link);
        }
        self.note(time, What::Closed { link, at, cause });
    }

    /// One packet was handed to the network.
    pub fn left(&mut self, time: Time, link: LinkId, way: Way, packet: Bytes) {
        if let Some(transfer) = self.transfer(link, way, packet) {
            self.packets += 1;
            self.note(time, What::Left(transfer));
        }
    }

    /// Some bytes were handed to the network, whole packets or parts of them.
    pub fn left_in_pieces(&mut self, time: Time, link: LinkId, way: Way, bytes: Bytes) {
        let Some(watched) = self.links.get_mut(&link) else { return };
        for packet in watched.leaving[way as usize].whole(bytes) {
            self.left(time, link, way, packet);
        }
    }

    /// Some bytes arrived.
    pub fn arrived(&mut self, time: Time, link: LinkId, way: Way, bytes: Bytes) {
        for packet in self.whole(link, way, bytes) {
            if let Some(transfer) = self.transfer(link, way, packet) {
                self.note(time, What::Arrived(transfer));
            }
        }
    }

    /// Some bytes passed, of which nobody saw both ends: they left and arrived at once.
    pub fn overheard(&mut self, time: Time, link: LinkId, way: Way, bytes: Bytes) {
        for packet in self.whole(link, way, bytes) {
            if let Some(transfer) = self.transfer(link, way, packet) {
                self.packets += 1;
                self.note(time, What::Left(transfer.clone()));
                self.note(time, What::Arrived(transfer));
            }
        }
    }

    /// The packets that these bytes complete at their receiver.
    fn whole(&mut self, link: LinkId, way: Way, bytes: Bytes) -> Vec<Bytes> {
        self.links.get_mut(&link).map(|watched| watched.arriving[way as usize].whole(bytes)).unwrap_or_default()
    }

    fn transfer(&mut self, link: LinkId, way: Way, bytes: Bytes) -> Option<Transfer> {
        let watched = self.links.get_mut(&link)?;
        if way == Way::Up && watched.version.is_none() {
            watched.version = asked_version(&bytes);
        }
        let (from, to) = match way {
            Way::Up => (watched.client.clone(), watched.broker.clone()),
            Way::Down => (watched.broker.clone(), watched.client.clone()),
        };
        Some(Transfer { link, from, to, version: watched.version.unwrap_or(Version::V3_1_1), bytes })
    }

    /// How many packets have left.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// What happened since the last call, in order.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// The version that a CONNECT asks for, also if something behind that is broken.
fn asked_version(packet: &Bytes) -> Option<Version> {
    if let Ok(Packet::Connect(connect)) = decode(Version::V5, packet) {
        return Some(connect.version);
    }
    let length = packet.get(1..)?.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let asks = packet[0] >> 4 == 1 && packet.get(1 + length..)?.starts_with(b"\0\x04MQTT\x05");
    asks.then_some(Version::V5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connect_tells_its_version() {
        let connect = |level| [b"\x10\x0c\0\x04MQTT", &[level, 0x03, 0, 0, 0, 0][..]].concat().into();
        assert_eq!(asked_version(&connect(5)), Some(Version::V5));
        assert_eq!(asked_version(&connect(4)), None);
        assert_eq!([&b"\x10"[..], b"", b"\x10\xff"].map(|bytes| asked_version(&bytes.into())), [None; 3]);
    }
}
