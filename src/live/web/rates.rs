//! The numbers of the last minutes: one sample a second.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;

use super::Web;
use crate::broker::Counters;

/// How many samples are kept.
const KEPT: usize = 600;
const EVERY: Duration = Duration::from_secs(1);

/// What passed in one second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Sample {
    /// Counts samples, from 1.
    number: u64,
    /// Seconds since the broker began.
    at: f64,
    /// PUBLISH packets from clients, a second.
    received: f64,
    /// PUBLISH packets to clients, a second.
    sent: f64,
    bytes_received: f64,
    bytes_sent: f64,
    dropped: f64,
    /// How many clients are connected.
    connected: u64,
}

/// The samples of the last minutes.
#[derive(Default)]
pub(super) struct Rates(Mutex<VecDeque<Sample>>);

impl Rates {
    /// Those behind this one.
    pub(super) async fn after(&self, number: u64) -> Vec<Sample> {
        self.0.lock().await.iter().filter(|sample| sample.number > number).copied().collect()
    }
}

/// Takes samples until the broker has ended.
pub(super) async fn sample(web: &Web) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before: Option<(Counters, Duration)> = None;
    for number in 0.. {
        ticks.tick().await;
        let asked = web.control.ask(|broker, now| (broker.totals().counters, now.since_start())).await;
        let Some((counters, at)) = asked else { return };
        if let Some((earlier, then)) = before
            && at > then
        {
            let mut samples = web.rates.0.lock().await;
            if samples.len() >= KEPT {
                samples.pop_front();
            }
            samples.push_back(between(&earlier, &counters, number, at, at - then));
        }
        before = Some((counters, at));
    }
}

#[allow(clippy::cast_precision_loss)] // A rate for a chart.
fn between(earlier: &Counters, later: &Counters, number: u64, at: Duration, span: Duration) -> Sample {
    let rate = |of: fn(&Counters) -> u64| {
        let grown = of(later) - of(earlier);
        (grown as f64 / span.as_secs_f64() * 10.0).round() / 10.0
    };
    Sample {
        number,
        at: (at.as_secs_f64() * 10.0).round() / 10.0,
        received: rate(|counters| counters.publishes.received.number),
        sent: rate(|counters| counters.publishes.sent.number),
        bytes_received: rate(|counters| counters.packets.received.bytes),
        bytes_sent: rate(|counters| counters.packets.sent.bytes),
        dropped: rate(|counters| counters.dropped),
        connected: later.connected,
    }
}
