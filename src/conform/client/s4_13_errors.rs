//! Errors (3.1.1 section 4.8, 5.0 section 4.13).

use super::{bytes, row};
use crate::codec::Packet;
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::verdict::{Otherwise, Outcome};

client_cases! {
    client_violations_end_the_connection: ["v3.1.1/MQTT-4.8.0-1"];
    packet_before_connack: ["v3.1.1/MQTT-4.8.0-1"];
    client_errors_end_the_connection: ["v5/MQTT-4.13.2-1"];
}

/// What no server may send, in both versions.
const VIOLATIONS: &[(&str, &str)] = &[
    ("SUBSCRIBE from a server", "8206 0001 0001 61 00"),
    ("UNSUBSCRIBE from a server", "a205 0001 0001 61"),
    ("PINGREQ from a server", "c000"),
    ("packet type 0", "0000"),
    ("a remaining length of five bytes", "d080808080 01"),
    ("PINGRESP with a payload", "d001 00"),
    ("PUBLISH without a topic", "3000"),
];

/// Each violation ends the connection.
async fn client_violations_end_the_connection(bench: &mut Bench) -> Outcome {
    for (what, packet) in VIOLATIONS {
        let mut wire = bench.subscriber(bench.connect("a")).await?;
        wire.send_bytes(bytes(packet)).await.setup()?;
        row(what, bench.closed(&mut wire).await.map_err(Into::into))?;
        bench.parted().await?;
    }
    Ok(())
}

/// So does a packet that comes before CONNACK.
async fn packet_before_connack(bench: &mut Bench) -> Outcome {
    let (mut wire, _) = bench.dialled(bench.connect("a")).await?;
    wire.send(&Packet::PingResp).await.setup()?;
    bench.closed(&mut wire).await?;
    Ok(())
}

/// What no server may send in 5.0.
const ERRORS: &[(&str, &str)] = &[
    ("SUBSCRIBE from a server", "8207 0001 00 0001 61 00"),
    ("PINGREQ from a server", "c000"),
    ("packet type 0", "0000"),
    ("a remaining length of five bytes", "d080808080 01"),
    ("PUBLISH without a topic", "3000"),
    ("PUBLISH at QoS 3", "3606 0001 61 0001 00"),
    ("PUBACK with a reason code that there is not", "4003 0001 7f"),
];

/// Whoever tells the server of an error with DISCONNECT closes as well. That it notices is advisable.
async fn client_errors_end_the_connection(bench: &mut Bench) -> Outcome {
    let mut tolerated = Ok(());
    for (what, packet) in ERRORS {
        let mut wire = bench.subscriber(bench.connect("a")).await?;
        wire.send_bytes(bytes(packet)).await.setup()?;
        let closed = row(what, bench.closed(&mut wire).await.map_err(Into::into));
        let told = wire.rest().iter().any(|packet| match packet {
            Packet::Disconnect(disconnect) => disconnect.reason.is_error(),
            _ => false,
        });
        match closed {
            Err(stop) if told => return Err(stop),
            Err(stop) => tolerated = Err(stop).advisable(),
            Ok(_) => {}
        }
        if bench.cut(wire).await.is_err() {
            // What the client has let pass has broken it: it would not connect again.
            break;
        }
    }
    tolerated
}
