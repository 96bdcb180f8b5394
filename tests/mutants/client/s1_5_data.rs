//! Data representation (section 1.5).

use simrun::trace::Way;

use super::{client, spoil};
use crate::mutants::Mutant;
use crate::mutants::tools::patch;

pub const MUTANTS: &[Mutant] = &[
    client(
        "topics are not well-formed UTF-8",
        &[
            "v3.1.1/MQTT-1.5.3-1",
            "v3.1.1/MQTT-3.3.2-1",
            "v5/MQTT-1.5.4-1",
            "v5/MQTT-1.5.7-1",
            "v5/MQTT-3.3.2-1",
            "v5/MQTT-3.3.2-13",
            "v5/MQTT-3.3.2-19",
        ],
        || {
            patch(Way::Up, |_, bytes| {
                if bytes[0] >> 4 == 3 {
                    bytes.iter_mut().filter(|byte| **byte == 0xC3).for_each(|byte| *byte = 0xFF);
                    spoil(bytes);
                }
            })
        },
    ),
    client(
        "topics contain U+0000",
        &["v3.1.1/MQTT-1.5.3-2", "v3.1.1/MQTT-4.7.3-2", "v5/MQTT-1.5.4-2", "v5/MQTT-4.7.3-2"],
        || {
            patch(Way::Up, |_, bytes| {
                if bytes[0] >> 4 == 3 {
                    bytes[4] = 0;
                }
            })
        },
    ),
    client("lengths have a byte too many", &["v5/MQTT-1.5.5-1"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] >> 4 == 3 && bytes[1] < 0x80 {
                bytes[1] |= 0x80;
                bytes.insert(2, 0);
            }
        })
    }),
];
