//! Delivery (sections 4.3 to 4.6).

use std::time::Duration;

use simrun::codec::{Ack, AckKind, Packet, Publish, Qos, Reason};
use simrun::trace::Way;

use super::{client, instead, is_ack, is_at, loses, publishes};
use crate::mutants::Mutant;
use crate::mutants::tools::{alter, change, encoded, swallow, swap};

pub const MUTANTS: &[Mutant] = &[
    client("QoS 0 is sent twice", &["v3.1.1/MQTT-4.3.1-1", "v5/MQTT-4.3.1-1"], || {
        alter(|version, way, packet, onward| {
            if way == Way::Up && is_at(&packet, Qos::AtMostOnce) {
                onward.packet(version, way, &packet);
            }
            onward.packet(version, way, &packet);
        })
    }),
    client(
        "first copies have DUP 1",
        &["v3.1.1/MQTT-4.3.2-1", "v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.2-2", "v5/MQTT-4.3.3-2"],
        || publishes(|publish| publish.dup = publish.qos > Qos::AtMostOnce),
    ),
    client(
        "there is no PUBACK",
        &["v3.1.1/MQTT-4.3.2-2", "v3.1.1/MQTT-4.5.0-2", "v5/MQTT-4.3.2-4", "v5/MQTT-4.5.0-2"],
        || loses(AckKind::PubAck),
    ),
    client(
        "DUP 1 means that a message is known",
        &["v3.1.1/MQTT-4.3.2-2", "v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.2-5", "v5/MQTT-4.3.3-12"],
        || {
            instead(
                |publish| publish.dup,
                |version, publish, onward| {
                    let kind = if publish.qos == Qos::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
                    if let Some(identifier) = publish.packet_identifier {
                        onward.packet(version, Way::Up, &Packet::Ack(Ack::new(kind, identifier, Reason::Success)));
                    }
                },
            )
        },
    ),
    client("PUBREC that refuses brings PUBREL", &["v5/MQTT-4.3.3-4"], || {
        change(Way::Down, |_, packet| {
            if let Packet::Ack(ack) = packet
                && ack.kind == AckKind::PubRec
            {
                ack.reason = Reason::Success;
            }
        })
    }),
    client("there is no PUBREL", &["v5/MQTT-4.3.3-4"], || loses(AckKind::PubRel)),
    client(
        "PUBREL is not sent again",
        &["v3.1.1/MQTT-4.3.3-1", "v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.3.3-5", "v5/MQTT-4.4.0-1"],
        || {
            let mut received = false;
            alter(move |version, way, packet, onward| {
                received |= is_ack(&packet, AckKind::PubRec);
                if received || !is_ack(&packet, AckKind::PubRel) {
                    onward.packet(version, way, &packet);
                }
            })
        },
    ),
    client("the message is sent again with PUBREL", &["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-6"], || {
        alter(|version, way, packet, onward| {
            onward.packet(version, way, &packet);
            if let (Way::Up, Packet::Ack(Ack { kind: AckKind::PubRel, packet_identifier, .. })) = (way, &packet) {
                let packet_identifier = Some(*packet_identifier);
                let (topic, qos) = (simrun::codec::Text::literal("a"), Qos::ExactlyOnce);
                let again = Publish { dup: true, qos, topic, packet_identifier, ..Publish::default() };
                onward.packet(version, way, &Packet::Publish(again));
            }
        })
    }),
    client("there is no PUBREC", &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-8"], || loses(AckKind::PubRec)),
    client("a packet identifier is spent by a PUBREC that refuses", &["v5/MQTT-4.3.3-9"], || {
        let mut refused = false;
        alter(move |version, way, mut packet, onward| {
            if let (Way::Up, Packet::Ack(ack)) = (way, &mut packet) {
                if refused {
                    return;
                }
                (ack.reason, refused) = (Reason::QuotaExceeded, true);
            }
            onward.packet(version, way, &packet);
        })
    }),
    client("there is no PUBCOMP", &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-11", "v5/MQTT-4.3.3-13"], || {
        loses(AckKind::PubComp)
    }),
    client("what is not acknowledged soon is sent again", &["v5/MQTT-4.4.0-1"], || {
        alter(|version, way, packet, onward| {
            if let (Way::Up, Packet::Publish(publish)) = (way, &packet)
                && publish.qos > Qos::AtMostOnce
            {
                let again = Packet::Publish(Publish { dup: true, ..publish.clone() });
                onward.later(Duration::from_secs(2), way, encoded(version, &again).into());
            }
            onward.packet(version, way, &packet);
        })
    }),
    client("acks that refuse are ignored", &["v5/MQTT-4.4.0-2"], || {
        swallow(Way::Down, |_, packet| matches!(packet, Packet::Ack(ack) if ack.reason.is_error()))
    }),
    client("messages come again in another order", &["v3.1.1/MQTT-4.6.0-1", "v5/MQTT-4.6.0-1"], || {
        swap(|packet| matches!(packet, Packet::Publish(publish) if publish.dup))
    }),
    client("PUBACKs come in another order", &["v3.1.1/MQTT-4.6.0-2", "v5/MQTT-4.6.0-2"], || {
        swap(|packet| is_ack(packet, AckKind::PubAck))
    }),
    client("PUBRECs come in another order", &["v3.1.1/MQTT-4.6.0-3", "v5/MQTT-4.6.0-3"], || {
        swap(|packet| is_ack(packet, AckKind::PubRec))
    }),
    client("PUBRELs come in another order", &["v3.1.1/MQTT-4.6.0-4", "v5/MQTT-4.6.0-4"], || {
        swap(|packet| is_ack(packet, AckKind::PubRel))
    }),
];
