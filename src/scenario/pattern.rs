//! Patterns: what is looked for in a trace. A field left out matches anything.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Named, Scalar, scalar, with_help};
use super::units::{Expiry, Seconds};
use super::words::{CauseWord, EventWord, Hex, PacketWord, QosWord, ReasonWord};

/// How often something happens: exactly so often, `3`, or within a range, `2..5` (both ends are meant).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// At least.
    pub least: u32,
    /// At most.
    pub most: u32,
}

impl Scalar for Count {
    const WHAT: &'static str = "a number such as 3, or a range such as 2..5";

    fn from_text(text: &str) -> Result<Count, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let number = |digits: &str| {
            let broken = |_| with_help(format!("`{text}` is not a count"), "write 3, 2..5, 2.. or ..5");
            digits.trim().parse::<u32>().map_err(broken)
        };
        let least = if least.trim().is_empty() { 0 } else { number(least)? };
        let most = if most.trim().is_empty() && text.contains("..") { u32::MAX } else { number(most)? };
        if least > most {
            return Err(with_help(format!("the range `{text}` ends before it begins"), "put the smaller number first"));
        }
        Ok(Count { least, most })
    }
}

scalar!(Count, {
    "description": "How often since the run began: exactly (3), or within a range (2..5, both ends are meant).",
    "anyOf": [
        { "type": "integer", "minimum": 0 },
        { "type": "string", "pattern": "^ *[0-9]* *\\.\\. *[0-9]* *$|^[0-9]+$" }
    ]
});

/// What is looked for: a packet `to` or `from` a client with these fields, or an `event` at a `client`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pattern {
    /// The client (or `broker`) that receives the packet.
    pub to: Option<String>,
    /// The client (or `broker`) that sends the packet.
    pub from: Option<String>,
    /// The kind of packet.
    pub packet: Option<PacketWord>,
    /// How often it happens, exactly, since the run began. Left out: it is the client's next such event.
    pub count: Option<Count>,

    /// The client that the `event` happens to.
    pub client: Option<String>,
    /// What happens to it.
    pub event: Option<EventWord>,
    /// With `event: closed`: the side that is done with the connection, if it is `broker`.
    pub at: Option<String>,
    /// With `event: printed`: the line; `…` within it stands for anything.
    pub line: Option<String>,
    /// With `event: closed` or `disconnected`: why.
    pub cause: Option<CauseWord>,

    /// The topic, of a PUBLISH or a message; also where an alias stands for it.
    pub topic: Option<String>,
    /// The payload as text.
    pub payload: Option<String>,
    /// The payload in hex.
    pub hex: Option<Hex>,
    /// How many bytes the payload has.
    pub size: Option<u32>,
    /// The QoS, of a PUBLISH or a message.
    pub qos: Option<QosWord>,
    /// Whether it may have been sent before.
    pub dup: Option<bool>,
    /// The RETAIN flag.
    pub retain: Option<bool>,
    /// The packet identifier.
    #[schemars(range(min = 1))]
    pub packet_identifier: Option<u16>,
    /// The reason code: 0x8E, or `session taken over`. Of several (SUBACK): the first.
    pub reason: Option<ReasonWord>,
    /// The reason codes of a SUBACK or UNSUBACK, in order.
    pub reasons: Option<Vec<ReasonWord>>,
    /// The return code of a CONNACK of 3.1.1.
    #[schemars(range(max = 5))]
    pub return_code: Option<u8>,
    /// Of a CONNACK: whether the broker resumes a stored session.
    pub session_present: Option<bool>,
    /// Of a CONNECT: the client identifier.
    pub client_id: Option<String>,
    /// Of a CONNECT: clean start or clean session.
    pub clean_start: Option<bool>,
    /// Of a CONNECT: the keep alive.
    pub keep_alive: Option<Seconds>,
    /// Of a CONNECT: the user name.
    pub user: Option<String>,
    /// Of a SUBSCRIBE or UNSUBSCRIBE: one of its filters.
    pub filter: Option<String>,
    /// Whether the property is there at all, for properties named here: {topic_alias: true}.
    pub has: Named<bool>,

    /// Property: whether the payload is text (1) or anything (0).
    pub payload_format_indicator: Option<u8>,
    /// Property: how long the message may still wait.
    pub message_expiry_interval: Option<Seconds>,
    /// Property: what kind of content it is.
    pub content_type: Option<String>,
    /// Property: where an answer is expected.
    pub response_topic: Option<String>,
    /// Property: what tells answers apart.
    pub correlation_data: Option<String>,
    /// Property: a subscription identifier that is among those there.
    pub subscription_identifier: Option<u32>,
    /// Property: how long the session outlives the connection.
    pub session_expiry_interval: Option<Expiry>,
    /// Property: the client identifier that the broker chose.
    pub assigned_client_identifier: Option<String>,
    /// Property: the keep alive that the broker wants.
    pub server_keep_alive: Option<Seconds>,
    /// Property: the method of enhanced authentication.
    pub authentication_method: Option<String>,
    /// Property: whether reason strings and user properties are welcome.
    pub request_problem_information: Option<u8>,
    /// Property: how long a will waits.
    pub will_delay_interval: Option<Seconds>,
    /// Property: whether response information is asked for.
    pub request_response_information: Option<u8>,
    /// Property: what response topics begin with.
    pub response_information: Option<String>,
    /// Property: another server to use.
    pub server_reference: Option<String>,
    /// Property: the reason in words.
    pub reason_string: Option<String>,
    /// Property: how many QoS 1 and 2 messages may be unfinished.
    pub receive_maximum: Option<u16>,
    /// Property: how many topic aliases may be used.
    pub topic_alias_maximum: Option<u16>,
    /// Property: the number that stands for the topic.
    pub topic_alias: Option<u16>,
    /// Property: the highest QoS served.
    pub maximum_qos: Option<u8>,
    /// Property: whether retained messages are kept.
    pub retain_available: Option<bool>,
    /// Property: the largest packet accepted.
    pub maximum_packet_size: Option<u32>,
    /// Property: whether filters may have wildcards.
    pub wildcard_subscription_available: Option<bool>,
    /// Property: whether subscription identifiers may be used.
    pub subscription_identifier_available: Option<bool>,
    /// Property: whether `$share/…` filters may be used.
    pub shared_subscription_available: Option<bool>,
    /// User properties that are among those there.
    pub user_properties: Named<String>,
}

impl Pattern {
    /// The name whose events it is looked for in.
    pub fn subject(&self) -> Option<&str> {
        self.client.as_deref().or(self.to.as_deref()).or(self.from.as_deref())
    }
}
