//! The client as a state machine: what its owner asks, bytes and time in; packets and events out. It does no I/O and
//! reads no clock. Connecting again, resuming the session and subscribing anew happen inside.
//!
//! | file | what |
//! |---|---|
//! | `config` | what is asked for, and how to behave |
//! | `refused` | what an owner may not ask |
//! | `link` | one connection: its bytes, its keep alive, its end |
//! | `connect` | CONNECT and its answer |
//! | `auth` | enhanced authentication |
//! | `reconnect` | waiting before the next attempt |
//! | `session` | what outlives a connection |
//! | `publish` | the owner's messages on their way out |
//! | `deliver` | the server's messages, and the acknowledgements of both directions |
//! | `request` | SUBSCRIBE and UNSUBSCRIBE |
//! | `alias` | topic aliases |

mod alias;
mod auth;
mod config;
mod connect;
mod deliver;
mod link;
mod publish;
mod reconnect;
mod refused;
mod request;
mod session;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::chance::Chance;
use crate::codec::{Frame, Reason, Text, Version};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::time::Time;
use crate::timers::Timers;

pub use config::{Backoff, Config, Credentials};
use link::{Link, Phase};
use publish::Outgoing;
pub use refused::Refused;
use request::{Request, Wanted};
use session::Session;

/// What happens to a client, other than what its owner asks.
#[derive(Clone, Debug)]
pub enum Input {
    /// The owner wants a connection. Nothing happens if there is one or one is being made; a wait is cut short.
    Connect,
    /// The connection that [`Output::Dial`] asked for was made.
    Dialed(LinkId),
    /// It could not be made.
    DialFailed(LinkId, Cause),
    /// Bytes arrived.
    Received(LinkId, Bytes),
    /// The connection ended.
    Closed(LinkId, Cause),
    /// Time has passed.
    Timeout,
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make a connection. The number counts this client's attempts from 0; the host translates it if it has numbers of
    /// its own.
    Dial(LinkId),
    /// Send this packet.
    Send(LinkId, Frame),
    /// Close the connection once what was to be sent is sent, or give up making it. Nothing more is heard of it; no
    /// [`Input::Closed`] is owed.
    Close(LinkId, Cause),
    /// Tell the owner.
    Event(Event),
}

/// Names one thing that the owner asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What the owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server accepted the connection.
    Connected {
        /// Whether it resumes the session.
        session_present: bool,
        /// The reason code of CONNACK.
        reason: Reason,
    },
    /// The server refused the connection.
    Refused(Reason),
    /// The server names another one to use (Server Reference). What becomes of the connection is told next.
    Redirected(Reason, Text),
    /// A connection ended or could not be made; with the reason code of the server's DISCONNECT if it sent one.
    Disconnected(Cause, Option<Reason>),
    /// Authentication was repeated with success.
    Authenticated,
    /// A message came. Its subscription identifiers are among its properties.
    Message {
        /// The message.
        message: Message,
        /// Its PUBLISH had the DUP flag (section 3.3.1.1). That says nothing of whether the owner was told of it before.
        dup: bool,
    },
    /// A message of the owner was sent (QoS 0), acknowledged (1) or completed (2), or it was refused: see the reason.
    Published(Token, Reason),
    /// A message of the owner was not sent before its Message Expiry Interval was over.
    Expired(Token),
    /// The session ended while a QoS 2 message was under way. Whether it was delivered is not known, and sending it
    /// again might deliver it twice.
    Lost(Token),
    /// The answer to a SUBSCRIBE, one reason for each filter.
    Subscribed(Token, Vec<Reason>),
    /// The answer to an UNSUBSCRIBE, one reason for each filter; none in 3.1.1.
    Unsubscribed(Token, Vec<Reason>),
}

/// The client's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Connection and CONNACK take too long.
    Connect,
    /// The wait before the next attempt is over.
    Reconnect,
    /// PINGRESP takes too long.
    Pong,
    /// Perhaps nothing was sent or heard for too long.
    Ping,
}

/// Whether there is a connection.
#[derive(Debug)]
enum State {
    /// None, and none will be made unasked.
    Resting,
    /// None before the next attempt.
    Waiting,
    /// One that is being made, or stands.
    Linked(Box<Link>),
}

/// A client. See the module for its parts.
#[derive(Debug)]
pub struct Client {
    config: Config,
    /// The client identifier, once the server has assigned one.
    client_id: Text,
    now: Time,
    state: State,
    /// Connections asked for so far.
    dialed: u64,
    /// Attempts since a connection last stood for long.
    attempts: u32,
    session: Session,
    /// Messages that wait to be sent for the first time.
    queue: VecDeque<Outgoing>,
    /// SUBSCRIBE and UNSUBSCRIBE that wait to be sent.
    requests: VecDeque<Request>,
    /// What is to be subscribed to in a new session.
    wanted: Vec<Wanted>,
    timers: Timers<Timer>,
    jitter: Chance,
    nonces: Chance,
    tokens: u64,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A client that rests until [`Input::Connect`].
    pub fn new(config: Config) -> Client {
        Client {
            client_id: config.client_id.clone(),
            now: Time::ZERO,
            state: State::Resting,
            dialed: 0,
            attempts: 0,
            session: Session::new(),
            queue: VecDeque::new(),
            requests: VecDeque::new(),
            wanted: config.subscriptions.iter().cloned().map(Wanted::from).collect(),
            timers: Timers::new(),
            jitter: Chance::new(config.seed, &config.client_id, "jitter"),
            nonces: Chance::new(config.seed, &config.client_id, "nonce"),
            tokens: 0,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Takes in what happened at `now`. Timers that were due before go first. Never fails: a fault of the server becomes
    /// an output.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.catch_up(now);
        match input {
            Input::Connect => self.dial(),
            Input::Dialed(id) => self.dialed(id),
            Input::DialFailed(id, cause) | Input::Closed(id, cause) => self.closed(id, cause),
            Input::Received(id, bytes) => self.received(id, bytes),
            Input::Timeout => {}
        }
        self.flush();
    }

    /// The next thing to do, if any. To be drained after [`Client::handle`] and after whatever the owner asks.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due; early or late is harmless.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The protocol version that the client speaks.
    pub fn version(&self) -> Version {
        self.config.version
    }

    /// The client identifier: the configured one, or what the server assigned.
    pub fn client_id(&self) -> &Text {
        &self.client_id
    }

    /// Whether the server has accepted a connection, and it stands for all that is known.
    pub fn is_connected(&self) -> bool {
        self.connected().is_some()
    }

    /// Whether there is no connection, and none will be made unasked.
    pub fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting)
    }

    /// How many of the owner's messages and requests wait or are under way.
    pub fn unsettled(&self) -> usize {
        self.queue.len() + self.requests.len() + self.session.outbound.len()
    }

    fn catch_up(&mut self, now: Time) {
        self.now = now.max(self.now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Connect => self.close(Cause::ConnectTimeout, None, true),
                Timer::Reconnect => self.dial(),
                Timer::Pong => self.close(Cause::KeepAlive, None, true),
                Timer::Ping => self.ping(),
            }
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn link(&self) -> Option<&Link> {
        match &self.state {
            State::Linked(link) => Some(link),
            State::Resting | State::Waiting => None,
        }
    }

    fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.state {
            State::Linked(link) => Some(link),
            State::Resting | State::Waiting => None,
        }
    }

    /// The connection, if the server has accepted it.
    fn connected(&self) -> Option<&Link> {
        self.link().filter(|link| link.phase == Phase::Connected)
    }
}
