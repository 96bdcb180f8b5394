//! Packets to bytes.

mod connect;
mod publish;
mod room;
mod subscribe;

use thiserror::Error;

use super::fault::{Fault, Malformed};
use super::packet::*;
use super::properties::Properties;
use super::property::Place;
use super::read::{check_method, code_fault, reserved_flags};
use super::{Reason, Version};
use room::{Room, properties_len};

pub use publish::PublishParts;
pub(super) use publish::put_publish;

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
    // Each sees all that can be wrong before it writes anything, or takes back what it wrote.
    if let Packet::Publish(publish) = packet {
        put_publish(publish.into(), version, out)?;
        out.extend_from_slice(&publish.payload);
        return Ok(());
    }
    match packet {
        Packet::Ack(ack)
            if version == Version::V3_1_1 || (ack.reason == Reason::Success && ack.properties.is_empty()) =>
        {
            let packet_type = ack.kind.packet_type();
            let [high, low] = ack.packet_identifier.get().to_be_bytes();
            out.extend_from_slice(&[packet_type.number() << 4 | reserved_flags(packet_type), 2, high, low]);
            Ok(())
        }
        Packet::Connect(connect) => connect::put_connect(connect, out),
        Packet::Subscribe(subscribe) => subscribe::put_subscribe(subscribe, version, out),
        packet => put_other(packet, version, out),
    }
}

#[inline(never)]
fn put_other(packet: &Packet, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let packet_type = packet.packet_type();
    match packet {
        Packet::Connect(_) | Packet::Publish(_) | Packet::Subscribe(_) => encode(packet, version, out),
        Packet::ConnAck(connack) => connect::put_connack(connack, version, out),
        Packet::Ack(ack) => {
            let identifier = ack.packet_identifier.get().to_be_bytes();
            put_outcome(packet_type, &identifier, ack.reason, &ack.properties, version, out)
        }
        Packet::SubAck(suback) => subscribe::put_suback(suback, version, out),
        Packet::Unsubscribe(unsubscribe) => subscribe::put_unsubscribe(unsubscribe, version, out),
        Packet::UnsubAck(unsuback) => subscribe::put_unsuback(unsuback, version, out),
        Packet::PingReq | Packet::PingResp => Room::behind_head(packet_type, 0, out).map(|_| ()),
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
        Room::behind_head(packet_type, begin.len(), out)?.put_slice(begin);
        return Ok(());
    }
    if !reason.allowed_in(packet_type) {
        return Err(code_fault(packet_type).into());
    }
    properties.borrowed().fit(Place::In(packet_type))?;
    let more = if properties.is_empty() { 0 } else { properties_len(properties, version) };
    let mut room = Room::behind_head(packet_type, begin.len() + 1 + more, out)?;
    room.put_slice(begin);
    room.put([reason.code()]);
    if more > 0 {
        room.put_properties(properties, version);
    }
    Ok(())
}
