//! CONNECT (section 3.1).

use simrun::codec::Packet;
use simrun::trace::Way;

use crate::mutants::tools::swallow;
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[Mutant {
    name: "the client begins without CONNECT",
    breaks: &["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"],
    via: &[],
    kind: Kind::Client(|| swallow(Way::Up, |_, packet| matches!(packet, Packet::Connect(_)))),
}];
