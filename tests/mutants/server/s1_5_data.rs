//! Data representation (section 1.5).

use simrun::codec::{Packet, Text};
use simrun::trace::Way;

use crate::mutants::tools::{alter, letters_for, patch};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "surrogates are taken for characters",
        breaks: &["v3.1.1/MQTT-1.5.3-1", "v5/MQTT-1.5.4-1", "v5/MQTT-1.5.7-1"],
        via: &[],
        kind: Kind::Broker(|| letters_for(b"\xED\xA0\x80")),
    },
    Mutant {
        name: "a sequence cut off is taken for a character",
        breaks: &["v3.1.1/MQTT-1.5.3-1", "v5/MQTT-1.5.4-1"],
        via: &[],
        kind: Kind::Broker(|| letters_for(b"\xE2\x82")),
    },
    Mutant {
        name: "U+0000 is taken for a character like others",
        breaks: &["v3.1.1/MQTT-1.5.3-2", "v5/MQTT-1.5.4-2"],
        via: &[],
        kind: Kind::Broker(|| letters_for(b"nu\0ll")),
    },
    Mutant {
        name: "U+FEFF is stripped from topics",
        breaks: &["v3.1.1/MQTT-1.5.3-3", "v5/MQTT-1.5.4-3"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Up, Packet::Publish(publish)) = (way, &mut packet) {
                    publish.topic = stripped(&publish.topic);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a length may be padded",
        breaks: &["v5/MQTT-1.5.5-1"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Up, |_, bytes| {
                if bytes == b"\xC0\x80\x00" {
                    *bytes = b"\xC0\x00".to_vec();
                }
            })
        }),
    },
];

fn stripped(text: &Text) -> Text {
    Text::try_from(text.as_str().trim_start_matches('\u{FEFF}').to_owned()).expect("it was a string")
}
