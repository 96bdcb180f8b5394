//! `simrun pub`: messages from the command line, a file or standard input to a broker.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, value_parser};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::connect::{self, ClientArguments, Trouble, only_in_5, qos, seconds, span, string};
use super::subscribe::unix_seconds;
use super::{FAILED, complain, say, wrong};
use crate::client::{Backoff, Config, Event, Token};
use crate::codec::{Disconnect, Properties, Property, Publish, Qos, Reason, Text, Value};
use crate::live::client::Driven;
use crate::live::dial::{Dialer, Url};
use crate::live::signalled;
use crate::topic::TopicName;

/// How many messages may be on their way before more are read.
const WINDOW: usize = 1000;
/// How many lines are read ahead.
const LINES: usize = 64;

/// What to publish, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all was published, 1 something was refused, 2 the input was wrong, 3 the broker cannot be reached or died.\n\
An empty message with --retain removes what is retained.")]
pub(super) struct PublishArguments {
    #[command(flatten)]
    client: ClientArguments,
    /// The topic
    #[arg(short, long, value_parser = string)]
    topic: Text,
    #[command(flatten)]
    payload: PayloadArguments,
    /// How surely it is delivered: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_parser = qos, default_value = "0")]
    qos: Qos,
    /// The broker keeps it for those who subscribe later
    #[arg(short, long)]
    retain: bool,
    /// Publish it so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..), conflicts_with = "lines")]
    repeat: u64,
    /// How long to wait between messages
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "0s")]
    delay: Duration,
    /// After how long the broker drops what it could not deliver (5.0)
    #[arg(long, value_name = "SPAN", value_parser = seconds)]
    expiry: Option<u32>,
    /// What kind of content it is, as a MIME type (5.0)
    #[arg(long, value_name = "TYPE", value_parser = string)]
    content_type: Option<Text>,
    /// Where the answer is awaited (5.0)
    #[arg(long, value_name = "TOPIC", value_parser = string)]
    response_topic: Option<Text>,
    /// What the answer is to carry, to be told apart (5.0)
    #[arg(long, value_name = "DATA")]
    correlation_data: Option<String>,
    /// Say that the message is UTF-8 (5.0)
    #[arg(long)]
    utf8: bool,
    /// Something more that travels along (5.0). May be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    user_property: Vec<(Text, Text)>,
    /// Print each message that was published as a JSON object, one a line
    #[arg(long)]
    json: bool,
}

/// Where the message comes from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PayloadArguments {
    /// The message
    #[arg(short, long)]
    message: Option<String>,
    /// The message is what is in this file
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// The message is all of standard input
    #[arg(short, long)]
    stdin: bool,
    /// Each line of standard input is a message
    #[arg(short, long)]
    lines: bool,
}

fn pair(text: &str) -> Result<(Text, Text), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((string(name)?, string(value)?))
}

/// Does what the arguments say.
pub(super) fn publish(arguments: &PublishArguments) -> ExitCode {
    let (errand, url, dialer, config) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(why) => return wrong(why),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return wrong(format_args!("error: {error}")),
    };
    let done = runtime.block_on(errand.run(url, dialer, config));
    done.unwrap_or_else(Trouble::exit)
}

fn prepare(arguments: &PublishArguments) -> Result<(Errand, Url, Dialer, Config), String> {
    let (url, dialer, mut config) = arguments.client.resolve()?;
    TopicName::try_from(arguments.topic.clone())
        .map_err(|error| format!("error: --topic {}: {error}", arguments.topic))?;
    let properties = properties(arguments);
    let fives = "a property (--expiry, --content-type, --response-topic, --correlation-data, --utf8, --user-property)";
    only_in_5(config.version, &[(fives, !properties.is_empty())])?;
    let template = Publish {
        topic: arguments.topic.clone(),
        qos: arguments.qos,
        retain: arguments.retain,
        properties,
        ..Publish::default()
    };
    let source = source(arguments)?;
    // One message is sent or not; whoever sends many wants the rest to arrive too.
    config.reconnect = (arguments.lines() || arguments.repeat > 1).then(Backoff::default);
    let errand = Errand { template, source, on_way: BTreeMap::new(), json: arguments.json, failed: false };
    Ok((errand, url, dialer, config))
}

impl PublishArguments {
    fn lines(&self) -> bool {
        self.payload.lines
    }
}

fn properties(arguments: &PublishArguments) -> Properties {
    let mut properties = Properties::new();
    if arguments.utf8 {
        properties.push(Property::PayloadFormatIndicator, Value::Byte(1));
    }
    if let Some(seconds) = arguments.expiry {
        properties.push(Property::MessageExpiryInterval, Value::Four(seconds));
    }
    if let Some(content_type) = &arguments.content_type {
        properties.push(Property::ContentType, content_type.clone());
    }
    if let Some(topic) = &arguments.response_topic {
        properties.push(Property::ResponseTopic, topic.clone());
    }
    if let Some(data) = &arguments.correlation_data {
        properties.push(Property::CorrelationData, Bytes::from(data.clone()));
    }
    for (name, value) in &arguments.user_property {
        properties.push(Property::UserProperty, (name.clone(), value.clone()));
    }
    properties
}

fn source(arguments: &PublishArguments) -> Result<Source, String> {
    let PayloadArguments { message, file, stdin, lines: _ } = &arguments.payload;
    let what = if let Some(message) = message {
        What::Same(Bytes::from(message.clone()), arguments.repeat)
    } else if let Some(file) = file {
        What::Same(read(file)?, arguments.repeat)
    } else if *stdin {
        let mut whole = Vec::new();
        io::stdin().read_to_end(&mut whole).map_err(|error| format!("error: standard input: {error}"))?;
        What::Same(whole.into(), arguments.repeat)
    } else {
        What::Lines(lines())
    };
    Ok(Source { what, delay: arguments.delay, due: None })
}

fn read(file: &Path) -> Result<Bytes, String> {
    std::fs::read(file).map(Bytes::from).map_err(|error| format!("error: {}: {error}", file.display()))
}

/// The lines of standard input, each without its end. A thread reads them: reading cannot be awaited.
fn lines() -> mpsc::Receiver<io::Result<Bytes>> {
    let (lines, receiver) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                Bytes::from(line)
            });
            let ends = line.is_err();
            if lines.blocking_send(line).is_err() || ends {
                return;
            }
        }
    });
    receiver
}

/// What is to be published when.
struct Source {
    what: What,
    delay: Duration,
    /// When the next one may be published.
    due: Option<Instant>,
}

enum What {
    /// The same so many times.
    Same(Bytes, u64),
    Lines(mpsc::Receiver<io::Result<Bytes>>),
    Nothing,
}

impl Source {
    /// The next payload; `None` after the last. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
        let next = match &mut self.what {
            What::Same(payload, left) if *left > 0 => {
                *left -= 1;
                Some(Ok(payload.clone()))
            }
            What::Lines(lines) => lines.recv().await,
            What::Same(..) | What::Nothing => None,
        };
        if next.is_none() {
            self.what = What::Nothing;
        }
        self.due = (!self.delay.is_zero()).then(|| Instant::now() + self.delay);
        next
    }

    /// Whether there is certainly nothing more.
    fn is_empty(&self) -> bool {
        matches!(self.what, What::Same(_, 0) | What::Nothing)
    }
}

/// What is to be done, and how far it is.
struct Errand {
    template: Publish,
    source: Source,
    /// The messages that are not settled, by their lengths.
    on_way: BTreeMap<Token, usize>,
    json: bool,
    failed: bool,
}

/// A message that was published, or refused.
#[derive(Serialize)]
struct Published<'a> {
    time: f64,
    topic: &'a str,
    bytes: usize,
    qos: u8,
    retain: bool,
    reason: String,
}

impl Errand {
    async fn run(mut self, url: Url, dialer: Dialer, config: Config) -> Result<ExitCode, Trouble> {
        let mut driven = Driven::connect(config, url.clone(), dialer);
        let mut interrupted = std::pin::pin!(signalled());
        let (mut was_connected, mut is_connected) = (false, false);
        while !(was_connected && self.source.is_empty() && self.on_way.is_empty()) {
            let room = is_connected && self.on_way.len() < WINDOW && !driven.is_congested();
            tokio::select! {
                biased;
                _ = &mut interrupted => break,
                event = driven.next() => {
                    if let Some(trouble) = connect::trouble(&url, &driven, &event) {
                        is_connected = false;
                        self.lost(&mut driven, trouble, was_connected)?;
                    } else if matches!(event, Event::Connected { .. }) {
                        (was_connected, is_connected) = (true, true);
                    } else {
                        self.settled(&event);
                    }
                }
                payload = self.source.next(), if room && !self.source.is_empty() => match payload {
                    Some(Ok(payload)) => self.publish(&mut driven, payload),
                    Some(Err(error)) => {
                        complain(format_args!("error: standard input: {error}"));
                        self.failed = true;
                    }
                    None => {}
                }
            }
        }
        let all_settled = self.source.is_empty() && self.on_way.is_empty();
        let (client, now) = driven.ask();
        // It may be gone already.
        let _ = client.disconnect(now, Disconnect::new(Reason::Success));
        driven.finish().await;
        Ok(ExitCode::from(if self.failed || !all_settled { FAILED } else { 0 }))
    }

    /// The connection is lost. It is made again where that may help.
    fn lost(&self, driven: &mut Driven, trouble: Trouble, was_connected: bool) -> Result<(), Trouble> {
        if !was_connected || driven.ask().0.is_resting() {
            return Err(trouble);
        }
        complain(format_args!("{trouble}; connecting again"));
        Ok(())
    }

    fn publish(&mut self, driven: &mut Driven, payload: Bytes) {
        let length = payload.len();
        let (client, now) = driven.ask();
        match client.publish(now, Publish { payload, ..self.template.clone() }) {
            Ok(token) => {
                self.on_way.insert(token, length);
            }
            Err(refused) => self.fail(format_args!("not published: {refused}")),
        }
    }

    fn settled(&mut self, event: &Event) {
        match event {
            Event::Published(token, reason) => {
                let Some(length) = self.on_way.remove(token) else { return };
                if self.json {
                    self.print(length, *reason);
                }
                if reason.code() >= 0x80 {
                    self.fail(format_args!("the broker refuses the message: {reason}"));
                }
            }
            Event::Expired(token) => {
                self.on_way.remove(token);
                self.fail("not published: it expired before there was a connection");
            }
            Event::Lost(token) => {
                self.on_way.remove(token);
                self.fail("the session ended while the message was on its way: it may have arrived, or not");
            }
            _ => {}
        }
    }

    fn print(&self, bytes: usize, reason: Reason) {
        let Publish { topic, qos, retain, .. } = &self.template;
        let published = Published {
            time: unix_seconds(),
            topic,
            bytes,
            qos: qos.number(),
            retain: *retain,
            reason: reason.to_string(),
        };
        if let Ok(line) = serde_json::to_string(&published) {
            say(&format!("{line}\n"));
        }
    }

    fn fail(&mut self, what: impl std::fmt::Display) {
        complain(format_args!("error: {what}"));
        self.failed = true;
    }
}
