//! WebSocket as transport (section 6).

use super::message;
use crate::codec::{ConnAck, Packet, Properties, Qos, Reason, encode};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::verdict::{Failure, Otherwise, Outcome, ensure};
use crate::conform::websocket::Framing;

client_cases! {
    frames_of_the_client: ["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"];
    connack_in_a_text_frame: ["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"];
    packets_are_put_together: ["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"];
    packets_are_taken_apart: ["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"];
    subprotocol_is_offered: ["v3.1.1/MQTT-6.0.0-3", "v5/MQTT-6.0.0-3"];
}

/// What the client sends comes in binary frames.
async fn frames_of_the_client(bench: &mut Bench) -> Outcome {
    let (mut wire, frames) = bench.dialled_over_websocket(bench.connect("a"), Framing::Whole).await?;
    bench.accepted(&mut wire, false, Properties::new()).await?;
    bench.subscribe_to_all(&mut wire).await?;
    bench.until_sentinel(&mut wire).await.setup()?;
    match frames.seen() {
        (_, Some(opcode)) => ensure(false, "binary frames (opcode 2)", format!("a frame with opcode {opcode}"))?,
        (came, None) => ensure(came > 0, "frames", "none").setup()?,
    }
    Ok(())
}

/// A CONNACK in a text frame, which are all control characters, ends the connection.
async fn connack_in_a_text_frame(bench: &mut Bench) -> Outcome {
    let (mut wire, _) = bench.dialled_over_websocket(bench.connect("a"), Framing::Text).await?;
    wire.try_send(&connack()).await;
    bench.closed(&mut wire).await?;
    Ok(())
}

/// Packets are handled however they are cut into frames: byte by byte, three bytes at a time, in fragments of a message.
async fn packets_are_put_together(bench: &mut Bench) -> Outcome {
    for framing in [Framing::Pieces(1), Framing::Pieces(3), Framing::Fragments(2)] {
        let (mut wire, frames) = bench.dialled_over_websocket(bench.connect("a"), Framing::Whole).await?;
        bench.accepted(&mut wire, false, Properties::new()).await?;
        bench.subscribe_to_all(&mut wire).await?;
        frames.set(framing);
        for identifier in 1..=2 {
            wire.send_publish(message("on", Qos::AtLeastOnce, identifier)).await.setup()?;
        }
        is_told_twice(bench).await.about(&format!("{framing:?}"))?;
        bench.cut(wire).await?;
    }
    Ok(())
}

/// Several packets in one frame are handled, and so are frames that hold the end of one and the beginning of another.
async fn packets_are_taken_apart(bench: &mut Bench) -> Outcome {
    for framing in [Framing::Whole, Framing::Pieces(20)] {
        let (mut wire, frames) = bench.dialled_over_websocket(bench.connect("a"), Framing::Whole).await?;
        bench.accepted(&mut wire, false, Properties::new()).await?;
        bench.subscribe_to_all(&mut wire).await?;
        frames.set(framing);
        let packets = [1, 2].map(|identifier| {
            let mut bytes = Vec::new();
            let packet = Packet::Publish(message("on", Qos::AtLeastOnce, identifier));
            encode(&packet, bench.version(), &mut bytes).map(|()| bytes)
        });
        let packets = packets.into_iter().collect::<Result<Vec<_>, _>>().unwrap_or_default();
        wire.send_together(&packets).await.setup()?;
        is_told_twice(bench).await.about(&format!("{framing:?}"))?;
        bench.cut(wire).await?;
    }
    Ok(())
}

async fn is_told_twice(bench: &mut Bench) -> Result<(), Failure> {
    for _ in 0..2 {
        bench.message().await?;
    }
    Ok(())
}

/// The client offers the subprotocol mqtt.
async fn subprotocol_is_offered(bench: &mut Bench) -> Outcome {
    let (request, ..) = bench.upgrading(bench.connect("a")).await?;
    let offered: Vec<&str> = request.list("Sec-WebSocket-Protocol").collect();
    ensure(offered.contains(&"mqtt"), "mqtt among the subprotocols offered", format!("{offered:?}"))?;
    Ok(())
}

fn connack() -> Packet {
    Packet::ConnAck(ConnAck { session_present: false, reason: Reason::Success, properties: Properties::new() })
}
