//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use crate::codec::Qos::{AtLeastOnce, ExactlyOnce};
use crate::codec::{AckKind, Connect, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Value, encode};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure};
use crate::conform::wire::{Wire, by_hand, text};

server_cases! {
    puback_codes: ["v5/MQTT-3.4.2-1"];
    puback_without_a_reason_string: ["v5/MQTT-3.4.2-2"];
    puback_without_user_properties: ["v5/MQTT-3.4.2-3"];
    pubrec_codes: ["v5/MQTT-3.5.2-1"];
    pubrec_without_a_reason_string: ["v5/MQTT-3.5.2-2"];
    pubrec_without_user_properties: ["v5/MQTT-3.5.2-3"];
    pubrel_flags: ["v3.1.1/MQTT-3.6.1-1", "v5/MQTT-3.6.1-1"];
    pubrel_codes: ["v5/MQTT-3.6.2-1"];
    pubrel_without_a_reason_string: ["v5/MQTT-3.6.2-2"];
    pubrel_without_user_properties: ["v5/MQTT-3.6.2-3"];
    pubcomp_codes: ["v5/MQTT-3.7.2-1"];
    pubcomp_without_a_reason_string: ["v5/MQTT-3.7.2-2"];
    pubcomp_without_user_properties: ["v5/MQTT-3.7.2-3"];
}

// --- the fixed header -------------------------------------------------------------------------------------------------

/// A PUBREL with other flags than 0010 ends the connection, and no PUBCOMP comes.
async fn pubrel_flags(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    for first in [0x60, 0x63, 0x6A] {
        let mut wire = lab.client("switch").await?;
        let Some(packet) = wire.send_publish(lab.publish("light", "on", ExactlyOnce)).await.setup()? else { continue };
        wire.ack(AckKind::PubRec, packet).await.setup()?;
        wire.send_bytes(by_hand(first, &packet.get().to_be_bytes())).await.setup()?;
        let before = lab.closed(&mut wire).await?;
        let pubcomp = before.iter().any(|packet| matches!(packet, Packet::Ack(ack) if ack.kind == AckKind::PubComp));
        ensure(!pubcomp, format!("no answer to a PUBREL that begins with {first:#04x}"), "PUBCOMP")?;
    }
    Ok(())
}

// --- reason codes -----------------------------------------------------------------------------------------------------

/// PUBACK has a reason code that is one of PUBACK, whether there is a subscriber, and whatever the payload.
async fn puback_codes(lab: &mut Lab) -> Outcome {
    publish_codes(lab, AtLeastOnce).await
}

/// PUBREC has a reason code that is one of PUBREC, whether there is a subscriber, and whatever the payload.
async fn pubrec_codes(lab: &mut Lab) -> Outcome {
    publish_codes(lab, ExactlyOnce).await
}

async fn publish_codes(lab: &Lab, qos: Qos) -> Outcome {
    lab.needs_qos(qos)?;
    let _hall = lab.subscriber("hall", "heard", qos).await?;
    let mut wire = lab.client("switch").await?;
    for topic in ["heard", "unheard"] {
        // What is not one of its codes is no packet.
        wire.publish(lab.publish(topic, "on", qos)).await?;
    }
    // These it may answer by closing. The rules look at what comes.
    let odd = Properties::new().with(Property::PayloadFormatIndicator, Value::Byte(1));
    let _ = wire.publish(Publish { properties: odd, ..lab.publish("heard", &b"\xFF"[..], qos) }).await;
    let mut wire = lab.client("switch").await?;
    let _ = wire.publish(Publish { topic: text(RESERVED), ..lab.publish("", "on", qos) }).await;
    Ok(())
}

/// PUBREL has a reason code that is one of PUBREL.
async fn pubrel_codes(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", ExactlyOnce)).await.setup()?;
    // What is not one of its codes is no packet.
    hall.take_message().await?;
    // An identifier that nobody knows: what comes, if anything, is for the rules.
    hall.send_ack(AckKind::PubRec, UNKNOWN).await.setup()?;
    let _ = hall.ping().await;
    Ok(())
}

/// PUBCOMP has a reason code that is one of PUBCOMP, also for an identifier that nobody knows.
async fn pubcomp_codes(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut wire = lab.client("switch").await?;
    wire.publish(lab.publish("light", "on", ExactlyOnce)).await?;
    wire.send_ack(AckKind::PubRel, UNKNOWN).await.setup()?;
    let pubcomp = wire.ack(AckKind::PubComp, UNKNOWN).await;
    wire.or_garbage(pubcomp)?;
    Ok(())
}

// --- what the client's maximum packet size leaves no room for ---------------------------------------------------------

/// PUBACK has no reason string where the packet would be larger than the client takes.
async fn puback_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, refused_at_qos_1).await
}

/// PUBACK has no user properties where the packet would be larger than the client takes.
async fn puback_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, refused_at_qos_1).await
}

/// PUBREC has no reason string where the packet would be larger than the client takes.
async fn pubrec_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, refused_at_qos_2).await
}

/// PUBREC has no user properties where the packet would be larger than the client takes.
async fn pubrec_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, refused_at_qos_2).await
}

/// PUBREL has no reason string where the packet would be larger than the client takes.
async fn pubrel_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, unknown_pubrec).await
}

/// PUBREL has no user properties where the packet would be larger than the client takes.
async fn pubrel_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, unknown_pubrec).await
}

/// PUBCOMP has no reason string where the packet would be larger than the client takes.
async fn pubcomp_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::ReasonString, unknown_pubrel).await
}

/// PUBCOMP has no user properties where the packet would be larger than the client takes.
async fn pubcomp_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out(lab, Property::UserProperty, unknown_pubrel).await
}

/// A topic that is the server's own (section 4.7.2).
const RESERVED: &str = "$SYS/simrun/conform";
/// A packet identifier of no exchange.
const UNKNOWN: PacketIdentifier = PacketIdentifier::MAX;

async fn refused_at_qos_1(_: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    let publish = Publish { topic: text(RESERVED), qos: AtLeastOnce, payload: "on".into(), ..Publish::default() };
    let packet = wire.send_publish(publish).await?.unwrap_or(UNKNOWN);
    Ok(Packet::Ack(wire.ack(AckKind::PubAck, packet).await?))
}

async fn refused_at_qos_2(_: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    let publish = Publish { topic: text(RESERVED), qos: ExactlyOnce, payload: "on".into(), ..Publish::default() };
    let packet = wire.send_publish(publish).await?.unwrap_or(UNKNOWN);
    Ok(Packet::Ack(wire.ack(AckKind::PubRec, packet).await?))
}

async fn unknown_pubrec(_: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    wire.send_ack(AckKind::PubRec, UNKNOWN).await?;
    Ok(Packet::Ack(wire.ack(AckKind::PubRel, UNKNOWN).await?))
}

async fn unknown_pubrel(_: &Lab, wire: &mut Wire) -> Result<Packet, Failure> {
    wire.send_ack(AckKind::PubRel, UNKNOWN).await?;
    Ok(Packet::Ack(wire.ack(AckKind::PubComp, UNKNOWN).await?))
}

/// Gets an answer that has a property, and again on a connection whose maximum packet size is one byte below its size:
/// then it comes without. Nothing can be said of a target whose answer never has it.
pub(super) async fn left_out(
    lab: &Lab,
    property: Property,
    answer: impl AsyncFn(&Lab, &mut Wire) -> Result<Packet, Failure>,
) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    left_out_of(lab, property, async |lab, connect| {
        let (mut wire, _) = lab.join(connect).await?;
        Ok(answer(lab, &mut wire).await?)
    })
    .await
}

/// As [`left_out`], where `answer` has to connect by itself.
pub(super) async fn left_out_of(
    lab: &Lab,
    property: Property,
    answer: impl AsyncFn(&Lab, Connect) -> Result<Packet, Stop>,
) -> Outcome {
    let mut connect = lab.connect("asker");
    let Ok(full) = answer(lab, connect.clone()).await else {
        return Err(Stop::Skipped("the target does not send the packet that was asked for".to_owned()));
    };
    if !has(&full, property) {
        return Err(Stop::never_has(full.packet_type(), property));
    }
    let limit = size(&full).saturating_sub(1);
    connect.properties.push(Property::MaximumPacketSize, Value::Four(limit));
    let packet = answer(lab, connect).await?;
    let expected = format!("{} without {} or of at most {limit} bytes", packet.packet_type().name(), property.name());
    ensure(!has(&packet, property) || size(&packet) <= limit, expected, format!("one of {} bytes", size(&packet)))?;
    Ok(())
}

fn has(packet: &Packet, property: Property) -> bool {
    let properties = match packet {
        Packet::Ack(ack) => &ack.properties,
        Packet::SubAck(suback) => &suback.properties,
        Packet::UnsubAck(unsuback) => &unsuback.properties,
        Packet::ConnAck(connack) => &connack.properties,
        Packet::Disconnect(disconnect) => &disconnect.properties,
        Packet::Auth(auth) => &auth.properties,
        _ => return false,
    };
    properties.iter().any(|(of, _)| of == property)
}

/// How many bytes a packet has in 5.0.
fn size(packet: &Packet) -> u32 {
    let mut bytes = Vec::new();
    let _ = encode(packet, crate::codec::Version::V5, &mut bytes);
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
