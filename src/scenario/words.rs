//! Words with a fixed choice: versions, QoS, reason codes, kinds of packets, events and causes.

use bytes::Bytes;

use super::scalar::{Scalar, scalar, suggestion, with_help};
use crate::codec::{PacketType, Qos, Reason, Version};
use crate::link::Cause;

/// The protocol version: `3.1.1` or `5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionWord(pub Version);

impl Default for VersionWord {
    fn default() -> VersionWord {
        VersionWord(Version::V5)
    }
}

impl Scalar for VersionWord {
    const WHAT: &'static str = "a protocol version, 3.1.1 or 5";

    fn from_text(text: &str) -> Result<VersionWord, String> {
        match text {
            "3.1.1" | "3" | "4" | "v3.1.1" | "v4" => Ok(VersionWord(Version::V3_1_1)),
            "5" | "5.0" | "v5" | "v5.0" => Ok(VersionWord(Version::V5)),
            other => Err(with_help(format!("`{other}` is not a version of MQTT"), "write \"3.1.1\" or \"5\"")),
        }
    }

    fn from_float(number: f64) -> Result<VersionWord, String> {
        VersionWord::from_text(&number.to_string())
    }
}

scalar!(VersionWord, {
    "description": "The protocol version.",
    "enum": ["3.1.1", "3", "4", "v3.1.1", "v4", 3, 4, "5", "5.0", "v5", "v5.0", 5]
});

/// A QoS: 0, 1 or 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QosWord(pub Qos);

impl Scalar for QosWord {
    const WHAT: &'static str = "a QoS: 0, 1 or 2";

    fn from_text(text: &str) -> Result<QosWord, String> {
        let number =
            text.parse::<i128>().map_err(|_| with_help(format!("`{text}` is not a QoS"), "it is 0, 1 or 2"))?;
        QosWord::from_integer(number)
    }

    fn from_integer(number: i128) -> Result<QosWord, String> {
        let qos = u8::try_from(number).ok().and_then(Qos::from_number);
        qos.map(QosWord).ok_or_else(|| with_help(format!("there is no QoS {number}"), "it is 0, 1 or 2"))
    }
}

scalar!(QosWord, { "description": "A QoS.", "enum": [0, 1, 2] });

/// A reason code of 5.0 by number, `0x8E`, or by the standard's words, `session taken over`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonWord(pub Reason);

impl Scalar for ReasonWord {
    const WHAT: &'static str = "a reason code such as 0x8E, or its name such as `session taken over`";

    fn from_text(text: &str) -> Result<ReasonWord, String> {
        let plain = text.replace(['_', '-'], " ").to_lowercase();
        let found = Reason::ALL.iter().find(|reason| reason.words().replace('-', " ").to_lowercase() == plain);
        match (found, number_of(text)) {
            (Some(reason), _) => Ok(ReasonWord(*reason)),
            (None, Some(number)) => ReasonWord::from_integer(number),
            (None, None) => {
                let help = suggestion(&plain, Reason::ALL.iter().map(|reason| reason.words()));
                Err(with_help(format!("`{text}` is not a reason code"), help))
            }
        }
    }

    fn from_integer(number: i128) -> Result<ReasonWord, String> {
        let reason = u8::try_from(number).ok().and_then(Reason::from_code);
        let what = || with_help(format!("there is no reason code 0x{number:02X}"), "see section 2.4 of the standard");
        reason.map(ReasonWord).ok_or_else(what)
    }
}

fn number_of(text: &str) -> Option<i128> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

scalar!(ReasonWord, {
    "description": "A reason code of 5.0: its number (0x8E) or the standard's words (session taken over).",
    "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 255 }, { "type": "string" }]
});

/// The kind of a packet: `publish`, `puback` …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketWord(pub PacketType);

impl Scalar for PacketWord {
    const WHAT: &'static str = "a kind of packet such as publish or puback";

    fn from_text(text: &str) -> Result<PacketWord, String> {
        let found = PacketType::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
        let names = PacketType::ALL.map(|kind| kind.name().to_lowercase());
        let help = || suggestion(text, names.iter().map(String::as_str));
        found.map(PacketWord).ok_or_else(|| with_help(format!("there is no packet `{text}`"), help()))
    }

    fn from_integer(number: i128) -> Result<PacketWord, String> {
        Err(with_help(format!("there is no packet `{number}`"), "write its name, as publish"))
    }
}

scalar!(PacketWord, {
    "description": "The kind of a packet.",
    "enum": [
        "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe", "suback", "unsubscribe",
        "unsuback", "pingreq", "pingresp", "disconnect", "auth"
    ]
});

/// Defines an enumeration of words: each with its doc, its variant and how it is written.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident, $what:literal, { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// Every one, in order.
            pub const ALL: &[$type] = &[$($type::$variant),*];

            /// How it is written.
            pub const fn word(self) -> &'static str {
                match self { $($type::$variant => $word,)* }
            }
        }

        impl Scalar for $type {
            const WHAT: &'static str = $what;

            fn from_text(text: &str) -> Result<$type, String> {
                let found = $type::ALL.iter().find(|one| one.word() == text);
                let help = || suggestion(text, $type::ALL.iter().map(|one| one.word()));
                found.copied().ok_or_else(|| with_help(format!("`{text}` is not {}", $what), help()))
            }

            fn from_integer(number: i128) -> Result<$type, String> {
                $type::from_text(&number.to_string())
            }
        }

        scalar!($type, { "description": $what, "enum": [$($word),*] });
    };
}

words! {
    /// Something that happens to a client other than a packet.
    EventWord, "an event", {
        /// A connection to the broker was made; no packet has passed.
        Opened = "opened",
        /// The client dialled and got no connection.
        Unreachable = "unreachable",
        /// A CONNACK accepted the client.
        Connected = "connected",
        /// A CONNACK refused the client.
        Refused = "refused",
        /// An accepted connection ended, at the client.
        Disconnected = "disconnected",
        /// Any connection ended, at the client; with `at: broker`, at the broker.
        Closed = "closed",
        /// The application was handed a message.
        Told = "told",
        /// The application gave its client a message to publish.
        Said = "said",
        /// The application printed a line.
        Printed = "printed",
        /// The application asked for something that its client refused to do.
        Misused = "misused",
    }
}

words! {
    /// Why a connection ended.
    CauseWord, "a cause of a connection's end", {
        /// The other side closed the stream in good order.
        End = "end",
        /// The connection was reset.
        Reset = "reset",
        /// It could not be made.
        Unreachable = "unreachable",
        /// The other side sent bytes that are no packet.
        Malformed = "malformed",
        /// The other side sent a packet that it must not send.
        Protocol = "protocol error",
        /// Nothing came for one and a half times the keep alive.
        KeepAlive = "keep alive",
        /// The same client identifier connected anew.
        TakenOver = "taken over",
        /// The owner, or a DISCONNECT, asked for it.
        Asked = "asked",
        /// The connection was refused.
        Refused = "refused",
        /// This side is shutting down.
        ShuttingDown = "shutting down",
        /// No CONNECT came in time.
        ConnectTimeout = "connect timeout",
        /// The other side does not read.
        Congested = "congested",
        /// The operator wants it ended.
        Administrative = "administrative action",
    }
}

impl CauseWord {
    /// The word for this cause.
    pub const fn of(cause: &Cause) -> CauseWord {
        match cause {
            Cause::End => CauseWord::End,
            Cause::Reset => CauseWord::Reset,
            Cause::Unreachable(_) => CauseWord::Unreachable,
            Cause::Malformed(_) => CauseWord::Malformed,
            Cause::Protocol(..) => CauseWord::Protocol,
            Cause::KeepAlive => CauseWord::KeepAlive,
            Cause::TakenOver => CauseWord::TakenOver,
            Cause::Asked => CauseWord::Asked,
            Cause::Refused(_) => CauseWord::Refused,
            Cause::ShuttingDown => CauseWord::ShuttingDown,
            Cause::ConnectTimeout => CauseWord::ConnectTimeout,
            Cause::Congested => CauseWord::Congested,
            Cause::Administrative => CauseWord::Administrative,
        }
    }
}

/// Bytes in hex: `"30 03 00 01 61"`; spaces between them are free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Bytes);

impl Scalar for Hex {
    const WHAT: &'static str = "bytes in hex such as \"c0 00\"";

    fn from_text(text: &str) -> Result<Hex, String> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        if let Some(wrong) = digits.iter().find(|c| !c.is_ascii_hexdigit()) {
            return Err(with_help(
                format!("`{wrong}` is not a hex digit"),
                "write two digits for each byte: \"c0 00\"",
            ));
        }
        if !digits.len().is_multiple_of(2) {
            return Err(with_help("half a byte is missing", "write two digits for each byte: \"c0 00\""));
        }
        let value = |digit: char| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
        Ok(Hex(digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()))
    }

    fn from_integer(number: i128) -> Result<Hex, String> {
        Err(with_help(format!("`{number}` was read as a number"), "put the bytes in quotes: \"c0 00\""))
    }

    fn from_float(number: f64) -> Result<Hex, String> {
        Err(with_help(format!("`{number}` was read as a number"), "put the bytes in quotes: \"c0 00\""))
    }
}

scalar!(Hex, {
    "description": "Bytes in hex; spaces are free.",
    "type": "string", "pattern": "^(\\s*[0-9a-fA-F]\\s*[0-9a-fA-F]\\s*)*$", "examples": ["c0 00"]
});
