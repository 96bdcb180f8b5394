//! CONNACK (section 3.2).

use simrun::codec::{Packet, PacketIdentifier, Properties, Property, Publish, Qos, Text, Value};
use simrun::conform::relay::Tamper;

use super::{client, is_publish};
use crate::mutants::Mutant;
use crate::mutants::tools::{ahead_of, alter, encoded};

pub const MUTANTS: &[Mutant] = &[
    client("a session that nobody has is taken for new", &["v5/MQTT-3.2.2-4"], || {
        alter(|version, way, mut packet, onward| {
            if let Packet::ConnAck(connack) = &mut packet {
                connack.session_present = false;
            }
            onward.packet(version, way, &packet);
        })
    }),
    client("QoS 2 is used whatever the server takes", &["v5/MQTT-3.2.2-11"], || {
        also(|publish| {
            (publish.qos, publish.packet_identifier) = (Qos::ExactlyOnce, PacketIdentifier::new(9));
        })
    }),
    client("RETAIN is used whatever the server takes", &["v5/MQTT-3.2.2-14"], || also(|publish| publish.retain = true)),
    client("packets are larger than the server takes", &["v5/MQTT-3.2.2-15"], || {
        also(|publish| publish.payload = vec![b'x'; 300].into())
    }),
    client(
        "topic aliases are higher than the server takes",
        &["v5/MQTT-3.2.2-17", "v5/MQTT-3.2.2-18", "v5/MQTT-3.3.2-9"],
        || also(|publish| publish.properties = Properties::new().with(Property::TopicAlias, Value::Two(3))),
    ),
];

/// Publishes a message of its own ahead of each.
fn also(change: fn(&mut Publish)) -> Box<dyn Tamper> {
    ahead_of(is_publish, move |version| {
        let mut publish = Publish { topic: Text::literal("a"), ..Publish::default() };
        change(&mut publish);
        encoded(version, &Packet::Publish(publish))
    })
}
