//! Brokers with one thing wrong about them, one file a section of the standard.

mod s1_5_data;
mod s2_format;
mod s3_10_unsubscribe;
mod s3_12_ping;
mod s3_14_disconnect;
mod s3_15_auth;
mod s3_1_connect;
mod s3_1_sessions;
mod s3_1_will;
mod s3_2_connack;
mod s3_3_publish;
mod s3_4_acks;
mod s3_8_subscribe;
mod s4_13_errors;
mod s4_1_sessions;
mod s4_3_delivery;
mod s4_7_topics;
mod s4_8_shared;
mod s4_9_flow;
mod s6_websocket;
mod s7_conformance;

use super::Mutant;

pub const ALL: &[&[Mutant]] = &[
    s1_5_data::MUTANTS,
    s2_format::MUTANTS,
    s3_1_connect::MUTANTS,
    s3_1_sessions::MUTANTS,
    s3_1_will::MUTANTS,
    s3_2_connack::MUTANTS,
    s3_3_publish::MUTANTS,
    s3_4_acks::MUTANTS,
    s3_8_subscribe::MUTANTS,
    s3_10_unsubscribe::MUTANTS,
    s3_12_ping::MUTANTS,
    s3_14_disconnect::MUTANTS,
    s3_15_auth::MUTANTS,
    s4_1_sessions::MUTANTS,
    s4_3_delivery::MUTANTS,
    s4_7_topics::MUTANTS,
    s4_8_shared::MUTANTS,
    s4_9_flow::MUTANTS,
    s4_13_errors::MUTANTS,
    s6_websocket::MUTANTS,
    s7_conformance::MUTANTS,
];
