//! A load for any broker: who is connected, what they send, and what is measured. Everything runs on one thread of its
//! own; messages are numbered and stamped, so that each that is lost, doubled, out of order or astray is seen.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the modes |
//! | `peer` | one connection, step by step: CONNECT, SUBSCRIBE |
//! | `crowd` | publishers and subscribers at work, and what they count |
//! | `process` | processor time and memory of a process, from `/proc` |
//!
//! A publisher has no more than a window of messages on their way to subscribers: a broker is asked for as much as it can
//! do, not drowned.

mod crowd;
mod peer;
mod process;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use thiserror::Error;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use super::dial::{Dialer, Url};
use crate::codec::{Qos, Version};
use crowd::{Crowd, Flow};
use peer::Peer;
pub use process::Process;

/// The smallest payload that holds the stamp, in bytes.
pub const STAMP: usize = 24;
/// How often it is looked how things go.
const TICK: Duration = Duration::from_millis(250);
/// How long an idle crowd is left alone before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Publishers, each with a subscriber of its own.
    Pairs,
    /// The same at a steady rate: how long a message takes.
    Latency,
    /// One publisher, many subscribers to its topic.
    FanOut,
    /// Many publishers, one subscriber to all of their topics.
    FanIn,
    /// Filters with and without wildcards, spread over subscribers; one publisher for all of their topics.
    Wildcards {
        /// How many filters.
        filters: usize,
        /// How many topics.
        topics: usize,
    },
    /// How fast retained messages come to a new subscriber.
    Retained {
        /// How many new subscribers, one after the other.
        repeat: usize,
    },
    /// Connections made and ended, `n` at a time.
    Connects,
    /// Connections with a subscription that do nothing: memory for each.
    Idle,
}

impl Mode {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Pairs => "pairs",
            Mode::Latency => "latency",
            Mode::FanOut => "fan-out",
            Mode::FanIn => "fan-in",
            Mode::Wildcards { .. } => "wildcards",
            Mode::Retained { .. } => "retained",
            Mode::Connects => "connects",
            Mode::Idle => "idle",
        }
    }
}

/// How a broker is loaded.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is measured.
    pub mode: Mode,
    /// Where the broker is.
    pub url: Url,
    /// What connects to it.
    pub dialer: Dialer,
    /// The protocol version.
    pub version: Version,
    /// How messages are sent and subscribed to.
    pub qos: Qos,
    /// Publishers, subscribers, pairs, connections or messages: what the mode is about.
    pub n: usize,
    /// The payload, in bytes; at least [`STAMP`].
    pub size: usize,
    /// How many messages of one publisher may be on their way.
    pub window: u32,
    /// Whether the sessions of subscribers outlive their connections until the end of the run, so that a broker that
    /// stores sessions stores what it owes them.
    pub lasting: bool,
    /// Messages a second from all publishers together, instead of as many as the windows allow.
    pub rate: Option<f64>,
    /// How long it runs before it is measured.
    pub warmup: Duration,
    /// How long it is measured.
    pub span: Duration,
    /// The broker's process.
    pub process: Option<Process>,
    /// Begins topics and client identifiers, so that runs do not meet.
    pub name: String,
}

/// What kept a load from being run.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The broker did not take it.
    #[error("{0}")]
    Refused(String),
    /// The broker cannot be reached, or is gone.
    #[error("{0}")]
    Gone(String),
}

/// What was measured. Spans are in microseconds, memory in bytes.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Outcome {
    pub mode: &'static str,
    pub target: String,
    pub version: String,
    pub qos: u8,
    pub n: usize,
    pub size: usize,
    pub window: u32,
    pub lasting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<usize>,
    /// How long it was measured, in seconds.
    pub seconds: f64,
    /// Messages published, or connections made, while it was measured.
    pub done: u64,
    pub done_per_second: f64,
    /// Messages delivered while it was measured.
    pub delivered: u64,
    pub delivered_per_second: f64,
    /// Of all that was published, what never came.
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// What came to a subscriber that did not ask for it.
    pub misrouted: u64,
    /// How often a publisher gave up waiting for what was on its way.
    pub stalls: u64,
    /// Connections that the broker ended.
    pub closed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Cost>,
    /// Processor time of this program, in seconds.
    pub own_cpu_seconds: f64,
}

/// How long it took, in microseconds: from when a message was to be sent until it was read, or for one round.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub samples: u64,
}

/// What it cost the broker.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Cost {
    pub user_seconds: f64,
    pub system_seconds: f64,
    /// Deliveries, or connections, for each second of processor time.
    pub per_cpu_second: f64,
    /// Resident memory at the end.
    pub memory: u64,
    /// Resident memory that came with each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_per_connection: Option<f64>,
}

impl Outcome {
    /// Whether the broker kept what the QoS promises.
    pub fn kept(&self) -> bool {
        let lost = self.lost > 0 && self.qos > 0;
        let doubled = self.duplicated > 0 && self.qos != 1;
        !(lost || doubled || self.reordered > 0 || self.misrouted > 0 || self.closed > 0)
    }
}

impl Latency {
    fn of(nanos: &Histogram<u64>) -> Option<Latency> {
        #[allow(clippy::cast_precision_loss)] // A reader sees four digits.
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |part: f64| micros(nanos.value_at_quantile(part));
        (!nanos.is_empty()).then(|| Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(nanos.max()),
            samples: nanos.len(),
        })
    }
}

/// Loads the broker. `progress` is told in words, a few times a second, how it goes.
///
/// # Errors
/// If the broker cannot be reached, or refuses what the mode needs.
pub fn run(load: &Load, progress: &dyn Fn(String)) -> Result<Outcome, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| BenchError::Gone(error.to_string()))?;
    runtime.block_on(LocalSet::new().run_until(async {
        match load.mode {
            Mode::Retained { repeat } => retained(load, repeat, progress).await,
            Mode::Connects => connects(load, progress).await,
            Mode::Idle => idle(load, progress).await,
            Mode::Pairs | Mode::Latency | Mode::FanOut | Mode::FanIn | Mode::Wildcards { .. } => {
                Crowd::gather(load, flow(load), progress).await?.work(progress).await
            }
        }
    }))
}

impl Load {
    /// What is known before anything is measured.
    fn outcome(&self) -> Outcome {
        let (filters, topics) = match self.mode {
            Mode::Wildcards { filters, topics } => (Some(filters), Some(topics)),
            _ => (None, None),
        };
        Outcome {
            mode: self.mode.name(),
            target: self.url.to_string(),
            version: self.version.to_string(),
            qos: self.qos.number(),
            n: self.n,
            size: self.size,
            window: self.window,
            lasting: self.lasting,
            filters,
            topics,
            ..Outcome::default()
        }
    }
}

/// Who publishes and subscribes to what.
fn flow(load: &Load) -> Flow {
    let (name, n) = (&load.name, load.n);
    let one = |place: usize| format!("{name}/{place:05}");
    match load.mode {
        Mode::Pairs | Mode::Latency => Flow {
            topics: (0..n).map(one).collect(),
            filters: (0..n).map(|place| vec![one(place)]).collect(),
            heard_by: (0..n).map(|place| vec![place]).collect(),
            publishers: n,
        },
        Mode::FanIn => Flow {
            topics: (0..n).map(one).collect(),
            filters: vec![vec![format!("{name}/+")]],
            heard_by: vec![vec![0]; n],
            publishers: n,
        },
        Mode::Wildcards { filters, topics } => wildcards(name, n, filters, topics),
        _ => Flow {
            topics: vec![one(0)],
            filters: vec![vec![one(0)]; n],
            heard_by: vec![(0..n).collect()],
            publishers: 1,
        },
    }
}

/// Each filter matches one topic: by its name, with `+` early or late, or with `#`. No subscriber has two that match the
/// same, so that what is to be delivered does not depend on how a broker treats overlapping subscriptions.
fn wildcards(name: &str, subscribers: usize, filters: usize, topics: usize) -> Flow {
    let groups = (1..).find(|side| side * side >= topics).unwrap_or(1);
    let path = |topic: usize| (topic % groups, topic);
    let mut flow = Flow {
        topics: (0..topics).map(path).map(|(group, device)| format!("{name}/{group}/{device}/temp")).collect(),
        filters: vec![Vec::new(); subscribers],
        heard_by: vec![Vec::new(); topics],
        publishers: 1,
    };
    for place in 0..filters {
        let (round, topic) = (place / topics, place % topics);
        let subscriber = (topic + round) % subscribers;
        if flow.heard_by[topic].contains(&subscriber) {
            continue;
        }
        let (group, device) = path(topic);
        flow.heard_by[topic].push(subscriber);
        flow.filters[subscriber].push(match (place + round) % 4 {
            0 => format!("{name}/{group}/{device}/temp"),
            1 => format!("{name}/+/{device}/temp"),
            2 => format!("{name}/{group}/{device}/+"),
            _ => format!("{name}/{group}/{device}/#"),
        });
    }
    flow
}

/// Retained messages, to one new subscriber after the other.
async fn retained(load: &Load, repeat: usize, progress: &dyn Fn(String)) -> Result<Outcome, BenchError> {
    let topics: Vec<String> = (0..load.n).map(|place| format!("{}/{place:06}", load.name)).collect();
    let mut keeper = Peer::join(load, "keeper").await?;
    progress(format!("storing {} messages", load.n));
    keeper.retain(&topics, &vec![b'x'; load.size]).await?;
    let mut spans = histogram();
    let (before, own, started) = (load.process.map(Process::cpu), Process::own().cpu(), Instant::now());
    let mut delivered = 0;
    for round in 0..repeat {
        let begun = Instant::now();
        let mut subscriber = Peer::join(load, &format!("reader-{round}")).await?;
        delivered += subscriber.read_retained(&format!("{}/#", load.name), load.n).await?;
        record(&mut spans, begun.elapsed());
        subscriber.leave().await;
        progress(format!("{} of {repeat} subscribers served", round + 1));
    }
    let seconds = started.elapsed().as_secs_f64();
    let mut outcome = load.outcome();
    outcome.measured(seconds, repeat as u64, delivered);
    outcome.lost = (load.n * repeat) as u64 - delivered;
    outcome.latency = Latency::of(&spans);
    outcome.cost(load, before, own, delivered);
    keeper.retain(&topics, &[]).await?;
    keeper.leave().await;
    Ok(outcome)
}

/// Connections, one after the other in `n` places at once.
async fn connects(load: &Load, progress: &dyn Fn(String)) -> Result<Outcome, BenchError> {
    let load = Rc::new(load.clone());
    let (measuring, over) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let mut places = JoinSet::new();
    for place in 0..load.n {
        let (load, measuring, over) = (load.clone(), measuring.clone(), over.clone());
        places.spawn_local(async move {
            let mut spans = histogram();
            let mut round = 0_u64;
            while !over.get() {
                let begun = Instant::now();
                round += 1;
                Peer::join(&load, &format!("c{place}-{round}")).await?.leave().await;
                if measuring.get() {
                    record(&mut spans, begun.elapsed());
                }
            }
            Ok::<_, BenchError>(spans)
        });
    }
    progress("connecting".to_owned());
    sleep(load.warmup).await;
    measuring.set(true);
    let (before, own, started) = (load.process.map(Process::cpu), Process::own().cpu(), Instant::now());
    sleep(load.span).await;
    measuring.set(false);
    let seconds = started.elapsed().as_secs_f64();
    let mut outcome = load.outcome();
    outcome.cost(&load, before, own, 0);
    over.set(true);
    let mut spans = histogram();
    while let Some(place) = places.join_next().await {
        let place = place.map_err(|error| BenchError::Gone(error.to_string()))??;
        // Both have the same bounds.
        let _ = spans.add(place);
    }
    outcome.measured(seconds, spans.len(), 0);
    outcome.latency = Latency::of(&spans);
    if let Some(cost) = &mut outcome.broker {
        cost.per_cpu_second = ratio(outcome.done, cost.user_seconds + cost.system_seconds);
    }
    Ok(outcome)
}

/// Connections that stand and do nothing.
async fn idle(load: &Load, progress: &dyn Fn(String)) -> Result<Outcome, BenchError> {
    // What a broker needs for its first connection is no cost of those that follow.
    let first = Peer::join(load, "first").await?;
    sleep(SETTLE).await;
    let memory = load.process.map(Process::memory);
    let (before, own, started) = (load.process.map(Process::cpu), Process::own().cpu(), Instant::now());
    let mut peers = Vec::with_capacity(load.n);
    for place in 0..load.n {
        let mut peer = Peer::join(load, &format!("idle-{place}")).await?;
        peer.subscribe(&[format!("{}/{place}", load.name)]).await?;
        peers.push(peer);
        if place % 500 == 0 {
            progress(format!("{place} of {} connected", load.n));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let mut outcome = load.outcome();
    outcome.measured(seconds, load.n as u64, 0);
    outcome.cost(load, before, own, load.n as u64);
    if let (Some(cost), Some(memory)) = (&mut outcome.broker, memory) {
        cost.memory_per_connection = Some(ratio(cost.memory.saturating_sub(memory), load.n as f64));
    }
    drop(peers);
    first.leave().await;
    Ok(outcome)
}

impl Outcome {
    fn measured(&mut self, seconds: f64, done: u64, delivered: u64) {
        (self.seconds, self.done, self.delivered) = (seconds, done, delivered);
        self.done_per_second = ratio(done, seconds);
        self.delivered_per_second = ratio(delivered, seconds);
    }

    /// What it cost since `before` and `own` were read, for so much work.
    fn cost(&mut self, load: &Load, before: Option<process::Cpu>, own: process::Cpu, work: u64) {
        self.own_cpu_seconds = (Process::own().cpu() - own).total();
        self.broker = load.process.zip(before).map(|(process, before)| {
            let cpu = process.cpu() - before;
            Cost {
                user_seconds: cpu.user,
                system_seconds: cpu.system,
                per_cpu_second: ratio(work, cpu.total()),
                memory: process.memory(),
                memory_per_connection: None,
            }
        });
    }
}

#[allow(clippy::cast_precision_loss)] // A reader sees four digits.
fn ratio(count: u64, by: f64) -> f64 {
    if by > 0.0 { count as f64 / by } else { 0.0 }
}

/// For spans up to a minute in nanoseconds, to two digits.
fn histogram() -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, 60_000_000_000, 2);
    made.unwrap_or_else(|_| unreachable!("these bounds are in order"))
}

fn record(spans: &mut Histogram<u64>, span: Duration) {
    spans.saturating_record(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
}
