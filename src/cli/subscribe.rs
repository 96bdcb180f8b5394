//! `simrun sub`: what a broker delivers, printed or written to files.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum, value_parser};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use tokio::time::sleep;

use super::connect::{self, ClientArguments, Trouble, only_in_5, qos, span, string, write_ready};
use super::{FAILED, complain, is_broken_pipe, wrong};
use crate::client::{Backoff, Config, Event};
use crate::codec::{
    Disconnect, Properties, Property, Qos, Reason, RetainHandling, Subscription, SubscriptionOptions, Text, Value,
};
use crate::live::client::Driven;
use crate::live::dial::{Dialer, Url};
use crate::live::signalled;
use crate::message::Message;
use crate::topic::{Target, TopicFilter};

/// What to subscribe to, and what to do with what comes.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done, 1 a subscription was refused or --wait was over before --count messages had come, 2 the input was \
wrong, 3 the broker cannot be reached at first, or refuses later.\n\
A connection that is lost is made again. Ctrl-C ends it in good order.")]
pub(super) struct SubscribeArguments {
    #[command(flatten)]
    client: ClientArguments,
    /// What to subscribe to: a topic filter, + for one level and # for all below. May be given several times
    #[arg(short, long, value_name = "FILTER", required = true, value_parser = string)]
    topic: Vec<Text>,
    /// The highest QoS to be sent at
    #[arg(short, long, value_parser = qos, default_value = "0")]
    qos: Qos,
    /// Do not send back what this client publishes (5.0)
    #[arg(long)]
    no_local: bool,
    /// Keep the RETAIN flag as it was published (5.0)
    #[arg(long)]
    retain_as_published: bool,
    /// When the broker is to send what is retained (5.0)
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = RetainedWord::Always)]
    retained: RetainedWord,
    /// Show only what was retained
    #[arg(long)]
    retained_only: bool,
    /// Have the broker number the subscription and name it with each message (5.0)
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=268_435_455))]
    subscription_identifier: Option<u32>,
    /// End after so many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long
    #[arg(short = 'W', long, value_name = "SPAN", value_parser = span)]
    wait: Option<Duration>,
    /// Print the topic before the message
    #[arg(short, long)]
    verbose: bool,
    /// Print each message as a JSON object, one a line; a payload that is no UTF-8 as payload_base64
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    /// Print no line break after the message
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Write payloads to files: in a directory each to one of its own, whose name is printed; else the last to this file
    #[arg(long, value_name = "DIR|FILE")]
    write: Option<PathBuf>,
    /// Write this file once the subscription stands
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// End when the connection is lost
    #[arg(long)]
    no_reconnect: bool,
}

/// Retain Handling, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RetainedWord {
    /// With each subscription
    Always,
    /// If the subscription is new in its session
    New,
    /// Never
    Never,
}

impl From<RetainedWord> for RetainHandling {
    fn from(word: RetainedWord) -> RetainHandling {
        match word {
            RetainedWord::Always => RetainHandling::Send,
            RetainedWord::New => RetainHandling::SendIfNew,
            RetainedWord::Never => RetainHandling::DoNotSend,
        }
    }
}

/// Does what the arguments say.
pub(super) fn subscribe(arguments: &SubscribeArguments) -> ExitCode {
    let (url, dialer, config) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(why) => return wrong(why),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return wrong(format_args!("error: {error}")),
    };
    let listener = Listener { arguments, printer: Printer::new(arguments), heard: 0 };
    match runtime.block_on(listener.run(url, dialer, config)) {
        Ok(code) => code,
        Err(End::Trouble(trouble)) => trouble.exit(),
        Err(End::Wrong(why)) => wrong(why),
        Err(End::Unheard) => ExitCode::SUCCESS,
    }
}

fn prepare(arguments: &SubscribeArguments) -> Result<(Url, Dialer, Config), String> {
    let (url, dialer, mut config) = arguments.client.resolve()?;
    for filter in &arguments.topic {
        let target = TopicFilter::try_from(filter.clone()).and_then(Target::try_from);
        target.map_err(|error| format!("error: --topic {filter}: {error}"))?;
    }
    let fives = [
        ("--no-local", arguments.no_local),
        ("--retain-as-published", arguments.retain_as_published),
        ("--retained", arguments.retained != RetainedWord::Always),
        ("--subscription-identifier", arguments.subscription_identifier.is_some()),
    ];
    only_in_5(config.version, &fives)?;
    config.reconnect = (!arguments.no_reconnect).then(Backoff::default);
    Ok((url, dialer, config))
}

/// Why it ends early.
enum End {
    Trouble(Trouble),
    Wrong(String),
    /// Nobody reads what is printed any more.
    Unheard,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> End {
        End::Trouble(trouble)
    }
}

struct Listener<'a> {
    arguments: &'a SubscribeArguments,
    printer: Printer<'a>,
    heard: u64,
}

impl Listener<'_> {
    async fn run(mut self, url: Url, dialer: Dialer, config: Config) -> Result<ExitCode, End> {
        let mut driven = Driven::connect(config, url.clone(), dialer);
        let mut interrupted = std::pin::pin!(signalled());
        let patience = async {
            match self.arguments.wait {
                Some(span) => sleep(span).await,
                None => std::future::pending().await,
            }
        };
        let mut patience = std::pin::pin!(patience);
        let mut was_connected = false;
        let code = loop {
            tokio::select! {
                biased;
                _ = &mut interrupted => break 0,
                () = &mut patience => break if self.arguments.count.is_some() { FAILED } else { 0 },
                event = driven.next() => match event {
                    Event::Connected { .. } if !was_connected => {
                        was_connected = true;
                        self.subscribe(&mut driven)?;
                    }
                    Event::Subscribed(_, reasons) => self.subscribed(&reasons)?,
                    Event::Message { message, dup } => {
                        let came = Came { expiry_left: message.expiry_left(driven.ask().1), message, dup };
                        if self.hear(&came)? {
                            break 0;
                        }
                    }
                    event => {
                        if let Some(trouble) = connect::trouble(&url, &driven, &event) {
                            if !was_connected || driven.ask().0.is_resting() {
                                return Err(trouble.into());
                            }
                            complain(format_args!("{trouble}; connecting again"));
                        }
                    }
                },
            }
        };
        let (client, now) = driven.ask();
        // It may be gone already.
        let _ = client.disconnect(now, Disconnect::new(Reason::Success));
        driven.finish().await;
        Ok(ExitCode::from(code))
    }

    fn subscribe(&self, driven: &mut Driven) -> Result<(), End> {
        let options = SubscriptionOptions {
            qos: self.arguments.qos,
            no_local: self.arguments.no_local,
            retain_as_published: self.arguments.retain_as_published,
            retain_handling: self.arguments.retained.into(),
        };
        let filters = self.arguments.topic.iter().cloned();
        let mut properties = Properties::new();
        if let Some(identifier) = self.arguments.subscription_identifier {
            properties.push(Property::SubscriptionIdentifier, Value::Variable(identifier));
        }
        let (client, now) = driven.ask();
        let asked = client.subscribe(now, filters.map(|filter| Subscription { filter, options }).collect(), properties);
        asked.map(|_| ()).map_err(|refused| Trouble::Refused(refused.to_string()).into())
    }

    /// The broker's answer, one reason for each filter.
    fn subscribed(&self, reasons: &[Reason]) -> Result<(), End> {
        let refused = |reason: &Reason| reason.code() >= 0x80;
        for (filter, reason) in self.arguments.topic.iter().zip(reasons).filter(|(_, reason)| refused(reason)) {
            complain(format_args!("the broker refuses the subscription to {filter}: {reason}"));
        }
        if reasons.iter().all(refused) {
            return Err(Trouble::Refused("no subscription is left".to_owned()).into());
        }
        write_ready(self.arguments.ready_file.as_ref()).map_err(End::Wrong)
    }

    /// Takes in a message; whether it was the last that is wanted.
    fn hear(&mut self, came: &Came) -> Result<bool, End> {
        if self.arguments.retained_only && !came.message.retain {
            return Ok(false);
        }
        self.heard += 1;
        self.printer.print(came, self.heard)?;
        Ok(self.arguments.count == Some(self.heard))
    }
}

/// A message, and what its PUBLISH said besides.
struct Came {
    message: Message,
    dup: bool,
    /// What is left of its Message Expiry Interval, in seconds.
    expiry_left: Option<u32>,
}

/// How messages are shown.
struct Printer<'a> {
    arguments: &'a SubscribeArguments,
    /// Whether a person's terminal shows them: then they are made harmless.
    on_terminal: bool,
}

impl Printer<'_> {
    fn new(arguments: &SubscribeArguments) -> Printer<'_> {
        Printer { arguments, on_terminal: io::stdout().is_terminal() }
    }

    fn print(&self, came: &Came, number: u64) -> Result<(), End> {
        let message = &came.message;
        let file = match &self.arguments.write {
            None => None,
            Some(path) => {
                let file = if path.is_dir() { path.join(file_name(message, number)) } else { path.clone() };
                let written = std::fs::write(&file, &message.payload);
                written.map_err(|error| End::Wrong(format!("error: {}: {error}", file.display())))?;
                Some(file)
            }
        };
        let mut out = io::stdout().lock();
        match out.write_all(&self.line(came, file.as_deref())).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if is_broken_pipe(&error) => Err(End::Unheard),
            Err(error) => Err(End::Wrong(format!("error: standard output: {error}"))),
        }
    }

    /// What is printed for a message.
    fn line(&self, came: &Came, file: Option<&Path>) -> Vec<u8> {
        let message = &came.message;
        let mut line = Vec::new();
        if self.arguments.json {
            line.extend(serde_json::to_vec(&Shown::of(came, file)).unwrap_or_default());
        } else {
            if self.arguments.verbose {
                line.extend(self.harmless(message.topic.as_bytes()));
                line.push(b' ');
            }
            match file {
                Some(file) => line.extend(file.display().to_string().into_bytes()),
                None => line.extend(self.harmless(&message.payload)),
            }
        }
        if !self.arguments.raw {
            line.push(b'\n');
        }
        line
    }

    /// Bytes as they may be shown: on a terminal nothing of them is a command to it.
    fn harmless(&self, bytes: &[u8]) -> Vec<u8> {
        if !self.on_terminal {
            return bytes.to_vec();
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.escape_ascii().to_string().into_bytes() };
        let mut shown = String::with_capacity(text.len());
        for character in text.chars() {
            if character.is_control() && !matches!(character, '\n' | '\t') {
                let _ = write!(shown, "{}", character.escape_default());
            } else {
                shown.push(character);
            }
        }
        shown.into_bytes()
    }
}

/// A name that no topic can turn into another place.
fn file_name(message: &Message, number: u64) -> String {
    const LONGEST: usize = 100;
    let harmless = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let topic: String = message.topic.chars().map(harmless).take(LONGEST).collect();
    format!("{number:06}-{topic}")
}

/// A message as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    /// Seconds since 1970.
    time: f64,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    qos: u8,
    retain: bool,
    dup: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: Map<String, Json>,
}

impl Shown<'_> {
    fn of<'a>(came: &'a Came, file: Option<&Path>) -> Shown<'a> {
        let Came { message, dup, expiry_left } = came;
        let mut properties = shown(&message.properties);
        if let Some(seconds) = expiry_left {
            properties.insert(Property::MessageExpiryInterval.name().to_owned(), (*seconds).into());
        }
        let payload = std::str::from_utf8(&message.payload).ok().filter(|_| file.is_none());
        let binary = payload.is_none() && file.is_none();
        Shown {
            time: unix_seconds(),
            topic: &message.topic,
            payload,
            payload_base64: binary.then(|| STANDARD.encode(&message.payload)),
            file: file.map(|file| file.display().to_string()),
            qos: message.qos.number(),
            retain: message.retain,
            dup: *dup,
            properties,
        }
    }
}

/// Properties by their names; those that may come several times as lists, binary ones in base64.
fn shown(properties: &Properties) -> Map<String, Json> {
    let mut map = Map::new();
    for (property, value) in properties.iter() {
        let value = match value {
            Value::Byte(number) => number.into(),
            Value::Two(number) => number.into(),
            Value::Four(number) | Value::Variable(number) => number.into(),
            Value::Text(text) => text.as_str().into(),
            Value::Binary(bytes) => STANDARD.encode(bytes).into(),
            Value::Pair(name, value) => json!([name.as_str(), value.as_str()]),
        };
        if matches!(property, Property::UserProperty | Property::SubscriptionIdentifier) {
            if let Json::Array(list) = map.entry(property.name()).or_insert_with(|| Json::Array(Vec::new())) {
                list.push(value);
            }
        } else {
            map.insert(property.name().to_owned(), value);
        }
    }
    map
}

/// The time of day, in seconds since 1970.
#[allow(clippy::disallowed_types, clippy::disallowed_methods)] // What is printed for people has the time of day.
pub(super) fn unix_seconds() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
