//! Flow control (5.0 section 4.9).

use super::{id, message};
use crate::codec::{AckKind, Packet, Properties, Property, Publish, Qos, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure};
use crate::conform::wire::Wire;

client_cases! {
    receive_maximum: ["v5/MQTT-3.3.4-7", "v5/MQTT-4.9.0-1", "v5/MQTT-4.9.0-2"];
    quota_holds_back_publish_alone: ["v5/MQTT-3.3.4-8"];
    packets_are_handled_without_quota: ["v5/MQTT-4.9.0-3"];
}

async fn offered(bench: &mut Bench, receive_maximum: u16) -> Result<Wire, Stop> {
    let properties = Properties::new().with(Property::ReceiveMaximum, Value::Two(receive_maximum));
    bench.welcome_with(bench.connect("a"), false, properties).await
}

/// At least one and at most as many messages as the server takes are under way; PUBREC frees no room, PUBACK and PUBCOMP
/// do.
async fn receive_maximum(bench: &mut Bench) -> Outcome {
    for most in [1, 2] {
        let mut wire = offered(bench, most).await?;
        let qos = [2, 1, 2, 1, 2];
        for qos in qos {
            bench.say(bench.publish("a", "x", qos)).await?;
        }
        let mut under_way: Vec<Publish> = Vec::new();
        for _ in qos {
            if under_way.is_empty() {
                under_way.push(wire.message().await?);
            }
            more(bench, &mut wire, &mut under_way, most).await?;
            let first = under_way.remove(0);
            if first.qos == Qos::ExactlyOnce {
                let identifier = first.packet_identifier.unwrap_or(id(0));
                wire.send_ack(AckKind::PubRec, identifier).await.setup()?;
                wire.ack(AckKind::PubRel, identifier).await.setup()?;
                under_way.push(first);
                more(bench, &mut wire, &mut under_way, most).await?;
                let place = under_way.iter().position(|publish| publish.packet_identifier == Some(identifier));
                under_way.remove(place.unwrap_or_default());
                wire.send_ack(AckKind::PubComp, identifier).await.setup()?;
            } else {
                wire.settle(&first).await.setup()?;
            }
        }
        bench.cut(wire).await?;
    }
    Ok(())
}

/// Takes the messages that have come meanwhile.
async fn more(bench: &mut Bench, wire: &mut Wire, under_way: &mut Vec<Publish>, most: u16) -> Outcome {
    for packet in bench.dealt_with(wire).await? {
        if let Packet::Publish(publish) = packet {
            under_way.push(publish);
        }
    }
    let count = under_way.len();
    ensure(count <= usize::from(most), format!("at most {most} messages under way"), format!("{count}"))?;
    Ok(())
}

/// Brings as many messages under way as the server takes, and one more to wait.
async fn used_up(bench: &mut Bench) -> Result<Wire, Stop> {
    let mut wire = offered(bench, 1).await?;
    bench.subscribe_to_all(&mut wire).await?;
    bench.say(bench.publish("a", "under way", 1)).await?;
    wire.message().await.setup()?;
    bench.say(bench.publish("a", "waiting", 1)).await?;
    Ok(wire)
}

/// With no quota left SUBSCRIBE and acks are still sent.
async fn quota_holds_back_publish_alone(bench: &mut Bench) -> Outcome {
    let mut wire = used_up(bench).await?;
    bench.ask("a", 0).await?;
    wire.subscribing().await?;
    wire.send_publish(message("x", Qos::AtLeastOnce, 7)).await.setup()?;
    wire.ack(AckKind::PubAck, id(7)).await?;
    Ok(())
}

/// With no quota left what the server sends is still dealt with.
async fn packets_are_handled_without_quota(bench: &mut Bench) -> Outcome {
    let mut wire = used_up(bench).await?;
    wire.publish(message("x", Qos::ExactlyOnce, 7)).await?;
    bench.message().await?;
    Ok(())
}
