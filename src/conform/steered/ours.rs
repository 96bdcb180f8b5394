//! Our own client, steered in this process as an adapter steers a foreign one.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Steered;
use super::protocol::{
    Answer, Command, ConnectOrder, DisconnectOrder, Event, FilterOrder, MessageEvent, MessageProperties, Order,
    PROTOCOL, PublishOrder, Ready, Said, SubscribeOrder, WillOrder,
};
use crate::client::{self, Client, Config, Input, Output, Token};
use crate::codec::{
    Disconnect, Properties, Property, Publish, Qos, Reason, RetainHandling, Subscription, SubscriptionOptions, Text,
    Value, Version, Will,
};
use crate::conform::relay::AnyStream;
use crate::conform::target::Dialling;
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::scram;
use crate::time::Time;

/// Makes a connection to the suite.
pub type Dial = Rc<dyn Fn(&ConnectOrder) -> Dialling>;

/// Our client, which dials with `dial`. Runs as a task of the local set that this is called in.
pub fn ours(dial: Dial) -> Steered {
    let (ready, orders, said) = pilot(dial);
    Steered::new(ready, orders, said)
}

/// The same, by its channels.
pub(super) fn pilot(dial: Dial) -> (Ready, mpsc::UnboundedSender<Command>, mpsc::UnboundedReceiver<Said>) {
    let (orders, commands) = mpsc::unbounded_channel();
    let (say, said) = mpsc::unbounded_channel();
    let pilot = Pilot {
        dial,
        say,
        client: None,
        target: ConnectOrder::default(),
        line: None,
        ids: BTreeMap::new(),
        start: now(),
    };
    tokio::task::spawn_local(pilot.run(commands));
    let ready = Ready {
        protocol: PROTOCOL,
        client: format!("simrun {}", env!("CARGO_PKG_VERSION")),
        versions: vec!["3.1.1".to_owned(), "5".to_owned()],
        lacks: vec!["ping".to_owned()],
    };
    (ready, orders, said)
}

/// Steers one client.
struct Pilot {
    dial: Dial,
    say: mpsc::UnboundedSender<Said>,
    client: Option<Client>,
    target: ConnectOrder,
    line: Option<(LinkId, AnyStream)>,
    /// The order that each of the client's tokens belongs to.
    ids: BTreeMap<Token, u64>,
    start: Instant,
}

/// What woke it up.
enum Happened {
    Order(Option<Command>),
    Read(LinkId, std::io::Result<Bytes>),
    Time,
}

impl Pilot {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            match self.happened(&mut commands).await {
                Happened::Order(None) => return,
                Happened::Order(Some(command)) => {
                    let id = command.id;
                    let answer = self.obey(command).unwrap_or_else(|refused| refused);
                    self.tell(Said::Answer(id, answer));
                }
                Happened::Read(link, Ok(bytes)) if bytes.is_empty() => self.ended(link, Cause::End),
                Happened::Read(link, Ok(bytes)) => self.handle(Input::Received(link, bytes)),
                Happened::Read(link, Err(_)) => self.ended(link, Cause::Reset),
                Happened::Time => self.handle(Input::Timeout),
            }
            self.settle().await;
        }
    }

    async fn happened(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Happened {
        let due = self.client.as_ref().and_then(Client::next_timeout).map(|due| self.start + due.since_start());
        let read = async {
            match &mut self.line {
                None => std::future::pending().await,
                Some((link, stream)) => {
                    let mut buffer = BytesMut::with_capacity(16 * 1024);
                    let read = stream.read_buf(&mut buffer).await;
                    Happened::Read(*link, read.map(|_| buffer.freeze()))
                }
            }
        };
        let time = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            command = commands.recv() => Happened::Order(command),
            read = read => read,
            () = time => Happened::Time,
        }
    }

    fn now(&self) -> Time {
        Time::after(self.start.elapsed())
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        if let Some(client) = &mut self.client {
            client.handle(now, input);
        }
    }

    fn ended(&mut self, link: LinkId, cause: Cause) {
        self.line = None;
        self.handle(Input::Closed(link, cause));
    }

    fn tell(&self, said: Said) {
        // The suite has what it wanted and is gone.
        let _ = self.say.send(said);
    }

    /// Does what the client wants done.
    async fn settle(&mut self) {
        while let Some(output) = self.client.as_mut().and_then(Client::poll) {
            match output {
                Output::Dial(link) => match (self.dial)(&self.target).await {
                    Ok(stream) => {
                        self.line = Some((link, stream));
                        self.handle(Input::Dialed(link));
                    }
                    Err(error) => self.handle(Input::DialFailed(link, Cause::Unreachable(error.to_string()))),
                },
                Output::Send(link, frame) => {
                    if let Some((standing, stream)) = &mut self.line
                        && *standing == link
                        && stream.write_all(&frame.to_bytes()).await.is_err()
                    {
                        self.ended(link, Cause::Reset);
                    }
                }
                Output::Close(..) => {
                    if let Some((_, mut stream)) = self.line.take() {
                        let _ = stream.shutdown().await;
                    }
                }
                Output::Event(event) => self.happened_to_client(event),
            }
        }
    }

    fn happened_to_client(&mut self, event: client::Event) {
        let of = |ids: &BTreeMap<Token, u64>, token: &Token| ids.get(token).copied();
        let codes = |reasons: Vec<Reason>| reasons.into_iter().map(Reason::code).collect();
        let event = match event {
            client::Event::Connected { session_present, reason } => {
                Event::Connected { session_present, reason: reason.code() }
            }
            client::Event::Refused(reason) => Event::Refused { reason: reason.code() },
            client::Event::Disconnected(_, reason) => Event::Disconnected { reason: reason.map(Reason::code) },
            client::Event::Message { message, .. } => Event::Message(Box::new(told(&message))),
            client::Event::Published(token, reason) => {
                Event::Published { of: of(&self.ids, &token), reason: reason.code() }
            }
            client::Event::Subscribed(token, reasons) => {
                Event::Subscribed { of: of(&self.ids, &token), reasons: codes(reasons) }
            }
            client::Event::Unsubscribed(token, reasons) => {
                Event::Unsubscribed { of: of(&self.ids, &token), reasons: codes(reasons) }
            }
            client::Event::Expired(_) => Event::Error { what: "a message expired before it was sent".to_owned() },
            client::Event::Lost(_) => Event::Error { what: "a message was lost with its session".to_owned() },
            client::Event::Redirected(..) | client::Event::Authenticated => return,
        };
        self.tell(Said::Event(event));
    }

    fn obey(&mut self, command: Command) -> Result<Answer, Answer> {
        let now = self.now();
        if let Order::Connect(order) = command.order {
            let config = config(&order)?;
            config.check().map_err(refused)?;
            self.target = *order;
            self.line = None;
            self.client = Some(Client::new(config));
            self.handle(Input::Connect);
            return Ok(Answer::Ok);
        }
        let Some(client) = &mut self.client else { return Err(Answer::Refused("not connected".to_owned())) };
        let token = match command.order {
            Order::Connect(_) => return Ok(Answer::Ok),
            Order::Reconnect { clean_start } => {
                if clean_start == Some(true) {
                    client.forget_session(now);
                }
                self.handle(Input::Connect);
                return Ok(Answer::Ok);
            }
            Order::Publish(order) => client.publish(now, publish(&order)?).map_err(refused)?,
            Order::Subscribe(order) => {
                let (subscriptions, properties) = subscribe(&order)?;
                client.subscribe(now, subscriptions, properties).map_err(refused)?
            }
            Order::Unsubscribe { filters, .. } => {
                let filters = filters.iter().map(|filter| text(filter)).collect::<Result<_, _>>()?;
                client.unsubscribe(now, filters).map_err(refused)?
            }
            Order::Disconnect(order) => {
                client.disconnect(now, disconnect(&order)?).map_err(refused)?;
                return Ok(Answer::Ok);
            }
            Order::Ping => return Err(Answer::Unsupported("ping".to_owned())),
            Order::Reauthenticate { .. } => {
                client.authenticate_again(now).map_err(refused)?;
                return Ok(Answer::Ok);
            }
        };
        self.ids.insert(token, command.id);
        Ok(Answer::Ok)
    }
}

fn refused(why: impl std::fmt::Display) -> Answer {
    Answer::Refused(why.to_string())
}

fn text(string: &str) -> Result<Text, Answer> {
    Text::try_from(string.to_owned()).map_err(refused)
}

fn qos(number: u8) -> Result<Qos, Answer> {
    Qos::from_number(number).ok_or_else(|| Answer::Refused(format!("there is no QoS {number}")))
}

fn config(order: &ConnectOrder) -> Result<Config, Answer> {
    let version = if order.version == "5" { Version::V5 } else { Version::V3_1_1 };
    let mut properties = Properties::new();
    if let Some(wanted) = order.request_response_information {
        properties.push(Property::RequestResponseInformation, wanted);
    }
    if let Some(wanted) = order.request_problem_information {
        properties.push(Property::RequestProblemInformation, wanted);
    }
    push_users(&mut properties, &order.user_properties)?;
    let auth = match (&order.authentication_method, &order.username, &order.password) {
        (None, ..) => None,
        (Some(method), Some(username), Some(password)) if method == scram::METHOD => {
            Some(client::Credentials { username: username.clone(), password: password.clone() })
        }
        (Some(_), ..) => return Err(Answer::Unsupported("authentication_method".to_owned())),
    };
    let plain = auth.is_none();
    let default = Config::default();
    Ok(Config {
        version,
        client_id: text(&order.client_id)?,
        clean_start: order.clean_start.unwrap_or(true),
        // Each case has a client identifier of its own.
        session_expected: false,
        keep_alive: order.keep_alive.unwrap_or(default.keep_alive),
        session_expiry: order.session_expiry,
        username: order.username.as_deref().filter(|_| plain).map(text).transpose()?,
        password: order.password.clone().filter(|_| plain).map(|password| password.into_bytes().into()),
        will: order.will.as_ref().map(will).transpose()?,
        receive_maximum: order.receive_maximum.unwrap_or(default.receive_maximum),
        maximum_packet_size: order.maximum_packet_size,
        topic_alias_maximum: order.topic_alias_maximum.unwrap_or(default.topic_alias_maximum),
        auth,
        properties,
        ..default
    })
}

fn will(order: &WillOrder) -> Result<Will, Answer> {
    let mut properties = Properties::new();
    if let Some(delay) = order.delay {
        properties.push(Property::WillDelayInterval, Value::Four(delay));
    }
    push_message(
        &mut properties,
        [&order.content_type, &order.response_topic, &order.correlation_data],
        order.message_expiry,
        order.payload_is_text,
    )?;
    push_users(&mut properties, &order.user_properties)?;
    let payload = order.payload.clone().into_bytes().into();
    Ok(Will { qos: qos(order.qos)?, retain: order.retain, topic: text(&order.topic)?, payload, properties })
}

fn publish(order: &PublishOrder) -> Result<Publish, Answer> {
    let mut properties = Properties::new();
    if let Some(alias) = order.topic_alias {
        properties.push(Property::TopicAlias, Value::Two(alias));
    }
    push_message(
        &mut properties,
        [&order.content_type, &order.response_topic, &order.correlation_data],
        order.message_expiry,
        order.payload_is_text,
    )?;
    push_users(&mut properties, &order.user_properties)?;
    let payload: Bytes = match (&order.payload, &order.payload_hex, order.payload_size) {
        (Some(text), ..) => text.clone().into_bytes().into(),
        (_, Some(hex), _) => unhex(hex)?.into(),
        (_, _, Some(size)) => vec![b'x'; size].into(),
        _ => Bytes::new(),
    };
    Ok(Publish {
        qos: qos(order.qos)?,
        retain: order.retain,
        topic: text(&order.topic)?,
        properties,
        payload,
        ..Publish::default()
    })
}

/// Content type, response topic and correlation data, and the rest of what describes a message.
fn push_message(
    properties: &mut Properties,
    [content_type, response_topic, correlation_data]: [&Option<String>; 3],
    expiry: Option<u32>,
    is_text: Option<bool>,
) -> Result<(), Answer> {
    if let Some(seconds) = expiry {
        properties.push(Property::MessageExpiryInterval, Value::Four(seconds));
    }
    if let Some(is_text) = is_text {
        properties.push(Property::PayloadFormatIndicator, is_text);
    }
    if let Some(content_type) = content_type {
        properties.push(Property::ContentType, Value::Text(text(content_type)?));
    }
    if let Some(topic) = response_topic {
        properties.push(Property::ResponseTopic, Value::Text(text(topic)?));
    }
    if let Some(data) = correlation_data {
        properties.push(Property::CorrelationData, Value::Binary(unhex(data)?.into()));
    }
    Ok(())
}

fn push_users(properties: &mut Properties, users: &[(String, String)]) -> Result<(), Answer> {
    for (name, value) in users {
        properties.push(Property::UserProperty, Value::Pair(text(name)?, text(value)?));
    }
    Ok(())
}

fn subscribe(order: &SubscribeOrder) -> Result<(Vec<Subscription>, Properties), Answer> {
    let mut properties = Properties::new();
    if let Some(identifier) = order.subscription_identifier {
        properties.push(Property::SubscriptionIdentifier, Value::Variable(identifier));
    }
    push_users(&mut properties, &order.user_properties)?;
    let subscriptions = order.filters.iter().map(subscription).collect::<Result<_, _>>()?;
    Ok((subscriptions, properties))
}

fn subscription(order: &FilterOrder) -> Result<Subscription, Answer> {
    let number = order.retain_handling.unwrap_or_default();
    let retain_handling = RetainHandling::from_number(number)
        .ok_or_else(|| Answer::Refused(format!("there is no retain handling {number}")))?;
    let options = SubscriptionOptions {
        qos: qos(order.qos)?,
        no_local: order.no_local.unwrap_or_default(),
        retain_as_published: order.retain_as_published.unwrap_or_default(),
        retain_handling,
    };
    Ok(Subscription { filter: text(&order.filter)?, options })
}

fn disconnect(order: &DisconnectOrder) -> Result<Disconnect, Answer> {
    let code = order.reason.unwrap_or_default();
    let reason = Reason::from_code(code).ok_or_else(|| Answer::Refused(format!("there is no reason code {code}")))?;
    let mut properties = Properties::new();
    if let Some(seconds) = order.session_expiry {
        properties.push(Property::SessionExpiryInterval, Value::Four(seconds));
    }
    if let Some(string) = &order.reason_string {
        properties.push(Property::ReasonString, Value::Text(text(string)?));
    }
    push_users(&mut properties, &order.user_properties)?;
    Ok(Disconnect { reason, properties })
}

fn told(message: &Message) -> MessageEvent {
    let properties = &message.properties;
    let owned = |text: Option<Text>| text.map(|text| text.to_string());
    MessageEvent {
        topic: message.topic.to_string(),
        payload_hex: hex(&message.payload),
        qos: message.qos.number(),
        retain: message.retain,
        dup: false,
        properties: MessageProperties {
            message_expiry: properties.message_expiry_interval(),
            content_type: owned(properties.content_type()),
            response_topic: owned(properties.response_topic()),
            correlation_data: properties.correlation_data().map(|data| hex(&data)),
            payload_is_text: properties.payload_format_indicator().map(|indicator| indicator == 1),
            user_properties: properties
                .user_properties()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            subscription_identifiers: properties.subscription_identifiers().collect(),
        },
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Result<Vec<u8>, Answer> {
    let wrong = || Answer::Refused(format!("{digits:?} is not hexadecimal"));
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err(wrong());
    }
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong());
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[allow(clippy::disallowed_methods)] // tokio's clock, which is paused where time is simulated.
fn now() -> Instant {
    Instant::now()
}
