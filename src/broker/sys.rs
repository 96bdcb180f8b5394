//! What the broker says of itself: retained messages under `$SYS/broker/`, with mosquitto's names and forms, so that what
//! reads mosquitto's reads ours. A value that has not changed is not published again.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::{Broker, Counters, Timer};
use crate::codec::Qos;
use crate::message::Message;
use crate::time::Time;
use crate::topic::TopicName;

/// What all its topics begin with.
const ABOVE: &str = "$SYS/broker/";
/// Over how many minutes loads are averaged.
const MINUTES: [u32; 3] = [1, 5, 15];
/// A message's origin where no session is: no session has this key.
const NOBODY: usize = usize::MAX;

/// What it said, and what its averages go on from.
#[derive(Debug)]
pub(super) struct Sys {
    began: Time,
    last: Option<Time>,
    loads: [Load; LOADS.len()],
    said: BTreeMap<Box<str>, Box<str>>,
}

/// Averages of how much something grows in a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    before: u64,
    averages: [f64; MINUTES.len()],
}

impl Load {
    /// Takes in what the number is now, after `span`.
    fn take(&mut self, number: u64, span: Duration) {
        let minutes = span.as_secs_f64() / 60.0;
        let per_minute = number.saturating_sub(self.before) as f64 / minutes;
        self.before = number;
        for (average, over) in self.averages.iter_mut().zip(MINUTES) {
            let keeps = (-minutes / f64::from(over)).exp();
            *average = per_minute + keeps * (*average - per_minute);
        }
    }
}

/// What loads are told of, and where each number comes from.
type Source = (&'static str, fn(&Counters) -> u64);
const LOADS: [Source; 9] = [
    ("messages/received", |counters| counters.packets.received.number),
    ("messages/sent", |counters| counters.packets.sent.number),
    ("bytes/received", |counters| counters.packets.received.bytes),
    ("bytes/sent", |counters| counters.packets.sent.bytes),
    ("publish/received", |counters| counters.publishes.received.number),
    ("publish/sent", |counters| counters.publishes.sent.number),
    ("publish/dropped", |counters| counters.dropped),
    ("connections", |counters| counters.accepted),
    ("sockets", |counters| counters.opened),
];

impl Sys {
    pub(super) fn new(began: Time) -> Sys {
        Sys { began, last: None, loads: Default::default(), said: BTreeMap::new() }
    }
}

impl Broker {
    /// Says it all, and sets the timer for the next time.
    pub(super) fn publish_sys(&mut self) {
        let Some(interval) = self.config.sys_interval else { return };
        self.timers.set(Timer::Sys, self.now + interval);
        let Some(mut sys) = self.sys.take() else { return };
        let values = self.sys_values(&mut sys);
        for (name, value) in values {
            if sys.said.get(name.as_ref()).is_some_and(|said| *said == value) {
                continue;
            }
            self.publish_own(&name, &value);
            sys.said.insert(name, value);
        }
        self.sys = Some(sys);
    }

    fn publish_own(&mut self, name: &str, value: &str) {
        let Ok(topic) = TopicName::try_from(format!("{ABOVE}{name}").as_str()) else { return };
        let message = Message {
            topic: topic.text().clone(),
            payload: Bytes::copy_from_slice(value.as_bytes()),
            qos: Qos::AtMostOnce,
            retain: self.config.retain_available,
            ..Message::default()
        };
        self.route(NOBODY, &topic, message);
    }

    fn sys_values(&self, sys: &mut Sys) -> Vec<(Box<str>, Box<str>)> {
        let mut values: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut say = |name: &str, value: String| values.push((name.into(), value.into()));
        let counters = self.counters;
        let (sessions, backlog) = (self.sessions.len() as u64, self.backlog());
        say("version", concat!("simrun version ", env!("CARGO_PKG_VERSION")).to_owned());
        say("uptime", format!("{} seconds", self.now.since(sys.began).as_secs()));
        say("clients/connected", counters.connected.to_string());
        say("clients/active", counters.connected.to_string());
        say("clients/disconnected", sessions.saturating_sub(counters.connected).to_string());
        say("clients/inactive", sessions.saturating_sub(counters.connected).to_string());
        say("clients/total", sessions.to_string());
        say("clients/maximum", counters.connected_maximum.to_string());
        say("clients/expired", counters.expired.to_string());
        say("messages/received", counters.packets.received.number.to_string());
        say("messages/sent", counters.packets.sent.number.to_string());
        say("messages/stored", (backlog.queued + self.retained.len() as u64).to_string());
        say("store/messages/count", (backlog.queued + self.retained.len() as u64).to_string());
        say("messages/inflight", backlog.inflight.to_string());
        say("bytes/received", counters.packets.received.bytes.to_string());
        say("bytes/sent", counters.packets.sent.bytes.to_string());
        say("publish/messages/received", counters.publishes.received.number.to_string());
        say("publish/messages/sent", counters.publishes.sent.number.to_string());
        say("publish/messages/dropped", counters.dropped.to_string());
        say("publish/bytes/received", counters.publishes.received.bytes.to_string());
        say("publish/bytes/sent", counters.publishes.sent.bytes.to_string());
        say("retained messages/count", self.retained.len().to_string());
        say("subscriptions/count", self.subscriptions.len().to_string());
        say("shared_subscriptions/count", self.groups.len().to_string());
        if let Some(last) = sys.last.filter(|last| *last < self.now) {
            for (load, (name, number)) in sys.loads.iter_mut().zip(LOADS) {
                load.take(number(&counters), self.now.since(last));
                for (average, minutes) in load.averages.iter().zip(MINUTES) {
                    say(&format!("load/{name}/{minutes}min"), format!("{average:.2}"));
                }
            }
        }
        sys.last = Some(self.now);
        values
    }
}
