//! UNSUBSCRIBE and UNSUBACK (sections 3.10, 3.11).

use crate::codec::Qos::{AtMostOnce, ExactlyOnce};
use crate::codec::{AckKind, Packet, PacketIdentifier, Properties, Property, Reason, Unsubscribe};
use crate::conform::case::server_cases;
use crate::conform::lab::{Lab, names};
use crate::conform::verdict::{Failure, Otherwise, Outcome, ensure, same};
use crate::conform::wire::{Wire, by_hand, field, text};

use super::s3_4_acks::left_out;

server_cases! {
    // What is not in order.
    unsubscribe_flags: ["v3.1.1/MQTT-3.10.1-1", "v5/MQTT-3.10.1-1"];
    unsubscribed_filter_not_well_formed: ["v3.1.1/MQTT-3.10.3-1", "v5/MQTT-3.10.3-1"];
    unsubscribe_without_filters: ["v3.1.1/MQTT-3.10.3-2", "v5/MQTT-3.10.3-2"];
    // The answer.
    each_unsubscribe_is_answered: ["v3.1.1/MQTT-3.10.4-4", "v5/MQTT-3.10.4-4"];
    unsuback_for_an_unknown_filter: ["v3.1.1/MQTT-3.10.4-5", "v5/MQTT-3.10.4-5"];
    unsuback_codes_follow_the_filters: ["v5/MQTT-3.11.3-1"];
    unsuback_codes: ["v5/MQTT-3.11.3-2"];
    unsuback_without_a_reason_string: ["v5/MQTT-3.11.2-1"];
    unsuback_without_user_properties: ["v5/MQTT-3.11.2-2"];
    // What ends by it, and what does not.
    another_filter_ends_nothing: ["v3.1.1/MQTT-3.10.4-1", "v5/MQTT-3.10.4-1"];
    the_same_filter_ends: ["v3.1.1/MQTT-3.10.4-1", "v5/MQTT-3.10.4-1"];
    nothing_new_comes: ["v3.1.1/MQTT-3.10.4-2", "v5/MQTT-3.10.4-2"];
    delivery_goes_on: ["v3.1.1/MQTT-3.10.4-3", "v5/MQTT-3.10.4-3"];
    delivery_goes_on_after_a_cut: ["v3.1.1/MQTT-3.10.4-3", "v5/MQTT-3.10.4-3"];
    several_filters_end: ["v3.1.1/MQTT-3.10.4-6", "v5/MQTT-3.10.4-6"];
}

// --- what is not in order ---------------------------------------------------------------------------------------------

/// An UNSUBSCRIBE with other flags than 0010 ends the connection, and no UNSUBACK comes.
async fn unsubscribe_flags(lab: &mut Lab) -> Outcome {
    for first in [0xA0, 0xA3, 0xAA] {
        let mut wire = lab.client("hall").await?;
        let body = [head(lab), &field(lab.topic("light").as_bytes())].concat();
        wire.send_bytes(by_hand(first, &body)).await.setup()?;
        let before = lab.closed(&mut wire).await?;
        let unsuback = before.iter().any(|packet| matches!(packet, Packet::UnsubAck(_)));
        ensure(!unsuback, format!("no answer to an UNSUBSCRIBE that begins with {first:#04x}"), "UNSUBACK")?;
    }
    Ok(())
}

/// A topic filter that is no UTF-8 ends the connection.
async fn unsubscribed_filter_not_well_formed(lab: &mut Lab) -> Outcome {
    for filter in [&b"a\xC3("[..], b"\xED\xA0\x80", b"a/\xFF"] {
        let mut wire = lab.client("hall").await?;
        wire.send_bytes(by_hand(0xA2, &[head(lab), &field(filter)].concat())).await.setup()?;
        lab.closed_if_checked(&mut wire).await?;
    }
    Ok(())
}

/// An UNSUBSCRIBE without any topic filter ends the connection.
async fn unsubscribe_without_filters(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    wire.send_bytes(by_hand(0xA2, head(lab))).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// What stands before the topic filters, by hand: packet identifier 1, no properties.
fn head(lab: &Lab) -> &'static [u8] {
    if lab.is_v5() { &[0, 1, 0] } else { &[0, 1] }
}

// --- the answer -------------------------------------------------------------------------------------------------------

/// Each of several UNSUBSCRIBE at a time is answered once, with its packet identifier.
async fn each_unsubscribe_is_answered(lab: &mut Lab) -> Outcome {
    let mut wire = lab.subscriber("hall", "light", AtMostOnce).await?;
    let identifiers = [700, 65535, 2].map(|number| PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MIN));
    for packet_identifier in identifiers {
        let filters = vec![text(&lab.topic("light"))];
        let unsubscribe = Unsubscribe { packet_identifier, properties: Properties::new(), filters };
        wire.send(&Packet::Unsubscribe(unsubscribe)).await.setup()?;
    }
    for identifier in identifiers {
        wire.unsuback(identifier).await?;
    }
    wire.ping().await.setup()?;
    let rest = wire.rest();
    ensure(rest.is_empty(), "one UNSUBACK for each UNSUBSCRIBE", format!("besides: {}", names(&rest)))?;
    Ok(())
}

/// UNSUBSCRIBE is answered, with its packet identifier, also where there was no such subscription.
async fn unsuback_for_an_unknown_filter(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("hall").await?;
    let packet_identifier = PacketIdentifier::MAX;
    let filters = vec![text(&lab.topic("never/asked/for"))];
    let unsubscribe = Unsubscribe { packet_identifier, properties: Properties::new(), filters };
    wire.send(&Packet::Unsubscribe(unsubscribe)).await.setup()?;
    wire.unsuback(packet_identifier).await?;
    Ok(())
}

/// The codes stand in the order of the topic filters. (That an unknown one gets 0x11 is advisable.)
async fn unsuback_codes_follow_the_filters(lab: &mut Lab) -> Outcome {
    let mut wire = lab.subscriber("hall", "a", AtMostOnce).await?;
    wire.subscribe(lab.topic("c"), AtMostOnce).await.setup()?;
    let filters = ["a", "b", "c"].map(|filter| lab.topic(filter));
    let reasons = wire.unsubscribe(&filters.each_ref().map(String::as_str)).await?.reasons;
    let expected = vec![Reason::Success, Reason::NoSubscriptionExisted, Reason::Success];
    if reasons.contains(&Reason::NoSubscriptionExisted) {
        same("codes", reasons, expected)?;
    } else {
        same("codes", reasons, expected).advisable()?;
    }
    Ok(())
}

/// UNSUBACK has codes that are codes of UNSUBACK, one for each topic filter.
async fn unsuback_codes(lab: &mut Lab) -> Outcome {
    let mut wire = lab.subscriber("hall", "a", AtMostOnce).await?;
    for filters in [&["a"][..], &["a", "b"], &["c", "a/+", "#", "c"]] {
        let filters: Vec<String> = filters.iter().map(|filter| lab.topic(filter)).collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        // What is not one of its codes is no packet.
        let unsuback = wire.unsubscribe(&filters).await;
        let unsuback = wire.or_garbage(unsuback)?;
        same("the number of codes", unsuback.reasons.len(), filters.len())?;
    }
    Ok(())
}

/// UNSUBACK has no reason string where the packet would be larger than the client takes.
async fn unsuback_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, refused_filters).await
}

/// UNSUBACK has no user properties where the packet would be larger than the client takes.
async fn unsuback_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, refused_filters).await
}

/// The answer where there is no such subscription, nor could be.
async fn refused_filters(lab: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    Ok(Packet::UnsubAck(wire.unsubscribe(&[&lab.topic("never/asked/for"), &lab.topic("a#")]).await?))
}

// --- what ends by it, and what does not -------------------------------------------------------------------------------

/// A filter that matches more, and one in other letters, end no other subscription.
async fn another_filter_ends_nothing(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let (mut hall, filters) = holder_of_three(lab).await?;
    hall.unsubscribe(&[&lab.topic("a/#"), &lab.topic("+/b"), &lab.topic("a/b/C")]).await.setup()?;
    same("subscriptions left:", left(lab, &mut hall).await?, filters)?;
    Ok(())
}

/// The same filter, and only that, ends.
async fn the_same_filter_ends(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let (mut hall, filters) = holder_of_three(lab).await?;
    hall.unsubscribe(&[&lab.topic("a/b/c")]).await.setup()?;
    same("subscriptions left:", left(lab, &mut hall).await?, vec![filters[0], filters[2]])?;
    Ok(())
}

const THREE: [(&str, &str); 3] = [("a/+", "a/x"), ("a/b/c", "a/b/c"), ("A/b", "A/b")];

/// A client with three subscriptions, and these.
async fn holder_of_three(lab: &Lab) -> Result<(Wire, Vec<&'static str>), crate::conform::Stop> {
    let mut hall = lab.subscriber("hall", "end", AtMostOnce).await?;
    for (filter, _) in THREE {
        hall.subscribe(lab.topic(filter), AtMostOnce).await.setup()?;
    }
    Ok((hall, THREE.map(|(filter, _)| filter).to_vec()))
}

/// Those of the three that bring a message.
async fn left(lab: &Lab, hall: &mut Wire) -> Result<Vec<&'static str>, crate::conform::Stop> {
    let mut switch = lab.client("switch").await?;
    for (filter, topic) in THREE {
        switch.publish(lab.publish(topic, filter, AtMostOnce)).await.setup()?;
    }
    let heard = lab.heard(hall, &mut switch, "end", AtMostOnce).await?;
    let brought = |filter: &&str| heard.iter().any(|message| message.payload == filter.as_bytes());
    Ok(THREE.map(|(filter, _)| filter).into_iter().filter(brought).collect())
}

/// After UNSUBACK no message comes any more.
async fn nothing_new_comes(lab: &mut Lab) -> Outcome {
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    hall.subscribe(lab.topic("end"), AtMostOnce).await.setup()?;
    hall.unsubscribe(&[&lab.topic("light")]).await.setup()?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", AtMostOnce)).await.setup()?;
    let heard = lab.heard(&mut hall, &mut switch, "end", AtMostOnce).await?;
    ensure(heard.is_empty(), "no message after UNSUBACK", format!("{} of them", heard.len()))?;
    Ok(())
}

/// A message at QoS 2 whose delivery has begun is delivered to its end.
async fn delivery_goes_on(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", ExactlyOnce)).await.setup()?;
    let begun = hall.message().await.setup()?;
    hall.unsubscribe(&[&lab.topic("light")]).await.setup()?;
    hall.settle(&begun).await?;
    Ok(())
}

/// A message at QoS 2 whose delivery has begun is delivered to its end, also after a cut.
async fn delivery_goes_on_after_a_cut(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    hall.subscribe(lab.topic("light"), ExactlyOnce).await.setup()?;
    let mut switch = lab.client("switch").await?;
    for payload in ["first", "second"] {
        switch.publish(lab.publish("light", payload, ExactlyOnce)).await.setup()?;
    }
    let [first, second] = [hall.message().await.setup()?, hall.message().await.setup()?];
    let (Some(first), Some(second)) = (first.packet_identifier, second.packet_identifier) else { return Ok(()) };
    hall.send_ack(AckKind::PubRec, first).await.setup()?;
    hall.ack(AckKind::PubRel, first).await.setup()?;
    hall.unsubscribe(&[&lab.topic("light")]).await.setup()?;
    hall.cut().await;
    let mut hall = lab.resume("hall").await?;
    hall.ack(AckKind::PubRel, first).await?;
    hall.send_ack(AckKind::PubComp, first).await.setup()?;
    let again = hall.message().await?;
    same("the packet identifier of the PUBLISH that comes again:", again.packet_identifier, Some(second))?;
    hall.settle(&again).await?;
    Ok(())
}

/// An UNSUBSCRIBE with several topic filters, one of them unknown, ends them all and has one answer.
async fn several_filters_end(lab: &mut Lab) -> Outcome {
    let mut hall = lab.subscriber("hall", "end", AtMostOnce).await?;
    for topic in ["a", "b", "c"] {
        hall.subscribe(lab.topic(topic), AtMostOnce).await.setup()?;
    }
    hall.unsubscribe(&[&lab.topic("a"), &lab.topic("unknown"), &lab.topic("b")]).await?;
    let mut switch = lab.client("switch").await?;
    for topic in ["a", "b", "c"] {
        switch.publish(lab.publish(topic, topic, AtMostOnce)).await.setup()?;
    }
    let heard = lab.heard(&mut hall, &mut switch, "end", AtMostOnce).await?;
    let topics: Vec<&[u8]> = heard.iter().map(|message| &message.payload[..]).collect();
    same("subscriptions left:", topics, vec![&b"c"[..]])?;
    ensure(hall.rest().is_empty(), "one UNSUBACK", "more than one")?;
    Ok(())
}
