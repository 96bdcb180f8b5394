//! CONNECT (section 3.1).

use simrun::codec::Packet;

use crate::mutants::tools::alter;
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[Mutant {
    name: "a second CONNECT is overlooked",
    breaks: &["v3.1.1/MQTT-3.1.0-2", "v5/MQTT-3.1.0-2"],
    via: &[],
    kind: Kind::Broker(|| {
        let mut connected = false;
        alter(move |version, way, packet, onward| {
            let connect = matches!(packet, Packet::Connect(_));
            if !(connect && connected) {
                onward.packet(version, way, &packet);
            }
            connected |= connect;
        })
    }),
}];
