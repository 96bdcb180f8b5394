//! Checks of patterns: that they look for something that can be.

use super::super::locate::Place;
use super::super::pattern::Pattern;
use super::super::scalar::suggestion;
use super::super::words::EventWord;
use super::{BROKER, Checked, Known, problem};
use crate::codec::PacketType::{self, *};

/// A pattern under `expect`.
pub(super) fn expected(pattern: &Pattern, names: &Known<'_>, place: &Place) -> Checked {
    if pattern.subject().is_none() && pattern.count.is_none() {
        let help = "add `to:`, `from:` or `client:`, or a `count:` over everybody";
        return Err(problem(place.clone(), "this does not say whom it is about", help));
    }
    check(pattern, names, place)
}

/// A pattern under `never`.
pub(super) fn never(pattern: &Pattern, names: &Known<'_>, place: &Place) -> Checked {
    if pattern.count.is_some() {
        let help = "it must not happen at all; for a number use `expect` with `count`";
        return Err(problem(place.key("count").on_key(), "`count` under `never`", help));
    }
    check(pattern, names, place)
}

fn check(pattern: &Pattern, names: &Known<'_>, place: &Place) -> Checked {
    for (field, name) in [("to", &pattern.to), ("from", &pattern.from), ("at", &pattern.at)] {
        if let Some(name) = name {
            names.anyone(name, &place.key(field))?;
        }
    }
    if let Some(name) = &pattern.client {
        names.client(name, &place.key("client"))?;
    }
    match (pattern.packet, pattern.event) {
        (Some(_), Some(_)) => {
            let help = "a packet is a packet and an event an event: make two patterns of it";
            Err(problem(place.key("event").on_key(), "`packet` and `event` stand side by side", help))
        }
        (None, None) => {
            let help = "add `packet: publish` and the like, or `event: connected` and the like";
            Err(problem(place.clone(), "this does not say what is looked for", help))
        }
        (Some(_), None) if pattern.client.is_some() => {
            let help = "say `to:` or `from:`, as a packet goes one way";
            Err(problem(place.key("client").on_key(), "`client` goes with `event`", help))
        }
        (None, Some(_)) if pattern.to.is_some() || pattern.from.is_some() => {
            let field = if pattern.to.is_some() { "to" } else { "from" };
            Err(problem(place.key(field).on_key(), format!("`{field}` goes with `packet`"), "say `client:`"))
        }
        (Some(packet), None) => {
            if let (Some(to), Some(from)) = (&pattern.to, &pattern.from)
                && (to == BROKER) == (from == BROKER)
            {
                let help = "packets go between a client and the broker";
                return Err(problem(place.key("from"), format!("no packet goes from `{from}` to `{to}`"), help));
            }
            packet_fields(pattern, packet.0, place)
        }
        (None, Some(event)) => event_fields(pattern, event, place),
    }?;
    has(pattern, place)
}

/// Each field of a pattern that is given, with the packets that have it.
fn given(pattern: &Pattern) -> Vec<(&'static str, &'static [PacketType])> {
    const WITH_REASON: &[PacketType] = &[ConnAck, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, Auth];
    let fields: [(&'static str, bool, &'static [PacketType]); 46] = [
        ("topic", pattern.topic.is_some(), &[Publish]),
        ("payload", pattern.payload.is_some(), &[Publish]),
        ("hex", pattern.hex.is_some(), &[Publish]),
        ("size", pattern.size.is_some(), &[Publish]),
        ("qos", pattern.qos.is_some(), &[Publish]),
        ("dup", pattern.dup.is_some(), &[Publish]),
        ("retain", pattern.retain.is_some(), &[Publish]),
        (
            "packet_identifier",
            pattern.packet_identifier.is_some(),
            &[Publish, PubAck, PubRec, PubRel, PubComp, Subscribe, SubAck, Unsubscribe, UnsubAck],
        ),
        ("reason", pattern.reason.is_some(), WITH_REASON),
        ("reasons", pattern.reasons.is_some(), &[SubAck, UnsubAck]),
        ("return_code", pattern.return_code.is_some(), &[ConnAck]),
        ("session_present", pattern.session_present.is_some(), &[ConnAck]),
        ("client_id", pattern.client_id.is_some(), &[Connect]),
        ("clean_start", pattern.clean_start.is_some(), &[Connect]),
        ("keep_alive", pattern.keep_alive.is_some(), &[Connect]),
        ("user", pattern.user.is_some(), &[Connect]),
        ("filter", pattern.filter.is_some(), &[Subscribe, Unsubscribe]),
        ("payload_format_indicator", pattern.payload_format_indicator.is_some(), &[Publish]),
        ("message_expiry_interval", pattern.message_expiry_interval.is_some(), &[Publish]),
        ("content_type", pattern.content_type.is_some(), &[Publish]),
        ("response_topic", pattern.response_topic.is_some(), &[Publish]),
        ("correlation_data", pattern.correlation_data.is_some(), &[Publish]),
        ("subscription_identifier", pattern.subscription_identifier.is_some(), &[Publish, Subscribe]),
        ("session_expiry_interval", pattern.session_expiry_interval.is_some(), &[Connect, ConnAck, Disconnect]),
        ("assigned_client_identifier", pattern.assigned_client_identifier.is_some(), &[ConnAck]),
        ("server_keep_alive", pattern.server_keep_alive.is_some(), &[ConnAck]),
        ("authentication_method", pattern.authentication_method.is_some(), &[Connect, ConnAck, Auth]),
        ("request_problem_information", pattern.request_problem_information.is_some(), &[Connect]),
        ("will_delay_interval", pattern.will_delay_interval.is_some(), &[Connect]),
        ("request_response_information", pattern.request_response_information.is_some(), &[Connect]),
        ("response_information", pattern.response_information.is_some(), &[ConnAck]),
        ("server_reference", pattern.server_reference.is_some(), &[ConnAck, Disconnect]),
        ("reason_string", pattern.reason_string.is_some(), WITH_REASON),
        ("receive_maximum", pattern.receive_maximum.is_some(), &[Connect, ConnAck]),
        ("topic_alias_maximum", pattern.topic_alias_maximum.is_some(), &[Connect, ConnAck]),
        ("topic_alias", pattern.topic_alias.is_some(), &[Publish]),
        ("maximum_qos", pattern.maximum_qos.is_some(), &[ConnAck]),
        ("retain_available", pattern.retain_available.is_some(), &[ConnAck]),
        ("maximum_packet_size", pattern.maximum_packet_size.is_some(), &[Connect, ConnAck]),
        ("wildcard_subscription_available", pattern.wildcard_subscription_available.is_some(), &[ConnAck]),
        ("subscription_identifier_available", pattern.subscription_identifier_available.is_some(), &[ConnAck]),
        ("shared_subscription_available", pattern.shared_subscription_available.is_some(), &[ConnAck]),
        ("user_properties", !pattern.user_properties.is_empty(), &PacketType::ALL),
        ("line", pattern.line.is_some(), &[]),
        ("cause", pattern.cause.is_some(), &[]),
        ("at", pattern.at.is_some(), &[]),
    ];
    fields.into_iter().filter(|(_, given, _)| *given).map(|(field, _, packets)| (field, packets)).collect()
}

fn packet_fields(pattern: &Pattern, packet: PacketType, place: &Place) -> Checked {
    match given(pattern).into_iter().find(|(_, packets)| !packets.contains(&packet)) {
        None => Ok(()),
        Some((field, packets)) => {
            let named: Vec<String> = packets.iter().map(|packet| packet.name().to_lowercase()).collect();
            let help = match named.as_slice() {
                [] => "it goes with `event`".to_owned(),
                some => format!("it is in: {}", some.join(", ")),
            };
            Err(problem(place.key(field).on_key(), format!("a {packet} has no `{field}`"), help))
        }
    }
}

fn event_fields(pattern: &Pattern, event: EventWord, place: &Place) -> Checked {
    const MESSAGE: &[&str] = &["topic", "payload", "hex", "size", "qos", "retain"];
    let allowed: &[&str] = match event {
        EventWord::Told | EventWord::Said => MESSAGE,
        EventWord::Printed => &["line"],
        EventWord::Connected => &["session_present"],
        EventWord::Refused => &["reason", "return_code"],
        EventWord::Disconnected => &["cause"],
        EventWord::Closed => &["cause", "at"],
        EventWord::Opened | EventWord::Unreachable | EventWord::Misused => &[],
    };
    match given(pattern).into_iter().find(|(field, _)| !allowed.contains(field)) {
        None => Ok(()),
        Some((field, _)) => {
            let what = format!("the event `{}` has no `{field}`", event.word());
            let help = if allowed.is_empty() {
                "it has no fields".to_owned()
            } else {
                format!("it has: {}", allowed.join(", "))
            };
            Err(problem(place.key(field).on_key(), what, help))
        }
    }
}

/// The properties that `has` may name.
pub(in crate::scenario) const PROPERTIES: [&str; 27] = [
    "payload_format_indicator",
    "message_expiry_interval",
    "content_type",
    "response_topic",
    "correlation_data",
    "subscription_identifier",
    "session_expiry_interval",
    "assigned_client_identifier",
    "server_keep_alive",
    "authentication_method",
    "authentication_data",
    "request_problem_information",
    "will_delay_interval",
    "request_response_information",
    "response_information",
    "server_reference",
    "reason_string",
    "receive_maximum",
    "topic_alias_maximum",
    "topic_alias",
    "maximum_qos",
    "retain_available",
    "user_property",
    "maximum_packet_size",
    "wildcard_subscription_available",
    "subscription_identifier_available",
    "shared_subscription_available",
];

fn has(pattern: &Pattern, place: &Place) -> Checked {
    match pattern.has.names().find(|name| !PROPERTIES.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let what = format!("there is no property `{name}`");
            Err(problem(place.key("has").key(name).on_key(), what, suggestion(name, PROPERTIES)))
        }
    }
}
