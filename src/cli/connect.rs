//! How a command reaches a broker, and as whom: the same options for `pub`, `sub` and `bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::trust::TrustArguments;
use super::{FAILED, GONE, complain};
use crate::client::{Config, Credentials, Event};
use crate::codec::{Properties, Property, Qos, Reason, Text, Value, Version, Will};
use crate::link::Cause;
use crate::live::dial::{Dialer, Url};
use crate::live::{self, client::Driven};
use crate::notation::scalar::from_word;
use crate::scenario::Span;

/// How many QoS 1 and 2 messages are under way to a 3.1.1 broker, which has no way to say how many it takes: mosquitto
/// loses those beyond twenty at QoS 2 if their publisher leaves at once.
const UNSAID_IN_FLIGHT: u16 = 20;

/// Where a broker is, and who asks.
#[derive(Debug, Args)]
pub(super) struct BrokerArguments {
    /// The broker: mqtt://[user:password@]host[:port][/path], or mqtts, ws, wss
    #[arg(
        long,
        alias = "target",
        env = "SIMRUN_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "mqtt://127.0.0.1:1883"
    )]
    url: Url,
    /// The broker's host, instead of the one in the URL
    #[arg(short = 'H', long)]
    host: Option<String>,
    /// The broker's port, instead of the one in the URL
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The user name
    #[arg(short, long, env = "SIMRUN_USERNAME", value_name = "NAME")]
    username: Option<String>,
    /// The password; in the environment it is out of sight of other users of this machine
    #[arg(short = 'P', long, env = "SIMRUN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    password: Option<String>,
    #[command(flatten)]
    trust: TrustArguments,
}

impl BrokerArguments {
    /// The address, its user and password among it, and what connects to it.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(super) fn resolve(&self) -> Result<(Url, Dialer), String> {
        let mut url = self.url.clone();
        if let Some(host) = &self.host {
            let named = if host.contains(':') { format!("mqtt://[{host}]") } else { format!("mqtt://{host}") };
            url.host =
                named.parse::<Url>().map_err(|_| format!("error: --host {host}: this is no name of a host"))?.host;
        }
        url.port = self.port.unwrap_or(url.port);
        url.username = self.username.clone().or(url.username);
        url.password = self.password.clone().or(url.password);
        let dialer = Dialer::new(self.trust.trust());
        dialer.prepare(&url).map_err(|error| format!("error: {error}"))?;
        Ok((url, dialer))
    }
}

/// How a client introduces itself.
#[derive(Debug, Args)]
pub(super) struct ClientArguments {
    #[command(flatten)]
    broker: BrokerArguments,
    /// The protocol version
    #[arg(short = 'V', long = "mqtt-version", value_enum, value_name = "VERSION", default_value_t = VersionWord::V5)]
    version: VersionWord,
    /// The client identifier [default: one that the broker chooses]
    #[arg(short, long, value_name = "ID", value_parser = string)]
    id: Option<Text>,
    /// Keep alive, in whole seconds; 0 turns it off
    #[arg(short, long, value_name = "SPAN", value_parser = keep_alive, default_value = "60s")]
    keep_alive: u16,
    /// Go on with the session that this client identifier left behind, if there is one
    #[arg(long, requires = "id")]
    resume: bool,
    /// For how long the session outlives the connection (5.0)
    #[arg(long, value_name = "SPAN|never", value_parser = expiry)]
    session_expiry: Option<u32>,
    /// Show that we know the password instead of sending it: SCRAM-SHA-256 (5.0)
    #[arg(long)]
    scram: bool,
    /// The topic of the will: what the broker publishes if the connection ends without a DISCONNECT
    #[arg(long, value_name = "TOPIC", value_parser = string, help_heading = "Will")]
    will_topic: Option<Text>,
    /// What the will says [default: nothing]
    #[arg(long, value_name = "MESSAGE", requires = "will_topic", help_heading = "Will")]
    will_message: Option<String>,
    /// The will's QoS
    #[arg(long, value_name = "QOS", requires = "will_topic", value_parser = qos, default_value = "0", help_heading = "Will")]
    will_qos: Qos,
    /// The will is retained
    #[arg(long, requires = "will_topic", help_heading = "Will")]
    will_retain: bool,
    /// How long the broker waits with the will (5.0)
    #[arg(long, value_name = "SPAN", requires = "will_topic", value_parser = seconds, help_heading = "Will")]
    will_delay: Option<u32>,
}

impl ClientArguments {
    /// The protocol version.
    pub(super) fn version(&self) -> Version {
        self.version.into()
    }

    /// Where to connect, and the client's settings.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(super) fn resolve(&self) -> Result<(Url, Dialer, Config), String> {
        let (url, dialer) = self.broker.resolve()?;
        let version = self.version();
        let fives = [
            ("--session-expiry", self.session_expiry.is_some()),
            ("--will-delay", self.will_delay.is_some()),
            ("--scram", self.scram),
        ];
        only_in_5(version, &fives)?;
        let username = url.username.as_deref().map(string).transpose();
        let username = username.map_err(|why| format!("error: the user name: {why}"))?;
        let password = url.password.clone();
        let auth = match (&url.username, &password) {
            (Some(username), Some(password)) => {
                Some(Credentials { username: username.clone(), password: password.clone() })
            }
            _ => None,
        };
        let mut config = Config {
            version,
            client_id: self.id.clone().unwrap_or_default(),
            clean_start: !self.resume,
            keep_alive: self.keep_alive,
            session_expiry: self.session_expiry,
            will: self.will(),
            in_flight_maximum: if version == Version::V3_1_1 { UNSAID_IN_FLIGHT } else { u16::MAX },
            seed: live::chance(),
            ..Config::default()
        };
        if self.scram {
            config.auth = Some(auth.ok_or("error: --scram needs a user and a password; name them with -u and -P")?);
        } else {
            (config.username, config.password) = (username, password.map(Bytes::from));
        }
        config.check().map_err(|error| format!("error: {error}"))?;
        Ok((url, dialer, config))
    }

    fn will(&self) -> Option<Will> {
        let topic = self.will_topic.clone()?;
        let mut properties = Properties::new();
        if let Some(seconds) = self.will_delay {
            properties.push(Property::WillDelayInterval, Value::Four(seconds));
        }
        let payload = self.will_message.clone().unwrap_or_default().into();
        Some(Will { qos: self.will_qos, retain: self.will_retain, topic, payload, properties })
    }
}

/// A string as MQTT can carry it, as an argument.
pub(super) fn string(text: &str) -> Result<Text, String> {
    Text::try_from(text).map_err(|error| error.to_string())
}

/// Refuses, in words, options that were given though this version does not have them.
pub(super) fn only_in_5(version: Version, given: &[(&str, bool)]) -> Result<(), String> {
    match given.iter().find(|(_, given)| *given && version == Version::V3_1_1) {
        Some((option, _)) => Err(format!("error: {option} is not in MQTT 3.1.1; leave it out, or leave out -V 3.1.1")),
        None => Ok(()),
    }
}

/// A protocol version, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum VersionWord {
    /// MQTT 3.1.1
    #[value(name = "3.1.1", aliases = ["311", "4"])]
    V3_1_1,
    /// MQTT 5.0
    #[value(name = "5", alias = "5.0")]
    V5,
}

impl From<VersionWord> for Version {
    fn from(word: VersionWord) -> Version {
        match word {
            VersionWord::V3_1_1 => Version::V3_1_1,
            VersionWord::V5 => Version::V5,
        }
    }
}

/// A QoS, as it is written.
pub(super) fn qos(text: &str) -> Result<Qos, String> {
    text.parse().ok().and_then(Qos::from_number).ok_or_else(|| "write 0, 1 or 2".to_owned())
}

/// A duration with its unit; one without is in seconds.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    from_word::<Span>(text).map(|span| span.0)
}

/// A duration in whole seconds.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let span = span(text)?;
    match u32::try_from(span.as_secs()) {
        Ok(seconds) if span.subsec_nanos() == 0 => Ok(seconds),
        _ => Err("write a duration in whole seconds: 60s, 5m, 1h".to_owned()),
    }
}

fn keep_alive(text: &str) -> Result<u16, String> {
    u16::try_from(seconds(text)?).map_err(|_| "the longest keep alive is 65535s".to_owned())
}

fn expiry(text: &str) -> Result<u32, String> {
    if text == "never" { Ok(u32::MAX) } else { seconds(text) }
}

/// Why a command ends before it has done what it was to do.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The broker said no.
    Refused(String),
    /// The broker cannot be reached, or is gone.
    Gone(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Trouble::Refused(words) | Trouble::Gone(words)) = self;
        f.write_str(words)
    }
}

impl Trouble {
    /// Says it, and gives the exit code for it.
    pub(super) fn exit(self) -> ExitCode {
        complain(format_args!("error: {self}"));
        ExitCode::from(if matches!(self, Trouble::Refused(_)) { FAILED } else { GONE })
    }
}

/// What an event that ends a connection means for a command that needs it.
pub(super) fn trouble(url: &Url, driven: &Driven, event: &Event) -> Option<Trouble> {
    Some(match event {
        Event::Refused(reason) => {
            Trouble::Refused(format!("{url} refuses the connection: {reason}{}", advice(*reason)))
        }
        Event::Redirected(reason, server) => {
            Trouble::Refused(format!("{url} names another broker, {server}: {reason}"))
        }
        Event::Disconnected(Cause::Unreachable(why), _) => Trouble::Gone(format!("{url} cannot be reached: {why}")),
        Event::Disconnected(_, Some(reason)) => Trouble::Gone(format!("{url} ends the connection: {reason}")),
        Event::Disconnected(cause, None) => {
            let why = driven.trouble().map_or_else(|| cause.to_string(), str::to_owned);
            Trouble::Gone(format!("the connection to {url} is lost: {why}"))
        }
        _ => return None,
    })
}

/// What to do about a refusal.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::BadUserNameOrPassword | Reason::NotAuthorized => {
            "; name a user with -u and -P, or SIMRUN_USERNAME and SIMRUN_PASSWORD"
        }
        Reason::UnsupportedProtocolVersion => "; try the other version with -V",
        _ => "",
    }
}

/// Writes a file whose being there says that all is ready.
///
/// # Errors
/// If it cannot be written, in words.
pub(super) fn write_ready(file: Option<&PathBuf>) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, "ready\n").map_err(|error| format!("error: {}: {error}", file.display()))
}
