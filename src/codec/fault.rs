//! What can be wrong with the bytes of a packet: one table.

use std::fmt;

use thiserror::Error;

use super::{Reason, TextError, Version};

/// Bytes that are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", fault.words())]
pub struct Malformed {
    /// The reason code that tells the sender of it (5.0).
    pub reason: Reason,
    /// What is wrong.
    pub fault: Fault,
}

/// Writes the table: name, reason code, statement of 3.1.1, statement of 5.0, words.
macro_rules! faults {
    ($($name:ident $reason:ident $v3:literal $v5:literal $words:literal,)*) => {
        /// What is wrong with a packet's bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $words] $name,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Fault] = &[$(Fault::$name),*];

            /// What is wrong, in words.
            pub const fn words(self) -> &'static str {
                match self { $(Fault::$name => $words,)* }
            }

            /// The reason code for it (5.0).
            pub const fn reason(self) -> Reason {
                match self { $(Fault::$name => Reason::$reason,)* }
            }

            /// The numbered statement that it breaks.
            pub const fn statement(self, version: Version) -> &'static str {
                match version {
                    Version::V3_1_1 => match self { $(Fault::$name => $v3,)* },
                    Version::V5 => match self { $(Fault::$name => $v5,)* },
                }
            }
        }
    };
}

faults! {
    RemainingLength MalformedPacket "MQTT-4.8.0-1" "MQTT-4.13.1-1" "the remaining length takes more than four bytes",
    VariableNotShortest MalformedPacket "MQTT-4.8.0-1" "MQTT-1.5.5-1" "a variable byte integer is longer than it needs to be",
    TooLarge PacketTooLarge "MQTT-4.8.0-1" "MQTT-3.2.2-15" "the packet is larger than is accepted",
    TypeReserved MalformedPacket "MQTT-4.8.0-1" "MQTT-4.13.1-1" "the packet type is reserved",
    FlagsReserved MalformedPacket "MQTT-2.2.2-2" "MQTT-2.1.3-1" "the flags of the fixed header are not as reserved",
    PubRelFlags MalformedPacket "MQTT-3.6.1-1" "MQTT-3.6.1-1" "the flags of PUBREL are not 0010",
    SubscribeFlags MalformedPacket "MQTT-3.8.1-1" "MQTT-3.8.1-1" "the flags of SUBSCRIBE are not 0010",
    UnsubscribeFlags MalformedPacket "MQTT-3.10.1-1" "MQTT-3.10.1-1" "the flags of UNSUBSCRIBE are not 0010",
    DisconnectFlags MalformedPacket "MQTT-3.14.1-1" "MQTT-3.14.1-1" "the flags of DISCONNECT are not 0000",
    AuthFlags MalformedPacket "MQTT-2.2.2-2" "MQTT-3.15.1-1" "the flags of AUTH are not 0000",
    CutOff MalformedPacket "MQTT-4.8.0-1" "MQTT-4.13.1-1" "the packet ends in the middle of a field",
    TrailingBytes MalformedPacket "MQTT-4.8.0-1" "MQTT-4.13.1-1" "bytes are left over at the end of the packet",
    NotUtf8 MalformedPacket "MQTT-1.5.3-1" "MQTT-1.5.4-1" "a string is not well-formed UTF-8",
    NullCharacter MalformedPacket "MQTT-1.5.3-2" "MQTT-1.5.4-2" "a string contains U+0000",
    PacketIdentifierZero ProtocolError "MQTT-2.3.1-1" "MQTT-2.2.1-3" "the packet identifier is zero",
    Qos3 MalformedPacket "MQTT-3.3.1-4" "MQTT-3.3.1-4" "both QoS bits are set",
    DupAtQos0 MalformedPacket "MQTT-3.3.1-2" "MQTT-3.3.1-2" "DUP is set at QoS 0",
    TopicWildcard TopicNameInvalid "MQTT-3.3.2-2" "MQTT-3.3.2-2" "the topic name contains a wildcard",
    TopicEmpty TopicNameInvalid "MQTT-4.7.3-1" "MQTT-4.7.3-1" "the topic name is empty",
    TopicMissing ProtocolError "MQTT-4.7.3-1" "MQTT-4.13.1-1" "there is neither a topic name nor a topic alias",
    ResponseTopicWildcard ProtocolError "MQTT-4.8.0-1" "MQTT-3.3.2-14" "the response topic contains a wildcard",
    ProtocolName UnsupportedProtocolVersion "MQTT-3.1.2-1" "MQTT-3.1.2-1" "the protocol name is not MQTT",
    ProtocolLevel UnsupportedProtocolVersion "MQTT-3.1.2-2" "MQTT-3.1.2-2" "the protocol version is not supported",
    ConnectFlagReserved MalformedPacket "MQTT-3.1.2-3" "MQTT-3.1.2-3" "the reserved connect flag is set",
    WillQos3 MalformedPacket "MQTT-3.1.2-14" "MQTT-3.1.2-12" "both will QoS bits are set",
    WillQosWithoutWill MalformedPacket "MQTT-3.1.2-13" "MQTT-3.1.2-11" "will QoS is set without a will",
    WillRetainWithoutWill MalformedPacket "MQTT-3.1.2-15" "MQTT-3.1.2-13" "will retain is set without a will",
    WillTopicWildcard TopicNameInvalid "MQTT-4.7.1-1" "MQTT-4.7.0-1" "the will topic contains a wildcard",
    PasswordWithoutUserName MalformedPacket "MQTT-3.1.2-22" "MQTT-4.13.1-1" "there is a password without a user name",
    ConnAckFlagsReserved MalformedPacket "MQTT-4.8.0-1" "MQTT-3.2.2-1" "reserved CONNACK flags are set",
    SessionPresentWithError ProtocolError "MQTT-3.2.2-4" "MQTT-3.2.2-6" "a refusal says that a session is present",
    ConnAckCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.2.2-8" "the code is not one for CONNACK",
    PubAckCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.4.2-1" "the reason code is not one for PUBACK",
    PubRecCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.5.2-1" "the reason code is not one for PUBREC",
    PubRelCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.6.2-1" "the reason code is not one for PUBREL",
    PubCompCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.7.2-1" "the reason code is not one for PUBCOMP",
    SubAckCode MalformedPacket "MQTT-3.9.3-2" "MQTT-3.9.3-2" "the code is not one for SUBACK",
    UnsubAckCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.11.3-2" "the reason code is not one for UNSUBACK",
    DisconnectCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.14.2-1" "the reason code is not one for DISCONNECT",
    AuthCode MalformedPacket "MQTT-4.8.0-1" "MQTT-3.15.2-1" "the reason code is not one for AUTH",
    NoCodes ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "there is no code for any topic filter",
    NoFilters ProtocolError "MQTT-3.8.3-3" "MQTT-3.8.3-2" "there is no topic filter",
    NoFiltersToEnd ProtocolError "MQTT-3.10.3-2" "MQTT-3.10.3-2" "there is no topic filter to end",
    OptionsReserved MalformedPacket "MQTT-3.8.3-4" "MQTT-3.8.3-5" "reserved subscription option bits are set",
    SubscriptionQos3 MalformedPacket "MQTT-3.8.3-4" "MQTT-4.13.1-1" "the QoS asked for is 3",
    NoLocalShared ProtocolError "MQTT-3.8.3-4" "MQTT-3.8.3-4" "no local is asked of a shared subscription",
    RetainHandling3 ProtocolError "MQTT-3.8.3-4" "MQTT-4.13.1-1" "the retain handling is 3",
    PropertyUnknown MalformedPacket "MQTT-4.8.0-1" "MQTT-4.13.1-1" "the property identifier is not known",
    PropertyMisplaced ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "a property is not allowed in this packet",
    PropertyRepeated ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "a property is given twice",
    PropertyValue ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "a property has a value that it may not have",
    TopicAliasZero TopicAliasInvalid "MQTT-4.8.0-1" "MQTT-3.3.2-8" "the topic alias is zero",
    AuthDataWithoutMethod ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "there is authentication data without a method",
    AuthMethodMissing ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "there is no authentication method",
    NotInThisVersion ProtocolError "MQTT-4.8.0-1" "MQTT-4.13.1-1" "the packet does not exist in this version",
}

impl From<Fault> for Malformed {
    #[cold]
    fn from(fault: Fault) -> Malformed {
        Malformed { reason: fault.reason(), fault }
    }
}

impl From<TextError> for Malformed {
    fn from(error: TextError) -> Malformed {
        match error {
            TextError::NotUtf8 | TextError::TooLong => Fault::NotUtf8.into(),
            TextError::Null => Fault::NullCharacter.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
