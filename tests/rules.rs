//! The rules on real runs: in no shipped scenario does our broker or client break a statement, and the scenarios between
//! them exercise most that the rules watch.

mod support;

use std::collections::BTreeSet;

use simrun::codec::Version;
use simrun::rules::{Id, Role, Vantage, judge, statements, watched};
use simrun::scenario::read;
use simrun::sim::{Engine, run, watch};
use support::scenarios::shipped;

#[test]
fn no_shipped_scenario_breaks_a_statement() {
    let mut breaches = Vec::new();
    let mut exercised = BTreeSet::new();
    for file in shipped() {
        let scenario = read(&file).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
        for engine in [Engine::Direct, Engine::Turmoil] {
            let run = run(&scenario, scenario.seed, engine);
            for (id, finding) in watch(&scenario, &run.trace) {
                exercised.insert(id);
                for breach in finding.breaches {
                    breaches.push(format!(
                        "{} on {engine}: {id} at event {}: {}",
                        file.display(),
                        breach.event,
                        breach.why
                    ));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    assert!(exercised.len() > 100, "the scenarios exercise only {} statements", exercised.len());
}

/// The one program that is meant to break a statement, seen as any other.
#[test]
fn a_mad_program_is_seen() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/mad_program.yaml");
    let scenario = read(file.as_ref()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let run = run(&scenario, scenario.seed, Engine::Direct);
    let findings = judge(&run.trace, Role::Client, Vantage::Both);
    let broken: Vec<String> =
        findings.iter().filter(|(_, finding)| !finding.breaches.is_empty()).map(|(id, _)| id.to_string()).collect();
    assert_eq!(broken, ["v3.1.1/MQTT-3.3.1-4"]);
}

#[test]
fn every_rule_names_statements_that_exist() {
    for role in [Role::Server, Role::Client] {
        assert!(watched(role).len() > 60, "{role:?}: {}", watched(role).len());
    }
    let all: Vec<Id> = [Version::V3_1_1, Version::V5].into_iter().flat_map(statements::all).map(|s| s.id).collect();
    assert_eq!(all.len(), 392);
    assert!(all.iter().all(|id| Id::named(id.name()) == Some(*id)));
}
