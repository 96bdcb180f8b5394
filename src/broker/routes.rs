//! To whom messages go, remembered for the topics published to of late: most are published to again and again, and
//! subscriptions change far less often.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::session::SessionKey;
use super::shared::GroupKey;
use super::{Broker, Subscriber, Wanted};
use crate::topic::TopicName;

/// How many topics are remembered: two that fall on one place displace each other.
const PLACES: usize = 4096;
/// How many subscriptions are remembered for all of them together.
const SUBSCRIPTIONS: usize = 1 << 20;

/// To whom the messages of one topic go.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) topic: TopicName,
    /// The sessions subscribed, in the order of their keys, with each of their subscriptions that match.
    pub(super) sessions: Vec<(SessionKey, Wanted)>,
    /// The groups that share a subscription.
    pub(super) groups: Vec<GroupKey>,
    /// How often the subscriptions had changed when this was so.
    changes: u64,
    place: usize,
}

/// The routes remembered.
#[derive(Debug)]
pub(super) struct Routes {
    places: Vec<Option<Box<Route>>>,
    /// Topics come from strangers: the seed is not known to them.
    hasher: FixedState,
    /// How many subscriptions are remembered.
    held: usize,
}

impl Routes {
    pub(super) fn new(seed: u64) -> Routes {
        Routes { places: Vec::new(), hasher: FixedState::with_seed(seed), held: 0 }
    }

    /// Takes out what stands in the place of this topic: its own route or another's.
    fn take(&mut self, topic: &[u8]) -> (usize, Option<Box<Route>>) {
        let hash = usize::try_from(self.hasher.hash_one(topic) % PLACES as u64).unwrap_or_default();
        let found = self.places.get_mut(hash).and_then(Option::take);
        if let Some(route) = &found {
            self.held -= route.sessions.len() + route.groups.len();
        }
        (hash, found)
    }

    /// Puts a route back, for next time.
    pub(super) fn put_back(&mut self, route: Box<Route>) {
        self.held += route.sessions.len() + route.groups.len();
        if self.held > SUBSCRIPTIONS || self.places.is_empty() {
            self.places.clear();
            self.places.resize_with(PLACES, || None);
            self.held = 0;
            return;
        }
        let place = route.place;
        // A will may have gone the same way meanwhile.
        if let Some(displaced) = self.places[place].replace(route) {
            self.held -= displaced.sessions.len() + displaced.groups.len();
        }
    }
}

impl Broker {
    /// The route of the topic with this name, if it is known; else the error that `topic` gives, or the route of that
    /// topic. To be [put back](Routes::put_back).
    pub(super) fn find_route<E>(
        &mut self,
        name: &[u8],
        topic: impl FnOnce() -> Result<TopicName, E>,
    ) -> Result<Box<Route>, E> {
        let (place, found) = self.routes.take(name);
        let mut route = match found {
            Some(route) if route.topic.as_str().as_bytes() == name => route,
            other => {
                // Whoever knows it by heart does not hold on to the buffer that it came in.
                let topic = topic()?.detached();
                match other {
                    Some(mut route) => {
                        route.topic = topic;
                        route.changes = u64::MAX;
                        route
                    }
                    None => {
                        Box::new(Route { topic, sessions: Vec::new(), groups: Vec::new(), changes: u64::MAX, place })
                    }
                }
            }
        };
        if route.changes != self.subscriptions.changes() {
            let Route { topic, sessions, groups, changes, .. } = &mut *route;
            *changes = self.subscriptions.changes();
            sessions.clear();
            groups.clear();
            self.subscriptions.for_each_match(topic, |subscriber, wanted| match subscriber {
                Subscriber::Session(session) => sessions.push((*session, *wanted)),
                Subscriber::Group(group) => groups.push(*group),
            });
            sessions.sort_by_key(|(session, _)| *session);
        }
        Ok(route)
    }
}
