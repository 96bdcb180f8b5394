//! WebSocket as transport (section 6).

use crate::codec::{Connect, Packet, Qos, encode};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure};
use crate::conform::websocket::{Framing, Head};
use crate::conform::wire::Wire;

server_cases! {
    frames_of_the_server with WebSocket: ["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"];
    connect_in_a_text_frame with WebSocket: ["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"];
    publish_in_a_text_frame with WebSocket: ["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"];
    packets_across_frames with WebSocket: ["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"];
    packets_in_one_frame with WebSocket: ["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"];
    subprotocol_of_the_answer with WebSocket: ["v3.1.1/MQTT-6.0.0-4", "v5/MQTT-6.0.0-4"];
}

/// What the server sends comes in binary frames.
async fn frames_of_the_server(lab: &mut Lab) -> Outcome {
    let (mut wire, frames) = lab.websocket("a", Framing::Whole).await?;
    enter(&mut wire, lab.connect("a")).await.setup()?;
    talk(lab, &mut wire).await.setup()?;
    match frames.seen() {
        (_, Some(opcode)) => ensure(false, "binary frames (opcode 2)", format!("a frame with opcode {opcode}"))?,
        (came, None) => ensure(came > 0, "frames", "none").setup()?,
    }
    Ok(())
}

/// A CONNECT in a text frame, all letters and control characters, is not answered: the connection is closed.
async fn connect_in_a_text_frame(lab: &mut Lab) -> Outcome {
    let (mut wire, _) = lab.websocket("a", Framing::Text).await?;
    // It need not read to the end what it refuses.
    wire.try_send(&Packet::Connect(Box::new(lab.connect("a")))).await;
    let before = lab.closed(&mut wire).await?;
    ensure(before.iter().all(|packet| !admits(packet)), "no CONNACK", "CONNACK")?;
    Ok(())
}

/// A PUBLISH in a text frame ends the connection, and nobody hears of the message.
async fn publish_in_a_text_frame(lab: &mut Lab) -> Outcome {
    let mut watcher = lab.subscriber("w", "t", Qos::AtMostOnce).await?;
    let (mut wire, frames) = lab.websocket("a", Framing::Whole).await?;
    enter(&mut wire, lab.connect("a")).await.setup()?;
    frames.set(Framing::Text);
    wire.try_send(&Packet::Publish(lab.publish("t", "in a text frame", Qos::AtMostOnce))).await;
    lab.closed(&mut wire).await?;
    let heard = lab.heard(&mut watcher, &mut lab.client("p").await?, "t", Qos::AtMostOnce).await.setup()?;
    ensure(heard.is_empty(), "nothing heard of a text frame", "its message")?;
    Ok(())
}

/// Packets are handled however they are cut into frames: byte by byte, three bytes at a time, in fragments of a message.
async fn packets_across_frames(lab: &mut Lab) -> Outcome {
    for framing in [Framing::Pieces(1), Framing::Pieces(3), Framing::Fragments(2)] {
        let what = format!("{framing:?}");
        let (mut wire, _) = lab.websocket("a", framing).await?;
        enter(&mut wire, lab.connect("a")).await.about(&what)?;
        talk(lab, &mut wire).await.about(&what)?;
        wire.leave().await.setup()?;
    }
    Ok(())
}

/// Several packets in one frame are handled, and so are frames that hold the end of one and the beginning of another.
async fn packets_in_one_frame(lab: &mut Lab) -> Outcome {
    for framing in [Framing::Whole, Framing::Pieces(20)] {
        let what = format!("{framing:?}");
        let (mut wire, _) = lab.websocket("a", framing).await?;
        let packets = [
            Packet::Connect(Box::new(lab.connect("a"))),
            Packet::PingReq,
            Packet::Publish(lab.publish("t", "x".repeat(50), Qos::AtMostOnce)),
            Packet::PingReq,
        ];
        let bytes = packets.iter().map(|packet| {
            let mut bytes = Vec::new();
            encode(packet, lab.version(), &mut bytes).map(|()| bytes)
        });
        let bytes = bytes.collect::<Result<Vec<_>, _>>().unwrap_or_default();
        wire.send_together(&bytes).await.setup()?;
        wire.connack().await.about(&what)?;
        wire.pingresp().await.about(&what)?;
        wire.pingresp().await.about(&what)?;
        wire.leave().await.setup()?;
    }
    Ok(())
}

/// Of what a client offers, the server picks mqtt and says so, wherever it stands in the list.
async fn subprotocol_of_the_answer(lab: &mut Lab) -> Outcome {
    let (head, ..) = lab.upgrade("mqtt").await?;
    ensure(head.upgrades(), "the upgrade to WebSocket", head.first.clone()).setup()?;
    picks_mqtt(&head)?;
    let (head, ..) = lab.upgrade("x, mqtt").await?;
    ensure(head.upgrades(), "the upgrade to WebSocket, where x and mqtt are offered", head.first.clone())?;
    picks_mqtt(&head)?;
    Ok(())
}

fn picks_mqtt(answer: &Head) -> Outcome {
    let picked: Vec<&str> = answer.list("Sec-WebSocket-Protocol").collect();
    ensure(picked == ["mqtt"], "Sec-WebSocket-Protocol: mqtt", format!("Sec-WebSocket-Protocol: {picked:?}"))?;
    Ok(())
}

async fn enter(wire: &mut Wire, connect: Connect) -> Outcome {
    wire.send(&Packet::Connect(Box::new(connect))).await?;
    let connack = wire.connack().await?;
    ensure(!connack.reason.is_error(), "CONNACK that accepts", format!("CONNACK with {}", connack.reason))?;
    Ok(())
}

/// Subscribes, publishes at QoS 1 and hears of it.
async fn talk(lab: &Lab, wire: &mut Wire) -> Result<(), Stop> {
    wire.subscribe(lab.topic("t"), Qos::AtMostOnce).await?;
    wire.publish(lab.publish("t", "x".repeat(200), Qos::AtMostOnce)).await?;
    wire.message().await?;
    wire.ping().await?;
    Ok(())
}

fn admits(packet: &Packet) -> bool {
    matches!(packet, Packet::ConnAck(connack) if !connack.reason.is_error())
}
