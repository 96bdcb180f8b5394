//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10).

use simrun::codec::Version;
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::{client, is_publish, spoil};
use crate::mutants::Mutant;
use crate::mutants::tools::{ahead_of, bytes, patch};

pub const MUTANTS: &[Mutant] = &[
    client("SUBSCRIBE has the flags 0000", &["v3.1.1/MQTT-3.8.1-1", "v5/MQTT-3.8.1-1"], || {
        of_type(0x82, |bytes| bytes[0] = 0x80)
    }),
    client("filters are not well-formed UTF-8", &["v3.1.1/MQTT-3.8.3-1", "v5/MQTT-3.8.3-1"], || of_type(0x82, spoil)),
    client("SUBSCRIBE has no filter", &["v3.1.1/MQTT-3.8.3-3", "v5/MQTT-3.8.3-2"], || {
        ahead_of(is_publish, |version| bytes(if version == Version::V5 { "8203 0001 00" } else { "8202 0001" }))
    }),
    client("a shared subscription is without local messages", &["v5/MQTT-3.8.3-4"], || {
        ahead_of(is_publish, |_| bytes("8210 0001 00 000a 2473686172652f672f61 04"))
    }),
    client("UNSUBSCRIBE has the flags 0000", &["v3.1.1/MQTT-3.10.1-1", "v5/MQTT-3.10.1-1"], || {
        of_type(0xa2, |bytes| bytes[0] = 0xa0)
    }),
    client("filters to end are not well-formed UTF-8", &["v3.1.1/MQTT-3.10.3-1", "v5/MQTT-3.10.3-1"], || {
        of_type(0xa2, spoil)
    }),
    client("UNSUBSCRIBE has no filter", &["v3.1.1/MQTT-3.10.3-2", "v5/MQTT-3.10.3-2"], || {
        ahead_of(is_publish, |version| bytes(if version == Version::V5 { "a203 0001 00" } else { "a202 0001" }))
    }),
];

fn of_type(first_byte: u8, change: fn(&mut [u8])) -> Box<dyn Tamper> {
    patch(Way::Up, move |_, bytes| {
        if bytes[0] == first_byte {
            change(bytes);
        }
    })
}
