//! CONNECT and its answer (sections 3.1, 3.2).

use super::link::{Link, Phase};
use super::reconnect::may_retry;
use super::session::Sent;
use super::{Client, Event, Output, State, Timer};
use crate::codec::{ConnAck, Packet, Properties, Qos, Reason, Version};
use crate::link::{Cause, LinkId};
use crate::scram;
use crate::time::Time;

/// What a server said of itself in CONNACK (5.0 section 3.2.2.3); before that, what is so if it says nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) keep_alive: u16,
    pub(super) receive_maximum: u16,
    pub(super) maximum_qos: Qos,
    pub(super) retain_available: bool,
    pub(super) maximum_packet_size: usize,
    pub(super) topic_alias_maximum: u16,
    pub(super) wildcard_available: bool,
    pub(super) identifiers_available: bool,
    pub(super) shared_available: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            keep_alive: 0,
            receive_maximum: u16::MAX,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: usize::MAX,
            topic_alias_maximum: 0,
            wildcard_available: true,
            identifiers_available: true,
            shared_available: true,
        }
    }
}

impl Server {
    fn new(properties: &Properties, keep_alive: u16) -> Server {
        let size = properties.maximum_packet_size();
        Server {
            keep_alive: properties.server_keep_alive().unwrap_or(keep_alive),
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            maximum_qos: properties.maximum_qos().and_then(Qos::from_number).unwrap_or(Qos::ExactlyOnce),
            retain_available: properties.retain_available() != Some(false),
            maximum_packet_size: size.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            wildcard_available: properties.wildcard_subscription_available() != Some(false),
            identifiers_available: properties.subscription_identifier_available() != Some(false),
            shared_available: properties.shared_subscription_available() != Some(false),
        }
    }
}

impl Client {
    /// Gives up the session, unless there is a connection: the next one begins a new session, if the settings ask for a
    /// clean start at all. Messages that wait go out in it, and those at QoS 1 that were under way as new ones.
    pub fn forget_session(&mut self, now: Time) {
        self.catch_up(now);
        if self.link().is_none() {
            self.end_session();
        }
    }

    /// Asks for a connection, unless there is one.
    pub(super) fn dial(&mut self) {
        if self.link().is_some() {
            return;
        }
        self.timers.cancel(Timer::Reconnect);
        let id = LinkId(self.dialed);
        self.dialed += 1;
        self.state = State::Linked(Box::new(Link::new(id, self.config.maximum_packet_size, self.now)));
        let patience = self.config.connect_patience.max(std::time::Duration::from_millis(1));
        self.timers.set(Timer::Connect, self.now + patience);
        self.outputs.push_back(Output::Dial(id));
    }

    /// The connection was made: sends CONNECT.
    pub(super) fn dialed(&mut self, id: LinkId) {
        if !self.link().is_some_and(|link| link.id == id && link.phase == Phase::Dialing) {
            return;
        }
        let ended = self.session.exists && self.session.is_over(self.now);
        if ended {
            self.end_session();
        }
        let clean_start = match self.config.version {
            // Nobody may resume a session with an identifier that is not known yet [MQTT-3.1.3-7].
            Version::V3_1_1 => self.config.clean_start || self.client_id.is_empty(),
            // Our state is gone: what the server may still have must go too.
            Version::V5 if ended => true,
            Version::V5 => self.config.clean_start && !self.session.exists,
        };
        let auth = self.config.auth.clone().filter(|_| self.config.version == Version::V5);
        let scram = auth.map(|auth| self.new_scram(&auth));
        let connect = self.config.connect(&self.client_id, clean_start, scram.as_ref().map(scram::Client::first));
        if let Some(link) = self.link_mut() {
            link.phase = Phase::Connecting;
            link.clean_start = clean_start;
            link.scram = scram;
        }
        if !self.send(&Packet::Connect(Box::new(connect))) {
            let what = "the settings ask for a CONNECT that the standard does not allow";
            self.close(Cause::Protocol(Reason::MalformedPacket, what), None, false);
        }
    }

    /// The server answered.
    pub(super) fn connack(&mut self, connack: ConnAck) {
        let ConnAck { session_present, reason, properties } = connack;
        let Some(link) = self.link() else { return };
        let (id, clean_start) = (link.id, link.clean_start);
        if reason != Reason::Success {
            if let Some(reference) = properties.server_reference() {
                self.tell(Event::Redirected(reason, reference.detached()));
            }
            self.tell(Event::Refused(reason));
            self.outputs.push_back(Output::Close(id, Cause::Refused(reason)));
            return self.leave(may_retry(reason));
        }
        if !self.proven(&properties) {
            return;
        }
        // MQTT-3.2.2-2, MQTT-3.2.2-4.
        if session_present && (clean_start || !(self.session.exists || self.config.session_expected)) {
            return self.offend("the server resumes a session that the client does not have");
        }
        self.timers.cancel(Timer::Connect);
        self.tell(Event::Connected { session_present, reason });
        self.begin_connection(&properties);
        // Kept for later connections: in front of what was asked meanwhile stands what was under way.
        for sent in self.session.outbound.reconnected().into_iter().rev() {
            if let Sent::Request(request) = sent {
                self.requests.push_front(request);
            }
        }
        self.session.inbound.reconnected();
        if !session_present {
            self.end_session();
            self.subscribe_anew();
        }
        self.session.connected();
        self.watch();
    }

    fn begin_connection(&mut self, properties: &Properties) {
        let server = Server::new(properties, self.config.keep_alive);
        let now = self.now;
        if self.client_id.is_empty()
            && let Some(assigned) = properties.assigned_client_identifier()
        {
            self.client_id = assigned.detached();
        }
        self.session.expiry_seconds = match self.config.version {
            Version::V3_1_1 if self.config.clean_start || self.client_id.is_empty() => 0,
            Version::V3_1_1 => u32::MAX,
            Version::V5 => properties.session_expiry_interval().or(self.config.session_expiry).unwrap_or(0),
        };
        self.session.outbound.set_receive_maximum(server.receive_maximum.min(self.config.in_flight_maximum.max(1)));
        if let Some(link) = self.link_mut() {
            link.phase = Phase::Connected;
            link.established = Some(now);
            link.server = server;
        }
    }
}
