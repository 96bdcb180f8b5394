//! Bytes to packets.

use bytes::Bytes;

use super::fault::{Fault, Malformed};
use super::packet::*;
use super::property::{Place, Properties};
use super::text::{Text, has_wildcard};
use super::wire::read_variable;
use super::{Reason, Version};

/// The packet that `frame` is: one whole packet, nothing before and nothing behind it. `version` is that of the
/// connection; a CONNECT says its own.
///
/// Strings, payload and properties are slices of `frame`, not copies.
///
/// # Errors
/// What is wrong with it. Only what one packet shows is checked here, not what depends on the ones before it or on who
/// sends it, nor whether topic filters are ones (section 4.7).
#[inline]
pub fn decode(version: Version, frame: &Bytes) -> Result<Packet, Malformed> {
    let (&first, rest) = frame.split_first().ok_or(Fault::CutOff)?;
    let (remaining, length) = read_variable(rest)?.ok_or(Fault::CutOff)?;
    let body = 1 + length;
    let end = body + remaining as usize;
    if end != frame.len() {
        return Err(if end > frame.len() { Fault::CutOff.into() } else { Fault::TrailingBytes.into() });
    }
    decode_within(version, first, frame, body, end)
}

/// The packet with this first byte whose body stands between `body` and `end` in `buffer`.
#[inline]
pub(super) fn decode_within(
    version: Version,
    first: u8,
    buffer: &Bytes,
    body: usize,
    end: usize,
) -> Result<Packet, Malformed> {
    let mut cursor = Cursor { buffer, bytes: buffer.get(..end).ok_or(Fault::CutOff)?, at: body };
    if first >> 4 == PacketType::Publish.number() {
        return publish(version, first & 0x0f, cursor).map(Packet::Publish);
    }
    if let Some(kind) = short_ack(first)
        && end - body == 2
    {
        let packet_identifier = cursor.packet_identifier()?;
        return Ok(Packet::Ack(Ack::new(kind, packet_identifier, Reason::Success)));
    }
    decode_other(version, first, cursor)
}

/// The ack that begins like this, flags and all.
#[inline]
const fn short_ack(first: u8) -> Option<AckKind> {
    match first {
        0x40 => Some(AckKind::PubAck),
        0x50 => Some(AckKind::PubRec),
        0x62 => Some(AckKind::PubRel),
        0x70 => Some(AckKind::PubComp),
        _ => None,
    }
}

fn decode_other(version: Version, first: u8, mut cursor: Cursor<'_>) -> Result<Packet, Malformed> {
    let packet_type = PacketType::from_number(first >> 4).ok_or(Fault::TypeReserved)?;
    check_flags(packet_type, first & 0x0f)?;
    let packet = match packet_type {
        PacketType::Connect => Packet::Connect(connect(&mut cursor)?),
        PacketType::ConnAck => Packet::ConnAck(connack(version, &mut cursor)?),
        PacketType::Publish => return Err(Fault::FlagsReserved.into()),
        PacketType::PubAck => Packet::Ack(ack(version, AckKind::PubAck, &mut cursor)?),
        PacketType::PubRec => Packet::Ack(ack(version, AckKind::PubRec, &mut cursor)?),
        PacketType::PubRel => Packet::Ack(ack(version, AckKind::PubRel, &mut cursor)?),
        PacketType::PubComp => Packet::Ack(ack(version, AckKind::PubComp, &mut cursor)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe(version, &mut cursor)?),
        PacketType::SubAck => Packet::SubAck(suback(version, &mut cursor)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe(version, &mut cursor)?),
        PacketType::UnsubAck => Packet::UnsubAck(unsuback(version, &mut cursor)?),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(disconnect(version, &mut cursor)?),
        PacketType::Auth => Packet::Auth(auth(version, &mut cursor)?),
    };
    if cursor.is_done() { Ok(packet) } else { Err(Fault::TrailingBytes.into()) }
}

/// The flags that a packet other than PUBLISH must have (section 2.1.3).
pub(super) const fn reserved_flags(packet_type: PacketType) -> u8 {
    match packet_type {
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
        _ => 0,
    }
}

fn check_flags(packet_type: PacketType, flags: u8) -> Result<(), Malformed> {
    if flags == reserved_flags(packet_type) {
        return Ok(());
    }
    Err(Malformed::from(match packet_type {
        PacketType::PubRel => Fault::PubRelFlags,
        PacketType::Subscribe => Fault::SubscribeFlags,
        PacketType::Unsubscribe => Fault::UnsubscribeFlags,
        PacketType::Disconnect => Fault::DisconnectFlags,
        PacketType::Auth => Fault::AuthFlags,
        _ => Fault::FlagsReserved,
    }))
}

/// A place in a packet's body. Every step is checked against its end.
struct Cursor<'a> {
    buffer: &'a Bytes,
    /// The buffer up to the packet's end.
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    #[inline]
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn two(&mut self) -> Result<u16, Malformed> {
        let bytes = self.rest().first_chunk::<2>().ok_or(Fault::CutOff)?;
        let number = u16::from_be_bytes(*bytes);
        self.at += 2;
        Ok(number)
    }

    #[inline]
    fn packet_identifier(&mut self) -> Result<PacketIdentifier, Malformed> {
        PacketIdentifier::new(self.two()?).ok_or(Fault::PacketIdentifierZero.into())
    }

    /// Where the bytes of a field stand that begins with its length.
    #[inline]
    fn field(&mut self) -> Result<(usize, usize), Malformed> {
        let len = usize::from(self.two()?);
        let (start, end) = (self.at, self.at + len);
        if end > self.bytes.len() {
            return Err(Fault::CutOff.into());
        }
        self.at = end;
        Ok((start, end))
    }

    #[inline]
    fn text(&mut self) -> Result<Text, Malformed> {
        let (start, end) = self.field()?;
        Ok(Text::within(self.buffer, start, end)?)
    }

    #[inline]
    fn binary(&mut self) -> Result<Bytes, Malformed> {
        let (start, end) = self.field()?;
        Ok(self.buffer.slice(start..end))
    }

    /// The properties that stand here in 5.0; none in 3.1.1.
    #[inline]
    fn properties(&mut self, version: Version, place: Place) -> Result<Properties, Malformed> {
        if version == Version::V3_1_1 {
            return Ok(Properties::new());
        }
        let (len, length) = read_variable(self.rest())?.ok_or(Fault::CutOff)?;
        let (start, end) = (self.at + length, self.at + length + len as usize);
        if end > self.bytes.len() {
            return Err(Fault::CutOff.into());
        }
        self.at = end;
        if start == end { Ok(Properties::new()) } else { Properties::parse(self.buffer.slice(start..end), place) }
    }

    /// The reason code and properties that end a packet of 5.0, each of which may be left out (section 3.4.2).
    #[inline]
    fn outcome(&mut self, packet_type: PacketType) -> Result<(Reason, Properties), Malformed> {
        if self.is_done() {
            return Ok((Reason::Success, Properties::new()));
        }
        let reason = reason(self.byte()?, packet_type)?;
        let properties = if self.is_done() && packet_type != PacketType::Auth {
            Properties::new()
        } else {
            self.properties(Version::V5, Place::In(packet_type))?
        };
        Ok((reason, properties))
    }
}

/// The reason code with this value, if 5.0 allows it in this packet.
#[inline]
fn reason(code: u8, packet_type: PacketType) -> Result<Reason, Malformed> {
    match Reason::from_code(code) {
        Some(reason) if reason.allowed_in(packet_type) => Ok(reason),
        _ => Err(code_fault(packet_type).into()),
    }
}

/// What is wrong when a code is not one for this packet.
pub(super) fn code_fault(packet_type: PacketType) -> Fault {
    match packet_type {
        PacketType::PubAck => Fault::PubAckCode,
        PacketType::PubRec => Fault::PubRecCode,
        PacketType::PubRel => Fault::PubRelCode,
        PacketType::PubComp => Fault::PubCompCode,
        PacketType::SubAck => Fault::SubAckCode,
        PacketType::UnsubAck => Fault::UnsubAckCode,
        PacketType::Disconnect => Fault::DisconnectCode,
        PacketType::Auth => Fault::AuthCode,
        _ => Fault::ConnAckCode,
    }
}

#[inline]
fn publish(version: Version, flags: u8, mut cursor: Cursor<'_>) -> Result<Publish, Malformed> {
    let qos = Qos::from_number(flags >> 1 & 0b11).ok_or(Fault::Qos3)?;
    let dup = flags & 0b1000 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(Fault::DupAtQos0.into());
    }
    let (start, end) = cursor.field()?;
    let topic = Text::name_within(cursor.buffer, start, end)?;
    let packet_identifier = if qos == Qos::AtMostOnce { None } else { Some(cursor.packet_identifier()?) };
    let properties = cursor.properties(version, Place::In(PacketType::Publish))?;
    if topic.is_empty() {
        check_alias_for_topic(version, &properties)?;
    }
    let payload = cursor.buffer.slice(cursor.at..cursor.bytes.len());
    Ok(Publish { dup, qos, retain: flags & 1 != 0, topic, packet_identifier, properties, payload })
}

/// An empty topic name needs a topic alias in its place, which 3.1.1 does not have.
pub(super) fn check_alias_for_topic(version: Version, properties: &Properties) -> Result<(), Malformed> {
    match version {
        Version::V3_1_1 => Err(Fault::TopicEmpty.into()),
        Version::V5 if properties.topic_alias().is_none() => Err(Fault::TopicMissing.into()),
        Version::V5 => Ok(()),
    }
}

fn ack(version: Version, kind: AckKind, cursor: &mut Cursor<'_>) -> Result<Ack, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let (reason, properties) = match version {
        Version::V3_1_1 => (Reason::Success, Properties::new()),
        Version::V5 => cursor.outcome(kind.packet_type())?,
    };
    Ok(Ack { kind, packet_identifier, reason, properties })
}

/// The bits of CONNECT's flags byte (section 3.1.2.3).
pub(super) mod connect_flag {
    pub(in crate::codec) const RESERVED: u8 = 1;
    pub(in crate::codec) const CLEAN_START: u8 = 1 << 1;
    pub(in crate::codec) const WILL: u8 = 1 << 2;
    pub(in crate::codec) const WILL_QOS_SHIFT: u8 = 3;
    pub(in crate::codec) const WILL_RETAIN: u8 = 1 << 5;
    pub(in crate::codec) const PASSWORD: u8 = 1 << 6;
    pub(in crate::codec) const USER_NAME: u8 = 1 << 7;
}

fn connect(cursor: &mut Cursor<'_>) -> Result<Box<Connect>, Malformed> {
    let (start, end) = cursor.field()?;
    let name = &cursor.bytes[start..end];
    let level = cursor.byte()?;
    let version = match (name, level) {
        (b"MQTT", 5) => Version::V5,
        // What the level 3 of MQTT 3.1 asks for is the same in all that matters here.
        (b"MQTT", 4) | (b"MQIsdp", 3) => Version::V3_1_1,
        (b"MQTT" | b"MQIsdp", _) => return Err(Fault::ProtocolLevel.into()),
        _ => return Err(Fault::ProtocolName.into()),
    };
    let flags = cursor.byte()?;
    let has = |flag: u8| flags & flag != 0;
    if has(connect_flag::RESERVED) {
        return Err(Fault::ConnectFlagReserved.into());
    }
    let will_qos = Qos::from_number(flags >> connect_flag::WILL_QOS_SHIFT & 0b11).ok_or(Fault::WillQos3)?;
    if !has(connect_flag::WILL) && will_qos != Qos::AtMostOnce {
        return Err(Fault::WillQosWithoutWill.into());
    }
    if !has(connect_flag::WILL) && has(connect_flag::WILL_RETAIN) {
        return Err(Fault::WillRetainWithoutWill.into());
    }
    if version == Version::V3_1_1 && has(connect_flag::PASSWORD) && !has(connect_flag::USER_NAME) {
        return Err(Fault::PasswordWithoutUserName.into());
    }
    let keep_alive = cursor.two()?;
    let properties = cursor.properties(version, Place::In(PacketType::Connect))?;
    let client_id = cursor.text()?;
    let will = if has(connect_flag::WILL) {
        Some(will(version, will_qos, has(connect_flag::WILL_RETAIN), cursor)?)
    } else {
        None
    };
    let username = if has(connect_flag::USER_NAME) { Some(cursor.text()?) } else { None };
    let password = if has(connect_flag::PASSWORD) { Some(cursor.binary()?) } else { None };
    let clean_start = has(connect_flag::CLEAN_START);
    Ok(Box::new(Connect { version, clean_start, keep_alive, client_id, will, username, password, properties }))
}

fn will(version: Version, qos: Qos, retain: bool, cursor: &mut Cursor<'_>) -> Result<Will, Malformed> {
    let properties = cursor.properties(version, Place::Will)?;
    let topic = cursor.text()?;
    check_will_topic(&topic)?;
    let payload = cursor.binary()?;
    Ok(Will { qos, retain, topic, payload, properties })
}

pub(super) fn check_will_topic(topic: &Text) -> Result<(), Malformed> {
    if topic.is_empty() {
        Err(Fault::TopicEmpty.into())
    } else if has_wildcard(topic.as_bytes()) {
        Err(Fault::WillTopicWildcard.into())
    } else {
        Ok(())
    }
}

fn connack(version: Version, cursor: &mut Cursor<'_>) -> Result<ConnAck, Malformed> {
    let flags = cursor.byte()?;
    if flags & !1 != 0 {
        return Err(Fault::ConnAckFlagsReserved.into());
    }
    let session_present = flags & 1 != 0;
    let code = cursor.byte()?;
    let reason = match version {
        Version::V3_1_1 => Reason::from_return_code(code).ok_or(Fault::ConnAckCode)?,
        Version::V5 => reason(code, PacketType::ConnAck)?,
    };
    if session_present && reason != Reason::Success {
        return Err(Fault::SessionPresentWithError.into());
    }
    let properties = cursor.properties(version, Place::In(PacketType::ConnAck))?;
    Ok(ConnAck { session_present, reason, properties })
}

fn subscribe(version: Version, cursor: &mut Cursor<'_>) -> Result<Subscribe, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.properties(version, Place::In(PacketType::Subscribe))?;
    let mut subscriptions = Vec::with_capacity(count_fields(cursor.rest(), 1));
    while !cursor.is_done() {
        let filter = cursor.text()?;
        let options = subscription_options(version, cursor.byte()?)?;
        if options.no_local && filter.starts_with("$share/") {
            return Err(Fault::NoLocalShared.into());
        }
        subscriptions.push(Subscription { filter, options });
    }
    if subscriptions.is_empty() {
        return Err(Fault::NoFilters.into());
    }
    Ok(Subscribe { packet_identifier, properties, subscriptions })
}

/// How many fields there are, each followed by `more` bytes: so many as are really there, whatever lengths are claimed.
#[inline]
fn count_fields(mut bytes: &[u8], more: usize) -> usize {
    let mut count = 0;
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        count += 1;
        bytes = rest.get(usize::from(u16::from_be_bytes(*len)) + more..).unwrap_or_default();
    }
    count
}

#[inline]
fn subscription_options(version: Version, byte: u8) -> Result<SubscriptionOptions, Malformed> {
    let reserved = match version {
        Version::V3_1_1 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if byte & reserved != 0 {
        return Err(Fault::OptionsReserved.into());
    }
    Ok(SubscriptionOptions {
        qos: Qos::from_number(byte & 0b11).ok_or(Fault::SubscriptionQos3)?,
        no_local: byte & 0b100 != 0,
        retain_as_published: byte & 0b1000 != 0,
        retain_handling: RetainHandling::from_number(byte >> 4).ok_or(Fault::RetainHandling3)?,
    })
}

fn suback(version: Version, cursor: &mut Cursor<'_>) -> Result<SubAck, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.properties(version, Place::In(PacketType::SubAck))?;
    let reasons = match version {
        Version::V3_1_1 => codes(cursor, |code| match code {
            0..=2 | 0x80 => Reason::from_code(code).ok_or(Fault::SubAckCode.into()),
            _ => Err(Fault::SubAckCode.into()),
        })?,
        Version::V5 => codes(cursor, |code| reason(code, PacketType::SubAck))?,
    };
    Ok(SubAck { packet_identifier, properties, reasons })
}

fn unsubscribe(version: Version, cursor: &mut Cursor<'_>) -> Result<Unsubscribe, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.properties(version, Place::In(PacketType::Unsubscribe))?;
    let mut filters = Vec::with_capacity(count_fields(cursor.rest(), 0));
    while !cursor.is_done() {
        filters.push(cursor.text()?);
    }
    if filters.is_empty() {
        return Err(Fault::NoFiltersToEnd.into());
    }
    Ok(Unsubscribe { packet_identifier, properties, filters })
}

fn unsuback(version: Version, cursor: &mut Cursor<'_>) -> Result<UnsubAck, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.properties(version, Place::In(PacketType::UnsubAck))?;
    let reasons = match version {
        Version::V3_1_1 => Vec::new(),
        Version::V5 => codes(cursor, |code| reason(code, PacketType::UnsubAck))?,
    };
    Ok(UnsubAck { packet_identifier, properties, reasons })
}

/// One code for each topic filter, up to the packet's end.
fn codes(cursor: &mut Cursor<'_>, reason: impl Fn(u8) -> Result<Reason, Malformed>) -> Result<Vec<Reason>, Malformed> {
    let reasons = cursor.rest().iter().map(|&code| reason(code)).collect::<Result<Vec<_>, _>>()?;
    cursor.at = cursor.bytes.len();
    if reasons.is_empty() { Err(Fault::NoCodes.into()) } else { Ok(reasons) }
}

fn disconnect(version: Version, cursor: &mut Cursor<'_>) -> Result<Disconnect, Malformed> {
    let (reason, properties) = match version {
        Version::V3_1_1 => (Reason::Success, Properties::new()),
        Version::V5 => cursor.outcome(PacketType::Disconnect)?,
    };
    Ok(Disconnect { reason, properties })
}

fn auth(version: Version, cursor: &mut Cursor<'_>) -> Result<Auth, Malformed> {
    if version == Version::V3_1_1 {
        return Err(Fault::NotInThisVersion.into());
    }
    let (reason, properties) = cursor.outcome(PacketType::Auth)?;
    let auth = Auth { reason, properties };
    check_method(&auth)?;
    Ok(auth)
}

/// AUTH names its method (5.0 section 3.15.2.2.2), unless it is the shortest form of success.
pub(super) fn check_method(auth: &Auth) -> Result<(), Malformed> {
    let short = auth.reason == Reason::Success && auth.properties.is_empty();
    if short || auth.properties.authentication_method().is_some() {
        Ok(())
    } else {
        Err(Fault::AuthMethodMissing.into())
    }
}
