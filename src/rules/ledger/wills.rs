//! Wills: published when they are due, and only then (3.1.2.5, 3.1.3.2.2).

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Key, Ledger, Names, SLACK, TICK, words};
use crate::codec::{self, Publish, Qos, Text, Version};
use crate::time::Time;
use crate::topic::{Target, TopicName};

const PUBLISHED: Names = ["v3.1.1/MQTT-3.1.2-8", "v5/MQTT-3.1.2-8"];
const NOT_BEFORE: Names = ["v3.1.1/MQTT-3.1.2-10", "v5/MQTT-3.1.3-9"];

/// The will of a session.
#[derive(Clone, Debug)]
pub(super) struct Will {
    key: Key,
    qos: Qos,
    delay: Duration,
    expires: bool,
    /// When it is to be published, once its connection has ended.
    due: Option<Time>,
}

impl Will {
    pub(super) fn new(will: &codec::Will) -> Will {
        Will {
            key: (will.topic.to_string(), will.payload.clone()),
            qos: will.qos,
            delay: Duration::from_secs(will.properties.will_delay_interval().unwrap_or(0).into()),
            expires: will.properties.message_expiry_interval().is_some(),
            due: None,
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }
}

/// What wills have been due, and whom they are owed to.
#[derive(Debug, Default)]
pub(super) struct Wills {
    allowed: BTreeMap<Key, Allowed>,
    sent: BTreeMap<(Text, Key), Sent>,
    owed: Vec<Owed>,
}

/// How often a will may have been published, and the version of the client that left it.
#[derive(Debug)]
struct Allowed {
    times: usize,
    version: Version,
}

/// How often a session was sent a will, in how many copies at most each time, and where last.
#[derive(Debug, Default)]
struct Sent {
    times: usize,
    copies: usize,
    last: usize,
}

#[derive(Debug)]
struct Owed {
    key: Key,
    client_id: Text,
    version: Version,
    place: usize,
    /// When it was due.
    due: Time,
}

impl Wills {
    pub(super) fn known(&mut self, will: &Will, version: Version) {
        self.allowed.entry(will.key.clone()).or_insert(Allowed { times: 0, version }).version = version;
    }

    /// It may be published, or be void.
    pub(super) fn perhaps_due(&mut self, will: &Will, version: Version) {
        self.known(will, version);
        self.allow(&will.key);
    }

    /// It may be published once more.
    fn allow(&mut self, key: &Key) {
        self.allowed.get_mut(key).into_iter().for_each(|allowed| allowed.times += 1);
    }

    /// Whether this is what some will says.
    pub(super) fn is_known(&self, key: &Key) -> bool {
        self.allowed.contains_key(key)
    }

    pub(super) fn forget(&mut self, client_id: &Text) {
        self.owed.retain(|owed| owed.client_id != *client_id);
    }

    /// Whether the broker has kept and published what it had, nobody knows.
    pub(super) fn in_doubt(&mut self) {
        self.allowed.values_mut().for_each(|allowed| allowed.times += 1);
        self.owed.clear();
    }
}

impl Ledger<'_> {
    /// Wills whose time has come.
    pub(super) fn wills_in_time(&mut self) {
        let due = |will: &Will| will.due.is_some_and(|due| due <= self.now);
        let due: Vec<Text> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.will.as_ref().is_some_and(due))
            .map(|(client_id, _)| client_id.clone())
            .collect();
        for client_id in due {
            let certain = !self.is_returning(&client_id);
            self.will_is_due(&client_id, certain);
        }
    }

    /// Whether a CONNECT with this client identifier has come that is not answered yet.
    pub(super) fn is_returning(&self, client_id: &Text) -> bool {
        let asks = |line: &super::Line| line.open[0] && !line.accepted && line.client_id.as_ref() == Some(client_id);
        self.links.values().any(asks)
    }

    /// The connection of a session ended; `displaced` by another one with the same client identifier.
    pub(super) fn will_after_a_connection(&mut self, client_id: &Text, displaced: bool) {
        let now = self.now;
        // In 5.0 a connection that takes the session up may count as a return in time.
        let goes_on = displaced
            && self.links.values().any(|line| {
                let taker = line.open[0] && !line.accepted && line.client_id.as_ref() == Some(client_id);
                taker && !line.asks_for_new_session()
            });
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let (v5, expiry) = (session.version == Version::V5, session.expiry);
        let Some(will) = &mut session.will else { return };
        let wait = expiry.map_or(will.delay, |expiry| will.delay.min(expiry));
        if wait.is_zero() {
            self.will_is_due(client_id, !(v5 && goes_on));
        } else {
            will.due = Some(now + wait);
        }
    }

    /// A session ended, as what happened at `since` had it: its will does not wait.
    pub(super) fn will_at_once(&mut self, client_id: &Text, since: usize) {
        if self.sessions.get(client_id).is_some_and(|session| session.will.is_some()) {
            self.will_is_due_since(client_id, true, since);
        }
    }

    /// The session goes on: what waited is void; unless its time came at this very moment.
    pub(super) fn will_of_one_who_is_back(&mut self, client_id: &Text) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        if let Some(will) = session.will.take()
            && will.due.is_some_and(|due| due.since(now) < TICK)
        {
            self.wills.allow(&will.key);
        }
    }

    /// A will is to be published; `certain`: whoever has subscribed must get it.
    fn will_is_due(&mut self, client_id: &Text, certain: bool) {
        self.will_is_due_since(client_id, certain, self.place);
    }

    fn will_is_due_since(&mut self, client_id: &Text, certain: bool, since: usize) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let (version, place, due) = (session.version, self.place, self.now);
        let Some(will) = session.will.take() else { return };
        self.wills.allow(&will.key);
        let doubtful = !certain || will.qos == Qos::AtMostOnce || will.expires || self.circumstances.short_of_room;
        let topic = Text::try_from(will.key.0.clone()).ok().and_then(|topic| TopicName::try_from(topic).ok());
        let (false, Some(topic)) = (doubtful, topic) else { return };
        for (hearer, session) in &self.sessions {
            let own = session.matching(&topic).filter(|it| matches!(it.target, Target::Own(_)));
            let (mut sure, mut any) = (session.alive && !session.limited && !session.doubtful, false);
            for subscription in own {
                any = true;
                sure &= subscription.granted && subscription.options.qos > Qos::AtMostOnce;
                sure &= !(subscription.options.no_local && hearer == client_id);
            }
            let leaving = hearer == client_id && session.link.is_none() && session.expiry == Some(Duration::ZERO);
            let sent = self.wills.sent.get(&(hearer.clone(), will.key.clone()));
            let has_it = sent.is_some_and(|sent| sent.last >= since);
            if sure && any && !leaving && !has_it {
                self.wills.owed.push(Owed { key: will.key.clone(), client_id: hearer.clone(), version, place, due });
            }
        }
    }

    /// The broker sends a message to a session: perhaps it is a will.
    pub(super) fn perhaps_a_will(&mut self, client_id: &Text, key: &Key, publish: &Publish, copies: usize) {
        let now = self.now;
        if let Some(place) = self.wills.owed.iter().position(|owed| owed.key == *key && owed.client_id == *client_id) {
            let owed = self.wills.owed.swap_remove(place);
            self.note_at(&PUBLISHED, owed.version, self.place, None);
        }
        let Some(&Allowed { times: allowed, version }) = self.wills.allowed.get(key) else { return };
        self.wills.sent.entry((client_id.clone(), key.clone())).or_default().last = self.place;
        if publish.dup || publish.retain || self.messages.contains_key(key) {
            return;
        }
        // It may be published a moment before its time, or for a new session whose CONNACK has not left yet.
        let at_hand = self.sessions.iter().filter(|(whose, session)| {
            let will = session.will.as_ref().filter(|will| will.key == *key);
            will.is_some_and(|will| will.due.is_some_and(|due| due.since(now) < TICK) || self.is_returning(whose))
        });
        let at_hand = at_hand.count();
        let sent = self.wills.sent.entry((client_id.clone(), key.clone())).or_default();
        (sent.times, sent.copies) = (sent.times + 1, sent.copies.max(copies).max(1));
        let too_often = sent.times > (allowed + at_hand) * sent.copies;
        let why = too_often.then(|| format!("the will {} is published, and it is not due", words(key)));
        self.note_at(&NOT_BEFORE, version, self.place, why);
    }

    /// All is quiet: a will that still has not come will not come any more, unless it was due just now.
    pub(super) fn judge_wills(&mut self) {
        for owed in std::mem::take(&mut self.wills.owed) {
            if self.now.since(owed.due) >= SLACK && self.is_connected(&owed.client_id) {
                let why = format!("the will {} was due and never reached {}", words(&owed.key), owed.client_id);
                self.note_at(&PUBLISHED, owed.version, owed.place, Some(why));
            }
        }
    }
}
