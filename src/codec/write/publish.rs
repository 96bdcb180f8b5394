//! PUBLISH (section 3.3).

use bytes::Bytes;

use super::Unencodable;
use super::room::{WORD, properties_len, put_low_bytes, remaining_length};
use crate::codec::fault::Fault;
use crate::codec::packet::{PacketIdentifier, PacketType, Publish, Qos, Version};
use crate::codec::properties::Properties;
use crate::codec::property::Place;
use crate::codec::read::check_alias_for_topic;
use crate::codec::text::Text;
use crate::codec::wire::{head_with_variable, put_variable};

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
    #[inline]
    fn from(publish: &'a Publish) -> PublishParts<'a> {
        let Publish { dup, qos, retain, topic, packet_identifier, properties, payload } = publish;
        let (dup, qos, retain, packet_identifier) = (*dup, *qos, *retain, *packet_identifier);
        PublishParts { dup, qos, retain, topic, packet_identifier, properties, payload }
    }
}

/// All of a PUBLISH but its payload.
#[inline]
pub(in crate::codec) fn put_publish(
    publish: PublishParts<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    let PublishParts { dup, qos, retain, topic, packet_identifier, properties, payload } = publish;
    let named = packet_identifier.is_some() == (qos != Qos::AtMostOnce);
    if !named | (dup & (qos == Qos::AtMostOnce)) | topic.is_empty() | topic.has_wildcard() {
        check_odd(dup, qos, topic, packet_identifier, properties, version)?;
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

/// Looks closely at a PUBLISH of which something is seldom so: an empty topic name with an alias may be sent.
#[cold]
fn check_odd(
    dup: bool,
    qos: Qos,
    topic: &Text,
    packet_identifier: Option<PacketIdentifier>,
    properties: &Properties,
    version: Version,
) -> Result<(), Unencodable> {
    if dup && qos == Qos::AtMostOnce {
        return Err(Fault::DupAtQos0.into());
    }
    match (packet_identifier, qos) {
        (Some(_), Qos::AtMostOnce) => return Err(Unencodable::PacketIdentifierAtQos0),
        (None, Qos::AtLeastOnce | Qos::ExactlyOnce) => return Err(Unencodable::NoPacketIdentifier),
        _ => {}
    }
    if topic.has_wildcard() {
        return Err(Fault::TopicWildcard.into());
    }
    if topic.is_empty() {
        check_alias_for_topic(version, properties.borrowed())?;
    }
    Ok(())
}
