//! The broker's configuration as it is written. The doc comments here are what an editor shows: they become the JSON
//! Schema.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::broker::{self, Action};
use crate::live::dial::Scheme;
use crate::live::log::{Form, Level};
use crate::notation::Named;
use crate::notation::scalar::{Scalar, scalar, scalar_or_map, suggestion, with_help};
use crate::notation::units::{Expiry, Seconds, Span};
use crate::scenario::{Profile, QosWord};

/// The configuration of a broker on real sockets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerFile {
    /// The set-up to begin with; other keys change it.
    pub profile: Option<Profile>,
    /// Where it listens: `mqtt://127.0.0.1:1883`, or a map where a listener has more to say.
    pub listeners: Option<Vec<Listener>>,
    /// The certificate and the key of listeners with TLS, and what they want of clients.
    pub tls: Option<TlsFiles>,
    /// Whether listeners with TLS have a certificate for localhost that is made for this run and thrown away.
    pub tls_dev: Option<bool>,
    /// Users and their passwords. Better is a file with their hashes: `users_file`.
    pub users: Option<Named<String>>,
    /// A file of users and hashes of their passwords, as `simrun passwd` and mosquitto_passwd write it.
    pub users_file: Option<PathBuf>,
    /// Whether clients may come without a user name. Left out: only where there are no users.
    pub anonymous: Option<bool>,
    /// What clients may publish and subscribe to: the first rule that applies decides; without one they may.
    pub access: Option<Vec<Rule>>,
    /// Where sessions, subscriptions, queued and retained messages and wills are kept: a directory. Left out: nowhere.
    pub data: Option<PathBuf>,
    /// Where a page shows the broker: `127.0.0.1:8080`, or off.
    pub web: Option<PageAddress>,
    /// How the log on standard error looks. Left out: human on a terminal, json elsewhere.
    pub log: Option<Form>,
    /// How much is logged.
    pub log_level: Option<Level>,
    /// How often the broker publishes what it counts under `$SYS/broker/`. 0s: never.
    pub sys_interval: Option<Span>,
    /// A file that is written once clients can connect, with a line for each address.
    pub ready_file: Option<PathBuf>,
    /// What a peer may make the broker hold, and what of the protocol is served.
    pub limits: Limits,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// For what.
    pub scheme: Scheme,
    /// Where; port 0 is any that is free.
    pub address: SocketAddr,
}

impl Scalar for ListenAddress {
    const WHAT: &'static str = "an address such as mqtt://127.0.0.1:1883";

    fn from_text(text: &str) -> Result<ListenAddress, String> {
        let help = "write mqtt://127.0.0.1:1883, or mqtts, ws, wss; [::1]:1883 is IPv6; port 0 takes a free one";
        let (scheme, rest) = text.split_once("://").unwrap_or(("mqtt", text));
        let schemes = [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss];
        let Some(scheme) = schemes.into_iter().find(|known| known.name() == scheme) else {
            let near = suggestion(scheme, schemes.map(Scheme::name));
            return Err(with_help(format!("there is no scheme `{scheme}`"), near));
        };
        let rest = rest.strip_suffix("/mqtt").unwrap_or(rest).trim_end_matches('/');
        let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let whole = if has_port { rest.to_owned() } else { format!("{rest}:{}", scheme.default_port()) };
        match whole.to_socket_addrs().map(|mut found| found.next()) {
            Ok(Some(address)) => Ok(ListenAddress { scheme, address }),
            Ok(None) => Err(with_help(format!("`{rest}` is no address"), help)),
            Err(error) => Err(with_help(format!("`{rest}` is no address: {error}"), help)),
        }
    }

    fn from_integer(number: i128) -> Result<ListenAddress, String> {
        Err(with_help(format!("`{number}` is no address"), format!("write mqtt://127.0.0.1:{number}")))
    }
}

scalar!(ListenAddress, {
    "description": "An address to listen on: mqtt://127.0.0.1:1883, or mqtts, ws, wss.",
    "type": "string",
    "examples": ["mqtt://127.0.0.1:1883", "mqtts://[::]:8883", "ws://127.0.0.1:9001"]
});

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.address)
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A listener, and what is its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Where.
    pub url: ListenAddress,
    /// Its own certificate, instead of that of all.
    pub tls: Option<TlsFiles>,
    /// Whether clients may come by it without a user name.
    pub anonymous: Option<bool>,
    /// The only users who may come by it.
    pub users: Option<Vec<String>>,
}

impl Serialize for Listener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Listener::from(self.url.clone()) {
            return self.url.serialize(serializer);
        }
        let Listener { url, tls, anonymous, users } = self.clone();
        ListenerFields { url, tls, anonymous, users }.serialize(serializer)
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenerFields")]
struct ListenerFields {
    /// Where it listens: `mqtt://127.0.0.1:1883`.
    url: ListenAddress,
    /// Its own certificate, instead of that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<TlsFiles>,
    /// Whether clients may come by it without a user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anonymous: Option<bool>,
    /// The only users who may come by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
}

impl From<ListenerFields> for Listener {
    fn from(ListenerFields { url, tls, anonymous, users }: ListenerFields) -> Listener {
        Listener { url, tls, anonymous, users }
    }
}

impl From<ListenAddress> for Listener {
    fn from(url: ListenAddress) -> Listener {
        Listener { url, tls: None, anonymous: None, users: None }
    }
}

impl Scalar for Listener {
    const WHAT: &'static str = "an address such as mqtt://127.0.0.1:1883, or a map with `url`";

    fn from_text(text: &str) -> Result<Listener, String> {
        ListenAddress::from_text(text).map(Listener::from)
    }

    fn from_integer(number: i128) -> Result<Listener, String> {
        ListenAddress::from_integer(number).map(Listener::from)
    }
}

scalar_or_map!(Listener, ListenAddress, ListenerFields);

/// Files for TLS (PEM). Relative to the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, followed by those it is signed with.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that sign clients' certificates. Left out: clients show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authorities: Option<PathBuf>,
    /// Whether clients may come without a certificate all the same.
    #[serde(default)]
    pub client_certificate_optional: bool,
    /// Whether the common name in a client's certificate is its user, for whom no password is asked.
    #[serde(default)]
    pub user_from_certificate: bool,
}

/// A rule. It allows or denies; what is left out applies to anyone, or anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it allows: publish, subscribe, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Deed>,
    /// What it denies: publish, subscribe, or all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Deed>,
    /// For this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// For this client identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// For topics that match this filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed(pub Option<Action>);

impl Serialize for Deed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            Some(Action::Publish) => "publish",
            Some(Action::Subscribe) => "subscribe",
            None => "all",
        })
    }
}

impl Scalar for Deed {
    const WHAT: &'static str = "publish, subscribe or all";

    fn from_text(text: &str) -> Result<Deed, String> {
        match text {
            "publish" => Ok(Deed(Some(Action::Publish))),
            "subscribe" => Ok(Deed(Some(Action::Subscribe))),
            "all" => Ok(Deed(None)),
            _ => {
                let near = suggestion(text, ["publish", "subscribe", "all"]);
                Err(with_help(format!("there is nothing called `{text}` to allow or deny"), near))
            }
        }
    }
}

scalar!(Deed, { "description": "What a rule is about.", "enum": ["publish", "subscribe", "all"] });

/// Where the page is served, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageAddress(pub Option<SocketAddr>);

impl Scalar for PageAddress {
    const WHAT: &'static str = "an address such as 127.0.0.1:8080, or off";

    fn from_text(text: &str) -> Result<PageAddress, String> {
        match text {
            "off" => Ok(PageAddress(None)),
            _ => text.parse().map(|address| PageAddress(Some(address))).map_err(|_| {
                with_help(
                    format!("`{text}` is no address"),
                    "write 127.0.0.1:8080, [::1]:8080 or off; port 0 takes a free one",
                )
            }),
        }
    }

    fn from_integer(number: i128) -> Result<PageAddress, String> {
        Err(with_help(format!("`{number}` is no address"), format!("write 127.0.0.1:{number}")))
    }
}

impl fmt::Display for PageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

scalar!(PageAddress, {
    "description": "An address for the page, or off.",
    "type": "string",
    "examples": ["127.0.0.1:8080", "[::1]:0", "off"]
});

/// The name of a word that the command line knows too.
pub(super) fn name_of(word: impl ValueEnum) -> String {
    word.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Such a word by its name.
fn word<T: ValueEnum>(what: &str, text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let names: Vec<String> = T::value_variants().iter().cloned().map(name_of).collect();
        let near = suggestion(text, names.iter().map(String::as_str));
        with_help(format!("there is no {what} `{text}`"), near)
    })
}

impl Scalar for Form {
    const WHAT: &'static str = "a form of the log: human or json";

    fn from_text(text: &str) -> Result<Form, String> {
        word("form of the log", text)
    }
}

scalar!(Form, { "description": "How the log looks.", "enum": ["human", "json"] });

impl Scalar for Level {
    const WHAT: &'static str = "a level of the log such as warn";

    fn from_text(text: &str) -> Result<Level, String> {
        word("level of the log", text)
    }
}

scalar!(Level, { "description": "How much is logged.", "enum": ["off", "error", "warn", "info", "debug"] });

/// A number of bytes: `64KiB`, `8MiB`, `1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl Scalar for Size {
    const WHAT: &'static str = "a number of bytes such as 64KiB or 8MiB";

    fn from_text(text: &str) -> Result<Size, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let units = ["B", "KiB", "MiB", "GiB"];
        let broken = || with_help(format!("`{text}` is not a number of bytes"), "write 1000, 64KiB, 8MiB or 1GiB");
        let shift = match units.iter().position(|known| *known == unit) {
            Some(place) => 10 * u32::try_from(place).unwrap_or(0),
            None if unit.is_empty() => 0,
            None => return Err(broken()),
        };
        let number: usize = number.parse().map_err(|_| broken())?;
        number.checked_mul(1 << shift).map(Size).ok_or_else(broken)
    }

    fn from_integer(number: i128) -> Result<Size, String> {
        usize::try_from(number).map(Size).map_err(|_| format!("`{number}` is not {}", Size::WHAT))
    }
}

scalar!(Size, {
    "description": "A number of bytes: 64KiB, 8MiB, 1000.",
    "anyOf": [{ "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$" }, { "type": "integer", "minimum": 0 }]
});

/// Bytes as they are written.
fn size(bytes: usize) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let even = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    even.map_or(bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

fn seconds(seconds: u32) -> String {
    if seconds == u32::MAX { "never".to_owned() } else { Span::seconds(seconds.into()).to_string() }
}

/// Declares [`Limits`]: each key once, with its type, how it goes into the broker's configuration, and how it is shown.
macro_rules! limits {
    ($($(#[$doc:meta])* $key:ident: $type:ty, $set:expr, $shown:expr;)*) => {
        /// What a peer may make the broker hold, and what of the protocol is served.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[$doc])* pub $key: Option<$type>,)*
        }

        impl Limits {
            /// Puts what is said here into a broker's configuration.
            pub(super) fn apply(&self, config: &mut broker::Config) {
                $(if let Some(value) = self.$key {
                    let set: fn(&mut broker::Config, $type) = $set;
                    set(config, value);
                })*
            }

            /// Whether a key is said here.
            pub(super) fn says(&self, key: &str) -> bool {
                [$((stringify!($key), self.$key.is_some())),*].contains(&(key, true))
            }

            /// Every key, and what a configuration has for it.
            pub(super) fn shown(config: &broker::Config) -> Vec<(&'static str, String)> {
                $(let $key: fn(&broker::Config) -> String = $shown;)*
                vec![$((stringify!($key), $key(config))),*]
            }
        }
    };
}

limits! {
    /// How many connections may be open at once.
    connections: u32, |config, n| config.connections_maximum = n as usize, |config| config.connections_maximum.to_string();
    /// How many of those from one address. Left out: as many as in all. An IPv6 address counts with its /64.
    connections_per_address: u32, |config, n| config.connections_per_address_maximum = n as usize,
        |config| config.connections_per_address_maximum.min(config.connections_maximum).to_string();
    /// How long a connection may be without a CONNECT.
    connect_timeout: Span, |config, span| config.connect_timeout = span.0, |config| Span(config.connect_timeout).to_string();
    /// The largest packet accepted.
    packet_size: Size, |config, size| config.maximum_packet_size = u32::try_from(size.0).unwrap_or(u32::MAX),
        |config| size(config.maximum_packet_size as usize);
    /// How many subscriptions a session may have.
    subscriptions: u32, |config, n| config.subscriptions_maximum = n as usize, |config| config.subscriptions_maximum.to_string();
    /// How many levels a topic filter may have.
    filter_levels: u16, |config, n| config.filter_levels_maximum = n.into(), |config| config.filter_levels_maximum.to_string();
    /// How many messages may be queued for a session.
    queued_messages: u32, |config, n| config.queue_maximum = n as usize, |config| config.queue_maximum.to_string();
    /// How many bytes a session may be owed, sent and not acknowledged or queued.
    queued_bytes: Size, |config, size| config.queue_bytes_maximum = size.0, |config| size(config.queue_bytes_maximum);
    /// How many messages all sessions together may be owed.
    all_queued_messages: u32, |config, n| config.all_queues_maximum = n as usize, |config| config.all_queues_maximum.to_string();
    /// How many bytes all sessions together may be owed; a payload counts for each session that waits for it.
    all_queued_bytes: Size, |config, size| config.all_queues_bytes_maximum = size.0, |config| size(config.all_queues_bytes_maximum);
    /// How many retained messages are kept.
    retained_messages: u32, |config, n| config.retained_maximum = n as usize, |config| config.retained_maximum.to_string();
    /// How many bytes they may have.
    retained_bytes: Size, |config, size| config.retained_bytes_maximum = size.0, |config| size(config.retained_bytes_maximum);
    /// How many QoS 1 and 2 messages a client may have unfinished towards the broker; at QoS 2 in 3.1.1 too.
    receive_maximum: u16, |config, n| (config.receive_maximum, config.receive_maximum_3_1_1) = (n, n),
        |config| config.receive_maximum.to_string();
    /// How many topic aliases a client may use.
    topic_aliases: u16, |config, n| config.topic_alias_maximum = n, |config| config.topic_alias_maximum.to_string();
    /// How many messages a client may publish in a second. 0: any number.
    publish_rate: u32, |config, n| config.publish_rate_maximum = if n == 0 { u32::MAX } else { n },
        |config| config.publish_rate_maximum.checked_add(1).map_or(0, |next| next - 1).to_string();
    /// How long a client may leave a megabyte unread that is for it.
    slow_reader: Span, |config, span| config.congestion_timeout = span.0, |config| Span(config.congestion_timeout).to_string();
    /// The longest session expiry granted.
    session_expiry: Expiry, |config, expiry| config.session_expiry_maximum = expiry.0, |config| seconds(config.session_expiry_maximum);
    /// The keep alive that clients of 5.0 are told to use instead of their own. 0s: their own.
    keep_alive: Seconds,
        |config, keep| config.server_keep_alive = u16::try_from(keep.0).ok().filter(|seconds| *seconds > 0),
        |config| seconds(config.server_keep_alive.unwrap_or(0).into());
    /// The highest QoS served.
    qos: QosWord, |config, qos| config.maximum_qos = qos.0, |config| config.maximum_qos.number().to_string();
    /// Whether retained messages are kept.
    retain: bool, |config, is| config.retain_available = is, |config| config.retain_available.to_string();
    /// Whether filters may have wildcards.
    wildcards: bool, |config, is| config.wildcard_available = is, |config| config.wildcard_available.to_string();
    /// Whether `$share/…` filters may be used.
    shared_subscriptions: bool, |config, is| config.shared_available = is, |config| config.shared_available.to_string();
    /// Whether SCRAM-SHA-256 is offered.
    scram: bool, |config, is| config.scram = is, |config| config.scram.to_string();
}
