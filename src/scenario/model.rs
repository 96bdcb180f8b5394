//! A scenario as it is written. The doc comments here are what an editor shows: they become the JSON Schema.

use schemars::JsonSchema;
use serde::Deserialize;

use super::application::ProgramStep;
use super::pattern::Pattern;
use super::scalar::{Named, Scalar, scalar, suggestion, with_help};
use super::steps::{Step, SubscribeOptions};
use super::units::{Expiry, Seconds, Span, SpanRange};
use super::words::{Hex, QosWord, VersionWord};

/// A scenario: a broker, its clients, what befalls them and what is expected of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The numbered statements of the standard that it shows, as `v5/MQTT-3.3.1-1`.
    pub covers: Vec<String>,
    /// What chance is drawn from. The same scenario and seed give the same run.
    pub seed: u64,
    /// The network between everyone.
    pub network: Network,
    /// The broker.
    pub broker: Broker,
    /// The clients by name, in the order in which they are shown.
    pub clients: Named<Client>,
    /// What is done (`at`) and what is demanded (`by`), in the order of time.
    pub timeline: Vec<Step>,
    /// What must not happen in the whole run.
    pub never: Vec<Pattern>,
    /// When the run ends. Left out: when the timeline is over, every program has ended, and all is quiet.
    pub ends: Option<Span>,
}

/// The network between everyone.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// How long bytes are on their way: `5ms`, or a range to draw from, `5ms..20ms`.
    pub latency: SpanRange,
    /// How many bytes at most arrive in one piece, down to 1. Left out: as they were written.
    #[schemars(range(min = 1, max = 65535))]
    pub chunk: Option<u32>,
}

impl Default for Network {
    fn default() -> Network {
        let millisecond = Span(std::time::Duration::from_millis(1)).0;
        Network { latency: SpanRange { least: millisecond, most: millisecond }, chunk: None }
    }
}

/// A broker's set-up to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The tutorial's broker, as Apache Apollo is when new: port 61613, user `admin`, password `password`.
    Apollo,
}

impl Scalar for Profile {
    const WHAT: &'static str = "a broker's profile";

    fn from_text(text: &str) -> Result<Profile, String> {
        match text {
            "apollo" => Ok(Profile::Apollo),
            _ => Err(with_help(format!("there is no profile `{text}`"), suggestion(text, ["apollo"]))),
        }
    }
}

scalar!(Profile, { "description": "A broker's set-up to begin with.", "enum": ["apollo"] });

/// The broker. Its name in the timeline and in patterns is `broker`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    /// The set-up to begin with; other fields change it.
    pub profile: Option<Profile>,
    /// The port it listens on. Left out: 1883, or what the profile says.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Users and their passwords.
    pub users: Option<Named<String>>,
    /// Whether a client may connect without a user name. Left out: only where there are no users.
    pub anonymous: Option<bool>,
    /// Whether it keeps sessions, queued and retained messages on a disk, so that they outlive `kill` and `power_off`.
    pub disk: bool,
    /// How many QoS 1 and 2 messages a client may have unfinished towards it.
    #[schemars(range(min = 1))]
    pub receive_maximum: Option<u16>,
    /// The highest QoS it serves.
    pub maximum_qos: Option<QosWord>,
    /// The largest packet it accepts, in bytes.
    #[schemars(range(min = 1))]
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases a client may use.
    pub topic_alias_maximum: Option<u16>,
    /// Whether it keeps retained messages.
    pub retain_available: Option<bool>,
    /// Whether filters may have wildcards.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether subscription identifiers may be used.
    pub subscription_identifier_available: Option<bool>,
    /// Whether `$share/…` filters may be used.
    pub shared_subscription_available: Option<bool>,
    /// The longest session expiry it grants.
    pub session_expiry_maximum: Option<Expiry>,
    /// The keep alive that it tells clients of 5.0 to use instead of their own.
    pub server_keep_alive: Option<Seconds>,
    /// How long a connection may be without a CONNECT.
    pub connect_timeout: Option<Span>,
    /// How many connections may be open at once.
    #[schemars(range(min = 1))]
    pub connections_maximum: Option<u32>,
    /// How many messages may be queued for a session.
    #[schemars(range(min = 1))]
    pub queue_maximum: Option<u32>,
    /// What it tells a client that asks for response information.
    pub response_information: Option<String>,
}

/// A client: a machine of its own with an application on it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// The protocol version, `3.1.1` or `5`. Left out: 5.
    pub version: VersionWord,
    /// How many clients of this kind there are; they are called `name-1`, `name-2` …, and `name` means all of them.
    #[schemars(range(min = 1, max = 1000))]
    pub count: Option<u32>,
    /// When it first connects. Left out: at once.
    pub starts: Span,
    /// The client identifier. Left out: the client's name. Empty: the broker chooses.
    pub client_id: Option<String>,
    /// Clean start (5.0) or clean session (3.1.1). Left out: true, or false where `session_expiry` is given.
    pub clean_start: Option<bool>,
    /// The keep alive, in whole seconds; 0 turns it off. Left out: 60s.
    pub keep_alive: Option<Seconds>,
    /// How long its session outlives its connection (5.0).
    pub session_expiry: Option<Expiry>,
    /// The user name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// Whether user and password are proven by SCRAM-SHA-256 instead of being sent (5.0).
    pub scram: bool,
    /// What the broker publishes if the connection ends without a DISCONNECT.
    pub will: Option<Will>,
    /// Whether it connects again when its connection was lost, and after how long. Left out: it does not.
    pub reconnect: Option<Reconnect>,
    /// What it subscribes to whenever it has connected and the broker has no session of it: filter and QoS or options.
    pub subscribe: Named<SubscribeOptions>,
    /// How many QoS 1 and 2 messages the broker may have unfinished towards it (5.0).
    #[schemars(range(min = 1))]
    pub receive_maximum: Option<u16>,
    /// The largest packet it accepts, in bytes (5.0).
    #[schemars(range(min = 1))]
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases the broker may use towards it (5.0).
    pub topic_alias_maximum: Option<u16>,
    /// User properties of its CONNECT (5.0).
    pub user_properties: Named<String>,
    /// It reads its connection no faster than this, in bytes per second; 0 reads nothing.
    pub reads_slowly: Option<u32>,
    /// What its application does, in order. With a program it connects only when a `connect` step says so.
    pub program: Option<Vec<ProgramStep>>,
    /// What its application does when something happens.
    pub on: On,
}

/// What an application does when something happens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct On {
    /// At every CONNACK, accepted or refused.
    pub connack: Vec<ProgramStep>,
    /// At every message.
    pub publish: Vec<ProgramStep>,
    /// When a connection ended, whatever ended it.
    pub disconnect: Vec<ProgramStep>,
}

/// What the broker publishes if the connection ends without a DISCONNECT.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Will {
    /// The topic.
    pub topic: String,
    /// The payload as text.
    #[serde(default)]
    pub payload: String,
    /// The payload in hex, instead of `payload`.
    #[serde(default)]
    pub hex: Option<Hex>,
    /// The QoS.
    #[serde(default)]
    pub qos: QosWord,
    /// Whether it is published as a retained message.
    #[serde(default)]
    pub retain: bool,
    /// How long the broker waits with it (5.0).
    #[serde(default)]
    pub delay: Option<Seconds>,
    /// How long it may wait for its subscribers (5.0).
    #[serde(default)]
    pub message_expiry_interval: Option<Seconds>,
}

/// Whether a client connects again: after how long at first, and at most. Each failure doubles the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Before the first attempt.
    pub first: Span,
    /// The longest wait.
    pub most: Span,
}

/// The longest wait where only the first is given.
const MOST: Span = Span::seconds(60);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReconnectTimes")]
struct Times {
    /// Before the first attempt.
    first: Span,
    /// The longest wait; each failure doubles the time up to this.
    #[serde(default)]
    most: Option<Span>,
}

impl From<Times> for Reconnect {
    fn from(times: Times) -> Reconnect {
        Reconnect { first: times.first, most: times.most.unwrap_or(times.first.max(MOST)) }
    }
}

impl Scalar for Reconnect {
    const WHAT: &'static str = "a duration such as 1s, or {first: 1s, most: 60s}";

    fn from_text(text: &str) -> Result<Reconnect, String> {
        let first = Span::from_text(text)?;
        Ok(Reconnect { first, most: first.max(MOST) })
    }

    fn from_integer(number: i128) -> Result<Reconnect, String> {
        Span::from_integer(number).map(|first| Reconnect { first, most: MOST })
    }
}

super::scalar::scalar_or_map!(Reconnect, Span, Times);

impl Client {
    /// The names of the clients that are run: the name itself, or `name-1`, `name-2` … where there is a `count`.
    pub fn copies(&self, name: &str) -> Vec<String> {
        match self.count {
            None => vec![name.to_owned()],
            Some(count) => (1..=count).map(|copy| format!("{name}-{copy}")).collect(),
        }
    }

    /// Whether it asks for a new session.
    pub fn asks_for_new_session(&self) -> bool {
        self.clean_start.unwrap_or(self.session_expiry.unwrap_or_default().0 == 0)
    }
}

impl Scenario {
    /// The clients that are run, each with its name, in order.
    pub fn members(&self) -> impl Iterator<Item = (String, &Client)> {
        self.clients.iter().flat_map(|(name, client)| client.copies(name).into_iter().map(move |copy| (copy, client)))
    }

    /// The clients that a name stands for: itself, or all its copies; none if nobody has the name.
    pub fn members_named(&self, name: &str) -> Vec<String> {
        match self.clients.get(name) {
            Some(client) => client.copies(name),
            None => self.members().map(|(member, _)| member).filter(|member| member == name).collect(),
        }
    }
}
