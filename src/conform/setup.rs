//! What a case needs of its target beyond a broker with default settings. Our own broker is set up as asked; of a foreign
//! one a profile says where it has been.

use crate::broker::{AccessRule, Config};
use crate::codec::Qos;
use crate::topic::TopicFilter;

/// A set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setup {
    /// None.
    Plain,
    /// A user and a password are asked for.
    Users,
    /// A user who may neither publish to nor subscribe to [`FORBIDDEN_TOPIC`].
    AccessRules,
    /// Maximum QoS 0.
    MaximumQos0,
    /// Maximum QoS 1.
    MaximumQos1,
    /// Retained messages are not supported.
    NoRetain,
    /// Wildcard subscriptions are not supported.
    NoWildcards,
    /// Subscription identifiers are not supported.
    NoSubscriptionIdentifiers,
    /// Shared subscriptions are not supported.
    NoSharedSubscriptions,
    /// Topic aliases are not supported.
    NoTopicAliases,
    /// Packets of more than 256 bytes are refused.
    SmallPackets,
    /// Server Keep Alive 2.
    ServerKeepAlive,
    /// Enhanced authentication with SCRAM-SHA-256.
    Scram,
    /// MQTT over WebSocket.
    WebSocket,
    /// The code itself, in this process: what no wire shows.
    Internals,
}

/// What nobody may publish or subscribe to, under [`Setup::AccessRules`].
pub const FORBIDDEN_TOPIC: &str = "simrun/forbidden";
/// The user of [`Setup::Users`], [`Setup::AccessRules`] and [`Setup::Scram`] where no profile says otherwise.
pub const USER: &str = "conform";
/// The password of [`USER`].
pub const PASSWORD: &str = "conform-password";

impl Setup {
    /// Every set-up.
    pub const ALL: [Setup; 15] = [
        Setup::Plain,
        Setup::Users,
        Setup::AccessRules,
        Setup::MaximumQos0,
        Setup::MaximumQos1,
        Setup::NoRetain,
        Setup::NoWildcards,
        Setup::NoSubscriptionIdentifiers,
        Setup::NoSharedSubscriptions,
        Setup::NoTopicAliases,
        Setup::SmallPackets,
        Setup::ServerKeepAlive,
        Setup::Scram,
        Setup::WebSocket,
        Setup::Internals,
    ];

    /// Its name in a profile.
    pub const fn name(self) -> &'static str {
        match self {
            Setup::Plain => "plain",
            Setup::Users => "users",
            Setup::AccessRules => "access_rules",
            Setup::MaximumQos0 => "maximum_qos_0",
            Setup::MaximumQos1 => "maximum_qos_1",
            Setup::NoRetain => "no_retain",
            Setup::NoWildcards => "no_wildcards",
            Setup::NoSubscriptionIdentifiers => "no_subscription_identifiers",
            Setup::NoSharedSubscriptions => "no_shared_subscriptions",
            Setup::NoTopicAliases => "no_topic_aliases",
            Setup::SmallPackets => "small_packets",
            Setup::ServerKeepAlive => "server_keep_alive",
            Setup::Scram => "scram",
            Setup::WebSocket => "websocket",
            Setup::Internals => "internals",
        }
    }

    /// Whether a client has to give user name and password.
    pub const fn asks_for_a_password(self) -> bool {
        matches!(self, Setup::Users | Setup::AccessRules | Setup::Scram)
    }

    /// Our broker set up like this.
    pub fn config(self) -> Config {
        let mut config = Config::default();
        match self {
            Setup::Plain | Setup::WebSocket | Setup::Internals => {}
            Setup::Users | Setup::AccessRules | Setup::Scram => {
                config.users.insert(USER.to_owned(), PASSWORD.into());
                config.anonymous = false;
                if self == Setup::AccessRules {
                    let filter = TopicFilter::try_from(FORBIDDEN_TOPIC).ok();
                    config.access =
                        vec![AccessRule { user: None, client_id: None, action: None, filter, allow: false }];
                }
            }
            Setup::MaximumQos0 => config.maximum_qos = Qos::AtMostOnce,
            Setup::MaximumQos1 => config.maximum_qos = Qos::AtLeastOnce,
            Setup::NoRetain => config.retain_available = false,
            Setup::NoWildcards => config.wildcard_available = false,
            Setup::NoSubscriptionIdentifiers => config.subscription_identifier_available = false,
            Setup::NoSharedSubscriptions => config.shared_available = false,
            Setup::NoTopicAliases => config.topic_alias_maximum = 0,
            Setup::SmallPackets => config.maximum_packet_size = 256,
            Setup::ServerKeepAlive => config.server_keep_alive = Some(2),
        }
        config
    }
}
