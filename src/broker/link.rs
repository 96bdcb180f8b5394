//! One connection: its bytes, its version, its keep alive, its end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::access::{Arrival, Exchange};
use super::counters::LinkCounters;
use super::notice::Limit;
use super::{Broker, Input, Output, Peer, Timer};
use crate::codec::{
    Connect, Disconnect, Frame, Packet, PacketRef, Properties, Property, Publish, Reader, Reason, Text, Value, Version,
};
use crate::link::{Cause, LinkId};
use crate::store::Mark;
use crate::time::Time;
use crate::topic::TopicName;

use super::quota::Pace;
use super::session::SessionKey;

const TOO_EARLY: &str = "a packet came before authentication was done";
/// How many bytes may come before a CONNECT is answered: clients need not wait for that [MQTT-3.1.4-5].
const EARLY_MAXIMUM: usize = 1 << 20;
const FOR_SERVERS: &str = "a packet that only a server sends";

/// A connection's state.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Peer,
    /// How it arrived, where that matters.
    pub(super) arrival: Option<Box<Arrival>>,
    pub(super) reader: Reader,
    pub(super) phase: Phase,
    pub(super) version: Version,
    /// When the last whole packet came.
    heard: Time,
    /// One and a half times the keep alive; `None` where it is off.
    pub(super) patience: Option<Duration>,
    /// When it is next looked whether the client was silent for that long.
    pub(super) keep_alive_check: Time,
    /// The largest packet the client takes, in bytes.
    pub(super) takes_bytes: usize,
    /// Topic aliases, if any are set.
    pub(super) aliases: Option<Box<Aliases>>,
    /// How many we may set.
    pub(super) aliases_out_maximum: u16,
    /// Whether reason strings are wanted on failures (5.0 section 3.1.2.11.7).
    pub(super) wants_problems: bool,
    /// The session expiry interval in CONNECT was 0: a DISCONNECT may not set another.
    pub(super) expiry_was_zero: bool,
    /// The method of enhanced authentication, if the client used one.
    pub(super) method: Option<Box<Text>>,
    /// An exchange of AUTH packets that goes on.
    pub(super) exchange: Option<Box<Exchange>>,
    pub(super) congested: bool,
    /// What must be durable before anything overtakes what was sent to it.
    pub(super) in_order: Mark,
    /// What its CONNECT said of that.
    pub(super) clean_start: bool,
    pub(super) pace: Pace,
    pub(super) counters: LinkCounters,
}

/// The topic aliases of a connection (5.0 section 3.3.2.3.4).
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// What the client's stand for.
    pub(super) theirs: BTreeMap<u16, TopicName>,
    /// Ours.
    pub(super) ours: BTreeMap<Text, u16>,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing but CONNECT may come.
    AwaitingConnect,
    /// The CONNECT of somebody from where many have failed: it is looked at later.
    HeldBack(Box<Connect>),
    /// The CONNECT whose password is being held against a hash; with a verdict here, that is for show.
    Verifying(Box<Connect>, Option<bool>),
    /// Nothing but AUTH may come; the CONNECT that waits for it.
    Authenticating(Box<Connect>),
    /// CONNACK has been sent.
    Connected(SessionKey),
}

impl Link {
    fn new(peer: Peer, arrival: Option<Box<Arrival>>, maximum_packet_size: u32, now: Time) -> Link {
        Link {
            peer,
            arrival,
            reader: Reader::new(maximum_packet_size),
            phase: Phase::AwaitingConnect,
            version: Version::V3_1_1,
            heard: now,
            patience: None,
            keep_alive_check: now,
            takes_bytes: usize::MAX,
            aliases: None,
            aliases_out_maximum: 0,
            wants_problems: true,
            expiry_was_zero: false,
            method: None,
            exchange: None,
            congested: false,
            in_order: Mark::default(),
            clean_start: true,
            pace: Pace::default(),
            counters: LinkCounters::new(now),
        }
    }

    pub(super) fn session(&self) -> Option<SessionKey> {
        match self.phase {
            Phase::Connected(session) => Some(session),
            _ => None,
        }
    }

    /// The CONNECT that waits to be decided on.
    pub(super) fn undecided(&self) -> Option<&Connect> {
        match &self.phase {
            Phase::HeldBack(connect) | Phase::Verifying(connect, _) | Phase::Authenticating(connect) => Some(connect),
            Phase::AwaitingConnect | Phase::Connected(_) => None,
        }
    }

    /// Whether what comes waits until it is decided on the CONNECT.
    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::HeldBack(_) | Phase::Verifying(..))
    }

    pub(super) fn version(&self) -> Option<Version> {
        (!matches!(self.phase, Phase::AwaitingConnect)).then_some(self.version)
    }

    pub(super) fn wire_version(&self) -> Version {
        self.version
    }

    /// Whether the client takes a packet of this size; it is counted then.
    pub(super) fn takes(&mut self, frame: &Frame) -> bool {
        let takes = frame.len() <= self.takes_bytes;
        if takes {
            self.counters.traffic.sent.add(frame.len());
        }
        takes
    }
}

impl Broker {
    pub(super) fn opened(&mut self, id: LinkId, peer: Peer, arrival: Option<Box<Arrival>>) {
        let is_full = self.links.len() >= self.config.connections_maximum;
        if is_full || !self.callers.admit(&peer, self.config.connections_per_address_maximum) {
            self.note_limit(Limit::Connections, None);
            self.outbox.push(Output::Close(id, Cause::Refused(Reason::ServerBusy)));
            return;
        }
        self.counters.opened += 1;
        self.links.insert(id, Link::new(peer, arrival, self.config.maximum_packet_size, self.now));
        self.timers.set(Timer::Connect(id), self.now + self.config.connect_timeout);
    }

    pub(super) fn received(&mut self, id: LinkId, bytes: Bytes) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.counters.traffic.received.bytes += bytes.len() as u64;
        self.counters.packets.received.bytes += bytes.len() as u64;
        if link.is_waiting() {
            return self.put_aside(id, &bytes);
        }
        // It lends the packets, and so cannot stay where they change things.
        let mut reader = std::mem::take(&mut link.reader);
        reader.feed(bytes);
        self.read(id, reader);
    }

    /// Keeps what comes before it is decided whether the client may come in.
    fn put_aside(&mut self, id: LinkId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.reader.buffered() + bytes.len() > EARLY_MAXIMUM {
            return self.close(id, Cause::Protocol(Reason::QuotaExceeded, "too much came before the CONNACK"));
        }
        // A copy: the buffer that it came in would live as long.
        link.reader.feed(Bytes::copy_from_slice(bytes));
    }

    /// Goes on with what was put aside.
    pub(super) fn resume(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let reader = std::mem::take(&mut link.reader);
        self.read(id, reader);
    }

    /// Takes the packets out of a connection's reader, and puts it back.
    fn read(&mut self, id: LinkId, mut reader: Reader) {
        self.read_packets(id, &mut reader);
        if let Some(link) = self.links.get_mut(&id) {
            link.reader = reader;
        }
    }

    fn read_packets(&mut self, id: LinkId, reader: &mut Reader) {
        // Each packet may end the connection, and with it the loop.
        while let Some(link) = self.links.get_mut(&id).filter(|link| !link.is_waiting()) {
            match reader.next_packet(link.version) {
                Ok(Some(packet)) => {
                    link.heard = self.now;
                    link.counters.traffic.received.number += 1;
                    self.counters.packets.received.number += 1;
                    match link.session() {
                        Some(session) => self.connected_packet(id, session, packet),
                        None => self.early_packet(id, packet),
                    }
                }
                Ok(None) => return,
                Err(malformed) => {
                    if malformed.reason == Reason::UnsupportedProtocolVersion {
                        // 3.1.1 demands this answer (3.1.2-2); 5.0 allows one, but of what version the client would
                        // understand nobody knows.
                        self.refuse(id, Reason::UnsupportedProtocolVersion);
                    }
                    return self.close(id, Cause::Malformed(malformed));
                }
            }
        }
    }

    /// A packet that comes before CONNACK was sent.
    fn early_packet(&mut self, id: LinkId, packet: PacketRef<'_>) {
        let Some(link) = self.links.get(&id) else { return };
        match (&link.phase, packet) {
            (Phase::AwaitingConnect, PacketRef::Connect(connect)) => self.connect(id, &connect),
            (Phase::AwaitingConnect, _) => self.offend(id, "the first packet is not CONNECT"),
            (Phase::Authenticating(_), PacketRef::Rare(packet)) => match *packet {
                Packet::Auth(auth) => self.authenticate(id, auth),
                Packet::Disconnect(_) => self.close(id, Cause::Asked),
                _ => self.offend(id, TOO_EARLY),
            },
            (Phase::Authenticating(_), _) => self.offend(id, TOO_EARLY),
            // Nothing is read then; or it is for `connected_packet`.
            (Phase::HeldBack(_) | Phase::Verifying(..) | Phase::Connected(_), _) => {}
        }
    }

    /// Inlined where packets are read, which leaves them where they were put: a move costs as much as reading one.
    #[inline]
    fn connected_packet(&mut self, id: LinkId, session: SessionKey, packet: PacketRef<'_>) {
        match packet {
            PacketRef::Publish(publish) => self.publish(id, session, &publish),
            PacketRef::Ack(ack) => self.settle(id, session, &ack),
            PacketRef::Subscribe(subscribe) => self.subscribe(id, session, &subscribe),
            PacketRef::PingReq => drop(self.send(id, &Packet::PingResp)),
            PacketRef::Connect(_) => self.offend(id, "a second CONNECT"),
            PacketRef::PingResp => self.offend(id, FOR_SERVERS),
            PacketRef::Rare(packet) => match *packet {
                Packet::Unsubscribe(unsubscribe) => self.unsubscribe(id, session, unsubscribe),
                Packet::Disconnect(disconnect) => self.disconnected(id, session, disconnect),
                Packet::Auth(auth) => self.authenticate(id, auth),
                _ => self.offend(id, FOR_SERVERS),
            },
        }
    }

    /// DISCONNECT (section 3.14).
    fn disconnected(&mut self, id: LinkId, session: SessionKey, disconnect: Disconnect) {
        let expiry_was_zero = self.links.get(&id).is_some_and(|link| link.expiry_was_zero);
        if let Some(seconds) = disconnect.properties.session_expiry_interval() {
            if expiry_was_zero && seconds > 0 {
                return self.offend(id, "a session expiry interval in DISCONNECT after none in CONNECT");
            }
            self.sessions[session].expiry_seconds = seconds.min(self.config.session_expiry_maximum);
        }
        if disconnect.reason == Reason::Success {
            self.sessions[session].will = None;
        }
        self.close(id, Cause::Asked);
    }

    /// Ends a connection for a breach of the protocol (5.0 section 4.13, 3.1.1 section 4.8).
    pub(super) fn offend(&mut self, id: LinkId, what: &'static str) {
        self.close(id, Cause::Protocol(Reason::ProtocolError, what));
    }

    /// Ends a connection from our side; a client of 5.0 is told why.
    pub(super) fn close(&mut self, id: LinkId, cause: Cause) {
        let Some(link) = self.links.get(&id) else { return };
        let version = link.version;
        let whose = link.session().map(|key| (self.sessions[key].client_id.clone(), link.wire_version()));
        if let (Version::V5, Some(_), Some(reason)) = (version, link.session(), cause.reason())
            && reason.allowed_in(crate::codec::PacketType::Disconnect)
        {
            let words = link.wants_problems.then(|| cause.to_string()).and_then(|words| Text::try_from(words).ok());
            self.send_explained(id, words, |properties| Packet::Disconnect(Disconnect { reason, properties }));
        }
        self.leaving.extend(whose.map(|whose| (id, whose)));
        self.outbox.push(Output::Close(id, cause.clone()));
        self.closed(id, cause);
    }

    /// Sends a packet with these words as its reason string, or without where that would be more than the client
    /// takes (as 5.0 demands for each packet that may have one, first in 3.2.2-19).
    pub(super) fn send_explained(&mut self, id: LinkId, words: Option<Text>, packet: impl Fn(Properties) -> Packet) {
        if let Some(words) = words {
            let properties = Properties::new().with(Property::ReasonString, Value::Text(words));
            if self.send(id, &packet(properties)) {
                return;
            }
        }
        self.send(id, &packet(Properties::new()));
    }

    /// The words for a reason code that reports a failure, for a client of 5.0 that wants to know (section 3.1.2.11.7).
    pub(super) fn words_for(&self, id: LinkId, reason: Reason) -> Option<Text> {
        if !reason.is_error() {
            return None;
        }
        let link = self.links.get(&id)?;
        (link.version == Version::V5 && link.wants_problems).then(|| Text::literal(reason.words()))
    }

    /// A connection is gone; its session lives on or ends.
    pub(super) fn closed(&mut self, id: LinkId, cause: Cause) {
        self.note_closed(id, &cause);
        let Some(link) = self.links.remove(&id) else { return };
        self.callers.left(&link.peer);
        self.timers.cancel(Timer::Connect(id));
        self.timers.cancel_remembered(Timer::KeepAlive(id), link.keep_alive_check);
        match link.phase {
            Phase::HeldBack(_) => self.timers.cancel(Timer::Penance(id)),
            _ if link.congested => self.timers.cancel(Timer::Congested(id)),
            _ => {}
        }
        if let Some(session) = link.session() {
            self.leave(session);
        }
    }

    /// Notes which messages for a connection that is gone never left, for they waited for the disk: the next connection
    /// gets them as what they are, without DUP [MQTT-3.3.1-3].
    pub(super) fn take_back(&mut self, id: LinkId) {
        let standing = self.links.get(&id).and_then(|link| Some((link.session()?, link.wire_version())));
        let leaving = |(client_id, version)| Some((*self.by_client_id.get(&client_id)?, version));
        let whose = standing.or_else(|| self.leaving.get(&id).cloned().and_then(leaving));
        let Some((session, version)) = whose else { return };
        for frame in self.outbox.take(id) {
            let Ok(Packet::Publish(Publish { packet_identifier: Some(packet), dup: false, payload, .. })) =
                frame.decode(version)
            else {
                continue;
            };
            let owed = self.sessions[session].outbound.value_mut(packet);
            if let Some(owed) = owed.filter(|owed| owed.message.payload == payload) {
                owed.left = false;
            }
        }
    }

    /// Looks whether a client was silent for too long; the timer is set anew only when it fires, not for each packet.
    pub(super) fn check_keep_alive(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Some(patience) = link.patience else { return };
        let due = link.heard + patience;
        if due <= self.now {
            self.close(id, Cause::KeepAlive);
        } else {
            link.keep_alive_check = due;
            self.timers.set_remembered(Timer::KeepAlive(id), due);
        }
    }

    pub(super) fn set_congested(&mut self, id: LinkId, congested: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.congested = congested;
        let session = link.session();
        match congested {
            true => self.timers.set(Timer::Congested(id), self.now + self.config.congestion_timeout),
            false => self.timers.cancel(Timer::Congested(id)),
        }
        if let (false, Some(session)) = (congested, session) {
            self.replays.drained(session);
            self.send_queued(session);
        }
    }

    pub(super) fn shutdown(&mut self) {
        let links: Vec<LinkId> = self.links.iter().map(|(id, _)| id).collect();
        for id in links {
            self.close(id, Cause::ShuttingDown);
        }
    }
}

impl Input {
    /// The connection it concerns.
    pub fn link(&self) -> Option<LinkId> {
        match self {
            Input::Opened(id, _)
            | Input::Arrived(id, ..)
            | Input::Verified(id, _)
            | Input::Received(id, _)
            | Input::Closed(id, _)
            | Input::Congested(id)
            | Input::Drained(id) => Some(*id),
            Input::Stored(_) | Input::Timeout | Input::Shutdown => None,
        }
    }
}
