//! Delivery (sections 4.3 to 4.6).

use std::collections::BTreeSet;
use std::time::Duration;

use super::{again, id, lacks, message};
use crate::codec::{AckKind, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Reason, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::hex;
use crate::conform::steered::protocol::{Order, PublishOrder};
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::Wire;

client_cases! {
    qos_0_is_sent_once: ["v3.1.1/MQTT-4.3.1-1", "v5/MQTT-4.3.1-1"];
    client_qos_1_first_copies: ["v3.1.1/MQTT-4.3.2-1", "v5/MQTT-4.3.2-1", "v5/MQTT-4.3.2-2"];
    qos_1_is_kept_until_puback: [
        "v3.1.1/MQTT-4.3.2-1", "v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.3.2-3", "v5/MQTT-4.4.0-1",
    ];
    qos_1_is_answered: ["v3.1.1/MQTT-4.3.2-2", "v5/MQTT-4.3.2-4"];
    qos_1_identifier_is_new_after_puback: ["v3.1.1/MQTT-4.3.2-2", "v5/MQTT-4.3.2-5"];
    client_qos_2_first_copies: ["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-1", "v5/MQTT-4.3.3-2"];
    qos_2_is_kept_until_pubrec: [
        "v3.1.1/MQTT-4.3.3-1", "v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.3.3-3", "v5/MQTT-4.4.0-1",
    ];
    pubrec_is_answered_by_pubrel: ["v5/MQTT-4.3.3-4"];
    pubrel_is_kept_until_pubcomp: ["v3.1.1/MQTT-4.3.3-1", "v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.3.3-5", "v5/MQTT-4.4.0-1"];
    no_publish_after_pubrel: ["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-6"];
    qos_2_does_not_expire_once_sent: ["v5/MQTT-4.3.3-7"];
    qos_2_is_answered: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-8"];
    identifier_is_new_after_a_failing_pubrec: ["v5/MQTT-4.3.3-9"];
    qos_2_is_passed_on_once: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"];
    pubrel_is_answered_by_pubcomp: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-11"];
    qos_2_identifier_is_new_after_pubcomp: ["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-12"];
    qos_2_is_finished_when_expired: ["v5/MQTT-4.3.3-13"];
    nothing_is_repeated_on_a_connection: ["v5/MQTT-4.4.0-1"];
    client_failing_acks_settle: ["v5/MQTT-4.4.0-2"];
    unwanted_messages_are_answered: ["v3.1.1/MQTT-4.5.0-2", "v5/MQTT-4.5.0-2"];
    repeats_in_order: ["v3.1.1/MQTT-4.6.0-1", "v5/MQTT-4.6.0-1"];
    pubacks_in_order: ["v3.1.1/MQTT-4.6.0-2", "v5/MQTT-4.6.0-2"];
    pubrecs_in_order: ["v3.1.1/MQTT-4.6.0-3", "v5/MQTT-4.6.0-3"];
    pubrels_in_order: ["v3.1.1/MQTT-4.6.0-4", "v5/MQTT-4.6.0-4"];
}

// --- the client sends -------------------------------------------------------------------------------------------------

/// A message at QoS 0 comes once, at QoS 0 and with DUP 0.
async fn qos_0_is_sent_once(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.say(bench.publish("a", "x", 0)).await?;
    let copies: Vec<_> = bench.until_sentinel(&mut wire).await?.into_iter().filter_map(publish).collect();
    let seen: Vec<_> = copies.iter().map(|copy| (copy.qos, copy.dup)).collect();
    same("QoS and DUP of all copies", seen, vec![(Qos::AtMostOnce, false)])?;
    Ok(())
}

fn publish(packet: Packet) -> Option<Publish> {
    match packet {
        Packet::Publish(publish) => Some(publish),
        _ => None,
    }
}

/// First copies at QoS 1 have QoS 1, DUP 0 and packet identifiers that are not in use.
async fn client_qos_1_first_copies(bench: &mut Bench) -> Outcome {
    first_copies(bench, Qos::AtLeastOnce).await
}

/// The same at QoS 2, also while PUBCOMP is awaited.
async fn client_qos_2_first_copies(bench: &mut Bench) -> Outcome {
    first_copies(bench, Qos::ExactlyOnce).await
}

async fn first_copies(bench: &mut Bench, qos: Qos) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let mut in_use = BTreeSet::new();
    for number in 0..4 {
        let (payload, identifier) = say(bench, &mut wire, &number.to_string(), qos).await?;
        same("payload", payload, number.to_string())?;
        ensure(in_use.insert(identifier), "a packet identifier not in use", format!("{identifier} again"))?;
        if qos == Qos::ExactlyOnce && number % 2 == 0 {
            wire.send_ack(AckKind::PubRec, identifier).await.setup()?;
        }
    }
    Ok(())
}

/// Lets the application publish and takes the first copy, which has this QoS and DUP 0. Gives back payload and packet
/// identifier.
async fn say(bench: &mut Bench, wire: &mut Wire, payload: &str, qos: Qos) -> Result<(String, PacketIdentifier), Stop> {
    bench.say(bench.publish("a", payload, qos.number())).await?;
    let sent = wire.message().await?;
    same("QoS and DUP", (sent.qos, sent.dup), (qos, false))?;
    let payload = String::from_utf8_lossy(&sent.payload).into_owned();
    Ok((payload, sent.packet_identifier.unwrap_or(id(0))))
}

/// What has no PUBACK comes again when the session is resumed, under its packet identifier; what has one does not.
async fn qos_1_is_kept_until_puback(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    let (_, settled) = say(bench, &mut wire, "settled", Qos::AtLeastOnce).await.setup()?;
    let (_, unsettled) = say(bench, &mut wire, "unsettled", Qos::AtLeastOnce).await.setup()?;
    wire.send_ack(AckKind::PubAck, settled).await.setup()?;
    bench.dealt_with(&mut wire).await?;
    let mut wire = bench.resume(wire, true).await?;
    let repeated = wire.take_message().await?;
    same("payload", &repeated.payload[..], b"unsettled")?;
    same("packet identifier", repeated.packet_identifier, Some(unsettled))?;
    let mut wire = bench.resume(wire, true).await?;
    nothing_comes_again(bench, &mut wire).await
}

/// What is settled does not come again.
async fn nothing_comes_again(bench: &mut Bench, wire: &mut Wire) -> Outcome {
    let sent = bench.until_sentinel(wire).await?;
    lacks("what is settled", &sent, |packet| matches!(packet, Packet::Publish(_) | Packet::Ack(_)))?;
    Ok(())
}

/// What has no PUBREC comes again when the session is resumed, under its packet identifier.
async fn qos_2_is_kept_until_pubrec(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    let (_, unsettled) = say(bench, &mut wire, "unsettled", Qos::ExactlyOnce).await.setup()?;
    let mut wire = bench.resume(wire, true).await?;
    let repeated = wire.take_message().await?;
    same("payload", &repeated.payload[..], b"unsettled")?;
    same("packet identifier", repeated.packet_identifier, Some(unsettled))?;
    Ok(())
}

/// PUBREC with 0x00 or 0x10 is answered by PUBREL; one that refuses the message is not.
async fn pubrec_is_answered_by_pubrel(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    for reason in [Reason::Success, Reason::NoMatchingSubscribers] {
        let (_, identifier) = say(bench, &mut wire, "x", Qos::ExactlyOnce).await.setup()?;
        wire.send_ack_with(AckKind::PubRec, identifier, reason).await.setup()?;
        wire.ack(AckKind::PubRel, identifier).await?;
        wire.send_ack(AckKind::PubComp, identifier).await.setup()?;
    }
    let (_, identifier) = say(bench, &mut wire, "x", Qos::ExactlyOnce).await.setup()?;
    wire.send_ack_with(AckKind::PubRec, identifier, Reason::UnspecifiedError).await.setup()?;
    let sent = bench.dealt_with(&mut wire).await?;
    let is_pubrel = |packet: &Packet| matches!(packet, Packet::Ack(ack) if ack.kind == AckKind::PubRel);
    lacks("PUBREL for a message that was refused", &sent, is_pubrel)?;
    Ok(())
}

/// Brings the client to await PUBCOMP.
async fn released(bench: &mut Bench, order: PublishOrder) -> Result<(Wire, PacketIdentifier), Stop> {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    bench.say(order).await?;
    let identifier = wire.message().await.setup()?.packet_identifier.unwrap_or(id(0));
    wire.send_ack(AckKind::PubRec, identifier).await.setup()?;
    wire.ack(AckKind::PubRel, identifier).await.setup()?;
    Ok((wire, identifier))
}

/// PUBREL comes again with each connection until PUBCOMP has come, and then no more.
async fn pubrel_is_kept_until_pubcomp(bench: &mut Bench) -> Outcome {
    let order = bench.publish("a", "x", 2);
    let (mut wire, identifier) = released(bench, order).await?;
    for _ in 0..2 {
        wire = bench.resume(wire, true).await?;
        wire.ack(AckKind::PubRel, identifier).await?;
    }
    wire.send_ack(AckKind::PubComp, identifier).await.setup()?;
    bench.dealt_with(&mut wire).await?;
    let mut wire = bench.resume(wire, true).await?;
    nothing_comes_again(bench, &mut wire).await
}

/// After PUBREL the message itself is not sent again.
async fn no_publish_after_pubrel(bench: &mut Bench) -> Outcome {
    let order = bench.publish("a", "x", 2);
    let (wire, identifier) = released(bench, order).await?;
    let mut wire = bench.resume(wire, true).await?;
    wire.ack(AckKind::PubRel, identifier).await.setup()?;
    let sent = bench.dealt_with(&mut wire).await?;
    lacks("PUBLISH after PUBREL", &sent, |packet| matches!(packet, Packet::Publish(_)))?;
    Ok(())
}

/// A message that was sent once comes again although it has expired meanwhile.
async fn qos_2_does_not_expire_once_sent(bench: &mut Bench) -> Outcome {
    bench.needs("message_expiry")?;
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    bench.say(PublishOrder { message_expiry: Some(1), ..bench.publish("a", "x", 2) }).await?;
    wire.message().await.setup()?;
    bench.cut(wire).await?;
    bench.wait(Duration::from_millis(2500)).await;
    let mut wire = bench.welcome_back(true).await?;
    same("payload", &wire.take_message().await?.payload[..], b"x")?;
    Ok(())
}

/// On a connection that stands nothing is sent again, however long its ack takes.
async fn nothing_is_repeated_on_a_connection(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    for qos in [1, 2] {
        bench.say(bench.publish("a", "x", qos)).await?;
        wire.message().await.setup()?;
    }
    wire.listen(Duration::from_secs(5)).await;
    let sent = wire.rest();
    lacks("a message on the same connection again", &sent, |packet| matches!(packet, Packet::Publish(_)))?;
    Ok(())
}

/// A PUBACK or PUBREC that refuses settles a message for good.
async fn client_failing_acks_settle(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    for (qos, kind) in [(Qos::AtLeastOnce, AckKind::PubAck), (Qos::ExactlyOnce, AckKind::PubRec)] {
        let (_, identifier) = say(bench, &mut wire, "x", qos).await.setup()?;
        wire.send_ack_with(kind, identifier, Reason::UnspecifiedError).await.setup()?;
    }
    bench.dealt_with(&mut wire).await?;
    let mut wire = bench.resume(wire, true).await?;
    // That a PUBREC which refuses brings no PUBREL is another matter.
    let sent = bench.until_sentinel(&mut wire).await?;
    lacks("a message that was refused", &sent, |packet| matches!(packet, Packet::Publish(_)))?;
    Ok(())
}

/// Messages come again in the order in which they were first sent.
async fn repeats_in_order(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    let mut first = Vec::new();
    for (number, qos) in [1, 2, 2, 1].into_iter().enumerate() {
        bench.say(bench.publish("a", &number.to_string(), qos)).await?;
        first.push(wire.message().await.setup()?.payload);
    }
    let mut wire = bench.resume(wire, true).await?;
    let mut second = Vec::new();
    while second.len() < first.len() {
        second.push(wire.take_message().await?.payload);
    }
    same("order", second, first)?;
    Ok(())
}

/// PUBRELs come in the order of the PUBRECs.
async fn pubrels_in_order(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let mut identifiers = Vec::new();
    for _ in 0..3 {
        identifiers.push(say(bench, &mut wire, "x", Qos::ExactlyOnce).await.setup()?.1);
    }
    identifiers.rotate_left(1);
    for identifier in &identifiers {
        wire.send_ack(AckKind::PubRec, *identifier).await.setup()?;
    }
    acks_in_order(&mut wire, AckKind::PubRel, identifiers).await
}

async fn acks_in_order(wire: &mut Wire, kind: AckKind, identifiers: Vec<PacketIdentifier>) -> Outcome {
    let mut came = Vec::new();
    for _ in &identifiers {
        let ack = wire.expect(kind.packet_type().name(), |packet| match packet {
            Packet::Ack(ack) if ack.kind == kind => Some(ack.packet_identifier),
            _ => None,
        });
        came.push(ack.await?);
    }
    same("packet identifiers", came, identifiers)?;
    Ok(())
}

// --- the client receives ----------------------------------------------------------------------------------------------

/// Payloads of all messages that the application was told of.
async fn told(bench: &mut Bench, wire: &mut Wire) -> Result<Vec<String>, Stop> {
    Ok(bench.messages(wire).await?.into_iter().map(|message| message.payload_hex).collect())
}

fn payloads(payloads: &[&str]) -> Vec<String> {
    payloads.iter().map(|payload| hex(payload.as_bytes())).collect()
}

/// Each message at QoS 1 is answered by a PUBACK with its packet identifier.
async fn qos_1_is_answered(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    for identifier in [1, 0xFFFF, 0x1234, 2] {
        wire.send_publish(message("x", Qos::AtLeastOnce, identifier)).await.setup()?;
        wire.ack(AckKind::PubAck, id(identifier)).await?;
    }
    Ok(())
}

/// After PUBACK the packet identifier is that of a new message, whatever DUP says.
async fn qos_1_identifier_is_new_after_puback(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let first = message("x", Qos::AtLeastOnce, 7);
    wire.publish(first.clone()).await?;
    wire.publish(again(&first)).await?;
    same("messages that the application was told of", told(bench, &mut wire).await?, payloads(&["x", "x"]))?;
    Ok(())
}

/// Each message at QoS 2 is answered by a PUBREC with its packet identifier.
async fn qos_2_is_answered(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    for identifier in [1, 0xFFFF, 0x1234, 2] {
        wire.send_publish(message("x", Qos::ExactlyOnce, identifier)).await.setup()?;
        wire.ack(AckKind::PubRec, id(identifier)).await?;
    }
    Ok(())
}

/// After a PUBREC that refuses the packet identifier is that of a new message. A client that takes everything shows
/// nothing.
async fn identifier_is_new_after_a_failing_pubrec(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let first = message("x", Qos::ExactlyOnce, 7);
    wire.send_publish(first.clone()).await.setup()?;
    if !wire.ack(AckKind::PubRec, id(7)).await.setup()?.reason.is_error() {
        return Err(Stop::Skipped("the client refuses no message".to_owned()));
    }
    wire.send_publish(first).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await?;
    Ok(())
}

/// Before PUBREL repeats are answered by PUBREC, and the application is told once.
async fn qos_2_is_passed_on_once(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect_to_stay("a")).await?;
    let first = message("once", Qos::ExactlyOnce, 7);
    wire.send_publish(first.clone()).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await?;
    for _ in 0..2 {
        wire = bench.resume(wire, true).await?;
        wire.send_publish(again(&first)).await.setup()?;
        wire.ack(AckKind::PubRec, id(7)).await?;
    }
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    same("messages that the application was told of", told(bench, &mut wire).await?, payloads(&["once"]))?;
    Ok(())
}

/// PUBREL is answered by PUBCOMP with its packet identifier: in flow, again after a cut, and when it answers nothing.
async fn pubrel_is_answered_by_pubcomp(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect_to_stay("a")).await?;
    wire.send_publish(message("x", Qos::ExactlyOnce, 7)).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await.setup()?;
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    let mut wire = bench.resume(wire, true).await?;
    for identifier in [7, 0x7777] {
        wire.send_ack(AckKind::PubRel, id(identifier)).await.setup()?;
        wire.ack(AckKind::PubComp, id(identifier)).await?;
    }
    Ok(())
}

/// After PUBCOMP the packet identifier is that of a new message, whatever DUP says.
async fn qos_2_identifier_is_new_after_pubcomp(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let first = message("x", Qos::ExactlyOnce, 7);
    wire.publish(first.clone()).await?;
    wire.publish(again(&first)).await?;
    same("messages that the application was told of", told(bench, &mut wire).await?, payloads(&["x", "x"]))?;
    Ok(())
}

/// PUBREL is answered although the message has expired meanwhile.
async fn qos_2_is_finished_when_expired(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let properties = Properties::new().with(Property::MessageExpiryInterval, Value::Four(1));
    wire.send_publish(Publish { properties, ..message("x", Qos::ExactlyOnce, 7) }).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await.setup()?;
    bench.wait(Duration::from_secs(2)).await;
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    Ok(())
}

/// Messages that the client did not ask for, or not any more, are answered by their QoS.
async fn unwanted_messages_are_answered(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    wire.publish(message("x", Qos::AtLeastOnce, 1)).await?;
    wire.publish(message("x", Qos::ExactlyOnce, 2)).await?;
    bench.subscribe_to_all(&mut wire).await?;
    bench.must(Order::Unsubscribe { filters: vec!["#".to_owned()], user_properties: Vec::new() }).await?;
    let unsubscribe = wire.unsubscribing().await.setup()?;
    wire.end(&unsubscribe).await.setup()?;
    wire.publish(message("x", Qos::AtLeastOnce, 3)).await?;
    wire.publish(message("x", Qos::ExactlyOnce, 4)).await?;
    Ok(())
}

/// A burst of messages at QoS 1 is answered in its order.
async fn pubacks_in_order(bench: &mut Bench) -> Outcome {
    burst(bench, Qos::AtLeastOnce, AckKind::PubAck).await
}

/// A burst of messages at QoS 2 is answered in its order.
async fn pubrecs_in_order(bench: &mut Bench) -> Outcome {
    burst(bench, Qos::ExactlyOnce, AckKind::PubRec).await
}

async fn burst(bench: &mut Bench, qos: Qos, kind: AckKind) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let identifiers = [5, 3, 9, 1, 7];
    for identifier in identifiers {
        wire.send_publish(message("x", qos, identifier)).await.setup()?;
    }
    acks_in_order(&mut wire, kind, identifiers.map(id).to_vec()).await
}
