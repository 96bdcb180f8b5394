//! CONNACK (section 3.2): what it says, and that what it says holds.

use std::collections::BTreeSet;
use std::time::Duration;

use super::s3_1_connect::{nameless, refused, refused_connect};
use super::s3_4_acks::left_out_of;
use crate::codec::{
    ConnAck, Connect, Packet, PacketType, Properties, Property, Publish, Qos, Reason, SubscriptionOptions, Value, Will,
    encode,
};
use crate::conform::case::server_cases;
use crate::conform::lab::{Lab, names};
use crate::conform::raw::{RawConnect, properties};
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::{Wire, by_hand, field, text};

server_cases! {
    connack_first: ["v3.1.1/MQTT-3.2.0-1", "v5/MQTT-3.2.0-1"];
    connack_before_the_queue: ["v3.1.1/MQTT-3.2.0-1", "v5/MQTT-3.2.0-1"];
    one_connack: ["v5/MQTT-3.2.0-2"];
    session_present_after_clean_start: ["v3.1.1/MQTT-3.2.2-1", "v5/MQTT-3.2.2-2"];
    session_present_when_resumed: ["v3.1.1/MQTT-3.2.2-2", "v5/MQTT-3.2.2-3"];
    session_present_when_new: ["v3.1.1/MQTT-3.2.2-3", "v5/MQTT-3.2.2-3"];
    session_present_after_expiry: ["v5/MQTT-3.2.2-3"];
    session_present_in_a_refusal: ["v3.1.1/MQTT-3.2.2-4", "v5/MQTT-3.2.2-6"];
    refusal_ends_the_connection: ["v3.1.1/MQTT-3.2.2-5", "v5/MQTT-3.2.2-7"];
    codes_of_refusals: ["v3.1.1/MQTT-3.2.2-6", "v5/MQTT-3.2.2-8"];
    refusal_without_a_code with MaximumQos1: ["v3.1.1/MQTT-3.2.2-6"];
    maximum_qos_holds: ["v5/MQTT-3.2.2-9"];
    maximum_qos_0 with MaximumQos0: ["v5/MQTT-3.2.2-9"];
    maximum_qos_1 with MaximumQos1: ["v5/MQTT-3.2.2-9"];
    subscription_above_maximum_qos with MaximumQos1: ["v5/MQTT-3.2.2-10"];
    publish_above_maximum_qos with MaximumQos1: ["v5/MQTT-3.2.2-11"];
    will_above_maximum_qos with MaximumQos1: ["v5/MQTT-3.2.2-12"];
    retained_will_without_retain with NoRetain: ["v5/MQTT-3.2.2-13"];
    retained_publish_without_retain with NoRetain: ["v5/MQTT-3.2.2-14"];
    packet_too_large with SmallPackets: ["v5/MQTT-3.2.2-15"];
    assigned_client_ids_are_fresh: ["v5/MQTT-3.2.2-16"];
    alias_above_maximum: ["v5/MQTT-3.2.2-17"];
    alias_without_maximum with NoTopicAliases: ["v5/MQTT-3.2.2-18"];
    reason_string_within_limit: ["v5/MQTT-3.2.2-19"];
    user_properties_within_limit: ["v5/MQTT-3.2.2-20"];
    keep_alive_of_the_client: ["v5/MQTT-3.2.2-22"];
}

// --- when it comes ----------------------------------------------------------------------------------------------------

/// The answer to what is sent in one segment with CONNECT comes after CONNACK.
async fn connack_first(lab: &mut Lab) -> Outcome {
    let string = field(lab.topic("t").as_bytes());
    let no_properties = if lab.is_v5() { properties(&[]) } else { Vec::new() };
    let subscribe = by_hand(0x82, &[&[0, 1], &no_properties[..], &string, &[0]].concat());
    let mut wire = lab.dial("a").await?;
    let connect = RawConnect::of(&lab.connect("a")).bytes();
    wire.send_together(&[connect, by_hand(0xC0, &[]), subscribe]).await.setup()?;
    is_connack(&wire.next("CONNACK").await?)
}

/// What waits for a client comes after CONNACK.
async fn connack_before_the_queue(lab: &mut Lab) -> Outcome {
    lab.needs(!lab.is_v5() || lab.abilities().sessions, "sessions that outlive their connection")?;
    let (mut wire, _) = lab.join(lab.connect_to_stay("s")).await?;
    wire.subscribe(lab.topic("t"), Qos::AtLeastOnce).await.setup()?;
    wire.cut().await;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("t", "queued", Qos::AtLeastOnce)).await.setup()?;
    let mut wire = lab.open(lab.connect_to_stay("s")).await?;
    is_connack(&wire.next("CONNACK").await?)
}

fn is_connack(packet: &Packet) -> Outcome {
    ensure(matches!(packet, Packet::ConnAck(_)), "CONNACK first", packet.packet_type().name())?;
    Ok(())
}

/// Whatever happens on a connection, a further CONNECT included, there is one CONNACK.
async fn one_connack(lab: &mut Lab) -> Outcome {
    let connect = lab.connect("a");
    let (mut wire, _) = lab.join(connect.clone()).await?;
    wire.subscribe(lab.topic("t"), Qos::AtLeastOnce).await.setup()?;
    wire.publish(lab.publish("t", "hello", Qos::AtLeastOnce)).await.setup()?;
    wire.take_message().await.setup()?;
    wire.ping().await.setup()?;
    wire.send(&Packet::Connect(Box::new(connect))).await.setup()?;
    let came = wire.closed().await.unwrap_or_else(|_| wire.rest());
    let second = came.iter().any(|packet| matches!(packet, Packet::ConnAck(_)));
    ensure(!second, "no second CONNACK", names(&came))?;
    lab.alive().await
}

// --- Session Present --------------------------------------------------------------------------------------------------

/// The CONNACK that a client with this CONNECT gets; the client is gone afterwards.
async fn visit(lab: &Lab, connect: Connect) -> Result<ConnAck, Stop> {
    let mut wire = lab.open(connect).await?;
    let connack = wire.connack().await?;
    wire.cut().await;
    Ok(connack)
}

/// A session that is stored, and empty.
async fn store_session(lab: &Lab) -> Outcome {
    lab.needs(!lab.is_v5() || lab.abilities().sessions, "sessions that outlive their connection")?;
    visit(lab, lab.connect_to_stay("s")).await.setup()?;
    Ok(())
}

fn says(connack: &ConnAck, session_present: bool) -> Outcome {
    same("CONNACK with", connack.reason, Reason::Success)?;
    same("Session Present", connack.session_present, session_present)?;
    Ok(())
}

/// A clean start in place of a stored session: Session Present 0, code 0.
async fn session_present_after_clean_start(lab: &mut Lab) -> Outcome {
    store_session(lab).await?;
    says(&visit(lab, Connect { clean_start: true, ..lab.connect_to_stay("s") }).await?, false)
}

/// A stored session is resumed: Session Present 1, code 0.
async fn session_present_when_resumed(lab: &mut Lab) -> Outcome {
    store_session(lab).await?;
    says(&visit(lab, lab.connect_to_stay("s")).await?, true)
}

/// No clean start, and no session: Session Present 0, code 0.
async fn session_present_when_new(lab: &mut Lab) -> Outcome {
    says(&visit(lab, lab.connect_to_stay("s")).await?, false)
}

/// A session whose expiry interval is over is not there any more: Session Present 0, code 0.
async fn session_present_after_expiry(lab: &mut Lab) -> Outcome {
    let mut brief = lab.connect("s");
    brief.properties.push(Property::SessionExpiryInterval, Value::Four(1));
    visit(lab, brief).await.setup()?;
    lab.wait(Duration::from_secs(3)).await;
    says(&visit(lab, lab.connect_to_stay("s")).await?, false)
}

/// The refusal of a client that has a stored session says Session Present 0.
async fn session_present_in_a_refusal(lab: &mut Lab) -> Outcome {
    store_session(lab).await?;
    let mut raw = RawConnect::of(&lab.connect_to_stay("s"));
    if lab.is_v5() {
        raw.add_properties(&[&[0x15], &field(b"simrun-no-such-method")[..]].concat());
    } else {
        // The only refusal of a client that names itself which every target of 3.1.1 knows.
        raw.level = 0x7F;
    }
    let mut wire = lab.dial("s").await?;
    wire.send_bytes(raw.bytes()).await.setup()?;
    match wire.connack().await {
        Ok(connack) => {
            refuses(&connack)?;
            same("Session Present", connack.session_present, false)?;
            Ok(())
        }
        Err(failure) if wire.garbage().is_some() => match wire.refusal_of_5_0() {
            Some(connack) => Ok(same("Session Present", connack.session_present, false)?),
            None => Err(failure.into()),
        },
        // 5.0 leaves open whether there is a CONNACK.
        Err(_) => Err(Stop::Skipped("the target refuses without CONNACK".to_owned())),
    }
}

// --- refusals ---------------------------------------------------------------------------------------------------------

/// A CONNACK that refuses is followed by the end.
async fn refusal_ends_the_connection(lab: &mut Lab) -> Outcome {
    let mut wire = refused(lab, "a").await?;
    let Ok(connack) = wire.connack().await else { return lab.needs(false, "CONNACK for what it refuses") };
    refuses(&connack)?;
    lab.closed(&mut wire).await?;
    Ok(())
}

/// Whether to refuse is for other cases to say: here nothing is shown where the target accepts.
fn refuses(connack: &ConnAck) -> Outcome {
    ensure(connack.reason.is_error(), "a CONNECT that is refused", "CONNACK that accepts it").setup()
}

/// The codes of refusals are those that the standard has.
async fn codes_of_refusals(lab: &mut Lab) -> Outcome {
    let level = RawConnect { level: 0x7F, ..RawConnect::of(&lab.connect("a")) }.bytes();
    let mut rows = vec![("a CONNECT that must be refused", refused_connect(lab, "a"))];
    if !lab.is_v5() {
        // The answer may be one of another version, in 5.0 always.
        rows.push(("protocol level 127", level));
    }
    for (what, bytes) in rows {
        let mut wire = lab.dial("a").await?;
        wire.send_bytes(bytes).await.setup()?;
        if let Ok(Packet::ConnAck(connack)) = wire.next("CONNACK, or the end").await {
            refuses(&connack).about(what)?;
            continue;
        }
        lab.closed(&mut wire).await.about(what)?;
        if let Some(garbage) = wire.garbage().filter(|_| wire.refusal_of_5_0().is_none()) {
            return Err(Failure::new("CONNACK with a code of the standard, or none", garbage).into());
        }
    }
    Ok(())
}

/// A will whose QoS the target does not serve: 3.1.1 has no return code for that, so there is no CONNACK with another.
async fn refusal_without_a_code(lab: &mut Lab) -> Outcome {
    let will = Will { qos: Qos::ExactlyOnce, topic: text(&lab.topic("will")), ..Will::default() };
    let mut wire = lab.open(Connect { will: Some(will), ..lab.connect("a") }).await?;
    let came = wire.next("CONNACK, or the end").await;
    if let Ok(Packet::ConnAck(ConnAck { reason: Reason::Success, .. })) = came {
        return Err(Stop::Skipped("the target takes the will".to_owned()));
    }
    lab.closed(&mut wire).await?;
    ensure(came.is_err(), "the connection closed without CONNACK", "a CONNACK with a code for something else")?;
    Ok(())
}

// --- what the target does not serve -----------------------------------------------------------------------------------

/// What CONNACK does not exclude is served: messages up to Maximum QoS, or 2 without it.
async fn maximum_qos_holds(lab: &mut Lab) -> Outcome {
    let (mut wire, connack) = lab.join(lab.connect("a")).await?;
    let most = connack.properties.maximum_qos().and_then(Qos::from_number).unwrap_or(Qos::ExactlyOnce);
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().filter(|qos| *qos <= most) {
        let reason = wire.publish(lab.publish("t", "hello", qos)).await?;
        ensure(!reason.is_error(), "a message that is taken", reason.to_string())?;
    }
    Ok(())
}

/// A target without QoS 1 says so.
async fn maximum_qos_0(lab: &mut Lab) -> Outcome {
    same("Maximum QoS", lab.join(lab.connect("a")).await?.1.properties.maximum_qos(), Some(0))?;
    Ok(())
}

/// A target without QoS 2 says so.
async fn maximum_qos_1(lab: &mut Lab) -> Outcome {
    same("Maximum QoS", lab.join(lab.connect("a")).await?.1.properties.maximum_qos(), Some(1))?;
    Ok(())
}

/// A target without QoS 2 grants subscriptions that ask for it, at a QoS that it has.
async fn subscription_above_maximum_qos(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let suback = wire.ask(&[(&lab.topic("t"), options)], Properties::new()).await?;
        let granted = matches!(suback.reasons.as_slice(), [Reason::Success | Reason::GrantedQos1]);
        ensure(granted, "QoS 0 or 1 granted", format!("{:?}", suback.reasons))?;
    }
    Ok(())
}

/// A PUBLISH above Maximum QoS ends the connection.
async fn publish_above_maximum_qos(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    wire.send_publish(lab.publish("t", "hello", Qos::ExactlyOnce)).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// A will above Maximum QoS is refused, with 0x9B if the target says why.
async fn will_above_maximum_qos(lab: &mut Lab) -> Outcome {
    let will = Will { qos: Qos::ExactlyOnce, topic: text(&lab.topic("will")), ..Will::default() };
    refused_will(lab, will, Reason::QosNotSupported).await
}

/// A will that is to be retained where nothing is is refused, with 0x9A if the target says why.
async fn retained_will_without_retain(lab: &mut Lab) -> Outcome {
    let will = Will { retain: true, topic: text(&lab.topic("will")), ..Will::default() };
    refused_will(lab, will, Reason::RetainNotSupported).await
}

async fn refused_will(lab: &Lab, will: Will, expected: Reason) -> Outcome {
    let mut wire = lab.open(Connect { will: Some(will), ..lab.connect("a") }).await?;
    let before = lab.closed(&mut wire).await?;
    let said = before.iter().find_map(|packet| match packet {
        Packet::ConnAck(connack) => Some(connack.reason),
        _ => None,
    });
    ensure(said != Some(Reason::Success), "no CONNACK that accepts", "CONNACK that accepts")?;
    same("CONNACK with", said, Some(expected)).advisable()?;
    Ok(())
}

/// A retained PUBLISH where nothing is retained ends the connection.
async fn retained_publish_without_retain(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    wire.send_publish(lab.retained("t", "hello", Qos::AtMostOnce)).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// A packet larger than the target's Maximum Packet Size ends the connection.
async fn packet_too_large(lab: &mut Lab) -> Outcome {
    let (mut wire, connack) = lab.join(lab.connect("a")).await?;
    let most = connack.properties.maximum_packet_size().unwrap_or(u32::MAX);
    lab.needs(most <= 1 << 20, "Maximum Packet Size of at most one MiB")?;
    let payload = vec![b'x'; usize::try_from(most).unwrap_or(usize::MAX)];
    wire.send_publish(lab.publish("t", payload, Qos::AtMostOnce)).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// Each empty client identifier is answered by one that no session has, stored ones included.
async fn assigned_client_ids_are_fresh(lab: &mut Lab) -> Outcome {
    let mut assigned = BTreeSet::new();
    for _ in 0..5 {
        let client = nameless(lab, lab.connect_to_stay("a")).await?;
        same("Session Present", client.connack.session_present, false)?;
        let client_id = client.connack.properties.assigned_client_identifier();
        let client_id = client_id.ok_or_else(|| Failure::new("an Assigned Client Identifier", "none"))?;
        ensure(assigned.insert(client_id.clone()), "a fresh client identifier", format!("{client_id:?} again"))?;
        client.wire.cut().await;
    }
    Ok(())
}

/// A topic alias above the target's Topic Alias Maximum ends the connection.
async fn alias_above_maximum(lab: &mut Lab) -> Outcome {
    let (mut wire, connack) = lab.join(lab.connect("a")).await?;
    let most = connack.properties.topic_alias_maximum().unwrap_or(0);
    lab.needs((1..u16::MAX).contains(&most), "Topic Alias Maximum from 1 to 65,534")?;
    publish_with_alias(lab, &mut wire, most + 1).await
}

/// A topic alias towards a target that takes none ends the connection.
async fn alias_without_maximum(lab: &mut Lab) -> Outcome {
    let (mut wire, connack) = lab.join(lab.connect("a")).await?;
    same("Topic Alias Maximum", connack.properties.topic_alias_maximum().unwrap_or(0), 0).setup()?;
    publish_with_alias(lab, &mut wire, 1).await
}

async fn publish_with_alias(lab: &Lab, wire: &mut Wire, alias: u16) -> Outcome {
    let properties = Properties::new().with(Property::TopicAlias, Value::Two(alias));
    let publish = Publish { properties, ..lab.publish("t", "hello", Qos::AtMostOnce) };
    wire.send_publish(publish).await.setup()?;
    lab.closed_if_checked(wire).await?;
    Ok(())
}

// --- the rest ---------------------------------------------------------------------------------------------------------

/// A reason string that would make CONNACK larger than the client takes is left out.
async fn reason_string_within_limit(lab: &mut Lab) -> Outcome {
    let mut wire = refused(lab, "a").await?;
    let Ok(connack) = wire.connack().await else {
        return Err(Stop::Skipped("the target refuses without CONNACK".to_owned()));
    };
    if connack.properties.reason_string().is_none() {
        return Err(Stop::never_has(PacketType::ConnAck, Property::ReasonString));
    }
    let mut bytes = Vec::new();
    ensure(encode(&Packet::ConnAck(connack), lab.version(), &mut bytes).is_ok(), "a CONNACK", "none").setup()?;
    let too_few = u32::try_from(bytes.len() - 1).unwrap_or(u32::MAX);
    let mut raw = RawConnect::of(&lab.connect_to_stay("a"));
    raw.add_properties(&[&[0x15], &field(b"simrun-no-such-method")[..]].concat());
    raw.add_properties(&[&[0x27], &too_few.to_be_bytes()[..]].concat());
    let mut wire = lab.dial("a").await?;
    wire.send_bytes(raw.bytes()).await.setup()?;
    let came = lab.closed(&mut wire).await.setup()?;
    let told = came.iter().any(|packet| match packet {
        Packet::ConnAck(connack) => connack.properties.reason_string().is_some(),
        _ => false,
    });
    ensure(!told, format!("no reason string where CONNACK may have {too_few} bytes"), "a reason string")?;
    Ok(())
}

/// User properties that would make CONNACK larger than the client takes are left out.
async fn user_properties_within_limit(lab: &mut Lab) -> Outcome {
    let connack = async |lab: &Lab, connect| Ok(Packet::ConnAck(lab.join(connect).await?.1));
    left_out_of(lab, Property::UserProperty, connack).await
}

/// Without Server Keep Alive the client's value holds, and not a shorter one.
async fn keep_alive_of_the_client(lab: &mut Lab) -> Outcome {
    let (mut wire, connack) = lab.join(Connect { keep_alive: 4, ..lab.connect("a") }).await?;
    lab.needs(connack.properties.server_keep_alive().is_none(), "keep alive of the client's choice")?;
    lab.wait(Duration::from_secs(4)).await;
    wire.ping().await?;
    wire.set_patience(Duration::from_secs(6) + lab.patience_with_timers());
    lab.closed(&mut wire).await?;
    Ok(())
}
