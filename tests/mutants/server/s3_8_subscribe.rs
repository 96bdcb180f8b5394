//! SUBSCRIBE and SUBACK (sections 3.8, 3.9).

use simrun::codec::{Fault, Packet, PacketType, Property, Qos, Reason, RetainHandling, SubAck, Text};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::s3_4_acks::{AT_LENGTH, adornment};
use crate::mutants::tools::{alter, change, overlooks, patch, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    // --- what is not in order
    Mutant {
        name: "a SUBSCRIBE with other flags is overlooked",
        breaks: &["v3.1.1/MQTT-3.8.1-1", "v5/MQTT-3.8.1-1"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::SubscribeFlags)),
    },
    Mutant {
        name: "a SUBSCRIBE that is not well-formed is overlooked",
        breaks: &["v3.1.1/MQTT-3.8.3-1", "v5/MQTT-3.8.3-1"],
        via: &[],
        kind: Kind::Broker(|| {
            overlooks(|first, fault| first >> 4 == PacketType::Subscribe.number() && fault == Fault::NotUtf8)
        }),
    },
    Mutant {
        name: "a SUBSCRIBE without topic filters is overlooked",
        breaks: &["v3.1.1/MQTT-3.8.3-3", "v5/MQTT-3.8.3-2"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::NoFilters)),
    },
    Mutant {
        name: "reserved bits in subscription options are overlooked",
        breaks: &["v3.1.1/MQTT-3.8.3-4", "v5/MQTT-3.8.3-5"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Up, |_, bytes| {
                if let (0x82, Some(options)) = (bytes[0], bytes.last_mut()) {
                    *options &= 0b0011_1111;
                    if *options & 0b11 == 0b11 {
                        *options = 0;
                    }
                }
            })
        }),
    },
    Mutant {
        name: "No Local on a shared subscription is overlooked",
        breaks: &["v5/MQTT-3.8.3-4"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Up, |_, bytes| {
                if let (0x82, Some(options)) = (bytes[0], bytes.last_mut()) {
                    *options &= !0b100;
                }
            })
        }),
    },
    // --- the answer
    Mutant {
        name: "a SUBSCRIBE that repeats another is not answered",
        breaks: &["v3.1.1/MQTT-3.8.4-1", "v5/MQTT-3.8.4-1"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut known = Vec::new();
            alter(move |version, way, packet, onward| {
                if let Packet::Subscribe(subscribe) = &packet {
                    let asked = subscribe.subscriptions.clone();
                    if known.contains(&asked) {
                        return;
                    }
                    known.push(asked);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "SUBACK has another packet identifier",
        breaks: &["v3.1.1/MQTT-3.8.4-2", "v5/MQTT-3.8.4-2"],
        via: &[],
        kind: Kind::Broker(|| {
            answered(|suback| {
                let next = suback.packet_identifier.checked_add(1);
                suback.packet_identifier = next.unwrap_or(suback.packet_identifier);
            })
        }),
    },
    Mutant {
        name: "one code stands for all topic filters",
        breaks: &["v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-6"],
        via: &[],
        kind: Kind::Broker(|| answered(|suback| suback.reasons.truncate(1))),
    },
    Mutant {
        name: "the codes stand in the opposite order",
        breaks: &["v3.1.1/MQTT-3.9.3-1", "v5/MQTT-3.9.3-1"],
        via: &["codes_follow_the_filters"],
        kind: Kind::Broker(|| answered(|suback| suback.reasons.reverse())),
    },
    Mutant {
        name: "refusals stand last among the codes",
        breaks: &["v3.1.1/MQTT-3.9.3-1", "v5/MQTT-3.9.3-1"],
        via: &["a_refusal_among_the_codes"],
        kind: Kind::Broker(|| answered(|suback| suback.reasons.sort())),
    },
    Mutant {
        name: "SUBACK grants QoS 3",
        breaks: &["v3.1.1/MQTT-3.9.3-2", "v5/MQTT-3.9.3-2"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if let (0x90, Some(code)) = (bytes[0], bytes.last_mut()) {
                    *code = 3;
                }
            })
        }),
    },
    Mutant {
        name: "SUBACK has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.9.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            answered(|suback| {
                if suback.properties.reason_string().is_none() {
                    suback.properties.push(Property::ReasonString, Text::literal(AT_LENGTH));
                }
            })
        }),
    },
    Mutant {
        name: "SUBACK has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.9.2-2"],
        via: &[],
        kind: Kind::Broker(|| answered(|suback| suback.properties.push(Property::UserProperty, adornment()))),
    },
    // --- what is delivered then
    Mutant {
        name: "SUBACK grants less than is delivered",
        breaks: &["v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-7"],
        via: &["granted_qos_is_kept"],
        kind: Kind::Broker(|| {
            answered(|suback| suback.reasons.iter_mut().for_each(|reason| *reason = Reason::Success))
        }),
    },
    Mutant {
        name: "SUBACK refuses and messages come all the same",
        breaks: &["v3.1.1/MQTT-3.8.3-2", "v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-7"],
        via: &["refused_filter_brings_nothing"],
        kind: Kind::Broker(|| {
            // The message for the filter that was refused comes by another one.
            change(Way::Up, |_, packet| {
                if let Packet::Publish(publish) = packet
                    && let Some(before) = publish.topic.strip_suffix("light/hall")
                {
                    publish.topic = Text::try_from(format!("{before}end")).expect("a topic");
                }
            })
        }),
    },
    Mutant {
        name: "wildcards are served though they are not available",
        breaks: &["v3.1.1/MQTT-3.8.3-2"],
        via: &[],
        kind: Kind::BrokerSettings(|config| config.wildcard_available = true),
    },
    Mutant {
        name: "messages come at QoS 1 at most, whatever was granted",
        breaks: &["v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-7", "v3.1.1/MQTT-3.8.4-6", "v5/MQTT-3.8.4-8"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |_, packet| {
                if let Packet::Publish(publish) = packet {
                    publish.qos = publish.qos.min(Qos::AtLeastOnce);
                }
            })
        }),
    },
    Mutant {
        name: "of several topic filters the first counts",
        breaks: &["v3.1.1/MQTT-3.8.4-4", "v5/MQTT-3.8.4-5"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut asked_for = 1;
            alter(move |version, way, mut packet, onward| {
                match &mut packet {
                    Packet::Subscribe(subscribe) => {
                        asked_for = subscribe.subscriptions.len();
                        subscribe.subscriptions.truncate(1);
                    }
                    Packet::SubAck(suback) => suback.reasons.resize(asked_for, Reason::Success),
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a subscription that is made again changes nothing",
        breaks: &["v3.1.1/MQTT-3.8.4-3", "v5/MQTT-3.8.4-3", "v5/MQTT-3.8.4-4"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut known: Vec<Text> = Vec::new();
            alter(move |version, way, packet, onward| {
                let Packet::Subscribe(subscribe) = &packet else { return onward.packet(version, way, &packet) };
                let asked = &subscribe.subscriptions[0];
                if known.contains(&asked.filter) {
                    let reason = Reason::from_code(asked.options.qos.number()).expect("a granted QoS");
                    let (packet_identifier, reasons) = (subscribe.packet_identifier, vec![reason]);
                    let suback = SubAck { packet_identifier, properties: Default::default(), reasons };
                    return onward.packet(version, Way::Down, &Packet::SubAck(suback));
                }
                known.push(asked.filter.clone());
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "while a subscription is made again messages are lost",
        breaks: &["v3.1.1/MQTT-3.8.4-3", "v5/MQTT-3.8.4-4"],
        via: &["subscribing_again_loses_nothing"],
        kind: Kind::Broker(|| {
            swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(publish) if publish.payload == "7"))
        }),
    },
    Mutant {
        name: "a subscription that is made again brings no retained messages",
        breaks: &["v5/MQTT-3.8.4-4"],
        via: &["subscribing_again_brings_retained_messages"],
        kind: Kind::Broker(|| asked_with(|options| options.retain_handling = RetainHandling::SendIfNew)),
    },
    Mutant {
        name: "No Local is overlooked",
        breaks: &["v5/MQTT-3.8.3-3"],
        via: &["no_local"],
        kind: Kind::Broker(|| asked_with(|options| options.no_local = false)),
    },
    Mutant {
        name: "No Local is forgotten with the connection",
        breaks: &["v5/MQTT-3.8.3-3"],
        via: &["no_local_after_a_cut"],
        kind: Kind::Broker(|| asked_with(|options| options.no_local = false)),
    },
];

/// Changes every SUBACK.
fn answered(mut change_it: impl FnMut(&mut SubAck) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::SubAck(suback) = packet {
            change_it(suback);
        }
    })
}

/// Changes the options of every subscription before the broker sees them.
fn asked_with(mut change_it: impl FnMut(&mut simrun::codec::SubscriptionOptions) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Up, move |_, packet| {
        if let Packet::Subscribe(subscribe) = packet {
            subscribe.subscriptions.iter_mut().for_each(|asked| change_it(&mut asked.options));
        }
    })
}
