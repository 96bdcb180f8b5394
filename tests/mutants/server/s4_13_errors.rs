//! Errors (3.1.1 section 4.8, 5.0 section 4.13).

use simrun::codec::Version;
use simrun::trace::Way;

use crate::mutants::tools::{never_closes, patch};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "errors are overlooked",
        breaks: &["v3.1.1/MQTT-4.8.0-1", "v5/MQTT-4.13.1-1", "v5/MQTT-4.13.2-1"],
        via: &["violations_end_the_connection", "errors_end_the_connection"],
        kind: Kind::Broker(never_closes),
    },
    Mutant {
        name: "acknowledgements have reserved flags set",
        breaks: &["v3.1.1/MQTT-2.2.2-1"],
        via: &["reserved_flags", "acks_echo_identifiers"],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes[0] == 0x40 {
                    bytes[0] = 0x41;
                }
            })
        }),
    },
    Mutant {
        name: "CONNACK has reserved flags set where a session goes on",
        breaks: &["v5/MQTT-3.2.2-1"],
        via: &["session_goes_on"],
        kind: Kind::Broker(|| {
            patch(Way::Down, |version, bytes| {
                if version == Version::V5 && bytes[0] == 0x20 && bytes[2] == 1 {
                    bytes[2] |= 0x02;
                }
            })
        }),
    },
];
