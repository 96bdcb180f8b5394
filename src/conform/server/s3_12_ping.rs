//! PINGREQ and PINGRESP (sections 3.12, 3.13).

use crate::codec::Packet;
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome};

server_cases! {
    pingreq_is_answered: ["v3.1.1/MQTT-3.12.4-1", "v5/MQTT-3.12.4-1"];
    each_pingreq_is_answered: ["v3.1.1/MQTT-3.12.4-1", "v5/MQTT-3.12.4-1"];
}

/// PINGREQ is answered by PINGRESP.
async fn pingreq_is_answered(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    wire.ping().await?;
    Ok(())
}

/// Of several PINGREQ at a time each is answered.
async fn each_pingreq_is_answered(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    for _ in 0..10 {
        wire.send(&Packet::PingReq).await.setup()?;
    }
    for _ in 0..10 {
        wire.pingresp().await?;
    }
    Ok(())
}
