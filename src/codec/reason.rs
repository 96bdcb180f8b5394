//! Reason codes, and the return codes that stand for them in 3.1.1.

use std::fmt;

use super::packet::PacketType::{self, *};

/// Writes the one table of reason codes: value, name, the standard's words, the packets it may stand in.
macro_rules! reasons {
    ($($(#[$doc:meta])* $value:literal $name:ident $words:literal [$($packet:ident)*],)*) => {
        /// Why something ended as it did (5.0 section 2.4). 3.1.1 knows a few of them by other numbers; packets hold
        /// the 5.0 code in both versions and the codec translates.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $words] $name = $value,)*
        }

        impl Reason {
            /// Every reason code, in the order of its value.
            pub const ALL: &[Reason] = &[$(Reason::$name),*];

            /// The reason code with this value.
            pub const fn from_code(code: u8) -> Option<Reason> {
                match code {
                    $($value => Some(Reason::$name),)*
                    _ => None,
                }
            }

            /// The standard's words for it.
            pub const fn words(self) -> &'static str {
                match self { $(Reason::$name => $words,)* }
            }

            /// Whether 5.0 allows it in this packet.
            pub fn allowed_in(self, packet: PacketType) -> bool {
                let packets: &[PacketType] = match self { $(Reason::$name => &[$($packet),*],)* };
                packets.contains(&packet)
            }
        }
    };
}

reasons! {
    0x00 Success "success" [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth],
    0x01 GrantedQos1 "granted QoS 1" [SubAck],
    0x02 GrantedQos2 "granted QoS 2" [SubAck],
    0x04 DisconnectWithWill "disconnect with will message" [Disconnect],
    0x10 NoMatchingSubscribers "no matching subscribers" [PubAck PubRec],
    0x11 NoSubscriptionExisted "no subscription existed" [UnsubAck],
    0x18 ContinueAuthentication "continue authentication" [Auth],
    0x19 ReAuthenticate "re-authenticate" [Auth],
    0x80 UnspecifiedError "unspecified error" [ConnAck PubAck PubRec SubAck UnsubAck Disconnect],
    0x81 MalformedPacket "malformed packet" [ConnAck Disconnect],
    0x82 ProtocolError "protocol error" [ConnAck Disconnect],
    0x83 ImplementationSpecificError "implementation specific error" [ConnAck PubAck PubRec SubAck UnsubAck Disconnect],
    0x84 UnsupportedProtocolVersion "unsupported protocol version" [ConnAck],
    0x85 ClientIdentifierNotValid "client identifier not valid" [ConnAck],
    0x86 BadUserNameOrPassword "bad user name or password" [ConnAck],
    0x87 NotAuthorized "not authorized" [ConnAck PubAck PubRec SubAck UnsubAck Disconnect],
    0x88 ServerUnavailable "server unavailable" [ConnAck],
    0x89 ServerBusy "server busy" [ConnAck Disconnect],
    0x8A Banned "banned" [ConnAck],
    0x8B ServerShuttingDown "server shutting down" [Disconnect],
    0x8C BadAuthenticationMethod "bad authentication method" [ConnAck Disconnect],
    0x8D KeepAliveTimeout "keep alive timeout" [Disconnect],
    0x8E SessionTakenOver "session taken over" [Disconnect],
    0x8F TopicFilterInvalid "topic filter invalid" [SubAck UnsubAck Disconnect],
    0x90 TopicNameInvalid "topic name invalid" [ConnAck PubAck PubRec Disconnect],
    0x91 PacketIdentifierInUse "packet identifier in use" [PubAck PubRec SubAck UnsubAck],
    0x92 PacketIdentifierNotFound "packet identifier not found" [PubRel PubComp],
    0x93 ReceiveMaximumExceeded "receive maximum exceeded" [Disconnect],
    0x94 TopicAliasInvalid "topic alias invalid" [Disconnect],
    0x95 PacketTooLarge "packet too large" [ConnAck Disconnect],
    0x96 MessageRateTooHigh "message rate too high" [Disconnect],
    0x97 QuotaExceeded "quota exceeded" [ConnAck PubAck PubRec SubAck Disconnect],
    0x98 AdministrativeAction "administrative action" [Disconnect],
    0x99 PayloadFormatInvalid "payload format invalid" [ConnAck PubAck PubRec Disconnect],
    0x9A RetainNotSupported "retain not supported" [ConnAck Disconnect],
    0x9B QosNotSupported "QoS not supported" [ConnAck Disconnect],
    0x9C UseAnotherServer "use another server" [ConnAck Disconnect],
    0x9D ServerMoved "server moved" [ConnAck Disconnect],
    0x9E SharedSubscriptionsNotSupported "shared subscriptions not supported" [SubAck Disconnect],
    0x9F ConnectionRateExceeded "connection rate exceeded" [ConnAck Disconnect],
    0xA0 MaximumConnectTime "maximum connect time" [Disconnect],
    0xA1 SubscriptionIdentifiersNotSupported "subscription identifiers not supported" [SubAck Disconnect],
    0xA2 WildcardSubscriptionsNotSupported "wildcard subscriptions not supported" [SubAck Disconnect],
}

impl Reason {
    /// The value on the wire in 5.0.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it reports a failure (0x80 and above).
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The CONNACK return code of 3.1.1 (section 3.2.2.3); `None` where it has none and the link closes without one.
    pub const fn return_code(self) -> Option<u8> {
        match self {
            Reason::Success => Some(0),
            Reason::UnsupportedProtocolVersion => Some(1),
            Reason::ClientIdentifierNotValid => Some(2),
            Reason::ServerUnavailable | Reason::ServerBusy => Some(3),
            Reason::BadUserNameOrPassword => Some(4),
            Reason::NotAuthorized | Reason::BadAuthenticationMethod => Some(5),
            _ => None,
        }
    }

    /// The reason that a CONNACK return code of 3.1.1 stands for.
    pub const fn from_return_code(code: u8) -> Option<Reason> {
        match code {
            0 => Some(Reason::Success),
            1 => Some(Reason::UnsupportedProtocolVersion),
            2 => Some(Reason::ClientIdentifierNotValid),
            3 => Some(Reason::ServerUnavailable),
            4 => Some(Reason::BadUserNameOrPassword),
            5 => Some(Reason::NotAuthorized),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    /// The value and the words: `0x8E session taken over`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.code(), self.words())
    }
}
