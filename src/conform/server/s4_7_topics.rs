//! Topic names and topic filters (section 4.7).

use crate::codec::Qos::{AtLeastOnce, AtMostOnce};
use crate::codec::{
    MAX_FIELD_LEN, Packet, Properties, Publish, Subscribe, Subscription, SubscriptionOptions, Text, TextError,
    Unsubscribe, Version, Will, encode,
};
use crate::conform::case::{internal_cases, server_cases};
use crate::conform::lab::Lab;
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::{identifier, text};

server_cases! {
    wildcard_in_a_name: ["v3.1.1/MQTT-4.7.1-1", "v5/MQTT-4.7.0-1"];
    wildcard_in_a_will_topic: ["v3.1.1/MQTT-4.7.1-1", "v5/MQTT-4.7.0-1"];
    multi_level_misplaced: ["v3.1.1/MQTT-4.7.1-2", "v5/MQTT-4.7.1-1"];
    multi_level: ["v3.1.1/MQTT-4.7.1-2", "v5/MQTT-4.7.1-1"];
    single_level_misplaced: ["v3.1.1/MQTT-4.7.1-3", "v5/MQTT-4.7.1-2"];
    single_level: ["v3.1.1/MQTT-4.7.1-3", "v5/MQTT-4.7.1-2"];
    dollar_is_not_matched: ["v3.1.1/MQTT-4.7.2-1", "v5/MQTT-4.7.2-1"];
    empty_name: ["v3.1.1/MQTT-4.7.3-1", "v5/MQTT-4.7.3-1"];
    empty_filter: ["v3.1.1/MQTT-4.7.3-1", "v5/MQTT-4.7.3-1"];
    null_character_in_a_topic: ["v3.1.1/MQTT-4.7.3-2", "v5/MQTT-4.7.3-2"];
    only_the_same_bytes_match: ["v3.1.1/MQTT-4.7.3-4", "v5/MQTT-4.7.3-4"];
}

internal_cases! {
    longest_topic: Role::Server, ["v3.1.1/MQTT-4.7.3-3", "v5/MQTT-4.7.3-3"];
}

/// Stands in a packet for what its encoder would refuse.
const PLACEHOLDER: u8 = 0x01;

// --- wildcards --------------------------------------------------------------------------------------------------------

/// A PUBLISH whose topic name has a wildcard ends the connection.
async fn wildcard_in_a_name(lab: &mut Lab) -> Outcome {
    for wildcard in [b'+', b'#'] {
        for topic in ["\u{1}", "light/\u{1}", "light/\u{1}/hall", "light\u{1}"] {
            let mut wire = lab.client("a").await?;
            let publish = Packet::Publish(lab.publish(topic, "on", AtMostOnce));
            wire.send_bytes(spoilt(lab, &publish, wildcard)).await.setup()?;
            lab.closed_if_checked(&mut wire).await.about(&format!("{topic:?} with {:?}", char::from(wildcard)))?;
        }
    }
    Ok(())
}

/// A CONNECT whose will topic has a wildcard is turned away.
async fn wildcard_in_a_will_topic(lab: &mut Lab) -> Outcome {
    for wildcard in [b'+', b'#'] {
        let mut connect = lab.connect("a");
        connect.will = Some(Will { topic: text(&lab.topic("light/\u{1}")), payload: "off".into(), ..Will::default() });
        let mut wire = lab.dial("a").await?;
        wire.send_bytes(spoilt(lab, &Packet::Connect(Box::new(connect)), wildcard)).await.setup()?;
        lab.closed_if_checked(&mut wire).await.about(&format!("will topic with {:?}", char::from(wildcard)))?;
    }
    Ok(())
}

/// `#` anywhere but alone in the last level is refused.
async fn multi_level_misplaced(lab: &mut Lab) -> Outcome {
    for filter in ["light#", "light/#/hall", "#/light", "light/hall#", "light/#x", "##"] {
        refused(lab, &lab.topic(filter)).await.about(filter)?;
    }
    refused(lab, "#/simrun").await.about("#/simrun")
}

/// `+` anywhere but alone in its level is refused.
async fn single_level_misplaced(lab: &mut Lab) -> Outcome {
    for filter in ["light+", "light/hall+/lamp", "+light", "light/+x", "++"] {
        refused(lab, &lab.topic(filter)).await.about(filter)?;
    }
    Ok(())
}

/// Demands that a subscription is refused. 3.1.1 closes the connection [MQTT-4.8.0-1], though a SUBACK that refuses
/// harms nobody; 5.0 may do either, and leaves open how thoroughly to check.
async fn refused(lab: &Lab, filter: &str) -> Outcome {
    let mut wire = lab.client("a").await?;
    match wire.ask(&[(filter, SubscriptionOptions::default())], Properties::new()).await {
        Err(_) => lab.closed(&mut wire).await.map(drop),
        Ok(suback) => {
            let refused = suback.reasons.iter().all(|reason| reason.is_error());
            let granted = ensure(refused, "a refusal", "a SUBACK that grants the subscription");
            if lab.is_v5() {
                granted.advisable()
            } else {
                granted?;
                Err(Failure::new("the connection closed", "a SUBACK that refuses")).advisable()
            }
        }
    }
}

/// `#` alone in the last level works, and takes in the level above.
async fn multi_level(lab: &mut Lab) -> Outcome {
    let matching = [("light/#", "light"), ("light/#", "light/hall"), ("light/#", "light/hall/lamp"), ("#", "x/y")];
    matches(lab, &matching).await
}

/// `+` works at any level, and takes in an empty one.
async fn single_level(lab: &mut Lab) -> Outcome {
    let matching = [
        ("+", "light"),
        ("+/+/lamp", "light/hall/lamp"),
        ("light/+", "light/"),
        ("light/+/lamp", "light//lamp"),
        ("+/#", "light/hall"),
        ("+/hall", "/hall"),
    ];
    matches(lab, &matching).await
}

/// Demands that a subscription to each filter brings what is published to its topic.
async fn matches(lab: &Lab, matching: &[(&str, &str)]) -> Outcome {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut switch = lab.client("switch").await?;
    for (filter, topic) in matching {
        let what = format!("{filter:?} for {topic:?}");
        let mut hall = lab.client("hall").await?;
        hall.subscribe(lab.topic(filter), AtMostOnce).await.about(&what)?;
        switch.publish(lab.publish(topic, "on", AtMostOnce)).await.setup()?;
        hall.messages_until(b"on").await.about(&what)?;
    }
    Ok(())
}

// --- $ ----------------------------------------------------------------------------------------------------------------

/// Filters that begin with a wildcard do not match topics that begin with `$`.
async fn dollar_is_not_matched(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    // A level of the case's own: others publish beside it.
    let own = lab.client_id("");
    let mut filters = vec!["#".to_owned(), format!("+/{own}")];
    if lab.is_v5() && lab.abilities().shared_subscriptions {
        filters.push(format!("$share/{own}/#"));
    }
    for filter in filters {
        let mut watcher = lab.client("watcher").await?;
        watcher.hear_all();
        watcher.subscribe(&filter, AtMostOnce).await.setup()?;
        let mut switch = lab.client("switch").await?;
        // Most brokers refuse this one, and some close.
        let reserved = Publish { topic: text(&format!("$t/{own}")), ..lab.publish("", "on", AtMostOnce) };
        switch.publish(reserved).await.setup()?;
        let mut other = lab.client("other").await?;
        let sentinel = format!("end {own}");
        let last = Publish { topic: text(&format!("t/{own}")), ..lab.publish("", sentinel.clone(), AtMostOnce) };
        other.publish(last).await.setup()?;
        let heard = watcher.messages_until(sentinel.as_bytes()).await?;
        let dollar = heard.iter().find(|message| message.topic.starts_with('$'));
        let actual = dollar.map(|message| message.topic.to_string()).unwrap_or_default();
        ensure(dollar.is_none(), format!("nothing for {filter:?} under $"), format!("a message for {actual:?}"))?;
    }
    Ok(())
}

// --- characters -------------------------------------------------------------------------------------------------------

/// A PUBLISH without a topic name, nor an alias that stands for one, ends the connection.
async fn empty_name(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    let bytes: &[u8] = if lab.is_v5() { &[0x30, 3, 0, 0, 0] } else { &[0x30, 2, 0, 0] };
    wire.send_bytes(bytes.to_vec()).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// An empty filter is refused in SUBSCRIBE, and in 3.1.1 in UNSUBSCRIBE too.
async fn empty_filter(lab: &mut Lab) -> Outcome {
    refused(lab, "").await.about("SUBSCRIBE")?;
    let mut wire = lab.client("a").await?;
    match wire.unsubscribe(&[""]).await {
        Err(_) => lab.closed(&mut wire).await.map(drop).about("UNSUBSCRIBE"),
        Ok(unsuback) => {
            let refused = lab.is_v5() && unsuback.reasons.iter().all(|reason| reason.is_error());
            let refused = ensure(refused, "a refusal", "UNSUBACK").about("UNSUBSCRIBE");
            if lab.is_v5() { refused.advisable() } else { refused.map_err(Stop::Failed) }
        }
    }
}

/// U+0000 in a topic name or filter ends the connection.
async fn null_character_in_a_topic(lab: &mut Lab) -> Outcome {
    let filter = text(&lab.topic("light\u{1}"));
    let (packet_identifier, properties) = (identifier(7), Properties::new());
    let subscription = Subscription { filter: filter.clone(), options: SubscriptionOptions::default() };
    let subscriptions = vec![subscription];
    let packets = [
        Packet::Publish(lab.publish("light\u{1}", "on", AtMostOnce)),
        Packet::Subscribe(Subscribe { packet_identifier, properties: properties.clone(), subscriptions }),
        Packet::Unsubscribe(Unsubscribe { packet_identifier, properties, filters: vec![filter] }),
    ];
    for packet in packets {
        let mut wire = lab.client("a").await?;
        wire.send_bytes(spoilt(lab, &packet, 0)).await.setup()?;
        lab.closed_if_checked(&mut wire).await.about(packet.packet_type().name())?;
    }
    Ok(())
}

/// A packet as bytes, with this byte for each placeholder.
fn spoilt(lab: &Lab, packet: &Packet, byte: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What cannot be encoded even with placeholders is empty, and the case fails for it.
    let _ = encode(packet, lab.version(), &mut bytes);
    // The placeholder is a byte of the topic: the head of the packet has others like it.
    let topic = bytes.windows(6).position(|bytes| bytes == b"simrun").unwrap_or(bytes.len());
    let end = bytes[topic..].iter().rposition(|of| *of == PLACEHOLDER).map_or(topic, |at| topic + at + 1);
    bytes[topic..end].iter_mut().filter(|of| **of == PLACEHOLDER).for_each(|of| *of = byte);
    bytes
}

/// A filter matches the topic of the same bytes alone, and the topic arrives as it was sent.
async fn only_the_same_bytes_match(lab: &mut Lab) -> Outcome {
    const PAIRS: [(&str, &str); 10] = [
        ("light", "Light"),
        ("k\u{fc}che", "ku\u{308}che"),
        ("light/hall", "light//hall"),
        ("light", "/light"),
        ("light", "light/"),
        ("a%20b", "a b"),
        ("light", "\u{feff}light"),
        ("light", " light"),
        ("light/hall", "light\\hall"),
        ("\u{1f4a1}", "\u{fffd}"),
    ];
    let mut switch = lab.client("switch").await?;
    for (filter, other) in PAIRS {
        for (filter, other) in [(filter, other), (other, filter)] {
            let mut hall = lab.subscriber("hall", filter, AtMostOnce).await?;
            switch.publish(lab.publish(other, "on", AtMostOnce)).await.setup()?;
            let heard = lab.heard(&mut hall, &mut switch, filter, AtMostOnce).await?;
            ensure(heard.is_empty(), format!("nothing for {filter:?}"), format!("what went to {other:?}"))?;
            switch.publish(lab.publish(filter, "on", AtMostOnce)).await.setup()?;
            same("topic", hall.message().await?.topic.to_string(), lab.topic(filter))?;
        }
    }
    Ok(())
}

/// A topic of 65,535 bytes goes out whole; a longer one not at all.
fn longest_topic(version: Version) -> Outcome {
    let longest = "x".repeat(MAX_FIELD_LEN);
    let Ok(topic) = Text::try_from(longest.clone()) else {
        return Err(Failure::new("a topic of 65,535 bytes", "a refusal").into());
    };
    let publish = Publish { topic, qos: AtLeastOnce, packet_identifier: Some(identifier(1)), ..Publish::default() };
    let mut bytes = Vec::new();
    let encoded = encode(&Packet::Publish(publish.clone()), version, &mut bytes);
    ensure(encoded.is_ok(), "a PUBLISH with a topic of 65,535 bytes", "a refusal")?;
    let decoded = crate::codec::decode(version, &bytes.into());
    same("the PUBLISH read back:", decoded, Ok(Packet::Publish(publish)))?;
    same("a topic of 65,536 bytes:", Text::try_from(longest + "x"), Err(TextError::TooLong))?;
    Ok(())
}
