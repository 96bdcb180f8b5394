//! Session state (section 4.1).

use std::time::Duration;

use super::{again, id, message};
use crate::codec::{AckKind, Publish, Qos};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::ConnectOrder;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::Wire;

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
    let told = repeated_at_once(bench, &mut wire, &received).await?;
    for _ in 0..3 {
        wire = bench.resume(wire, true).await?;
        same("payload of what is sent again", &wire.message().await?.payload[..], b"unsettled")?;
        wire.send_publish(again(&received)).await.setup()?;
        wire.ack(AckKind::PubRec, id(7)).await?;
    }
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    same("messages that the application was told of", told + bench.messages(&mut wire).await?.len(), 1)?;
    Ok(())
}

/// A half-done exchange goes on after a time longer than the session would last without a connection.
async fn session_lasts_as_long_as_the_connection(bench: &mut Bench) -> Outcome {
    let session_expiry = bench.is_v5().then_some(1);
    let mut wire = bench.subscriber(ConnectOrder { session_expiry, ..bench.connect("a") }).await?;
    let received = message("once", Qos::ExactlyOnce, 7);
    wire.send_publish(received.clone()).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await.setup()?;
    let told = repeated_at_once(bench, &mut wire, &received).await?;
    bench.wait(Duration::from_secs(3)).await;
    wire.send_publish(again(&received)).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await?;
    wire.send_ack(AckKind::PubRel, id(7)).await.setup()?;
    wire.ack(AckKind::PubComp, id(7)).await?;
    same("messages that the application was told of", told + bench.messages(&mut wire).await?.len(), 1)?;
    Ok(())
}

/// Sends a message that has its PUBREC once more, with nothing between. Who passes it on then keeps no note of it at all,
/// which is another matter: nothing is shown of how long. How often the application was told so far.
async fn repeated_at_once(bench: &mut Bench, wire: &mut Wire, received: &Publish) -> Result<usize, Stop> {
    wire.send_publish(again(received)).await.setup()?;
    wire.ack(AckKind::PubRec, id(7)).await.setup()?;
    let told = bench.messages(wire).await.setup()?.len();
    ensure(told <= 1, "a message that is told of once", format!("{told} times")).setup()?;
    Ok(told)
}
