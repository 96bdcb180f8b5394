//! The server as a state machine: bytes and time in, packets out. It does no I/O and reads no clock.
//!
//! | file | what |
//! |---|---|
//! | `config` | what is allowed, demanded and limited |
//! | `link` | one connection: its bytes, its version, its keep alive, its end |
//! | `links` | all connections
//! | `connect` | CONNECT and its answer, authentication, takeover |
//! | `access` | who may come in |
//! | `callers` | where connections come from, and who is held back for guessing |
//! | `quota` | what a peer may make the broker hold, and how fast it may publish |
//! | `rights` | what a client may publish and subscribe to |
//! | `session` | what is kept for a client identifier |
//! | `outbox` | what waits for the host, and what must wait for what |
//! | `life` | how a session and its will end |
//! | `publish` | a message comes in |
//! | `routes` | to whom messages go, remembered for the topics published to of late |
//! | `deliver` | a message goes out to sessions, at once or from their queues |
//! | `settle` | PUBACK, PUBREC, PUBREL, PUBCOMP |
//! | `subscribe` | subscriptions come and go |
//! | `replay` | retained messages on their way to new subscribers |
//! | `subscriptions` | those of one session |
//! | `shared` | groups that share a subscription |
//! | `persist` | records for the disk and sessions from it |
//! | `counters` | what passed through, in numbers |
//! | `sys` | the same as messages under `$SYS` |
//! | `notice` | what is worth a line in a log |
//! | `inspect` | what the operator sees and does |
//! | `listen` | messages that the operator overhears |

mod access;
mod callers;
mod config;
mod connect;
mod counters;
mod deliver;
pub mod inspect;
mod life;
mod link;
mod links;
mod listen;
mod notice;
mod outbox;
mod persist;
mod publish;
mod quota;
mod replay;
mod rights;
mod routes;
mod session;
mod settle;
mod shared;
mod subscribe;
mod subscriptions;
mod sys;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use slab::Slab;

use crate::chance::Chance;
use crate::codec::{Frame, Packet, Text, Version};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::scram::Verifier;
use crate::store::{Change, Mark, Restored};
use crate::time::Time;
use crate::timers::Timers;
use crate::topic::{Index, Tree};

pub use access::{Arrival, Check, Credential, Door, Verdict, Weighed};
use callers::Callers;
pub use config::Config;
pub use counters::{Count, Counters, Traffic};
use links::Links;
use listen::Listeners;
pub use listen::{Heard, ListenerId};
use notice::Hits;
pub use notice::{Limit, Notice, Noticed, Notices, Who, WillFate};
use outbox::Outbox;
use quota::Debt;
use replay::Replays;
pub use rights::{AccessRule, Action};
use routes::Routes;
use session::{Session, SessionKey};
use shared::Groups;
use subscribe::{Subscriber, Wanted};
use sys::Sys;

/// What a connection's other end is called, for logs: an address on real sockets, a name in simulated time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer(pub String);

/// What happens to a broker.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection was accepted.
    Opened(LinkId, Peer),
    /// One was accepted by a listener that has rules of its own.
    Arrived(LinkId, Peer, Arrival),
    /// A password was held against a hash: the answer to [`Output::Verify`].
    Verified(LinkId, Verdict),
    /// Bytes arrived on it.
    Received(LinkId, Bytes),
    /// It ended.
    Closed(LinkId, Cause),
    /// What is to be sent piles up: send no more than must be, until [`Input::Drained`].
    Congested(LinkId),
    /// What piled up was sent.
    Drained(LinkId),
    /// All changes up to this mark are durable.
    Stored(Mark),
    /// Time has passed.
    Timeout,
    /// The host is about to end: every client is told and every connection closed.
    Shutdown,
}

/// What a broker wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this packet.
    Send(LinkId, Frame),
    /// Close the connection, once what was to be sent is sent. No [`Input::Closed`] is owed for it.
    Close(LinkId, Cause),
    /// Hold a password against a hash, which takes its time, and answer with [`Input::Verified`]. Only where a user in
    /// [`Config::users`] has a hash.
    Verify(LinkId, Check),
    /// Make these changes durable, all or none, and answer with [`Input::Stored`]. Only with [`Config::durable`].
    Store(Vec<Change>, Mark),
    /// A session changed. Only with [`Config::trace`].
    Session(Text, SessionChange),
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// It was made.
    Made,
    /// It was read from the disk.
    Restored,
    /// A new connection took it up.
    Resumed,
    /// It is gone, and all that was kept with it.
    Ended,
}

/// The broker's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// No CONNECT came in time.
    Connect(LinkId),
    /// Somebody from where many have failed has been held back for long enough.
    Penance(LinkId),
    /// The other side has not read for too long.
    Congested(LinkId),
    /// Perhaps nothing came for too long.
    KeepAlive(LinkId),
    /// The will's delay is over.
    Will(SessionKey),
    /// The session is not resumed any more.
    Session(SessionKey),
    /// What is counted is published.
    Sys,
}

/// A broker. See the module for its parts.
#[derive(Debug)]
pub struct Broker {
    config: Config,
    now: Time,
    links: Links,
    sessions: Slab<Session>,
    by_client_id: BTreeMap<Text, SessionKey>,
    subscriptions: Index<Subscriber, Wanted>,
    routes: Routes,
    groups: Groups,
    retained: Tree<Message>,
    replays: Replays,
    timers: Timers<Timer>,
    /// What SCRAM needs of the users it has met.
    verifiers: BTreeMap<String, Verifier>,
    /// What the client identifiers that it gives are made from, and nonces.
    names: Chance,
    nonces: Chance,
    outbox: Outbox,
    /// Connections that are closed once what waits for the disk has been sent, and whose they were.
    leaving: BTreeMap<LinkId, (Text, Version)>,
    counters: Counters,
    /// What it publishes of itself, if it does.
    sys: Option<Box<Sys>>,
    notices: VecDeque<Notice>,
    /// Who asks to come in just now, for the notice of what comes of it.
    introduced: Option<(LinkId, Text, Option<Text>)>,
    hits: Hits,
    listeners: Listeners,
    callers: Callers,
    /// What all sessions together are owed.
    debt: Debt,
    /// What the retained messages cost, in bytes.
    retained_bytes: usize,
}

impl Broker {
    /// A broker that starts at `now` from what an earlier one stored.
    pub fn new(config: Config, restored: Restored, now: Time) -> Broker {
        let mut broker = Broker {
            now,
            links: Links::new(),
            sessions: Slab::new(),
            by_client_id: BTreeMap::new(),
            subscriptions: Index::new(config.seed),
            routes: Routes::new(config.seed),
            groups: Groups::default(),
            retained: Tree::new(),
            replays: Replays::default(),
            timers: Timers::new(),
            verifiers: BTreeMap::new(),
            names: Chance::new(config.seed, "broker", "client identifier"),
            nonces: Chance::new(config.seed, "broker", "nonce"),
            outbox: Outbox::default(),
            leaving: BTreeMap::new(),
            counters: Counters::default(),
            sys: config.sys_interval.map(|_| Box::new(Sys::new(now))),
            notices: VecDeque::new(),
            introduced: None,
            hits: Hits::default(),
            listeners: Listeners::default(),
            callers: Callers::default(),
            debt: Debt::default(),
            retained_bytes: 0,
            config,
        };
        broker.restore(restored);
        if broker.sys.is_some() {
            broker.timers.set(Timer::Sys, now);
        }
        broker.outbox.commit();
        broker
    }

    /// Takes in what happened at `now`. Timers that were due before go first. Never fails: a peer's fault becomes an
    /// output.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now.max(self.now);
        while let Some(timer) = self.timers.pop_due(self.now) {
            self.timeout(timer);
        }
        match input {
            Input::Opened(link, peer) => self.opened(link, peer, None),
            Input::Arrived(link, peer, arrival) => self.opened(link, peer, Some(Box::new(arrival))),
            Input::Verified(link, verdict) => self.verified(link, verdict),
            Input::Received(link, bytes) => self.received(link, bytes),
            Input::Closed(link, cause) => {
                self.take_back(link);
                self.closed(link, cause);
            }
            Input::Congested(link) => self.set_congested(link, true),
            Input::Drained(link) => self.set_congested(link, false),
            Input::Stored(mark) => self.outbox.stored(mark),
            Input::Timeout => self.send_more_retained(),
            Input::Shutdown => self.shutdown(),
        }
        self.outbox.commit();
    }

    /// The next thing to do, if any. To be drained after every [`Broker::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outbox.pop()?;
        if let Output::Close(link, _) = &output {
            self.leaving.remove(link);
        }
        Some(output)
    }

    /// How many outputs wait for the disk.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// How many bytes of packets wait for it.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Changes who may come in, what they may do, and limits, from now on: whoever is connected stays. See
    /// [`Config::renewed`] for what does not change.
    pub fn reconfigure(&mut self, config: Config) {
        self.verifiers.clear();
        self.config = self.config.renewed(config);
    }

    /// When [`Input::Timeout`] is due; early or late is harmless.
    pub fn next_timeout(&self) -> Option<Time> {
        if self.replays.are_due() { Some(self.now) } else { self.timers.next() }
    }

    /// The protocol version a connection speaks, once its CONNECT has come.
    pub fn version(&self, link: LinkId) -> Option<Version> {
        self.links.get(&link)?.version()
    }

    /// What the other end of a connection is called.
    pub fn peer(&self, link: LinkId) -> Option<&Peer> {
        self.links.get(&link).map(|link| &link.peer)
    }

    /// The connections there are: what their other ends are called, their version once it is known, and the beginning
    /// of a packet that has come.
    pub fn standing(&self) -> impl Iterator<Item = (LinkId, &Peer, Option<Version>, Bytes)> {
        self.links.iter().map(|(id, link)| (id, &link.peer, link.version(), link.reader.unread_bytes()))
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.links.len()
    }

    /// How many sessions there are, connected or not.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn timeout(&mut self, timer: Timer) {
        match timer {
            Timer::Connect(link) => self.close(link, Cause::ConnectTimeout),
            Timer::Penance(link) => self.end_penance(link),
            Timer::Congested(link) => self.close(link, Cause::Congested),
            Timer::KeepAlive(link) => self.check_keep_alive(link),
            Timer::Will(session) => self.publish_will(session),
            Timer::Session(session) => self.expire(session),
            Timer::Sys => self.publish_sys(),
        }
    }

    /// Queues a packet for a link; one that is larger than the client takes is dropped (5.0 section 3.1.2.11.4).
    /// Whether it was queued.
    fn send(&mut self, id: LinkId, packet: &Packet) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let Ok(frame) = Frame::new(packet, link.wire_version()) else { return false };
        if !link.takes(&frame) {
            return false;
        }
        self.counters.packets.sent.add(frame.len());
        match packet {
            // They may be overtaken.
            Packet::Ack(_) | Packet::PingResp => self.outbox.push(Output::Send(id, frame)),
            _ => self.output_in_order(id, frame),
        }
        true
    }

    /// Queues a packet that nothing overtakes on its connection.
    fn output_in_order(&mut self, id: LinkId, frame: Frame) {
        if self.config.durable {
            self.hold(id);
        }
        self.outbox.push(Output::Send(id, frame));
    }

    /// Nothing is sent on this connection before what has been stored up to now is durable.
    fn hold(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.in_order = self.outbox.mark();
        }
    }

    /// Queues a PUBLISH that need not wait for the disk. It does not overtake what tells the client in which session, and
    /// why, it hears it.
    fn output_ahead(&mut self, id: LinkId, frame: Frame) {
        if !self.config.durable {
            return self.outbox.push(Output::Send(id, frame));
        }
        match self.links.get(&id) {
            Some(link) if !self.outbox.strict && self.outbox.has_stored(link.in_order) => {
                self.outbox.push_ahead(Output::Send(id, frame))
            }
            _ => self.output_in_order(id, frame),
        }
    }

    /// A session has begun a block of packet identifiers. Nothing is sent with them before that is stored, or it might be
    /// sent again after a crash, with messages sent before still in the client's hands [MQTT-2.2.1-4].
    fn enter_block(&mut self, key: SessionKey, id: LinkId) {
        self.store_session(key);
        self.hold(id);
    }
}
