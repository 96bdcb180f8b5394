//! A foreign client in the simulator: rumqttc's own state machine over our streams, under faults, held against rules and
//! history.

#[path = "../examples/rumqttc.rs"]
mod example;

fn broken(fault: &str, seed: u64) -> Vec<&'static str> {
    let findings = example::run(fault, seed);
    findings.iter().filter(|(_, finding)| !finding.breaches.is_empty()).map(|(id, _)| id.name()).collect()
}

#[test]
fn a_foreign_client_is_held_against_rules_and_history() {
    let findings = example::run("", 1);
    assert!(findings.len() > 15, "{} statements were seen", findings.len());
    assert_eq!(broken("", 1), Vec::<&str>::new());
}

#[test]
fn faults_befall_it_like_our_own_clients() {
    let all: Vec<_> =
        (1000..1100).step_by(5).flat_map(|at| broken(&format!("  - {{ at: {at}ms, reset: lamp }}"), 1)).collect();
    // It forgets with its connection which QoS 2 messages it has had.
    assert!(all.contains(&"v3.1.1/MQTT-4.3.3-2"), "{all:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let fault = "  - { at: 1040ms, reset: lamp }";
    assert_eq!(example::run(fault, 3), example::run(fault, 3));
}
