//! SUBSCRIBE, UNSUBSCRIBE and their answers (sections 3.8 to 3.11).

use super::Unencodable;
use super::room::{Room, properties_len};
use crate::codec::Reason;
use crate::codec::fault::Fault;
use crate::codec::packet::{
    PacketIdentifier, PacketType, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe, Version,
};
use crate::codec::properties::Properties;
use crate::codec::property::Place;
use crate::codec::read::{code_fault, is_shared};

#[inline(never)]
pub(super) fn put_subscribe(subscribe: &Subscribe, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let Subscribe { packet_identifier, properties, subscriptions } = subscribe;
    if subscriptions.is_empty() {
        return Err(Fault::NoFilters.into());
    }
    let start = out.len();
    let body = subscriptions.iter().map(|subscription| 3 + subscription.filter.len()).sum();
    let mut room = room_behind(PacketType::Subscribe, *packet_identifier, properties, body, version, out)?;
    let mut no_local_shared = false;
    for Subscription { filter, options } in subscriptions {
        let filter: &[u8] = filter.as_bytes();
        no_local_shared |= options.no_local && is_shared(filter);
        room.put_field(filter);
        room.put([if version == Version::V5 { options.bits() } else { options.qos.number() }]);
    }
    if no_local_shared && version == Version::V5 {
        out.truncate(start);
        return Err(Fault::NoLocalShared.into());
    }
    Ok(())
}

pub(super) fn put_unsubscribe(
    unsubscribe: &Unsubscribe,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    let Unsubscribe { packet_identifier, properties, filters } = unsubscribe;
    if filters.is_empty() {
        return Err(Fault::NoFiltersToEnd.into());
    }
    let body = filters.iter().map(|filter| 2 + filter.len()).sum();
    let mut room = room_behind(PacketType::Unsubscribe, *packet_identifier, properties, body, version, out)?;
    for filter in filters {
        room.put_field(filter.as_bytes());
    }
    Ok(())
}

pub(super) fn put_suback(suback: &SubAck, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let SubAck { packet_identifier, properties, reasons } = suback;
    let code = |reason: Reason| match version {
        Version::V3_1_1 if reason.is_error() => Reason::UnspecifiedError.code(),
        _ => reason.code(),
    };
    put_codes(PacketType::SubAck, *packet_identifier, properties, reasons, code, version, out)
}

pub(super) fn put_unsuback(unsuback: &UnsubAck, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let UnsubAck { packet_identifier, properties, reasons } = unsuback;
    let reasons = if version == Version::V3_1_1 { &[][..] } else { reasons };
    put_codes(PacketType::UnsubAck, *packet_identifier, properties, reasons, Reason::code, version, out)
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
    let mut room = room_behind(packet_type, packet_identifier, properties, reasons.len(), version, out)?;
    reasons.iter().for_each(|&reason| room.put([code(reason)]));
    Ok(())
}

/// Writes a packet that begins with its identifier and properties, and makes room for the `body` bytes that follow.
#[inline]
fn room_behind<'a>(
    packet_type: PacketType,
    packet_identifier: PacketIdentifier,
    properties: &Properties,
    body: usize,
    version: Version,
    out: &'a mut Vec<u8>,
) -> Result<Room<'a>, Unencodable> {
    if version == Version::V5 {
        properties.borrowed().fit(Place::In(packet_type))?;
    }
    let mut room = Room::behind_head(packet_type, 2 + properties_len(properties, version) + body, out)?;
    room.put(packet_identifier.get().to_be_bytes());
    room.put_properties(properties, version);
    Ok(room)
}
