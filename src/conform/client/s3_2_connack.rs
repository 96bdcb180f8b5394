//! CONNACK (section 3.2): what the server offers is all that the client uses.

use super::{lacks, row};
use crate::codec::{AckKind, ConnAck, Packet, Properties, Property, Qos, Reason, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::{FilterOrder, Order, PublishOrder, SubscribeOrder};
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop};
use crate::conform::wire::Wire;
use crate::trace::describe;

client_cases! {
    session_that_nobody_has: ["v5/MQTT-3.2.2-4"];
    session_that_the_server_lost: ["v5/MQTT-3.2.2-5"];
    maximum_qos: ["v5/MQTT-3.2.2-11"];
    retain_not_available: ["v5/MQTT-3.2.2-14"];
    maximum_packet_size: ["v5/MQTT-3.2.2-15"];
    topic_alias_maximum: ["v5/MQTT-3.2.2-17", "v5/MQTT-3.3.2-9"];
    client_no_topic_aliases: ["v5/MQTT-3.2.2-18"];
}

/// A client without a session closes when the server says that it resumes one.
async fn session_that_nobody_has(bench: &mut Bench) -> Outcome {
    let (mut wire, _) = bench.dialled(bench.connect_to_stay("a")).await?;
    let connack = ConnAck { session_present: true, reason: Reason::Success, properties: Properties::new() };
    wire.send(&Packet::ConnAck(connack)).await.setup()?;
    bench.closed(&mut wire).await?;
    Ok(())
}

/// After the server has lost the session nothing of it is sent again. Its messages may come as new ones.
async fn session_that_the_server_lost(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    bench.say(bench.publish("a", "unsettled", 1)).await?;
    wire.message().await.setup()?;
    bench.say(bench.publish("a", "released", 2)).await?;
    let released = wire.message().await.setup()?.packet_identifier.unwrap_or(super::id(0));
    wire.send_ack(AckKind::PubRec, released).await.setup()?;
    wire.ack(AckKind::PubRel, released).await.setup()?;
    let mut wire = bench.resume(wire, false).await?;
    lacks("a message or PUBREL of a session that is lost", &bench.until_sentinel(&mut wire).await?, |packet| {
        match packet {
            Packet::Publish(publish) => publish.dup,
            Packet::Ack(ack) => ack.kind == AckKind::PubRel,
            _ => false,
        }
    })?;
    Ok(())
}

/// The client comes in and is told this of the server.
async fn told(bench: &mut Bench, properties: Properties) -> Result<Wire, Stop> {
    bench.welcome_with(bench.connect("a"), false, properties).await
}

fn to_publish(order: PublishOrder) -> Order {
    Order::Publish(Box::new(order))
}

/// Nothing is published at a QoS above the server's maximum.
async fn maximum_qos(bench: &mut Bench) -> Outcome {
    for most in [Qos::AtLeastOnce, Qos::AtMostOnce] {
        let properties = Properties::new().with(Property::MaximumQos, Value::Byte(most.number()));
        let mut wire = told(bench, properties).await?;
        let order = to_publish(bench.publish("a", "x", most.number() + 1));
        let sent = bench.offer(&mut wire, order).await?;
        let above = |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.qos > most);
        lacks("a message above Maximum QoS", &sent, above)?;
        bench.cut(wire).await?;
    }
    Ok(())
}

/// Nothing is published with RETAIN.
async fn retain_not_available(bench: &mut Bench) -> Outcome {
    let mut wire = told(bench, Properties::new().with(Property::RetainAvailable, false)).await?;
    let order = to_publish(PublishOrder { retain: true, ..bench.publish("a", "x", 0) });
    let sent = bench.offer(&mut wire, order).await?;
    lacks("a retained message", &sent, |packet| matches!(packet, Packet::Publish(publish) if publish.retain))?;
    Ok(())
}

/// No PUBLISH and no SUBSCRIBE is larger than the server takes.
async fn maximum_packet_size(bench: &mut Bench) -> Outcome {
    let long = || "x".repeat(200);
    let filters = vec![FilterOrder { filter: long(), ..FilterOrder::default() }];
    let rows = [
        ("a large message", to_publish(bench.publish("a", &long(), 0))),
        ("a large SUBSCRIBE", Order::Subscribe(SubscribeOrder { filters, ..SubscribeOrder::default() })),
    ];
    for (what, order) in rows {
        let mut wire = told(bench, Properties::new().with(Property::MaximumPacketSize, Value::Four(100))).await?;
        let sent = row(what, bench.offer(&mut wire, order).await)?;
        lacks(what, &sent, |packet| match packet {
            Packet::Publish(publish) => publish.payload.len() >= 200,
            Packet::Subscribe(subscribe) => subscribe.subscriptions[0].filter.len() >= 200,
            _ => false,
        })?;
        bench.cut(wire).await?;
    }
    Ok(())
}

/// Topic aliases, chosen by the library or by the application, stay within the server's maximum.
async fn topic_alias_maximum(bench: &mut Bench) -> Outcome {
    let mut wire = told(bench, Properties::new().with(Property::TopicAliasMaximum, Value::Two(2))).await?;
    aliases_within(bench, &mut wire, 2).await
}

/// No topic alias is sent to a server that takes none, or says nothing about it.
async fn client_no_topic_aliases(bench: &mut Bench) -> Outcome {
    for properties in [Properties::new(), Properties::new().with(Property::TopicAliasMaximum, Value::Two(0))] {
        let mut wire = told(bench, properties).await?;
        aliases_within(bench, &mut wire, 0).await?;
        bench.cut(wire).await?;
    }
    Ok(())
}

async fn aliases_within(bench: &mut Bench, wire: &mut Wire, most: u16) -> Outcome {
    let plain = (0..5).map(|number| bench.publish(&format!("a/{number}"), "x", 0));
    let mut orders: Vec<PublishOrder> = plain.collect();
    if bench.needs("topic_alias").is_ok() {
        orders.extend((1..=3).map(|alias| PublishOrder { topic_alias: Some(alias), ..bench.publish("b", "x", 0) }));
    }
    for order in orders {
        for packet in bench.offer(wire, to_publish(order)).await? {
            let Packet::Publish(publish) = &packet else { continue };
            if publish.properties.topic_alias().is_some_and(|alias| alias > most) {
                return Err(Failure::new(format!("no topic alias above {most}"), describe(&packet)).into());
            }
        }
        if wire.is_closed() {
            break;
        }
    }
    Ok(())
}
