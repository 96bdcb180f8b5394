//! The fields of a pattern, and what they are in what was seen. Both are brought to the same words and compared.

use std::fmt::Display;

use bytes::Bytes;

use super::sight::{Detail, Kind, Sight};
use crate::codec::{Packet, Properties, Property, Reason, Value};
use crate::scenario::pattern::Pattern;
use crate::scenario::words::CauseWord;
use crate::trace::Quoted;

/// A field that is wanted, and its value in words.
pub(super) struct Wanted {
    pub field: String,
    pub value: String,
}

impl Wanted {
    /// Whether one of these is the wanted value.
    pub(super) fn is_among(&self, values: &[String]) -> bool {
        values.iter().any(|value| match self.field.as_str() {
            "line" => fits_line(&self.value, value),
            _ => *value == self.value,
        })
    }
}

/// Whether a line fits a pattern in which `…` stands for anything.
fn fits_line(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// The fields that a pattern wants, in the order in which they are told.
pub(super) fn wanted(pattern: &Pattern) -> Vec<Wanted> {
    let mut all = Vec::new();
    let mut want = |field: &str, value: Option<String>| {
        all.extend(value.map(|value| Wanted { field: field.to_owned(), value }));
    };
    let p = pattern;
    want("topic", p.topic.clone());
    want("payload", p.payload.as_ref().map(|payload| quoted(payload.as_bytes())));
    want("hex", p.hex.as_ref().map(|hex| in_hex(&hex.0)));
    want("size", shown(&p.size));
    want("qos", p.qos.map(|qos| qos.0.number().to_string()));
    want("dup", shown(&p.dup));
    want("retain", shown(&p.retain));
    want("packet_identifier", shown(&p.packet_identifier));
    want("return_code", shown(&p.return_code));
    want("reason", p.reason.map(|reason| reason.0.to_string()));
    want("reasons", p.reasons.as_ref().map(|reasons| list(reasons.iter().map(|reason| reason.0))));
    want("session_present", shown(&p.session_present));
    want("client_id", p.client_id.clone());
    want("clean_start", shown(&p.clean_start));
    want("keep_alive", p.keep_alive.map(|seconds| seconds.0.to_string()));
    want("user", p.user.clone());
    want("filter", p.filter.clone());
    want("line", p.line.clone());
    want("cause", p.cause.map(|cause| cause.word().to_owned()));
    for (property, present) in p.has.iter() {
        want(&format!("has {property}"), Some(present.to_string()));
    }
    want("payload_format_indicator", shown(&p.payload_format_indicator));
    want("message_expiry_interval", p.message_expiry_interval.map(|seconds| seconds.0.to_string()));
    want("content_type", p.content_type.clone());
    want("response_topic", p.response_topic.clone());
    want("correlation_data", p.correlation_data.as_ref().map(|data| quoted(data.as_bytes())));
    want("subscription_identifier", shown(&p.subscription_identifier));
    want("session_expiry_interval", p.session_expiry_interval.map(|expiry| expiry.0.to_string()));
    want("assigned_client_identifier", p.assigned_client_identifier.clone());
    want("server_keep_alive", p.server_keep_alive.map(|seconds| seconds.0.to_string()));
    want("authentication_method", p.authentication_method.clone());
    want("request_problem_information", shown(&p.request_problem_information));
    want("will_delay_interval", p.will_delay_interval.map(|seconds| seconds.0.to_string()));
    want("request_response_information", shown(&p.request_response_information));
    want("response_information", p.response_information.clone());
    want("server_reference", p.server_reference.clone());
    want("reason_string", p.reason_string.clone());
    want("receive_maximum", shown(&p.receive_maximum));
    want("topic_alias_maximum", shown(&p.topic_alias_maximum));
    want("topic_alias", shown(&p.topic_alias));
    want("maximum_qos", shown(&p.maximum_qos));
    want("retain_available", p.retain_available.map(bit));
    want("maximum_packet_size", shown(&p.maximum_packet_size));
    want("wildcard_subscription_available", p.wildcard_subscription_available.map(bit));
    want("subscription_identifier_available", p.subscription_identifier_available.map(bit));
    want("shared_subscription_available", p.shared_subscription_available.map(bit));
    for (name, value) in p.user_properties.iter() {
        want("user_property", Some(format!("{name}={value}")));
    }
    all
}

/// What a field is in what was seen: nothing where it is not there, several where it is a list.
pub(super) fn actual(sight: &Sight, wanted: &Wanted) -> Vec<String> {
    let field = wanted.field.as_str();
    match &sight.kind {
        Kind::Packet { packet, .. } => of_packet(packet, field),
        Kind::Happened { detail, .. } => match detail {
            Detail::None => Vec::new(),
            Detail::ConnAck(packet) => of_packet(packet, field),
            Detail::Cause(cause) if field == "cause" => vec![CauseWord::of(cause).word().to_owned()],
            Detail::Line(line) if field == "line" => vec![line.clone()],
            Detail::Cause(_) | Detail::Line(_) => Vec::new(),
            Detail::Message(message) => match field {
                "topic" => vec![message.topic.to_string()],
                "qos" => vec![message.qos.number().to_string()],
                "retain" => vec![message.retain.to_string()],
                _ => of_payload(&message.payload, field),
            },
        },
    }
}

fn of_packet(packet: &Packet, field: &str) -> Vec<String> {
    let one = |value: &dyn Display| vec![value.to_string()];
    let own = match (packet, field) {
        (Packet::Publish(publish), "topic") => one(&publish.topic),
        (Packet::Publish(publish), "qos") => one(&publish.qos.number()),
        (Packet::Publish(publish), "dup") => one(&publish.dup),
        (Packet::Publish(publish), "retain") => one(&publish.retain),
        (Packet::Publish(publish), "payload" | "hex" | "size") => of_payload(&publish.payload, field),
        (_, "packet_identifier") => identifier(packet).map(|id| id.to_string()).into_iter().collect(),
        (_, "reason") => reasons(packet).first().map(Reason::to_string).into_iter().collect(),
        (_, "reasons") => vec![list(reasons(packet).into_iter())],
        (Packet::ConnAck(connack), "return_code") => {
            connack.reason.return_code().map(|code| code.to_string()).into_iter().collect()
        }
        (Packet::ConnAck(connack), "session_present") => one(&connack.session_present),
        (Packet::Connect(connect), "client_id") => one(&connect.client_id),
        (Packet::Connect(connect), "clean_start") => one(&connect.clean_start),
        (Packet::Connect(connect), "keep_alive") => one(&connect.keep_alive),
        (Packet::Connect(connect), "user") => connect.username.iter().map(ToString::to_string).collect(),
        (Packet::Subscribe(subscribe), "filter") => {
            subscribe.subscriptions.iter().map(|subscription| subscription.filter.to_string()).collect()
        }
        (Packet::Unsubscribe(unsubscribe), "filter") => unsubscribe.filters.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    if !own.is_empty() {
        return own;
    }
    match field.strip_prefix("has ") {
        Some(name) => vec![(!of_properties(packet, name).is_empty()).to_string()],
        None => of_properties(packet, field),
    }
}

/// Every value of a property, in the packet or in the will of a CONNECT.
fn of_properties(packet: &Packet, field: &str) -> Vec<String> {
    let Some(wanted) = Property::from_name(field) else { return Vec::new() };
    let mut values = Vec::new();
    let mut gather = |properties: &Properties| {
        for (property, value) in properties.iter() {
            if property == wanted {
                values.push(told(&value));
            }
        }
    };
    match packet {
        Packet::Connect(connect) => {
            gather(&connect.properties);
            if let Some(will) = &connect.will {
                gather(&will.properties);
            }
        }
        Packet::ConnAck(connack) => gather(&connack.properties),
        Packet::Publish(publish) => gather(&publish.properties),
        Packet::Ack(ack) => gather(&ack.properties),
        Packet::Subscribe(subscribe) => gather(&subscribe.properties),
        Packet::SubAck(suback) => gather(&suback.properties),
        Packet::Unsubscribe(unsubscribe) => gather(&unsubscribe.properties),
        Packet::UnsubAck(unsuback) => gather(&unsuback.properties),
        Packet::Disconnect(disconnect) => gather(&disconnect.properties),
        Packet::Auth(auth) => gather(&auth.properties),
        Packet::PingReq | Packet::PingResp => {}
    }
    values
}

fn told(value: &Value) -> String {
    match value {
        Value::Byte(byte) => byte.to_string(),
        Value::Two(two) => two.to_string(),
        Value::Four(number) | Value::Variable(number) => number.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Binary(bytes) => quoted(bytes),
        Value::Pair(name, value) => format!("{name}={value}"),
    }
}

fn of_payload(payload: &Bytes, field: &str) -> Vec<String> {
    match field {
        "payload" => vec![quoted(payload)],
        "hex" => vec![in_hex(payload)],
        "size" => vec![payload.len().to_string()],
        _ => Vec::new(),
    }
}

/// The identifier of the exchange that a packet belongs to.
fn identifier(packet: &Packet) -> Option<u16> {
    let identifier = match packet {
        Packet::Publish(publish) => publish.packet_identifier?,
        Packet::Ack(ack) => ack.packet_identifier,
        Packet::Subscribe(subscribe) => subscribe.packet_identifier,
        Packet::SubAck(suback) => suback.packet_identifier,
        Packet::Unsubscribe(unsubscribe) => unsubscribe.packet_identifier,
        Packet::UnsubAck(unsuback) => unsuback.packet_identifier,
        _ => return None,
    };
    Some(identifier.get())
}

/// The reason codes of a packet.
fn reasons(packet: &Packet) -> Vec<Reason> {
    match packet {
        Packet::ConnAck(connack) => vec![connack.reason],
        Packet::Ack(ack) => vec![ack.reason],
        Packet::SubAck(suback) => suback.reasons.clone(),
        Packet::UnsubAck(unsuback) => unsuback.reasons.clone(),
        Packet::Disconnect(disconnect) => vec![disconnect.reason],
        Packet::Auth(auth) => vec![auth.reason],
        _ => Vec::new(),
    }
}

fn shown<T: Display>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(T::to_string)
}

fn bit(flag: bool) -> String {
    u8::from(flag).to_string()
}

fn list(reasons: impl Iterator<Item = Reason>) -> String {
    let reasons: Vec<String> = reasons.map(|reason| reason.to_string()).collect();
    reasons.join(", ")
}

/// Short payloads as they are, so that two different ones never look the same.
fn quoted(bytes: &[u8]) -> String {
    const SHORT: usize = 40;
    if bytes.len() <= SHORT {
        return Quoted(bytes).to_string();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("0x{}", in_hex(bytes)),
    }
}

fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
