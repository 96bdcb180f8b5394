//! Checks of clients and their programs.

use super::super::application::{Do, ProgramStep};
use super::super::locate::Place;
use super::super::model::{Client, Will};
use super::super::steps::{PublishStep, SubscribeOptions};
use super::super::units::Span;
use super::super::words::Hex;
use super::{
    Checked, LATEST, one_verb, only_in_5, problem, sixteen_bits, text, too_late, topic_filter, topic_name, within,
};
use crate::codec::{MAX_FIELD_LEN, Version};
use crate::scenario::Named;
use crate::scenario::scalar::nearest;

/// How often a block is repeated at most.
const MOST_REPEATS: u32 = 100_000;
/// How many steps a program has at most, repetitions counted.
const MOST_STEPS: u64 = 1_000_000;
/// The largest payload that a scenario publishes.
const LARGEST_PAYLOAD: u64 = 16 * 1024 * 1024;
/// The words in braces that a program replaces.
pub(super) const PLACEHOLDERS: [&str; 5] = ["n", "topic", "payload", "reason", "session_present"];

pub(super) fn check(client: &Client, place: &Place) -> Checked {
    let version = client.version.0;
    let five = [
        ("session_expiry", client.session_expiry.is_some()),
        ("scram", client.scram),
        ("receive_maximum", client.receive_maximum.is_some()),
        ("maximum_packet_size", client.maximum_packet_size.is_some()),
        ("topic_alias_maximum", client.topic_alias_maximum.is_some()),
        ("user_properties", !client.user_properties.is_empty()),
    ];
    only_in_5(version, &five, place)?;
    if client.starts > LATEST {
        return Err(too_late(place.key("starts"), client.starts));
    }
    if let Some(keep_alive) = client.keep_alive {
        sixteen_bits(keep_alive, &place.key("keep_alive"))?;
    }
    for (field, string) in [("client_id", &client.client_id), ("user", &client.user), ("password", &client.password)] {
        text(string.as_deref().unwrap_or_default(), &place.key(field))?;
    }
    if client.user.is_none() && client.password.is_some() && version == Version::V3_1_1 {
        let help = "in 3.1.1 a password needs a user name";
        return Err(problem(place.key("password").on_key(), "a password without a user", help));
    }
    if client.scram && (client.user.is_none() || client.password.is_none()) {
        return Err(problem(place.key("scram").on_key(), "nothing to prove", "give `user` and `password` as well"));
    }
    for (field, number) in [
        ("receive_maximum", client.receive_maximum.map(u32::from)),
        ("maximum_packet_size", client.maximum_packet_size),
    ] {
        if let Some(number) = number {
            within(number, 1, u32::MAX.into(), &place.key(field))?;
        }
    }
    if let Some(reconnect) = client.reconnect {
        let here = place.key("reconnect");
        if reconnect.first == Span::default() {
            let help = "wait at least 1ms, or it would try again and again at the same moment";
            return Err(problem(here, "a client cannot reconnect after no time at all", help));
        }
        if reconnect.first > reconnect.most || reconnect.most > LATEST {
            return Err(problem(here, "the longest wait is not between the first and a day", "let `most` be longer"));
        }
    }
    user_properties(&client.user_properties, place)?;
    client.will.as_ref().map_or(Ok(()), |one| will(one, version, &place.key("will")))?;
    filters(&client.subscribe, version, &place.key("subscribe"))?;
    if let Some(steps) = &client.program {
        program(steps, version, Room::Program, &place.key("program"))?;
    }
    program(&client.on.connack, version, Room::Answer, &place.key("on").key("connack"))?;
    program(&client.on.publish, version, Room::Answer, &place.key("on").key("publish"))?;
    program(&client.on.disconnect, version, Room::Answer, &place.key("on").key("disconnect"))
}

fn will(will: &Will, version: Version, place: &Place) -> Checked {
    let five = [("delay", will.delay.is_some()), ("message_expiry_interval", will.message_expiry_interval.is_some())];
    only_in_5(version, &five, place)?;
    topic_name(&will.topic, &place.key("topic"))?;
    if will.hex.is_some() && !will.payload.is_empty() {
        return Err(problem(place.key("hex").on_key(), "`payload` and `hex` stand side by side", "keep one of them"));
    }
    let length = will.hex.as_ref().map_or(will.payload.len(), |Hex(bytes)| bytes.len());
    if length > MAX_FIELD_LEN {
        return Err(problem(place.clone(), format!("{length} bytes are too many for a will"), "65535 at most"));
    }
    Ok(())
}

/// Filters and their options.
pub(super) fn filters(filters: &Named<SubscribeOptions>, version: Version, place: &Place) -> Checked {
    for (filter, options) in filters.iter() {
        topic_filter(filter, version, &place.key(filter).on_key())?;
        let here = place.key(filter);
        let five = [
            ("no_local", options.no_local),
            ("retain_as_published", options.retain_as_published),
            ("retain_handling", options.retain_handling != 0),
            ("subscription_identifier", options.subscription_identifier.is_some()),
        ];
        only_in_5(version, &five, &here)?;
        within(options.retain_handling, 0, 2, &here.key("retain_handling"))?;
        if let Some(identifier) = options.subscription_identifier {
            within(identifier, 1, 268_435_455, &here.key("subscription_identifier"))?;
        }
        if options.no_local && filter.starts_with("$share/") {
            let help = "a shared subscription cannot have it (5.0 section 3.8.3.1)";
            return Err(problem(here.key("no_local").on_key(), "`no_local` on a shared subscription", help));
        }
    }
    Ok(())
}

/// Checks a message to publish. In 5.0 an alias may stand for its topic.
pub(super) fn message(message: &PublishStep, version: Version, place: &Place) -> Checked {
    let five = [
        ("payload_format_indicator", message.payload_format_indicator.is_some()),
        ("message_expiry_interval", message.message_expiry_interval.is_some()),
        ("content_type", message.content_type.is_some()),
        ("response_topic", message.response_topic.is_some()),
        ("correlation_data", message.correlation_data.is_some()),
        ("topic_alias", message.topic_alias.is_some()),
        ("user_properties", !message.user_properties.is_empty()),
    ];
    only_in_5(version, &five, place)?;
    if message.topic.is_empty() && message.topic_alias.is_none() {
        return Err(problem(place.clone(), "the message has no topic", "add `topic:`"));
    }
    if !message.topic.is_empty() {
        topic_name(&message.topic, &place.key("topic"))?;
    }
    let bodies =
        [("payload", message.payload.is_some()), ("hex", message.hex.is_some()), ("size", message.size.is_some())];
    let bodies: Vec<&str> = bodies.iter().filter(|(_, given)| *given).map(|(field, _)| *field).collect();
    if let [first, second, ..] = bodies.as_slice() {
        let what = format!("`{first}` and `{second}` stand side by side");
        return Err(problem(place.key(*second).on_key(), what, "keep one of them"));
    }
    if let Some(size) = message.size {
        within(size, 0, LARGEST_PAYLOAD, &place.key("size"))?;
    }
    if let Some(indicator) = message.payload_format_indicator {
        within(indicator, 0, 1, &place.key("payload_format_indicator"))?;
    }
    if message.topic_alias == Some(0) {
        return within(0_u32, 1, 65_535, &place.key("topic_alias"));
    }
    if let Some(topic) = &message.response_topic {
        topic_name(topic, &place.key("response_topic"))?;
    }
    for (field, string) in [("content_type", &message.content_type), ("correlation_data", &message.correlation_data)] {
        text(string.as_deref().unwrap_or_default(), &place.key(field))?;
    }
    user_properties(&message.user_properties, place)
}

fn user_properties(properties: &Named<String>, place: &Place) -> Checked {
    for (name, value) in properties.iter() {
        let here = place.key("user_properties").key(name);
        text(name, &here)?;
        text(value, &here)?;
    }
    Ok(())
}

/// Where steps stand: what an application does on its own may wait, what it does in answer to something may not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Program,
    Answer,
}

fn program(steps: &[ProgramStep], version: Version, room: Room, place: &Place) -> Checked {
    for (number, step) in steps.iter().enumerate() {
        let here = place.item(number);
        let all = "print, wait, connect, publish, subscribe, unsubscribe, disconnect, repeat";
        one_verb(step.actions().map(|(word, _)| word), "is done", all, &here)?;
        if step.steps.is_some() && step.repeat.is_none() {
            let help = "add `repeat: 3`, or write the steps without `do`";
            return Err(problem(here.key("do").on_key(), "`do` without `repeat`", help));
        }
        for (word, action) in step.actions() {
            if room == Room::Answer && matches!(action, Do::Wait(_) | Do::Connect | Do::Repeat(..)) {
                let help = "under `on` stand steps that take no time; use `program` or `reconnect`";
                return Err(problem(here.key(word).on_key(), format!("`{word}` cannot stand under `on`"), help));
            }
            one(action, version, room, &here.key(word), &here)?;
        }
    }
    if length(steps) > MOST_STEPS {
        let help = format!("at most {MOST_STEPS}, repetitions counted");
        return Err(problem(place.clone(), "the program has too many steps", help));
    }
    Ok(())
}

fn one(action: Do<'_>, version: Version, room: Room, place: &Place, step: &Place) -> Checked {
    match action {
        Do::Print(line) => placeholders(line, place),
        Do::Wait(span) if span > LATEST => Err(too_late(place.clone(), span)),
        Do::Wait(_) | Do::Connect => Ok(()),
        Do::Publish(publish) => {
            placeholders(publish.payload.as_deref().unwrap_or_default(), &place.key("payload"))?;
            message(publish, version, place)
        }
        Do::Subscribe(wanted) if wanted.is_empty() => {
            Err(problem(place.clone(), "nothing to subscribe to", "name a filter and its QoS: { light: 1 }"))
        }
        Do::Subscribe(wanted) => filters(wanted, version, place),
        Do::Unsubscribe(wanted) => unsubscribe(&wanted.0, version, place),
        Do::Disconnect(with) => {
            let five = [("reason", with.reason.is_some()), ("session_expiry", with.session_expiry.is_some())];
            only_in_5(version, &five, place)
        }
        Do::Repeat(times, steps) => {
            within(times, 1, MOST_REPEATS.into(), place)?;
            if steps.is_empty() {
                return Err(problem(step.clone(), "nothing is repeated", "add the steps under `do:`"));
            }
            program(steps, version, room, &step.key("do"))
        }
    }
}

/// Filters to unsubscribe from.
pub(super) fn unsubscribe(filters: &[String], version: Version, place: &Place) -> Checked {
    if filters.is_empty() {
        return Err(problem(place.clone(), "nothing to unsubscribe from", "name a filter"));
    }
    filters.iter().try_for_each(|filter| topic_filter(filter, version, place))
}

/// How many steps are done in all.
fn length(steps: &[ProgramStep]) -> u64 {
    steps.iter().fold(0, |sum: u64, step| {
        let inner = length(step.steps.as_deref().unwrap_or_default());
        sum.saturating_add(1).saturating_add(inner.saturating_mul(step.repeat.unwrap_or(1).into()))
    })
}

/// A mistyped word in braces would be printed as it stands: refuse it. Other braces are text, as in JSON.
pub(super) fn placeholders(line: &str, place: &Place) -> Checked {
    for piece in line.split('{').skip(1) {
        let Some((word, _)) = piece.split_once('}') else { continue };
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_word || PLACEHOLDERS.contains(&word) {
            continue;
        }
        let help = match nearest(word, PLACEHOLDERS) {
            Some(name) => format!("did you mean `{{{name}}}`?"),
            None => format!("there is: {}", PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ")),
        };
        return Err(problem(place.clone(), format!("nothing is known as `{{{word}}}`"), help));
    }
    Ok(())
}
