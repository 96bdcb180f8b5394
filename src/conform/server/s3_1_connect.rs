//! CONNECT (section 3.1).

use crate::codec::Packet;
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, ensure};

server_cases! {
    second_connect: ["v3.1.1/MQTT-3.1.0-2", "v5/MQTT-3.1.0-2"];
}

/// A further CONNECT on a live connection ends it.
async fn second_connect(lab: &mut Lab) -> Outcome {
    let connect = lab.connect("a");
    let (mut wire, _) = lab.join(connect.clone()).await?;
    wire.send(&Packet::Connect(Box::new(connect))).await.setup()?;
    let before = lab.closed(&mut wire).await?;
    let connack = before.iter().any(|packet| matches!(packet, Packet::ConnAck(_)));
    ensure(!connack, "the connection closed without a second CONNACK", "a second CONNACK")?;
    Ok(())
}
