//! Session state (section 4.1).

use std::time::Duration;

use super::{again, id, message};
use crate::codec::{AckKind, Qos};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::hex;
use crate::conform::steered::protocol::ConnectOrder;
use crate::conform::verdict::{Otherwise, Outcome, same};

client_cases! {
    session_outlives_connections: ["v3.1.1/MQTT-4.1.0-1"];
    session_lasts_as_long_as_the_connection: ["v3.1.1/MQTT-4.1.0-2", "v5/MQTT-4.1.0-1"];
}

/// What is under way in both directions is still known after several connections.
async fn session_outlives_connections(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect_to_stay("a")).await?;
    bench.say(bench.publish("a", "unsettled", 1)).await?;
    wire.message().await.setup()?;
    let received = message("once", Qos::ExactlyOnce, 7);
    wire.send_publish(received.clone()).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await.setup()?;
    for _ in 0..3 {
        wire = bench.resume(wire, true).await?;
        same("payload of what is sent again", &wire.message().await?.payload[..], b"unsettled")?;
        wire.send_publish(again(&received)).await.setup()?;
        wire.ack(AckKind::PubRec, id(7)).await?;
    }
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    same("messages that the application was told of", bench.messages(&mut wire).await?.len(), 1)?;
    Ok(())
}

/// A half-done exchange goes on after a time longer than the session would last without a connection.
async fn session_lasts_as_long_as_the_connection(bench: &mut Bench) -> Outcome {
    let session_expiry = bench.is_v5().then_some(1);
    let mut wire = bench.subscriber(ConnectOrder { session_expiry, ..bench.connect("a") }).await?;
    let received = message("once", Qos::ExactlyOnce, 7);
    wire.send_publish(received.clone()).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await.setup()?;
    bench.wait(Duration::from_secs(3)).await;
    wire.send_publish(again(&received)).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await?;
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    let told: Vec<_> = bench.messages(&mut wire).await?.into_iter().map(|message| message.payload_hex).collect();
    same("messages that the application was told of", told, vec![hex(b"once")])?;
    Ok(())
}
