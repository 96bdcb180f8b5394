//! PUBLISH and its acks (sections 3.3 to 3.7).

use super::Found;
use super::cursor::Cursor;
use crate::codec::fault::{Fault, Malformed};
use crate::codec::packet::{AckKind, PacketType, Qos, Version};
use crate::codec::property::Place;
use crate::codec::text::TextRef;
use crate::codec::{AckRef, PacketRef, PropertiesRef, PublishRef, Reason};

#[inline]
pub(super) fn publish(version: Version, flags: u8, mut cursor: Cursor<'_>) -> Found<'_> {
    let qos = Qos::from_number(flags >> 1 & 0b11).ok_or(Fault::Qos3)?;
    let dup = flags & 0b1000 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(Fault::DupAtQos0.into());
    }
    let topic = TextRef::name(cursor.field()?, Fault::TopicWildcard)?;
    let packet_identifier = if qos == Qos::AtMostOnce { None } else { Some(cursor.packet_identifier()?) };
    let properties = cursor.properties(version, Place::In(PacketType::Publish))?;
    if topic.is_empty() {
        check_alias_for_topic(version, properties)?;
    }
    let Cursor { buffer, rest: payload } = cursor;
    let retain = flags & 1 != 0;
    let publish = PublishRef { dup, qos, retain, topic, packet_identifier, properties, payload, buffer };
    Ok(Some(PacketRef::Publish(publish)))
}

/// An empty topic name needs a topic alias in its place, which 3.1.1 does not have.
pub(in crate::codec) fn check_alias_for_topic(
    version: Version,
    properties: PropertiesRef<'_>,
) -> Result<(), Malformed> {
    match version {
        Version::V3_1_1 => Err(Fault::TopicEmpty.into()),
        Version::V5 if properties.topic_alias().is_none() => Err(Fault::TopicMissing.into()),
        Version::V5 => Ok(()),
    }
}

/// The ack that begins like this, flags and all.
#[inline]
pub(in crate::codec) const fn ack_kind(first: u8) -> Option<AckKind> {
    match first {
        0x40 => Some(AckKind::PubAck),
        0x50 => Some(AckKind::PubRec),
        0x62 => Some(AckKind::PubRel),
        0x70 => Some(AckKind::PubComp),
        _ => None,
    }
}

pub(super) fn ack<'a>(version: Version, kind: AckKind, cursor: &mut Cursor<'a>) -> Result<AckRef<'a>, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let (reason, properties) = match version {
        Version::V3_1_1 => (Reason::Success, PropertiesRef::default()),
        Version::V5 => cursor.outcome(kind.packet_type())?,
    };
    Ok(AckRef { kind, packet_identifier, reason, properties })
}
