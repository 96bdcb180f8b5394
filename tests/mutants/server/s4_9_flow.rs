//! Flow control (5.0 section 4.9).

use simrun::codec::{Ack, AckKind, Packet, Properties, Property, Publish, Qos, Reason, Value};
use simrun::trace::Way;

use crate::mutants::tools::{alter, change};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "Receive Maximum is not read",
        breaks: &["v5/MQTT-4.9.0-1", "v5/MQTT-4.9.0-2"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Up, |_, packet| {
                if let Packet::Connect(connect) = packet {
                    let expiry = connect.properties.session_expiry_interval().unwrap_or(0);
                    connect.properties = Properties::new().with(Property::SessionExpiryInterval, Value::Four(expiry));
                }
            })
        }),
    },
    Mutant {
        name: "PUBREC makes room for the next message",
        breaks: &["v5/MQTT-4.9.0-2"],
        via: &["pubrec_frees_nothing"],
        kind: Kind::Broker(|| {
            // To the broker the exchange is over; the PUBREL is the relay's.
            change_pubrec()
        }),
    },
    Mutant {
        name: "nothing is read while a message is not answered",
        breaks: &["v5/MQTT-4.9.0-3"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut waits = false;
            alter(move |version, way, packet, onward| {
                match (way, &packet) {
                    (Way::Down, Packet::Publish(Publish { qos, .. })) => waits |= *qos > Qos::AtMostOnce,
                    (Way::Up, Packet::Ack(_)) => waits = false,
                    (Way::Up, _) if waits => return,
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
];

fn change_pubrec() -> Box<dyn simrun::conform::relay::Tamper> {
    alter(|version, way, mut packet, onward| {
        if let (Way::Up, Packet::Ack(ack)) = (way, &mut packet)
            && ack.kind == AckKind::PubRec
        {
            let pubrel = Ack::new(AckKind::PubRel, ack.packet_identifier, Reason::Success);
            onward.packet(version, Way::Down, &Packet::Ack(pubrel));
            ack.reason = Reason::UnspecifiedError;
        }
        onward.packet(version, way, &packet);
    })
}
