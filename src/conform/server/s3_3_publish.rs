//! PUBLISH (section 3.3).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::codec::{
    AckKind, Connect, Packet, PacketIdentifier, Properties, Property, Publish, Reason, RetainHandling, Subscribe,
    Subscription, SubscriptionOptions, Text, Unsubscribe, Value, Will,
};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::setup::FORBIDDEN_TOPIC;
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure, in_order, same};
use crate::conform::wire::{Wire, by_hand, field, text};
use crate::topic::{TopicFilter, TopicName};

server_cases! {
    // The flags.
    repeats_have_dup: ["v3.1.1/MQTT-3.3.1-1", "v5/MQTT-3.3.1-1"];
    no_dup_at_qos_0: ["v3.1.1/MQTT-3.3.1-2", "v5/MQTT-3.3.1-2"];
    dup_is_not_passed_on: ["v3.1.1/MQTT-3.3.1-3", "v5/MQTT-3.3.1-3"];
    both_qos_bits: ["v3.1.1/MQTT-3.3.1-4", "v5/MQTT-3.3.1-4"];
    // Retained messages.
    retained_with_its_qos: ["v3.1.1/MQTT-3.3.1-5"];
    newest_is_retained: ["v3.1.1/MQTT-3.3.1-6", "v5/MQTT-3.3.1-5"];
    retained_at_qos_0_displaces: ["v3.1.1/MQTT-3.3.1-7"];
    retained_has_retain: ["v3.1.1/MQTT-3.3.1-8"];
    live_has_no_retain: ["v3.1.1/MQTT-3.3.1-9", "v5/MQTT-3.3.1-12"];
    empty_is_forwarded: ["v3.1.1/MQTT-3.3.1-10", "v5/MQTT-3.3.1-6"];
    empty_erases: ["v3.1.1/MQTT-3.3.1-10", "v5/MQTT-3.3.1-6"];
    empty_is_not_kept: ["v3.1.1/MQTT-3.3.1-11", "v5/MQTT-3.3.1-7"];
    without_retain_nothing_is_kept: ["v3.1.1/MQTT-3.3.1-12", "v5/MQTT-3.3.1-8"];
    without_retain_nothing_is_erased: ["v3.1.1/MQTT-3.3.1-12", "v5/MQTT-3.3.1-8"];
    retain_handling_0: ["v5/MQTT-3.3.1-9"];
    retain_handling_1: ["v5/MQTT-3.3.1-10"];
    retain_handling_1_after_unsubscribe: ["v5/MQTT-3.3.1-10"];
    retain_handling_2: ["v5/MQTT-3.3.1-11"];
    retain_as_published: ["v5/MQTT-3.3.1-13"];
    // The topic name.
    topic_name_not_well_formed: ["v3.1.1/MQTT-3.3.2-1", "v5/MQTT-3.3.2-1"];
    wildcard_in_topic_name: ["v3.1.1/MQTT-3.3.2-2", "v5/MQTT-3.3.2-2"];
    only_what_matches: ["v3.1.1/MQTT-3.3.2-3", "v5/MQTT-3.3.2-3"];
    // The properties.
    payload_format_indicator: ["v5/MQTT-3.3.2-4"];
    expired_in_a_queue: ["v5/MQTT-3.3.2-5"];
    expired_while_retained: ["v5/MQTT-3.3.2-5"];
    expiry_counts_down_in_a_queue: ["v5/MQTT-3.3.2-6"];
    expiry_counts_down_while_retained: ["v5/MQTT-3.3.2-6"];
    alias_of_an_earlier_connection: ["v5/MQTT-3.3.2-7"];
    alias_0: ["v5/MQTT-3.3.2-8"];
    alias_above_the_maximum: ["v5/MQTT-3.3.2-9"];
    aliases_of_the_server: ["v5/MQTT-3.3.2-11"];
    no_aliases_of_the_server: ["v5/MQTT-3.3.2-11"];
    every_alias_up_to_the_maximum: ["v5/MQTT-3.3.2-12"];
    response_topic_not_well_formed: ["v5/MQTT-3.3.2-13"];
    wildcard_in_response_topic: ["v5/MQTT-3.3.2-14"];
    response_topic: ["v5/MQTT-3.3.2-15"];
    correlation_data: ["v5/MQTT-3.3.2-16"];
    user_properties: ["v5/MQTT-3.3.2-17"];
    order_of_user_properties: ["v5/MQTT-3.3.2-18"];
    content_type_not_well_formed: ["v5/MQTT-3.3.2-19"];
    content_type: ["v5/MQTT-3.3.2-20"];
    // What comes of it.
    answered_by_qos: ["v3.1.1/MQTT-3.3.4-1", "v5/MQTT-3.3.4-1"];
    overlapping_subscriptions: ["v3.1.1/MQTT-3.3.5-1", "v5/MQTT-3.3.4-2"];
    forbidden_publish with AccessRules: ["v3.1.1/MQTT-3.3.5-2"];
    identifiers_of_overlapping_subscriptions: ["v5/MQTT-3.3.4-3"];
    identifiers_in_one_copy: ["v5/MQTT-3.3.4-4"];
    identifiers_in_several_copies: ["v5/MQTT-3.3.4-5"];
    subscription_identifier_from_a_client: ["v5/MQTT-3.3.4-6"];
    more_than_receive_maximum: ["v5/MQTT-3.3.4-7"];
    receive_maximum_of_the_client: ["v5/MQTT-3.3.4-9"];
    used_up_quota_holds_back_nothing_else: ["v5/MQTT-3.3.4-10"];
}

// --- the flags --------------------------------------------------------------------------------------------------------

/// What was not acknowledged comes again after a cut, with DUP.
async fn repeats_have_dup(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    lab.needs_qos(ExactlyOnce)?;
    let (mut wire, _) = lab.join(lab.connect_to_stay("hall")).await?;
    wire.subscribe(lab.topic("light"), ExactlyOnce).await.setup()?;
    let mut switch = lab.client("switch").await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        switch.publish(lab.publish("light", "on", qos)).await.setup()?;
        wire.message().await.setup()?;
    }
    wire.cut().await;
    let (mut wire, _) = lab.join(lab.connect_to_stay("hall")).await?;
    for _ in 0..2 {
        let again = wire.message().await.setup()?;
        ensure(again.dup, format!("the second copy at {} with DUP 1", again.qos), "it with DUP 0")?;
    }
    Ok(())
}

/// A copy at QoS 0 has DUP 0, also where the publisher's had DUP 1.
async fn no_dup_at_qos_0(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(Publish { dup: true, ..lab.publish("light", "on", AtLeastOnce) }).await.setup()?;
    let copy = hall.message().await?;
    ensure(copy.qos == AtMostOnce, "a copy at QoS 0", format!("one at {}", copy.qos)).setup()?;
    ensure(!copy.dup, "a copy with DUP 0", "one with DUP 1")?;
    Ok(())
}

/// The first copy that a subscriber gets has DUP 0, whatever the publisher's had.
async fn dup_is_not_passed_on(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let mut hall = lab.subscriber("hall", "light", AtLeastOnce).await?;
    let mut switch = lab.client("switch").await?;
    for dup in [true, false] {
        switch.publish(Publish { dup, ..lab.publish("light", "on", AtLeastOnce) }).await.setup()?;
        let copy = hall.take_message().await.setup()?;
        let sent = u8::from(dup);
        ensure(!copy.dup, format!("DUP 0 in the copy of a message that came with DUP {sent}"), "DUP 1")?;
    }
    Ok(())
}

/// A PUBLISH with both QoS bits set ends the connection and goes nowhere.
async fn both_qos_bits(lab: &mut Lab) -> Outcome {
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    let body = [&field(lab.topic("light").as_bytes()), &[0, 1][..], no_properties(lab), b"on"].concat();
    switch.send_bytes(by_hand(0x36, &body)).await.setup()?;
    lab.closed_if_checked(&mut switch).await?;
    let mut other = lab.client("other").await?;
    let heard = lab.heard(&mut hall, &mut other, "light", AtMostOnce).await?;
    ensure(heard.is_empty(), "no copy for a subscriber", payloads(&heard))?;
    Ok(())
}

// --- retained messages ------------------------------------------------------------------------------------------------

/// A retained message comes to a later subscriber at the QoS that it was published with. (At QoS 0 it may be forgotten.)
async fn retained_with_its_qos(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    lab.needs_qos(ExactlyOnce)?;
    let mut switch = lab.client("switch").await?;
    for (topic, qos) in [("one", AtLeastOnce), ("two", ExactlyOnce)] {
        switch.publish(lab.retained(topic, "on", qos)).await.setup()?;
    }
    for (topic, qos) in [("one", AtLeastOnce), ("two", ExactlyOnce)] {
        let mut hall = lab.subscriber(topic, topic, ExactlyOnce).await?;
        let mut kept = hall.take_message().await?;
        if kept.topic.as_str() != lab.topic(topic) {
            // That the other one comes too is another matter.
            kept = hall.take_message().await?;
        }
        same("a retained message at", kept.qos, qos)?;
    }
    Ok(())
}

/// A later subscriber gets the newest retained message of each topic that matches, as it was published.
async fn newest_is_retained(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    lab.needs_qos(AtLeastOnce)?;
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut switch = lab.client("switch").await?;
    let named = |name: &'static str| match lab.is_v5() {
        true => Properties::new().with(Property::ContentType, text(name)),
        false => Properties::new(),
    };
    for topic in ["light/hall", "light/porch"] {
        let first = Publish { properties: named("first"), ..lab.retained(topic, "first", AtMostOnce) };
        switch.publish(first).await.setup()?;
        let second = Publish { properties: named("second"), ..lab.retained(topic, "second", AtLeastOnce) };
        switch.publish(second).await.setup()?;
    }
    let mut hall = lab.subscriber("hall", "light/+", AtLeastOnce).await?;
    let mut came = BTreeMap::new();
    for _ in 0..2 {
        let message = hall.take_message().await?;
        let expected = (Bytes::from("second"), AtLeastOnce, named("second").content_type());
        let actual = (message.payload.clone(), message.qos, message.properties.content_type());
        same("payload, QoS and content type", actual, expected)?;
        came.insert(message.topic, ());
    }
    same("the number of topics", came.len(), 2)?;
    let more = lab.heard(&mut hall, &mut switch, "light/hall", AtLeastOnce).await?;
    ensure(more.is_empty(), "one retained message for each topic", payloads(&more))?;
    Ok(())
}

/// A retained message at QoS 0 displaces one at QoS 1: a later subscriber gets the newer one or none.
async fn retained_at_qos_0_displaces(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    lab.needs_qos(AtLeastOnce)?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.retained("light", "older", AtLeastOnce)).await.setup()?;
    switch.publish(lab.retained("light", "newer", AtMostOnce)).await.setup()?;
    switch.ping().await.setup()?;
    let mut hall = lab.subscriber("hall", "light", AtLeastOnce).await?;
    let heard = lab.heard(&mut hall, &mut switch, "light", AtLeastOnce).await?;
    ensure(heard.iter().all(|message| message.payload != "older"), "the newer message or none", payloads(&heard))?;
    Ok(())
}

/// What comes because of a new subscription has RETAIN 1.
async fn retained_has_retain(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    retain(lab, &mut switch, "light").await?;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let message = hall.take_message().await.setup()?;
    ensure(message.retain, "the retained message with RETAIN 1", "it with RETAIN 0")?;
    Ok(())
}

/// What comes on a standing subscription (5.0: one without Retain As Published) has RETAIN 0.
async fn live_has_no_retain(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    for (sent, publish) in [(1, lab.retained("light", "on", AtMostOnce)), (0, lab.publish("light", "off", AtMostOnce))]
    {
        switch.publish(publish).await.setup()?;
        let copy = hall.take_message().await.setup()?;
        ensure(!copy.retain, format!("RETAIN 0 in the copy of a message that came with {sent}"), "RETAIN 1")?;
    }
    Ok(())
}

/// An empty retained message comes to live subscribers.
async fn empty_is_forwarded(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.retained("light", "", AtMostOnce)).await.setup()?;
    let heard = lab.heard(&mut hall, &mut switch, "light", AtMostOnce).await?;
    ensure(heard.len() == 1 && heard[0].payload.is_empty(), "the empty message", payloads(&heard))?;
    Ok(())
}

/// After an empty retained message nothing is retained.
async fn empty_erases(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    retain(lab, &mut switch, "light").await?;
    erase(lab, &mut switch, "light").await?;
    nothing_retained(lab, &mut switch, "light").await
}

/// An empty message is not retained itself.
async fn empty_is_not_kept(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    erase(lab, &mut switch, "light").await?;
    nothing_retained(lab, &mut switch, "light").await
}

/// A message without RETAIN is not retained.
async fn without_retain_nothing_is_kept(lab: &mut Lab) -> Outcome {
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", AtMostOnce)).await.setup()?;
    nothing_retained(lab, &mut switch, "light").await
}

/// Messages without RETAIN, an empty one too, leave the retained message as it is.
async fn without_retain_nothing_is_erased(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    retain(lab, &mut switch, "light").await?;
    for payload in ["other", ""] {
        switch.publish(lab.publish("light", payload, AtMostOnce)).await.setup()?;
    }
    switch.ping().await.setup()?;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    same("the retained message", hall.take_message().await?.payload, Bytes::from(RETAINED))?;
    Ok(())
}

/// With Retain Handling 0 retained messages come each time that the subscription is made.
async fn retain_handling_0(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut switch = lab.client("switch").await?;
    for topic in ["light/hall", "light/porch"] {
        retain(lab, &mut switch, topic).await?;
    }
    let mut hall = lab.client("hall").await?;
    for _ in 0..2 {
        hall.subscribe_with(lab.topic("light/#"), handling(RetainHandling::Send)).await.setup()?;
        let mut topics = [hall.take_message().await?.topic, hall.take_message().await?.topic];
        topics.sort();
        let expected = ["light/hall", "light/porch"].map(|topic| text(&lab.topic(topic)));
        same("retained messages of", topics, expected)?;
    }
    Ok(())
}

/// With Retain Handling 1 retained messages come if the subscription is new, and not if it is there, also after a cut.
async fn retain_handling_1(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let mut switch = lab.client("switch").await?;
    retain(lab, &mut switch, "light").await?;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    hall.subscribe_with(lab.topic("light"), handling(RetainHandling::SendIfNew)).await.setup()?;
    same("the retained message", hall.take_message().await?.payload, Bytes::from(RETAINED))?;
    hall.subscribe_with(lab.topic("light"), handling(RetainHandling::SendIfNew)).await.setup()?;
    let again = lab.heard(&mut hall, &mut switch, "light", AtMostOnce).await?;
    ensure(again.is_empty(), "no retained message for a subscription that is there", payloads(&again))?;
    hall.cut().await;
    let (mut hall, connack) = lab.join(lab.connect_to_stay("hall")).await?;
    same("session present", connack.session_present, true).setup()?;
    hall.subscribe_with(lab.topic("light"), handling(RetainHandling::SendIfNew)).await.setup()?;
    let again = lab.heard(&mut hall, &mut switch, "light", AtMostOnce).await?;
    ensure(again.is_empty(), "no retained message for a subscription that was resumed", payloads(&again))?;
    Ok(())
}

/// With Retain Handling 1 retained messages come again after the subscription had ended.
async fn retain_handling_1_after_unsubscribe(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    retain(lab, &mut switch, "light").await?;
    let mut hall = lab.client("hall").await?;
    let filter = lab.topic("light");
    hall.subscribe_with(&filter, handling(RetainHandling::SendIfNew)).await.setup()?;
    hall.take_message().await?;
    hall.unsubscribe(&[&filter]).await.setup()?;
    hall.subscribe_with(&filter, handling(RetainHandling::SendIfNew)).await.setup()?;
    same("the retained message", hall.take_message().await?.payload, Bytes::from(RETAINED))?;
    Ok(())
}

/// With Retain Handling 2 no retained message comes, whether the subscription is new or not.
async fn retain_handling_2(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    retain(lab, &mut switch, "light").await?;
    let mut hall = lab.client("hall").await?;
    for _ in 0..2 {
        hall.subscribe_with(lab.topic("light"), handling(RetainHandling::DoNotSend)).await.setup()?;
        let heard = lab.heard(&mut hall, &mut switch, "light", AtMostOnce).await?;
        ensure(heard.is_empty(), "live messages only", payloads(&heard))?;
    }
    Ok(())
}

/// With Retain As Published a copy has the publisher's RETAIN.
async fn retain_as_published(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut hall = lab.client("hall").await?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::default() };
    hall.subscribe_with(lab.topic("light"), options).await.setup()?;
    let mut switch = lab.client("switch").await?;
    for (retain, publish) in
        [(true, lab.retained("light", "on", AtMostOnce)), (false, lab.publish("light", "off", AtMostOnce))]
    {
        switch.publish(publish).await.setup()?;
        same("RETAIN", hall.take_message().await.setup()?.retain, retain)?;
    }
    Ok(())
}

const RETAINED: &str = "kept";

fn needs_retain(lab: &Lab) -> Result<(), Stop> {
    lab.needs(lab.abilities().retain, "retained messages")
}

/// Has the target retain a message.
async fn retain(lab: &Lab, switch: &mut Wire, topic: &str) -> Result<(), Stop> {
    publish_retained(lab, switch, topic, RETAINED).await
}

/// Has the target forget what it retains.
async fn erase(lab: &Lab, switch: &mut Wire, topic: &str) -> Result<(), Stop> {
    publish_retained(lab, switch, topic, "").await
}

/// At QoS 1, where there is that: it may not be forgotten, and has been dealt with once it is acknowledged.
async fn publish_retained(lab: &Lab, switch: &mut Wire, topic: &str, payload: &'static str) -> Result<(), Stop> {
    let qos = lab.abilities().maximum_qos.min(AtLeastOnce);
    switch.publish(lab.retained(topic, payload, qos)).await.setup()?;
    Ok(())
}

/// Demands that a new subscriber to this topic, to which `switch` has published, gets live messages only.
async fn nothing_retained(lab: &Lab, switch: &mut Wire, topic: &str) -> Outcome {
    switch.ping().await.setup()?;
    let mut hall = lab.subscriber("hall", topic, AtMostOnce).await?;
    let heard = lab.heard(&mut hall, switch, topic, AtMostOnce).await?;
    ensure(heard.is_empty(), "no retained message", payloads(&heard))?;
    Ok(())
}

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions { retain_handling, ..SubscriptionOptions::default() }
}

// --- the topic name ---------------------------------------------------------------------------------------------------

/// A PUBLISH that does not begin with a well-formed topic name ends the connection.
async fn topic_name_not_well_formed(lab: &mut Lab) -> Outcome {
    for (what, body) in [
        ("a topic name that is no UTF-8", &[0, 3, b'a', 0xC3, b'('][..]),
        ("a surrogate in the topic name", &[0, 3, 0xED, 0xA0, 0x80]),
        ("an overlong character in the topic name", &[0, 3, b'a', 0xC0, 0x80]),
        ("a packet cut inside the topic name", &[0, 9, b'a', b'b']),
        ("a packet without a whole topic name", &[]),
    ] {
        let mut wire = lab.client("switch").await?;
        wire.send_bytes(by_hand(0x30, &[body, no_properties(lab)].concat())).await.setup()?;
        lab.closed_if_checked(&mut wire).await.map_err(|stop| after(what, stop))?;
    }
    Ok(())
}

/// A topic name with wildcards ends the connection or, in 5.0, is refused; and no subscriber gets it.
async fn wildcard_in_topic_name(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    for wildcard in ["+", "#", "x/+/y", "x+"] {
        let mut hall = lab.subscriber("hall", "light/#", AtMostOnce).await?;
        let mut switch = lab.client("switch").await?;
        let topic = lab.topic(&format!("light/{wildcard}"));
        let body = [&field(topic.as_bytes()), &[0, 7][..], no_properties(lab), b"on"].concat();
        switch.send_bytes(by_hand(0x32, &body)).await.setup()?;
        let refused = match switch.ack(AckKind::PubAck, identifier(7)).await {
            Ok(ack) => ensure(lab.is_v5() && ack.reason.is_error(), "a refusal", format!("PUBACK {}", ack.reason))
                .map_err(Stop::Failed),
            Err(_) => lab.closed(&mut switch).await.map(drop),
        };
        let mut other = lab.client("other").await?;
        let heard = lab.heard(&mut hall, &mut other, "light/x", AtMostOnce).await;
        let heard = heard.map_err(|stop| after(&topic, stop))?;
        ensure(heard.is_empty(), format!("no copy of what went to {topic:?}"), payloads(&heard))?;
        let refused = refused.map_err(|stop| after(&topic, stop));
        if lab.is_v5() { refused.advisable() } else { refused }?;
    }
    Ok(())
}

/// Whatever a client gets, its topic name matches one of the client's filters.
async fn only_what_matches(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let all: [&[&str]; 3] = [&["a/+", "+/b/#"], &["a", "b/#", "+/+/a"], &["b", "a/b/b"]];
    let mut subscribers = Vec::new();
    for (filters, name) in all.iter().zip(["one", "two", "three"]) {
        let mut connect = lab.connect(name);
        if lab.is_v5() {
            connect.properties.push(Property::TopicAliasMaximum, Value::Two(3));
        }
        let (mut wire, _) = lab.join(connect).await?;
        for filter in filters.iter().chain([&"end"]) {
            wire.subscribe(lab.topic(filter), AtMostOnce).await.setup()?;
        }
        subscribers.push((wire, *filters));
    }
    let mut switch = lab.client("switch").await?;
    for topic in topics(&["a", "b", "ab"], 3) {
        switch.publish(lab.publish(&topic, topic.clone(), AtMostOnce)).await.setup()?;
    }
    for (wire, filters) in &mut subscribers {
        let mut aliases = Aliases::default();
        for message in lab.heard(wire, &mut switch, "end", AtMostOnce).await.setup()? {
            let topic = aliases.topic_of(&message).setup()?;
            let matches =
                |filter: &&str| TopicFilter::try_from(&*lab.topic(filter)).is_ok_and(|filter| filter.matches(&topic));
            ensure(filters.iter().any(matches), format!("messages for {filters:?}"), format!("one for {topic}"))?;
        }
    }
    Ok(())
}

/// All topics of these words up to this depth.
fn topics(words: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut longest = all.clone();
    for _ in 1..depth {
        longest = longest.iter().flat_map(|topic| words.iter().map(move |word| format!("{topic}/{word}"))).collect();
        all.extend_from_slice(&longest);
    }
    all
}

/// What the aliases that came on one connection stand for.
#[derive(Default)]
struct Aliases(BTreeMap<u16, Text>);

impl Aliases {
    /// The topic that a message was published to.
    fn topic_of(&mut self, publish: &Publish) -> Result<TopicName, Failure> {
        let mut topic = publish.topic.clone();
        if let Some(alias) = publish.properties.topic_alias() {
            if topic.is_empty() {
                topic = self.0.get(&alias).cloned().unwrap_or_default();
            }
            self.0.insert(alias, topic.clone());
        }
        TopicName::try_from(topic).map_err(|_| Failure::new("a topic name", "none, nor a known alias"))
    }
}

// --- properties that are passed on ------------------------------------------------------------------------------------

/// Payload Format Indicator comes as it was sent. 0 is the same as none (3.3.2.3.2).
async fn payload_format_indicator(lab: &mut Lab) -> Outcome {
    let property = Property::PayloadFormatIndicator;
    for values in [vec![Value::Byte(1)], vec![Value::Byte(0)], vec![]] {
        for (way, came) in passed_on(lab, property, &values).await? {
            let is_text = |values: &[Value]| values.contains(&Value::Byte(1));
            same(&format!("{way}: whether it is said to be text:"), is_text(&came), is_text(&values))?;
            same(&format!("{way}: {}", property.name()), came, values.clone()).advisable()?;
        }
    }
    Ok(())
}

/// Response Topic comes as it was sent.
async fn response_topic(lab: &mut Lab) -> Outcome {
    let odd = text("antworten/$é/ \u{1F4A1}/\u{FEFF}//");
    unchanged(lab, Property::ResponseTopic, vec![Value::Text(odd)]).await
}

/// Correlation Data comes as it was sent.
async fn correlation_data(lab: &mut Lab) -> Outcome {
    for size in [0_usize, 1, 1000] {
        let data: Vec<u8> = (0..=u8::MAX).rev().cycle().take(size).collect();
        unchanged(lab, Property::CorrelationData, vec![Value::Binary(data.into())]).await?;
    }
    Ok(())
}

/// Every user property comes as it was sent: empty ones and repeated ones too.
async fn user_properties(lab: &mut Lab) -> Outcome {
    let pairs = [("a", "1"), ("", ""), ("a", "1"), ("é", "\u{1F4A1}"), ("a", "2"), ("b", "")];
    unchanged(lab, Property::UserProperty, pairs.map(|(name, value)| Value::Pair(text(name), text(value))).to_vec())
        .await
}

/// User properties come in the order in which they were sent.
async fn order_of_user_properties(lab: &mut Lab) -> Outcome {
    let names = ["b", "a", "b", "a", "c", "a"];
    let values = names.iter().zip(["1", "2", "3", "4", "5", "6"]);
    unchanged(lab, Property::UserProperty, values.map(|(name, value)| Value::Pair(text(name), text(value))).collect())
        .await
}

/// Content Type comes as it was sent.
async fn content_type(lab: &mut Lab) -> Outcome {
    for content_type in ["text/plain; charset=utf-8", "", &"x".repeat(1000)] {
        unchanged(lab, Property::ContentType, vec![Value::Text(text(content_type))]).await?;
    }
    Ok(())
}

async fn unchanged(lab: &Lab, property: Property, values: Vec<Value>) -> Outcome {
    for (way, came) in passed_on(lab, property, &values).await? {
        in_order(&format!("{way}: {}", property.name()), &came, &values)?;
    }
    Ok(())
}

/// Publishes a message with these values of a property in every way there is; what subscribers got of it in each.
async fn passed_on(lab: &Lab, property: Property, values: &[Value]) -> Result<Vec<(&'static str, Vec<Value>)>, Stop> {
    let values_in = |properties: &Properties| -> Vec<Value> {
        properties.iter().filter(|(of, _)| *of == property).map(|(_, value)| value).collect()
    };
    let properties =
        values.iter().fold(Properties::new(), |properties, value| properties.with(property, value.clone()));
    let qos = lab.abilities().maximum_qos.min(AtLeastOnce);
    let mut came = Vec::new();

    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    hall.subscribe(lab.topic("light"), qos).await.setup()?;
    let topic = text(&lab.topic("light"));
    let will = Will { qos, topic, payload: "gone".into(), properties: properties.clone(), ..Will::default() };
    let (mut switch, _) = lab.join(Connect { will: Some(will), ..lab.connect("switch") }).await?;
    switch.publish(Publish { properties: properties.clone(), ..lab.publish("light", "live", qos) }).await.setup()?;
    came.push(("live", values_in(&hall.take_message().await.setup()?.properties)));

    if lab.abilities().sessions && qos == AtLeastOnce {
        hall.ping().await.setup()?;
        hall.cut().await;
        let queued = Publish { properties: properties.clone(), ..lab.publish("light", "queued", qos) };
        switch.publish(queued).await.setup()?;
        hall = lab.join(lab.connect_to_stay("hall")).await?.0;
        came.push(("queued", values_in(&hall.take_message().await.setup()?.properties)));
    }
    if lab.abilities().retain {
        let retained = Publish { properties: properties.clone(), ..lab.retained("kept", "retained", qos) };
        switch.publish(retained).await.setup()?;
        let mut late = lab.subscriber("late", "kept", qos).await?;
        came.push(("retained", values_in(&late.take_message().await.setup()?.properties)));
    }
    switch.cut().await;
    came.push(("as a will", values_in(&hall.take_message().await.setup()?.properties)));
    // Once its acknowledgement was read, the message does not come again to whoever takes up the session.
    hall.ping().await.setup()?;
    Ok(came)
}

// --- message expiry ---------------------------------------------------------------------------------------------------

/// A message that expired while its subscriber was away does not come; one without expiry does.
async fn expired_in_a_queue(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    lab.needs_qos(AtLeastOnce)?;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    hall.subscribe(lab.topic("light"), AtLeastOnce).await.setup()?;
    hall.cut().await;
    let mut switch = lab.client("switch").await?;
    switch.publish(expiring(lab.publish("light", "short", AtLeastOnce), 1)).await.setup()?;
    switch.publish(lab.publish("light", "long", AtLeastOnce)).await.setup()?;
    lab.wait(Duration::from_secs(3)).await;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    let heard = hall.messages_until(b"long").await?;
    ensure(heard.len() == 1, "only the message without expiry", payloads(&heard))?;
    Ok(())
}

/// A retained message that expired does not come to a later subscriber.
async fn expired_while_retained(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    switch.publish(expiring(lab.retained("light", "short", AtMostOnce), 1)).await.setup()?;
    lab.wait(Duration::from_secs(3)).await;
    nothing_retained(lab, &mut switch, "light").await
}

/// A queued message says that it expires as much sooner as it has waited.
async fn expiry_counts_down_in_a_queue(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    lab.needs_qos(AtLeastOnce)?;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    hall.subscribe(lab.topic("light"), AtLeastOnce).await.setup()?;
    hall.cut().await;
    let mut switch = lab.client("switch").await?;
    switch.publish(expiring(lab.publish("light", "on", AtLeastOnce), 60)).await.setup()?;
    lab.wait(WAITED).await;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    counted_down(&hall.take_message().await.setup()?)
}

/// A retained message says that it expires as much sooner as it has waited.
async fn expiry_counts_down_while_retained(lab: &mut Lab) -> Outcome {
    needs_retain(lab)?;
    let mut switch = lab.client("switch").await?;
    switch.publish(expiring(lab.retained("light", "on", AtMostOnce), 60)).await.setup()?;
    switch.ping().await.setup()?;
    lab.wait(WAITED).await;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    counted_down(&hall.take_message().await.setup()?)
}

/// Long enough to tell it from what rounding does.
const WAITED: Duration = Duration::from_secs(3);

/// Demands an expiry of 60 seconds less what has passed: a second of rounding, and the slowness of a busy machine.
fn counted_down(message: &Publish) -> Outcome {
    let left = message.properties.message_expiry_interval();
    let holds = left.is_some_and(|left| (40..=58).contains(&left));
    let actual = left.map_or("none".to_owned(), |left| format!("{left} s"));
    ensure(holds, "an expiry of about 57 s, 3 s after it was 60 s", actual)?;
    Ok(())
}

fn expiring(mut publish: Publish, seconds: u32) -> Publish {
    publish.properties.push(Property::MessageExpiryInterval, Value::Four(seconds));
    publish
}

// --- topic aliases ----------------------------------------------------------------------------------------------------

/// An alias means nothing on the next connection, also when the session goes on: nothing is delivered. (The connection
/// should end.)
async fn alias_of_an_earlier_connection(lab: &mut Lab) -> Outcome {
    needs_aliases(lab)?;
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let (mut switch, _) = lab.join(lab.connect_to_stay("switch")).await?;
    switch.publish(aliased(lab.publish("light", "first", AtMostOnce), 1)).await.setup()?;
    hall.messages_until(b"first").await.setup()?;
    switch.cut().await;
    let (mut switch, _) = lab.join(lab.connect_to_stay("switch")).await?;
    switch.send_bytes(by_hand(0x30, b"\0\0\x03\x23\0\x01second")).await.setup()?;
    let closed = lab.closed(&mut switch).await;
    let mut other = lab.client("other").await?;
    let heard = lab.heard(&mut hall, &mut other, "light", AtMostOnce).await?;
    ensure(heard.is_empty(), "no message under an alias of an earlier connection", payloads(&heard))?;
    closed.advisable()?;
    Ok(())
}

/// A topic alias of 0 ends the connection.
async fn alias_0(lab: &mut Lab) -> Outcome {
    needs_aliases(lab)?;
    refused_properties(lab, &[("topic alias 0", b"\x23\0\0")]).await
}

/// A topic alias above the maximum that CONNACK gave ends the connection.
async fn alias_above_the_maximum(lab: &mut Lab) -> Outcome {
    let Some(above) = lab.abilities().topic_alias_maximum.checked_add(1) else {
        return Err(Stop::Skipped("the target allows every topic alias".to_owned()));
    };
    let [high, low] = above.to_be_bytes();
    refused_properties(lab, &[("topic alias above the maximum", &[0x23, high, low])]).await
}

/// The server uses no alias above the maximum that CONNECT gave.
async fn aliases_of_the_server(lab: &mut Lab) -> Outcome {
    server_aliases(lab, 2).await
}

/// The server uses no aliases where CONNECT gave no maximum.
async fn no_aliases_of_the_server(lab: &mut Lab) -> Outcome {
    server_aliases(lab, 0).await
}

async fn server_aliases(lab: &Lab, maximum: u16) -> Outcome {
    let mut connect = lab.connect("hall");
    if maximum > 0 {
        connect.properties.push(Property::TopicAliasMaximum, Value::Two(maximum));
    }
    let (mut hall, _) = lab.join(connect).await?;
    let topics = topics(&["a", "b"], 2);
    for topic in &topics {
        hall.subscribe(lab.topic(topic), AtMostOnce).await.setup()?;
    }
    let mut switch = lab.client("switch").await?;
    for topic in topics.iter().cycle().take(3 * topics.len()) {
        switch.publish(lab.publish(topic, "on", AtMostOnce)).await.setup()?;
    }
    for message in lab.heard(&mut hall, &mut switch, "a", AtMostOnce).await.setup()? {
        let alias = message.properties.topic_alias().unwrap_or(0);
        ensure(alias <= maximum, format!("aliases up to {maximum}"), format!("alias {alias}"))?;
    }
    Ok(())
}

/// The server takes every alias up to the maximum that it announced.
async fn every_alias_up_to_the_maximum(lab: &mut Lab) -> Outcome {
    needs_aliases(lab)?;
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let maximum = lab.abilities().topic_alias_maximum;
    let mut aliases: Vec<u16> = (1..=maximum.min(16)).chain([maximum / 2, maximum - 1, maximum]).collect();
    aliases.retain(|alias| *alias > 0);
    aliases.sort_unstable();
    aliases.dedup();
    let mut hall = lab.subscriber("hall", "light/+", AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    let topic = |alias: u16| lab.topic(&format!("light/{alias}"));
    for alias in &aliases {
        let set = lab.publish(&format!("light/{alias}"), "set", AtMostOnce);
        switch.publish(aliased(set, *alias)).await.setup()?;
    }
    for alias in &aliases {
        let used = Publish { topic: Text::EMPTY, payload: "used".into(), ..Publish::default() };
        switch.publish(aliased(used, *alias)).await.setup()?;
    }
    for payload in ["set", "used"] {
        for alias in &aliases {
            let message = hall.take_message().await?;
            let expected = (text(&topic(*alias)), Bytes::from(payload));
            same("topic and payload", (message.topic, message.payload), expected)?;
        }
    }
    Ok(())
}

fn needs_aliases(lab: &Lab) -> Result<(), Stop> {
    lab.needs(lab.abilities().topic_alias_maximum > 0, "topic aliases")
}

fn aliased(mut publish: Publish, alias: u16) -> Publish {
    publish.properties.push(Property::TopicAlias, Value::Two(alias));
    publish
}

// --- properties that are refused --------------------------------------------------------------------------------------

/// A Response Topic that is no UTF-8 ends the connection.
async fn response_topic_not_well_formed(lab: &mut Lab) -> Outcome {
    refused_properties(
        lab,
        &[
            ("a response topic that is no UTF-8", b"\x08\0\x03a\xC3("),
            ("a surrogate in the response topic", b"\x08\0\x03\xED\xA0\x80"),
        ],
    )
    .await
}

/// A Response Topic with wildcards is refused.
async fn wildcard_in_response_topic(lab: &mut Lab) -> Outcome {
    refused_properties(
        lab,
        &[("the response topic a/#", b"\x08\0\x03a/#"), ("the response topic +/a", b"\x08\0\x03+/a")],
    )
    .await
}

/// A Content Type that is no UTF-8 ends the connection.
async fn content_type_not_well_formed(lab: &mut Lab) -> Outcome {
    refused_properties(
        lab,
        &[
            ("a content type that is no UTF-8", b"\x03\0\x03a\xC3("),
            ("a surrogate in the content type", b"\x03\0\x03\xED\xA0\x80"),
        ],
    )
    .await
}

/// A client's PUBLISH with a Subscription Identifier ends the connection.
async fn subscription_identifier_from_a_client(lab: &mut Lab) -> Outcome {
    refused_properties(lab, &[("a subscription identifier in PUBLISH", b"\x0B\x01")]).await
}

/// Publishes at QoS 0 with these properties by hand: each of them should end the connection.
async fn refused_properties(lab: &Lab, rows: &[(&str, &[u8])]) -> Outcome {
    for (what, properties) in rows {
        let mut wire = lab.client("switch").await?;
        let length = u8::try_from(properties.len()).unwrap_or(u8::MAX);
        let body = [&field(lab.topic("light").as_bytes()), &[length][..], properties, b"on"].concat();
        wire.send_bytes(by_hand(0x30, &body)).await.setup()?;
        lab.closed_if_checked(&mut wire).await.map_err(|stop| after(what, stop))?;
    }
    Ok(())
}

// --- what comes of it -------------------------------------------------------------------------------------------------

/// QoS 0 has no answer, QoS 1 PUBACK, QoS 2 PUBREC, with the packet identifier of the message.
async fn answered_by_qos(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut wire = lab.client("switch").await?;
    for (qos, number, expected) in
        [(AtMostOnce, 0, None), (AtLeastOnce, 700, Some(AckKind::PubAck)), (ExactlyOnce, 65535, Some(AckKind::PubRec))]
    {
        let packet_identifier = PacketIdentifier::new(number);
        wire.send_publish(Publish { packet_identifier, ..lab.publish("light", "on", qos) }).await.setup()?;
        if let (Some(kind), Some(identifier)) = (expected, packet_identifier) {
            wire.ack(kind, identifier).await?;
        }
        wire.ping().await.setup()?;
        let rest = wire.rest();
        ensure(rest.is_empty(), format!("no further answer at {qos}"), format!("{rest:?}"))?;
    }
    Ok(())
}

/// Of the subscriptions that match, the one with the highest QoS decides.
async fn overlapping_subscriptions(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut hall = lab.subscriber("hall", "light/#", ExactlyOnce).await?;
    hall.subscribe(lab.topic("light/+"), AtMostOnce).await.setup()?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light/hall", "on", ExactlyOnce)).await.setup()?;
    // Copies for the other subscription may come too.
    let at_qos_2 = |packet: &Packet| matches!(packet, Packet::Publish(copy) if copy.qos == ExactlyOnce).then_some(());
    hall.expect("a copy at QoS 2", at_qos_2).await?;
    Ok(())
}

/// A forbidden PUBLISH is acknowledged as usual or ends the connection; no subscriber gets it.
async fn forbidden_publish(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        let mut hall = lab.client("hall").await?;
        hall.subscribe("simrun/+", ExactlyOnce).await.setup()?;
        hall.subscribe(lab.topic("end"), AtMostOnce).await.setup()?;
        let mut switch = lab.client("switch").await?;
        let payload = Bytes::from(lab.topic(""));
        let forbidden = Publish { topic: text(FORBIDDEN_TOPIC), qos, payload: payload.clone(), ..Publish::default() };
        if switch.publish(forbidden).await.is_err() {
            lab.closed(&mut switch).await?;
        }
        let mut other = lab.client("other").await?;
        let heard = lab.heard(&mut hall, &mut other, "end", AtMostOnce).await?;
        ensure(!heard.iter().any(|message| message.payload == payload), "no copy for a subscriber", payloads(&heard))?;
    }
    Ok(())
}

// --- subscription identifiers -----------------------------------------------------------------------------------------

/// The identifiers of all matching subscriptions come with the message, over all its copies.
async fn identifiers_of_overlapping_subscriptions(lab: &mut Lab) -> Outcome {
    let mut all: Vec<u32> = copies_with_identifiers(lab).await?.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    same("subscription identifiers", all, vec![1, 2])?;
    Ok(())
}

/// If one copy comes, it lists the identifiers of all matching subscriptions that have one.
async fn identifiers_in_one_copy(lab: &mut Lab) -> Outcome {
    let copies = copies_with_identifiers(lab).await?;
    let [copy] = copies.as_slice() else {
        return Err(Stop::Skipped("the target sends a copy for each matching subscription".to_owned()));
    };
    let mut identifiers = copy.clone();
    identifiers.sort_unstable();
    same("subscription identifiers", identifiers, vec![1, 2])?;
    Ok(())
}

/// If several copies come, each lists the identifier of its own subscription, if that has one.
async fn identifiers_in_several_copies(lab: &mut Lab) -> Outcome {
    let mut copies = copies_with_identifiers(lab).await?;
    if copies.len() == 1 {
        let why = "it is about servers that send a copy for each matching subscription; this one sends one for all";
        return Err(Stop::Excused(why.to_owned()));
    }
    copies.sort();
    let own = copies.iter().all(|identifiers| identifiers.len() <= 1);
    let distinct = copies.windows(2).all(|pair| pair[0] != pair[1]);
    ensure(own && distinct, "copies with [], [1] and [2]", format!("copies with {copies:?}"))?;
    Ok(())
}

/// Publishes one message to a client with three subscriptions that match it, with identifiers 1, 2 and none; the
/// identifiers in each copy that came.
async fn copies_with_identifiers(lab: &Lab) -> Result<Vec<Vec<u32>>, Stop> {
    lab.needs(lab.abilities().subscription_identifiers, "subscription identifiers")?;
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut hall = lab.client("hall").await?;
    for (filter, identifier) in [("light/hall", Some(1)), ("light/+", Some(2)), ("light/#", None)] {
        let properties = identifier.map_or(Properties::new(), |identifier| {
            Properties::new().with(Property::SubscriptionIdentifier, Value::Variable(identifier))
        });
        let suback = hall.ask(&[(&lab.topic(filter), SubscriptionOptions::default())], properties).await.setup()?;
        ensure(!suback.reasons[0].is_error(), "a subscription", suback.reasons[0].to_string()).setup()?;
    }
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light/hall", "on", AtMostOnce)).await.setup()?;
    let mut heard = lab.heard(&mut hall, &mut switch, "light/hall", AtMostOnce).await.setup()?;
    // Copies for other subscriptions may come behind the last message for the first.
    hall.ping().await.setup()?;
    heard.extend(hall.rest().into_iter().filter_map(|packet| match packet {
        Packet::Publish(copy) if copy.payload == "on" => Some(copy),
        _ => None,
    }));
    ensure(!heard.is_empty(), "a copy", "none").setup()?;
    Ok(heard.iter().map(|copy| copy.properties.subscription_identifiers().collect()).collect())
}

// --- flow control -----------------------------------------------------------------------------------------------------

/// More unfinished messages than CONNACK allowed end the connection.
async fn more_than_receive_maximum(lab: &mut Lab) -> Outcome {
    const TRIED: u16 = 5000;
    lab.needs_qos(ExactlyOnce)?;
    let maximum = lab.abilities().receive_maximum;
    lab.needs(maximum <= TRIED, &format!("Receive Maximum of at most {TRIED}: so many are tried"))?;
    let mut wire = lab.client("switch").await?;
    for _ in 0..=maximum {
        // It may close while this goes on.
        if wire.send_publish(lab.publish("light", "on", ExactlyOnce)).await.is_err() {
            break;
        }
    }
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// At no time more messages are unfinished than CONNECT allowed. PUBACK, PUBCOMP and a PUBREC that refuses make room.
async fn receive_maximum_of_the_client(lab: &mut Lab) -> Outcome {
    const MAXIMUM: u16 = 2;
    lab.needs_qos(ExactlyOnce)?;
    let mut connect = lab.connect("hall");
    connect.properties.push(Property::ReceiveMaximum, Value::Two(MAXIMUM));
    let (mut hall, _) = lab.join(connect).await?;
    hall.subscribe(lab.topic("light"), ExactlyOnce).await.setup()?;
    let mut switch = lab.client("switch").await?;
    let all = 9;
    for number in 0..all {
        let qos = if number % 3 == 0 { AtLeastOnce } else { ExactlyOnce };
        switch.publish(lab.publish("light", format!("{number}"), qos)).await.setup()?;
    }
    let mut open = Vec::new();
    for finished in 0..all {
        // Whatever is allowed to come is here before the answer.
        hall.ping().await.setup()?;
        open.extend(hall.rest().into_iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        }));
        let limit = usize::from(MAXIMUM);
        ensure(open.len() <= limit, format!("at most {limit} unfinished messages"), format!("{}", open.len()))?;
        if open.is_empty() {
            open.push(hall.message().await.setup()?);
        }
        let oldest = open.remove(0);
        match oldest.packet_identifier {
            Some(identifier) if oldest.qos == ExactlyOnce && finished % 2 == 0 => {
                hall.send_ack_with(AckKind::PubRec, identifier, Reason::UnspecifiedError).await.setup()?;
            }
            _ => hall.settle(&oldest).await.setup()?,
        }
    }
    Ok(())
}

/// While a client's quota is used up, everything but PUBLISH goes on.
async fn used_up_quota_holds_back_nothing_else(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut connect = lab.connect("hall");
    connect.properties.push(Property::ReceiveMaximum, Value::Two(1));
    let (mut hall, _) = lab.join(connect).await?;
    hall.subscribe(lab.topic("light"), AtLeastOnce).await.setup()?;
    let mut switch = lab.client("switch").await?;
    for _ in 0..3 {
        switch.publish(lab.publish("light", "on", AtLeastOnce)).await.setup()?;
    }
    let unfinished = hall.message().await.setup()?;

    hall.ping().await?;
    let filter = text(&lab.topic("door"));
    let (first, second) = (hall.fresh_identifier(), hall.fresh_identifier());
    let subscriptions = vec![Subscription { filter: filter.clone(), options: SubscriptionOptions::default() }];
    let properties = Properties::new();
    hall.send(&Packet::Subscribe(Subscribe { packet_identifier: first, properties, subscriptions })).await.setup()?;
    hall.suback(first).await?;
    let (properties, filters) = (Properties::new(), vec![filter]);
    hall.send(&Packet::Unsubscribe(Unsubscribe { packet_identifier: second, properties, filters })).await.setup()?;
    hall.unsuback(second).await?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        hall.publish(lab.publish("window", "open", qos)).await?;
    }
    hall.settle(&unfinished).await.setup()?;
    Ok(())
}

// --- words ------------------------------------------------------------------------------------------------------------

/// The properties of a packet by hand that has none.
fn no_properties(lab: &Lab) -> &'static [u8] {
    if lab.is_v5() { &[0] } else { &[] }
}

fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MIN)
}

fn payloads(messages: &[Publish]) -> String {
    let payloads: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(&message.payload)).collect();
    format!("messages that say {payloads:?}")
}

/// Names the row of a table, or what else was tried, in what went wrong.
fn after(what: &str, stop: Stop) -> Stop {
    let named = |failure: Failure| Failure { expected: format!("{} after {what}", failure.expected), ..failure };
    match stop {
        Stop::Failed(failure) => Stop::Failed(named(failure)),
        Stop::Advice(failure) => Stop::Advice(named(failure)),
        Stop::Setup(failure) => Stop::Setup(named(failure)),
        Stop::Skipped(_) | Stop::Excused(_) => stop,
    }
}
