//! Flow control (5.0 section 4.9).

use crate::codec::Qos::{AtLeastOnce, ExactlyOnce};
use crate::codec::{
    AckKind, Connect, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Reason, SubscriptionOptions, Value,
};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::Wire;

server_cases! {
    first_quota: ["v5/MQTT-4.9.0-1"];
    quota_of_a_new_connection: ["v5/MQTT-4.9.0-1"];
    nothing_beyond_the_quota: ["v5/MQTT-4.9.0-2"];
    pubrec_frees_nothing: ["v5/MQTT-4.9.0-2"];
    acks_free_quota: ["v5/MQTT-4.9.0-2"];
    others_go_on: ["v5/MQTT-4.9.0-3"];
}

/// How many messages wait.
const SOME: usize = 4;

/// At least one message comes, and no more than Receive Maximum says.
async fn first_quota(lab: &mut Lab) -> Outcome {
    for maximum in [Some(1), Some(2), Some(u16::MAX), None] {
        let (mut hall, _switch) = waiting(lab, maximum, AtLeastOnce).await?;
        at_least_one(&mut hall, maximum.map_or(SOME, usize::from)).await?;
    }
    Ok(())
}

/// A new connection begins with its own Receive Maximum, whatever the one before left unanswered.
async fn quota_of_a_new_connection(lab: &mut Lab) -> Outcome {
    let (mut hall, _switch) = waiting(lab, None, AtLeastOnce).await?;
    hall.message().await.setup()?;
    for maximum in [2, 1] {
        hall.cut().await;
        let connack;
        (hall, connack) = lab.join(taking(lab, Some(maximum))).await?;
        same("Session Present", connack.session_present, true).setup()?;
        at_least_one(&mut hall, usize::from(maximum)).await?;
    }
    Ok(())
}

/// Demands that at least one message comes before the first answer, and at most so many.
async fn at_least_one(hall: &mut Wire, most: usize) -> Outcome {
    hall.message().await?;
    let all = 1 + unanswered(hall).await?;
    ensure(all <= most, format!("at most {most} messages before the first answer"), all.to_string())?;
    Ok(())
}

/// With answers withheld no message comes beyond Receive Maximum, at QoS 1 and 2 together.
async fn nothing_beyond_the_quota(lab: &mut Lab) -> Outcome {
    for qos in [AtLeastOnce, ExactlyOnce] {
        lab.needs_qos(qos)?;
        let (mut hall, mut switch) = waiting(lab, Some(2), qos).await?;
        hall.message().await.setup()?;
        let came = 1 + unanswered(&mut hall).await?;
        switch.publish(lab.publish("light", "one more", AtLeastOnce)).await.setup()?;
        let all = came + unanswered(&mut hall).await?;
        ensure(all <= 2, format!("{qos}: at most 2 messages"), all.to_string())?;
    }
    Ok(())
}

/// PUBREC below 0x80 makes no room for another message: PUBCOMP does.
async fn pubrec_frees_nothing(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let (mut hall, _switch) = waiting(lab, Some(1), ExactlyOnce).await?;
    let packet = identifier_of(&hall.message().await.setup()?);
    hall.send_ack(AckKind::PubRec, packet).await.setup()?;
    hall.ack(AckKind::PubRel, packet).await.setup()?;
    let more = unanswered(&mut hall).await?;
    ensure(more == 0, "no message before PUBCOMP", format!("{more} messages"))?;
    hall.send_ack(AckKind::PubComp, packet).await.setup()?;
    // That there is room now is said without a number (section 4.9).
    hall.message().await.advisable()?;
    Ok(())
}

/// PUBACK and a PUBREC of 0x80 or above make room for one more message each, and for no more.
async fn acks_free_quota(lab: &mut Lab) -> Outcome {
    for (qos, kind, reason) in [
        (AtLeastOnce, AckKind::PubAck, Reason::Success),
        (AtLeastOnce, AckKind::PubAck, Reason::UnspecifiedError),
        (ExactlyOnce, AckKind::PubRec, Reason::UnspecifiedError),
    ] {
        lab.needs_qos(qos)?;
        let (mut hall, _switch) = waiting(lab, Some(1), qos).await?;
        let packet = identifier_of(&hall.message().await.setup()?);
        hall.send_ack_with(kind, packet, reason).await.setup()?;
        hall.message().await.advisable()?;
        let more = unanswered(&mut hall).await?;
        ensure(more == 0, format!("one message after {} {reason}", kind.packet_type()), format!("{more} more"))?;
    }
    Ok(())
}

/// While no quota is left for messages, everything else is answered.
async fn others_go_on(lab: &mut Lab) -> Outcome {
    let (mut hall, _switch) = waiting(lab, Some(1), AtLeastOnce).await?;
    hall.message().await.setup()?;
    hall.ping().await?;
    hall.ask(&[(&lab.topic("heating"), SubscriptionOptions::default())], Properties::new()).await?;
    for qos in [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| *qos <= lab.abilities().maximum_qos) {
        hall.publish(lab.publish("elsewhere", "on", qos)).await?;
    }
    hall.unsubscribe(&[&lab.topic("heating")]).await?;
    Ok(())
}

/// A subscriber with this Receive Maximum, and whoever has published messages to it at this QoS.
async fn waiting(lab: &Lab, maximum: Option<u16>, qos: Qos) -> Result<(Wire, Wire), Stop> {
    lab.needs_qos(qos)?;
    let (mut hall, _) = lab.join(Connect { clean_start: true, ..taking(lab, maximum) }).await?;
    hall.subscribe(lab.topic("light"), qos).await.setup()?;
    let mut switch = lab.client("switch").await?;
    for _ in 0..SOME {
        switch.publish(lab.publish("light", "on", qos)).await.setup()?;
    }
    Ok((hall, switch))
}

/// A CONNECT with this Receive Maximum, for a session that lasts.
fn taking(lab: &Lab, maximum: Option<u16>) -> Connect {
    let mut connect = lab.connect_to_stay("hall");
    if let Some(maximum) = maximum {
        connect.properties.push(Property::ReceiveMaximum, Value::Two(maximum));
    }
    connect
}

/// How many messages come while none is answered: what the broker may send, it has sent before it answers the second
/// PINGREQ, which comes to it after all that was published before.
async fn unanswered(wire: &mut Wire) -> Result<usize, Stop> {
    wire.ping().await.setup()?;
    wire.ping().await.setup()?;
    Ok(wire.rest().iter().filter(|packet| matches!(packet, Packet::Publish(_))).count())
}

fn identifier_of(publish: &Publish) -> PacketIdentifier {
    publish.packet_identifier.unwrap_or(PacketIdentifier::MIN)
}
