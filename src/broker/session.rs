//! A session (section 4.1): what the broker keeps for a client identifier, with or without a connection.

use std::collections::VecDeque;

use super::quota::Debt;
use super::subscriptions::Subscriptions;
use crate::codec::{SubscriptionOptions, Text, Will};
use crate::flight::{Inbound, Outbound};
use crate::link::LinkId;
use crate::message::Message;
use crate::topic::{Target, TopicError, TopicFilter};

/// Names a session within one broker.
pub(super) type SessionKey = usize;

/// A session's state.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Text,
    pub(super) username: Option<Box<Text>>,
    /// The connection it has now.
    pub(super) link: Option<LinkId>,
    /// How long it outlives its connection, in seconds; `u32::MAX` for ever.
    pub(super) expiry_seconds: u32,
    /// The will of the connection, or of the last one while the will's delay runs.
    pub(super) will: Option<Box<DelayedWill>>,
    /// What it is subscribed to.
    pub(super) subscriptions: Subscriptions,
    /// Messages sent and not settled.
    pub(super) outbound: Outbound<Owed>,
    /// QoS 2 messages received and not released.
    pub(super) inbound: Inbound,
    /// Messages waiting for a connection, or for room in its window.
    pub(super) queue: VecDeque<Owed>,
    /// The place in the order of the next message owed.
    pub(super) next_place: u64,
    /// What it is owed, sent or not.
    pub(super) debt: Debt,
}

/// One subscription of a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Subscribed {
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<u32>,
    /// Whether `$share/…` means a shared subscription, as in 5.0 only.
    pub(super) shared: bool,
}

/// What a topic filter asks for; `$share/…` has a meaning in 5.0 only.
pub(super) fn target(filter: Text, shared: bool) -> Result<Target, TopicError> {
    let filter = TopicFilter::try_from(filter)?;
    if shared { Target::try_from(filter) } else { Ok(Target::Own(filter)) }
}

/// A will and how long after the connection it is published (5.0 section 3.1.3.2.2).
#[derive(Clone, Debug)]
pub(super) struct DelayedWill {
    pub(super) will: Will,
    pub(super) delay_seconds: u32,
}

/// A message that a session is to get at QoS 1 or 2.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// Its place in the order of what this session is owed.
    pub(super) place: u64,
    pub(super) message: Message,
    /// Whether its PUBLISH may have been sent, once it has a packet identifier.
    pub(super) left: bool,
    /// Whether it was handed to the host to be stored.
    pub(super) stored: bool,
}

impl Session {
    pub(super) fn new(client_id: Text, receive_maximum: u16) -> Session {
        Session {
            client_id,
            username: None,
            link: None,
            expiry_seconds: 0,
            will: None,
            subscriptions: Subscriptions::None,
            outbound: Outbound::new(receive_maximum),
            inbound: Inbound::default(),
            queue: VecDeque::new(),
            next_place: 0,
            debt: Debt::default(),
        }
    }

    /// Whether it outlives its connection, and so is worth storing.
    pub(super) fn is_lasting(&self) -> bool {
        self.expiry_seconds > 0
    }

    /// The place of the next message owed.
    pub(super) fn take_place(&mut self) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        place
    }
}
