//! What a PUBLISH to a subscriber says: QoS, RETAIN, what is left of its lifetime (3.3.1, 3.3.2.3.3, 3.3.4, 3.8.4).

use std::time::Duration;

use super::{Exchange, Key, Ledger, Names, SLACK, TICK, spelt_out, words};
use crate::codec::{Publish, Qos, RetainHandling, Text, Version};
use crate::link::LinkId;
use crate::topic::{Target, TopicName};

const OLD_SESSION: Names = ["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-3.1.2-4"];
const LOWER_QOS: Names = ["v3.1.1/MQTT-3.8.4-6", "v5/MQTT-3.8.4-8"];
const BEST_QOS: Names = ["v3.1.1/MQTT-3.3.5-1", "v5/MQTT-3.3.4-2"];
const RETAIN_KEPT: Names = ["", "v5/MQTT-3.3.1-13"];
const RETAIN_CLEAR: Names = ["v3.1.1/MQTT-3.3.1-9", "v5/MQTT-3.3.1-12"];
const ONLY_NEW: Names = ["", "v5/MQTT-3.3.1-10"];
const NO_RETAINED: Names = ["", "v5/MQTT-3.3.1-11"];
const TOO_OLD: Names = ["", "v5/MQTT-3.3.2-5"];
const COUNTED_DOWN: Names = ["", "v5/MQTT-3.3.2-6"];
const NOT_AGAIN: Names = ["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"];

/// A message that was due at a better QoS than it was sent at.
#[derive(Debug)]
pub(super) struct Lesser {
    best: Qos,
    due: Qos,
    version: Version,
    place: usize,
}

impl Ledger<'_> {
    /// The broker sends a message to a subscriber.
    pub(super) fn copy(&mut self, link: LinkId, publish: &Publish) {
        let Some(line) = self.links.get_mut(&link) else { return };
        let Some(client_id) = line.client_id.clone() else { return };
        let Some(topic) = spelt_out(&mut line.aliases_out, publish) else { return };
        let key: Key = (topic.to_string(), publish.payload.clone());
        let Ok(topic) = TopicName::try_from(topic) else { return };
        let (place, said) = (self.place, self.messages.get(&key));
        let Some(session) = self.sessions.get_mut(&client_id) else { return };
        if let Some(identifier) = publish.packet_identifier {
            let expires = publish.properties.message_expiry_interval().is_some()
                || said.is_some_and(|said| said.expiry.is_some());
            let at_least_once = (publish.qos == Qos::AtLeastOnce).then(|| key.clone());
            session.sent.insert(identifier.get(), Exchange { link, place, expires, at_least_once });
        }
        let copies = session.copies(&topic);
        self.judge_retained(link, &client_id, &topic, publish);
        self.perhaps_a_will(&client_id, &key, publish, copies);
        if !self.wills.is_known(&key) {
            self.judge_copy(link, &client_id, &topic, &key, publish);
        }
    }

    /// A copy of a message that a client has published once.
    fn judge_copy(&mut self, link: LinkId, client_id: &Text, topic: &TopicName, key: &Key, publish: &Publish) {
        let Some(session) = self.sessions.get(client_id) else { return };
        let Some(said) = self.messages.get(key) else { return };
        let (qos, retain, version) = (said.qos, said.retain, session.version);
        // A client's own message is not for its subscriptions with No Local.
        let own = said.from == *client_id;
        let matching: Vec<_> = session.matching(topic).filter(|it| !(own && it.options.no_local)).collect();
        let shared = matching.iter().any(|it| matches!(it.target, Target::Shared(..)));
        let (copies, overlaps) = (matching.len().max(1), matching.len() > 1 && !shared);
        if publish.qos == Qos::AtMostOnce && qos == Qos::AtMostOnce && !publish.retain && !shared {
            let (times, whose) = (said.times, (client_id.clone(), key.clone()));
            let sent = self.at_most_once.entry(whose).or_default();
            *sent += 1;
            let again = *sent > times * copies;
            return self.note(&NOT_AGAIN, link, again.then(|| format!("{} is sent again at QoS 0", words(key))));
        }
        if said.times != 1 || publish.retain && !retain {
            return;
        }
        let old = said.place < session.begun;
        // Nothing has changed since the message came.
        let settled = said.place > session.changed && matching.iter().all(|it| it.granted) && !matching.is_empty();
        let best = matching.iter().map(|it| it.options.qos).max().unwrap_or_default().min(qos);
        let as_published = matching.iter().all(|it| it.options.retain_as_published);
        let waited = self.now.since(said.time);
        let (expiry, left) = (said.expiry, publish.properties.message_expiry_interval());
        if !publish.retain && !publish.dup && !shared && qos < Qos::ExactlyOnce {
            let why = format!("{} is of a session that is over", words(key));
            self.note(&OLD_SESSION, link, old.then_some(why));
        }
        if settled && !old {
            let above = publish.qos > best;
            let why = above.then(|| format!("{} is sent at {}, granted is {best}", words(key), publish.qos));
            self.note(&LOWER_QOS, link, why);
            if overlaps {
                self.overlapping(client_id, key, publish.qos, best, version);
            }
            if as_published {
                let lost = (retain && !publish.retain).then(|| format!("{} has lost its RETAIN", words(key)));
                self.note(&RETAIN_KEPT, link, lost);
            }
        }
        self.judge_lifetime(link, key, publish, expiry.zip(Some(waited)), left);
    }

    fn overlapping(&mut self, client_id: &Text, key: &Key, qos: Qos, due: Qos, version: Version) {
        let lesser = Lesser { best: qos, due, version, place: self.place };
        let known = self.lesser.entry((client_id.clone(), key.clone())).or_insert(lesser);
        known.best = known.best.max(qos);
    }

    /// All is quiet: no better copy will come.
    pub(super) fn judge_overlapping(&mut self) {
        for ((client_id, key), Lesser { best, due, version, place }) in std::mem::take(&mut self.lesser) {
            if self.is_connected(&client_id) {
                let why = (best < due).then(|| format!("{} is sent at {best}, and granted is {due}", words(&key)));
                self.note_at(&BEST_QOS, version, place, why);
            }
        }
    }

    /// The lifetime that a message came with, and what the copy says is left of it.
    fn judge_lifetime(
        &mut self,
        link: LinkId,
        key: &Key,
        publish: &Publish,
        lifetime: Option<(u32, Duration)>,
        left: Option<u32>,
    ) {
        let Some((expiry, waited)) = lifetime else { return };
        if self.version(link) != Version::V5 || publish.dup {
            return;
        }
        let whole = Duration::from_secs(expiry.into());
        let why = (waited > whole + SLACK)
            .then(|| format!("{} lived for {expiry} s and is sent after {waited:?}", words(key)));
        self.note(&TOO_OLD, link, why);
        let says = left.map(|left| Duration::from_secs(left.into()));
        // What waits for the disk says what was left before that.
        let wrong = says.is_none_or(|says| says + waited > whole + SLACK + TICK || says + waited + SLACK < whole);
        let why = (wrong && waited <= whole).then(|| {
            let says = left.map_or("nothing".to_owned(), |left| format!("{left} s"));
            format!("{} has waited for {waited:?} of {expiry} s, and its interval says {says}", words(key))
        });
        self.note(&COUNTED_DOWN, link, why);
    }

    /// RETAIN 1 is for a subscription that is new, or asks for it as published.
    fn judge_retained(&mut self, link: LinkId, client_id: &Text, topic: &TopicName, publish: &Publish) {
        if !publish.retain || publish.dup {
            return;
        }
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let due =
            session.retained.iter_mut().find(|(filter, sent)| filter.matches(topic) && !sent.contains(topic.as_str()));
        if let Some((_, sent)) = due {
            sent.insert(topic.as_str().to_owned());
            return self.note(&RETAIN_CLEAR, link, None);
        }
        if session.as_published.iter().any(|filter| filter.matches(topic)) {
            return;
        }
        let mut statement = &RETAIN_CLEAR;
        for subscription in session.matching(topic) {
            match subscription.options {
                options if options.retain_handling == RetainHandling::SendIfNew => statement = &ONLY_NEW,
                options if options.retain_handling == RetainHandling::DoNotSend => statement = &NO_RETAINED,
                _ => {}
            }
        }
        let why = format!("a retained message on {topic} is sent, and no new subscription asks for it");
        self.note(statement, link, Some(why));
    }
}
