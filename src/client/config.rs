//! What a client asks for and how it behaves.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::{
    Connect, Frame, Packet, Properties, Property, Publish, Qos, Subscription, Text, Unencodable, Value, Version, Will,
};
use crate::scram;

/// A client's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protocol version.
    pub version: Version,
    /// The client identifier; empty asks the server for one.
    pub client_id: Text,
    /// 5.0: begin a new session with the first connection; later ones resume it for as long as it lasts.
    /// 3.1.1: Clean Session, a new one with each connection.
    pub clean_start: bool,
    /// An earlier process with this client identifier may have left a session at the server. If not, a server that
    /// resumes one where Clean Start 0 asked first is in the wrong, and the connection is closed [MQTT-3.2.2-4].
    pub session_expected: bool,
    /// Keep alive in seconds; 0 turns it off. A 5.0 server may decide otherwise.
    pub keep_alive: u16,
    /// How long to wait for PINGRESP; half the keep alive if not said.
    pub ping_patience: Option<Duration>,
    /// How long to wait for a connection and its CONNACK.
    pub connect_patience: Duration,
    /// For how many seconds the session outlives the connection (5.0).
    pub session_expiry: Option<u32>,
    /// The user name.
    pub username: Option<Text>,
    /// The password.
    pub password: Option<Bytes>,
    /// What the server is to publish if the connection ends without a DISCONNECT.
    pub will: Option<Will>,
    /// Whether and how to connect again after the connection was lost.
    pub reconnect: Option<Backoff>,
    /// Made whenever the server has no session to resume, each with the properties of its SUBSCRIBE (5.0). What the
    /// owner subscribes to later is made anew likewise.
    pub subscriptions: Vec<(Subscription, Properties)>,
    /// How many QoS 1 and 2 messages the server may have under way to us at a time (5.0).
    pub receive_maximum: u16,
    /// The largest packet that is accepted, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases the server may set (5.0).
    pub topic_alias_maximum: u16,
    /// Set topic aliases of our own, for as long as the server takes more (5.0).
    pub topic_aliases: bool,
    /// How many of our QoS 1 and 2 messages may be under way, if the server does not say less.
    pub in_flight_maximum: u16,
    /// How many messages wait for a connection, or for room in it, before more are refused.
    pub queue_maximum: usize,
    /// SCRAM-SHA-256 with this user name and password (5.0 section 4.12).
    pub auth: Option<Credentials>,
    /// What jitter and nonces are made from, together with the client identifier.
    pub seed: u64,
    /// More properties for CONNECT (5.0), as user properties.
    pub properties: Properties,
}

/// How long to wait before connecting again: `first`, then twice as long each time, but at most `most`; of that a
/// part between half and all, by chance, so that many clients do not come back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Default for Backoff {
    /// From one second to one minute.
    fn default() -> Backoff {
        Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }
}

/// A user name and a password for SCRAM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Default for Config {
    /// 5.0, a new session that ends with its connection, one minute of keep alive, no reconnecting.
    fn default() -> Config {
        Config {
            version: Version::V5,
            client_id: Text::EMPTY,
            clean_start: true,
            session_expected: true,
            keep_alive: 60,
            ping_patience: None,
            connect_patience: Duration::from_secs(10),
            session_expiry: None,
            username: None,
            password: None,
            will: None,
            reconnect: None,
            subscriptions: Vec::new(),
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            topic_aliases: false,
            in_flight_maximum: u16::MAX,
            queue_maximum: 1000,
            auth: None,
            seed: 0,
            properties: Properties::new(),
        }
    }
}

impl Config {
    /// Whether the CONNECT that these settings ask for can be sent.
    ///
    /// # Errors
    /// If the standard does not allow it.
    pub fn check(&self) -> Result<(), Unencodable> {
        let connect = self.connect(&self.client_id, self.clean_start, None);
        Frame::new(&Packet::Connect(Box::new(connect)), self.version)?;
        // A will is published by the server: it has to be a message that could be published.
        let Some(will) = &self.will else { return Ok(()) };
        let publish = Publish { topic: will.topic.clone(), qos: Qos::AtMostOnce, ..Publish::default() };
        Frame::new(&Packet::Publish(publish), self.version).map(|_| ())
    }

    /// The CONNECT that these settings ask for; `proof` is the first message of an enhanced authentication.
    pub(super) fn connect(&self, client_id: &Text, clean_start: bool, proof: Option<Vec<u8>>) -> Connect {
        let mut properties = Properties::new();
        if self.version == Version::V5 {
            if let Some(seconds) = self.session_expiry {
                properties.push(Property::SessionExpiryInterval, Value::Four(seconds));
            }
            if self.receive_maximum < u16::MAX {
                properties.push(Property::ReceiveMaximum, Value::Two(self.receive_maximum.max(1)));
            }
            if let Some(most) = self.maximum_packet_size {
                properties.push(Property::MaximumPacketSize, Value::Four(most.max(1)));
            }
            if self.topic_alias_maximum > 0 {
                properties.push(Property::TopicAliasMaximum, Value::Two(self.topic_alias_maximum));
            }
            if let Some(proof) = proof {
                properties.push(Property::AuthenticationMethod, Value::Text(Text::literal(scram::METHOD)));
                properties.push(Property::AuthenticationData, Value::Binary(proof.into()));
            }
            for (property, value) in self.properties.iter() {
                properties.push(property, value);
            }
        }
        Connect {
            version: self.version,
            clean_start,
            keep_alive: self.keep_alive,
            client_id: client_id.clone(),
            will: self.will.clone(),
            username: self.username.clone(),
            password: self.password.clone(),
            properties,
        }
    }
}
