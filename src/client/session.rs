//! What outlives a connection: session state (sections 3.1.2.11.2 and 4.1), and how long it lasts.

use std::time::Duration;

use super::publish::Outgoing;
use super::request::Request;
use super::{Client, Event, Token};
use crate::codec::{Qos, Reason};
use crate::flight::{Inbound, Outbound};
use crate::time::Time;

/// What is kept with an exchange that this side began.
#[derive(Debug)]
pub(super) enum Sent {
    /// A message whose PUBACK or PUBREC has not come.
    Message(Outgoing),
    /// A message whose PUBREC has come, with this reason.
    Released(Token, Reason),
    /// SUBSCRIBE or UNSUBSCRIBE.
    Request(Request),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) outbound: Outbound<Sent>,
    pub(super) inbound: Inbound,
    /// Whether the server has accepted a connection for it.
    pub(super) exists: bool,
    /// For how many seconds it outlives its connection; `u32::MAX` is for ever.
    pub(super) expiry_seconds: u32,
    /// When it ends, if no connection comes before.
    ends: Option<Time>,
}

impl Session {
    pub(super) fn new() -> Session {
        Session {
            outbound: Outbound::new(u16::MAX),
            inbound: Inbound::new(),
            exists: false,
            expiry_seconds: 0,
            ends: None,
        }
    }

    /// Its connection ended.
    pub(super) fn disconnected(&mut self, now: Time) {
        let lasts = Duration::from_secs(self.expiry_seconds.into());
        self.ends = (self.expiry_seconds < u32::MAX).then(|| now + lasts);
    }

    /// It has a connection.
    pub(super) fn connected(&mut self) {
        self.exists = true;
        self.ends = None;
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

impl Client {
    /// Drops the session state, as the server has done [MQTT-3.2.2-5]. What of the owner's was under way: QoS 1 goes to
    /// the head of the queue and out as new messages; QoS 2 that the server has received is done; of other QoS 2
    /// nobody knows.
    pub(super) fn end_session(&mut self) {
        self.session.inbound.clear();
        self.session.exists = false;
        let mut again = Vec::new();
        let mut requests = Vec::new();
        for sent in self.session.outbound.clear() {
            match sent {
                Sent::Message(outgoing) if outgoing.message.qos == Qos::ExactlyOnce => {
                    self.tell(Event::Lost(outgoing.token));
                }
                Sent::Message(outgoing) => again.push(outgoing),
                Sent::Released(token, reason) => self.tell(Event::Published(token, reason)),
                Sent::Request(request) => requests.push(request),
            }
        }
        again.into_iter().rev().for_each(|outgoing| self.queue.push_front(outgoing));
        requests.into_iter().rev().for_each(|request| self.requests.push_front(request));
    }
}
