//! Quality of service, receipt and order (sections 4.3, 4.5 and 4.6).

use std::collections::BTreeSet;
use std::time::Duration;

use simrun::codec::{Ack, AckKind, Packet, PacketIdentifier, Publish, Qos, Reason};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{alter, change, later, patch, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    // --- from the broker
    Mutant {
        name: "QoS 0 messages come as repeats",
        breaks: &["v3.1.1/MQTT-4.3.1-1", "v5/MQTT-4.3.1-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes[0] & 0xf6 == 0x30 {
                    bytes[0] |= 0b1000;
                }
            })
        }),
    },
    Mutant {
        name: "every message has packet identifier 1",
        breaks: &["v3.1.1/MQTT-4.3.2-1", "v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.2-1", "v5/MQTT-4.3.3-1"],
        via: &[],
        kind: Kind::Broker(|| {
            messages(|publish| {
                if publish.packet_identifier.is_some() {
                    publish.packet_identifier = Some(PacketIdentifier::MIN);
                }
            })
        }),
    },
    Mutant {
        name: "first copies have DUP 1",
        breaks: &["v3.1.1/MQTT-4.3.2-1", "v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.2-2", "v5/MQTT-4.3.3-2"],
        via: &[],
        kind: Kind::Broker(|| messages(|publish| publish.dup = publish.qos > Qos::AtMostOnce)),
    },
    Mutant {
        name: "no PUBLISH comes again",
        breaks: &["v3.1.1/MQTT-4.3.2-1", "v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.2-3", "v5/MQTT-4.3.3-3"],
        via: &[],
        kind: Kind::Broker(|| swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(p) if p.dup))),
    },
    Mutant {
        name: "PUBREC is not read",
        breaks: &["v5/MQTT-4.3.3-4"],
        via: &[],
        kind: Kind::Broker(|| swallow(Way::Up, |_, packet| is_ack(packet, AckKind::PubRec))),
    },
    Mutant {
        name: "no PUBREL comes again",
        breaks: &["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-5"],
        via: &[],
        kind: Kind::Broker(|| {
            // On a connection that brought no PUBREC.
            let mut received = BTreeSet::new();
            alter(move |version, way, packet, onward| {
                let mut again = false;
                if let Packet::Ack(ack) = &packet {
                    match ack.kind {
                        AckKind::PubRec => drop(received.insert(ack.packet_identifier)),
                        AckKind::PubRel => again = way == Way::Down && !received.contains(&ack.packet_identifier),
                        AckKind::PubAck | AckKind::PubComp => {}
                    }
                }
                if !again {
                    onward.packet(version, way, &packet);
                }
            })
        }),
    },
    Mutant {
        name: "a PUBLISH that has expired does not come again",
        breaks: &["v5/MQTT-4.3.3-7"],
        via: &["begun_publish_does_not_expire"],
        kind: Kind::Broker(|| {
            swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(p) if p.dup && &p.payload[..] == b"brief"))
        }),
    },
    Mutant {
        name: "the PUBREL of what has expired does not come again",
        breaks: &["v5/MQTT-4.3.3-7"],
        via: &["begun_pubrel_does_not_expire"],
        kind: Kind::Broker(|| {
            // The second of those that come again.
            let mut resumed = false;
            let mut pubrels = 0;
            alter(move |version, way, packet, onward| {
                resumed |= matches!(&packet, Packet::ConnAck(connack) if connack.session_present);
                pubrels += usize::from(way == Way::Down && is_ack(&packet, AckKind::PubRel));
                if !(resumed && pubrels == 2 && is_ack(&packet, AckKind::PubRel)) {
                    onward.packet(version, way, &packet);
                }
            })
        }),
    },
    Mutant {
        name: "PUBLISH comes again before its PUBREL",
        breaks: &["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-6"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                if let (Way::Down, Packet::Ack(Ack { kind: AckKind::PubRel, packet_identifier, .. })) = (way, &packet) {
                    let again = Publish {
                        dup: true,
                        qos: Qos::ExactlyOnce,
                        topic: simrun::codec::Text::literal("light"),
                        packet_identifier: Some(*packet_identifier),
                        ..Publish::default()
                    };
                    onward.packet(version, way, &Packet::Publish(again));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    // --- to the broker
    Mutant {
        name: "PUBACK has another packet identifier",
        breaks: &["v3.1.1/MQTT-4.3.2-2", "v5/MQTT-4.3.2-4"],
        via: &[],
        kind: Kind::Broker(|| other_identifier(AckKind::PubAck)),
    },
    Mutant {
        name: "PUBREC has another packet identifier",
        breaks: &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-8"],
        via: &[],
        kind: Kind::Broker(|| other_identifier(AckKind::PubRec)),
    },
    Mutant {
        name: "a QoS 1 packet identifier with DUP is answered and nothing more",
        breaks: &["v3.1.1/MQTT-4.3.2-2", "v5/MQTT-4.3.2-5"],
        via: &[],
        kind: Kind::Broker(|| answered_only(Qos::AtLeastOnce)),
    },
    Mutant {
        name: "a QoS 2 packet identifier with DUP is answered and nothing more",
        breaks: &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-12"],
        via: &[],
        kind: Kind::Broker(|| answered_only(Qos::ExactlyOnce)),
    },
    Mutant {
        name: "a packet identifier stays in use after its PUBREC refused",
        breaks: &["v5/MQTT-4.3.3-9"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut refused = false;
            change(Way::Down, move |_, packet| {
                if let Packet::Ack(ack) = packet
                    && ack.kind == AckKind::PubRec
                {
                    if refused {
                        ack.reason = Reason::PacketIdentifierInUse;
                    }
                    refused |= ack.reason.is_error();
                }
            })
        }),
    },
    Mutant {
        name: "QoS 2 repeats are passed on",
        breaks: &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"],
        via: &[],
        kind: Kind::Broker(|| {
            // The broker gets them as QoS 0; the PUBREC is the relay's.
            alter(|version, way, packet, onward| match packet {
                Packet::Publish(Publish { dup: true, qos: Qos::ExactlyOnce, packet_identifier: Some(id), .. })
                    if way == Way::Up =>
                {
                    let Packet::Publish(publish) = packet else { return };
                    let copy = Publish { dup: false, qos: Qos::AtMostOnce, packet_identifier: None, ..publish };
                    onward.packet(version, way, &Packet::Publish(copy));
                    let pubrec = Ack::new(AckKind::PubRec, id, Reason::Success);
                    onward.packet(version, Way::Down, &Packet::Ack(pubrec));
                }
                packet => onward.packet(version, way, &packet),
            })
        }),
    },
    Mutant {
        name: "PUBREL is not answered",
        breaks: &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-11", "v5/MQTT-4.3.3-13"],
        via: &[],
        kind: Kind::Broker(|| swallow(Way::Down, |_, packet| is_ack(packet, AckKind::PubComp))),
    },
    // --- receipt
    Mutant {
        name: "QoS 1 messages are lost",
        breaks: &["v3.1.1/MQTT-4.5.0-1", "v5/MQTT-4.5.0-1"],
        via: &[],
        kind: Kind::Broker(|| {
            swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(p) if p.qos == Qos::AtLeastOnce))
        }),
    },
    // --- order
    Mutant {
        name: "every other message comes late",
        breaks: &["v3.1.1/MQTT-4.6.0-5", "v5/MQTT-4.6.0-5", "v5/MQTT-4.6.0-6"],
        via: &[],
        kind: Kind::Broker(|| {
            later(
                Way::Down,
                Duration::from_millis(50),
                |packet| matches!(packet, Packet::Publish(p) if p.payload.get(1).is_some_and(|number| number % 2 == 0)),
            )
        }),
    },
    Mutant {
        name: "every other message comes behind the next one",
        breaks: &["v3.1.1/MQTT-4.6.0-6", "v5/MQTT-4.6.0-5"],
        via: &["order_across_a_cut"],
        kind: Kind::Broker(|| {
            let mut held = None;
            alter(move |version, way, packet, onward| {
                if way == Way::Down
                    && let Packet::Publish(publish) = &packet
                    && publish.payload.get(1).is_some_and(|number| number % 2 == 0)
                {
                    held = Some(packet);
                    return;
                }
                onward.packet(version, way, &packet);
                if matches!(packet, Packet::Publish(_))
                    && way == Way::Down
                    && let Some(held) = held.take()
                {
                    onward.packet(version, way, &held);
                }
            })
        }),
    },
];

fn messages(mut change_it: impl FnMut(&mut Publish) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::Publish(publish) = packet {
            change_it(publish);
        }
    })
}

fn is_ack(packet: &Packet, kind: AckKind) -> bool {
    matches!(packet, Packet::Ack(ack) if ack.kind == kind)
}

fn other_identifier(kind: AckKind) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::Ack(ack) = packet
            && ack.kind == kind
        {
            let other = ack.packet_identifier.get() ^ 0x0200;
            ack.packet_identifier = PacketIdentifier::new(other).unwrap_or(PacketIdentifier::MIN);
        }
    })
}

/// Answers a PUBLISH with DUP itself, so that the broker does not see it.
fn answered_only(qos: Qos) -> Box<dyn Tamper> {
    let kind = if qos == Qos::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
    alter(move |version, way, packet, onward| match packet {
        Packet::Publish(Publish { dup: true, qos: of, packet_identifier: Some(id), .. })
            if way == Way::Up && of == qos =>
        {
            onward.packet(version, Way::Down, &Packet::Ack(Ack::new(kind, id, Reason::Success)));
        }
        packet => onward.packet(version, way, &packet),
    })
}
