//! The packets, shaped as in 5.0; in 3.1.1 the extra parts are empty.

use std::fmt;
use std::num::NonZeroU16;

use bytes::Bytes;

use super::{Properties, Reason, Text};

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1.1 (protocol level 4). Clients of 3.1 (level 3) are read as 3.1.1.
    V3_1_1,
    /// MQTT 5.0 (protocol level 5).
    V5,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V3_1_1 => "3.1.1",
            Version::V5 => "5.0",
        })
    }
}

/// Names one unfinished exchange on a connection (3.1.1 section 2.3.1, 5.0 section 2.2.1). Never zero.
pub type PacketIdentifier = NonZeroU16;

/// How surely a message is delivered (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The QoS with this number.
    pub const fn from_number(number: u8) -> Option<Qos> {
        match number {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }

    /// Its number: 0, 1 or 2.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {}", self.number())
    }
}

/// The kinds of packet, with the number each has in the fixed header (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// Every packet type, in the order of its number.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::ConnAck,
        PacketType::Publish,
        PacketType::PubAck,
        PacketType::PubRec,
        PacketType::PubRel,
        PacketType::PubComp,
        PacketType::Subscribe,
        PacketType::SubAck,
        PacketType::Unsubscribe,
        PacketType::UnsubAck,
        PacketType::PingReq,
        PacketType::PingResp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The type with this number.
    pub fn from_number(number: u8) -> Option<PacketType> {
        PacketType::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Its number in the fixed header.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The standard's name of it, as `PUBLISH`.
    pub const fn name(self) -> &'static str {
        match self {
            PacketType::Connect => "CONNECT",
            PacketType::ConnAck => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::PubAck => "PUBACK",
            PacketType::PubRec => "PUBREC",
            PacketType::PubRel => "PUBREL",
            PacketType::PubComp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::SubAck => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::UnsubAck => "UNSUBACK",
            PacketType::PingReq => "PINGREQ",
            PacketType::PingResp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Packet {
    Connect(Box<Connect>),
    ConnAck(ConnAck),
    Publish(Publish),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(UnsubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Packet {
    /// Which kind of packet it is.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::ConnAck(_) => PacketType::ConnAck,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Ack(ack) => ack.kind.packet_type(),
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::SubAck(_) => PacketType::SubAck,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::UnsubAck(_) => PacketType::UnsubAck,
            Packet::PingReq => PacketType::PingReq,
            Packet::PingResp => PacketType::PingResp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}

/// CONNECT (section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The protocol level asked for.
    pub version: Version,
    /// 5.0 Clean Start; 3.1.1 Clean Session, which also ends the session with the connection.
    pub clean_start: bool,
    /// Keep alive in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// The client identifier; empty asks the server for one.
    pub client_id: Text,
    /// What the server publishes if the connection ends without a DISCONNECT.
    pub will: Option<Will>,
    /// The user name.
    pub username: Option<Text>,
    /// The password.
    pub password: Option<Bytes>,
    /// Properties (5.0).
    pub properties: Properties,
}

/// The will in a CONNECT (section 3.1.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Will {
    /// Its QoS.
    pub qos: Qos,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Its topic name.
    pub topic: Text,
    /// Its payload, at most 65,535 bytes.
    pub payload: Bytes,
    /// Will properties (5.0).
    pub properties: Properties,
}

/// CONNACK (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server resumes a stored session.
    pub session_present: bool,
    /// Accepted, or why not; in 3.1.1 the return code is translated.
    pub reason: Reason,
    /// Properties (5.0).
    pub properties: Properties,
}

/// PUBLISH (section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// How surely it is delivered.
    pub qos: Qos,
    /// From a publisher: keep it for later subscribers. To a subscriber: it was kept.
    pub retain: bool,
    /// The topic name; empty in 5.0 where a topic alias stands for it.
    pub topic: Text,
    /// Present exactly at QoS 1 and 2.
    pub packet_identifier: Option<PacketIdentifier>,
    /// Properties (5.0).
    pub properties: Properties,
    /// The application message.
    pub payload: Bytes,
}

/// The four packets that settle a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl AckKind {
    /// The packet type of it.
    pub const fn packet_type(self) -> PacketType {
        match self {
            AckKind::PubAck => PacketType::PubAck,
            AckKind::PubRec => PacketType::PubRec,
            AckKind::PubRel => PacketType::PubRel,
            AckKind::PubComp => PacketType::PubComp,
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7): they differ in name only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which of the four.
    pub kind: AckKind,
    /// The exchange it belongs to.
    pub packet_identifier: PacketIdentifier,
    /// How it went (5.0); `Success` in 3.1.1.
    pub reason: Reason,
    /// Properties (5.0).
    pub properties: Properties,
}

impl Ack {
    /// An ack without properties.
    pub fn new(kind: AckKind, packet_identifier: PacketIdentifier, reason: Reason) -> Ack {
        Ack { kind, packet_identifier, reason, properties: Properties::default() }
    }
}

/// SUBSCRIBE (section 3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The exchange it begins.
    pub packet_identifier: PacketIdentifier,
    /// Properties (5.0).
    pub properties: Properties,
    /// What is asked for; never empty on the wire.
    pub subscriptions: Vec<Subscription>,
}

/// One topic filter of a SUBSCRIBE with its options (section 3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic filter, not yet checked for the rules of section 4.7.
    pub filter: Text,
    /// How messages are to be sent.
    pub options: SubscriptionOptions,
}

/// The options byte of a subscription (5.0 section 3.8.3.1); 3.1.1 has the QoS alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The highest QoS at which messages may be sent.
    pub qos: Qos,
    /// Do not send back what this client published.
    pub no_local: bool,
    /// Keep the RETAIN flag as published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The options byte.
    #[inline]
    pub(super) fn bits(self) -> u8 {
        self.qos.number()
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }

    /// The options in a byte that has been checked.
    #[inline]
    pub(super) fn from_bits(bits: u8) -> SubscriptionOptions {
        SubscriptionOptions {
            qos: Qos::from_number(bits & 0b11).unwrap_or_default(),
            no_local: bits & 0b100 != 0,
            retain_as_published: bits & 0b1000 != 0,
            retain_handling: RetainHandling::from_number(bits >> 4).unwrap_or_default(),
        }
    }
}

/// When retained messages are sent in answer to a SUBSCRIBE (5.0 section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl RetainHandling {
    /// The handling with this number.
    pub const fn from_number(number: u8) -> Option<RetainHandling> {
        match number {
            0 => Some(RetainHandling::Send),
            1 => Some(RetainHandling::SendIfNew),
            2 => Some(RetainHandling::DoNotSend),
            _ => None,
        }
    }
}

/// SUBACK (section 3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// The SUBSCRIBE it answers.
    pub packet_identifier: PacketIdentifier,
    /// Properties (5.0).
    pub properties: Properties,
    /// One for each topic filter, in order. `UnspecifiedError` is the failure of 3.1.1.
    pub reasons: Vec<Reason>,
}

/// UNSUBSCRIBE (section 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The exchange it begins.
    pub packet_identifier: PacketIdentifier,
    /// Properties (5.0).
    pub properties: Properties,
    /// The topic filters to end; never empty on the wire.
    pub filters: Vec<Text>,
}

/// UNSUBACK (section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// The UNSUBSCRIBE it answers.
    pub packet_identifier: PacketIdentifier,
    /// Properties (5.0).
    pub properties: Properties,
    /// One for each topic filter, in order; empty in 3.1.1.
    pub reasons: Vec<Reason>,
}

/// DISCONNECT (section 3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why (5.0); `Success` is the normal disconnection, and all that 3.1.1 knows.
    pub reason: Reason,
    /// Properties (5.0).
    pub properties: Properties,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    pub fn new(reason: Reason) -> Disconnect {
        Disconnect { reason, properties: Properties::default() }
    }
}

/// AUTH (5.0 section 3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: Reason,
    /// Properties: the method, and its data.
    pub properties: Properties,
}
