//! PINGREQ and PINGRESP (sections 3.12, 3.13).

use simrun::codec::Packet;
use simrun::trace::Way;

use crate::mutants::tools::{alter, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "PINGREQ is not answered",
        breaks: &["v3.1.1/MQTT-3.12.4-1", "v5/MQTT-3.12.4-1"],
        via: &["pingreq_is_answered"],
        kind: Kind::Broker(|| swallow(Way::Down, |_, packet| matches!(packet, Packet::PingResp))),
    },
    Mutant {
        name: "several PINGREQ are answered once",
        breaks: &["v3.1.1/MQTT-3.12.4-1", "v5/MQTT-3.12.4-1"],
        via: &["each_pingreq_is_answered"],
        kind: Kind::Broker(|| {
            let mut answered = false;
            alter(move |version, way, packet, onward| {
                let answer = matches!(packet, Packet::PingResp);
                if !(answer && answered) {
                    onward.packet(version, way, &packet);
                }
                answered |= answer;
            })
        }),
    },
];
