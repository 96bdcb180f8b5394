//! CONNECT and its answer (sections 3.1, 3.2): what is refused, which session it gets, what becomes of an older
//! connection with the same client identifier.

use std::time::Duration;

use super::link::Phase;
use super::session::{DelayedWill, Session, SessionKey};
use super::{Broker, Output, SessionChange, Timer};
use crate::codec::{
    ConnAck, Connect, ConnectRef, Packet, PacketType, Properties, Property, Qos, Reason, Text, Value, Version,
};
use crate::link::{Cause, LinkId};

impl Broker {
    pub(super) fn connect(&mut self, id: LinkId, connect: &ConnectRef<'_>) {
        let properties = connect.properties;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.version = connect.version;
        link.wants_problems = properties.request_problem_information() != Some(0);
        link.takes_bytes =
            properties.maximum_packet_size().map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        link.method = properties.authentication_method().map(Box::new);
        link.clean_start = connect.clean_start();
        if self.wants_names() {
            self.introduce(id, connect.client_id().detached(), connect.username().map(|name| name.detached()));
        }
        self.timers.cancel(Timer::Connect(id));
        if let Err(reason) = self.acceptable(connect) {
            return self.refuse(id, reason);
        }
        let connect = Box::new(connect.detached());
        match self.penance(id, &connect) {
            Some(span) => self.hold_back(id, connect, span),
            None => self.enter(id, connect),
        }
    }

    /// What this broker cannot serve, whoever asks.
    fn acceptable(&self, connect: &ConnectRef<'_>) -> Result<(), Reason> {
        if connect.client_id().is_empty() && connect.version == Version::V3_1_1 && !connect.clean_start() {
            return Err(Reason::ClientIdentifierNotValid); // 3.1.1, 3.1.3-8
        }
        let Some(will) = connect.will() else { return Ok(()) };
        if will.qos > self.config.maximum_qos {
            return Err(Reason::QosNotSupported);
        }
        if will.retain && !self.config.retain_available {
            return Err(Reason::RetainNotSupported);
        }
        Ok(())
    }

    /// Says no in a CONNACK, if the version has one for it, and closes.
    pub(super) fn refuse(&mut self, id: LinkId, reason: Reason) {
        if reason.allowed_in(PacketType::ConnAck) {
            let words = self.words_for(id, reason);
            self.send_explained(id, words, |properties| {
                Packet::ConnAck(ConnAck { session_present: false, reason, properties })
            });
        }
        self.close(id, Cause::Refused(reason));
    }

    /// Lets a client in that has shown who it is, with a CONNECT in buffers of its own; `proof` is what authentication adds to the CONNACK.
    pub(super) fn accept(&mut self, id: LinkId, connect: &Connect, proof: Properties) {
        let assigned = connect.client_id.is_empty();
        let client_id = if assigned { self.invent_client_id() } else { connect.client_id.clone() };
        self.take_over(&client_id);
        let (session, resumed) = self.find_session(&client_id, connect.clean_start);
        self.timers.cancel(Timer::Connect(id));
        self.begin_connection(id, session, connect);
        self.note_connected(id, connect.keep_alive, resumed);
        let properties = self.connack_properties(session, connect, assigned.then_some(client_id), proof);
        let connack = ConnAck { session_present: resumed, reason: Reason::Success, properties };
        if !self.send(id, &Packet::ConnAck(connack)) {
            // Not even the CONNACK is small enough for what the client takes.
            return self.close(id, Cause::Refused(Reason::PacketTooLarge));
        }
        self.send_queued(session);
    }

    /// A client identifier for a client that brought none (3.1.3.1): no other session has it.
    fn invent_client_id(&mut self) -> Text {
        loop {
            let number = self.names.draw();
            let name = format!("auto-{number:016x}");
            if let Ok(client_id) = Text::try_from(name)
                && !self.by_client_id.contains_key(&client_id)
            {
                return client_id;
            }
        }
    }

    /// Ends the connection that another client has with this client identifier (3.1.4-3; 3.1.1 3.1.4-2).
    fn take_over(&mut self, client_id: &Text) {
        if let Some(&session) = self.by_client_id.get(client_id)
            && let Some(older) = self.sessions[session].link
        {
            self.close(older, Cause::TakenOver);
        }
    }

    /// The session for a client identifier, and whether it was there before.
    fn find_session(&mut self, client_id: &Text, clean_start: bool) -> (SessionKey, bool) {
        if let Some(&session) = self.by_client_id.get(client_id) {
            if !clean_start {
                self.timers.cancel(Timer::Session(session));
                self.timers.cancel(Timer::Will(session));
                self.report(session, SessionChange::Resumed);
                return (session, true);
            }
            self.end_session(session);
        }
        let session = self.sessions.insert(Session::new(client_id.clone(), u16::MAX));
        self.by_client_id.insert(client_id.clone(), session);
        self.report(session, SessionChange::Made);
        (session, false)
    }

    /// Ties link and session together, with what the CONNECT says of both.
    fn begin_connection(&mut self, id: LinkId, key: SessionKey, connect: &Connect) {
        let asked = match connect.version {
            Version::V3_1_1 if connect.clean_start => 0,
            Version::V3_1_1 => u32::MAX,
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
        };
        let keep_alive = match (connect.version, self.config.server_keep_alive) {
            (Version::V5, Some(seconds)) => seconds,
            _ => connect.keep_alive,
        };
        let window = match connect.version {
            Version::V3_1_1 => self.config.window_3_1_1,
            Version::V5 => connect.properties.receive_maximum().unwrap_or(u16::MAX),
        };
        let session = &mut self.sessions[key];
        session.link = Some(id);
        session.username = connect.username.clone().map(Box::new);
        let was_lasting = session.is_lasting();
        session.expiry_seconds = asked.min(self.config.session_expiry_maximum);
        let forget = was_lasting && !session.is_lasting();
        session.will = connect.will.as_ref().map(|will| {
            let delay_seconds = will.properties.will_delay_interval().unwrap_or(0);
            Box::new(DelayedWill { delay_seconds, will: will.clone() })
        });
        session.outbound.set_receive_maximum(window);
        session.outbound.reconnected();
        session.inbound.reconnected();
        if forget {
            // The session goes on, but from now on only for as long as this connection.
            self.forget_session(key);
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        link.phase = Phase::Connected(key);
        self.counters.client_connected();
        link.expiry_was_zero = asked == 0;
        link.aliases_out_maximum =
            connect.properties.topic_alias_maximum().unwrap_or(0).min(self.config.topic_alias_maximum_out);
        if keep_alive > 0 {
            let patience = Duration::from_millis(u64::from(keep_alive) * 1500);
            link.patience = Some(patience);
            link.keep_alive_check = self.now + patience;
            self.timers.set_remembered(Timer::KeepAlive(id), link.keep_alive_check);
        }
        self.store_session(key);
    }

    /// What a 5.0 client is told in CONNACK: all that differs from what it would assume (section 3.2.2.3).
    fn connack_properties(
        &self,
        session: SessionKey,
        connect: &Connect,
        assigned: Option<Text>,
        proof: Properties,
    ) -> Properties {
        if connect.version == Version::V3_1_1 {
            return Properties::default();
        }
        let config = &self.config;
        let mut properties = proof;
        let mut say = |unlike_default: bool, property: Property, value: Value| {
            if unlike_default {
                properties.push(property, value);
            }
        };
        let expiry = self.sessions[session].expiry_seconds;
        let asked = connect.properties.session_expiry_interval().unwrap_or(0);
        say(expiry != asked, Property::SessionExpiryInterval, Value::Four(expiry));
        say(config.receive_maximum != u16::MAX, Property::ReceiveMaximum, Value::Two(config.receive_maximum));
        let qos = config.maximum_qos;
        say(qos < Qos::ExactlyOnce, Property::MaximumQos, Value::Byte(qos.number()));
        say(!config.retain_available, Property::RetainAvailable, Value::Byte(0));
        say(true, Property::MaximumPacketSize, Value::Four(config.maximum_packet_size));
        if let Some(client_id) = assigned {
            say(true, Property::AssignedClientIdentifier, Value::Text(client_id));
        }
        let aliases = config.topic_alias_maximum;
        say(aliases > 0, Property::TopicAliasMaximum, Value::Two(aliases));
        say(!config.wildcard_available, Property::WildcardSubscriptionAvailable, Value::Byte(0));
        let identifiers = config.subscription_identifier_available;
        say(!identifiers, Property::SubscriptionIdentifierAvailable, Value::Byte(0));
        say(!config.shared_available, Property::SharedSubscriptionAvailable, Value::Byte(0));
        if let Some(seconds) = config.server_keep_alive {
            say(true, Property::ServerKeepAlive, Value::Two(seconds));
        }
        if let Some(information) = &config.response_information
            && connect.properties.request_response_information() == Some(1)
            && let Ok(information) = Text::try_from(information.as_str())
        {
            say(true, Property::ResponseInformation, Value::Text(information));
        }
        properties
    }

    /// Reports what happened to a session, where somebody reads it.
    pub(super) fn report(&mut self, session: SessionKey, change: SessionChange) {
        if self.config.trace {
            let client_id = self.sessions[session].client_id.clone();
            self.outbox.push(Output::Session(client_id, change));
        }
    }
}
