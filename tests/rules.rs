//! The rules on real runs: in no shipped scenario does our broker or client break a statement, and the scenarios between
//! them exercise most that the rules watch.

use std::collections::BTreeSet;
use std::path::PathBuf;

use simrun::codec::Version;
use simrun::rules::{Id, Role, Vantage, judge, statements, watched};
use simrun::scenario::read;
use simrun::sim::{Engine, run};

fn shipped() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    files
}

#[test]
fn no_shipped_scenario_breaks_a_statement() {
    let mut breaches = Vec::new();
    let mut exercised = BTreeSet::new();
    for file in shipped() {
        let scenario = read(&file).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
        let run = run(&scenario, scenario.seed, Engine::Direct);
        for role in [Role::Server, Role::Client] {
            for (id, finding) in judge(&run.trace, role, Vantage::Both) {
                exercised.insert((role, id));
                for breach in finding.breaches {
                    breaches.push(format!(
                        "{}: {role:?} breaks {id} at event {}: {}",
                        file.display(),
                        breach.event,
                        breach.why
                    ));
                }
            }
        }
    }
    // The one program that is meant to.
    let meant =
        |breach: &&String| breach.contains("mad_program.yaml") && breach.contains("Client breaks v3.1.1/MQTT-3.3.1-4");
    assert_eq!(breaches.iter().filter(meant).count(), 1, "{breaches:?}");
    assert_eq!(breaches.len(), 1, "{}", breaches.join("\n"));
    assert!(exercised.len() > 100, "the scenarios exercise only {} statements", exercised.len());
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
