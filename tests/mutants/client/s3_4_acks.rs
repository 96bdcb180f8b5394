//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7).

use simrun::codec::{AckKind, Property, Reason, Text, Value};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::{acks, client};
use crate::mutants::Mutant;
use crate::mutants::tools::patch;

pub const MUTANTS: &[Mutant] = &[
    client("acks say that there are no subscribers", &["v5/MQTT-3.4.2-1", "v5/MQTT-3.5.2-1"], || {
        acks(|ack| {
            if [AckKind::PubAck, AckKind::PubRec].contains(&ack.kind) {
                ack.reason = Reason::NoMatchingSubscribers;
            }
        })
    }),
    client("PUBREL has the flags 0000", &["v3.1.1/MQTT-3.6.1-1", "v5/MQTT-3.6.1-1"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0x62 {
                bytes[0] = 0x60;
            }
        })
    }),
    client("PUBREL has a reason code of another ack", &["v5/MQTT-3.6.2-1"], || with_code(0x62)),
    client("PUBCOMP has a reason code of another ack", &["v5/MQTT-3.7.2-1"], || with_code(0x70)),
    client(
        "acks have properties whatever the server takes",
        &[
            "v5/MQTT-3.4.2-2",
            "v5/MQTT-3.4.2-3",
            "v5/MQTT-3.5.2-2",
            "v5/MQTT-3.5.2-3",
            "v5/MQTT-3.6.2-2",
            "v5/MQTT-3.6.2-3",
            "v5/MQTT-3.7.2-2",
            "v5/MQTT-3.7.2-3",
        ],
        || {
            acks(|ack| {
                ack.properties.push(Property::ReasonString, Value::Text(Text::literal("all is well")));
                ack.properties.push(Property::UserProperty, Value::Pair(Text::literal("k"), Text::literal("v")));
            })
        },
    ),
];

fn with_code(first_byte: u8) -> Box<dyn Tamper> {
    patch(Way::Up, move |_, bytes| {
        if bytes[0] == first_byte {
            *bytes = vec![first_byte, 3, bytes[2], bytes[3], 0x10];
        }
    })
}
