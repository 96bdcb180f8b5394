//! What a keeper of the broker wants to read in its log. Nothing of it holds a payload or a password.

use super::{Broker, Peer};
use crate::codec::{Qos, Reason, Text, Version};
use crate::link::{Cause, LinkId};
use crate::time::Time;

use super::session::SessionKey;

/// How much is noted: see [`Broker::poll_notice`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notices {
    /// Nothing.
    #[default]
    None,
    /// Who comes and goes, and limits that are hit.
    Few,
    /// Subscriptions too.
    All,
}

/// Whom a notice is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The client identifier, where it is known.
    pub client_id: Option<Text>,
    /// The user name, if there was one.
    pub user: Option<Text>,
    /// The other end of the connection, if there is one.
    pub address: Option<Peer>,
}

/// Something worth a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub time: Time,
    /// About whom.
    pub who: Who,
    /// What.
    pub what: Noticed,
}

/// What is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A client was accepted.
    Connected {
        /// The version it speaks.
        version: Version,
        /// Its keep alive in seconds, 0 where it is off.
        keep_alive: u16,
        /// Whether it wanted to begin anew.
        clean_start: bool,
        /// Whether it found its session.
        session_present: bool,
    },
    /// A connection ended before a client was accepted on it.
    Refused(Cause),
    /// A connection ended.
    Disconnected {
        /// Why.
        cause: Cause,
        /// What becomes of its will.
        will: WillFate,
    },
    /// A will was published, to this topic.
    WillPublished(Text),
    /// Nobody came back to a session in time.
    Expired,
    /// The operator ended a session.
    SessionEnded,
    /// A client asked for a subscription: what was granted, or why not.
    Subscribed(Text, Result<Qos, Reason>),
    /// A client ended a subscription.
    Unsubscribed(Text),
    /// Something was more than is allowed. Told once a second at most for each limit.
    LimitHit(Limit, u64),
}

/// What becomes of the will of a connection that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillFate {
    /// There is none.
    None,
    /// It is published at once.
    Published,
    /// It is published after so many seconds, unless the client comes back.
    Delayed(u32),
}

/// What can be too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Connections.
    Connections,
    /// Messages queued for a session.
    Queue,
    /// Messages queued for all sessions.
    AllQueues,
    /// Retained messages.
    Retained,
    /// Subscriptions of a session.
    Subscriptions,
}

impl Limit {
    const COUNT: usize = 5;

    /// What was too much, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Limit::Connections => "too many connections: some were refused",
            Limit::Queue => "too many messages queued for a session: messages were dropped",
            Limit::AllQueues => "too many messages queued in all: messages were dropped",
            Limit::Retained => "too many retained messages: some were not kept",
            Limit::Subscriptions => "too many subscriptions in a session: some were refused",
        }
    }
}

/// How often each limit was hit, and when that was told last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hits([(u64, Option<Time>); Limit::COUNT]);

/// How long a limit that is hit again is not told again.
const QUIET: std::time::Duration = std::time::Duration::from_secs(1);

impl Broker {
    /// The next notice, if any. To be asked for after every [`Broker::handle`] with
    /// [`Config::notices`](super::Config::notices).
    #[inline]
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn notes(&self, detail: Notices) -> bool {
        self.config.notices >= detail
    }

    fn note(&mut self, who: Who, what: Noticed) {
        self.notices.push_back(Notice { time: self.now, who, what });
    }

    /// Remembers who asks to come in, until it is decided.
    pub(super) fn introduce(&mut self, id: LinkId, client_id: Text, user: Option<Text>) {
        self.introduced = Some((id, client_id, user));
    }

    /// Whether [`Broker::introduce`] is of use.
    pub(super) fn wants_names(&self) -> bool {
        self.notes(Notices::Few)
    }

    /// Whose connection this is.
    fn who(&self, id: LinkId) -> Who {
        let Some(link) = self.links.get(&id) else { return Who::default() };
        let session = link.session().map(|key| &self.sessions[key]);
        let introduced = self.introduced.as_ref().filter(|(of, ..)| *of == id);
        let undecided = link.undecided();
        let client_id =
            session.map(|session| &session.client_id).or(undecided.map(|connect| &connect.client_id)).cloned();
        let user = session.and_then(|session| session.username.as_deref());
        let user = user.or(undecided.and_then(|connect| connect.username.as_ref())).cloned();
        Who {
            client_id: client_id.or_else(|| introduced.map(|(_, client_id, _)| client_id.clone())),
            user: user.or_else(|| introduced.and_then(|(_, _, user)| user.clone())),
            address: Some(link.peer.clone()),
        }
    }

    /// Whose session this is.
    fn whose(&self, key: SessionKey) -> Who {
        let session = &self.sessions[key];
        let address = session.link.and_then(|id| self.peer(id)).cloned();
        Who { client_id: Some(session.client_id.clone()), user: session.username.as_deref().cloned(), address }
    }

    pub(super) fn note_connected(&mut self, id: LinkId, keep_alive: u16, session_present: bool) {
        self.introduced = None;
        if !self.notes(Notices::Few) {
            return;
        }
        let Some(link) = self.links.get(&id) else { return };
        let (version, clean_start) = (link.wire_version(), link.clean_start);
        let what = Noticed::Connected { version, keep_alive, clean_start, session_present };
        self.note(self.who(id), what);
    }

    /// A connection is about to be forgotten.
    pub(super) fn note_closed(&mut self, id: LinkId, cause: &Cause) {
        let Some(link) = self.links.get(&id) else { return };
        let session = link.session();
        match session {
            Some(_) => self.counters.connected -= 1,
            None => self.counters.refused += 1,
        }
        if !self.notes(Notices::Few) {
            return;
        }
        let what = match session {
            None => Noticed::Refused(cause.clone()),
            Some(key) => Noticed::Disconnected { cause: cause.clone(), will: self.will_fate(key) },
        };
        self.note(self.who(id), what);
        self.introduced = None;
    }

    fn will_fate(&self, key: SessionKey) -> WillFate {
        let session = &self.sessions[key];
        match &session.will {
            None => WillFate::None,
            Some(will) if will.delay_seconds > 0 && session.is_lasting() => {
                WillFate::Delayed(will.delay_seconds.min(session.expiry_seconds))
            }
            Some(_) => WillFate::Published,
        }
    }

    /// Notes what has to do with a session.
    pub(super) fn note_of(&mut self, key: SessionKey, detail: Notices, what: impl FnOnce() -> Noticed) {
        if self.notes(detail) {
            self.note(self.whose(key), what());
        }
    }

    /// Notes that something was too much, for a session if it was for one.
    pub(super) fn note_limit(&mut self, limit: Limit, key: Option<SessionKey>) {
        if !self.notes(Notices::Few) {
            return;
        }
        let (hits, told) = &mut self.hits.0[limit as usize];
        *hits += 1;
        if told.is_some_and(|told| self.now.since(told) < QUIET) {
            return;
        }
        *told = Some(self.now);
        let hits = std::mem::take(hits);
        let who = key.map(|key| self.whose(key)).unwrap_or_default();
        self.note(who, Noticed::LimitHit(limit, hits));
    }
}
