//! How a session and its will end (sections 3.1.2.5, 3.1.2.11.2, 3.1.3.2.2, 4.1).

use std::convert::Infallible;
use std::time::Duration;

use super::notice::{Noticed, Notices};
use super::session::SessionKey;
use super::{Broker, SessionChange, Timer};
use crate::codec::Text;
use crate::message::{Message, travelling};
use crate::topic::TopicName;

impl Broker {
    /// A session's connection ended: its will is due now or after its delay, its own end after its expiry interval.
    pub(super) fn leave(&mut self, key: SessionKey) {
        self.sessions[key].link = None;
        self.replays.forget(key);
        if !self.sessions[key].is_lasting() {
            return self.end_session(key);
        }
        self.wait_for_return(key, self.now);
        self.store_session(key);
    }

    /// Sets the timers of a session whose connection ended at `left`.
    pub(super) fn wait_for_return(&mut self, key: SessionKey, left: crate::time::Time) {
        let session = &self.sessions[key];
        if session.expiry_seconds != u32::MAX {
            let end = left + Duration::from_secs(session.expiry_seconds.into());
            self.timers.set(Timer::Session(key), end);
        }
        match session.will.as_ref().map(|will| will.delay_seconds) {
            Some(0) => self.publish_will(key),
            Some(delay) => self.timers.set(Timer::Will(key), left + Duration::from_secs(delay.into())),
            None => {}
        }
    }

    /// Publishes a session's will if it has one; it has none afterwards.
    pub(super) fn publish_will(&mut self, key: SessionKey) {
        self.timers.cancel(Timer::Will(key));
        let Some(delayed) = self.sessions[key].will.take() else { return };
        self.store_session(key);
        let will = delayed.will;
        let Ok(topic) = TopicName::try_from(will.topic) else { return };
        let expiry = will.properties.message_expiry_interval();
        let message = Message {
            topic: topic.text().clone(),
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: travelling(will.properties.borrowed()),
            expires: expiry.map(|seconds| self.now + Duration::from_secs(seconds.into())),
        };
        self.note_of(key, Notices::Few, || Noticed::WillPublished(topic.text().clone()));
        let Ok(route) = self.find_route(topic.as_str().as_bytes(), || Ok::<_, Infallible>(topic.clone()));
        // It is not heard before its connection is seen to end, which waits for the disk.
        self.outbox.strict = true;
        self.admit(key, &route, message);
        self.outbox.strict = false;
        self.routes.put_back(route);
    }

    /// Nobody came back to a session in time.
    pub(super) fn expire(&mut self, key: SessionKey) {
        self.counters.expired += 1;
        self.note_of(key, Notices::Few, || Noticed::Expired);
        self.end_session(key);
    }

    /// Ends a session: its will is published, its subscriptions and messages are gone.
    pub(super) fn end_session(&mut self, key: SessionKey) {
        self.timers.cancel(Timer::Session(key));
        self.publish_will(key);
        self.forget_session(key);
        let filters: Vec<Text> = self.sessions[key].subscriptions.iter().map(|(filter, _)| filter.clone()).collect();
        for filter in filters {
            self.remove_subscription(key, &filter);
        }
        self.report(key, SessionChange::Ended);
        let session = self.sessions.remove(key);
        self.write_off(session.debt);
        self.by_client_id.remove(&session.client_id);
    }
}
