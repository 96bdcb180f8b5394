//! Conformance (3.1.1 section 7): no extensions needed, a transport that loses nothing.

use crate::codec::{Packet, Qos, encode};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, ensure, same};

server_cases! {
    nothing_but_the_standard: ["v3.1.1/MQTT-7.0.0-2"];
    any_segments: ["v3.1.1/MQTT-7.1.1-1"];
}

/// A client that keeps to the standard and knows nothing else gets all basic services.
async fn nothing_but_the_standard(lab: &mut Lab) -> Outcome {
    let mut wire = lab.open(lab.connect("a")).await?;
    let connack = wire.connack().await?;
    ensure(!connack.reason.is_error(), "CONNACK that accepts", format!("CONNACK with {}", connack.reason))?;
    wire.subscribe(lab.topic("+/t"), lab.abilities().maximum_qos).await?;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        if qos <= lab.abilities().maximum_qos {
            wire.publish(lab.publish("a/t", qos.to_string(), qos)).await?;
            let message = wire.take_message().await?;
            same("payload", &message.payload[..], qos.to_string().as_bytes())?;
        }
    }
    wire.unsubscribe(&[&lab.topic("+/t")]).await?;
    wire.ping().await?;
    wire.leave().await?;
    Ok(())
}

/// A long message cut into segments of all sizes arrives whole and in order.
async fn any_segments(lab: &mut Lab) -> Outcome {
    let long: Vec<u8> = (0..100_000_u32).map(|number| (number % 251).to_le_bytes()[0]).collect();
    let fits = lab.abilities().maximum_packet_size.is_none_or(|most| most > 110_000);
    lab.needs(fits, "packets of 100,000 bytes")?;
    let mut subscriber = lab.subscriber("s", "t", Qos::AtMostOnce).await?;
    let mut publisher = lab.client("p").await?;
    let mut bytes = Vec::new();
    let publish = Packet::Publish(lab.publish("t", long.clone(), Qos::AtMostOnce));
    ensure(encode(&publish, lab.version(), &mut bytes).is_ok(), "a PUBLISH", "none").setup()?;
    publisher.send_in_segments(bytes).await.setup()?;
    let message = subscriber.message().await?;
    let first_unlike = message.payload.iter().zip(&long).position(|(came, sent)| came != sent);
    same("length of the payload", message.payload.len(), long.len())?;
    same("first byte of the payload that differs", first_unlike, None)?;
    Ok(())
}
