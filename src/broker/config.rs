//! What a broker allows, demands and limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AccessRule, Credential, Notices};
use crate::codec::Qos;

/// How a broker is set up. The default serves anyone, with limits that a test or a developer does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Keys the hash tables and makes client identifiers and nonces.
    pub seed: u64,
    /// User names, and what proves that somebody is that user.
    pub users: BTreeMap<String, Credential>,
    /// Whether a client may connect without a user name.
    pub anonymous: bool,
    /// What clients may publish and subscribe to: the first rule that applies decides, and without one they may.
    pub access: Vec<AccessRule>,
    /// Whether promises wait for a disk: see [`Output::Store`](super::Output::Store).
    pub durable: bool,
    /// Whether sessions are reported as they come and go: see [`Output::Session`](super::Output::Session).
    pub trace: bool,
    /// How much is noted for a log: see [`Broker::poll_notice`](super::Broker::poll_notice).
    pub notices: Notices,
    /// How often the broker publishes what it counts under `$SYS/broker/`; never if `None`.
    pub sys_interval: Option<Duration>,
    /// How long a connection may be without a CONNECT.
    pub connect_timeout: Duration,
    /// The keep alive, in seconds, that 5.0 clients are told to use instead of their own.
    pub server_keep_alive: Option<u16>,
    /// The longest session expiry interval granted, in seconds; `u32::MAX` allows "for ever".
    pub session_expiry_maximum: u32,
    /// How many QoS 1 and 2 messages a client may have unfinished towards us (5.0 section 3.2.2.3.3).
    pub receive_maximum: u16,
    /// How many QoS 2 messages a client of 3.1.1 may have unfinished, whom nobody tells how many those are.
    pub receive_maximum_3_1_1: u16,
    /// How many we have unfinished towards a client of 3.1.1, which cannot say how many it takes.
    pub window_3_1_1: u16,
    /// The highest QoS served.
    pub maximum_qos: Qos,
    /// Whether retained messages are kept.
    pub retain_available: bool,
    /// The largest packet accepted, in bytes, with its fixed header.
    pub maximum_packet_size: u32,
    /// How many topic aliases a client may use.
    pub topic_alias_maximum: u16,
    /// How many topic aliases we use towards a client that allows more.
    pub topic_alias_maximum_out: u16,
    /// Whether filters may have wildcards.
    pub wildcard_available: bool,
    /// Whether subscription identifiers may be used.
    pub subscription_identifier_available: bool,
    /// Whether `$share/…` filters may be used.
    pub shared_available: bool,
    /// How many connections may be open at once.
    pub connections_maximum: usize,
    /// How many subscriptions a session may have.
    pub subscriptions_maximum: usize,
    /// How many levels a topic filter may have: each costs some sixty bytes, and 32,768 fit into one filter.
    pub filter_levels_maximum: usize,
    /// How many of those from one address. An IPv6 address counts with all others of its /64.
    pub connections_per_address_maximum: usize,
    /// How many messages may be queued for a session.
    pub queue_maximum: usize,
    /// How many bytes a session may be owed, sent and not acknowledged or queued. One message may always be.
    pub queue_bytes_maximum: usize,
    /// How many messages all sessions together may be owed.
    pub all_queues_maximum: usize,
    /// How many bytes all sessions together may be owed; a payload counts for each session that waits for it.
    pub all_queues_bytes_maximum: usize,
    /// How many retained messages are kept.
    pub retained_maximum: usize,
    /// How many bytes they may have.
    pub retained_bytes_maximum: usize,
    /// How many messages a client may publish in a second; `u32::MAX` for any number.
    pub publish_rate_maximum: u32,
    /// How long a client may leave a megabyte unread that is for it.
    pub congestion_timeout: Duration,
    /// What is told to a client that asks for response information (5.0 section 3.2.2.3.15).
    pub response_information: Option<String>,
    /// Whether SCRAM-SHA-256 is offered for enhanced authentication.
    pub scram: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 0,
            users: BTreeMap::new(),
            anonymous: true,
            access: Vec::new(),
            durable: false,
            trace: false,
            notices: Notices::None,
            sys_interval: None,
            connect_timeout: Duration::from_secs(10),
            server_keep_alive: None,
            session_expiry_maximum: u32::MAX,
            receive_maximum: 1000,
            receive_maximum_3_1_1: 10_000,
            window_3_1_1: 1000,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: 8 * 1024 * 1024,
            topic_alias_maximum: 64,
            topic_alias_maximum_out: 16,
            wildcard_available: true,
            subscription_identifier_available: true,
            shared_available: true,
            connections_maximum: 100_000,
            subscriptions_maximum: 10_000,
            filter_levels_maximum: 128,
            connections_per_address_maximum: usize::MAX,
            queue_maximum: 10_000,
            queue_bytes_maximum: 128 << 20,
            all_queues_maximum: 10_000_000,
            all_queues_bytes_maximum: 1 << 30,
            retained_maximum: 1_000_000,
            retained_bytes_maximum: 1 << 30,
            publish_rate_maximum: u32::MAX,
            congestion_timeout: Duration::from_secs(300),
            response_information: None,
            scram: true,
        }
    }
}

impl Config {
    /// The broker of the tutorial: Apache Apollo as it is set up when new, with its user `admin`.
    pub fn apollo() -> Config {
        Config {
            users: BTreeMap::from([("admin".to_owned(), "password".into())]),
            anonymous: false,
            ..Config::default()
        }
    }

    /// What a broker that runs with this makes of another set-up. What clients were told when they connected stays, and so
    /// does what is no matter of taste.
    pub fn renewed(&self, new: Config) -> Config {
        Config {
            seed: self.seed,
            durable: self.durable,
            trace: self.trace,
            notices: self.notices,
            sys_interval: self.sys_interval,
            // 5.0 section 3.2.2.3.
            receive_maximum: self.receive_maximum,
            receive_maximum_3_1_1: self.receive_maximum_3_1_1,
            maximum_qos: self.maximum_qos,
            retain_available: self.retain_available,
            maximum_packet_size: self.maximum_packet_size,
            topic_alias_maximum: self.topic_alias_maximum,
            wildcard_available: self.wildcard_available,
            subscription_identifier_available: self.subscription_identifier_available,
            shared_available: self.shared_available,
            ..new
        }
    }
}
