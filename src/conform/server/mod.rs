//! The cases for brokers, one file a section of the standard.

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

use super::Case;

/// All of them, in the order of the standard's sections.
pub(super) const ALL: &[&[Case]] = &[
    s1_5_data::CASES,
    s2_format::CASES,
    s3_1_connect::CASES,
    s3_1_sessions::CASES,
    s3_1_will::CASES,
    s3_2_connack::CASES,
    s3_3_publish::CASES,
    s3_4_acks::CASES,
    s3_8_subscribe::CASES,
    s3_10_unsubscribe::CASES,
    s3_12_ping::CASES,
    s3_14_disconnect::CASES,
    s3_15_auth::CASES,
    s4_1_sessions::CASES,
    s4_3_delivery::CASES,
    s4_7_topics::CASES,
    s4_7_topics::INTERNALS,
    s4_8_shared::CASES,
    s4_9_flow::CASES,
    s4_13_errors::CASES,
    s6_websocket::CASES,
    s7_conformance::CASES,
];
