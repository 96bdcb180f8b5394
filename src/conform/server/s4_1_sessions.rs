//! Sessions, network connections, delivery retry (sections 4.1, 4.2 and 4.4).

use std::time::Duration;

use crate::codec::Qos::{AtLeastOnce, ExactlyOnce};
use crate::codec::{
    AckKind, Connect, Disconnect, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Reason,
    SubscriptionOptions, Value,
};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::{Wire, identifier};

server_cases! {
    // Sessions.
    session_is_kept: ["v3.1.1/MQTT-4.1.0-1"];
    session_lasts_while_connected: ["v3.1.1/MQTT-4.1.0-2", "v5/MQTT-4.1.0-1"];
    session_ends_with_its_connection: ["v5/MQTT-4.1.0-2"];
    session_ends_after_its_expiry: ["v5/MQTT-4.1.0-2"];
    session_ends_by_disconnect: ["v5/MQTT-4.1.0-2"];
    // The network connection.
    ordered_lossless_stream: ["v5/MQTT-4.2-1"];
    // Delivery retry.
    pending_packets_come_again: ["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"];
    nothing_comes_again_while_connected: ["v5/MQTT-4.4.0-1"];
    failing_acks_settle: ["v5/MQTT-4.4.0-2"];
}

// --- sessions ---------------------------------------------------------------------------------------------------------

/// Through cuts and idle time a session keeps its subscription, its queue and its half-done exchanges.
async fn session_is_kept(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.lasting_subscriber("hall", "light", AtLeastOnce).await?;
    let half_done = begin_exchange(lab, &mut hall).await?;
    let mut switch = lab.client("switch").await?;
    for payload in ["first", "second"] {
        hall.cut().await;
        switch.publish(lab.publish("light", payload, AtLeastOnce)).await.setup()?;
        lab.wait(Duration::from_secs(1)).await;
        let connack;
        (hall, connack) = lab.join(lab.connect_to_stay("hall")).await?;
        ensure(connack.session_present, "CONNACK with Session Present 1", "CONNACK with Session Present 0")?;
        hall.messages_until(payload.as_bytes()).await?;
    }
    hall.send_ack(AckKind::PubRel, half_done).await.setup()?;
    hall.ack(AckKind::PubComp, half_done).await?;
    Ok(())
}

/// A QoS 2 exchange that lacks its PUBREL.
async fn begin_exchange(lab: &Lab, wire: &mut Wire) -> Result<PacketIdentifier, Stop> {
    let packet = identifier(700);
    let publish = Publish { packet_identifier: Some(packet), ..lab.publish("elsewhere", "half done", ExactlyOnce) };
    wire.send_publish(publish).await.setup()?;
    wire.ack(AckKind::PubRec, packet).await.setup()?;
    Ok(packet)
}

/// For as long as its connection stands a session keeps its subscription and its half-done exchanges, however short its
/// expiry interval; that is counted from the end of the connection.
async fn session_lasts_while_connected(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let connect = || with_expiry(lab, 2);
    let back = || Connect { clean_start: false, ..connect() };
    // What ends with its connection was not dropped while that stood.
    let outlives = lab.is_v5() && lab.abilities().sessions && {
        lab.join(connect()).await?.0.cut().await;
        lab.join(back()).await?.1.session_present
    };
    let (mut hall, _) = lab.join(connect()).await?;
    hall.subscribe(lab.topic("light"), ExactlyOnce).await.setup()?;
    let mut switch = lab.client("switch").await?;
    let to_broker = begin_exchange(lab, &mut hall).await?;
    switch.publish(lab.publish("light", "first", ExactlyOnce)).await.setup()?;
    let from_broker = hall.message().await.setup()?.packet_identifier.unwrap_or(PacketIdentifier::MIN);

    lab.wait(Duration::from_millis(3500)).await;
    hall.ping().await?;
    hall.send_ack(AckKind::PubRel, to_broker).await.setup()?;
    hall.ack(AckKind::PubComp, to_broker).await?;
    hall.send_ack(AckKind::PubRec, from_broker).await.setup()?;
    hall.ack(AckKind::PubRel, from_broker).await?;
    hall.send_ack(AckKind::PubComp, from_broker).await.setup()?;
    switch.publish(lab.publish("light", "second", ExactlyOnce)).await.setup()?;
    hall.messages_until(b"second").await?;
    if outlives {
        hall.cut().await;
        let (_, connack) = lab.join(back()).await?;
        ensure(connack.session_present, "CONNACK with Session Present 1", "CONNACK with Session Present 0")?;
    }
    Ok(())
}

/// A CONNECT with a clean start whose session outlives its connection by so many seconds (5.0), or not at all (3.1.1).
fn with_expiry(lab: &Lab, seconds: u32) -> Connect {
    let mut connect = lab.connect("hall");
    if lab.is_v5() {
        connect.properties.push(Property::SessionExpiryInterval, Value::Four(seconds));
    }
    connect
}

/// A session without an expiry interval, or with one of 0, is gone with its connection.
async fn session_ends_with_its_connection(lab: &mut Lab) -> Outcome {
    for connect in [lab.connect("hall"), with_expiry(lab, 0)] {
        let hall = begin_session(lab, connect).await?;
        hall.cut().await;
        is_gone(lab).await?;
    }
    Ok(())
}

/// A session is gone when its expiry interval is over.
async fn session_ends_after_its_expiry(lab: &mut Lab) -> Outcome {
    let hall = begin_session(lab, with_expiry(lab, 1)).await?;
    hall.cut().await;
    lab.wait(Duration::from_secs(3)).await;
    is_gone(lab).await
}

/// A session is gone with its connection when DISCONNECT sets its expiry interval to 0.
async fn session_ends_by_disconnect(lab: &mut Lab) -> Outcome {
    let mut hall = begin_session(lab, with_expiry(lab, 300)).await?;
    let properties = Properties::new().with(Property::SessionExpiryInterval, Value::Four(0));
    hall.leave_with(Disconnect { reason: Reason::Success, properties }).await.setup()?;
    is_gone(lab).await
}

async fn begin_session(lab: &Lab, connect: Connect) -> Result<Wire, Stop> {
    let (mut hall, _) = lab.join(connect).await?;
    hall.subscribe(lab.topic("light"), lab.abilities().maximum_qos).await.setup()?;
    Ok(hall)
}

/// Demands that nothing is left of the session that [`begin_session`] made.
async fn is_gone(lab: &Lab) -> Outcome {
    let mut switch = lab.client("switch").await?;
    let qos = lab.abilities().maximum_qos;
    switch.publish(lab.publish("light", "queued", qos)).await.setup()?;
    let (mut hall, connack) = lab.join(Connect { clean_start: false, ..lab.connect("hall") }).await?;
    ensure(!connack.session_present, "CONNACK with Session Present 0", "CONNACK with Session Present 1")?;
    hall.subscribe(lab.topic("fence"), qos).await.setup()?;
    switch.publish(lab.publish("light", "live", qos)).await.setup()?;
    let heard = lab.heard(&mut hall, &mut switch, "fence", qos).await?;
    ensure(heard.is_empty(), "nothing of the old session's", format!("{} messages", heard.len()))?;
    hall.leave().await.setup()
}

// --- the network connection -------------------------------------------------------------------------------------------

/// A payload arrives whole and in order, in one piece or byte by byte.
async fn ordered_lossless_stream(lab: &mut Lab) -> Outcome {
    let most =
        lab.abilities().maximum_packet_size.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let qos = Qos::AtMostOnce;
    let mut hall = lab.subscriber("hall", "light", qos).await?;
    let mut switch = lab.client("switch").await?;
    for (len, by_byte) in [(100_000, false), (2000, true)] {
        let len = most.saturating_sub(200).min(len);
        let payload: Vec<u8> = (0..=250).cycle().take(len).collect();
        let publish = lab.publish("light", payload.clone(), qos);
        if by_byte {
            switch.send_byte_by_byte(&Packet::Publish(publish)).await.setup()?;
        } else {
            switch.publish(publish).await.setup()?;
        }
        let came = hall.message().await?.payload;
        ensure(came == payload, format!("a payload of {len} bytes as it was sent"), "another payload")?;
    }
    Ok(())
}

// --- delivery retry ---------------------------------------------------------------------------------------------------

/// Every PUBLISH and PUBREL that was not answered comes again when the session is resumed, under its packet identifier.
async fn pending_packets_come_again(lab: &mut Lab) -> Outcome {
    lab.needs_qos(ExactlyOnce)?;
    let mut hall = lab.lasting_subscriber("hall", "light", ExactlyOnce).await?;
    let mut switch = lab.client("switch").await?;
    let mut sent = Vec::new();
    for qos in [ExactlyOnce, AtLeastOnce, ExactlyOnce] {
        switch.publish(lab.publish("light", "on", qos)).await.setup()?;
        let packet = hall.message().await.setup()?.packet_identifier;
        ensure(packet.is_some(), "PUBLISH with a packet identifier", "PUBLISH at QoS 0").setup()?;
        sent.extend(packet);
    }
    // Clients acknowledge in order [MQTT-4.6.0-3].
    hall.send_ack(AckKind::PubRec, sent[0]).await.setup()?;
    hall.ack(AckKind::PubRel, sent[0]).await.setup()?;
    hall.cut().await;

    let mut hall = lab.resume("hall").await?;
    for packet in &sent[1..] {
        same("packet identifier", hall.message().await?.packet_identifier, Some(*packet))?;
    }
    hall.ack(AckKind::PubRel, sent[0]).await?;
    Ok(())
}

/// While the connection stands nothing is sent again, however long its answer takes.
async fn nothing_comes_again_while_connected(lab: &mut Lab) -> Outcome {
    lab.needs_qos(AtLeastOnce)?;
    let mut hall = lab.subscriber("hall", "light", ExactlyOnce.min(lab.abilities().maximum_qos)).await?;
    let mut switch = lab.client("switch").await?;
    for qos in [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| *qos <= lab.abilities().maximum_qos) {
        switch.publish(lab.publish("light", "on", qos)).await.setup()?;
        hall.message().await.setup()?;
    }
    hall.listen(Duration::from_secs(3)).await;
    hall.ping().await?;
    let again = hall.rest().into_iter().filter(|packet| matches!(packet, Packet::Publish(_))).count();
    ensure(again == 0, "nothing sent again", format!("{again} more PUBLISH"))?;
    Ok(())
}

/// What a PUBACK or PUBREC of 0x80 or above refused does not come again.
async fn failing_acks_settle(lab: &mut Lab) -> Outcome {
    let highest = lab.abilities().maximum_qos;
    lab.needs_qos(AtLeastOnce)?;
    let (mut hall, _) = lab.join(lab.connect_to_stay("hall")).await?;
    let options = SubscriptionOptions { qos: highest, ..SubscriptionOptions::default() };
    hall.subscribe_with(lab.topic("light"), options).await.setup()?;
    let mut switch = lab.client("switch").await?;
    for (qos, kind) in [(AtLeastOnce, AckKind::PubAck), (ExactlyOnce, AckKind::PubRec)] {
        if qos > highest {
            continue;
        }
        switch.publish(lab.publish("light", "on", qos)).await.setup()?;
        let packet = hall.message().await.setup()?.packet_identifier.unwrap_or(PacketIdentifier::MIN);
        hall.send_ack_with(kind, packet, Reason::UnspecifiedError).await.setup()?;
    }
    hall.ping().await.setup()?;
    hall.cut().await;
    let mut hall = lab.resume("hall").await?;
    let heard = lab.heard(&mut hall, &mut switch, "light", highest).await?;
    ensure(heard.is_empty(), "nothing that was refused", format!("{} messages", heard.len()))?;
    Ok(())
}
