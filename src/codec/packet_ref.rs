//! Packets as they lie in the buffer that they came in.
//!
//! Reading one costs no allocation and no count of references: what is looked at and forgotten was never owned. What is
//! to be kept is copied or shared by whoever keeps it.

use bytes::Bytes;

use super::packet::*;
use super::property::Place;
use super::read::connect_flag;
use super::text::TextRef;
use super::{PropertiesRef, Reason, Text};

/// One packet, still in its buffer. It is small: it is handed on by value, for every packet that comes.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum PacketRef<'a> {
    Connect(ConnectRef<'a>),
    Publish(PublishRef<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(AckRef<'a>),
    Subscribe(SubscribeRef<'a>),
    PingReq,
    PingResp,
    /// One of the packets that come once in a connection or not much more often.
    Rare(Box<Packet>),
}

/// CONNECT (section 3.1).
#[derive(Clone, Debug)]
pub struct ConnectRef<'a> {
    /// The protocol level asked for.
    pub version: Version,
    /// Keep alive in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// Properties (5.0).
    pub properties: PropertiesRef<'a>,
    pub(super) flags: u8,
    /// The payload (section 3.1.3), checked: it begins with the client identifier.
    pub(super) payload: &'a [u8],
    pub(super) places: ConnectPlaces,
}

/// Where the fields of a CONNECT's payload begin that its flags say are there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectPlaces {
    pub(super) will_properties: u32,
    pub(super) will_topic: u32,
    pub(super) will_payload: u32,
    pub(super) username: u32,
    pub(super) password: u32,
}

/// The will in a CONNECT (section 3.1.2.5). The fields are those of [`Will`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WillRef<'a> {
    pub qos: Qos,
    pub retain: bool,
    pub topic: TextRef<'a>,
    pub payload: &'a [u8],
    pub properties: PropertiesRef<'a>,
}

/// PUBLISH (section 3.3). The fields are those of [`Publish`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PublishRef<'a> {
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    pub topic: TextRef<'a>,
    pub packet_identifier: Option<PacketIdentifier>,
    pub properties: PropertiesRef<'a>,
    pub payload: &'a [u8],
    pub(super) buffer: &'a Bytes,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7). The fields are those of [`Ack`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AckRef<'a> {
    pub kind: AckKind,
    pub packet_identifier: PacketIdentifier,
    pub reason: Reason,
    pub properties: PropertiesRef<'a>,
}

/// SUBSCRIBE (section 3.8).
#[derive(Clone, Debug)]
pub struct SubscribeRef<'a> {
    /// The exchange it begins.
    pub packet_identifier: PacketIdentifier,
    /// Properties (5.0).
    pub properties: PropertiesRef<'a>,
    /// Filters and options, checked.
    pub(super) wire: &'a [u8],
    /// How many there are.
    pub(super) count: usize,
}

/// One topic filter of a SUBSCRIBE with its options (section 3.8.3.1). The fields are those of [`Subscription`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct SubscriptionRef<'a> {
    pub filter: TextRef<'a>,
    pub options: SubscriptionOptions,
}

impl PublishRef<'_> {
    /// The topic name, as a share of the buffer.
    #[inline]
    pub fn shared_topic(&self) -> Text {
        self.topic.owned(&|part| self.buffer.slice_ref(part))
    }

    /// The whole packet as it came, as a share of the buffer, if it is short and says no more than topic name and
    /// payload: at QoS 0, not retained, without properties.
    #[inline]
    pub fn plain_bytes(&self, version: Version) -> Option<Bytes> {
        /// The fixed header of a packet with a one-byte length, and the length of the topic name.
        const HEAD: usize = 4;
        let properties_len = if version == Version::V5 { 1 } else { 0 };
        let topic = self.topic.as_bytes();
        let start = (topic.as_ptr() as usize).checked_sub(self.buffer.as_ptr() as usize)?.checked_sub(HEAD)?;
        let body = HEAD - 2 + topic.len() + properties_len + self.payload.len();
        let whole = self.buffer.get(start..start + 2 + body)?;
        // Whoever wrote the length in more bytes than it needs is not repeated.
        let plain = body < 0x80 && whole.starts_with(&[PacketType::Publish.number() << 4, u8::try_from(body).ok()?]);
        (plain && self.properties.is_empty()).then(|| self.buffer.slice(start..start + whole.len()))
    }

    /// The payload, as a share of the buffer.
    #[inline]
    pub fn shared_payload(&self) -> Bytes {
        self.buffer.slice_ref(self.payload)
    }
}

impl<'a> SubscribeRef<'a> {
    /// What is asked for, in order.
    #[inline]
    pub fn subscriptions(&self) -> impl ExactSizeIterator<Item = SubscriptionRef<'a>> + use<'a> {
        let mut rest = self.wire;
        (0..self.count).map(move |_| {
            let (filter, options, behind) = split_subscription(rest).unwrap_or_default();
            rest = behind;
            SubscriptionRef { filter: TextRef::checked(filter), options: SubscriptionOptions::from_bits(options) }
        })
    }
}

/// The first filter, its options byte and what is behind it.
#[inline]
pub(super) fn split_subscription(wire: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let (len, rest) = wire.split_first_chunk::<2>()?;
    let (filter, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (&options, rest) = rest.split_first()?;
    Some((filter, options, rest))
}

impl<'a> ConnectRef<'a> {
    /// 5.0 Clean Start; 3.1.1 Clean Session, which also ends the session with the connection.
    #[inline]
    pub fn clean_start(&self) -> bool {
        self.has(connect_flag::CLEAN_START)
    }

    /// The client identifier; empty asks the server for one.
    #[inline]
    pub fn client_id(&self) -> TextRef<'a> {
        TextRef::checked(self.field(0))
    }

    /// What the server publishes if the connection ends without a DISCONNECT.
    #[inline]
    pub fn will(&self) -> Option<WillRef<'a>> {
        let ConnectPlaces { will_properties, will_topic, will_payload, .. } = self.places;
        let will = || WillRef {
            qos: Qos::from_number(self.flags >> connect_flag::WILL_QOS_SHIFT & 0b11).unwrap_or_default(),
            retain: self.has(connect_flag::WILL_RETAIN),
            topic: TextRef::checked(self.field(will_topic)),
            payload: self.field(will_payload),
            properties: match self.version {
                Version::V3_1_1 => PropertiesRef::default(),
                Version::V5 => PropertiesRef::checked(self.behind(will_properties), Place::Will),
            },
        };
        self.has(connect_flag::WILL).then(will)
    }

    /// The user name.
    #[inline]
    pub fn username(&self) -> Option<TextRef<'a>> {
        self.has(connect_flag::USER_NAME).then(|| TextRef::checked(self.field(self.places.username)))
    }

    /// The password.
    #[inline]
    pub fn password(&self) -> Option<&'a [u8]> {
        self.has(connect_flag::PASSWORD).then(|| self.field(self.places.password))
    }

    /// A copy in buffers of its own, for keeping.
    pub fn detached(&self) -> Connect {
        self.owned(&Bytes::copy_from_slice)
    }

    fn owned(&self, keep: &impl Fn(&[u8]) -> Bytes) -> Connect {
        Connect {
            version: self.version,
            clean_start: self.clean_start(),
            keep_alive: self.keep_alive,
            client_id: self.client_id().owned(keep),
            will: self.will().map(|will| will.owned(keep)),
            username: self.username().map(|username| username.owned(keep)),
            password: self.password().map(keep),
            properties: self.properties.owned(keep),
        }
    }

    #[inline]
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    fn behind(&self, place: u32) -> &'a [u8] {
        self.payload.get(place as usize..).unwrap_or_default()
    }

    #[inline]
    fn field(&self, place: u32) -> &'a [u8] {
        let Some((len, rest)) = self.behind(place).split_first_chunk::<2>() else { return &[] };
        rest.get(..usize::from(u16::from_be_bytes(*len))).unwrap_or_default()
    }
}

impl WillRef<'_> {
    fn owned(&self, keep: &impl Fn(&[u8]) -> Bytes) -> Will {
        Will {
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.owned(keep),
            payload: keep(self.payload),
            properties: self.properties.owned(keep),
        }
    }
}

impl PacketRef<'_> {
    /// The packet in buffers of its own.
    pub fn detached(self) -> Packet {
        self.owned(&Bytes::copy_from_slice)
    }

    /// The packet as shares of the buffer that it lies in.
    pub(super) fn shared(self, buffer: &Bytes) -> Packet {
        self.owned(&|part| buffer.slice_ref(part))
    }

    fn owned(self, keep: &impl Fn(&[u8]) -> Bytes) -> Packet {
        match self {
            PacketRef::Connect(connect) => Packet::Connect(Box::new(connect.owned(keep))),
            PacketRef::Publish(publish) => Packet::Publish(Publish {
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                topic: publish.topic.owned(keep),
                packet_identifier: publish.packet_identifier,
                properties: publish.properties.owned(keep),
                payload: keep(publish.payload),
            }),
            PacketRef::Ack(ack) => Packet::Ack(Ack {
                kind: ack.kind,
                packet_identifier: ack.packet_identifier,
                reason: ack.reason,
                properties: ack.properties.owned(keep),
            }),
            PacketRef::Subscribe(subscribe) => Packet::Subscribe(Subscribe {
                packet_identifier: subscribe.packet_identifier,
                properties: subscribe.properties.owned(keep),
                subscriptions: subscribe
                    .subscriptions()
                    .map(|SubscriptionRef { filter, options }| Subscription { filter: filter.owned(keep), options })
                    .collect(),
            }),
            PacketRef::PingReq => Packet::PingReq,
            PacketRef::PingResp => Packet::PingResp,
            PacketRef::Rare(packet) => *packet,
        }
    }
}
