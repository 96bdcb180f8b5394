//! UNSUBSCRIBE and UNSUBACK (sections 3.10, 3.11).

use simrun::codec::{AckKind, Fault, Packet, PacketType, Property, Text, UnsubAck, Unsubscribe};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::s3_4_acks::{AT_LENGTH, adornment};
use crate::mutants::tools::{alter, change, overlooks, patch, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    // --- what is not in order
    Mutant {
        name: "an UNSUBSCRIBE with other flags is overlooked",
        breaks: &["v3.1.1/MQTT-3.10.1-1", "v5/MQTT-3.10.1-1"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::UnsubscribeFlags)),
    },
    Mutant {
        name: "an UNSUBSCRIBE that is not well-formed is overlooked",
        breaks: &["v3.1.1/MQTT-3.10.3-1", "v5/MQTT-3.10.3-1"],
        via: &[],
        kind: Kind::Broker(|| {
            overlooks(|first, fault| first >> 4 == PacketType::Unsubscribe.number() && fault == Fault::NotUtf8)
        }),
    },
    Mutant {
        name: "an UNSUBSCRIBE without topic filters is overlooked",
        breaks: &["v3.1.1/MQTT-3.10.3-2", "v5/MQTT-3.10.3-2"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::NoFiltersToEnd)),
    },
    // --- the answer
    Mutant {
        name: "UNSUBACK comes once",
        breaks: &["v3.1.1/MQTT-3.10.4-4", "v5/MQTT-3.10.4-4"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut answered = false;
            alter(move |version, way, packet, onward| {
                let answer = matches!(packet, Packet::UnsubAck(_));
                if !(answer && answered) {
                    onward.packet(version, way, &packet);
                }
                answered |= answer;
            })
        }),
    },
    Mutant {
        name: "UNSUBACK does not come for an unknown filter",
        breaks: &["v3.1.1/MQTT-3.10.4-5", "v5/MQTT-3.10.4-5"],
        via: &[],
        kind: Kind::Broker(|| {
            swallow(
                Way::Up,
                |_, packet| matches!(packet, Packet::Unsubscribe(unsubscribe) if unsubscribe.filters[0].ends_with("never/asked/for")),
            )
        }),
    },
    Mutant {
        name: "UNSUBACK has another packet identifier",
        breaks: &["v3.1.1/MQTT-3.10.4-4", "v5/MQTT-3.10.4-5"],
        via: &[],
        kind: Kind::Broker(|| {
            answered(|unsuback| {
                let number = unsuback.packet_identifier.get();
                unsuback.packet_identifier = (number ^ 0x4000).try_into().expect("not zero");
            })
        }),
    },
    Mutant {
        name: "the codes stand sorted",
        breaks: &["v5/MQTT-3.11.3-1"],
        via: &[],
        kind: Kind::Broker(|| answered(|unsuback| unsuback.reasons.sort())),
    },
    Mutant {
        name: "UNSUBACK has a code of SUBACK",
        breaks: &["v5/MQTT-3.11.3-2"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if let (0xB0, Some(code)) = (bytes[0], bytes.last_mut()) {
                    *code = 2;
                }
            })
        }),
    },
    Mutant {
        name: "UNSUBACK has a reason string whatever the client takes",
        breaks: &["v5/MQTT-3.11.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            answered(|unsuback| {
                if unsuback.properties.reason_string().is_none() {
                    unsuback.properties.push(Property::ReasonString, Text::literal(AT_LENGTH));
                }
            })
        }),
    },
    Mutant {
        name: "UNSUBACK has user properties whatever the client takes",
        breaks: &["v5/MQTT-3.11.2-2"],
        via: &[],
        kind: Kind::Broker(|| answered(|unsuback| unsuback.properties.push(Property::UserProperty, adornment()))),
    },
    // --- what ends by it, and what does not
    Mutant {
        name: "letters' case does not count in UNSUBSCRIBE",
        breaks: &["v3.1.1/MQTT-3.10.4-1", "v5/MQTT-3.10.4-1"],
        via: &["another_filter_ends_nothing"],
        kind: Kind::Broker(|| {
            ended(|unsubscribe| {
                for filter in &mut unsubscribe.filters {
                    if let Some(before) = filter.strip_suffix("a/b/C") {
                        *filter = Text::try_from(format!("{before}a/b/c")).expect("a filter");
                    }
                }
            })
        }),
    },
    Mutant {
        name: "UNSUBSCRIBE changes nothing",
        breaks: &[
            "v3.1.1/MQTT-3.10.4-1",
            "v5/MQTT-3.10.4-1",
            "v3.1.1/MQTT-3.10.4-2",
            "v5/MQTT-3.10.4-2",
            "v3.1.1/MQTT-3.10.4-6",
            "v5/MQTT-3.10.4-6",
        ],
        via: &[],
        kind: Kind::Broker(|| {
            ended(|unsubscribe| {
                unsubscribe.filters.iter_mut().for_each(|filter| *filter = Text::literal("another"));
            })
        }),
    },
    Mutant {
        name: "of several topic filters only the first ends",
        breaks: &["v3.1.1/MQTT-3.10.4-6", "v5/MQTT-3.10.4-6"],
        via: &[],
        kind: Kind::Broker(|| {
            ended(|unsubscribe| {
                unsubscribe.filters.iter_mut().skip(1).for_each(|filter| *filter = Text::literal("another"));
            })
        }),
    },
    Mutant {
        name: "UNSUBSCRIBE stops deliveries that have begun",
        breaks: &["v3.1.1/MQTT-3.10.4-3", "v5/MQTT-3.10.4-3"],
        via: &["delivery_goes_on"],
        kind: Kind::Broker(|| {
            let mut ended = false;
            alter(move |version, way, packet, onward| {
                ended |= matches!(packet, Packet::Unsubscribe(_));
                let pubrel = matches!(&packet, Packet::Ack(ack) if ack.kind == AckKind::PubRel && way == Way::Down);
                if !(ended && pubrel) {
                    onward.packet(version, way, &packet);
                }
            })
        }),
    },
    Mutant {
        name: "deliveries that have begun end with the connection",
        breaks: &["v3.1.1/MQTT-3.10.4-3", "v5/MQTT-3.10.4-3"],
        via: &["delivery_goes_on_after_a_cut"],
        kind: Kind::Broker(|| {
            swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(publish) if publish.dup))
        }),
    },
];

/// Changes every UNSUBACK.
fn answered(mut change_it: impl FnMut(&mut UnsubAck) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::UnsubAck(unsuback) = packet {
            change_it(unsuback);
        }
    })
}

/// Changes every UNSUBSCRIBE before the broker sees it.
fn ended(mut change_it: impl FnMut(&mut Unsubscribe) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Up, move |_, packet| {
        if let Packet::Unsubscribe(unsubscribe) = packet {
            change_it(unsubscribe);
        }
    })
}
