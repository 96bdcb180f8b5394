//! Transports and conformance (3.1.1 section 7, 5.0 section 4.2).

use super::message;
use crate::codec::{Packet, Qos};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::hex;
use crate::conform::steered::protocol::PublishOrder;
use crate::conform::verdict::{Otherwise, Outcome, same};

client_cases! {
    stream_is_kept_whole: ["v3.1.1/MQTT-7.1.2-1", "v5/MQTT-4.2-1"];
    basic_flows: ["v3.1.1/MQTT-7.0.0-2"];
}

/// A message reaches the application whole, one byte a segment or many bytes at once; a large one of the application
/// arrives whole.
async fn stream_is_kept_whole(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    for size in [150, 8_000] {
        let payload: String = ('a'..='z').cycle().take(size).collect();
        let packet = Packet::Publish(message(&payload, Qos::AtMostOnce, 0));
        let sent = if size < 1_000 { wire.send_byte_by_byte(&packet).await } else { wire.send(&packet).await };
        sent.setup()?;
        same("payload", bench.message().await?.payload_hex, hex(payload.as_bytes()))?;
    }
    let order = PublishOrder { topic: "a".to_owned(), payload_size: Some(8_000), ..PublishOrder::default() };
    bench.say(order).await?;
    same("payload", &wire.message().await?.payload[..], &[b'x'; 8_000][..])?;
    Ok(())
}

/// With a server that knows nothing but the standard the client connects, subscribes, gets and sends messages at every
/// QoS, and leaves.
async fn basic_flows(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    for (number, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate() {
        wire.publish(message("to the client", qos, 7)).await?;
        same("payload", bench.message().await?.payload_hex, hex(b"to the client"))?;
        bench.say(bench.publish("a", "from the client", u8::try_from(number).unwrap_or_default())).await?;
        let sent = wire.take_message().await?;
        same("payload", &sent.payload[..], b"from the client")?;
    }
    bench.leave().await?;
    wire.disconnect().await?;
    Ok(())
}
