//! What an owner may not ask of its client.

use thiserror::Error;

use crate::codec::{Qos, Reason, Unencodable};
use crate::topic::TopicError;

/// Why the client does not do what its owner asks. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The topic name or filter is none.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The standard does not allow such a packet.
    #[error(transparent)]
    Unencodable(#[from] Unencodable),
    /// 3.1.1 does not have it.
    #[error("MQTT 3.1.1 has no {0}")]
    NotInThisVersion(&'static str),
    /// The server serves no QoS above this (Maximum QoS).
    #[error("the server takes messages up to {0} only")]
    Qos(Qos),
    /// The server keeps no retained messages (Retain Available).
    #[error("the server keeps no retained messages")]
    Retain,
    /// The server takes no packet as large as this one (Maximum Packet Size).
    #[error("the packet has {len} bytes, the server takes at most {most}")]
    TooLarge {
        /// How many bytes it would have.
        len: usize,
        /// How many the server takes.
        most: usize,
    },
    /// The topic alias is zero or above the server's Topic Alias Maximum.
    #[error("topic alias {0} is above the {1} that the server takes")]
    TopicAlias(u16, u16),
    /// The topic is empty, and no topic was given to the alias on this connection.
    #[error("the topic is empty and no alias stands for one")]
    NoTopic,
    /// A client's PUBLISH has no subscription identifier [MQTT-3.3.4-6].
    #[error("a subscription identifier is not for a client's PUBLISH")]
    SubscriptionIdentifier,
    /// The server does not serve this kind of subscription: 0x9E, 0xA1 or 0xA2.
    #[error("the server refuses: {0}")]
    NotAvailable(Reason),
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("a shared subscription cannot be without local messages")]
    SharedNoLocal,
    /// As many messages wait as may.
    #[error("{0} messages wait already")]
    QueueFull(usize),
    /// There is no connection.
    #[error("not connected")]
    NotConnected,
    /// A client's DISCONNECT does not carry this reason.
    #[error("a client does not disconnect with {0}")]
    Reason(Reason),
    /// A session that was to end with its connection cannot be kept afterwards [MQTT-3.14.2-2].
    #[error("the session was to end with the connection and cannot be kept now")]
    SessionExpiry,
    /// The client does not use enhanced authentication, or is in the middle of it.
    #[error("there is no authentication to be repeated now")]
    Authentication,
}
