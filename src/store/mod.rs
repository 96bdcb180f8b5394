//! What must outlive a crash: records under keys, and their replay. No file access here: the host says on what they are
//! written down.
//!
//! | file | what |
//! |---|---|
//! | `batch` | changes on their way to the disk |
//! | `encoding` | records as bytes |
//! | `database` | records in a redb database, on whatever storage it is given |

pub mod batch;
pub mod database;
pub mod encoding;

use std::collections::BTreeMap;

use crate::codec::{PacketIdentifier, SubscriptionOptions, Text, Will};
use crate::message::Message;
use crate::time::Time;

/// Names a batch of changes; the host hands it back once the batch is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

/// Where a record stands. Keys of one session stand together, its queue in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A session, by client identifier.
    Session(Text),
    /// A session's subscription, by topic filter.
    Subscription(Text, Text),
    /// A message owed to a session, queued or sent and not settled, by its place in the order.
    Owed(Text, u64),
    /// A QoS 2 message that a session sent and has not released, by packet identifier.
    Unreleased(Text, PacketIdentifier),
    /// A retained message, by topic name.
    Retained(Text),
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// When the session ends if it is not resumed, and the will that waits.
    Session(Box<SessionRecord>),
    /// A subscription.
    Subscription(SubscriptionRecord),
    /// A message owed.
    Owed(OwedRecord),
    /// There is no more to say than that it is so.
    Present,
    /// A retained message.
    Retained(Box<Message>),
}

/// What is kept of a session itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// How long it lives after its connection, in seconds; `u32::MAX` for ever.
    pub expiry_seconds: u32,
    /// When its connection ended; `None` while there is one (a crash then counts as its end).
    pub left: Option<Time>,
    /// The will of a client that is connected, or whose delay runs, and its delay in seconds.
    pub will: Option<(Will, u32)>,
    /// Who the session belongs to.
    pub username: Option<Text>,
    /// The block of packet identifiers in use: see [`Outbound::block`](crate::flight::Outbound::block). A broker that
    /// starts from this gives others, for messages it knows nothing of may have been sent with these.
    pub block: u8,
}

/// What is kept of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Its options.
    pub options: SubscriptionOptions,
    /// Its identifier (5.0).
    pub identifier: Option<u32>,
    /// Whether a `$share/…` filter means a shared subscription, as in 5.0 only.
    pub shared: bool,
}

/// What is kept of a message owed to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedRecord {
    /// The message as it is to be sent.
    pub message: Box<Message>,
    /// The packet identifier it was sent with, if it was, and whether its PUBREC has come.
    pub sent: Option<(PacketIdentifier, bool)>,
}

/// A record written (`Some`) or removed (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub key: Key,
    /// What stands there from now on.
    pub value: Option<Value>,
    /// Nothing ever stood there before: if it is removed before it is written, neither need be done.
    pub fresh: bool,
}

impl Change {
    /// A change of what may stand there already.
    pub fn new(key: Key, value: Option<Value>) -> Change {
        Change { key, value, fresh: false }
    }
}

/// The records a broker starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    records: BTreeMap<Key, Value>,
}

impl Restored {
    /// Applies one change, in the order they were stored.
    pub fn apply(&mut self, change: Change) {
        match change.value {
            Some(value) => drop(self.records.insert(change.key, value)),
            None => drop(self.records.remove(&change.key)),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records in the order of their keys: sessions first, then what belongs to them.
    pub fn into_records(self) -> impl Iterator<Item = (Key, Value)> {
        self.records.into_iter()
    }
}
