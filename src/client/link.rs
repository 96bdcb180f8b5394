//! One connection: its bytes, its keep alive, its end.

use std::time::Duration;

use bytes::Bytes;

use super::alias::Aliases;
use super::connect::Server;
use super::reconnect::may_retry;
use super::{Client, Event, Output, Refused, State, Timer};
use crate::codec::{Disconnect, Frame, Packet, PacketRef, PacketType, Reader, Reason, Version};
use crate::link::{Cause, LinkId};
use crate::scram;
use crate::time::Time;

/// The largest packet that there is: fixed header and 268,435,455 bytes.
const LARGEST_PACKET: u32 = 268_435_460;

const TOO_EARLY: &str = "a packet came before CONNACK";
const FOR_CLIENTS: &str = "a packet that only clients send";

/// A connection's state.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) phase: Phase,
    pub(super) reader: Reader,
    /// What CONNECT asked.
    pub(super) clean_start: bool,
    /// What CONNACK said.
    pub(super) server: Server,
    /// When CONNACK came.
    pub(super) established: Option<Time>,
    pub(super) aliases: Aliases,
    /// The SCRAM exchange that goes on.
    pub(super) scram: Option<scram::Client>,
    /// When the last packet was sent, and when the last whole one came.
    sent: Time,
    heard: Time,
    /// Whether PINGRESP is owed.
    pinged: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is being made.
    Dialing,
    /// CONNECT was sent.
    Connecting,
    /// CONNACK has come.
    Connected,
}

impl Link {
    pub(super) fn new(id: LinkId, maximum_packet_size: Option<u32>, now: Time) -> Link {
        Link {
            id,
            phase: Phase::Dialing,
            reader: Reader::new(maximum_packet_size.unwrap_or(LARGEST_PACKET)),
            clean_start: false,
            server: Server::default(),
            established: None,
            aliases: Aliases::default(),
            scram: None,
            sent: now,
            heard: now,
            pinged: false,
        }
    }
}

impl Client {
    pub(super) fn received(&mut self, id: LinkId, bytes: Bytes) {
        let Some(link) = self.link_mut().filter(|link| link.id == id && link.phase != Phase::Dialing) else { return };
        // It lends the packets, and so cannot stay where they change things.
        let mut reader = std::mem::take(&mut link.reader);
        reader.feed(bytes);
        self.read(id, &mut reader);
        if let Some(link) = self.link_mut().filter(|link| link.id == id) {
            link.reader = reader;
        }
    }

    fn read(&mut self, id: LinkId, reader: &mut Reader) {
        let (version, now) = (self.config.version, self.now);
        // Each packet may end the connection, and with it the loop.
        while let Some(link) = self.link_mut().filter(|link| link.id == id) {
            match reader.next_packet(version) {
                Ok(Some(packet)) => {
                    link.heard = now;
                    self.packet(packet);
                    // Here and not after the last packet, so that how bytes are cut does not matter.
                    self.flush();
                }
                Ok(None) => return,
                Err(malformed) => return self.close(Cause::Malformed(malformed), Some(malformed.reason), true),
            }
        }
    }

    fn packet(&mut self, packet: PacketRef<'_>) {
        let Some(link) = self.link_mut() else { return };
        match (link.phase, packet) {
            (Phase::Dialing, _) => {}
            (phase, PacketRef::Rare(packet)) => self.rare_packet(phase, *packet),
            (Phase::Connecting, _) => self.offend(TOO_EARLY),
            (Phase::Connected, packet) => match packet {
                PacketRef::Publish(publish) => self.deliver(&publish),
                PacketRef::Ack(ack) => self.settle(&ack),
                PacketRef::PingResp => {
                    link.pinged = false;
                    self.timers.cancel(Timer::Pong);
                }
                _ => self.offend(FOR_CLIENTS),
            },
        }
    }

    fn rare_packet(&mut self, phase: Phase, packet: Packet) {
        match (phase, packet) {
            (Phase::Connecting, Packet::ConnAck(connack)) => self.connack(connack),
            (_, Packet::Auth(auth)) => self.authenticate(auth),
            (Phase::Connected, Packet::SubAck(suback)) => self.suback(suback),
            (Phase::Connected, Packet::UnsubAck(unsuback)) => self.unsuback(unsuback),
            (Phase::Connected, Packet::Disconnect(disconnect)) => self.disconnected(&disconnect),
            (Phase::Connected, Packet::ConnAck(_)) => self.offend("a second CONNACK"),
            (Phase::Connected, _) => self.offend(FOR_CLIENTS),
            (Phase::Dialing | Phase::Connecting, _) => self.offend(TOO_EARLY),
        }
    }

    /// The server sent DISCONNECT (5.0 section 3.14).
    fn disconnected(&mut self, disconnect: &Disconnect) {
        if self.config.version == Version::V3_1_1 {
            return self.offend(FOR_CLIENTS);
        }
        if disconnect.properties.session_expiry_interval().is_some() {
            return self.offend("a server's DISCONNECT with a session expiry interval"); // MQTT-3.14.2-2
        }
        if let Some(reference) = disconnect.properties.server_reference() {
            self.tell(Event::Redirected(disconnect.reason, reference.detached()));
        }
        let Some(link) = self.link() else { return };
        self.outputs.push_back(Output::Close(link.id, Cause::Asked));
        self.lost(Cause::Asked, Some(disconnect.reason), may_retry(disconnect.reason));
    }

    /// The host says that the connection ended, or could not be made.
    pub(super) fn closed(&mut self, id: LinkId, cause: Cause) {
        if self.link().is_some_and(|link| link.id == id) {
            self.lost(cause, None, true);
        }
    }

    /// Closes for a protocol error of the server.
    pub(super) fn offend(&mut self, what: &'static str) {
        self.offend_with(Reason::ProtocolError, what);
    }

    pub(super) fn offend_with(&mut self, reason: Reason, what: &'static str) {
        self.close(Cause::Protocol(reason, what), Some(reason), true);
    }

    /// Closes the connection; 5.0 servers are told the reason first [MQTT-4.13.1-1].
    pub(super) fn close(&mut self, cause: Cause, reason: Option<Reason>, retry: bool) {
        let Some(link) = self.link() else { return };
        let (id, phase) = (link.id, link.phase);
        if let Some(reason) = reason
            && phase != Phase::Dialing
            && self.config.version == Version::V5
        {
            let reason = if is_for_clients(reason) { reason } else { Reason::ProtocolError };
            self.send(&Packet::Disconnect(Disconnect::new(reason)));
        }
        self.outputs.push_back(Output::Close(id, cause.clone()));
        self.lost(cause, None, retry);
    }

    /// The connection is no more.
    pub(super) fn lost(&mut self, cause: Cause, reason: Option<Reason>, retry: bool) {
        self.tell(Event::Disconnected(cause, reason));
        self.leave(retry);
    }

    /// Forgets the connection, and waits for the next if there is to be one.
    pub(super) fn leave(&mut self, retry: bool) {
        let established = self.link().and_then(|link| link.established);
        if established.is_some() {
            self.session.disconnected(self.now);
        }
        for timer in [Timer::Connect, Timer::Ping, Timer::Pong] {
            self.timers.cancel(timer);
        }
        self.rest_or_retry(retry, established);
    }

    /// Disconnects in good order, or gives up connecting. The client rests afterwards.
    ///
    /// # Errors
    /// If there is nothing to disconnect or a client must not disconnect in this way.
    pub fn disconnect(&mut self, now: Time, disconnect: Disconnect) -> Result<(), Refused> {
        self.catch_up(now);
        let plain = disconnect.reason == Reason::Success && disconnect.properties.is_empty();
        if self.config.version == Version::V3_1_1 && !plain {
            return Err(Refused::NotInThisVersion("reason in DISCONNECT"));
        }
        if !is_for_clients(disconnect.reason) || disconnect.properties.server_reference().is_some() {
            return Err(Refused::Reason(disconnect.reason));
        }
        let expiry = disconnect.properties.session_expiry_interval();
        if expiry.is_some_and(|seconds| seconds > 0) && self.config.session_expiry.unwrap_or(0) == 0 {
            return Err(Refused::SessionExpiry);
        }
        let packet = Packet::Disconnect(disconnect);
        let frame = Frame::new(&packet, self.config.version)?;
        match &self.state {
            State::Resting => return Err(Refused::NotConnected),
            State::Waiting => self.tell(Event::Disconnected(Cause::Asked, None)),
            State::Linked(link) => {
                let (id, phase, most) = (link.id, link.phase, link.server.maximum_packet_size);
                if frame.len() > most {
                    return Err(Refused::TooLarge { len: frame.len(), most });
                }
                if phase != Phase::Dialing {
                    self.send(&packet);
                }
                if let Some(seconds) = expiry {
                    self.session.expiry_seconds = seconds;
                }
                self.outputs.push_back(Output::Close(id, Cause::Asked));
                self.tell(Event::Disconnected(Cause::Asked, None));
            }
        }
        self.leave(false);
        Ok(())
    }

    /// Sends a packet on the connection, unless the server takes none of its size [MQTT-3.2.2-15]. Whether it did.
    pub(super) fn send(&mut self, packet: &Packet) -> bool {
        let (version, now) = (self.config.version, self.now);
        let Some(link) = self.link_mut() else { return false };
        let Ok(frame) = Frame::new(packet, version) else { return false };
        if frame.len() > link.server.maximum_packet_size {
            return false;
        }
        link.sent = now;
        let output = Output::Send(link.id, frame);
        self.outputs.push_back(output);
        true
    }

    /// Begins to watch the connection, after CONNACK.
    pub(super) fn watch(&mut self) {
        if let Some(interval) = self.ping_interval() {
            self.timers.set(Timer::Ping, self.now + interval);
        }
    }

    /// How long after the last packet PINGREQ is sent: some time before the keep alive is over [MQTT-3.1.2-20].
    fn ping_interval(&self) -> Option<Duration> {
        let keep_alive = self.connected()?.server.keep_alive;
        (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 900))
    }

    /// Sends PINGREQ if nothing was sent, or nothing came, for too long: a client that only publishes at QoS 0 hears
    /// nothing, and would not see that its connection is dead.
    pub(super) fn ping(&mut self) {
        let (Some(interval), Some(link)) = (self.ping_interval(), self.connected()) else { return };
        let due = link.sent.min(link.heard) + interval;
        if due > self.now {
            return self.timers.set(Timer::Ping, due);
        }
        let patience =
            self.config.ping_patience.unwrap_or(Duration::from_millis(u64::from(link.server.keep_alive) * 500));
        let first = !link.pinged;
        self.send(&Packet::PingReq);
        if first {
            self.timers.set(Timer::Pong, self.now + patience.max(Duration::from_millis(1)));
        }
        self.timers.set(Timer::Ping, self.now + interval);
        if let Some(link) = self.link_mut() {
            link.pinged = true;
        }
    }
}

/// Whether 5.0 allows a client to disconnect with this reason (section 3.14.2.1).
fn is_for_clients(reason: Reason) -> bool {
    reason.allowed_in(PacketType::Disconnect)
        && (reason.code() <= Reason::ImplementationSpecificError.code()
            || matches!(
                reason,
                Reason::TopicNameInvalid
                    | Reason::ReceiveMaximumExceeded
                    | Reason::TopicAliasInvalid
                    | Reason::PacketTooLarge
                    | Reason::MessageRateTooHigh
                    | Reason::QuotaExceeded
                    | Reason::AdministrativeAction
                    | Reason::PayloadFormatInvalid
            ))
}
