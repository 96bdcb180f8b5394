//! Clients with one thing wrong about them, one file a section of the standard.

mod s1_5_data;
mod s2_format;
mod s3_14_disconnect;
mod s3_15_auth;
mod s3_1_connect;
mod s3_2_connack;
mod s3_3_publish;
mod s3_4_acks;
mod s3_8_subscribe;
mod s4_13_errors;
mod s4_1_sessions;
mod s4_3_delivery;
mod s4_7_topics;
mod s4_9_flow;
mod s6_websocket;
mod s7_conformance;

use simrun::codec::{Ack, AckKind, Packet, Properties, Property, Publish, Qos, Version};
use simrun::conform::relay::{Onward, Tamper};
use simrun::trace::Way;

use super::tools::{alter, swallow};
use super::{Kind, Mutant};

pub const ALL: &[&[Mutant]] = &[
    s1_5_data::MUTANTS,
    s2_format::MUTANTS,
    s3_1_connect::MUTANTS,
    s3_2_connack::MUTANTS,
    s3_3_publish::MUTANTS,
    s3_4_acks::MUTANTS,
    s3_8_subscribe::MUTANTS,
    s3_14_disconnect::MUTANTS,
    s3_15_auth::MUTANTS,
    s4_1_sessions::MUTANTS,
    s4_3_delivery::MUTANTS,
    s4_7_topics::MUTANTS,
    s4_9_flow::MUTANTS,
    s4_13_errors::MUTANTS,
    s6_websocket::MUTANTS,
    s7_conformance::MUTANTS,
];

/// A client that is wrong in this way wherever it shows.
const fn client(name: &'static str, breaks: &'static [&'static str], make: fn() -> Box<dyn Tamper>) -> Mutant {
    Mutant { name, breaks, via: &[], kind: Kind::Client(make) }
}

/// Changes each PUBLISH of the client.
fn publishes(change: impl Fn(&mut Publish) + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let (Way::Up, Packet::Publish(publish)) = (way, &mut packet) {
            change(publish);
        }
        onward.packet(version, way, &packet);
    })
}

/// Changes each PUBACK, PUBREC, PUBREL and PUBCOMP of the client.
fn acks(change: impl Fn(&mut Ack) + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let (Way::Up, Packet::Ack(ack)) = (way, &mut packet) {
            change(ack);
        }
        onward.packet(version, way, &packet);
    })
}

/// Does something else with messages for the client that are wanted.
fn instead(
    wanted: impl Fn(&Publish) -> bool + Send + 'static,
    act: impl Fn(Version, Publish, &mut Onward) + Send + 'static,
) -> Box<dyn Tamper> {
    alter(move |version, way, packet, onward| match packet {
        Packet::Publish(publish) if way == Way::Down && wanted(&publish) => act(version, publish, onward),
        packet => onward.packet(version, way, &packet),
    })
}

/// Loses such acks of the client.
fn loses(kind: AckKind) -> Box<dyn Tamper> {
    swallow(Way::Up, move |_, packet| is_ack(packet, kind))
}

fn is_ack(packet: &Packet, kind: AckKind) -> bool {
    matches!(packet, Packet::Ack(ack) if ack.kind == kind)
}

fn is_publish(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish(_))
}

/// Whether it is a PUBLISH at this QoS.
fn is_at(packet: &Packet, qos: Qos) -> bool {
    matches!(packet, Packet::Publish(publish) if publish.qos == qos)
}

/// All properties but this one.
fn without(properties: &Properties, left_out: Property) -> Properties {
    let others = properties.iter().filter(|(property, _)| *property != left_out);
    others.fold(Properties::new(), |others, (property, value)| others.with(property, value))
}

/// Spoils every character of four bytes.
fn spoil(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte == 0xF0).for_each(|byte| *byte = 0xFF);
}
