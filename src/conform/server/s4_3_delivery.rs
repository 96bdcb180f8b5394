//! Quality of service, receipt and order (sections 4.3, 4.5 and 4.6).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::codec::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::codec::{AckKind, Packet, PacketIdentifier, Property, Publish, Qos, Reason, SubscriptionOptions, Value};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::{Wire, identifier, text};

server_cases! {
    // QoS 0.
    qos_0: ["v3.1.1/MQTT-4.3.1-1", "v5/MQTT-4.3.1-1"];
    // QoS 1, from the broker.
    qos_1_first_copies: ["v3.1.1/MQTT-4.3.2-1", "v5/MQTT-4.3.2-1", "v5/MQTT-4.3.2-2"];
    qos_1_pending_until_puback: ["v3.1.1/MQTT-4.3.2-1", "v5/MQTT-4.3.2-3"];
    // QoS 1, to the broker.
    qos_1_answers: ["v3.1.1/MQTT-4.3.2-2", "v5/MQTT-4.3.2-4"];
    qos_1_identifier_again: ["v3.1.1/MQTT-4.3.2-2", "v5/MQTT-4.3.2-5"];
    // QoS 2, from the broker.
    qos_2_first_copies: ["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-1", "v5/MQTT-4.3.3-2"];
    qos_2_pending_until_pubrec: ["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-3"];
    pubrec_brings_pubrel: ["v5/MQTT-4.3.3-4"];
    failing_pubrec_brings_no_pubrel: ["v5/MQTT-4.3.3-4"];
    pubrel_pending_until_pubcomp: ["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-5"];
    publish_ends_with_pubrel: ["v5/MQTT-4.3.3-6"];
    begun_publish_does_not_expire: ["v5/MQTT-4.3.3-7"];
    begun_pubrel_does_not_expire: ["v5/MQTT-4.3.3-7"];
    // QoS 2, to the broker.
    qos_2_answers: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-8"];
    refused_identifier_again: ["v5/MQTT-4.3.3-9"];
    repeats_are_not_passed_on: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"];
    pubrel_brings_pubcomp: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-11"];
    qos_2_identifier_again: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-12"];
    pubcomp_for_an_expired_message: ["v5/MQTT-4.3.3-13"];
    // Receipt.
    every_session_that_matches: ["v3.1.1/MQTT-4.5.0-1", "v5/MQTT-4.5.0-1"];
    no_session_that_does_not_match: ["v3.1.1/MQTT-4.5.0-1", "v5/MQTT-4.5.0-1"];
    // Order.
    order_of_topics: ["v3.1.1/MQTT-4.6.0-5", "v5/MQTT-4.6.0-6"];
    order_across_a_cut: ["v3.1.1/MQTT-4.6.0-6", "v5/MQTT-4.6.0-5"];
}

/// How many messages are under way at a time: no more than any broker takes.
const SOME: u8 = 3;

// --- QoS 0 ------------------------------------------------------------------------------------------------------------

/// A message at QoS 0 comes at QoS 0 with DUP 0, and once.
async fn qos_0(lab: &mut Lab) -> Outcome {
    let mut hall = lab.subscriber("hall", "light", AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", AtMostOnce)).await.setup()?;
    let message = hall.message().await?;
    same("QoS", message.qos, AtMostOnce)?;
    same("DUP", message.dup, false)?;
    let more = lab.heard(&mut hall, &mut switch, "light", AtMostOnce).await?;
    ensure(more.is_empty(), "the message once", "it came again")?;
    Ok(())
}

// --- QoS 1, from the broker -------------------------------------------------------------------------------------------

/// With acks withheld, first copies at QoS 1 have DUP 0 and packet identifiers of their own.
async fn qos_1_first_copies(lab: &mut Lab) -> Outcome {
    first_copies(lab, AtLeastOnce).await
}

/// With answers withheld, first copies at this QoS have DUP 0 and packet identifiers of their own.
async fn first_copies(lab: &Lab, qos: Qos) -> Outcome {
    lab.needs_qos(qos)?;
    let mut hall = lab.subscriber("hall", "light", qos).await?;
    let mut switch = lab.client("switch").await?;
    let mut used = BTreeSet::new();
    for number in 0..SOME {
        switch.publish(lab.publish("light", vec![number], qos)).await.setup()?;
        let message = hall.message().await.setup()?;
        same("QoS", message.qos, qos)?;
        same("DUP", message.dup, false)?;
        let packet = identifier_of(&message)?;
        ensure(used.insert(packet), "a packet identifier that is not in use", packet.to_string())?;
        if qos == ExactlyOnce && number == 0 {
            // Half done, it still occupies its identifier.
            hall.send_ack(AckKind::PubRec, packet).await.setup()?;
            hall.ack(AckKind::PubRel, packet).await.setup()?;
        }
    }
    Ok(())
}

/// What was not acknowledged comes again when the session is resumed; what was does not. Under which packet identifier and
/// with which DUP is for other statements to say.
async fn qos_1_pending_until_puback(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let mut hall = lab.lasting_subscriber("hall", "light", AtLeastOnce).await?;
    let mut switch = lab.client("switch").await?;
    // Clients acknowledge in order [MQTT-4.6.0-2].
    let (settled, pending) = two_messages(lab, &mut hall, &mut switch, AtLeastOnce).await?;
    hall.send_ack(AckKind::PubAck, identifier_of(&settled)?).await.setup()?;
    hall.ping().await.setup()?;
    hall.cut().await;

    let mut hall = lab.resume("hall").await?;
    let again = hall.message().await?;
    same("payload", again.payload.clone(), pending.payload)?;
    hall.settle(&again).await.setup()?;
    let more = lab.heard(&mut hall, &mut switch, "light", AtLeastOnce).await?;
    ensure(more.is_empty(), "nothing that was acknowledged", payloads(&more))?;
    Ok(())
}

/// Two messages that were received and not answered yet.
async fn two_messages(lab: &Lab, hall: &mut Wire, switch: &mut Wire, qos: Qos) -> Result<(Publish, Publish), Stop> {
    let mut messages = Vec::new();
    for payload in ["first", "second"] {
        switch.publish(lab.publish("light", payload, qos)).await.setup()?;
        messages.push(hall.message().await.setup()?);
    }
    let second = messages.pop().unwrap_or_default();
    Ok((messages.pop().unwrap_or_default(), second))
}

// --- QoS 1, to the broker ---------------------------------------------------------------------------------------------

/// Each PUBACK has the packet identifier of its PUBLISH.
async fn qos_1_answers(lab: &mut Lab) -> Outcome {
    answers(lab, AtLeastOnce, AckKind::PubAck).await
}

/// Each answer to a PUBLISH has its packet identifier.
async fn answers(lab: &Lab, qos: Qos, kind: AckKind) -> Outcome {
    lab.needs_qos(qos)?;
    let mut switch = lab.client("switch").await?;
    for packet in [9, 1, 0xffff, 0x100].map(identifier) {
        let publish = Publish { packet_identifier: Some(packet), ..lab.publish("light", "on", qos) };
        switch.send_publish(publish).await.setup()?;
        let answer = switch
            .expect(&format!("{} for packet identifier {packet}", kind.packet_type()), |packet| match packet {
                Packet::Ack(ack) if ack.kind == kind => Some(ack.clone()),
                _ => None,
            })
            .await?;
        same("packet identifier", answer.packet_identifier, packet)?;
    }
    Ok(())
}

/// After PUBACK the same packet identifier brings a new message, whatever DUP says.
async fn qos_1_identifier_again(lab: &mut Lab) -> Outcome {
    identifier_again(lab, AtLeastOnce).await
}

/// After the exchange the same packet identifier brings a new message, whatever DUP says.
async fn identifier_again(lab: &Lab, qos: Qos) -> Outcome {
    lab.needs_qos(qos)?;
    let mut hall = lab.subscriber("hall", "light", qos).await?;
    let mut switch = lab.client("switch").await?;
    for (payload, dup) in [("first", false), ("second", false), ("third", true)] {
        let packet_identifier = Some(identifier(700));
        switch.publish(Publish { dup, packet_identifier, ..lab.publish("light", payload, qos) }).await?;
    }
    let heard = lab.heard(&mut hall, &mut switch, "light", qos).await?;
    same("messages", payloads(&heard), "first, second, third".to_owned())?;
    Ok(())
}

// --- QoS 2, from the broker -------------------------------------------------------------------------------------------

/// With answers withheld, first copies at QoS 2 have DUP 0 and packet identifiers of their own.
async fn qos_2_first_copies(lab: &mut Lab) -> Outcome {
    first_copies(lab, ExactlyOnce).await
}

/// A PUBLISH without PUBREC comes again when the session is resumed.
async fn qos_2_pending_until_pubrec(lab: &mut Lab) -> Outcome {
    let (mut hall, first) = half_done(lab).await?;
    hall.ping().await.setup()?;
    hall.cut().await;
    let mut hall = lab.resume("hall").await?;
    same("payload", hall.message().await?.payload, first.payload)?;
    Ok(())
}

/// A lasting subscriber that got a QoS 2 message and has not answered.
async fn half_done(lab: &Lab) -> Result<(Wire, Publish), Stop> {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.lasting_subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", ExactlyOnce)).await.setup()?;
    let message = hall.message().await.setup()?;
    same("QoS", message.qos, ExactlyOnce).setup()?;
    Ok((hall, message))
}

/// PUBREC below 0x80 brings PUBREL with the same packet identifier.
async fn pubrec_brings_pubrel(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    for reason in [Reason::Success, Reason::NoMatchingSubscribers] {
        switch.publish(lab.publish("light", "on", ExactlyOnce)).await.setup()?;
        let packet = identifier_of(&hall.message().await.setup()?)?;
        hall.send_ack_with(AckKind::PubRec, packet, reason).await.setup()?;
        hall.ack(AckKind::PubRel, packet).await?;
        hall.send_ack(AckKind::PubComp, packet).await.setup()?;
    }
    Ok(())
}

/// PUBREC of 0x80 or above ends the exchange: no PUBREL.
async fn failing_pubrec_brings_no_pubrel(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", ExactlyOnce)).await.setup()?;
    let packet = identifier_of(&hall.message().await.setup()?)?;
    hall.send_ack_with(AckKind::PubRec, packet, Reason::UnspecifiedError).await.setup()?;
    hall.ping().await?;
    ensure(pubrels(&mut hall) == 0, "no PUBREL", "PUBREL")?;
    Ok(())
}

/// After PUBREC the PUBREL comes again whenever the session is resumed; after PUBCOMP it does not.
async fn pubrel_pending_until_pubcomp(lab: &mut Lab) -> Outcome {
    let (mut hall, first) = half_done(lab).await?;
    let packet = identifier_of(&first)?;
    hall.send_ack(AckKind::PubRec, packet).await.setup()?;
    hall.ack(AckKind::PubRel, packet).await.setup()?;
    for _ in 0..2 {
        hall.cut().await;
        hall = lab.resume("hall").await?;
        hall.ack(AckKind::PubRel, packet).await?;
    }
    hall.send_ack(AckKind::PubComp, packet).await.setup()?;
    hall.ping().await.setup()?;
    hall.cut().await;
    hall = lab.resume("hall").await?;
    hall.ping().await?;
    ensure(pubrels(&mut hall) == 0, "no PUBREL after PUBCOMP", "PUBREL")?;
    Ok(())
}

/// After PUBREL the PUBLISH does not come again when the session is resumed, whatever else does.
async fn publish_ends_with_pubrel(lab: &mut Lab) -> Outcome {
    let (mut hall, first) = half_done(lab).await?;
    let packet = identifier_of(&first)?;
    hall.send_ack(AckKind::PubRec, packet).await.setup()?;
    hall.ack(AckKind::PubRel, packet).await.setup()?;
    hall.cut().await;
    let mut hall = lab.resume("hall").await?;
    hall.ping().await.setup()?;
    let publish = hall.rest().into_iter().any(|packet| matches!(packet, Packet::Publish(_)));
    ensure(!publish, "PUBREL alone", "PUBLISH after its PUBREL")?;
    Ok(())
}

/// A QoS 2 PUBLISH that was sent once comes again even after its expiry.
async fn begun_publish_does_not_expire(lab: &mut Lab) -> Outcome {
    let (mut hall, [lasting, brief]) = one_that_expires(lab).await?;
    hall.ping().await.setup()?;
    hall.cut().await;
    lab.wait(Duration::from_millis(2500)).await;
    let mut hall = lab.resume("hall").await?;
    let again = hall.message().await.setup()?;
    same("payload", &again.payload, &lasting.payload).setup()?;
    hall.settle(&again).await.setup()?;
    same("payload", hall.message().await?.payload, brief.payload)?;
    Ok(())
}

/// The PUBREL of a message comes again even after the message's expiry.
async fn begun_pubrel_does_not_expire(lab: &mut Lab) -> Outcome {
    let (mut hall, messages) = one_that_expires(lab).await?;
    let [lasting, brief] = [identifier_of(&messages[0])?, identifier_of(&messages[1])?];
    for packet in [lasting, brief] {
        hall.send_ack(AckKind::PubRec, packet).await.setup()?;
        hall.ack(AckKind::PubRel, packet).await.setup()?;
    }
    hall.cut().await;
    lab.wait(Duration::from_millis(2500)).await;
    let mut hall = lab.resume("hall").await?;
    hall.ack(AckKind::PubRel, lasting).await.setup()?;
    hall.send_ack(AckKind::PubComp, lasting).await.setup()?;
    hall.ack(AckKind::PubRel, brief).await?;
    Ok(())
}

/// A lasting subscriber that got two QoS 2 messages and has not answered. The second expires after a second; the first
/// does not, and shows that what is half done comes again at all.
async fn one_that_expires(lab: &Lab) -> Result<(Wire, [Publish; 2]), Stop> {
    let (mut hall, lasting) = half_done(lab).await?;
    let mut switch = lab.client("another").await?;
    let mut publish = lab.publish("light", "brief", ExactlyOnce);
    publish.properties.push(Property::MessageExpiryInterval, Value::Four(1));
    switch.publish(publish).await.setup()?;
    let brief = hall.message().await.setup()?;
    Ok((hall, [lasting, brief]))
}

// --- QoS 2, to the broker ---------------------------------------------------------------------------------------------

/// Each PUBREC has the packet identifier of its PUBLISH.
async fn qos_2_answers(lab: &mut Lab) -> Outcome {
    answers(lab, ExactlyOnce, AckKind::PubRec).await
}

/// After a PUBREC of 0x80 or above the same packet identifier brings a new message.
async fn refused_identifier_again(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    let packet_identifier = Some(identifier(700));
    let publish = lab.publish("light", "on", ExactlyOnce);
    // Few brokers take what clients publish under $: it is theirs.
    let refused = Publish { topic: text("$SYS/simrun"), packet_identifier, ..publish.clone() };
    switch.send_publish(refused).await.setup()?;
    let refusal = switch.ack(AckKind::PubRec, identifier(700)).await;
    let is_refused = refusal.is_ok_and(|pubrec| pubrec.reason.is_error());
    lab.needs(is_refused, "topic under $SYS that it refuses with a PUBREC")?;

    let reason = switch.publish(Publish { packet_identifier, ..publish }).await?;
    ensure(!reason.is_error(), "PUBREC below 0x80", format!("PUBREC {reason}"))?;
    same("payload", hall.take_message().await?.payload, "on".into())?;
    Ok(())
}

/// Before PUBREL a message that comes again is answered with PUBREC each time, and passed on once.
async fn repeats_are_not_passed_on(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce).await?;
    let (mut switch, _) = lab.join(lab.connect_to_stay("switch")).await?;
    let packet = identifier(700);
    let publish = Publish { packet_identifier: Some(packet), ..lab.publish("light", "once", ExactlyOnce) };
    switch.send_publish(publish.clone()).await.setup()?;
    switch.ack(AckKind::PubRec, packet).await?;
    for _ in 0..2 {
        switch.cut().await;
        switch = lab.resume("switch").await?;
        switch.send_publish(Publish { dup: true, ..publish.clone() }).await.setup()?;
        switch.ack(AckKind::PubRec, packet).await?;
    }
    switch.send_ack(AckKind::PubRel, packet).await.setup()?;
    switch.ack(AckKind::PubComp, packet).await?;
    let heard = lab.heard(&mut hall, &mut switch, "light", ExactlyOnce).await?;
    same("messages", payloads(&heard), "once".to_owned())?;
    Ok(())
}

/// Each PUBREL is answered with PUBCOMP under the same packet identifier: when it is due, after a cut, and when there is
/// nothing left to release.
async fn pubrel_brings_pubcomp(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let (mut switch, _) = lab.join(lab.connect_to_stay("switch")).await?;
    let packet = identifier(700);
    let publish = Publish { packet_identifier: Some(packet), ..lab.publish("light", "on", ExactlyOnce) };
    switch.send_publish(publish).await.setup()?;
    switch.ack(AckKind::PubRec, packet).await.setup()?;
    switch.cut().await;
    let mut switch = lab.resume("switch").await?;
    for when in ["after a cut", "once more"] {
        switch.send_ack(AckKind::PubRel, packet).await.setup()?;
        switch.ack(AckKind::PubComp, packet).await.about(when)?;
    }
    Ok(())
}

/// After PUBCOMP the same packet identifier brings a new message, whatever DUP says.
async fn qos_2_identifier_again(lab: &mut Lab) -> Outcome {
    identifier_again(lab, ExactlyOnce).await
}

/// PUBREL is answered with PUBCOMP though the message has expired, also after a cut, if one is answered there at all.
async fn pubcomp_for_an_expired_message(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let (mut switch, _) = lab.join(lab.connect_to_stay("switch")).await?;
    let packets = [700, 701, 702].map(identifier);
    for packet in packets {
        let mut publish = lab.publish("light", "on", ExactlyOnce);
        publish.packet_identifier = Some(packet);
        if packet != packets[1] {
            publish.properties.push(Property::MessageExpiryInterval, Value::Four(1));
        }
        switch.send_publish(publish).await.setup()?;
        switch.ack(AckKind::PubRec, packet).await.setup()?;
    }
    lab.wait(Duration::from_millis(2500)).await;
    switch.send_ack(AckKind::PubRel, packets[0]).await.setup()?;
    switch.ack(AckKind::PubComp, packets[0]).await?;
    switch.cut().await;
    let mut switch = lab.resume("switch").await?;
    switch.send_ack(AckKind::PubRel, packets[1]).await.setup()?;
    switch.ack(AckKind::PubComp, packets[1]).await.setup()?;
    switch.send_ack(AckKind::PubRel, packets[2]).await.setup()?;
    switch.ack(AckKind::PubComp, packets[2]).await.about("after a cut")?;
    Ok(())
}

// --- receipt ----------------------------------------------------------------------------------------------------------

/// A message that was taken over reaches every session with a matching subscription: one that is connected, one that is
/// not, one with several.
async fn every_session_that_matches(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let absent = lab.lasting_subscriber("absent", "light/hall", AtLeastOnce).await?;
    absent.cut().await;
    let mut present = lab.subscriber("present", "light/hall", AtLeastOnce).await?;
    let mut switch = lab.client("switch").await?;
    let mut overlapping = lab.client("many").await?;
    let at_qos_1 = SubscriptionOptions { qos: AtLeastOnce, ..SubscriptionOptions::default() };
    let mut filters = vec![lab.topic("light/hall")];
    if lab.abilities().wildcards {
        filters.extend([lab.topic("light/+"), lab.topic("light/#")]);
    }
    for filter in &filters {
        overlapping.subscribe_with(filter, at_qos_1).await.setup()?;
    }

    switch.publish(lab.publish("light/hall", "on", AtLeastOnce)).await.setup()?;
    present.messages_until(b"on").await.about("a session that is connected")?;
    overlapping.messages_until(b"on").await.about("a session with overlapping subscriptions")?;
    let mut absent = lab.resume("absent").await?;
    absent.messages_until(b"on").await.about("a session that was not connected")?;
    Ok(())
}

/// A session without a matching subscription does not get the message.
async fn no_session_that_does_not_match(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let mut other = lab.subscriber("other", "heating/hall", AtLeastOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light/hall", "on", AtLeastOnce)).await.setup()?;
    let heard = lab.heard(&mut other, &mut switch, "heating/hall", AtLeastOnce).await?;
    ensure(heard.is_empty(), "no message for another topic", payloads(&heard))?;
    Ok(())
}

// --- order ------------------------------------------------------------------------------------------------------------

/// Numbered messages come in order, by publisher and QoS, on topics of every shape.
async fn order_of_topics(lab: &mut Lab) -> Outcome {
    for topic in ["light", "light/hall", "/", "light//", "Licht/Küche", " "] {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            if qos > lab.abilities().maximum_qos {
                continue;
            }
            let mut hall = lab.subscriber("hall", topic, qos).await?;
            let mut one = lab.client("one").await?;
            let mut two = lab.client("two").await?;
            for number in 0..SOME {
                one.publish(lab.publish(topic, vec![1, number], qos)).await.setup()?;
                two.publish(lab.publish(topic, vec![2, number], qos)).await.setup()?;
            }
            let mut heard = lab.heard(&mut hall, &mut one, topic, qos).await?;
            heard.extend(lab.heard(&mut hall, &mut two, topic, qos).await?);
            for publisher in [1, 2] {
                let came = numbers(&heard, |payload| payload.first() == Some(&publisher));
                let what = format!("{topic:?} at {qos}: numbers");
                same(&what, came, (0..SOME).collect::<Vec<u8>>())?;
            }
        }
    }
    Ok(())
}

/// What is sent again and what follows keep their order when a subscriber is cut off and returns.
async fn order_across_a_cut(lab: &mut Lab) -> Outcome {
    for qos in [AtLeastOnce, ExactlyOnce] {
        lab.needs_qos(qos)?;
        let connect = || {
            let mut connect = lab.connect_to_stay("hall");
            if lab.is_v5() {
                connect.properties.push(Property::ReceiveMaximum, Value::Two(2));
            }
            connect
        };
        let (mut hall, _) = lab.join(connect()).await?;
        hall.subscribe(lab.topic("light"), qos).await.setup()?;
        let mut switch = lab.client("switch").await?;
        for number in 0..SOME {
            switch.publish(lab.publish("light", vec![0, number], qos)).await.setup()?;
        }
        hall.message().await.setup()?;
        hall.ping().await.setup()?;
        hall.cut().await;
        for number in SOME..2 * SOME {
            switch.publish(lab.publish("light", vec![0, number], qos)).await.setup()?;
        }
        let (mut hall, _) = lab.join(connect()).await?;
        let heard = lab.heard(&mut hall, &mut switch, "light", qos).await.setup()?;
        let numbers = numbers(&heard, |_| true);
        ensure(numbers.is_sorted(), "numbers that rise", format!("{numbers:?}")).about(&qos.to_string())?;
        // What is missing is not out of order.
        same("numbers", numbers, (0..2 * SOME).collect()).about(&qos.to_string()).setup()?;
        hall.leave().await.setup()?;
    }
    Ok(())
}

/// The numbers in messages of two bytes with such a payload.
fn numbers(messages: &[Publish], wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let wanted = messages.iter().filter(|message| wanted(&message.payload));
    wanted.filter_map(|message| message.payload.get(1).copied()).collect()
}

// --- what comes -------------------------------------------------------------------------------------------------------

fn identifier_of(publish: &Publish) -> Result<PacketIdentifier, Stop> {
    let packet = publish.packet_identifier;
    ensure(packet.is_some(), "PUBLISH with a packet identifier", format!("PUBLISH at {}", publish.qos)).setup()?;
    Ok(packet.unwrap_or(PacketIdentifier::MIN))
}

/// How many PUBRELs have come and were not asked for.
fn pubrels(wire: &mut Wire) -> usize {
    let is_pubrel = |packet: &Packet| matches!(packet, Packet::Ack(ack) if ack.kind == AckKind::PubRel);
    wire.rest().iter().filter(|packet| is_pubrel(packet)).count()
}

fn payloads(messages: &[Publish]) -> String {
    let payloads: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(&message.payload)).collect();
    payloads.join(", ")
}
