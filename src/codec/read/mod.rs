//! Bytes to packets.

mod connect;
mod cursor;
mod publish;
mod subscribe;

use std::cmp::Ordering;

use bytes::Bytes;

use super::fault::{Fault, Malformed};
use super::packet::{AckKind, Packet, PacketType, Version};
use super::wire::read_variable;
use super::{PacketRef, Reason};
use cursor::Cursor;

pub(super) use connect::{check_method, check_will_topic, connect_flag};
pub(super) use publish::{ack_kind, check_alias_for_topic};
pub(super) use subscribe::is_shared;

/// The packet that `frame` is: one whole packet, nothing before and nothing behind it. `version` is that of the
/// connection; a CONNECT says its own.
///
/// Strings, payload and properties are slices of `frame`, not copies.
///
/// # Errors
/// What is wrong with it. Only what one packet shows is checked here, not what depends on the ones before it or on who
/// sends it, nor whether topic filters are ones (section 4.7).
pub fn decode(version: Version, frame: &Bytes) -> Result<Packet, Malformed> {
    let packet = decode_ref(version, frame)?.ok_or(Fault::CutOff)?;
    Ok(packet.shared(frame))
}

/// What is found in a packet's bytes, never `None`: of the type that [`Reader::next_packet`](super::Reader::next_packet)
/// gives back, so that each packet is written where it is wanted and not copied there out of another enum.
pub(super) type Found<'a> = Result<Option<PacketRef<'a>>, Malformed>;

/// The packet that `frame` is, as it lies there: see [`decode`].
#[inline]
fn decode_ref(version: Version, frame: &Bytes) -> Found<'_> {
    let (&first, rest) = frame.split_first().ok_or(Fault::CutOff)?;
    let (remaining, length) = read_variable(rest)?.ok_or(Fault::CutOff)?;
    let body = &rest[length..];
    match body.len().cmp(&(remaining as usize)) {
        Ordering::Less => Err(Fault::CutOff.into()),
        Ordering::Greater => Err(Fault::TrailingBytes.into()),
        Ordering::Equal => decode_body(version, first, frame, body),
    }
}

/// The packet with this first byte and this body, which lies in `buffer`.
#[inline]
pub(super) fn decode_body<'a>(version: Version, first: u8, buffer: &'a Bytes, body: &'a [u8]) -> Found<'a> {
    let cursor = Cursor { buffer, rest: body };
    if first >> 4 == PacketType::Publish.number() {
        publish::publish(version, first & 0x0f, cursor)
    } else if first == PacketType::Connect.number() << 4 {
        connect::connect(cursor)
    } else {
        decode_other(version, first, cursor)
    }
}

fn decode_other(version: Version, first: u8, mut cursor: Cursor<'_>) -> Found<'_> {
    let packet_type = PacketType::from_number(first >> 4).ok_or(Fault::TypeReserved)?;
    check_flags(packet_type, first & 0x0f)?;
    let at = &mut cursor;
    let rare = |packet| PacketRef::Rare(Box::new(packet));
    let packet = match packet_type {
        PacketType::ConnAck => rare(Packet::ConnAck(connect::connack(version, at)?)),
        PacketType::Connect | PacketType::Publish => return Err(Fault::FlagsReserved.into()),
        PacketType::PubAck => PacketRef::Ack(publish::ack(version, AckKind::PubAck, at)?),
        PacketType::PubRec => PacketRef::Ack(publish::ack(version, AckKind::PubRec, at)?),
        PacketType::PubRel => PacketRef::Ack(publish::ack(version, AckKind::PubRel, at)?),
        PacketType::PubComp => PacketRef::Ack(publish::ack(version, AckKind::PubComp, at)?),
        PacketType::Subscribe => PacketRef::Subscribe(subscribe::subscribe(version, at)?),
        PacketType::SubAck => rare(Packet::SubAck(subscribe::suback(version, at)?)),
        PacketType::Unsubscribe => rare(Packet::Unsubscribe(subscribe::unsubscribe(version, at)?)),
        PacketType::UnsubAck => rare(Packet::UnsubAck(subscribe::unsuback(version, at)?)),
        PacketType::PingReq => PacketRef::PingReq,
        PacketType::PingResp => PacketRef::PingResp,
        PacketType::Disconnect => rare(Packet::Disconnect(connect::disconnect(version, at)?)),
        PacketType::Auth => rare(Packet::Auth(connect::auth(version, at)?)),
    };
    if cursor.is_done() { Ok(Some(packet)) } else { Err(Fault::TrailingBytes.into()) }
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
