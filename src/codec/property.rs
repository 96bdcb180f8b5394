//! Properties (5.0 section 2.2.2): one table says what each is, where it may stand and whether it may be repeated, and
//! nothing else knows an identifier.

use bytes::Bytes;

use super::packet::PacketType::{self, *};
use super::properties::{Properties, PropertiesRef};
use super::text::Text;

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
pub(super) enum Kind {
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

            pub(super) const fn kind(self) -> Kind {
                match self { $(Property::$name => Kind::$kind,)* }
            }

            /// One bit for each packet type that it may stand in, and bit 0 for the will.
            pub(super) const fn places(self) -> u16 {
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

        /// Strings and binary data that these return are copies.
        impl PropertiesRef<'_> {
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

impl Place {
    pub(super) const fn bit(self) -> u8 {
        match self {
            Place::In(packet) => packet.number(),
            Place::Will => 0,
        }
    }
}

impl Property {
    pub(super) const fn bit(self) -> u64 {
        1 << self as u8
    }
}
