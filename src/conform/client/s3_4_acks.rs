//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7).

use super::{id, message};
use crate::codec::{Ack, AckKind, Packet, Properties, Property, Qos, Reason, Value, encode};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure};
use crate::conform::wire::Wire;
use crate::trace::describe;

client_cases! {
    client_puback_codes: ["v5/MQTT-3.4.2-1"];
    client_pubrec_codes: ["v5/MQTT-3.5.2-1"];
    client_pubrel_flags: ["v3.1.1/MQTT-3.6.1-1", "v5/MQTT-3.6.1-1"];
    client_pubrel_codes: ["v5/MQTT-3.6.2-1"];
    client_pubcomp_codes: ["v5/MQTT-3.7.2-1"];
    puback_reason_string_fits: ["v5/MQTT-3.4.2-2"];
    puback_user_properties_fit: ["v5/MQTT-3.4.2-3"];
    pubrec_reason_string_fits: ["v5/MQTT-3.5.2-2"];
    pubrec_user_properties_fit: ["v5/MQTT-3.5.2-3"];
    pubrel_reason_string_fits: ["v5/MQTT-3.6.2-2"];
    pubrel_user_properties_fit: ["v5/MQTT-3.6.2-3"];
    pubcomp_reason_string_fits: ["v5/MQTT-3.7.2-2"];
    pubcomp_user_properties_fit: ["v5/MQTT-3.7.2-3"];
}

/// PUBACK has one of the reason codes for it that a client may use: not that there are no subscribers.
async fn client_puback_codes(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let ack = provoked(bench, &mut wire, AckKind::PubAck).await?;
    ensure(ack.reason != Reason::NoMatchingSubscribers, "a reason code for clients", ack.reason.to_string())?;
    Ok(())
}

/// The same for PUBREC.
async fn client_pubrec_codes(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let ack = provoked(bench, &mut wire, AckKind::PubRec).await?;
    ensure(ack.reason != Reason::NoMatchingSubscribers, "a reason code for clients", ack.reason.to_string())?;
    Ok(())
}

/// PUBREL comes with the flags 0010: the suite takes no others.
async fn client_pubrel_flags(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    provoked(bench, &mut wire, AckKind::PubRel).await?;
    Ok(())
}

/// PUBREL, also when it comes again and for a PUBREC that answers nothing, says 0x00 or 0x92: the suite takes nothing
/// else.
async fn client_pubrel_codes(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    let first = provoked(bench, &mut wire, AckKind::PubRel).await?;
    let mut wire = bench.resume(wire, true).await?;
    wire.ack(AckKind::PubRel, first.packet_identifier).await?;
    wire.send_ack(AckKind::PubRec, id(0x7777)).await.setup()?;
    // It may answer or not.
    bench.dealt_with(&mut wire).await?;
    Ok(())
}

/// PUBCOMP, also for a PUBREL that answers nothing, says 0x00 or 0x92: the suite takes nothing else.
async fn client_pubcomp_codes(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    provoked(bench, &mut wire, AckKind::PubComp).await?;
    wire.send_ack(AckKind::PubRel, id(0x7777)).await.setup()?;
    match wire.ack(AckKind::PubComp, id(0x7777)).await {
        Err(failure) if wire.is_garbled() => Err(failure.into()),
        // That there is one is another statement.
        _ => Ok(()),
    }
}

/// Brings the client to send such an ack.
async fn provoked(bench: &mut Bench, wire: &mut Wire, kind: AckKind) -> Result<Ack, Stop> {
    match kind {
        AckKind::PubAck => {
            wire.send_publish(message("x", Qos::AtLeastOnce, 1)).await.setup()?;
            Ok(wire.ack(kind, id(1)).await?)
        }
        AckKind::PubRec | AckKind::PubComp => {
            wire.send_publish(message("x", Qos::ExactlyOnce, 1)).await.setup()?;
            let pubrec = wire.ack(AckKind::PubRec, id(1)).await?;
            wire.send_ack(AckKind::PubRel, id(1)).await.setup()?;
            let pubcomp = wire.ack(AckKind::PubComp, id(1)).await?;
            Ok(if kind == AckKind::PubRec { pubrec } else { pubcomp })
        }
        AckKind::PubRel => {
            bench.say(bench.publish("a", "x", 2)).await?;
            let identifier = wire.message().await.setup()?.packet_identifier.unwrap_or(id(0));
            wire.send_ack(AckKind::PubRec, identifier).await.setup()?;
            Ok(wire.ack(kind, identifier).await?)
        }
    }
}

/// A PUBACK with a reason string comes without it where the server takes no packet of that size.
async fn puback_reason_string_fits(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubAck, Property::ReasonString).await
}

/// The same for user properties.
async fn puback_user_properties_fit(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubAck, Property::UserProperty).await
}

/// The same for the reason string of PUBREC.
async fn pubrec_reason_string_fits(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubRec, Property::ReasonString).await
}

/// The same for user properties of PUBREC.
async fn pubrec_user_properties_fit(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubRec, Property::UserProperty).await
}

/// The same for the reason string of PUBREL.
async fn pubrel_reason_string_fits(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubRel, Property::ReasonString).await
}

/// The same for user properties of PUBREL.
async fn pubrel_user_properties_fit(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubRel, Property::UserProperty).await
}

/// The same for the reason string of PUBCOMP.
async fn pubcomp_reason_string_fits(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubComp, Property::ReasonString).await
}

/// The same for user properties of PUBCOMP.
async fn pubcomp_user_properties_fit(bench: &mut Bench) -> Outcome {
    fits(bench, AckKind::PubComp, Property::UserProperty).await
}

/// Sees an ack with this property, and the same ack where the server takes one byte less.
async fn fits(bench: &mut Bench, kind: AckKind, property: Property) -> Outcome {
    let has = |ack: &Ack| ack.properties.iter().any(|(found, _)| found == property);
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let ack = provoked(bench, &mut wire, kind).await.setup()?;
    let name = kind.packet_type();
    if !has(&ack) {
        return Err(Stop::never_has(name, property));
    }
    bench.cut(wire).await?;
    let too_small = u32::try_from(size(bench, &Packet::Ack(ack)) - 1).unwrap_or(u32::MAX);
    let properties = Properties::new().with(Property::MaximumPacketSize, Value::Four(too_small));
    let mut wire = bench.welcome_with(bench.connect("a"), false, properties).await?;
    let ack = provoked(bench, &mut wire, kind).await.setup()?;
    let kept = !has(&ack) || size(bench, &Packet::Ack(ack.clone())) <= usize::try_from(too_small).unwrap_or(usize::MAX);
    if kept {
        return Ok(());
    }
    let expected = format!("{name} without {} for a server that takes {too_small} bytes", property.name());
    Err(Failure::new(expected, describe(&Packet::Ack(ack))).into())
}

/// How many bytes a packet takes.
fn size(bench: &Bench, packet: &Packet) -> usize {
    let mut bytes = Vec::new();
    encode(packet, bench.version(), &mut bytes).map_or(usize::MAX, |()| bytes.len())
}
