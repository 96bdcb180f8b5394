//! Exploration: our broker and clients hold under many orders of faults, the result depends on the seeds alone, parts merge
//! into the whole, and what is shrunk still is what it was.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use simrun::explore::{Orders, Outcome, Plan, Source, examine, shrink, sweep, with_faults, workload};
use simrun::scenario::parse;

fn run(source: &Source, seeds: &str, shard: Option<&str>, jobs: usize) -> Outcome {
    let orders = Orders {
        seeds: seeds.parse().expect("a range"),
        shard: shard.map(|shard| shard.parse().expect("a shard")),
        jobs,
        keep_going: true,
    };
    sweep(source, &orders, &AtomicBool::new(false), |_, _| {})
}

#[test]
fn our_broker_and_clients_hold() {
    let outcome = run(&Source::Workload, "0..200", None, 2);
    assert_eq!(outcome.failures, Default::default());
    assert_eq!(outcome.runs, 200);
    let words: Vec<&str> = outcome.faults.keys().map(String::as_str).collect();
    assert_eq!(words, ["chunk", "close", "cut", "hold", "kill", "latency", "power_off", "reset"]);
    assert!(outcome.exercised.len() > 100, "{} statements", outcome.exercised.len());
}

#[test]
fn a_scenario_of_the_users_holds_too() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history/three_promises.yaml");
    let plan = Plan::read(&file).unwrap_or_else(|diagnosis| panic!("{diagnosis}"));
    let outcome = run(&Source::Scenario(plan), "0..100", None, 2);
    assert_eq!(outcome.failures, Default::default());
}

#[test]
fn parts_merge_into_the_whole_whatever_the_number_of_threads() {
    let whole = run(&Source::Workload, "0..60", None, 1);
    let mut merged = run(&Source::Workload, "0..60", Some("1/3"), 2);
    for shard in ["0/3", "2/3"] {
        merged.merge(run(&Source::Workload, "0..60", Some(shard), 2)).expect("they are about the same");
    }
    assert_eq!(merged.json(), whole.json());
    assert_eq!(Outcome::read(&merged.json()).expect("a result"), whole);
}

#[test]
fn what_is_written_is_read_as_it_was() {
    for seed in 0..50 {
        let plan = with_faults(&workload(seed), seed);
        let text = plan.yaml(&["A comment.".to_owned()]);
        let scenario = parse("capsule", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}\n{text}"));
        assert_eq!(examine(&scenario.scenario), examine(&Source::Workload.plan(seed).runnable().expect("a scenario")));
    }
}

/// There is nothing wrong with the runs, so nothing can be taken away without losing what is looked for.
#[test]
fn nothing_is_shrunk_away_that_does_not_break() {
    let plan = with_faults(&workload(3), 3);
    let shrunk = shrink(&plan, "v5/MQTT-4.5.0-1", || true);
    assert_eq!(shrunk.plan, plan);
}
