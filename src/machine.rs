//! A broker or a scenario's client, seen alike: what hosts a machine need not know which it is.

use bytes::Bytes;

use crate::broker::{self, Broker, Peer};
use crate::codec::Frame;
use crate::link::{Cause, LinkId};
use crate::scenario::actor::{self, Actor};
use crate::store::{Change, Mark};
use crate::time::Time;
use crate::trace::What;

/// What happens to a machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// It was dialled.
    Opened(LinkId, Peer),
    /// It dialled and is connected.
    Dialed(LinkId),
    /// It dialled in vain, and why.
    DialFailed(LinkId, String),
    /// Bytes arrived.
    Received(LinkId, Bytes),
    /// A connection ended.
    Closed(LinkId, Cause),
    /// What it sends piles up.
    Congested(LinkId),
    /// What piled up was sent.
    Drained(LinkId),
    /// All changes up to this mark are durable.
    Stored(Mark),
    /// Time has passed.
    Timeout,
    /// The owner ends it: other sides are told.
    Shutdown,
}

/// What a machine wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make a connection.
    Dial(LinkId),
    /// Send this.
    Send(LinkId, Frame),
    /// Close the connection once what was to be sent is sent.
    Close(LinkId, Cause),
    /// Make these changes durable, all or none.
    Store(Vec<Change>, Mark),
    /// Something for the trace.
    Note(What),
}

/// The next thing that a broker wants done by others. Passwords are held against hashes here and now: what hosts a machine
/// like this lets time stand still meanwhile.
fn polled(broker: &mut Broker) -> Option<broker::Output> {
    loop {
        match broker.poll()? {
            broker::Output::Verify(link, check) => {
                broker.handle(Time::ZERO, broker::Input::Verified(link, check.verdict()));
            }
            output => return Some(output),
        }
    }
}

/// A machine.
#[derive(Debug)]
pub enum Machine {
    /// The server.
    Broker(Box<Broker>),
    /// A client with its application.
    Actor(Box<Actor>),
}

impl Machine {
    /// Takes in what happened at `now`. What makes no sense to this machine is ignored.
    pub fn handle(&mut self, now: Time, input: Input) {
        match self {
            Machine::Broker(broker) => {
                let input = match input {
                    Input::Opened(link, peer) => broker::Input::Opened(link, peer),
                    Input::Received(link, bytes) => broker::Input::Received(link, bytes),
                    Input::Closed(link, cause) => broker::Input::Closed(link, cause),
                    Input::Congested(link) => broker::Input::Congested(link),
                    Input::Drained(link) => broker::Input::Drained(link),
                    Input::Stored(mark) => broker::Input::Stored(mark),
                    Input::Shutdown => broker::Input::Shutdown,
                    Input::Timeout | Input::Dialed(_) | Input::DialFailed(..) => broker::Input::Timeout,
                };
                broker.handle(now, input);
            }
            Machine::Actor(actor) => {
                let input = match input {
                    Input::Dialed(link) => actor::Input::Dialed(link),
                    Input::DialFailed(link, why) => actor::Input::DialFailed(link, why),
                    Input::Received(link, bytes) => actor::Input::Received(link, bytes),
                    Input::Closed(link, cause) => actor::Input::Closed(link, cause),
                    Input::Timeout
                    | Input::Opened(..)
                    | Input::Congested(_)
                    | Input::Drained(_)
                    | Input::Stored(_)
                    | Input::Shutdown => actor::Input::Timeout,
                };
                actor.handle(now, input);
            }
        }
    }

    /// The next thing to do, if any. To be drained after every [`Machine::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        match self {
            Machine::Broker(broker) => Some(match polled(broker)? {
                broker::Output::Verify(..) => return None,
                broker::Output::Send(link, frame) => Output::Send(link, frame),
                broker::Output::Close(link, cause) => Output::Close(link, cause),
                broker::Output::Store(changes, mark) => Output::Store(changes, mark),
                broker::Output::Session(client_id, change) => {
                    Output::Note(What::Session { client_id: client_id.to_string(), change })
                }
            }),
            Machine::Actor(actor) => Some(match actor.poll()? {
                actor::Output::Dial(link) => Output::Dial(link),
                actor::Output::Send(link, frame) => Output::Send(link, frame),
                actor::Output::Close(link, cause) => Output::Close(link, cause),
                actor::Output::Note(what) => Output::Note(what),
            }),
        }
    }

    /// When [`Input::Timeout`] is due; early or late is harmless.
    pub fn next_timeout(&self) -> Option<Time> {
        match self {
            Machine::Broker(broker) => broker.next_timeout(),
            Machine::Actor(actor) => actor.next_timeout(),
        }
    }

    /// The client, if it is one.
    pub fn actor(&self) -> Option<&Actor> {
        match self {
            Machine::Broker(_) => None,
            Machine::Actor(actor) => Some(actor),
        }
    }
}
