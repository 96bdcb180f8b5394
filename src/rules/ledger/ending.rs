//! What must not be open when all is quiet.

use std::time::Duration;

use super::{Exchange, Ledger, Names, SLACK};
use crate::codec::Text;
use crate::link::LinkId;
use crate::time::Time;
use crate::trace::Name;

const SENT_AGAIN: Names = ["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"];
const DISPLACED: Names = ["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"];
const KEEP_ALIVE: Names = ["v3.1.1/MQTT-3.1.2-24", "v5/MQTT-3.1.2-22"];
const SUBSCRIBED_ANEW: Names = ["v3.1.1/MQTT-3.2.2-3", "v5/MQTT-3.2.2-5"];

/// How long it has been quiet before what is unfinished counts.
const QUIET: Duration = Duration::from_secs(4);

/// How many connections of one client within [`WHILE`] are too many.
const RESTLESS: usize = 20;
const WHILE: Duration = Duration::from_secs(20);

impl Ledger<'_> {
    pub(super) fn end(&mut self) {
        if self.is_troubled_within(QUIET) {
            return;
        }
        self.judge_wills();
        self.judge_overlapping();
        self.judge_open_connections();
        self.judge_unfinished();
        self.judge_clients();
    }

    /// Whether a fault began or ended not longer ago than this.
    fn is_troubled_within(&self, span: Duration) -> bool {
        self.troubled.is_some_and(|at| self.now.since(at) < span)
    }

    /// Whether the session has a connection that both sides know of.
    pub(super) fn is_connected(&self, client_id: &Text) -> bool {
        self.sessions.get(client_id).and_then(|session| session.link).is_some_and(|link| self.is_settled(link))
    }

    /// Whether a connection is open at both ends, and has been for a while.
    fn is_settled(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|line| line.open == [true; 2] && self.now.since(line.asked.0) > QUIET / 2)
    }

    fn judge_open_connections(&mut self) {
        let open: Vec<(LinkId, bool, Duration, Duration)> = self
            .links
            .iter()
            .filter(|(_, line)| line.open[0] && line.accepted)
            .map(|(link, line)| (*link, line.displaced, line.keep_alive, self.now.since(line.heard)))
            .collect();
        for (link, displaced, keep_alive, silent) in open {
            if displaced {
                let why = "a connection is still open that another one has displaced".to_owned();
                self.note(&DISPLACED, link, Some(why));
            } else if !keep_alive.is_zero() && silent > keep_alive * 3 / 2 + SLACK {
                let why =
                    format!("a keep alive of {keep_alive:?} has not ended a connection that was silent for {silent:?}");
                self.note(&KEEP_ALIVE, link, Some(why));
            }
        }
    }

    /// What was begun on an earlier connection goes on with the next one of the session.
    fn judge_unfinished(&mut self) {
        let mut late: Vec<(LinkId, usize, String)> = Vec::new();
        let mut late_of_clients = late.clone();
        for (client_id, session) in &self.sessions {
            if let Some(link) = session.link.filter(|link| self.is_settled(*link)) {
                let words = |identifier| format!("what the broker owed {client_id} as {identifier} is not sent again");
                late.extend(unfinished(session.sent.iter(), link).map(|(id, place)| (link, place, words(id))));
            }
        }
        for (name, own) in &self.clients {
            let alone = |link: &LinkId| self.is_settled(*link) && !self.shares_its_identifier(name);
            if let Some(link) = own.link.filter(alone) {
                let words = |identifier| format!("what {name} had begun as {identifier} is not sent again");
                late_of_clients.extend(unfinished(own.sent.iter(), link).map(|(id, place)| (link, place, words(id))));
            }
        }
        for (link, place, why) in late {
            self.place = place;
            self.note(&SENT_AGAIN, link, Some(why));
        }
        for (link, place, why) in late_of_clients {
            self.place = place;
            self.note_of_client(&SENT_AGAIN, link, Some(why));
        }
    }

    fn judge_clients(&mut self) {
        let mut broken: Vec<(Names, LinkId, String)> = Vec::new();
        for (name, own) in &self.clients {
            let Some(link) = own.link else { continue };
            let since = |time: &Time| self.now.since(*time) < WHILE;
            let times = own.accepted.iter().filter(|time| since(time)).count();
            if times >= RESTLESS && !self.is_troubled_within(WHILE) {
                let why = format!("{name} connects {times} times in {WHILE:?}, and is displaced each time");
                broken.push((DISPLACED, link, why));
            }
            let client_id = self.links.get(&link).and_then(|line| line.client_id.clone());
            let session = client_id.and_then(|client_id| self.sessions.get(&client_id));
            let Some(session) = session.filter(|session| session.link == Some(link) && self.is_settled(link)) else {
                continue;
            };
            let lasting = self.honest.get(name).into_iter().flatten().filter(|_| !self.shares_its_identifier(name));
            for filter in lasting.filter(|filter| own.filters.contains(*filter)) {
                if !session.subscriptions.contains_key(filter) {
                    let why = format!("{name} has a new session and does not subscribe to {filter} anew");
                    broken.push((SUBSCRIBED_ANEW, link, why));
                }
            }
        }
        for (names, link, why) in broken {
            self.note_of_client(&names, link, Some(why));
        }
    }

    fn shares_its_identifier(&self, name: &Name) -> bool {
        let identifiers = |whose: bool| {
            let lines = self.links.values().filter(move |line| (line.client == *name) == whose);
            lines.filter_map(|line| line.client_id.as_ref())
        };
        identifiers(true).any(|own| identifiers(false).any(|other| own == other))
    }
}

/// Exchanges that were last heard of on another connection than the present one.
fn unfinished<'a>(
    exchanges: impl Iterator<Item = (&'a u16, &'a Exchange)>,
    present: LinkId,
) -> impl Iterator<Item = (u16, usize)> {
    let late = exchanges.filter(move |(_, exchange)| exchange.link != present && !exchange.expires);
    late.map(|(identifier, exchange)| (*identifier, exchange.place))
}
