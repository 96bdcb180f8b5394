//! SUBSCRIBE and SUBACK (sections 3.8, 3.9).

use crate::codec::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::codec::{
    Packet, PacketIdentifier, Properties, Property, Publish, Qos, Subscribe, Subscription, SubscriptionOptions, Value,
};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::setup::FORBIDDEN_TOPIC;
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::{Wire, by_hand, field, text};

use super::s3_4_acks::left_out;

server_cases! {
    // What is not in order.
    subscribe_flags: ["v3.1.1/MQTT-3.8.1-1", "v5/MQTT-3.8.1-1"];
    filter_not_well_formed: ["v3.1.1/MQTT-3.8.3-1", "v5/MQTT-3.8.3-1"];
    subscribe_without_filters: ["v3.1.1/MQTT-3.8.3-3", "v5/MQTT-3.8.3-2"];
    reserved_bits_beside_the_qos: ["v3.1.1/MQTT-3.8.3-4"];
    reserved_bits_in_the_options: ["v5/MQTT-3.8.3-5"];
    no_local_on_a_shared_subscription: ["v5/MQTT-3.8.3-4"];
    // The answer.
    each_subscribe_is_answered: ["v3.1.1/MQTT-3.8.4-1", "v5/MQTT-3.8.4-1"];
    suback_has_the_identifier: ["v3.1.1/MQTT-3.8.4-2", "v5/MQTT-3.8.4-2"];
    a_code_for_each_filter: ["v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-6"];
    codes_follow_the_filters: ["v3.1.1/MQTT-3.9.3-1", "v5/MQTT-3.9.3-1"];
    a_refusal_among_the_codes with AccessRules: ["v3.1.1/MQTT-3.9.3-1", "v5/MQTT-3.9.3-1"];
    suback_codes: ["v3.1.1/MQTT-3.9.3-2", "v5/MQTT-3.9.3-2"];
    suback_without_a_reason_string: ["v5/MQTT-3.9.2-1"];
    suback_without_user_properties: ["v5/MQTT-3.9.2-2"];
    // What is delivered then.
    granted_qos_is_kept: ["v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-7"];
    refused_filter_brings_nothing with NoWildcards: ["v3.1.1/MQTT-3.8.3-2", "v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-7"];
    the_lower_qos: ["v3.1.1/MQTT-3.8.4-6", "v5/MQTT-3.8.4-8"];
    several_filters_are_as_separate_ones: ["v3.1.1/MQTT-3.8.4-4", "v5/MQTT-3.8.4-5"];
    subscribing_again_replaces: ["v3.1.1/MQTT-3.8.4-3", "v5/MQTT-3.8.4-3"];
    subscribing_again_brings_retained_messages: ["v3.1.1/MQTT-3.8.4-3", "v5/MQTT-3.8.4-4"];
    subscribing_again_loses_nothing: ["v3.1.1/MQTT-3.8.4-3", "v5/MQTT-3.8.4-4"];
    no_local: ["v5/MQTT-3.8.3-3"];
    no_local_after_a_cut: ["v5/MQTT-3.8.3-3"];
}

// --- what is not in order ---------------------------------------------------------------------------------------------

/// A SUBSCRIBE with other flags than 0010 ends the connection, and no SUBACK comes.
async fn subscribe_flags(lab: &mut Lab) -> Outcome {
    for first in [0x80, 0x83, 0x8A] {
        let mut wire = lab.client("hall").await?;
        wire.send_bytes(by_hand(first, &body(lab, &lab.topic("light"), 0))).await.setup()?;
        let before = lab.closed(&mut wire).await?;
        no_suback(&before, &format!("a SUBSCRIBE that begins with {first:#04x}"))?;
    }
    Ok(())
}

/// A topic filter that is no UTF-8 ends the connection.
async fn filter_not_well_formed(lab: &mut Lab) -> Outcome {
    for filter in [&b"a\xC3("[..], b"\xED\xA0\x80", b"a/\xFF"] {
        let mut wire = lab.client("hall").await?;
        wire.send_bytes(by_hand(0x82, &[head(lab), &field(filter), &[0]].concat())).await.setup()?;
        lab.closed_if_checked(&mut wire).await?;
    }
    Ok(())
}

/// A SUBSCRIBE without any topic filter ends the connection.
async fn subscribe_without_filters(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    wire.send_bytes(by_hand(0x82, head(lab))).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// A requested QoS of 3, or with a reserved bit, ends the connection, and no SUBACK comes.
async fn reserved_bits_beside_the_qos(lab: &mut Lab) -> Outcome {
    refused_options(lab, &[0x03, 0x04, 0x80]).await
}

/// Subscription options with a reserved bit end the connection, and no SUBACK comes.
async fn reserved_bits_in_the_options(lab: &mut Lab) -> Outcome {
    refused_options(lab, &[0x40, 0x80, 0xC1]).await
}

async fn refused_options(lab: &Lab, rows: &[u8]) -> Outcome {
    for options in rows {
        let mut wire = lab.client("hall").await?;
        wire.send_bytes(by_hand(0x82, &body(lab, &lab.topic("light"), *options))).await.setup()?;
        let before = lab.closed(&mut wire).await?;
        no_suback(&before, &format!("subscription options {options:#04x}"))?;
    }
    Ok(())
}

/// No Local on a shared subscription ends the connection.
async fn no_local_on_a_shared_subscription(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().shared_subscriptions, "shared subscriptions")?;
    let mut wire = lab.client("hall").await?;
    let filter = format!("$share/group/{}", lab.topic("light"));
    wire.send_bytes(by_hand(0x82, &body(lab, &filter, 0b100))).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// What stands before the topic filters, by hand: packet identifier 1, no properties.
fn head(lab: &Lab) -> &'static [u8] {
    if lab.is_v5() { &[0, 1, 0] } else { &[0, 1] }
}

/// What a SUBSCRIBE by hand holds.
fn body(lab: &Lab, filter: &str, options: u8) -> Vec<u8> {
    [head(lab), &field(filter.as_bytes()), &[options]].concat()
}

fn no_suback(packets: &[Packet], after: &str) -> Result<(), Failure> {
    let suback = packets.iter().any(|packet| matches!(packet, Packet::SubAck(_)));
    ensure(!suback, format!("no answer to {after}"), "SUBACK")
}

// --- the answer -------------------------------------------------------------------------------------------------------

/// Each SUBSCRIBE is answered, also one that repeats another.
async fn each_subscribe_is_answered(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    for filter in ["light", "door", "light"] {
        wire.ask(&[(&lab.topic(filter), at(AtMostOnce))], Properties::new()).await?;
    }
    wire.ping().await.setup()?;
    let rest = wire.rest();
    ensure(rest.is_empty(), "one SUBACK for each SUBSCRIBE", format!("{rest:?} besides"))?;
    Ok(())
}

/// Each of several SUBSCRIBE at a time is answered once, with its packet identifier.
async fn suback_has_the_identifier(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    let identifiers = [1, 65535, 700].map(|number| PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MIN));
    for packet_identifier in identifiers {
        let filter = text(&lab.topic(&format!("light/{packet_identifier}")));
        let subscriptions = vec![Subscription { filter, options: at(AtMostOnce) }];
        let subscribe = Subscribe { packet_identifier, properties: Properties::new(), subscriptions };
        wire.send(&Packet::Subscribe(subscribe)).await.setup()?;
    }
    for identifier in identifiers {
        wire.suback(identifier).await?;
    }
    wire.ping().await.setup()?;
    let rest = wire.rest();
    ensure(rest.is_empty(), "one SUBACK for each SUBSCRIBE", format!("{rest:?} besides"))?;
    Ok(())
}

/// SUBACK has as many codes as SUBSCRIBE has topic filters.
async fn a_code_for_each_filter(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    for count in [1, 2, 50] {
        let filters: Vec<String> = (0..count).map(|number| lab.topic(&format!("{count}/{number}"))).collect();
        let asked: Vec<_> = filters.iter().map(|filter| (filter.as_str(), at(AtMostOnce))).collect();
        let suback = wire.ask(&asked, Properties::new()).await?;
        same("the number of codes", suback.reasons.len(), count)?;
    }
    Ok(())
}

/// The codes stand in the order of the topic filters: none grants more than was asked for in its place.
async fn codes_follow_the_filters(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut wire = lab.client("hall").await?;
    let filters = ["a", "b", "c", "d", "e"].map(|topic| lab.topic(topic));
    let asked = [ExactlyOnce, AtMostOnce, AtLeastOnce, AtMostOnce, AtLeastOnce];
    let both: Vec<_> = filters.iter().zip(asked).map(|(filter, qos)| (filter.as_str(), at(qos))).collect();
    let suback = wire.ask(&both, Properties::new()).await?;
    let granted: Vec<u8> = suback.reasons.iter().map(|reason| reason.code()).collect();
    let fits = granted.len() == asked.len() && granted.iter().zip(asked).all(|(code, qos)| *code <= qos.number());
    ensure(fits, "codes of at most 2, 0, 1, 0, 1", format!("codes {granted:?}"))?;
    Ok(())
}

/// The code that refuses a topic filter stands in that filter's place.
async fn a_refusal_among_the_codes(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    let (one, other) = (lab.topic("a"), lab.topic("b"));
    let filters = [one.as_str(), FORBIDDEN_TOPIC, other.as_str()].map(|filter| (filter, at(AtMostOnce)));
    let suback = wire.ask(&filters, Properties::new()).await?;
    let refused: Vec<bool> = suback.reasons.iter().map(|reason| reason.is_error()).collect();
    if !refused.contains(&true) {
        return Err(Stop::Skipped(format!("the target grants a subscription to {FORBIDDEN_TOPIC}")));
    }
    same("which filters are refused:", refused, vec![false, true, false])?;
    Ok(())
}

/// SUBACK has codes that are codes of SUBACK, whatever was asked for.
async fn suback_codes(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut wire = lab.client("hall").await?;
    for filter in ["a", "a/+", "a/#"].map(|filter| lab.topic(filter)) {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            // What is not one of its codes is no packet.
            wire.ask(&[(&filter, at(qos))], Properties::new()).await?;
        }
    }
    Ok(())
}

/// SUBACK has no reason string where the packet would be larger than the client takes.
async fn suback_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, refused_filter).await
}

/// SUBACK has no user properties where the packet would be larger than the client takes.
async fn suback_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, refused_filter).await
}

/// The answer to a filter that is none.
async fn refused_filter(lab: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    Ok(Packet::SubAck(wire.ask(&[(&lab.topic("a#"), at(AtMostOnce))], Properties::new()).await?))
}

// --- what is delivered then -------------------------------------------------------------------------------------------

/// What SUBACK granted is the QoS at which messages come that were published at QoS 2.
async fn granted_qos_is_kept(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.client("hall").await?;
    let mut switch = lab.client("switch").await?;
    for (topic, qos) in [("zero", AtMostOnce), ("one", AtLeastOnce), ("two", ExactlyOnce)] {
        let granted = granted(&mut hall, &lab.topic(topic), qos).await?;
        switch.publish(lab.publish(topic, "on", ExactlyOnce)).await.setup()?;
        same(&format!("where {granted} was granted, a message at"), hall.take_message().await?.qos, granted)?;
    }
    Ok(())
}

/// A filter that is refused brings no messages.
async fn refused_filter_brings_nothing(lab: &mut Lab) -> Outcome {
    let mut hall = lab.subscriber("hall", "end", AtMostOnce).await?;
    let asked = hall.ask(&[(&lab.topic("light/#"), at(AtMostOnce))], Properties::new()).await;
    let suback = match asked {
        // 5.0 takes such a filter for a protocol error (3.2.2.3.11).
        Err(_) if lab.is_v5() && hall.is_closed() => {
            return Err(Stop::Skipped("the target closes the connection instead of refusing the filter".to_owned()));
        }
        asked => asked?,
    };
    ensure(
        suback.reasons[0].is_error(),
        "a SUBACK that refuses a filter with wildcards",
        suback.reasons[0].to_string(),
    )?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light/hall", "on", AtMostOnce)).await.setup()?;
    let heard = lab.heard(&mut hall, &mut switch, "end", AtMostOnce).await?;
    ensure(heard.is_empty(), "no message for the filter that was refused", topics(&heard))?;
    Ok(())
}

/// A message comes at the lower one of the QoS it was published at and the one that was granted.
async fn the_lower_qos(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let all = [AtMostOnce, AtLeastOnce, ExactlyOnce];
    let mut switch = lab.client("switch").await?;
    for asked in all {
        let mut hall = lab.client("hall").await?;
        let granted = granted(&mut hall, &lab.topic("light"), asked).await?;
        for published in all {
            let payload = format!("at {published}");
            switch.publish(lab.publish("light", payload.clone(), published)).await.setup()?;
            // 3.1.1 allows further copies where a QoS 1 message meets a granted QoS of 0.
            let copies = hall.messages_until(payload.as_bytes()).await.setup()?;
            let qos = copies.last().map(|copy| copy.qos).unwrap_or_default();
            same(&format!("published at {published}, granted {granted}, delivered at"), qos, published.min(granted))?;
        }
        hall.leave().await.setup()?;
    }
    Ok(())
}

/// A SUBSCRIBE with several topic filters, one of them twice, brings the same messages as one for each in turn.
async fn several_filters_are_as_separate_ones(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let filters =
        [("a/+", AtMostOnce), ("b", ExactlyOnce), ("a/b", AtLeastOnce), ("c/#", AtLeastOnce), ("a/+", AtLeastOnce)]
            .map(|(filter, qos)| (lab.topic(filter), qos));
    let mut together = lab.client("together").await?;
    let all: Vec<_> = filters.iter().map(|(filter, qos)| (filter.as_str(), at(*qos))).collect();
    same("the number of codes", together.ask(&all, Properties::new()).await?.reasons.len(), filters.len())?;
    let mut apart = lab.client("apart").await?;
    for (filter, qos) in &filters {
        apart.subscribe(filter, *qos).await.setup()?;
    }
    for wire in [&mut together, &mut apart] {
        wire.subscribe(lab.topic("end"), AtMostOnce).await.setup()?;
    }
    let mut switch = lab.client("switch").await?;
    for topic in ["a/a", "a/b", "b", "c", "c/d/e", "d", "a"] {
        switch.publish(lab.publish(topic, "on", ExactlyOnce)).await.setup()?;
    }
    switch.publish(lab.publish("end", "end", AtMostOnce)).await.setup()?;
    let together = kinds(&together.messages_until(b"end").await?);
    let apart = kinds(&apart.messages_until(b"end").await.setup()?);
    same("topics, each with its QoS:", together, apart)?;
    Ok(())
}

/// The topics and QoS of messages, in order, each once.
fn kinds(messages: &[Publish]) -> Vec<(String, Qos)> {
    let mut kinds: Vec<_> = messages.iter().map(|message| (message.topic.to_string(), message.qos)).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// A subscription that is made again takes the place of the earlier one: one copy, by the new settings.
async fn subscribing_again_replaces(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let identifiers = lab.is_v5() && lab.abilities().subscription_identifiers;
    let identified = |identifier| match identifiers {
        true => Properties::new().with(Property::SubscriptionIdentifier, Value::Variable(identifier)),
        false => Properties::new(),
    };
    let mut hall = lab.client("hall").await?;
    for (qos, identifier) in [(AtMostOnce, 1), (AtLeastOnce, 2)] {
        let suback = hall.ask(&[(&lab.topic("light"), at(qos))], identified(identifier)).await.setup()?;
        same("granted", suback.reasons[0].code(), qos.number()).setup()?;
    }
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", AtLeastOnce)).await.setup()?;
    let copies = lab.heard(&mut hall, &mut switch, "light", AtLeastOnce).await.setup()?;
    let came: Vec<(Qos, Vec<u32>)> =
        copies.iter().map(|copy| (copy.qos, copy.properties.subscription_identifiers().collect())).collect();
    let expected = vec![(AtLeastOnce, if identifiers { vec![2] } else { Vec::new() })];
    same("copies, each with its QoS and subscription identifiers:", came, expected)?;
    Ok(())
}

/// A subscription that is made again brings the retained messages again.
async fn subscribing_again_brings_retained_messages(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().retain, "retained messages")?;
    let mut switch = lab.client("switch").await?;
    let qos = lab.abilities().maximum_qos.min(AtLeastOnce);
    switch.publish(lab.retained("light", "kept", qos)).await.setup()?;
    let mut hall = lab.client("hall").await?;
    for qos in [AtMostOnce, qos, qos] {
        hall.subscribe(lab.topic("light"), qos).await.setup()?;
        ensure(hall.take_message().await?.payload == "kept", "the retained message", "another").setup()?;
    }
    Ok(())
}

/// While a subscription is made again and again, no message is lost.
async fn subscribing_again_loses_nothing(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let mut hall = lab.subscriber("hall", "light", AtLeastOnce).await?;
    let mut switch = lab.client("switch").await?;
    let numbers: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    for (turn, number) in numbers.iter().enumerate() {
        // It is not waited for, so that the two meet.
        let qos = if turn % 2 == 0 { ExactlyOnce } else { AtLeastOnce };
        let subscriptions = vec![Subscription { filter: text(&lab.topic("light")), options: at(qos) }];
        let packet_identifier = hall.fresh_identifier();
        let subscribe = Subscribe { packet_identifier, properties: Properties::new(), subscriptions };
        hall.send(&Packet::Subscribe(subscribe)).await.setup()?;
        switch.publish(lab.publish("light", number.clone(), AtLeastOnce)).await.setup()?;
    }
    let heard = lab.heard(&mut hall, &mut switch, "light", AtLeastOnce).await?;
    for number in &numbers {
        let came = heard.iter().any(|message| message.payload == number.as_bytes());
        ensure(came, format!("message {number} of {}", numbers.len()), "it is missing")?;
    }
    Ok(())
}

/// With No Local a client does not get its own messages.
async fn no_local(lab: &mut Lab) -> Outcome {
    let mut hall = lab.client("hall").await?;
    hall.subscribe_with(lab.topic("light"), NO_LOCAL).await.setup()?;
    only_what_others_publish(lab, &mut hall).await
}

/// With No Local a client does not get its own messages, also after its session was resumed.
async fn no_local_after_a_cut(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    hall.subscribe_with(lab.topic("light"), NO_LOCAL).await.setup()?;
    hall.cut().await;
    let (mut hall, connack) = lab.join(lab.connect_to_stay("hall")).await?;
    same("session present", connack.session_present, true).setup()?;
    only_what_others_publish(lab, &mut hall).await
}

const NO_LOCAL: SubscriptionOptions = SubscriptionOptions {
    qos: AtMostOnce,
    no_local: true,
    retain_as_published: false,
    retain_handling: crate::codec::RetainHandling::Send,
};

async fn only_what_others_publish(lab: &Lab, hall: &mut Wire) -> Outcome {
    hall.publish(lab.publish("light", "own", AtMostOnce)).await.setup()?;
    hall.ping().await.setup()?;
    let mut switch = lab.client("switch").await?;
    let heard = lab.heard(hall, &mut switch, "light", AtMostOnce).await?;
    ensure(heard.is_empty(), "no message of its own", format!("{} of them", heard.len()))?;
    Ok(())
}

fn at(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}

/// Subscribes; the QoS that was granted.
async fn granted(wire: &mut Wire, filter: &str, qos: Qos) -> Result<Qos, Stop> {
    let suback = wire.ask(&[(filter, at(qos))], Properties::new()).await.setup()?;
    let code = suback.reasons[0];
    Qos::from_number(code.code()).ok_or_else(|| Failure::new("a granted QoS", code.to_string())).setup()
}

fn topics(messages: &[Publish]) -> String {
    let topics: Vec<&str> = messages.iter().map(|message| message.topic.as_str()).collect();
    format!("messages to {topics:?}")
}
