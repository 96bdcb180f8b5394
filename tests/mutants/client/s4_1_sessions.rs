//! Session state (section 4.1).

use simrun::codec::{AckKind, Packet, PacketIdentifier, Qos};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::client;
use crate::mutants::Mutant;
use crate::mutants::tools::alter;

/// The packet identifier of a message that came, and the one under which its repeats are passed on.
const FIRST: PacketIdentifier = PacketIdentifier::new(7).unwrap();
const REPEAT: PacketIdentifier = PacketIdentifier::new(8).unwrap();

pub const MUTANTS: &[Mutant] = &[
    client("repeats at QoS 2 are passed on", &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"], || passes_on(|_, _| true)),
    client(
        "what came at QoS 2 is forgotten with the connection, and when its second repeat comes",
        &["v3.1.1/MQTT-4.1.0-1", "v3.1.1/MQTT-4.1.0-2", "v5/MQTT-4.1.0-1"],
        || passes_on(|known, repeats| !known || repeats > 1),
    ),
];

/// Has repeats passed on under another packet identifier, where they are wanted: told whether the first copy came on the
/// same connection, and which repeat it is there.
fn passes_on(wanted: fn(bool, usize) -> bool) -> Box<dyn Tamper> {
    let (mut known, mut repeats) = (false, 0);
    alter(move |version, way, mut packet, onward| {
        match &mut packet {
            Packet::Publish(publish) if way == Way::Down && publish.qos == Qos::ExactlyOnce => {
                known |= !publish.dup;
                repeats += usize::from(publish.dup);
                if publish.dup && wanted(known, repeats) {
                    publish.packet_identifier = Some(REPEAT);
                }
            }
            Packet::Ack(ack) if ack.kind == AckKind::PubRec && ack.packet_identifier == REPEAT => {
                ack.packet_identifier = FIRST;
            }
            _ => {}
        }
        onward.packet(version, way, &packet);
    })
}
