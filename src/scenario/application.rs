//! What an application does to its client.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Scalar, scalar_or_map, with_help};
use super::steps::{Names, PublishStep, SubscribeStep};
use super::units::{Expiry, Span};
use super::words::ReasonWord;

/// One thing that an application does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgramStep {
    /// Print a line: `{n}` (which repetition), `{topic}`, `{payload}`, `{reason}` (the number as it was sent),
    /// `{session_present}`.
    pub print: Option<String>,
    /// Wait.
    pub wait: Option<Span>,
    /// Connect, and wait until it is accepted or refused.
    pub connect: bool,
    /// Publish a message, and at QoS 1 and 2 wait until the broker has it.
    pub publish: Option<PublishStep>,
    /// Subscribe: filter and QoS or options; wait for the answer (not in `on`).
    pub subscribe: Option<SubscribeStep>,
    /// Unsubscribe from these filters; wait for the answer (not in `on`).
    pub unsubscribe: Option<Names>,
    /// Disconnect, saying why.
    pub disconnect: Option<DisconnectStep>,
    /// How often `do` is done.
    pub repeat: Option<u32>,
    /// With `repeat`: what is done.
    pub steps: Option<Vec<ProgramStep>>,
}

/// How an application disconnects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DisconnectStep {
    /// What it says why (5.0). Left out: a normal disconnection.
    pub reason: Option<ReasonWord>,
    /// A new session expiry (5.0).
    pub session_expiry: Option<Expiry>,
}

/// How an application connects: nothing to say yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConnectStep {}

/// One thing that an application does: the word `connect` or `disconnect`, or one of these.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ProgramStepFields")]
struct ProgramFields {
    /// Print a line: `{n}` (which repetition), `{topic}`, `{payload}`, `{reason}` (the number as it was sent),
    /// `{session_present}`.
    print: Option<String>,
    /// Wait.
    wait: Option<Span>,
    /// Connect, and wait until it is accepted or refused.
    connect: Option<ConnectStep>,
    /// Publish a message, and at QoS 1 and 2 wait until the broker has it.
    publish: Option<PublishStep>,
    /// Subscribe: filter and QoS or options; wait for the answer (not in `on`).
    subscribe: Option<SubscribeStep>,
    /// Unsubscribe from these filters; wait for the answer (not in `on`).
    unsubscribe: Option<Names>,
    /// Disconnect, saying why.
    disconnect: Option<DisconnectStep>,
    /// How often `do` is done.
    #[schemars(range(min = 1, max = 100000))]
    repeat: Option<u32>,
    /// With `repeat`: what is done.
    #[serde(rename = "do")]
    steps: Option<Vec<ProgramStep>>,
}

impl From<ProgramFields> for ProgramStep {
    fn from(fields: ProgramFields) -> ProgramStep {
        ProgramStep {
            print: fields.print,
            wait: fields.wait,
            connect: fields.connect.is_some(),
            publish: fields.publish,
            subscribe: fields.subscribe,
            unsubscribe: fields.unsubscribe,
            disconnect: fields.disconnect,
            repeat: fields.repeat,
            steps: fields.steps,
        }
    }
}

/// The steps that are one word.
#[derive(JsonSchema)]
#[schemars(rename = "ProgramWord", rename_all = "snake_case")]
#[allow(dead_code)] // For its schema.
enum ProgramWord {
    /// Connect, and wait until it is accepted or refused.
    Connect,
    /// Disconnect in good order.
    Disconnect,
}

impl Scalar for ProgramStep {
    const WHAT: &'static str = "a step such as `connect` or `wait: 2s`";

    fn from_text(text: &str) -> Result<ProgramStep, String> {
        match text {
            "connect" => Ok(ProgramStep { connect: true, ..ProgramStep::default() }),
            "disconnect" => Ok(ProgramStep { disconnect: Some(DisconnectStep::default()), ..ProgramStep::default() }),
            other => {
                let help = "the steps of one word are connect and disconnect; others have a value, as `wait: 2s`";
                Err(with_help(format!("`{other}` is not a step"), help))
            }
        }
    }
}

scalar_or_map!(ProgramStep, ProgramWord, ProgramFields);

/// What one step of a program does.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // The fields of `ProgramStep` say it.
pub enum Do<'a> {
    Print(&'a str),
    Wait(Span),
    Connect,
    Publish(&'a PublishStep),
    Subscribe(&'a SubscribeStep),
    Unsubscribe(&'a Names),
    Disconnect(&'a DisconnectStep),
    Repeat(u32, &'a [ProgramStep]),
}

impl ProgramStep {
    /// Every verb of the step with its word. A checked scenario has exactly one in each step.
    pub fn actions(&self) -> impl Iterator<Item = (&'static str, Do<'_>)> {
        let steps = self.steps.as_deref().unwrap_or_default();
        [
            ("print", self.print.as_deref().map(Do::Print)),
            ("wait", self.wait.map(Do::Wait)),
            ("connect", self.connect.then_some(Do::Connect)),
            ("publish", self.publish.as_ref().map(Do::Publish)),
            ("subscribe", self.subscribe.as_ref().map(Do::Subscribe)),
            ("unsubscribe", self.unsubscribe.as_ref().map(Do::Unsubscribe)),
            ("disconnect", self.disconnect.as_ref().map(Do::Disconnect)),
            ("repeat", self.repeat.map(|times| Do::Repeat(times, steps))),
        ]
        .into_iter()
        .filter_map(|(word, action)| Some((word, action?)))
    }

    /// What the step does; `None` only in a scenario that has not been checked.
    pub fn action(&self) -> Option<Do<'_>> {
        self.actions().next().map(|(_, action)| action)
    }
}
