//! What the timeline does to everyone.

use schemars::JsonSchema;
use serde::Deserialize;

use super::pattern::Pattern;
use super::scalar::{Named, Scalar, scalar, scalar_or_map, suggestion, with_help};
use super::units::{Expiry, Seconds, Span, SpanRange};
use super::words::{Hex, QosWord, ReasonWord};

/// One or several names of clients, or `broker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl From<NoFields> for Names {
    fn from(_: NoFields) -> Names {
        Names(Vec::new())
    }
}

impl Scalar for Names {
    const WHAT: &'static str = "a name or a list of names";

    fn from_text(text: &str) -> Result<Names, String> {
        Ok(Names(vec![text.to_owned()]))
    }

    fn from_integer(number: i128) -> Result<Names, String> {
        Ok(Names(vec![number.to_string()]))
    }

    fn from_list(texts: Vec<String>) -> Result<Names, String> {
        Ok(Names(texts))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        deserializer.deserialize_any(super::scalar::ScalarOrMap::<Names, NoFields>(std::marker::PhantomData))
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One or several names of clients, or `broker`.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        })
    }
}

/// Which way a `cut` goes, seen from whom it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the named client sends is lost; for `broker`, what the broker sends.
    Up,
    /// What the named client would receive is lost; for `broker`, what the broker would receive.
    Down,
}

impl Scalar for Way {
    const WHAT: &'static str = "a way, up or down";

    fn from_text(text: &str) -> Result<Way, String> {
        match text {
            "up" => Ok(Way::Up),
            "down" => Ok(Way::Down),
            _ => Err(with_help(format!("there is no way `{text}`"), suggestion(text, ["up", "down"]))),
        }
    }
}

scalar!(Way, { "description": "Which way: up is from the client to the broker.", "enum": ["up", "down"] });

/// A step of the timeline: `at` a moment and one thing to do, or `by` a moment and what is expected until then.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// When it is done, since the run began.
    pub at: Option<Span>,
    /// Until when what is expected must have happened, since the run began.
    pub by: Option<Span>,
    /// The path to the named forgets its connections: what is sent is lost, nobody is told, and dials fail until `heal`.
    pub cut: Option<Names>,
    /// With `cut`: only this way.
    pub way: Option<Way>,
    /// Ends a `cut`: new connections work.
    pub heal: Option<Names>,
    /// An outage that TCP survives: nothing arrives until `release`, then everything does, late and in order.
    pub hold: Option<Names>,
    /// Ends a `hold`.
    pub release: Option<Names>,
    /// Both ends of the connection see a reset.
    pub reset: Option<Names>,
    /// The end at the named is closed in good order, from outside its program.
    pub close: Option<Names>,
    /// The process dies: its peers see the end of the stream; its disk survives.
    pub kill: Option<Names>,
    /// The whole host dies: its peers see nothing until it is back; what was not yet synced may be lost.
    pub power_off: Option<Names>,
    /// Starts what `kill` or `power_off` stopped.
    pub start: Option<Names>,
    /// From now on bytes are on their way for this long.
    pub latency: Option<SpanRange>,
    /// From now on at most this many bytes arrive in one piece.
    #[schemars(range(min = 1, max = 65535))]
    pub chunk: Option<u32>,
    /// A client publishes a message.
    pub publish: Option<TimelinePublish>,
    /// A client subscribes.
    pub subscribe: Option<TimelineSubscribe>,
    /// A client unsubscribes.
    pub unsubscribe: Option<TimelineUnsubscribe>,
    /// Clients connect.
    pub connect: Option<Names>,
    /// Clients disconnect: a name, a list, or {client, reason, session_expiry}.
    pub disconnect: Option<TimelineDisconnect>,
    /// Raw bytes are sent on a client's connection, as if its program had gone mad.
    pub send: Option<SendStep>,
    /// With `by`: what must have happened, in this order for each client.
    pub expect: Option<Vec<Pattern>>,
}

/// What one step of the timeline does.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // The fields of `Step` say it.
pub enum Action<'a> {
    Cut { names: &'a Names, way: Option<Way> },
    Heal(&'a Names),
    Hold(&'a Names),
    Release(&'a Names),
    Reset(&'a Names),
    Close(&'a Names),
    Kill(&'a Names),
    PowerOff(&'a Names),
    Start(&'a Names),
    Latency(SpanRange),
    Chunk(u32),
    Publish(&'a TimelinePublish),
    Subscribe(&'a TimelineSubscribe),
    Unsubscribe(&'a TimelineUnsubscribe),
    Connect(&'a Names),
    Disconnect(&'a TimelineDisconnect),
    Send(&'a SendStep),
    Expect(&'a [Pattern]),
}

impl Step {
    /// Every verb of the step with its word. A checked scenario has exactly one in each step.
    pub fn actions(&self) -> impl Iterator<Item = (&'static str, Action<'_>)> {
        let way = self.way;
        [
            ("cut", self.cut.as_ref().map(|names| Action::Cut { names, way })),
            ("heal", self.heal.as_ref().map(Action::Heal)),
            ("hold", self.hold.as_ref().map(Action::Hold)),
            ("release", self.release.as_ref().map(Action::Release)),
            ("reset", self.reset.as_ref().map(Action::Reset)),
            ("close", self.close.as_ref().map(Action::Close)),
            ("kill", self.kill.as_ref().map(Action::Kill)),
            ("power_off", self.power_off.as_ref().map(Action::PowerOff)),
            ("start", self.start.as_ref().map(Action::Start)),
            ("latency", self.latency.map(Action::Latency)),
            ("chunk", self.chunk.map(Action::Chunk)),
            ("publish", self.publish.as_ref().map(Action::Publish)),
            ("subscribe", self.subscribe.as_ref().map(Action::Subscribe)),
            ("unsubscribe", self.unsubscribe.as_ref().map(Action::Unsubscribe)),
            ("connect", self.connect.as_ref().map(Action::Connect)),
            ("disconnect", self.disconnect.as_ref().map(Action::Disconnect)),
            ("send", self.send.as_ref().map(Action::Send)),
            ("expect", self.expect.as_deref().map(Action::Expect)),
        ]
        .into_iter()
        .filter_map(|(word, action)| Some((word, action?)))
    }

    /// What the step does; `None` only in a scenario that has not been checked.
    pub fn action(&self) -> Option<Action<'_>> {
        self.actions().next().map(|(_, action)| action)
    }

    /// The moment it is about, whether `at` or `by`.
    pub fn time(&self) -> Span {
        self.at.or(self.by).unwrap_or_default()
    }
}

/// Defines the steps that publish: what they say of the message is the same.
macro_rules! publishing {
    ($($(#[$about:meta])* $field:ident: $type:ty,)*) => {
        /// A message to publish.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct PublishStep {
            $($(#[$about])* pub $field: $type,)*
        }

        /// A message to publish, and who publishes it. The same fields as in a program's `publish`, and `from`.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct TimelinePublish {
            /// The client that publishes it.
            pub from: String,
            /// How many times; the payload may hold `{n}`.
            #[schemars(range(min = 1, max = 100000))]
            pub count: Option<u32>,
            $($(#[$about])* pub $field: $type,)*
        }

        impl TimelinePublish {
            /// The message without who publishes it.
            pub fn message(&self) -> PublishStep {
                PublishStep { $($field: self.$field.clone(),)* }
            }
        }
    };
}

publishing! {
    /// The topic.
    topic: String,
    /// The payload as text; it may hold `{n}`, which time it is.
    payload: Option<String>,
    /// The payload in hex, instead of `payload`.
    hex: Option<Hex>,
    /// A payload of this many bytes, instead of `payload`.
    #[schemars(range(max = 16777216))]
    size: Option<u32>,
    /// The QoS.
    qos: QosWord,
    /// Whether the broker keeps it for later subscribers.
    retain: bool,
    /// Whether the payload is text (1) or anything (0) (5.0).
    #[schemars(range(max = 1))]
    payload_format_indicator: Option<u8>,
    /// How long it may wait for its subscribers (5.0).
    message_expiry_interval: Option<Seconds>,
    /// What kind of content it is (5.0).
    content_type: Option<String>,
    /// Where an answer is expected (5.0).
    response_topic: Option<String>,
    /// What tells answers apart (5.0).
    correlation_data: Option<String>,
    /// The alias to use for the topic (5.0).
    #[schemars(range(min = 1))]
    topic_alias: Option<u16>,
    /// User properties (5.0).
    user_properties: Named<String>,
}

/// How a filter is subscribed to: a QoS alone, or with the options of 5.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The highest QoS at which messages may be sent.
    pub qos: QosWord,
    /// Do not send back what this client published (5.0).
    pub no_local: bool,
    /// Keep the RETAIN flag as published (5.0).
    pub retain_as_published: bool,
    /// When retained messages are sent: 0 always, 1 if the subscription is new, 2 never (5.0).
    pub retain_handling: u8,
    /// The subscription identifier (5.0).
    pub subscription_identifier: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[schemars(rename = "SubscriptionOptions")]
struct OptionFields {
    /// The highest QoS at which messages may be sent.
    qos: QosWord,
    /// Do not send back what this client published (5.0).
    no_local: bool,
    /// Keep the RETAIN flag as published (5.0).
    retain_as_published: bool,
    /// When retained messages are sent: 0 always, 1 if the subscription is new, 2 never (5.0).
    #[schemars(range(max = 2))]
    retain_handling: u8,
    /// The subscription identifier (5.0).
    #[schemars(range(min = 1, max = 268435455))]
    subscription_identifier: Option<u32>,
}

impl From<OptionFields> for SubscribeOptions {
    fn from(fields: OptionFields) -> SubscribeOptions {
        SubscribeOptions {
            qos: fields.qos,
            no_local: fields.no_local,
            retain_as_published: fields.retain_as_published,
            retain_handling: fields.retain_handling,
            subscription_identifier: fields.subscription_identifier,
        }
    }
}

impl Scalar for SubscribeOptions {
    const WHAT: &'static str = "a QoS, or options such as {qos: 1, no_local: true}";

    fn from_text(text: &str) -> Result<SubscribeOptions, String> {
        QosWord::from_text(text).map(|qos| SubscribeOptions { qos, ..SubscribeOptions::default() })
    }

    fn from_integer(number: i128) -> Result<SubscribeOptions, String> {
        QosWord::from_integer(number).map(|qos| SubscribeOptions { qos, ..SubscribeOptions::default() })
    }
}

scalar_or_map!(SubscribeOptions, QosWord, OptionFields);

/// A client subscribes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimelineSubscribe {
    /// Which client.
    pub client: String,
    /// What to: filter and QoS or options.
    pub filters: Named<SubscribeOptions>,
}

/// What a program subscribes to: filter and QoS or options.
pub type SubscribeStep = Named<SubscribeOptions>;

/// A client unsubscribes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimelineUnsubscribe {
    /// Which client.
    pub client: String,
    /// What from: one filter or several.
    pub filters: Names,
}

/// Clients disconnect.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineDisconnect {
    /// Which clients.
    pub clients: Names,
    /// What they say why (5.0). Left out: a normal disconnection.
    pub reason: Option<ReasonWord>,
    /// A new session expiry (5.0).
    pub session_expiry: Option<Expiry>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DisconnectWith")]
struct DisconnectFields {
    /// Which clients.
    client: Names,
    /// What they say why (5.0). Left out: a normal disconnection.
    #[serde(default)]
    reason: Option<ReasonWord>,
    /// A new session expiry (5.0).
    #[serde(default)]
    session_expiry: Option<Expiry>,
}

impl From<DisconnectFields> for TimelineDisconnect {
    fn from(fields: DisconnectFields) -> TimelineDisconnect {
        let DisconnectFields { client, reason, session_expiry } = fields;
        TimelineDisconnect { clients: client, reason, session_expiry }
    }
}

impl Scalar for TimelineDisconnect {
    const WHAT: &'static str = "a name, a list of names, or {client: name, reason: 0x04}";

    fn from_text(text: &str) -> Result<TimelineDisconnect, String> {
        TimelineDisconnect::from_list(vec![text.to_owned()])
    }

    fn from_integer(number: i128) -> Result<TimelineDisconnect, String> {
        TimelineDisconnect::from_list(vec![number.to_string()])
    }

    fn from_list(texts: Vec<String>) -> Result<TimelineDisconnect, String> {
        Ok(TimelineDisconnect { clients: Names(texts), reason: None, session_expiry: None })
    }
}

scalar_or_map!(TimelineDisconnect, Names, DisconnectFields);

/// Raw bytes on a client's connection.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendStep {
    /// The client on whose connection they are sent.
    pub from: String,
    /// The bytes.
    pub hex: Hex,
}
