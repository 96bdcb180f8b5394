//! CONNECT and CONNACK (sections 3.1 and 3.2).

use bytes::Bytes;

use super::Unencodable;
use super::room::{Room, properties_len};
use crate::codec::Reason;
use crate::codec::fault::Fault;
use crate::codec::packet::{ConnAck, Connect, PacketType, Version};
use crate::codec::property::Place;
use crate::codec::read::{check_will_topic, connect_flag};
use crate::codec::text::MAX_FIELD_LEN;

#[inline(never)]
pub(super) fn put_connect(connect: &Connect, out: &mut Vec<u8>) -> Result<(), Unencodable> {
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

    let level = match version {
        Version::V3_1_1 => 4,
        Version::V5 => 5,
    };
    let mut room = Room::behind_head(PacketType::Connect, remaining, out)?;
    let [high, low] = keep_alive.to_be_bytes();
    room.put([0, 4, b'M', b'Q', b'T', b'T', level, flags, high, low]);
    room.put_properties(properties, version);
    room.put_field(client_id.as_bytes());
    if let Some(will) = will {
        room.put_properties(&will.properties, version);
        room.put_field(will.topic.as_bytes());
        room.put_field(&will.payload);
    }
    if let Some(username) = username {
        room.put_field(username.as_bytes());
    }
    if let Some(password) = password {
        room.put_field(password);
    }
    Ok(())
}

pub(super) fn put_connack(connack: &ConnAck, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
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
    let mut room = Room::behind_head(PacketType::ConnAck, 2 + properties_len(properties, version), out)?;
    room.put([u8::from(*session_present), code]);
    room.put_properties(properties, version);
    Ok(())
}
