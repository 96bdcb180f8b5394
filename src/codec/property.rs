//! Properties (5.0 section 2.2.2): one table says what each is, where it may stand and whether it may be repeated, and
//! nothing else knows an identifier.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::fault::{Fault, Malformed};
use super::packet::PacketType::{self, *};
use super::text::{self, Text};
use super::wire::{put_field, put_variable, read_variable};

/// Where properties stand: in a packet, or in the will of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a packet of this type.
    In(PacketType),
    /// In the will of a CONNECT.
    Will,
}

/// The type of a property's value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 0 or 1, a number.
    Bit,
    /// 0 or 1, no or yes.
    Flag,
    /// A two byte integer.
    Two,
    /// A two byte integer that is not 0.
    TwoAboveZero,
    /// A four byte integer.
    Four,
    /// A four byte integer that is not 0.
    FourAboveZero,
    /// A variable byte integer that is not 0.
    VariableAboveZero,
    Text,
    /// A topic name: no wildcards.
    Topic,
    Binary,
    Pair,
}

/// A property's value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Value {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Text(Text),
    Binary(Bytes),
    Pair(Text, Text),
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Byte(flag.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Value {
        Value::Byte(number)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Value {
        Value::Two(number)
    }
}

impl From<u32> for Value {
    /// For a variable byte integer too.
    fn from(number: u32) -> Value {
        Value::Four(number)
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Value {
        Value::Text(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Binary(bytes)
    }
}

impl From<(Text, Text)> for Value {
    fn from((name, value): (Text, Text)) -> Value {
        Value::Pair(name, value)
    }
}

/// Writes the table: identifier, name, name of its getter, kind, where it may stand.
macro_rules! properties {
    ($($identifier:literal $name:ident $getter:ident $kind:ident [$($packet:ident)*] $($extra:ident)*,)*) => {
        /// The properties, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Property { $($name = $identifier,)* }

        impl Property {
            /// Every property.
            pub const ALL: &[Property] = &[$(Property::$name),*];

            /// The property with this identifier.
            pub const fn from_identifier(identifier: u8) -> Option<Property> {
                match identifier { $($identifier => Some(Property::$name),)* _ => None }
            }

            /// Its name in snake case, as scenarios and reports spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Property::$name => stringify!($getter),)* }
            }

            /// The property with this name in snake case.
            pub fn from_name(name: &str) -> Option<Property> {
                match name { $(stringify!($getter) => Some(Property::$name),)* _ => None }
            }

            const fn kind(self) -> Kind {
                match self { $(Property::$name => Kind::$kind,)* }
            }

            /// One bit for each packet type that it may stand in, and bit 0 for the will.
            const fn places(self) -> u16 {
                match self { $(Property::$name => 0 $(| 1 << PacketType::number($packet))* $(| extra::$extra)*,)* }
            }

            /// Whether it may stand there.
            pub const fn allowed_in(self, place: Place) -> bool {
                self.places() & (1 << place.bit()) != 0
            }

            /// Whether it may be given more than once there.
            pub const fn repeats_in(self, place: Place) -> bool {
                matches!(
                    (self, place),
                    (Property::UserProperty, _) | (Property::SubscriptionIdentifier, Place::In(Publish))
                )
            }
        }

        impl Properties {
            $(getter!($name $getter $kind);)*
        }
    };
}

mod extra {
    pub(super) const WILL: u16 = 1;
    pub(super) const ALL: u16 = u16::MAX;
}

/// Writes a typed getter.
macro_rules! getter {
    (UserProperty $getter:ident Pair) => {
        /// The user properties, in order.
        pub fn user_properties(&self) -> impl Iterator<Item = (Text, Text)> {
            self.iter().filter_map(|(_, value)| match value {
                Value::Pair(name, value) => Some((name, value)),
                _ => None,
            })
        }
    };
    (SubscriptionIdentifier $getter:ident $kind:ident) => {
        /// The subscription identifiers, in order.
        pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
            self.iter().filter_map(|(_, value)| match value {
                Value::Variable(identifier) => Some(identifier),
                _ => None,
            })
        }
    };
    ($name:ident $getter:ident Bit) => { getter!(@ $name $getter Byte u8); };
    ($name:ident $getter:ident Flag) => {
        #[doc = concat!("The value of `", stringify!($name), "`, if it is given.")]
        pub fn $getter(&self) -> Option<bool> {
            match self.find(Property::$name)? {
                Value::Byte(value) => Some(value != 0),
                _ => None,
            }
        }
    };
    ($name:ident $getter:ident Two) => { getter!(@ $name $getter Two u16); };
    ($name:ident $getter:ident TwoAboveZero) => { getter!(@ $name $getter Two u16); };
    ($name:ident $getter:ident Four) => { getter!(@ $name $getter Four u32); };
    ($name:ident $getter:ident FourAboveZero) => { getter!(@ $name $getter Four u32); };
    ($name:ident $getter:ident Text) => { getter!(@ $name $getter Text Text); };
    ($name:ident $getter:ident Topic) => { getter!(@ $name $getter Text Text); };
    ($name:ident $getter:ident Binary) => { getter!(@ $name $getter Binary Bytes); };
    (@ $name:ident $getter:ident $variant:ident $type:ty) => {
        #[doc = concat!("The value of `", stringify!($name), "`, if it is given.")]
        pub fn $getter(&self) -> Option<$type> {
            match self.find(Property::$name)? { Value::$variant(value) => Some(value), _ => None }
        }
    };
}

properties! {
    0x01 PayloadFormatIndicator payload_format_indicator Bit [Publish] WILL,
    0x02 MessageExpiryInterval message_expiry_interval Four [Publish] WILL,
    0x03 ContentType content_type Text [Publish] WILL,
    0x08 ResponseTopic response_topic Topic [Publish] WILL,
    0x09 CorrelationData correlation_data Binary [Publish] WILL,
    0x0B SubscriptionIdentifier subscription_identifier VariableAboveZero [Publish Subscribe],
    0x11 SessionExpiryInterval session_expiry_interval Four [Connect ConnAck Disconnect],
    0x12 AssignedClientIdentifier assigned_client_identifier Text [ConnAck],
    0x13 ServerKeepAlive server_keep_alive Two [ConnAck],
    0x15 AuthenticationMethod authentication_method Text [Connect ConnAck Auth],
    0x16 AuthenticationData authentication_data Binary [Connect ConnAck Auth],
    0x17 RequestProblemInformation request_problem_information Bit [Connect],
    0x18 WillDelayInterval will_delay_interval Four [] WILL,
    0x19 RequestResponseInformation request_response_information Bit [Connect],
    0x1A ResponseInformation response_information Text [ConnAck],
    0x1C ServerReference server_reference Text [ConnAck Disconnect],
    0x1F ReasonString reason_string Text [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth],
    0x21 ReceiveMaximum receive_maximum TwoAboveZero [Connect ConnAck],
    0x22 TopicAliasMaximum topic_alias_maximum Two [Connect ConnAck],
    0x23 TopicAlias topic_alias TwoAboveZero [Publish],
    0x24 MaximumQos maximum_qos Bit [ConnAck],
    0x25 RetainAvailable retain_available Flag [ConnAck],
    0x26 UserProperty user_property Pair [] ALL,
    0x27 MaximumPacketSize maximum_packet_size FourAboveZero [Connect ConnAck],
    0x28 WildcardSubscriptionAvailable wildcard_subscription_available Flag [ConnAck],
    0x29 SubscriptionIdentifierAvailable subscription_identifier_available Flag [ConnAck],
    0x2A SharedSubscriptionAvailable shared_subscription_available Flag [ConnAck],
}

/// The properties of a packet, in the form they have on the wire: cheap to receive, to keep and to pass on.
///
/// Whatever is in here can be told apart; where it may stand is checked on the way in and out.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Properties {
    /// Never empty: most packets have none, and nothing is to be done for them.
    wire: Option<Bytes>,
    /// What is in `wire`: the bit of each property that is there, and the two below.
    present: u64,
}

/// Set in `present` if there is more than one subscription identifier, which PUBLISH alone may have.
const MANY_IDENTIFIERS: u64 = 1 << 62;
/// Set in `present` if something is wrong wherever these properties stand.
const WRONG: u64 = 1 << 63;

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
    fitting[Publish.number() as usize] |= MANY_IDENTIFIERS;
    fitting
};

impl Place {
    const fn bit(self) -> u8 {
        match self {
            Place::In(packet) => packet.number(),
            Place::Will => 0,
        }
    }

    #[inline]
    fn fitting(self) -> u64 {
        FITTING[usize::from(self.bit() & 15)]
    }
}

impl Property {
    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Stands where a property could not be written; the standard has no property 0.
const UNWRITABLE: u8 = 0;

impl Properties {
    /// No properties.
    pub const fn new() -> Properties {
        Properties { wire: None, present: 0 }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.wire.is_none()
    }

    /// How many bytes they take on the wire, without the length before them.
    #[inline]
    pub fn len(&self) -> usize {
        self.as_wire().len()
    }

    /// These and one more: see [`Properties::push`].
    #[must_use]
    pub fn with(mut self, property: Property, value: impl Into<Value>) -> Properties {
        self.push(property, value);
        self
    }

    /// Adds one behind the others. If the value cannot be written (it is of another type than the property's, or too
    /// long), the encoder refuses any packet with these properties.
    pub fn push(&mut self, property: Property, value: impl Into<Value>) {
        let mut wire = Vec::with_capacity(self.len() + 16);
        wire.extend_from_slice(self.as_wire());
        if !put_property(&mut wire, property, &value.into()) {
            wire.push(UNWRITABLE);
        }
        *self = Properties::of(wire.into());
    }

    /// All but these, in order.
    #[must_use]
    pub fn without(&self, left_out: &[Property]) -> Properties {
        let mut cursor = Cursor { wire: self.as_wire(), at: 0 };
        let mut kept = BytesMut::new();
        let mut dropped = false;
        loop {
            let start = cursor.at;
            match cursor.next_span() {
                Ok(Some((property, _))) if left_out.contains(&property) => dropped = true,
                Ok(Some(_)) => kept.extend_from_slice(&self.as_wire()[start..cursor.at]),
                Ok(None) => break,
                Err(_) => {
                    // What cannot be written stays so.
                    kept.extend_from_slice(&self.as_wire()[start..]);
                    break;
                }
            }
        }
        if dropped { Properties::of(kept.freeze()) } else { self.clone() }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Property, Value)> + '_ {
        let mut cursor = Cursor { wire: self.as_wire(), at: 0 };
        std::iter::from_fn(move || {
            let (property, span) = cursor.next_span().ok()??;
            Some((property, span.value(self.wire.as_ref()?)))
        })
    }

    /// A copy in a buffer of its own, for keeping.
    #[must_use]
    pub fn detached(&self) -> Properties {
        Properties { wire: self.wire.as_deref().map(Bytes::copy_from_slice), present: self.present }
    }

    #[inline]
    fn find(&self, wanted: Property) -> Option<Value> {
        // What could not be surveyed has to be searched.
        if self.present & (wanted.bit() | WRONG) == 0 {
            return None;
        }
        self.search(wanted)
    }

    fn search(&self, wanted: Property) -> Option<Value> {
        let mut cursor = Cursor { wire: self.as_wire(), at: 0 };
        while let Ok(Some((property, span))) = cursor.next_span() {
            if property == wanted {
                return Some(span.value(self.wire.as_ref()?));
            }
        }
        None
    }

    #[inline]
    pub(super) fn as_wire(&self) -> &[u8] {
        self.wire.as_deref().unwrap_or_default()
    }

    /// Properties that were put together, right or wrong.
    fn of(wire: Bytes) -> Properties {
        if wire.is_empty() {
            return Properties::new();
        }
        let present = survey(&wire).unwrap_or(WRONG);
        Properties { wire: Some(wire), present }
    }

    /// Properties as they came from the wire, checked for what may stand in this place.
    #[inline]
    pub(super) fn parse(wire: Bytes, place: Place) -> Result<Properties, Malformed> {
        if wire.is_empty() {
            return Ok(Properties::new());
        }
        let present = check::<true>(&wire, place)?;
        Ok(Properties { wire: Some(wire), present })
    }

    /// Whether all of them may stand there.
    #[inline]
    pub(super) fn fit(&self, place: Place) -> Result<(), Malformed> {
        if self.present & !place.fitting() == 0 && !data_without_method(self.present) {
            Ok(())
        } else {
            check::<false>(self.as_wire(), place).map(|_| ())
        }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(property, value)| (property.name(), value))).finish()
    }
}

/// Checks what may stand in a place and tells what is present; with `STRINGS`, also that strings are strings.
fn check<const STRINGS: bool>(wire: &[u8], place: Place) -> Result<u64, Malformed> {
    let fitting = place.fitting();
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
fn survey(wire: &[u8]) -> Result<u64, Malformed> {
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

const fn data_without_method(present: u64) -> bool {
    present & Property::AuthenticationData.bit() != 0 && present & Property::AuthenticationMethod.bit() == 0
}

/// Goes through properties on the wire.
struct Cursor<'a> {
    wire: &'a [u8],
    at: usize,
}

/// A value found on the wire: a number, or where its bytes stand.
enum Span {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Field(Kind, usize, usize),
    Pair { name: (usize, usize), value: (usize, usize) },
}

impl Cursor<'_> {
    #[inline]
    fn next_span(&mut self) -> Result<Option<(Property, Span)>, Malformed> {
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

    fn value(&self, wire: &Bytes) -> Value {
        // What is in `Properties` has been checked, so the strings are strings.
        let string = |(start, end): (usize, usize)| Text::try_from(wire.slice(start..end)).unwrap_or_default();
        match self {
            Span::Byte(byte) => Value::Byte(*byte),
            Span::Two(number) => Value::Two(*number),
            Span::Four(number) => Value::Four(*number),
            Span::Variable(number) => Value::Variable(*number),
            Span::Field(Kind::Binary, start, end) => Value::Binary(wire.slice(*start..*end)),
            Span::Field(_, start, end) => Value::Text(string((*start, *end))),
            Span::Pair { name, value } => Value::Pair(string(*name), string(*value)),
        }
    }
}

/// Writes one property; false, and nothing written, if the value is not of its type or too long.
fn put_property(out: &mut Vec<u8>, property: Property, value: &Value) -> bool {
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
