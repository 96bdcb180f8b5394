//! The format of packets (section 2): reserved flags, packet identifiers, properties.

use std::collections::BTreeSet;

use crate::codec::{AckKind, Packet, PacketIdentifier, Properties, Qos, Subscribe, Subscription, SubscriptionOptions};
use crate::codec::{Publish, Unsubscribe};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::raw::properties;
use crate::conform::verdict::{Otherwise, Outcome, ensure, same};
use crate::conform::wire::{Wire, by_hand, field, text};

server_cases! {
    reserved_flags: ["v3.1.1/MQTT-2.2.2-2", "v5/MQTT-2.1.3-1"];
    packet_identifier_zero: ["v3.1.1/MQTT-2.3.1-1", "v5/MQTT-2.2.1-3"];
    identifiers_of_deliveries: ["v3.1.1/MQTT-2.3.1-4", "v5/MQTT-2.2.1-4"];
    no_identifier_at_qos_0: ["v3.1.1/MQTT-2.3.1-5", "v5/MQTT-2.2.1-2"];
    acks_echo_identifiers: ["v3.1.1/MQTT-2.3.1-6", "v5/MQTT-2.2.1-5"];
    subacks_echo_identifiers: ["v3.1.1/MQTT-2.3.1-7", "v5/MQTT-2.2.1-6"];
    no_property_length: ["v5/MQTT-2.2.2-1"];
}

/// A packet with a wrong bit in its reserved flags ends the connection, and is not answered.
async fn reserved_flags(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("CONNECT with flags 0001", |raw| raw.first |= 1)]).await?;
    let filter = field(lab.topic("t").as_bytes());
    let no_properties = if lab.is_v5() { properties(&[]) } else { Vec::new() };
    let subscribe = [&[0, 1], &no_properties[..], &filter, &[0]].concat();
    let unsubscribe = [&[0, 1], &no_properties[..], &filter].concat();
    let rows: [(&str, u8, &[u8]); 8] = [
        ("PUBACK with flags 0001", 0x41, &[0, 1]),
        ("PUBREC with flags 0010", 0x52, &[0, 1]),
        ("PUBREL with flags 0000", 0x60, &[0, 1]),
        ("PUBCOMP with flags 0100", 0x74, &[0, 1]),
        ("SUBSCRIBE with flags 0000", 0x80, &subscribe),
        ("UNSUBSCRIBE with flags 1010", 0xAA, &unsubscribe),
        ("PINGREQ with flags 0001", 0xC1, &[]),
        ("PINGREQ with flags 1000", 0xC8, &[]),
    ];
    for (what, first, body) in rows {
        let mut wire = lab.client("a").await?;
        wire.send_bytes(by_hand(first, body)).await.setup()?;
        let before = lab.closed_if_checked(&mut wire).await.about(what)?;
        let answered = before.iter().any(|packet| !matches!(packet, Packet::Disconnect(_)));
        ensure(!answered, "the connection closed without an answer", "an answer").about(what)?;
    }
    Ok(())
}

/// A packet that must have a packet identifier and has 0 there ends the connection.
async fn packet_identifier_zero(lab: &mut Lab) -> Outcome {
    let string = field(lab.topic("t").as_bytes());
    let no_properties = if lab.is_v5() { properties(&[]) } else { Vec::new() };
    let publish = [&string[..], &[0, 0], &no_properties, b"hello"].concat();
    let subscribe = [&[0, 0], &no_properties[..], &string, &[0]].concat();
    let unsubscribe = [&[0, 0], &no_properties[..], &string].concat();
    let rows = [
        ("PUBLISH at QoS 1", 0x32, &publish),
        ("PUBLISH at QoS 2", 0x34, &publish),
        ("SUBSCRIBE", 0x82, &subscribe),
        ("UNSUBSCRIBE", 0xA2, &unsubscribe),
    ];
    for (what, first, body) in rows {
        let mut wire = lab.client("a").await?;
        wire.send_bytes(by_hand(first, body)).await.setup()?;
        lab.closed_if_checked(&mut wire).await.about(what)?;
    }
    Ok(())
}

/// Deliveries that are not acknowledged all have packet identifiers of their own; sent again in a resumed session, they
/// have the same as before, and new ones others.
async fn identifiers_of_deliveries(lab: &mut Lab) -> Outcome {
    let (mut subscriber, _) = lab.join(lab.connect_to_stay("s")).await?;
    subscriber.subscribe(lab.topic("t"), Qos::ExactlyOnce).await.setup()?;
    let mut publisher = lab.client("p").await?;
    let most = lab.abilities().maximum_qos;
    for (payload, qos) in ["1", "2", "3", "4"].into_iter().zip([Qos::AtLeastOnce, most].into_iter().cycle()) {
        publisher.publish(lab.publish("t", payload, qos)).await.setup()?;
    }
    let first = unsettled(&mut subscriber, 4).await?;
    subscriber.cut().await;
    let (mut subscriber, _) = lab.join(lab.connect_to_stay("s")).await?;
    publisher.publish(lab.publish("t", "5", Qos::AtLeastOnce)).await.setup()?;
    let second = unsettled(&mut subscriber, 5).await?;
    for message in &first {
        let again = second.iter().find(|again| again.payload == message.payload);
        same("packet identifier", again.and_then(|again| again.packet_identifier), message.packet_identifier)?;
    }
    Ok(())
}

/// So many deliveries, not acknowledged: their packet identifiers must differ.
async fn unsettled(wire: &mut Wire, count: usize) -> Result<Vec<Publish>, crate::conform::Stop> {
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(wire.message().await.setup()?);
    }
    let identifiers: Vec<_> = messages.iter().filter_map(|message| message.packet_identifier).collect();
    let distinct: BTreeSet<_> = identifiers.iter().collect();
    ensure(distinct.len() == count, format!("{count} packet identifiers that differ"), format!("{identifiers:?}"))?;
    Ok(messages)
}

/// At QoS 0 the payload, or the property length, follows the topic name at once.
async fn no_identifier_at_qos_0(lab: &mut Lab) -> Outcome {
    let mut subscriber = lab.subscriber("s", "t", Qos::AtMostOnce).await?;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("t", "hello", Qos::AtMostOnce)).await.setup()?;
    let message = subscriber.message().await?;
    same("QoS", message.qos, Qos::AtMostOnce)?;
    same("payload", &message.payload[..], &b"hello"[..])?;
    Ok(())
}

/// Exchanges that overlap: each PUBACK, PUBREC and PUBCOMP names the packet identifier of its own PUBLISH.
async fn acks_echo_identifiers(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().maximum_qos == Qos::ExactlyOnce, "QoS 2")?;
    let mut wire = lab.client("a").await?;
    let once = [identifier(1), identifier(0x00FF)];
    let exactly = [identifier(0xFFFF), identifier(0x1234)];
    for (at_least, exactly) in once.into_iter().zip(exactly) {
        for (qos, identifier) in [(Qos::AtLeastOnce, at_least), (Qos::ExactlyOnce, exactly)] {
            let publish = Publish { packet_identifier: Some(identifier), ..lab.publish("t", "hello", qos) };
            wire.send_publish(publish).await.setup()?;
        }
    }
    for identifier in once {
        wire.ack(AckKind::PubAck, identifier).await?;
    }
    for identifier in exactly {
        wire.ack(AckKind::PubRec, identifier).await?;
        wire.send_ack(AckKind::PubRel, identifier).await.setup()?;
    }
    for identifier in exactly {
        wire.ack(AckKind::PubComp, identifier).await?;
    }
    Ok(())
}

/// SUBSCRIBE and UNSUBSCRIBE sent without waiting: each SUBACK and UNSUBACK names the packet identifier of its request.
async fn subacks_echo_identifiers(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    for number in [0xFFFF, 0x1234] {
        let subscription = Subscription { filter: text(&lab.topic("t")), options: SubscriptionOptions::default() };
        let subscribe = Subscribe {
            packet_identifier: identifier(number),
            properties: Properties::new(),
            subscriptions: vec![subscription],
        };
        wire.send(&Packet::Subscribe(subscribe)).await.setup()?;
    }
    let unsubscribe = Unsubscribe {
        packet_identifier: identifier(0x00FF),
        properties: Properties::new(),
        filters: vec![text(&lab.topic("t"))],
    };
    wire.send(&Packet::Unsubscribe(unsubscribe)).await.setup()?;
    wire.suback(identifier(0xFFFF)).await?;
    wire.suback(identifier(0x1234)).await?;
    wire.unsuback(identifier(0x00FF)).await?;
    Ok(())
}

/// Packet identifiers of cases are never 0.
fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MAX)
}

/// A CONNECT without a property length is malformed.
async fn no_property_length(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("no property length", |raw| raw.properties = None)]).await
}
