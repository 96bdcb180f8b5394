//! Topic names and filters (section 4.7), shared subscriptions (5.0 section 4.8.2).

use simrun::codec::{Packet, PacketIdentifier, Properties, Subscribe, Subscription, SubscriptionOptions, Text};
use simrun::conform::relay::Tamper;

use super::{client, is_publish, publishes};
use crate::mutants::Mutant;
use crate::mutants::tools::{ahead_of, encoded};

pub const MUTANTS: &[Mutant] = &[
    client("# stands behind something", &["v3.1.1/MQTT-4.7.1-2", "v5/MQTT-4.7.1-1"], || subscribes("a#")),
    client("+ stands behind something", &["v3.1.1/MQTT-4.7.1-3", "v5/MQTT-4.7.1-2"], || subscribes("a+")),
    client("a filter is empty", &["v3.1.1/MQTT-4.7.3-1", "v5/MQTT-4.7.3-1"], || subscribes("")),
    client("topics are cut off", &["v3.1.1/MQTT-4.7.3-3", "v5/MQTT-4.7.3-3"], || {
        publishes(|publish| publish.topic = publish.topic.slice(0..publish.topic.len().min(60_000)))
    }),
    client("a share name is empty", &["v5/MQTT-4.8.2-1"], || subscribes("$share//a")),
    client("a share name has no filter", &["v5/MQTT-4.8.2-2"], || subscribes("$share/g")),
];

/// Subscribes to this ahead of each message.
fn subscribes(filter: &'static str) -> Box<dyn Tamper> {
    ahead_of(is_publish, move |version| {
        let options = SubscriptionOptions::default();
        let subscribe = Subscribe {
            packet_identifier: PacketIdentifier::MIN,
            properties: Properties::new(),
            subscriptions: vec![Subscription { filter: Text::literal(filter), options }],
        };
        encoded(version, &Packet::Subscribe(subscribe))
    })
}
