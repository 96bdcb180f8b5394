//! PUBLISH (section 3.3).

use simrun::codec::{AckKind, Packet, Property, Text, Value, Version};
use simrun::trace::Way;

use super::{client, instead, is_publish, loses, publishes, without};
use crate::mutants::Mutant;
use crate::mutants::tools::{ahead_of, bytes, patch, swallow};

pub const MUTANTS: &[Mutant] = &[
    client("what is sent again has DUP 0", &["v3.1.1/MQTT-3.3.1-1", "v5/MQTT-3.3.1-1"], || {
        publishes(|publish| publish.dup = false)
    }),
    client("QoS 0 has DUP 1", &["v3.1.1/MQTT-3.3.1-2", "v5/MQTT-3.3.1-2"], || first_byte(0x38)),
    client("QoS is 3", &["v3.1.1/MQTT-3.3.1-4", "v5/MQTT-3.3.1-4"], || first_byte(0x36)),
    client(
        "topics have wildcards",
        &["v3.1.1/MQTT-3.3.2-2", "v3.1.1/MQTT-4.7.1-1", "v5/MQTT-3.3.2-2", "v5/MQTT-4.7.0-1"],
        || {
            patch(Way::Up, |_, bytes| {
                if bytes[0] >> 4 == 3 {
                    bytes[4] = b'+';
                }
            })
        },
    ),
    client("aliases outlive their connection", &["v5/MQTT-3.3.2-7"], || {
        instead(
            |publish| publish.topic.is_empty(),
            |version, mut publish, onward| {
                publish.topic = Text::literal("a/topic");
                publish.properties = without(&publish.properties, Property::TopicAlias);
                onward.packet(version, Way::Down, &Packet::Publish(publish));
            },
        )
    }),
    client("the topic alias is 0", &["v5/MQTT-3.3.2-8"], || ahead_of(is_publish, |_| bytes("3007 0001 61 03 230000"))),
    client("the highest alias is not taken", &["v5/MQTT-3.3.2-10"], || {
        swallow(
            Way::Down,
            |_, packet| matches!(packet, Packet::Publish(publish) if publish.properties.topic_alias() == Some(3)),
        )
    }),
    client("response topics have wildcards", &["v5/MQTT-3.3.2-14"], || {
        ahead_of(is_publish, |_| bytes("300a 0001 61 06 08 0003 612f23"))
    }),
    client("there is no PUBREC", &["v3.1.1/MQTT-3.3.4-1", "v5/MQTT-3.3.4-1"], || loses(AckKind::PubRec)),
    client("PUBLISH has a subscription identifier", &["v5/MQTT-3.3.4-6"], || {
        publishes(|publish| publish.properties.push(Property::SubscriptionIdentifier, Value::Variable(7)))
    }),
];

/// Changes the first byte of each PUBLISH at QoS 0.
fn first_byte(byte: u8) -> Box<dyn simrun::conform::relay::Tamper> {
    patch(Way::Up, move |_: Version, bytes| {
        if bytes[0] == 0x30 {
            bytes[0] = byte;
        }
    })
}
