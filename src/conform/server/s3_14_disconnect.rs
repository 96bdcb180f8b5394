//! DISCONNECT (section 3.14).

use super::s3_4_acks::left_out;
use crate::codec::{Disconnect, Packet, Property, Qos, Reason, Will};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure};
use crate::conform::wire::{Wire, text};

server_cases! {
    wrong_disconnect_flags: ["v3.1.1/MQTT-3.14.1-1", "v5/MQTT-3.14.1-1"];
    disconnect_cancels_the_will: ["v3.1.1/MQTT-3.14.4-3", "v5/MQTT-3.14.4-3"];
    disconnect_with_will: ["v5/MQTT-3.14.4-3"];
    disconnect_is_the_last: ["v5/MQTT-3.14.4-1", "v5/MQTT-3.14.2-2"];
    disconnect_ends_the_connection: ["v5/MQTT-3.14.4-2"];
    disconnect_without_a_reason_string: ["v5/MQTT-3.14.2-3"];
    disconnect_without_user_properties: ["v5/MQTT-3.14.2-4"];
}

/// A watcher of the will's topic, and a client with a will.
async fn watched(lab: &Lab) -> Result<(Wire, Wire), Stop> {
    let watcher = lab.subscriber("w", "will", Qos::AtMostOnce).await?;
    let mut connect = lab.connect("a");
    connect.will = Some(Will { topic: text(&lab.topic("will")), payload: "gone".into(), ..Will::default() });
    Ok((watcher, lab.join(connect).await?.0))
}

/// DISCONNECT with a reserved bit set is none: the connection is closed, and the will is published.
async fn wrong_disconnect_flags(lab: &mut Lab) -> Outcome {
    let (mut watcher, mut wire) = watched(lab).await?;
    wire.send_bytes(vec![0xE1, 0x00]).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// After DISCONNECT with reason code 0 nobody hears of the will.
async fn disconnect_cancels_the_will(lab: &mut Lab) -> Outcome {
    let (mut watcher, mut wire) = watched(lab).await?;
    wire.leave().await.setup()?;
    let mut other = lab.client("b").await?;
    other.publish(lab.publish("will", "sentinel", Qos::AtMostOnce)).await.setup()?;
    let heard = watcher.messages_until(b"sentinel").await.setup()?;
    ensure(heard.len() == 1, "no will", "the will, after DISCONNECT")?;
    Ok(())
}

/// After DISCONNECT with reason code 0x04 the will is published.
async fn disconnect_with_will(lab: &mut Lab) -> Outcome {
    let (mut watcher, mut wire) = watched(lab).await?;
    wire.leave_with(Disconnect::new(Reason::DisconnectWithWill)).await.setup()?;
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// A server that sends DISCONNECT sends nothing after it, and no session expiry interval in it. Rules look at both; here it
/// is thrown out while messages wait for it.
async fn disconnect_is_the_last(lab: &mut Lab) -> Outcome {
    let mut first = lab.subscriber("a", "t", Qos::AtLeastOnce).await?;
    let mut other = lab.client("b").await?;
    for number in 0..3 {
        other.publish(lab.publish("t", format!("{number}"), Qos::AtLeastOnce)).await.setup()?;
    }
    lab.client("a").await?;
    let before = lab.closed(&mut first).await.setup()?;
    let place = before.iter().position(|packet| matches!(packet, Packet::Disconnect(_)));
    if let Some(place) = place {
        ensure(place + 1 == before.len(), "DISCONNECT as the last packet", "packets after DISCONNECT")?;
    }
    Ok(())
}

/// A server that sends DISCONNECT closes, although the client leaves its end open.
async fn disconnect_ends_the_connection(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    if dismissed(lab, &mut wire).await.is_err() {
        let why = "the target ends the connection without a DISCONNECT";
        return Err(Stop::Excused(why.to_owned()));
    }
    lab.closed(&mut wire).await?;
    Ok(())
}

/// DISCONNECT has no reason string where the packet would be larger than the client takes.
async fn disconnect_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, dismissed).await
}

/// DISCONNECT has no user properties where the packet would be larger than the client takes.
async fn disconnect_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, dismissed).await
}

/// The DISCONNECT to a client that breaks the protocol: it sends a second CONNECT.
async fn dismissed(lab: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    wire.send(&Packet::Connect(Box::new(lab.connect("again")))).await?;
    Ok(Packet::Disconnect(wire.disconnect().await?))
}
