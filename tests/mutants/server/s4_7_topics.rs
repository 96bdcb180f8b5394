//! Topic names and topic filters (section 4.7).

use simrun::codec::{Fault, Packet, Properties, Publish, Qos, Reason, SubAck, Text, UnsubAck};
use simrun::conform::relay::Tamper;
use simrun::topic::TopicFilter;
use simrun::trace::Way;

use crate::mutants::tools::{alter, change, overlooks, patch};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "wildcards in topic names are overlooked",
        breaks: &["v3.1.1/MQTT-4.7.1-1", "v5/MQTT-4.7.0-1"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::TopicWildcard)),
    },
    Mutant {
        name: "wildcards in will topics are taken for letters",
        breaks: &["v3.1.1/MQTT-4.7.1-1", "v5/MQTT-4.7.0-1"],
        via: &["wildcard_in_a_will_topic"],
        kind: Kind::Broker(|| {
            patch(Way::Up, |_, bytes| {
                if bytes[0] == 0x10 {
                    bytes.iter_mut().filter(|byte| matches!(byte, b'+' | b'#')).for_each(|byte| *byte = b'x');
                }
            })
        }),
    },
    Mutant {
        name: "misplaced # is granted",
        breaks: &["v3.1.1/MQTT-4.7.1-2", "v5/MQTT-4.7.1-1"],
        via: &[],
        kind: Kind::Broker(|| grants(|filter| filter.contains('#') && TopicFilter::try_from(filter).is_err())),
    },
    Mutant {
        name: "misplaced + is granted",
        breaks: &["v3.1.1/MQTT-4.7.1-3", "v5/MQTT-4.7.1-2"],
        via: &[],
        kind: Kind::Broker(|| grants(|filter| filter.contains('+') && TopicFilter::try_from(filter).is_err())),
    },
    Mutant {
        name: "filters with # match nothing",
        breaks: &["v3.1.1/MQTT-4.7.1-2", "v5/MQTT-4.7.1-1"],
        via: &["multi_level"],
        kind: Kind::Broker(|| grants(|filter| filter.contains('#'))),
    },
    Mutant {
        name: "filters with + match nothing",
        breaks: &["v3.1.1/MQTT-4.7.1-3", "v5/MQTT-4.7.1-2"],
        via: &["single_level"],
        kind: Kind::Broker(|| grants(|filter| filter.contains('+'))),
    },
    Mutant {
        name: "what is under $ goes to everybody",
        breaks: &["v3.1.1/MQTT-4.7.2-1", "v5/MQTT-4.7.2-1"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                if way == Way::Down && matches!(packet, Packet::Publish(_)) {
                    let topic = Text::literal("$SYS/uptime");
                    onward.packet(version, way, &Packet::Publish(Publish { topic, ..Publish::default() }));
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "an empty topic name is overlooked",
        breaks: &["v3.1.1/MQTT-4.7.3-1", "v5/MQTT-4.7.3-1"],
        via: &["empty_name"],
        kind: Kind::Broker(|| overlooks(|_, fault| matches!(fault, Fault::TopicEmpty | Fault::TopicMissing))),
    },
    Mutant {
        name: "an empty filter is granted",
        breaks: &["v3.1.1/MQTT-4.7.3-1", "v5/MQTT-4.7.3-1"],
        via: &["empty_filter"],
        kind: Kind::Broker(|| grants(str::is_empty)),
    },
    Mutant {
        name: "U+0000 is overlooked",
        breaks: &["v3.1.1/MQTT-4.7.3-2", "v5/MQTT-4.7.3-2"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::NullCharacter)),
    },
    Mutant {
        name: "capital letters are made small",
        breaks: &["v3.1.1/MQTT-4.7.3-4", "v5/MQTT-4.7.3-4"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Publish(publish) = packet
                    && let Ok(small) = Text::try_from(publish.topic.to_lowercase())
                {
                    publish.topic = small;
                }
            })
        }),
    },
];

/// Grants such subscriptions, and ends them, without making them: the broker does not see them.
fn grants(wanted: impl Fn(&str) -> bool + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, packet, onward| match packet {
        Packet::Subscribe(asked) if asked.subscriptions.iter().any(|of| wanted(&of.filter)) => {
            let reasons = asked.subscriptions.iter().map(|of| granted(of.options.qos)).collect();
            let (packet_identifier, properties) = (asked.packet_identifier, Properties::new());
            onward.packet(version, Way::Down, &Packet::SubAck(SubAck { packet_identifier, properties, reasons }));
        }
        Packet::Unsubscribe(asked) if asked.filters.iter().any(|filter| wanted(filter)) => {
            let reasons = if version == simrun::codec::Version::V5 { vec![Reason::Success] } else { Vec::new() };
            let (packet_identifier, properties) = (asked.packet_identifier, Properties::new());
            onward.packet(version, Way::Down, &Packet::UnsubAck(UnsubAck { packet_identifier, properties, reasons }));
        }
        packet => onward.packet(version, way, &packet),
    })
}

fn granted(qos: Qos) -> Reason {
    [Reason::Success, Reason::GrantedQos1, Reason::GrantedQos2][usize::from(qos.number())]
}
