//! What a broker says that it can do, asked once before the cases run.

use std::time::Duration;

use super::target::Place;
use super::verdict::{Failure, Stop};
use super::wire::{Log, Wire, text};
use crate::codec::{ConnAck, Connect, Packet, Properties, Qos, Reason, Version};
use crate::trace::{Name, Way};

/// What a broker can do, as the CONNACK of 5.0 tells (section 3.2.2.3). Where it says nothing, the standard's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// The versions that it accepts.
    pub versions: Vec<Version>,
    /// The highest QoS.
    pub maximum_qos: Qos,
    /// Whether it keeps retained messages.
    pub retain: bool,
    /// Whether filters may have wildcards.
    pub wildcards: bool,
    /// Whether it takes subscription identifiers.
    pub subscription_identifiers: bool,
    /// Whether it takes shared subscriptions.
    pub shared_subscriptions: bool,
    /// How many QoS 1 and 2 messages it takes at a time.
    pub receive_maximum: u16,
    /// The largest packet that it takes.
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases it takes.
    pub topic_alias_maximum: u16,
    /// The keep alive that it imposes, in seconds.
    pub server_keep_alive: Option<u16>,
    /// Whether it grants sessions that outlive their connection.
    pub sessions: bool,
}

impl Default for Abilities {
    fn default() -> Abilities {
        Abilities {
            versions: vec![Version::V3_1_1, Version::V5],
            maximum_qos: Qos::ExactlyOnce,
            retain: true,
            wildcards: true,
            subscription_identifiers: true,
            shared_subscriptions: true,
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            server_keep_alive: None,
            sessions: true,
        }
    }
}

impl Abilities {
    /// Asks the broker at this place.
    ///
    /// # Errors
    /// If it cannot be reached, or lets nobody in.
    pub async fn ask(place: &Place, client_id: &str) -> Result<Abilities, Stop> {
        let mut abilities = Abilities { versions: Vec::new(), ..Abilities::default() };
        let mut refusals = Vec::new();
        for version in [Version::V3_1_1, Version::V5] {
            match greet(place, version, client_id).await? {
                Ok(connack) if connack.reason == Reason::Success => {
                    abilities.versions.push(version);
                    abilities.learn(&connack.properties);
                }
                Ok(connack) => refusals.push(format!("to {version} CONNACK with {}", connack.reason)),
                Err(failure) => refusals.push(format!("to {version} {}", failure.actual)),
            }
        }
        if abilities.versions.is_empty() {
            return Err(Stop::Failed(Failure::new("a CONNACK that accepts", refusals.join("; "))));
        }
        Ok(abilities)
    }

    fn learn(&mut self, said: &Properties) {
        self.maximum_qos = said.maximum_qos().and_then(Qos::from_number).unwrap_or(self.maximum_qos);
        self.retain = said.retain_available().unwrap_or(true);
        self.wildcards = said.wildcard_subscription_available().unwrap_or(true);
        self.subscription_identifiers = said.subscription_identifier_available().unwrap_or(true);
        self.shared_subscriptions = said.shared_subscription_available().unwrap_or(true);
        self.receive_maximum = said.receive_maximum().unwrap_or(u16::MAX);
        self.maximum_packet_size = said.maximum_packet_size();
        self.topic_alias_maximum = said.topic_alias_maximum().unwrap_or(0);
        self.server_keep_alive = said.server_keep_alive();
        self.sessions = said.session_expiry_interval() != Some(0);
    }
}

/// The CONNACK to a plain CONNECT, or what came instead.
async fn greet(place: &Place, version: Version, client_id: &str) -> Result<Result<ConnAck, Failure>, Stop> {
    let unreachable = |why: String| Stop::Setup(Failure::new("a broker that can be reached", why));
    let patience = place.patience();
    let stream = match tokio::time::timeout(patience, place.dial()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable(format!("no connection within {patience:?}"))),
    };
    let names: [Name; 2] = ["prober".into(), "target".into()];
    let mut wire = Wire::new(&Log::new(), stream, version, Way::Up, [&names[0], &names[1]], patience.min(LONGEST));
    let credentials = place.credentials();
    let connect = Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: text(client_id),
        will: None,
        username: credentials.map(|(user, _)| text(user)),
        password: credentials.map(|(_, password)| password.clone().into_bytes().into()),
        properties: Properties::new(),
    };
    // Whether it arrives is seen by what comes.
    wire.try_send(&Packet::Connect(Box::new(connect))).await;
    let connack = wire.connack().await;
    let _ = wire.leave().await;
    Ok(connack)
}

/// How long a broker may take to answer that it does not speak a version.
const LONGEST: Duration = Duration::from_secs(5);
