//! The cases for clients, one file a section of the standard.

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

use super::Case;
use super::bench::Bench;
use super::steered::protocol::{ConnectOrder, Order};
use super::verdict::{Failure, Otherwise, Outcome, Stop};
use super::wire::{Wire, text};
use crate::codec::{Connect, Packet, PacketIdentifier, Publish, Qos};
use crate::trace::describe;

/// All of them, in the order of the standard's sections.
pub(super) const ALL: &[&[Case]] = &[
    s1_5_data::CASES,
    s2_format::CASES,
    s3_1_connect::CASES,
    s3_2_connack::CASES,
    s3_3_publish::CASES,
    s3_4_acks::CASES,
    s3_8_subscribe::CASES,
    s3_14_disconnect::CASES,
    s3_15_auth::CASES,
    s4_1_sessions::CASES,
    s4_3_delivery::CASES,
    s4_7_topics::CASES,
    s4_9_flow::CASES,
    s4_13_errors::CASES,
    s6_websocket::CASES,
    s7_conformance::CASES,
];

/// A packet identifier; 0 is none and becomes 1.
fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MIN)
}

/// A message for the client; the packet identifier is for QoS 1 and 2.
fn message(payload: &str, qos: Qos, identifier: u16) -> Publish {
    let payload = payload.to_owned().into_bytes().into();
    let packet_identifier = (qos > Qos::AtMostOnce).then_some(id(identifier));
    Publish { topic: text("a/topic"), payload, qos, packet_identifier, ..Publish::default() }
}

/// The same message again.
fn again(publish: &Publish) -> Publish {
    Publish { dup: true, ..publish.clone() }
}

/// The bytes of a table's row.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

/// What happened in a row of a table, with its name in what was expected.
fn row<T>(what: &str, result: Result<T, Stop>) -> Result<T, Stop> {
    result.about(what)
}

/// Lets the client connect and looks at its CONNECT, which is what the case is about.
async fn connects(bench: &mut Bench, order: ConnectOrder) -> Result<(Wire, Connect), Stop> {
    bench.start(order).await?;
    let mut wire = bench.accept().await.setup()?;
    let connect = wire.connect().await?;
    Ok((wire, connect))
}

/// Orders each of these of a client of its own, which may refuse; what it sends must not be `forbidden`.
async fn never_sends(bench: &mut Bench, rows: Vec<(&str, Order)>, forbidden: impl Fn(&Packet) -> bool) -> Outcome {
    for (what, order) in rows {
        let connect = bench.connect("a");
        let mut wire = bench.welcome(connect).await?;
        let sent = row(what, bench.offer(&mut wire, order).await)?;
        lacks(what, &sent, &forbidden)?;
        bench.cut(wire).await?;
    }
    Ok(())
}

/// Demands that none of these packets is `forbidden`.
fn lacks(what: &str, sent: &[Packet], forbidden: impl Fn(&Packet) -> bool) -> Result<(), Failure> {
    match sent.iter().find(|packet| forbidden(packet)) {
        Some(packet) => Err(Failure::new(format!("{what} is refused, or not sent"), describe(packet))),
        None => Ok(()),
    }
}
