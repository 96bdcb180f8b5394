//! Properties on the wire: going through them, checking them, writing them.

use bytes::Bytes;

use super::fault::{Fault, Malformed};
use super::packet::PacketType;
use super::property::{Kind, Place, Property, Value};
use super::text::{self, Text};
use super::wire::{put_field, put_variable, read_variable};

/// Set in `present` if there is more than one subscription identifier, which PUBLISH alone may have.
const MANY_IDENTIFIERS: u64 = 1 << 62;
/// Set in `present` if something is wrong wherever these properties stand.
pub(super) const WRONG: u64 = 1 << 63;

/// For each place, by the bit that [`Property::places`] has for it: the bits that may be set in `present`.
const FITTING: [u64; 16] = {
    let mut fitting = [0; 16];
    let mut place = 0;
    while place < fitting.len() {
        let mut number = 0;
        while number < Property::ALL.len() {
            let property = Property::ALL[number];
            if property.places() & (1 << place) != 0 {
                fitting[place] |= property.bit();
            }
            number += 1;
        }
        place += 1;
    }
    fitting[PacketType::Publish.number() as usize] |= MANY_IDENTIFIERS;
    fitting
};

/// The bits that may be set in what is present, in this place.
#[inline]
pub(super) fn fitting(place: Place) -> u64 {
    FITTING[usize::from(place.bit() & 15)]
}

/// Checks what may stand in a place and tells what is present; with `STRINGS`, also that strings are strings.
pub(super) fn check<const STRINGS: bool>(wire: &[u8], place: Place) -> Result<u64, Malformed> {
    let fitting = fitting(place);
    let mut cursor = Cursor { wire, at: 0 };
    let mut present = 0;
    while let Some((property, span)) = cursor.next_span()? {
        if property.bit() & fitting == 0 {
            return Err(Fault::PropertyMisplaced.into());
        }
        if present & property.bit() != 0 {
            if !property.repeats_in(place) {
                return Err(Fault::PropertyRepeated.into());
            }
            if property == Property::SubscriptionIdentifier {
                present |= MANY_IDENTIFIERS;
            }
        }
        present |= property.bit();
        span.check::<STRINGS>(wire, property)?;
    }
    if data_without_method(present) { Err(Fault::AuthDataWithoutMethod.into()) } else { Ok(present) }
}

/// What is present in properties whose strings are strings, wherever they are to stand.
pub(super) fn survey(wire: &[u8]) -> Result<u64, Malformed> {
    let mut cursor = Cursor { wire, at: 0 };
    let mut present = 0;
    while let Some((property, span)) = cursor.next_span()? {
        if present & property.bit() != 0 {
            present |= match property {
                Property::UserProperty => 0,
                Property::SubscriptionIdentifier => MANY_IDENTIFIERS,
                _ => WRONG,
            };
        }
        present |= property.bit();
        if span.check::<false>(wire, property).is_err() {
            present |= WRONG;
        }
    }
    Ok(present)
}

pub(super) const fn data_without_method(present: u64) -> bool {
    present & Property::AuthenticationData.bit() != 0 && present & Property::AuthenticationMethod.bit() == 0
}

/// Goes through properties on the wire.
pub(super) struct Cursor<'a> {
    pub(super) wire: &'a [u8],
    pub(super) at: usize,
}

/// A value found on the wire: a number, or where its bytes stand.
pub(super) enum Span {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Field(Kind, usize, usize),
    Pair { name: (usize, usize), value: (usize, usize) },
}

impl Cursor<'_> {
    #[inline]
    pub(super) fn next_span(&mut self) -> Result<Option<(Property, Span)>, Malformed> {
        let Some(&identifier) = self.wire.get(self.at) else { return Ok(None) };
        self.at += 1;
        let property = Property::from_identifier(identifier).ok_or(Fault::PropertyUnknown)?;
        let span = match property.kind() {
            Kind::Bit | Kind::Flag => Span::Byte(self.take::<1>()?[0]),
            Kind::Two | Kind::TwoAboveZero => Span::Two(u16::from_be_bytes(self.take()?)),
            Kind::Four | Kind::FourAboveZero => Span::Four(u32::from_be_bytes(self.take()?)),
            Kind::VariableAboveZero => {
                let (number, len) = read_variable(&self.wire[self.at..])?.ok_or(Fault::CutOff)?;
                self.at += len;
                Span::Variable(number)
            }
            kind @ (Kind::Text | Kind::Topic | Kind::Binary) => {
                let (start, end) = self.field()?;
                Span::Field(kind, start, end)
            }
            Kind::Pair => Span::Pair { name: self.field()?, value: self.field()? },
        };
        Ok(Some((property, span)))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.wire.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(Fault::CutOff)?;
        self.at += N;
        Ok(*bytes)
    }

    fn field(&mut self) -> Result<(usize, usize), Malformed> {
        let len = usize::from(u16::from_be_bytes(self.take()?));
        let (start, end) = (self.at, self.at + len);
        if end > self.wire.len() {
            return Err(Fault::CutOff.into());
        }
        self.at = end;
        Ok((start, end))
    }
}

impl Span {
    /// Whether the value is one that the property may have.
    #[inline]
    fn check<const STRINGS: bool>(&self, wire: &[u8], property: Property) -> Result<(), Malformed> {
        let string = |(start, end): (usize, usize)| {
            if STRINGS { text::check(&wire[start..end]).map_err(Malformed::from) } else { Ok(()) }
        };
        match (property.kind(), self) {
            (Kind::Bit | Kind::Flag, Span::Byte(2..)) => Err(Fault::PropertyValue.into()),
            (Kind::TwoAboveZero, Span::Two(0)) if property == Property::TopicAlias => Err(Fault::TopicAliasZero.into()),
            (Kind::TwoAboveZero, Span::Two(0))
            | (Kind::FourAboveZero, Span::Four(0))
            | (Kind::VariableAboveZero, Span::Variable(0)) => Err(Fault::PropertyValue.into()),
            (_, Span::Field(Kind::Text, start, end)) => string((*start, *end)),
            (_, Span::Field(Kind::Topic, start, end)) => {
                string((*start, *end))?;
                if start == end {
                    Err(Fault::TopicEmpty.into())
                } else if text::has_wildcard(&wire[*start..*end]) {
                    Err(Fault::ResponseTopicWildcard.into())
                } else {
                    Ok(())
                }
            }
            (_, Span::Pair { name, value }) => string(*name).and_then(|()| string(*value)),
            _ => Ok(()),
        }
    }

    pub(super) fn value(&self, keep: impl Fn(usize, usize) -> Bytes) -> Value {
        // What is in `Properties` has been checked, so the strings are strings.
        let string = |(start, end): (usize, usize)| Text::try_from(keep(start, end)).unwrap_or_default();
        match self {
            Span::Byte(byte) => Value::Byte(*byte),
            Span::Two(number) => Value::Two(*number),
            Span::Four(number) => Value::Four(*number),
            Span::Variable(number) => Value::Variable(*number),
            Span::Field(Kind::Binary, start, end) => Value::Binary(keep(*start, *end)),
            Span::Field(_, start, end) => Value::Text(string((*start, *end))),
            Span::Pair { name, value } => Value::Pair(string(*name), string(*value)),
        }
    }
}

/// Writes one property; false, and nothing written, if the value is not of its type or too long.
pub(super) fn put_property(out: &mut Vec<u8>, property: Property, value: &Value) -> bool {
    let before = out.len();
    out.push(property as u8);
    let written = match (property.kind(), value) {
        (Kind::Bit | Kind::Flag, Value::Byte(byte)) => {
            out.push(*byte);
            true
        }
        (Kind::Two | Kind::TwoAboveZero, Value::Two(number)) => {
            out.extend_from_slice(&number.to_be_bytes());
            true
        }
        (Kind::Four | Kind::FourAboveZero, Value::Four(number)) => {
            out.extend_from_slice(&number.to_be_bytes());
            true
        }
        (Kind::VariableAboveZero, Value::Variable(number) | Value::Four(number)) => put_variable(out, *number),
        (Kind::Text | Kind::Topic, Value::Text(text)) => put_field(out, text.as_bytes()),
        (Kind::Binary, Value::Binary(bytes)) => put_field(out, bytes),
        (Kind::Pair, Value::Pair(name, value)) => put_field(out, name.as_bytes()) && put_field(out, value.as_bytes()),
        _ => false,
    };
    if !written {
        out.truncate(before);
    }
    written
}
