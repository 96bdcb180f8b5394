//! Shared subscriptions (5.0 section 4.8).

use simrun::codec::{Packet, Properties, Publish, Qos, Reason, SubAck};
use simrun::conform::relay::Tamper;
use simrun::topic::{Share, Target};
use simrun::trace::Way;

use crate::mutants::tools::{alter, change, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "an empty share name is granted",
        breaks: &["v5/MQTT-4.8.2-1"],
        via: &["empty_share_name"],
        kind: Kind::Broker(|| grants(|filter| filter.starts_with("$share//"))),
    },
    Mutant {
        name: "shared subscriptions are taken for others",
        breaks: &["v5/MQTT-4.8.2-1"],
        via: &["share"],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Subscribe(subscribe) = packet {
                    for of in &mut subscribe.subscriptions {
                        if let Ok(Target::Shared(share)) = Target::try_from(&*of.filter) {
                            of.filter = share.filter().text().clone();
                        }
                    }
                }
            })
        }),
    },
    Mutant {
        name: "a share name is not checked",
        breaks: &["v5/MQTT-4.8.2-2"],
        via: &["bad_share_name"],
        kind: Kind::Broker(|| grants(|filter| filter.starts_with(Share::PREFIX) && Target::try_from(filter).is_err())),
    },
    Mutant {
        name: "an empty level after the share name matches nothing",
        breaks: &["v5/MQTT-4.8.2-2"],
        via: &["share_of_an_empty_level"],
        kind: Kind::Broker(|| grants(|filter| filter.starts_with(Share::PREFIX) && filter.contains("//"))),
    },
    Mutant {
        name: "the group has one QoS",
        breaks: &["v5/MQTT-4.8.2-3"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                match &mut packet {
                    Packet::Subscribe(subscribe) => {
                        for of in &mut subscribe.subscriptions {
                            if of.filter.starts_with(Share::PREFIX) {
                                of.options.qos = Qos::ExactlyOnce;
                            }
                        }
                    }
                    // What was granted is not told.
                    Packet::SubAck(suback) => suback.reasons.fill(Reason::Success),
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "what a member began is not finished",
        breaks: &["v5/MQTT-4.8.2-4"],
        via: &["begun_before_pubrec"],
        kind: Kind::Broker(|| swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(p) if p.dup))),
    },
    Mutant {
        name: "what a member does not finish goes to another",
        breaks: &["v5/MQTT-4.8.2-4", "v5/MQTT-4.8.2-5", "v5/MQTT-4.8.2-6"],
        via: &[],
        kind: Kind::Broker(|| {
            // A member that got nothing from the group gets a message before the next one of its own.
            let (mut group, mut served) = (None, false);
            alter(move |version, way, packet, onward| {
                match (way, &packet) {
                    (Way::Up, Packet::Subscribe(subscribe)) => {
                        let shared = |filter: &str| match Target::try_from(filter) {
                            Ok(Target::Shared(share)) => Some(share.filter().text().clone()),
                            _ => None,
                        };
                        let of = subscribe.subscriptions.iter().find_map(|of| shared(&of.filter));
                        group = of.or(group.take());
                    }
                    (Way::Down, Packet::Publish(publish)) if !served => {
                        served = true;
                        if let Some(topic) = group.clone().filter(|topic| *topic != publish.topic) {
                            let copy = Publish { topic, payload: "on".into(), ..Publish::default() };
                            onward.packet(version, way, &Packet::Publish(copy));
                        }
                    }
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
];

/// Grants such subscriptions without making them: the broker does not see them.
fn grants(wanted: impl Fn(&str) -> bool + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, packet, onward| match packet {
        Packet::Subscribe(asked) if asked.subscriptions.iter().any(|of| wanted(&of.filter)) => {
            let reasons = vec![Reason::Success; asked.subscriptions.len()];
            let (packet_identifier, properties) = (asked.packet_identifier, Properties::new());
            onward.packet(version, Way::Down, &Packet::SubAck(SubAck { packet_identifier, properties, reasons }));
        }
        packet => onward.packet(version, way, &packet),
    })
}
