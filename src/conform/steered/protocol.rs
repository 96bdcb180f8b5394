//! The line protocol: what the suite and an adapter around a client tell each other, one JSON object a line. It is
//! documented for writers of adapters in `tests/adapters/README.md`.

use serde::{Deserialize, Serialize};

use crate::codec::Version;

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;

/// How the protocol spells a version of MQTT.
pub const fn spelling(version: Version) -> &'static str {
    match version {
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5",
    }
}

/// The first thing that a client says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The version of the protocol: [`PROTOCOL`].
    pub protocol: u32,
    /// What it is, with its version.
    pub client: String,
    /// The versions of MQTT that it speaks: `3.1.1`, `5`.
    pub versions: Vec<String>,
    /// The commands and fields that it cannot do.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// An order with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its number.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub order: Order,
}

/// What a client is told to do. Fields that are left out: as the library does by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Connect.
    Connect(Box<ConnectOrder>),
    /// Connect again with the same options, to resume the session.
    Reconnect {
        /// Begin a new session instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clean_start: Option<bool>,
    },
    /// Publish a message.
    Publish(Box<PublishOrder>),
    /// Subscribe.
    Subscribe(SubscribeOrder),
    /// Unsubscribe.
    Unsubscribe {
        /// The topic filters.
        filters: Vec<String>,
        /// User properties (5.0).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        user_properties: Vec<(String, String)>,
    },
    /// Disconnect in good order.
    Disconnect(DisconnectOrder),
    /// Send PINGREQ.
    Ping,
    /// Authenticate again (5.0).
    Reauthenticate {
        /// The data, in hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authentication_data: Option<String>,
    },
}

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // The names are those of CONNECT's fields.
pub struct ConnectOrder {
    pub host: String,
    pub port: u16,
    pub version: String,
    pub client_id: String,
    /// Over WebSocket, at this path; over TCP if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clean_start: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_maximum: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_packet_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_alias_maximum: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_response_information: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_problem_information: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_data: Option<String>,
    /// With what to answer each AUTH of 0x18, in hex; a client that knows the method need not look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub will: Option<WillOrder>,
}

/// The will in a [`ConnectOrder`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct WillOrder {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_is_text: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
}

/// What to publish. Of `payload`, `payload_hex` and `payload_size` one is given at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PublishOrder {
    pub topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_size: Option<usize>,
    pub qos: u8,
    pub retain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_alias: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_is_text: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
}

/// What to subscribe to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SubscribeOrder {
    pub filters: Vec<FilterOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_identifier: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
}

/// One topic filter with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct FilterOrder {
    pub filter: String,
    pub qos: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_local: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_as_published: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_handling: Option<u8>,
}

/// How to disconnect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct DisconnectOrder {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_string: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
}

/// What a client answers to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The library has taken it.
    Ok,
    /// The library refuses it, and why.
    Refused(String),
    /// The library has no such thing.
    Unsupported(String),
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The answer to the order with this number.
    Answer(u64, Answer),
    /// Something happened.
    Event(Event),
}

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Event {
    /// CONNACK accepted.
    Connected {
        session_present: bool,
        #[serde(default)]
        reason: u8,
    },
    /// CONNACK refused.
    Refused { reason: u8 },
    /// The connection ended; with the reason code of a DISCONNECT, if one came.
    Disconnected {
        #[serde(default)]
        reason: Option<u8>,
    },
    /// PUBACK or PUBCOMP came, or a PUBREC that refuses.
    Published {
        #[serde(default)]
        of: Option<u64>,
        #[serde(default)]
        reason: u8,
    },
    /// SUBACK came.
    Subscribed {
        #[serde(default)]
        of: Option<u64>,
        #[serde(default)]
        reasons: Vec<u8>,
    },
    /// UNSUBACK came.
    Unsubscribed {
        #[serde(default)]
        of: Option<u64>,
        #[serde(default)]
        reasons: Vec<u8>,
    },
    /// A message came.
    Message(Box<MessageEvent>),
    /// The library reports an error.
    Error { what: String },
}

/// A message that an application was told of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct MessageEvent {
    pub topic: String,
    pub payload_hex: String,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub properties: MessageProperties,
}

/// The properties of a message (5.0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct MessageProperties {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_is_text: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_properties: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscription_identifiers: Vec<u32>,
}

impl Said {
    /// Reads a line of a client.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &str) -> Result<Said, serde_json::Error> {
        let value: serde_json::Value = serde_json::from_str(line)?;
        let Some(id) = value.get("re").and_then(serde_json::Value::as_u64) else {
            return serde_json::from_value(value).map(Said::Event);
        };
        let words = |key: &str| value.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let answer = match (words("refused"), words("unsupported")) {
            (Some(why), _) => Answer::Refused(why),
            (_, Some(what)) => Answer::Unsupported(what),
            _ => Answer::Ok,
        };
        Ok(Said::Answer(id, answer))
    }

    /// The line for it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        match self {
            Said::Event(event) => serde_json::to_string(event),
            Said::Answer(id, Answer::Ok) => Ok(serde_json::json!({"re": id, "ok": true}).to_string()),
            Said::Answer(id, Answer::Refused(why)) => Ok(serde_json::json!({"re": id, "refused": why}).to_string()),
            Said::Answer(id, Answer::Unsupported(what)) => {
                Ok(serde_json::json!({"re": id, "unsupported": what}).to_string())
            }
        }
    }
}
