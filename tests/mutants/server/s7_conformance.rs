//! Conformance (3.1.1 section 7).

use simrun::codec::Packet;
use simrun::trace::Way;

use crate::mutants::tools::{alter, patch};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "it serves only clients that show by their user name that they know its ways",
        breaks: &["v3.1.1/MQTT-7.0.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut knows = false;
            alter(move |version, way, packet, onward| {
                if let Packet::Connect(connect) = &packet {
                    knows = connect.username.as_ref().is_some_and(|user| user.starts_with("extension:"));
                }
                if knows || !matches!(packet, Packet::Subscribe(_)) {
                    onward.packet(version, way, &packet);
                }
            })
        }),
    },
    Mutant {
        name: "bytes far behind in a packet change places",
        breaks: &["v3.1.1/MQTT-7.1.1-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes.len() > 50_001 {
                    bytes.swap(50_000, 50_001);
                }
            })
        }),
    },
];
