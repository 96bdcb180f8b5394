//! A scenario's client: the client machine with the application that runs on it, itself a machine.
//!
//! The application has a program (threads that may wait), reacts to events (`on`), and does what the timeline asks of
//! it. All of it is deterministic: time and bytes in, packets and notes out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::program::{Op, Thread, Waiting, Which, compile};
use super::setup::{Deed, agenda, goodbye, message, subscriptions, text};
use super::{Client as Spec, Do, ProgramStep, Scenario, SubscribeOptions};
use crate::client::{self, Client, Event, Token};
use crate::codec::{Disconnect, Frame, Properties, Publish, Reason, Subscription, Version};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::time::Time;
use crate::trace::{Name, What};

/// What happens to an actor.
#[derive(Clone, Debug)]
pub enum Input {
    /// The connection it asked for is made.
    Dialed(LinkId),
    /// It cannot be made.
    DialFailed(LinkId, String),
    /// Bytes arrived.
    Received(LinkId, Bytes),
    /// The connection ended.
    Closed(LinkId, Cause),
    /// Time has passed.
    Timeout,
}

/// What an actor wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make a connection of this name.
    Dial(LinkId),
    /// Send this.
    Send(LinkId, Frame),
    /// Close the connection once what was to be sent is sent.
    Close(LinkId, Cause),
    /// Something for the trace.
    Note(What),
}

/// What never changes about an actor.
#[derive(Debug)]
struct Script {
    name: Name,
    spec: Spec,
    program: Vec<Op>,
    connack: Vec<Op>,
    publish: Vec<Op>,
    disconnect: Vec<Op>,
    agenda: Vec<(Time, Deed)>,
}

impl Script {
    fn ops(&self, which: Which) -> &[Op] {
        match which {
            Which::Program => &self.program,
            Which::Connack => &self.connack,
            Which::Publish => &self.publish,
            Which::Disconnect => &self.disconnect,
        }
    }
}

/// A scenario's client with its application.
#[derive(Debug)]
pub struct Actor {
    script: Arc<Script>,
    client: Client,
    /// When it connects of itself.
    starts: Option<Time>,
    threads: Vec<Thread<Token>>,
    next_deed: usize,
    link: Option<LinkId>,
    outputs: VecDeque<Output>,
}

impl Actor {
    /// The client called `name`, set up as `spec` says, whose process starts at `now`.
    pub fn new(scenario: &Scenario, name: &Name, spec: &Spec, seed: u64, now: Time) -> Actor {
        let program = spec.program.as_deref();
        let script = Script {
            name: name.clone(),
            program: compile(program.unwrap_or_default()),
            connack: compile(&spec.on.connack),
            publish: compile(&spec.on.publish),
            disconnect: compile(&spec.on.disconnect),
            agenda: agenda(scenario, name),
            spec: spec.clone(),
        };
        let starts = program.is_none().then_some(now.max(Time::after(spec.starts.0)));
        let mut first = Thread::new(Which::Program, BTreeMap::new());
        if program.is_some() && Time::after(spec.starts.0) > now {
            first.waiting = Waiting::Until(Time::after(spec.starts.0));
        }
        // What the timeline asks of a process that is dead is never done; at the very moment of its start it is.
        let next_deed = script.agenda.iter().take_while(|(at, _)| *at < now).count();
        Actor {
            client: Client::new(config(name, spec, seed)),
            script: Arc::new(script),
            starts,
            threads: vec![first],
            next_deed,
            link: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened at `now`; what was due before goes first.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.advance(now);
        let input = match input {
            Input::Dialed(link) => {
                self.link = Some(link);
                client::Input::Dialed(link)
            }
            Input::DialFailed(link, why) => client::Input::DialFailed(link, Cause::Unreachable(why)),
            Input::Received(link, bytes) => client::Input::Received(link, bytes),
            Input::Closed(link, cause) => {
                if self.link == Some(link) {
                    self.link = None;
                }
                client::Input::Closed(link, cause)
            }
            Input::Timeout => client::Input::Timeout,
        };
        self.client.handle(now, input);
        self.drain();
        self.advance(now);
    }

    /// The next thing to do, if any. To be drained after every [`Actor::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due; early or late is harmless.
    pub fn next_timeout(&self) -> Option<Time> {
        [self.client.next_timeout(), self.next_own()].into_iter().flatten().min()
    }

    /// When the application itself, other than its client, does something next.
    pub fn next_own(&self) -> Option<Time> {
        let threads = self.threads.iter().filter_map(|thread| match thread.waiting {
            Waiting::Until(until) => Some(until),
            _ => None,
        });
        let deed = self.script.agenda.get(self.next_deed).map(|(at, _)| *at);
        threads.chain(deed).chain(self.starts).min()
    }

    /// Whether a program waits for an answer that has not come.
    pub fn is_waiting(&self) -> bool {
        self.threads.iter().any(|thread| matches!(thread.waiting, Waiting::Connect | Waiting::Settled(_)))
    }

    /// The protocol version it speaks.
    pub fn version(&self) -> Version {
        self.script.spec.version.0
    }

    /// Does all that is due at `now`, until nothing is.
    fn advance(&mut self, now: Time) {
        if self.starts.is_some_and(|starts| starts <= now) {
            self.starts = None;
            self.connect(now);
        }
        let script = self.script.clone();
        while let Some((at, deed)) = script.agenda.get(self.next_deed)
            && *at <= now
        {
            self.next_deed += 1;
            self.act(now, deed);
        }
        let mut at = 0;
        while at < self.threads.len() {
            let thread = &mut self.threads[at];
            let ops = script.ops(thread.which);
            if let Some(step) = thread.step(now, ops) {
                self.step(now, at, step);
                // What was done may have woken a thread before this one.
                at = 0;
            } else {
                at += 1;
            }
        }
        self.threads.retain(|thread| thread.which == Which::Program || !thread.is_over(script.ops(thread.which)));
    }

    /// One step of a thread.
    fn step(&mut self, now: Time, thread: usize, step: &ProgramStep) {
        let Some(action) = step.action() else { return };
        let n = self.threads[thread].n();
        let waits = self.threads[thread].which == Which::Program;
        let mut settled = None;
        match action {
            Do::Print(line) => {
                let line = self.threads[thread].fill(line);
                self.note(What::Printed { client: self.script.name.clone(), line });
            }
            Do::Connect => {
                if waits {
                    self.threads[thread].waiting = Waiting::Connect;
                }
                self.connect(now);
            }
            Do::Publish(publish) => settled = self.publish(now, message(publish, n)),
            Do::Subscribe(filters) => settled = self.subscribe(now, filters.iter()),
            Do::Unsubscribe(filters) => settled = self.unsubscribe(now, &filters.0),
            Do::Disconnect(disconnect) => {
                let reason = disconnect.reason.map(|reason| reason.0);
                self.disconnect(now, goodbye(reason, disconnect.session_expiry.map(|expiry| expiry.0)));
            }
            Do::Wait(_) | Do::Repeat(..) => {}
        }
        if let Some(token) = settled
            && waits
        {
            self.threads[thread].waiting = Waiting::Settled(token);
        }
        // Only now: what the client answers at once finds the thread waiting for it.
        self.drain();
    }

    /// What the timeline asks for.
    fn act(&mut self, now: Time, deed: &Deed) {
        match deed {
            Deed::Publish(publish, count) => {
                for n in 1..=*count {
                    let _ = self.publish(now, message(publish, n));
                }
            }
            Deed::Subscribe(filters) => {
                let _ = self.subscribe(now, filters.iter().map(|(filter, options)| (filter.as_str(), options)));
            }
            Deed::Unsubscribe(filters) => {
                let _ = self.unsubscribe(now, filters);
            }
            Deed::Connect => self.connect(now),
            Deed::Disconnect(disconnect) => self.disconnect(now, disconnect.clone()),
            Deed::Send(bytes) => match self.link {
                Some(link) => {
                    let frame = Frame { head: bytes.clone(), payload: Bytes::new() };
                    self.outputs.push_back(Output::Send(link, frame));
                }
                None => self.misused("there is no connection to send bytes on"),
            },
        }
        self.drain();
    }

    fn connect(&mut self, now: Time) {
        self.client.handle(now, client::Input::Connect);
        self.drain();
    }

    fn publish(&mut self, now: Time, publish: Publish) -> Option<Token> {
        self.note(What::Said { client: self.script.name.clone(), publish: publish.clone() });
        let outcome = self.client.publish(now, publish);
        self.unless_refused(outcome)
    }

    fn subscribe<'a>(
        &mut self,
        now: Time,
        filters: impl Iterator<Item = (&'a str, &'a SubscribeOptions)>,
    ) -> Option<Token> {
        let mut last = None;
        for (list, properties) in subscriptions(filters) {
            let outcome = self.client.subscribe(now, list, properties);
            last = self.unless_refused(outcome);
        }
        last
    }

    fn unsubscribe(&mut self, now: Time, filters: &[String]) -> Option<Token> {
        let filters = filters.iter().map(|filter| text(filter)).collect();
        let outcome = self.client.unsubscribe(now, filters);
        self.unless_refused(outcome)
    }

    fn disconnect(&mut self, now: Time, disconnect: Disconnect) {
        if let Err(refused) = self.client.disconnect(now, disconnect) {
            self.misused(&refused.to_string());
        }
    }

    fn unless_refused(&mut self, outcome: Result<Token, client::Refused>) -> Option<Token> {
        match outcome {
            Ok(token) => Some(token),
            Err(refused) => {
                self.misused(&refused.to_string());
                None
            }
        }
    }

    fn misused(&mut self, why: &str) {
        self.note(What::Misused { client: self.script.name.clone(), why: why.to_owned() });
    }

    fn note(&mut self, what: What) {
        self.outputs.push_back(Output::Note(what));
    }

    /// Passes on what the client wants, and hears what it tells its owner.
    fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                client::Output::Dial(link) => self.outputs.push_back(Output::Dial(link)),
                client::Output::Send(link, frame) => self.outputs.push_back(Output::Send(link, frame)),
                client::Output::Close(link, cause) => {
                    if self.link == Some(link) {
                        self.link = None;
                    }
                    self.outputs.push_back(Output::Close(link, cause));
                }
                client::Output::Event(event) => self.hear(event),
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Connected { session_present, reason } => {
                self.connack(session_present, reason);
            }
            Event::Refused(reason) => self.connack(false, reason),
            Event::Disconnected(..) => {
                if self.script.spec.reconnect.is_none() {
                    self.wake(|waiting| waiting == Waiting::Connect);
                }
                self.react(Which::Disconnect, BTreeMap::new());
            }
            Event::Message { message, .. } => self.told(message),
            Event::Published(token, _)
            | Event::Expired(token)
            | Event::Lost(token)
            | Event::Subscribed(token, _)
            | Event::Unsubscribed(token, _) => self.wake(|waiting| waiting == Waiting::Settled(token)),
            Event::Redirected(..) | Event::Authenticated => {}
        }
    }

    fn connack(&mut self, session_present: bool, reason: Reason) {
        self.wake(|waiting| waiting == Waiting::Connect);
        let number = match self.version() {
            Version::V3_1_1 => reason.return_code().unwrap_or(reason.code()),
            Version::V5 => reason.code(),
        };
        let variables =
            BTreeMap::from([("reason", number.to_string()), ("session_present", session_present.to_string())]);
        self.react(Which::Connack, variables);
    }

    fn told(&mut self, message: Message) {
        let variables = BTreeMap::from([
            ("topic", message.topic.to_string()),
            ("payload", String::from_utf8_lossy(&message.payload).into_owned()),
        ]);
        self.note(What::Told { client: self.script.name.clone(), message });
        self.react(Which::Publish, variables);
    }

    fn react(&mut self, which: Which, variables: BTreeMap<&'static str, String>) {
        if !self.script.ops(which).is_empty() {
            self.threads.push(Thread::new(which, variables));
        }
    }

    fn wake(&mut self, which: impl Fn(Waiting<Token>) -> bool) {
        for thread in &mut self.threads {
            if which(thread.waiting) {
                thread.waiting = Waiting::No;
            }
        }
    }
}

/// What the client machine is made with.
fn config(name: &Name, spec: &Spec, seed: u64) -> client::Config {
    let mut properties = Properties::default();
    super::setup::push_user_properties(&mut properties, spec.user_properties.iter());
    let id = spec.client_id.as_deref().unwrap_or(name);
    let user = spec.user.clone().unwrap_or_default();
    let password = spec.password.clone().unwrap_or_default();
    let auth = spec.scram.then_some(client::Credentials { username: user, password });
    // What SCRAM proves is not sent as well.
    let sent = |field: &Option<String>| field.clone().filter(|_| !spec.scram);
    client::Config {
        version: spec.version.0,
        client_id: text(id),
        clean_start: spec.clean_start.unwrap_or(spec.session_expiry.is_none()),
        keep_alive: spec.keep_alive.map_or(60, |keep_alive| u16::try_from(keep_alive.0).unwrap_or(u16::MAX)),
        session_expiry: spec.session_expiry.map(|expiry| expiry.0),
        username: sent(&spec.user).as_deref().map(text),
        password: sent(&spec.password).map(Bytes::from),
        will: spec.will.as_ref().map(super::setup::will),
        reconnect: spec.reconnect.map(|wait| client::Backoff { first: wait.first.0, most: wait.most.0 }),
        subscriptions: lasting(spec),
        receive_maximum: spec.receive_maximum.unwrap_or(u16::MAX),
        maximum_packet_size: spec.maximum_packet_size,
        topic_alias_maximum: spec.topic_alias_maximum.unwrap_or(0),
        auth,
        seed,
        properties,
        ..client::Config::default()
    }
}

/// The subscriptions that the client makes at each new session, those with one subscription identifier side by side.
fn lasting(spec: &Spec) -> Vec<(Subscription, Properties)> {
    let lists = subscriptions(spec.subscribe.iter()).into_iter();
    lists.flat_map(|(list, properties)| list.into_iter().map(move |one| (one, properties.clone()))).collect()
}
