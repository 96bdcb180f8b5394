//! SUBSCRIBE, UNSUBSCRIBE and their answers (sections 3.8 to 3.11).

use super::cursor::Cursor;
use super::reason;
use crate::codec::fault::{Fault, Malformed};
use crate::codec::packet::{
    PacketType, Qos, RetainHandling, SubAck, SubscriptionOptions, UnsubAck, Unsubscribe, Version,
};
use crate::codec::property::Place;
use crate::codec::{Reason, SubscribeRef};

pub(super) fn subscribe<'a>(version: Version, cursor: &mut Cursor<'a>) -> Result<SubscribeRef<'a>, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.properties(version, Place::In(PacketType::Subscribe))?;
    let wire = cursor.rest;
    let mut count = 0;
    while !cursor.is_done() {
        let filter = cursor.text()?;
        let options = subscription_options(version, cursor.byte()?)?;
        if options.no_local && is_shared(filter.as_bytes()) {
            return Err(Fault::NoLocalShared.into());
        }
        count += 1;
    }
    if count == 0 {
        return Err(Fault::NoFilters.into());
    }
    Ok(SubscribeRef { packet_identifier, properties, wire, count })
}

/// Whether a topic filter asks for a shared subscription (5.0 section 4.8.2).
#[inline]
pub(in crate::codec) fn is_shared(filter: &[u8]) -> bool {
    // Few filters begin like this.
    filter.first() == Some(&b'$') && filter.starts_with(b"$share/")
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
    Qos::from_number(byte & 0b11).ok_or(Fault::SubscriptionQos3)?;
    RetainHandling::from_number(byte >> 4).ok_or(Fault::RetainHandling3)?;
    Ok(SubscriptionOptions::from_bits(byte))
}

pub(super) fn suback(version: Version, cursor: &mut Cursor<'_>) -> Result<SubAck, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.shared_properties(version, Place::In(PacketType::SubAck))?;
    let reasons = match version {
        Version::V3_1_1 => codes(cursor, |code| match code {
            0..=2 | 0x80 => Reason::from_code(code).ok_or(Fault::SubAckCode.into()),
            _ => Err(Fault::SubAckCode.into()),
        })?,
        Version::V5 => codes(cursor, |code| reason(code, PacketType::SubAck))?,
    };
    Ok(SubAck { packet_identifier, properties, reasons })
}

pub(super) fn unsubscribe(version: Version, cursor: &mut Cursor<'_>) -> Result<Unsubscribe, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.shared_properties(version, Place::In(PacketType::Unsubscribe))?;
    let mut filters = Vec::with_capacity(count_fields(cursor.rest));
    while !cursor.is_done() {
        filters.push(cursor.shared_text()?);
    }
    if filters.is_empty() {
        return Err(Fault::NoFiltersToEnd.into());
    }
    Ok(Unsubscribe { packet_identifier, properties, filters })
}

/// How many fields there are: so many as are really there, whatever lengths are claimed.
fn count_fields(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        count += 1;
        bytes = rest.get(usize::from(u16::from_be_bytes(*len))..).unwrap_or_default();
    }
    count
}

pub(super) fn unsuback(version: Version, cursor: &mut Cursor<'_>) -> Result<UnsubAck, Malformed> {
    let packet_identifier = cursor.packet_identifier()?;
    let properties = cursor.shared_properties(version, Place::In(PacketType::UnsubAck))?;
    let reasons = match version {
        Version::V3_1_1 => Vec::new(),
        Version::V5 => codes(cursor, |code| reason(code, PacketType::UnsubAck))?,
    };
    Ok(UnsubAck { packet_identifier, properties, reasons })
}

/// One code for each topic filter, up to the packet's end.
fn codes(cursor: &mut Cursor<'_>, reason: impl Fn(u8) -> Result<Reason, Malformed>) -> Result<Vec<Reason>, Malformed> {
    let reasons = cursor.rest.iter().map(|&code| reason(code)).collect::<Result<Vec<_>, _>>()?;
    cursor.rest = &[];
    if reasons.is_empty() { Err(Fault::NoCodes.into()) } else { Ok(reasons) }
}
