//! Shared subscriptions (5.0 section 4.8).

use std::time::Duration;

use crate::codec::Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::codec::{
    AckKind, Connect, PacketIdentifier, Properties, Property, Publish, Qos, Reason, SubscriptionOptions, Value,
};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure};
use crate::conform::wire::Wire;

server_cases! {
    empty_share_name: ["v5/MQTT-4.8.2-1"];
    share: ["v5/MQTT-4.8.2-1"];
    bad_share_name: ["v5/MQTT-4.8.2-2"];
    share_of_an_empty_level: ["v5/MQTT-4.8.2-2"];
    each_at_its_qos: ["v5/MQTT-4.8.2-3"];
    begun_before_pubrec: ["v5/MQTT-4.8.2-4"];
    begun_before_pubcomp: ["v5/MQTT-4.8.2-4"];
    member_that_starts_anew: ["v5/MQTT-4.8.2-5"];
    member_that_expires: ["v5/MQTT-4.8.2-5"];
    refused_by_a_member: ["v5/MQTT-4.8.2-6"];
}

/// How many messages are published to a group.
const SOME: u8 = 6;

// --- filters ----------------------------------------------------------------------------------------------------------

/// A share name of no characters is refused.
async fn empty_share_name(lab: &mut Lab) -> Outcome {
    refused(lab, &format!("$share//{}", lab.topic("light"))).await
}

/// A share name with a wildcard is refused, and one that no filter follows.
async fn bad_share_name(lab: &mut Lab) -> Outcome {
    let topic = lab.topic("light");
    for filter in ["$share/g", "$share/g/", &format!("$share/g+/{topic}"), &format!("$share/g#/{topic}")] {
        refused(lab, filter).await.about(filter)?;
    }
    Ok(())
}

/// Demands that a subscription is refused, by closing or in the SUBACK; the standard leaves open how thoroughly to
/// check.
async fn refused(lab: &Lab, filter: &str) -> Outcome {
    lab.needs(lab.abilities().shared_subscriptions, "shared subscriptions")?;
    let mut wire = lab.client("a").await?;
    match wire.ask(&[(filter, SubscriptionOptions::default())], Properties::new()).await {
        Err(_) => lab.closed(&mut wire).await.map(drop),
        Ok(suback) => {
            let refused = suback.reasons.iter().all(|reason| reason.is_error());
            ensure(refused, "a refusal", "a SUBACK that grants the subscription").advisable()
        }
    }
}

/// Each message for a group goes to one of its members.
async fn share(lab: &mut Lab) -> Outcome {
    let mut members = Vec::new();
    for name in ["one", "two"] {
        members.push(member(lab, lab.connect(name), AtMostOnce).await?);
    }
    let mut heard = Vec::new();
    let mut switch = lab.client("switch").await?;
    for number in 0..SOME {
        switch.publish(lab.publish("light", vec![number], AtMostOnce)).await.setup()?;
    }
    for wire in &mut members {
        heard.extend(lab.heard(wire, &mut switch, "fence", AtMostOnce).await?);
    }
    let mut numbers: Vec<u8> = heard.iter().filter_map(|message| message.payload.first().copied()).collect();
    numbers.sort_unstable();
    let expected: Vec<u8> = (0..SOME).collect();
    ensure(numbers == expected, "each message at one member", format!("the messages {numbers:?} at both together"))?;
    Ok(())
}

/// What follows the share name is the whole filter, also if it begins with an empty level.
async fn share_of_an_empty_level(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().shared_subscriptions, "shared subscriptions")?;
    let topic = format!("/{}", lab.topic("light"));
    let mut hall = lab.client("hall").await?;
    hall.subscribe(format!("$share/g/{topic}"), AtMostOnce).await?;
    let mut switch = lab.client("switch").await?;
    let publish = Publish { topic: crate::conform::wire::text(&topic), ..lab.publish("", "on", AtMostOnce) };
    switch.publish(publish).await.setup()?;
    hall.messages_until(b"on").await?;
    Ok(())
}

/// A member of the group, with this QoS. It also hears what is published to the case's topic `fence`.
async fn member(lab: &Lab, connect: Connect, qos: Qos) -> Result<Wire, Stop> {
    lab.needs(lab.abilities().shared_subscriptions, "shared subscriptions")?;
    let (mut wire, _) = lab.join(connect).await?;
    wire.subscribe(lab.topic("fence"), AtMostOnce).await.setup()?;
    wire.subscribe(format!("$share/group/{}", lab.topic("light")), qos).await.setup()?;
    Ok(wire)
}

// --- delivery ---------------------------------------------------------------------------------------------------------

/// No member gets a message at a higher QoS than it was granted.
async fn each_at_its_qos(lab: &mut Lab) -> Outcome {
    let highest = lab.abilities().maximum_qos;
    lab.needs_qos(AtLeastOnce)?;
    let mut low = member(lab, lab.connect("low"), AtMostOnce).await?;
    let mut high = member(lab, lab.connect("high"), highest).await?;
    let mut switch = lab.client("switch").await?;
    for number in 0..SOME {
        switch.publish(lab.publish("light", vec![number], highest)).await.setup()?;
    }
    let heard = lab.heard(&mut low, &mut switch, "fence", AtMostOnce).await?;
    let higher = heard.iter().find(|message| message.qos > AtMostOnce);
    ensure(higher.is_none(), "messages at QoS 0", format!("one at {}", higher.map_or(highest, |message| message.qos)))?;
    lab.heard(&mut high, &mut switch, "fence", AtMostOnce).await?;
    Ok(())
}

/// A member that was cut off before its PUBREC gets the PUBLISH again, and no other member gets it.
async fn begun_before_pubrec(lab: &mut Lab) -> Outcome {
    let Begun { one, mut two, mut switch, packet } = begin(lab, ExactlyOnce).await?;
    one.cut().await;
    untouched(lab, &mut two, &mut switch).await?;
    let mut one = lab.resume("one").await?;
    let again = one.message().await?;
    ensure(again.packet_identifier == Some(packet), format!("PUBLISH {packet} again"), "another PUBLISH")?;
    one.settle(&again).await?;
    untouched(lab, &mut two, &mut switch).await
}

/// A member that was cut off before its PUBCOMP gets the PUBREL again, and no other member gets the message.
async fn begun_before_pubcomp(lab: &mut Lab) -> Outcome {
    let Begun { mut one, mut two, mut switch, packet } = begin(lab, ExactlyOnce).await?;
    one.send_ack(AckKind::PubRec, packet).await.setup()?;
    one.ack(AckKind::PubRel, packet).await.setup()?;
    one.cut().await;
    untouched(lab, &mut two, &mut switch).await?;
    let mut one = lab.resume("one").await?;
    one.ack(AckKind::PubRel, packet).await?;
    one.send_ack(AckKind::PubComp, packet).await.setup()?;
    untouched(lab, &mut two, &mut switch).await
}

/// When a member with a begun QoS 2 delivery returns with a clean start, no other member gets the message.
async fn member_that_starts_anew(lab: &mut Lab) -> Outcome {
    let Begun { one, mut two, mut switch, .. } = begin(lab, ExactlyOnce).await?;
    one.cut().await;
    lab.client("one").await?;
    untouched(lab, &mut two, &mut switch).await
}

/// When the session of a member with a begun QoS 2 delivery expires, no other member gets the message.
async fn member_that_expires(lab: &mut Lab) -> Outcome {
    let Begun { mut one, mut two, mut switch, .. } = begin(lab, ExactlyOnce).await?;
    let properties = Properties::new().with(Property::SessionExpiryInterval, Value::Four(1));
    one.leave_with(crate::codec::Disconnect { reason: Reason::Success, properties }).await.setup()?;
    lab.wait(Duration::from_millis(2500)).await;
    untouched(lab, &mut two, &mut switch).await
}

/// What a member refuses goes to nobody else, and not to it again.
async fn refused_by_a_member(lab: &mut Lab) -> Outcome {
    for (qos, kind) in [(AtLeastOnce, AckKind::PubAck), (ExactlyOnce, AckKind::PubRec)] {
        let Begun { mut one, mut two, mut switch, packet } = begin(lab, qos).await?;
        one.send_ack_with(kind, packet, Reason::UnspecifiedError).await.setup()?;
        one.ping().await.setup()?;
        untouched(lab, &mut two, &mut switch).await?;
        one.cut().await;
        let mut one = lab.resume("one").await?;
        untouched(lab, &mut one, &mut switch).await.about("the member that refused it")?;
        two.leave().await.setup()?;
    }
    Ok(())
}

/// A delivery to a group that has begun.
struct Begun {
    /// The member that it goes to.
    one: Wire,
    /// The other one.
    two: Wire,
    /// Who published it.
    switch: Wire,
    packet: PacketIdentifier,
}

/// Begins a delivery while the group has one member, whose session lasts; then a second one joins.
async fn begin(lab: &Lab, qos: Qos) -> Result<Begun, Stop> {
    lab.needs_qos(qos)?;
    // A clean start first: the case may begin more than once.
    let mut one = member(lab, Connect { clean_start: true, ..lab.connect_to_stay("one") }, qos).await?;
    let mut switch = lab.client("switch").await?;
    switch.publish(lab.publish("light", "on", qos)).await.setup()?;
    let packet = one.message().await.setup()?.packet_identifier.unwrap_or(PacketIdentifier::MIN);
    let two = member(lab, lab.connect("two"), qos).await?;
    Ok(Begun { one, two, switch, packet })
}

/// Demands that nothing of the group's has come to a member.
async fn untouched(lab: &Lab, member: &mut Wire, switch: &mut Wire) -> Outcome {
    let heard = lab.heard(member, switch, "fence", AtMostOnce).await?;
    ensure(heard.is_empty(), "no message to another member", format!("{} messages", heard.len()))?;
    Ok(())
}
