//! PUBLISH (section 3.3).

use super::{bytes, id, message, never_sends, row};
use crate::codec::{AckKind, Packet, Properties, Property, Publish, Qos, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::hex;
use crate::conform::steered::protocol::{ConnectOrder, Event, Order, PublishOrder};
use crate::conform::verdict::{Otherwise, Outcome, ensure, same};
use crate::conform::wire::text;

client_cases! {
    client_repeats_have_dup: ["v3.1.1/MQTT-3.3.1-1", "v5/MQTT-3.3.1-1"];
    qos_0_has_no_dup: ["v3.1.1/MQTT-3.3.1-2", "v5/MQTT-3.3.1-2"];
    qos_3_is_not_sent: ["v3.1.1/MQTT-3.3.1-4", "v5/MQTT-3.3.1-4"];
    qos_3_ends_the_connection: ["v3.1.1/MQTT-3.3.1-4"];
    topic_comes_first: ["v3.1.1/MQTT-3.3.2-1", "v5/MQTT-3.3.2-1"];
    no_wildcards_in_topics: [
        "v3.1.1/MQTT-3.3.2-2", "v3.1.1/MQTT-4.7.1-1", "v5/MQTT-3.3.2-2", "v5/MQTT-4.7.0-1",
    ];
    aliases_end_with_the_connection: ["v5/MQTT-3.3.2-7"];
    topic_alias_0_is_not_sent: ["v5/MQTT-3.3.2-8"];
    every_alias_is_taken: ["v5/MQTT-3.3.2-10"];
    response_topic_is_utf_8: ["v5/MQTT-3.3.2-13"];
    no_wildcards_in_response_topics: ["v5/MQTT-3.3.2-14"];
    content_type_is_utf_8: ["v5/MQTT-3.3.2-19"];
    answers_by_qos: ["v3.1.1/MQTT-3.3.4-1", "v5/MQTT-3.3.4-1"];
    no_subscription_identifier: ["v5/MQTT-3.3.4-6"];
}

/// What is sent again has DUP 1.
async fn client_repeats_have_dup(bench: &mut Bench) -> Outcome {
    for qos in [1, 2] {
        let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
        bench.say(bench.publish("a", "x", qos)).await?;
        wire.message().await.setup()?;
        let mut wire = bench.resume(wire, true).await?;
        let repeated = wire.take_message().await.setup()?;
        same("DUP", repeated.dup, true)?;
        bench.cut(wire).await?;
    }
    Ok(())
}

/// At QoS 0 DUP is 0.
async fn qos_0_has_no_dup(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.say(bench.publish("a", "x", 0)).await?;
    same("DUP", wire.message().await?.dup, false)?;
    Ok(())
}

/// A message at QoS 3 is refused by the library, or not sent so.
async fn qos_3_is_not_sent(bench: &mut Bench) -> Outcome {
    let rows = vec![("a message at QoS 3", Order::Publish(Box::new(bench.publish("a", "x", 3))))];
    // QoS 3 would not be read.
    never_sends(bench, rows, |_| false).await
}

/// A message at QoS 3 ends the connection; the application is not told of it.
async fn qos_3_ends_the_connection(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    wire.send_bytes(bytes("3605 0001 61 0001")).await.setup()?;
    bench.closed(&mut wire).await?;
    let told = bench.rest().into_iter().any(|event| matches!(event, Event::Message(_)));
    ensure(!told, "the application is not told of a message at QoS 3", "it was told")?;
    Ok(())
}

/// The topic comes first, and is the application's.
async fn topic_comes_first(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    for qos in [0, 1] {
        bench.say(bench.publish("tö/pic", "x", qos)).await?;
        same("topic", wire.message().await?.topic.as_str(), "tö/pic")?;
    }
    Ok(())
}

/// A topic with wildcards is refused by the library, or not sent.
async fn no_wildcards_in_topics(bench: &mut Bench) -> Outcome {
    let row = |topic: &str| Order::Publish(Box::new(bench.publish(topic, "x", 0)));
    let rows = vec![("topic a/+", row("a/+")), ("topic a/#", row("a/#")), ("topic #", row("#"))];
    // A topic with wildcards would not be read.
    never_sends(bench, rows, |_| false).await
}

/// A message with this topic alias.
fn aliased(topic: &str, alias: u16, payload: &str, identifier: u16) -> Publish {
    let properties = Properties::new().with(Property::TopicAlias, Value::Two(alias));
    Publish { topic: text(topic), properties, ..message(payload, Qos::AtLeastOnce, identifier) }
}

/// An alias of an earlier connection means nothing: the application is not told of a message that has nothing else.
async fn aliases_end_with_the_connection(bench: &mut Bench) -> Outcome {
    bench.needs("topic_alias_maximum")?;
    let order = ConnectOrder { topic_alias_maximum: Some(5), ..bench.connect_to_stay("a") };
    let mut wire = bench.subscriber(order).await?;
    wire.publish(aliased("a/topic", 1, "first", 1)).await.setup()?;
    bench.message().await.setup()?;
    let mut wire = bench.resume(wire, true).await?;
    wire.send_publish(aliased("", 1, "second", 2)).await.setup()?;
    // Whoever takes no offence goes on with this, and may tell of a message without a topic.
    if wire.publish(message("third", Qos::AtLeastOnce, 3)).await.is_ok() {
        let mut told = bench.message().await.setup()?;
        while told.payload_hex != hex(b"third") {
            ensure(told.topic != "a/topic", "a message without a topic of its own", "the topic of the old alias")?;
            told = bench.message().await.setup()?;
        }
    }
    Ok(())
}

/// Topic alias 0 is refused by the library, or not sent.
async fn topic_alias_0_is_not_sent(bench: &mut Bench) -> Outcome {
    bench.needs("topic_alias")?;
    let properties = Properties::new().with(Property::TopicAliasMaximum, Value::Two(5));
    let mut wire = bench.welcome_with(bench.connect("a"), false, properties).await?;
    let order = PublishOrder { topic_alias: Some(0), ..bench.publish("a", "x", 0) };
    // Topic alias 0 would not be read.
    bench.offer(&mut wire, Order::Publish(Box::new(order))).await?;
    Ok(())
}

/// A client that takes three aliases takes 1, 2 and 3.
async fn every_alias_is_taken(bench: &mut Bench) -> Outcome {
    bench.needs("topic_alias_maximum")?;
    let order = ConnectOrder { topic_alias_maximum: Some(3), ..bench.connect("a") };
    let mut wire = bench.subscriber(order).await?;
    let topic = |alias: u16| format!("a/{alias}");
    for alias in 1..=3 {
        wire.publish(aliased(&topic(alias), alias, "in full", alias)).await?;
        same("topic", bench.message().await?.topic, topic(alias))?;
    }
    for alias in 1..=3 {
        wire.publish(aliased("", alias, "by its alias", alias)).await?;
        same("topic", bench.message().await?.topic, topic(alias))?;
    }
    Ok(())
}

/// The response topic arrives as the application gave it.
async fn response_topic_is_utf_8(bench: &mut Bench) -> Outcome {
    bench.needs("response_topic")?;
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.say(PublishOrder { response_topic: Some("aß/€😀".to_owned()), ..bench.publish("a", "x", 0) }).await?;
    let sent = wire.message().await?;
    same("response topic", sent.properties.response_topic().as_deref(), Some("aß/€😀"))?;
    Ok(())
}

/// A response topic with wildcards is refused by the library, or not sent.
async fn no_wildcards_in_response_topics(bench: &mut Bench) -> Outcome {
    bench.needs("response_topic")?;
    let order = PublishOrder { response_topic: Some("a/#".to_owned()), ..bench.publish("a", "x", 0) };
    // A response topic with wildcards would not be read.
    never_sends(bench, vec![("response topic a/#", Order::Publish(Box::new(order)))], |_| false).await
}

/// The content type arrives as the application gave it.
async fn content_type_is_utf_8(bench: &mut Bench) -> Outcome {
    bench.needs("content_type")?;
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.say(PublishOrder { content_type: Some("aß€😀".to_owned()), ..bench.publish("a", "x", 0) }).await?;
    same("content type", wire.message().await?.properties.content_type().as_deref(), Some("aß€😀"))?;
    Ok(())
}

/// QoS 0 is not answered, QoS 1 by PUBACK, QoS 2 by PUBREC.
async fn answers_by_qos(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    wire.send_publish(message("x", Qos::AtMostOnce, 0)).await.setup()?;
    let answers = bench.dealt_with(&mut wire).await?;
    let answered = answers.iter().any(|packet| matches!(packet, Packet::Ack(_)));
    ensure(!answered, "no answer at QoS 0", "an ack")?;
    for (qos, kind) in [(Qos::AtLeastOnce, AckKind::PubAck), (Qos::ExactlyOnce, AckKind::PubRec)] {
        wire.send_publish(message("x", qos, 3)).await.setup()?;
        let first = wire.expect(kind.packet_type().name(), |packet| match packet {
            Packet::Ack(ack) => Some(ack.clone()),
            _ => None,
        });
        let first = first.await?;
        row(&qos.to_string(), same("answer", first.kind, kind).map_err(Into::into))?;
        same("packet identifier", first.packet_identifier, id(3))?;
    }
    Ok(())
}

/// What the application publishes has no subscription identifier, not even when it passes on a message that had one.
async fn no_subscription_identifier(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let properties = Properties::new().with(Property::SubscriptionIdentifier, Value::Variable(7));
    wire.send_publish(Publish { properties, ..message("x", Qos::AtMostOnce, 0) }).await.setup()?;
    let told = bench.message().await.setup()?;
    bench.say(bench.publish(&told.topic, "x", 0)).await?;
    let sent = wire.message().await?;
    same("number of subscription identifiers", sent.properties.subscription_identifiers().count(), 0)?;
    Ok(())
}
