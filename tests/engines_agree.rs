//! Both engines are right about every shipped scenario, and the same messages reach the same applications.

mod support;

use std::collections::BTreeSet;

use simrun::scenario::{judge, read};
use simrun::sim::{Engine, Run, run};
use simrun::trace::What;
use support::scenarios::{name, shipped};

/// Who heard what. At QoS 1 a message may be heard twice, on one engine and not on the other.
fn heard(run: &Run) -> BTreeSet<(String, String, Vec<u8>)> {
    let told = |what: &What| match what {
        What::Told { client, message } => {
            Some((client.to_string(), message.topic.to_string(), message.payload.to_vec()))
        }
        _ => None,
    };
    run.trace.iter().filter_map(|event| told(&event.what)).collect()
}

#[test]
fn about_every_shipped_scenario() {
    let mut failures = Vec::new();
    for file in shipped() {
        let name = name(&file);
        let scenario = read(&file).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
        let [direct, turmoil] = [Engine::Direct, Engine::Turmoil].map(|engine| {
            let run = run(&scenario, scenario.seed, engine);
            for verdict in judge(&scenario, &run.trace).iter().filter(|verdict| !verdict.held) {
                failures.push(format!("{name} on {engine}: {verdict}"));
            }
            run
        });
        // Members of a group that shares a subscription take turns; whose turn it is depends on who came first.
        let shares = scenario
            .clients
            .iter()
            .any(|(_, client)| client.subscribe.names().any(|filter| filter.starts_with("$share/")));
        if !shares && heard(&direct) != heard(&turmoil) {
            failures.push(format!("{name}: not the same messages reached the same applications"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
