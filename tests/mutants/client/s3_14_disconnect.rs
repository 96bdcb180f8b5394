//! DISCONNECT (section 3.14).

use simrun::codec::{Disconnect, Packet, Property, Reason, Text, Value};
use simrun::trace::Way;

use super::{client, is_publish};
use crate::mutants::Mutant;
use crate::mutants::tools::{ahead_of, alter, encoded, patch, stays_open};

pub const MUTANTS: &[Mutant] = &[
    client("a DISCONNECT with flags set is ignored", &["v5/MQTT-3.14.1-1"], || {
        patch(Way::Down, |_, bytes| {
            if bytes[0] == 0xe1 {
                bytes.clear();
            }
        })
    }),
    client("DISCONNECT has a reason code that there is not", &["v5/MQTT-3.14.2-1"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0xe0 {
                *bytes = vec![0xe0, 1, 3];
            }
        })
    }),
    client("DISCONNECT has properties whatever the server takes", &["v5/MQTT-3.14.2-3", "v5/MQTT-3.14.2-4"], || {
        ahead_of(is_publish, |version| {
            let mut disconnect = Disconnect::new(Reason::Success);
            disconnect.properties.push(Property::ReasonString, Value::Text(Text::literal("that is all")));
            disconnect.properties.push(Property::UserProperty, Value::Pair(Text::literal("k"), Text::literal("v")));
            encoded(version, &Packet::Disconnect(disconnect))
        })
    }),
    client("PINGREQ follows DISCONNECT", &["v3.1.1/MQTT-3.14.4-2", "v5/MQTT-3.14.4-1"], || {
        alter(|version, way, packet, onward| {
            onward.packet(version, way, &packet);
            if matches!(packet, Packet::Disconnect(_)) {
                onward.packet(version, way, &Packet::PingReq);
            }
        })
    }),
    client("the connection stays open", &["v3.1.1/MQTT-3.14.4-1", "v5/MQTT-3.14.4-2", "v5/MQTT-4.13.2-1"], stays_open),
];
