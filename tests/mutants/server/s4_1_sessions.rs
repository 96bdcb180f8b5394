//! Sessions, network connections, delivery retry (sections 4.1, 4.2 and 4.4).

use std::time::Duration;

use simrun::codec::{Ack, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Unsubscribe, Value};
use simrun::trace::Way;

use crate::mutants::tools::{alter, change, encoded, patch, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "every session is new",
        breaks: &["v3.1.1/MQTT-4.1.0-1"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Connect(connect) = packet {
                    connect.clean_start = true;
                }
            })
        }),
    },
    Mutant {
        name: "subscriptions end when a client is idle",
        breaks: &["v3.1.1/MQTT-4.1.0-2", "v5/MQTT-4.1.0-1"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut filters = Vec::new();
            let packet_identifier = PacketIdentifier::MAX;
            alter(move |version, way, packet, onward| {
                match &packet {
                    Packet::Subscribe(of) => filters.extend(of.subscriptions.iter().map(|of| of.filter.clone())),
                    Packet::PingReq if !filters.is_empty() => {
                        let (properties, filters) = (Properties::new(), std::mem::take(&mut filters));
                        let end = Unsubscribe { packet_identifier, properties, filters };
                        onward.packet(version, Way::Up, &Packet::Unsubscribe(end));
                    }
                    Packet::UnsubAck(of) if of.packet_identifier == packet_identifier => return,
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "sessions do not expire",
        breaks: &["v5/MQTT-4.1.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| match packet {
                Packet::Connect(connect) => {
                    connect.properties = Properties::new().with(Property::SessionExpiryInterval, Value::Four(300));
                }
                Packet::Disconnect(disconnect) => disconnect.properties = Properties::new(),
                _ => {}
            })
        }),
    },
    Mutant {
        name: "a bit falls over on the way",
        breaks: &["v5/MQTT-4.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes.len() > 1000 {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                }
            })
        }),
    },
    Mutant {
        name: "what comes again has another packet identifier",
        breaks: &["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |_, packet| {
                if let Packet::Publish(Publish { dup: true, packet_identifier: Some(id), .. }) = packet {
                    *id = id.saturating_add(100);
                }
            })
        }),
    },
    Mutant {
        name: "messages come again while the connection stands",
        breaks: &["v5/MQTT-4.4.0-1"],
        via: &["nothing_comes_again_while_connected"],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                onward.packet(version, way, &packet);
                if let (Way::Down, Packet::Publish(publish)) = (way, packet)
                    && publish.qos > Qos::AtMostOnce
                {
                    let again = Packet::Publish(Publish { dup: true, ..publish });
                    onward.later(Duration::from_secs(1), way, encoded(version, &again).into());
                }
            })
        }),
    },
    Mutant {
        name: "failing acks are not read",
        breaks: &["v5/MQTT-4.4.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            swallow(Way::Up, |_, packet| matches!(packet, Packet::Ack(Ack { reason, .. }) if reason.is_error()))
        }),
    },
];
