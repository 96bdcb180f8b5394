//! CONNECT, CONNACK, DISCONNECT and AUTH (sections 3.1, 3.2, 3.14, 3.15).

use super::cursor::Cursor;
use super::{Found, reason};
use crate::codec::fault::{Fault, Malformed};
use crate::codec::packet::{Auth, ConnAck, Disconnect, PacketType, Version};
use crate::codec::packet_ref::{ConnectPlaces, ConnectRef};
use crate::codec::property::Place;
use crate::codec::text::TextRef;
use crate::codec::{PacketRef, Properties, Reason};

/// The bits of CONNECT's flags byte (section 3.1.2.3).
pub(in crate::codec) mod connect_flag {
    pub(in crate::codec) const RESERVED: u8 = 1;
    pub(in crate::codec) const CLEAN_START: u8 = 1 << 1;
    pub(in crate::codec) const WILL: u8 = 1 << 2;
    pub(in crate::codec) const WILL_QOS_SHIFT: u8 = 3;
    pub(in crate::codec) const WILL_RETAIN: u8 = 1 << 5;
    pub(in crate::codec) const PASSWORD: u8 = 1 << 6;
    pub(in crate::codec) const USER_NAME: u8 = 1 << 7;
}

#[inline]
pub(super) fn connect(mut cursor: Cursor<'_>) -> Found<'_> {
    let version = protocol(&mut cursor)?;
    let flags = cursor.byte()?;
    if let Some(fault) = flags_fault(version, flags) {
        return Err(fault.into());
    }
    let has = |flag: u8| flags & flag != 0;
    let keep_alive = cursor.two()?;
    let properties = cursor.properties(version, Place::In(PacketType::Connect))?;
    let payload = cursor.rest;
    let mut places = ConnectPlaces::default();
    cursor.text()?;
    if has(connect_flag::WILL) {
        places.will_properties = place_in(payload, &cursor);
        cursor.properties(version, Place::Will)?;
        places.will_topic = place_in(payload, &cursor);
        let topic = TextRef::name(cursor.field()?, Fault::WillTopicWildcard)?;
        check_will_topic(topic.is_empty(), false)?;
        places.will_payload = place_in(payload, &cursor);
        cursor.field()?;
    }
    if has(connect_flag::USER_NAME) {
        places.username = place_in(payload, &cursor);
        cursor.text()?;
    }
    if has(connect_flag::PASSWORD) {
        places.password = place_in(payload, &cursor);
        cursor.field()?;
    }
    if !cursor.is_done() {
        return Err(Fault::TrailingBytes.into());
    }
    Ok(Some(PacketRef::Connect(ConnectRef { version, keep_alive, properties, flags, payload, places })))
}

/// The protocol name and version (sections 3.1.2.1 and 3.1.2.2).
#[inline]
fn protocol(cursor: &mut Cursor<'_>) -> Result<Version, Malformed> {
    if cursor.skip(b"\0\x04MQTT\x04") {
        return Ok(Version::V3_1_1);
    }
    if cursor.skip(b"\0\x04MQTT\x05") {
        return Ok(Version::V5);
    }
    other_protocol(cursor)
}

#[cold]
fn other_protocol(cursor: &mut Cursor<'_>) -> Result<Version, Malformed> {
    match (cursor.field()?, cursor.byte()?) {
        // What the level 3 of MQTT 3.1 asks for is the same in all that matters here.
        (b"MQIsdp", 3) => Ok(Version::V3_1_1),
        (b"MQTT" | b"MQIsdp", _) => Err(Fault::ProtocolLevel.into()),
        _ => Err(Fault::ProtocolName.into()),
    }
}

/// What is wrong with CONNECT's flags byte.
#[inline]
fn flags_fault(version: Version, flags: u8) -> Option<Fault> {
    let has = |flag: u8| flags & flag != 0;
    let will_qos = flags >> connect_flag::WILL_QOS_SHIFT & 0b11;
    if has(connect_flag::RESERVED) {
        Some(Fault::ConnectFlagReserved)
    } else if will_qos == 3 {
        Some(Fault::WillQos3)
    } else if !has(connect_flag::WILL) && will_qos != 0 {
        Some(Fault::WillQosWithoutWill)
    } else if !has(connect_flag::WILL) && has(connect_flag::WILL_RETAIN) {
        Some(Fault::WillRetainWithoutWill)
    } else if version == Version::V3_1_1 && has(connect_flag::PASSWORD) && !has(connect_flag::USER_NAME) {
        Some(Fault::PasswordWithoutUserName)
    } else {
        None
    }
}

/// How much of the payload has been read: less than any packet has.
#[inline]
fn place_in(payload: &[u8], cursor: &Cursor<'_>) -> u32 {
    u32::try_from(payload.len() - cursor.rest.len()).unwrap_or(u32::MAX)
}

pub(in crate::codec) fn check_will_topic(is_empty: bool, has_wildcard: bool) -> Result<(), Malformed> {
    if is_empty {
        Err(Fault::TopicEmpty.into())
    } else if has_wildcard {
        Err(Fault::WillTopicWildcard.into())
    } else {
        Ok(())
    }
}

pub(super) fn connack(version: Version, cursor: &mut Cursor<'_>) -> Result<ConnAck, Malformed> {
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
    let properties = cursor.shared_properties(version, Place::In(PacketType::ConnAck))?;
    Ok(ConnAck { session_present, reason, properties })
}

pub(super) fn disconnect(version: Version, cursor: &mut Cursor<'_>) -> Result<Disconnect, Malformed> {
    let (reason, properties) = match version {
        Version::V3_1_1 => (Reason::Success, Properties::new()),
        Version::V5 => shared_outcome(cursor, PacketType::Disconnect)?,
    };
    Ok(Disconnect { reason, properties })
}

pub(super) fn auth(version: Version, cursor: &mut Cursor<'_>) -> Result<Auth, Malformed> {
    if version == Version::V3_1_1 {
        return Err(Fault::NotInThisVersion.into());
    }
    let (reason, properties) = shared_outcome(cursor, PacketType::Auth)?;
    let auth = Auth { reason, properties };
    check_method(&auth)?;
    Ok(auth)
}

/// AUTH names its method (5.0 section 3.15.2.2.2), unless it is the shortest form of success.
pub(in crate::codec) fn check_method(auth: &Auth) -> Result<(), Malformed> {
    let short = auth.reason == Reason::Success && auth.properties.is_empty();
    if short || auth.properties.authentication_method().is_some() {
        Ok(())
    } else {
        Err(Fault::AuthMethodMissing.into())
    }
}

fn shared_outcome(cursor: &mut Cursor<'_>, packet_type: PacketType) -> Result<(Reason, Properties), Malformed> {
    let (reason, properties) = cursor.outcome(packet_type)?;
    Ok((reason, cursor.share(properties)))
}
