//! Format of packets (section 2).

use std::collections::BTreeSet;

use super::{bytes, id, message, row};
use crate::codec::{AckKind, Packet, PacketIdentifier, Qos};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::Order;
use crate::conform::verdict::{Otherwise, Outcome, ensure, same};
use crate::conform::wire::Wire;

client_cases! {
    client_reserved_flags: ["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1"];
    wrong_flags_end_the_connection: ["v3.1.1/MQTT-2.2.2-2"];
    identifier_zero_ends_the_connection: ["v3.1.1/MQTT-2.3.1-1"];
    identifiers_are_unlike: ["v3.1.1/MQTT-2.3.1-1", "v3.1.1/MQTT-2.3.1-2", "v5/MQTT-2.2.1-3"];
    identifier_is_held_until_puback: ["v3.1.1/MQTT-2.3.1-3"];
    identifier_is_held_until_pubcomp: ["v3.1.1/MQTT-2.3.1-3"];
    qos_0_has_no_identifier: ["v3.1.1/MQTT-2.3.1-5", "v5/MQTT-2.2.1-2"];
    acks_repeat_the_identifier: ["v3.1.1/MQTT-2.3.1-6", "v5/MQTT-2.2.1-5"];
    no_properties_is_one_byte: ["v5/MQTT-2.2.2-1"];
}

/// Packets of every type come with the flags that are reserved for it: the suite takes no others.
async fn client_reserved_flags(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.ask("#", 2).await?;
    let subscribe = wire.subscribing().await?;
    wire.grant(&subscribe).await.setup()?;
    bench.must(Order::Unsubscribe { filters: vec!["b".to_owned()], user_properties: Vec::new() }).await?;
    let unsubscribe = wire.unsubscribing().await?;
    wire.end(&unsubscribe).await.setup()?;
    bench.say(bench.publish("a", "x", 2)).await?;
    let sent = wire.message().await?;
    wire.settle(&sent).await?;
    wire.publish(message("1", Qos::AtLeastOnce, 1)).await?;
    wire.publish(message("2", Qos::ExactlyOnce, 2)).await?;
    bench.leave().await?;
    wire.disconnect().await?;
    Ok(())
}

/// A packet whose reserved flags are wrong ends the connection.
async fn wrong_flags_end_the_connection(bench: &mut Bench) -> Outcome {
    for what in ["PUBACK", "PUBREL", "SUBACK", "PINGRESP"] {
        let mut wire = bench.subscriber(bench.connect("a")).await?;
        let packet = match what {
            "PUBACK" => {
                bench.say(bench.publish("a", "x", 1)).await?;
                "41020001".replace("0001", &identifier_in_hex(wire.message().await.setup()?.packet_identifier))
            }
            "PUBREL" => {
                wire.send_publish(message("x", Qos::ExactlyOnce, 1)).await.setup()?;
                wire.ack(AckKind::PubRec, id(1)).await.setup()?;
                "60020001".to_owned()
            }
            "SUBACK" => {
                bench.ask("a", 0).await?;
                let identifier = wire.subscribing().await.setup()?.packet_identifier;
                format!("9103{}00", identifier_in_hex(Some(identifier)))
            }
            _ => "d100".to_owned(),
        };
        wire.send_bytes(bytes(&packet)).await.setup()?;
        let before = row(what, bench.closed(&mut wire).await.map_err(Into::into))?;
        let answered = before.iter().any(|packet| matches!(packet, Packet::Ack(_)));
        ensure(!answered, format!("{what} with wrong flags is not acted on"), "it was answered")?;
        bench.parted().await?;
    }
    Ok(())
}

fn identifier_in_hex(identifier: Option<PacketIdentifier>) -> String {
    format!("{:04x}", identifier.map_or(0, PacketIdentifier::get))
}

/// A PUBLISH at QoS 1 with packet identifier 0 ends the connection.
async fn identifier_zero_ends_the_connection(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    wire.send_bytes(bytes("3205 0001 61 0000")).await.setup()?;
    bench.closed(&mut wire).await?;
    Ok(())
}

/// PUBLISH, SUBSCRIBE and UNSUBSCRIBE that wait for their acks have packet identifiers that are not zero and unlike each
/// other.
async fn identifiers_are_unlike(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    for qos in [1, 2, 1, 2, 1, 2] {
        bench.say(bench.publish("a", "x", qos)).await?;
    }
    bench.ask("a", 0).await?;
    bench.must(Order::Unsubscribe { filters: vec!["b".to_owned()], user_properties: Vec::new() }).await?;
    let mut identifiers = BTreeSet::new();
    for _ in 0..8 {
        let identifier = wire.expect("a further packet with a packet identifier", identifier).await?;
        ensure(
            identifiers.insert(identifier),
            "a packet identifier that is not in use",
            format!("{identifier} a second time"),
        )?;
    }
    Ok(())
}

/// The packet identifier that a request has.
fn identifier(packet: &Packet) -> Option<PacketIdentifier> {
    match packet {
        Packet::Publish(publish) => publish.packet_identifier,
        Packet::Subscribe(subscribe) => Some(subscribe.packet_identifier),
        Packet::Unsubscribe(unsubscribe) => Some(unsubscribe.packet_identifier),
        _ => None,
    }
}

/// What is sent again has its first packet identifier, and nothing new takes it before PUBACK.
async fn identifier_is_held_until_puback(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    bench.say(bench.publish("a", "old", 1)).await?;
    let first = wire.message().await.setup()?;
    let mut wire = bench.resume(wire, true).await?;
    let second = wire.message().await?;
    same("packet identifier", second.packet_identifier, first.packet_identifier)?;
    nothing_else_takes(bench, &mut wire, first.packet_identifier).await
}

/// The same with PUBREL and PUBCOMP.
async fn identifier_is_held_until_pubcomp(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    bench.say(bench.publish("a", "old", 2)).await?;
    let first = wire.message().await.setup()?.packet_identifier.unwrap_or(id(0));
    wire.send_ack(AckKind::PubRec, first).await.setup()?;
    wire.ack(AckKind::PubRel, first).await.setup()?;
    let mut wire = bench.resume(wire, true).await?;
    let released = wire.expect("PUBREL again", |packet| match packet {
        Packet::Ack(ack) if ack.kind == AckKind::PubRel => Some(ack.packet_identifier),
        _ => None,
    });
    same("packet identifier", released.await?, first)?;
    nothing_else_takes(bench, &mut wire, Some(first)).await
}

/// Lets the application publish and subscribe. The client may keep that back for a while.
async fn nothing_else_takes(bench: &mut Bench, wire: &mut Wire, held: Option<PacketIdentifier>) -> Outcome {
    bench.say(bench.publish("a", "new", 1)).await?;
    bench.ask("a", 0).await?;
    for packet in bench.dealt_with(wire).await? {
        let taken = identifier(&packet).is_some() && identifier(&packet) == held;
        ensure(!taken, "other packet identifiers while one is held", crate::trace::describe(&packet))?;
    }
    Ok(())
}

/// At QoS 0 the payload follows at once.
async fn qos_0_has_no_identifier(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.say(bench.publish("a", "payload", 0)).await?;
    let sent = wire.message().await?;
    same("payload", &sent.payload[..], b"payload")?;
    Ok(())
}

/// Each ack names the packet identifier of its own message, whatever that is.
async fn acks_repeat_the_identifier(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let rows = [
        (Qos::AtLeastOnce, 0x1234),
        (Qos::ExactlyOnce, 1),
        (Qos::AtLeastOnce, 0xFFFF),
        (Qos::ExactlyOnce, 0x0102),
        (Qos::ExactlyOnce, 0x8000),
    ];
    for (qos, identifier) in rows {
        wire.send_publish(message("x", qos, identifier)).await.setup()?;
    }
    for (qos, identifier) in rows {
        let kind = if qos == Qos::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
        wire.ack(kind, id(identifier)).await?;
    }
    for identifier in [0x8000, 1, 0x0102] {
        wire.send_ack(AckKind::PubRel, id(identifier)).await.setup()?;
        wire.ack(AckKind::PubComp, id(identifier)).await?;
    }
    bench.say(bench.publish("a", "x", 2)).await?;
    let sent = wire.message().await?.packet_identifier.unwrap_or(id(0));
    wire.send_ack(AckKind::PubRec, sent).await.setup()?;
    wire.ack(AckKind::PubRel, sent).await?;
    Ok(())
}

/// Packets without properties say so with a property length of 0: the suite can read them.
async fn no_properties_is_one_byte(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.ask("a/filter", 0).await?;
    let subscribe = wire.subscribing().await?;
    same("filter", subscribe.subscriptions[0].filter.as_str(), "a/filter")?;
    bench.must(Order::Unsubscribe { filters: vec!["a/filter".to_owned()], user_properties: Vec::new() }).await?;
    same("filter", wire.unsubscribing().await?.filters[0].as_str(), "a/filter")?;
    bench.say(bench.publish("a", "payload", 0)).await?;
    same("payload", &wire.message().await?.payload[..], b"payload")?;
    Ok(())
}
