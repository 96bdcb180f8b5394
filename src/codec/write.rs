//! Packets to bytes.

use bytes::Bytes;
use thiserror::Error;

use super::fault::{Fault, Malformed};
use super::packet::*;
use super::properties::Properties;
use super::property::Place;
use super::read::{
    check_alias_for_topic, check_method, check_will_topic, code_fault, connect_flag, is_shared, reserved_flags,
};
use super::text::{MAX_FIELD_LEN, Text};
use super::wire::{MAX_VARIABLE, head_with_variable, put_field, put_variable, variable_len};
use super::{Reason, Version};

/// Why a packet cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unencodable {
    /// A receiver would refuse it.
    #[error("{0}")]
    Forbidden(Fault),
    /// It has more than 268,435,455 bytes behind its fixed header.
    #[error("the packet is longer than 268,435,455 bytes")]
    PacketTooLong,
    /// A binary field (password, will payload) has more than 65,535 bytes.
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// A PUBLISH at QoS 1 or 2 has no packet identifier.
    #[error("there is no packet identifier")]
    NoPacketIdentifier,
    /// A PUBLISH at QoS 0 has a packet identifier.
    #[error("there is a packet identifier at QoS 0")]
    PacketIdentifierAtQos0,
    /// 3.1.1 has no CONNACK return code for the reason: the link is closed without a word.
    #[error("no CONNACK return code of 3.1.1 says: {0}")]
    NoReturnCode(Reason),
    /// 3.1.1 allows no empty client identifier without a clean session (3.1.3-7).
    #[error("the client identifier is empty and the session is not clean")]
    EmptyClientIdentifier,
}

impl From<Fault> for Unencodable {
    fn from(fault: Fault) -> Unencodable {
        Unencodable::Forbidden(fault)
    }
}

impl From<Malformed> for Unencodable {
    fn from(malformed: Malformed) -> Unencodable {
        Unencodable::Forbidden(malformed.fault)
    }
}

/// Appends a packet to `out`. What 3.1.1 has no place for (properties, most reason codes, subscription options) is left
/// out in 3.1.1. A CONNECT is written in the version that it asks for.
///
/// # Errors
/// Why it cannot be sent; `out` is then as it was.
#[inline]
pub fn encode(packet: &Packet, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    // Each checks all that can be wrong before it writes anything.
    match packet {
        Packet::Publish(publish) => {
            put_publish(publish.into(), version, out)?;
            out.extend_from_slice(&publish.payload);
            Ok(())
        }
        Packet::Ack(ack)
            if version == Version::V3_1_1 || (ack.reason == Reason::Success && ack.properties.is_empty()) =>
        {
            let packet_type = ack.kind.packet_type();
            let [high, low] = ack.packet_identifier.get().to_be_bytes();
            out.extend_from_slice(&[packet_type.number() << 4 | reserved_flags(packet_type), 2, high, low]);
            Ok(())
        }
        Packet::Connect(connect) => put_connect(connect, out),
        Packet::Subscribe(subscribe) => put_subscribe(subscribe, version, out),
        packet => put_other(packet, version, out),
    }
}

/// What a PUBLISH is made of, wherever it lies.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct PublishParts<'a> {
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    pub topic: &'a Text,
    pub packet_identifier: Option<PacketIdentifier>,
    pub properties: &'a Properties,
    pub payload: &'a Bytes,
}

impl<'a> From<&'a Publish> for PublishParts<'a> {
    fn from(publish: &'a Publish) -> PublishParts<'a> {
        let Publish { dup, qos, retain, topic, packet_identifier, properties, payload } = publish;
        let (dup, qos, retain, packet_identifier) = (*dup, *qos, *retain, *packet_identifier);
        PublishParts { dup, qos, retain, topic, packet_identifier, properties, payload }
    }
}

/// All of a PUBLISH but its payload.
#[inline]
pub(super) fn put_publish(publish: PublishParts<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let PublishParts { dup, qos, retain, topic, packet_identifier, properties, payload } = publish;
    let named = packet_identifier.is_some() == (qos != Qos::AtMostOnce);
    if !named | (dup & (qos == Qos::AtMostOnce)) | topic.is_empty() | topic.has_wildcard() {
        check_odd_publish(publish, version)?;
    }
    let topic = topic.as_bytes();
    let identifier_len = if packet_identifier.is_some() { 2 } else { 0 };
    let remaining = 2 + topic.len() + identifier_len + properties_len(properties, version) + payload.len();
    let remaining = remaining_length(remaining)?;
    if version == Version::V5 {
        properties.borrowed().fit(Place::In(PacketType::Publish))?;
    }

    let flags = u8::from(dup) << 3 | qos.number() << 1 | u8::from(retain);
    let (mut head, len) = head_with_variable(PacketType::Publish.number() << 4 | flags, remaining);
    // A `Text` is never longer than a field can be.
    head |= u64::from(u16::try_from(topic.len()).unwrap_or(u16::MAX).swap_bytes()) << (8 * len);
    out.reserve((len + remaining as usize).max(WORD));
    put_low_bytes(head, len + 2, out);
    out.extend_from_slice(topic);
    if let Some(identifier) = packet_identifier {
        out.extend_from_slice(&identifier.get().to_be_bytes());
    }
    put_properties(properties, version, out);
    Ok(())
}

/// Looks closely at a PUBLISH of which something is seldom so: an empty topic name with an alias may be sent.
#[cold]
fn check_odd_publish(publish: PublishParts<'_>, version: Version) -> Result<(), Unencodable> {
    if publish.dup && publish.qos == Qos::AtMostOnce {
        return Err(Fault::DupAtQos0.into());
    }
    match (publish.packet_identifier, publish.qos) {
        (Some(_), Qos::AtMostOnce) => return Err(Unencodable::PacketIdentifierAtQos0),
        (None, Qos::AtLeastOnce | Qos::ExactlyOnce) => return Err(Unencodable::NoPacketIdentifier),
        _ => {}
    }
    if publish.topic.has_wildcard() {
        return Err(Fault::TopicWildcard.into());
    }
    if publish.topic.is_empty() {
        check_alias_for_topic(version, publish.properties.borrowed())?;
    }
    Ok(())
}

#[inline]
fn remaining_length(bytes: usize) -> Result<u32, Unencodable> {
    u32::try_from(bytes).ok().filter(|&len| len <= MAX_VARIABLE).ok_or(Unencodable::PacketTooLong)
}

/// How many bytes the properties take with the length before them.
#[inline]
fn properties_len(properties: &Properties, version: Version) -> usize {
    match version {
        Version::V3_1_1 => 0,
        Version::V5 => variable_len(properties.len()) + properties.len(),
    }
}

#[inline]
fn put_properties(properties: &Properties, version: Version, out: &mut Vec<u8>) {
    if version == Version::V5 {
        if properties.is_empty() {
            return out.push(0);
        }
        // Their length has been found to fit the packet.
        put_variable(out, u32::try_from(properties.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(properties.borrowed().as_wire());
    }
}

/// Writes the head of a packet whose body takes `remaining` bytes.
#[inline]
fn put_head(packet_type: PacketType, remaining: usize, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let remaining = remaining_length(remaining)?;
    put_first(packet_type.number() << 4 | reserved_flags(packet_type), remaining, out);
    Ok(())
}

/// Writes a fixed header and makes room for the rest.
#[inline]
fn put_first(first: u8, remaining: u32, out: &mut Vec<u8>) {
    let (head, len) = head_with_variable(first, remaining);
    out.reserve((len + remaining as usize).max(WORD));
    put_low_bytes(head, len, out);
}

/// How many bytes are written at once at the head of a packet. Most packets are no shorter, so that a fresh buffer is
/// filled to its end.
const WORD: usize = size_of::<u64>();

#[inline]
fn put_low_bytes(word: u64, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(out.len() - WORD + len);
}

#[inline(never)]
fn put_other(packet: &Packet, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let packet_type = packet.packet_type();
    match packet {
        Packet::Connect(_) | Packet::Publish(_) | Packet::Subscribe(_) => encode(packet, version, out),
        Packet::ConnAck(connack) => put_connack(connack, version, out),
        Packet::Ack(ack) => {
            let identifier = ack.packet_identifier.get().to_be_bytes();
            put_outcome(packet_type, &identifier, ack.reason, &ack.properties, version, out)
        }
        Packet::SubAck(suback) => {
            let code = |reason: Reason| match version {
                Version::V3_1_1 if reason.is_error() => Reason::UnspecifiedError.code(),
                _ => reason.code(),
            };
            let SubAck { packet_identifier, properties, reasons } = suback;
            put_codes(packet_type, *packet_identifier, properties, reasons, code, version, out)
        }
        Packet::Unsubscribe(unsubscribe) => put_unsubscribe(unsubscribe, version, out),
        Packet::UnsubAck(UnsubAck { packet_identifier, properties, reasons }) => {
            let reasons = if version == Version::V3_1_1 { &[][..] } else { reasons };
            put_codes(packet_type, *packet_identifier, properties, reasons, Reason::code, version, out)
        }
        Packet::PingReq | Packet::PingResp => put_head(packet_type, 0, out),
        Packet::Disconnect(disconnect) => {
            put_outcome(packet_type, &[], disconnect.reason, &disconnect.properties, version, out)
        }
        Packet::Auth(auth) => {
            if version == Version::V3_1_1 {
                return Err(Fault::NotInThisVersion.into());
            }
            check_method(auth)?;
            put_outcome(packet_type, &[], auth.reason, &auth.properties, version, out)
        }
    }
}

#[inline(never)]
fn put_connect(connect: &Connect, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let Connect { version, clean_start, keep_alive, client_id, will, username, password, properties } = connect;
    let version = *version;
    if version == Version::V3_1_1 && client_id.is_empty() && !clean_start {
        return Err(Unencodable::EmptyClientIdentifier);
    }
    if version == Version::V3_1_1 && password.is_some() && username.is_none() {
        return Err(Fault::PasswordWithoutUserName.into());
    }
    let mut flags = 0;
    let mut remaining = 10 + properties_len(properties, version) + 2 + client_id.len();
    if *clean_start {
        flags |= connect_flag::CLEAN_START;
    }
    let too_long = |bytes: &Option<&Bytes>| bytes.is_some_and(|bytes| bytes.len() > MAX_FIELD_LEN);
    if too_long(&password.as_ref()) || too_long(&will.as_ref().map(|will| &will.payload)) {
        return Err(Unencodable::FieldTooLong);
    }
    if let Some(will) = will {
        check_will_topic(will.topic.is_empty(), will.topic.has_wildcard())?;
        flags |= connect_flag::WILL | will.qos.number() << connect_flag::WILL_QOS_SHIFT;
        if will.retain {
            flags |= connect_flag::WILL_RETAIN;
        }
        remaining += properties_len(&will.properties, version) + 2 + will.topic.len() + 2 + will.payload.len();
    }
    if let Some(username) = username {
        flags |= connect_flag::USER_NAME;
        remaining += 2 + username.len();
    }
    if let Some(password) = password {
        flags |= connect_flag::PASSWORD;
        remaining += 2 + password.len();
    }
    if version == Version::V5 {
        properties.borrowed().fit(Place::In(PacketType::Connect))?;
        will.as_ref().map_or(Ok(()), |will| will.properties.borrowed().fit(Place::Will))?;
    }

    put_head(PacketType::Connect, remaining, out)?;
    let level = match version {
        Version::V3_1_1 => 4,
        Version::V5 => 5,
    };
    let [high, low] = keep_alive.to_be_bytes();
    out.extend_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', level, flags, high, low]);
    put_properties(properties, version, out);
    put_field(out, client_id.as_bytes());
    if let Some(will) = will {
        put_properties(&will.properties, version, out);
        put_field(out, will.topic.as_bytes());
        put_field(out, &will.payload);
    }
    if let Some(username) = username {
        put_field(out, username.as_bytes());
    }
    if let Some(password) = password {
        put_field(out, password);
    }
    Ok(())
}

fn put_connack(connack: &ConnAck, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let ConnAck { session_present, reason, properties } = connack;
    if *session_present && *reason != Reason::Success {
        return Err(Fault::SessionPresentWithError.into());
    }
    let code = match version {
        Version::V3_1_1 => reason.return_code().ok_or(Unencodable::NoReturnCode(*reason))?,
        Version::V5 if reason.allowed_in(PacketType::ConnAck) => reason.code(),
        Version::V5 => return Err(Fault::ConnAckCode.into()),
    };
    if version == Version::V5 {
        properties.borrowed().fit(Place::In(PacketType::ConnAck))?;
    }
    put_head(PacketType::ConnAck, 2 + properties_len(properties, version), out)?;
    out.extend_from_slice(&[u8::from(*session_present), code]);
    put_properties(properties, version, out);
    Ok(())
}

/// A packet that ends in a reason code and properties, in the shortest form (5.0 section 3.4.2).
fn put_outcome(
    packet_type: PacketType,
    begin: &[u8],
    reason: Reason,
    properties: &Properties,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    if version == Version::V3_1_1 || (reason == Reason::Success && properties.is_empty()) {
        put_head(packet_type, begin.len(), out)?;
        out.extend_from_slice(begin);
        return Ok(());
    }
    if !reason.allowed_in(packet_type) {
        return Err(code_fault(packet_type).into());
    }
    properties.borrowed().fit(Place::In(packet_type))?;
    let more = if properties.is_empty() { 0 } else { properties_len(properties, version) };
    put_head(packet_type, begin.len() + 1 + more, out)?;
    out.extend_from_slice(begin);
    out.push(reason.code());
    if more > 0 {
        put_properties(properties, version, out);
    }
    Ok(())
}

#[inline(never)]
fn put_subscribe(subscribe: &Subscribe, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let Subscribe { packet_identifier, properties, subscriptions } = subscribe;
    if subscriptions.is_empty() {
        return Err(Fault::NoFilters.into());
    }
    let (mut filters, mut no_local_shared) = (0, false);
    for Subscription { filter, options } in subscriptions {
        filters += 3 + filter.len();
        no_local_shared |= options.no_local && is_shared(filter.as_bytes());
    }
    if no_local_shared && version == Version::V5 {
        return Err(Fault::NoLocalShared.into());
    }
    put_request(PacketType::Subscribe, *packet_identifier, properties, filters, version, out)?;
    match version {
        Version::V3_1_1 => put_filters(subscriptions, filters, |options| options.qos.number(), out),
        Version::V5 => put_filters(subscriptions, filters, SubscriptionOptions::bits, out),
    }
    Ok(())
}

/// Writes topic filters with their options. They take `len` bytes, which are made first: to fill them is quicker than
/// to append so many pieces.
#[inline]
fn put_filters(
    subscriptions: &[Subscription],
    len: usize,
    bits: impl Fn(SubscriptionOptions) -> u8,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.resize(start + len, 0);
    let mut room = &mut out[start..];
    for Subscription { filter, options } in subscriptions {
        let (field, rest) = room.split_at_mut(2 + filter.len());
        let (length, text) = field.split_at_mut(2);
        // A `Text` is never longer than a field can be.
        length.copy_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        text.copy_from_slice(filter.as_bytes());
        rest[0] = bits(*options);
        room = &mut rest[1..];
    }
}

fn put_unsubscribe(unsubscribe: &Unsubscribe, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let Unsubscribe { packet_identifier, properties, filters } = unsubscribe;
    if filters.is_empty() {
        return Err(Fault::NoFiltersToEnd.into());
    }
    let body = filters.iter().map(|filter| 2 + filter.len()).sum();
    put_request(PacketType::Unsubscribe, *packet_identifier, properties, body, version, out)?;
    for filter in filters {
        put_field(out, filter.as_bytes());
    }
    Ok(())
}

fn put_codes(
    packet_type: PacketType,
    packet_identifier: PacketIdentifier,
    properties: &Properties,
    reasons: &[Reason],
    code: impl Fn(Reason) -> u8,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    if !reasons.iter().all(|reason| reason.allowed_in(packet_type)) {
        return Err(code_fault(packet_type).into());
    }
    if reasons.is_empty() && (packet_type, version) != (PacketType::UnsubAck, Version::V3_1_1) {
        return Err(Fault::NoCodes.into());
    }
    put_request(packet_type, packet_identifier, properties, reasons.len(), version, out)?;
    out.extend(reasons.iter().map(|&reason| code(reason)));
    Ok(())
}

/// A packet that begins with its identifier and properties, up to the `body` bytes that follow.
fn put_request(
    packet_type: PacketType,
    packet_identifier: PacketIdentifier,
    properties: &Properties,
    body: usize,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    if version == Version::V5 {
        properties.borrowed().fit(Place::In(packet_type))?;
    }
    put_head(packet_type, 2 + properties_len(properties, version) + body, out)?;
    out.extend_from_slice(&packet_identifier.get().to_be_bytes());
    put_properties(properties, version, out);
    Ok(())
}
