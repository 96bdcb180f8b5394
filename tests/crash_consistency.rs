//! The broker's host loses its power at every point where the store writes or syncs; what pends on the disk is lost, kept
//! or torn. Whatever was promised is there afterwards, nothing is there by half, and the broker always starts again.
//!
//! `cargo test --release --test crash_consistency -- --include-ignored --nocapture` tries all that is here and says how much
//! that was.

#![allow(clippy::print_stdout)] // Figures, for who asks for them.

use std::collections::{BTreeMap, BTreeSet};

use simrun::broker::{Broker, Config, Input, Output, Peer};
use simrun::codec::{
    Connect, Frame, Packet, PacketIdentifier, Properties, Publish, Qos, Subscribe, Subscription, SubscriptionOptions,
    Text, Version, decode,
};
use simrun::explore::{with_faults, workload};
use simrun::link::LinkId;
use simrun::scenario::{Scenario, parse};
use simrun::sim::crash::{Crash, Crashed, Flaw, Wreck, run_with_crashes};
use simrun::sim::platter::{Mishap, Platter};
use simrun::sim::watch;
use simrun::store::database::Database;
use simrun::store::{Change, Restored};
use simrun::time::Time;
use simrun::trace::{Event, Name, What};

/// Owed messages and exchanges of both QoS in both versions, a session that comes, goes and ends, retained messages, a
/// will, a subscription that goes: a short day of everything that is stored.
const SHORT: &str = r#"
broker: { disk: true }
network: { latency: 1ms..5ms }
clients:
  meter:  { version: "3.1.1", clean_start: false, keep_alive: 5s, reconnect: 300ms }
  valve:  { version: "5", session_expiry: 1h, keep_alive: 5s, reconnect: 300ms,
            will: { topic: gone, payload: valve, qos: 1, delay: 20s } }
  office: { version: "5", session_expiry: 1d, subscribe: { meter: 2, valve: 2, gone: 1 }, keep_alive: 5s, reconnect: 300ms }
  home:   { version: "3.1.1", clean_start: false, subscribe: { '#': 1 }, keep_alive: 5s, reconnect: 300ms }
timeline:
  - { at: 1s, publish: { from: meter, topic: meter, payload: "one", qos: 1 } }
  - { at: 1100ms, publish: { from: valve, topic: valve, payload: "open", qos: 2, retain: true } }
  - { at: 2s, disconnect: office }
  - { at: 2500ms, publish: { from: meter, topic: meter, payload: "two", qos: 2 } }
  - { at: 2505ms, publish: { from: valve, topic: valve, payload: "half", qos: 1 } }
  - { at: 2510ms, publish: { from: meter, topic: meter, payload: "three", qos: 2 } }
  - { at: 6s, connect: office }
  - { at: 9s, publish: { from: valve, topic: valve, payload: "shut", qos: 2 } }
  - { at: 9s, disconnect: home }
ends: 40s
"#;

fn scenario(yaml: &str) -> Scenario {
    parse("short.yaml", yaml.as_bytes()).unwrap_or_else(|error| panic!("{error:?}")).scenario
}

/// How runs with crashes went.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    crashes: usize,
    /// What broke, with the seed and the first crashes that broke it.
    broken: BTreeMap<String, (u64, Vec<Crash>)>,
}

impl Tally {
    /// Runs a scenario with these crashes, and holds it against rules and history.
    fn try_with(&mut self, scenario: &Scenario, crashes: &[Crash], flaw: Option<Flaw>) -> Crashed {
        let crashed = run_with_crashes(scenario, scenario.seed, crashes, flaw);
        self.runs += 1;
        self.crashes += crashed.crashes;
        if crashed.damaged > 0 {
            self.broke("the store could not be opened".to_owned(), scenario, crashes);
        }
        for (id, finding) in watch(scenario, &crashed.run.trace) {
            if let Some(breach) = finding.breaches.first() {
                self.broke(format!("{}: {}", id.name(), breach.why), scenario, crashes);
            }
        }
        crashed
    }

    /// The same for the short run, in which every session lasts.
    fn try_short(&mut self, scenario: &Scenario, crashes: &[Crash], flaw: Option<Flaw>) {
        let crashed = self.try_with(scenario, crashes, flaw);
        for client in forgotten(&crashed.run.trace) {
            self.broke(format!("the session of {client} is gone"), scenario, crashes);
        }
    }

    fn broke(&mut self, what: String, scenario: &Scenario, crashes: &[Crash]) {
        self.broken.entry(what).or_insert_with(|| (scenario.seed, crashes.to_vec()));
    }
}

/// The clients that were promised a session by a CONNACK, and were told by a later one that there is none.
fn forgotten(trace: &[Event]) -> BTreeSet<Name> {
    let (mut promised, mut forgotten) = (BTreeSet::new(), BTreeSet::new());
    for event in trace {
        if let What::Left(transfer) = &event.what
            && &*transfer.from == "broker"
            && let Ok(Packet::ConnAck(connack)) = decode(transfer.version, &transfer.bytes)
            && !promised.insert(transfer.to.clone())
            && !connack.session_present
        {
            forgotten.insert(transfer.to.clone());
        }
    }
    forgotten
}

/// How many operations the store of the short run takes if nothing happens.
fn operations_of(scenario: &Scenario) -> u64 {
    run_with_crashes(scenario, scenario.seed, &[], None).operations
}

/// Each operation of the store of a run, and each of these wrecks.
fn each_crash(operations: u64, wrecks: &[Wreck]) -> impl Iterator<Item = Crash> {
    (0..operations).flat_map(move |operation| wrecks.iter().map(move |&wreck| Crash { operation, wreck }))
}

#[test]
fn a_crash_at_every_write_of_a_short_run() {
    let scenario = scenario(SHORT);
    let mut tally = Tally::default();
    let operations = operations_of(&scenario);
    assert!(operations > 100, "{operations}");
    for crash in each_crash(operations, &Wreck::CERTAIN) {
        tally.try_short(&scenario, &[crash], None);
    }
    println!("{operations} operations, {} runs, {} crashes", tally.runs, tally.crashes);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
    assert_eq!(tally.crashes, 5 * usize::try_from(operations).unwrap(), "every one of them happened");
}

/// The second crash comes while the broker starts again after the first, or soon after.
#[test]
fn a_crash_during_the_recovery_from_a_crash() {
    let scenario = scenario(SHORT);
    let mut tally = Tally::default();
    let operations = operations_of(&scenario);
    for first in (7..operations).step_by(31) {
        for (number, second) in (1..=12).enumerate() {
            let wreck = |number: usize| Wreck::CERTAIN[number % Wreck::CERTAIN.len()];
            let crashes = [
                Crash { operation: first, wreck: wreck(number) },
                Crash { operation: first + second, wreck: wreck(number / 5 + number) },
            ];
            tally.try_short(&scenario, &crashes, None);
        }
    }
    println!("{} runs, {} crashes", tally.runs, tally.crashes);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
    assert_eq!(tally.crashes, 2 * tally.runs);
}

/// Workloads as exploration draws them, with crashes at some of their writes.
fn sampled(seeds: std::ops::Range<u64>, crashes_each: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        // With other faults as well, and the quiet phase after them.
        let plan = with_faults(&workload(seed), seed);
        let Some(scenario) = plan.runnable().filter(|scenario| scenario.broker.disk) else { continue };
        let operations = operations_of(&scenario);
        for number in 0..crashes_each.min(operations) {
            let operation = (number * operations + seed % operations) / crashes_each;
            tally.try_with(&scenario, &[Crash { operation, wreck: Wreck::Drawn(seed ^ number) }], None);
        }
    }
    println!("{} runs, {} crashes", tally.runs, tally.crashes);
    tally
}

#[test]
fn crashes_in_drawn_runs() {
    let tally = sampled(0..40, 5);
    assert!(tally.crashes > 50, "{}", tally.crashes);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
}

#[test]
#[ignore = "takes minutes"]
fn many_crashes_in_drawn_runs() {
    let tally = sampled(0..2000, 20);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
}

#[test]
#[ignore = "takes minutes"]
fn every_crash_of_a_short_run_with_a_hundred_drawn_wrecks() {
    let scenario = scenario(SHORT);
    let mut tally = Tally::default();
    let operations = operations_of(&scenario);
    let wrecks: Vec<Wreck> = (0..100).map(Wreck::Drawn).collect();
    for crash in each_crash(operations, &wrecks) {
        tally.try_short(&scenario, &[crash], None);
    }
    println!("{operations} operations, {} runs, {} crashes", tally.runs, tally.crashes);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
}

/// The check is seen failing: a host that says "durable" too early, and a store that never syncs.
#[test]
fn flaws_are_found() {
    let scenario = scenario(SHORT);
    for flaw in [Flaw::TellsTooEarly, Flaw::NeverSyncs] {
        let mut tally = Tally::default();
        tally.try_short(&scenario, &[], Some(flaw));
        assert!(tally.broken.is_empty(), "without a crash nothing shows: {:#?}", tally.broken);
        for crash in each_crash(operations_of(&scenario), &[Wreck::Lost]) {
            tally.try_short(&scenario, &[crash], Some(flaw));
        }
        println!("{flaw:?}: {:#?}", tally.broken);
        let expected = match flaw {
            Flaw::TellsTooEarly => ["MQTT-4.5.0-1", "MQTT-4.3.3-10"],
            Flaw::NeverSyncs => ["the session of office is gone", "the session of meter is gone"],
        };
        for what in expected {
            assert!(tally.broken.keys().any(|broken| broken.contains(what)), "{flaw:?}: {:#?}", tally.broken);
        }
    }
}

/// Batches as a broker writes them, taken from a run.
fn batches() -> Vec<Vec<Change>> {
    let mut broker = Broker::new(Config { durable: true, ..Config::default() }, Restored::default(), Time::ZERO);
    let link = LinkId(1);
    let connect = Connect {
        version: Version::V3_1_1,
        clean_start: false,
        keep_alive: 0,
        client_id: Text::literal("a"),
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    };
    let options = SubscriptionOptions { qos: Qos::ExactlyOnce, ..SubscriptionOptions::default() };
    let subscribe = Subscribe {
        packet_identifier: PacketIdentifier::new(1).expect("not 0"),
        properties: Properties::new(),
        subscriptions: vec![Subscription { filter: Text::literal("#"), options }],
    };
    let mut packets = vec![Packet::Connect(Box::new(connect)), Packet::Subscribe(subscribe)];
    for number in 1..=12_u16 {
        packets.push(Packet::Publish(Publish {
            qos: if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce },
            topic: Text::literal("t"),
            retain: number % 3 == 0,
            packet_identifier: PacketIdentifier::new(number),
            payload: vec![7; 40 * usize::from(number) * usize::from(number)].into(),
            ..Publish::default()
        }));
    }
    broker.handle(Time::ZERO, Input::Opened(link, Peer::default()));
    let mut batches = Vec::new();
    for packet in packets {
        let bytes = Frame::new(&packet, Version::V3_1_1).expect("it can be sent").to_bytes();
        broker.handle(Time::ZERO, Input::Received(link, bytes));
        let mut stored = Vec::new();
        while let Some(output) = broker.poll() {
            if let Output::Store(changes, mark) = output {
                batches.push(changes);
                stored.push(mark);
            }
        }
        stored.into_iter().for_each(|mark| broker.handle(Time::ZERO, Input::Stored(mark)));
        while broker.poll().is_some() {}
    }
    batches
}

/// The store by itself: after a crash at any operation there is what was durable, and beside it the batch under way
/// whole or not at all.
#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    let batches = batches();
    assert!(batches.len() > 10, "{}", batches.len());
    let mut states = vec![Restored::default()];
    for batch in &batches {
        let mut state = states.last().expect("the first").clone();
        batch.iter().for_each(|change| state.apply(change.clone()));
        states.push(state);
    }
    let run = |crash: Option<u64>| {
        let platter = Platter::default();
        if let Some(operation) = crash {
            platter.plan(operation, Mishap::PowerOff);
        }
        let mut durable = 0;
        if let Ok((mut database, _)) = Database::open(platter.clone()) {
            durable = batches
                .iter()
                .take_while(|batch| database.write(&batch.iter().cloned().collect(), None).is_ok())
                .count();
            platter.deafen();
        }
        platter.listen();
        (platter, durable)
    };
    let operations = run(None).0.operations();
    let wrecks = Wreck::CERTAIN.into_iter().chain((0..20).map(Wreck::Drawn));
    let (mut crashes, mut whole) = (0, 0);
    for wreck in wrecks {
        for operation in 0..operations {
            let (platter, durable) = run(Some(operation));
            platter.lose_power(wreck.fates(platter.pending()));
            let (_, contents) = Database::open(platter).unwrap_or_else(|error| {
                panic!("it does not open after a crash at operation {operation}, {wreck:?}: {error:?}")
            });
            let next = states.get(durable + 1);
            let is_whole = next == Some(&contents.restored) && next != states.get(durable);
            assert!(
                contents.restored == states[durable] || is_whole,
                "operation {operation}, {wreck:?}: {} records after {durable} batches",
                contents.restored.len()
            );
            crashes += 1;
            whole += usize::from(is_whole);
        }
    }
    println!("{operations} operations, {crashes} crashes, after {whole} of which the batch under way was there");
    assert!(whole > 0 && whole < crashes);
}
