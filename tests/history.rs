//! The history checker sees what it is there to see: a message that is lost, one that is doubled, and one that comes out of
//! turn, in traces that are doctored in just that.

use std::path::Path;

use simrun::codec::Qos;
use simrun::rules::Findings;
use simrun::scenario::{Scenario, read};
use simrun::sim::{Engine, run, watch};
use simrun::trace::{Event, What};

fn played() -> (Scenario, Vec<Event>) {
    play("three_promises.yaml")
}

fn play(name: &str) -> (Scenario, Vec<Event>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/history");
    let scenario = read(&folder.join(name)).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let trace = run(&scenario, scenario.seed, Engine::Direct).trace;
    (scenario, trace)
}

/// The places of what this client was told.
fn told(trace: &[Event], name: &str, qos: Qos) -> Vec<usize> {
    let is = |event: &Event| match &event.what {
        What::Told { client, message } => **client == *name && message.qos == qos,
        _ => false,
    };
    (0..trace.len()).filter(|place| is(&trace[*place])).collect()
}

fn broken(findings: &Findings) -> Vec<String> {
    let broken = findings.iter().filter(|(_, finding)| !finding.breaches.is_empty());
    broken.map(|(id, finding)| format!("{id}: {}", finding.breaches[0].why)).collect()
}

#[test]
fn nothing_is_wrong_with_the_run_itself() {
    let (scenario, trace) = played();
    assert_eq!(broken(&watch(&scenario, &trace)), Vec::<String>::new());
    assert!(told(&trace, "old", Qos::AtLeastOnce).len() >= 3 && told(&trace, "new", Qos::ExactlyOnce).len() >= 3);
}

#[test]
fn a_message_that_never_reaches_an_application_is_lost() {
    for (name, qos, statement) in
        [("old", Qos::AtLeastOnce, "v3.1.1/MQTT-4.5.0-1"), ("new", Qos::ExactlyOnce, "v5/MQTT-4.5.0-1")]
    {
        let (scenario, mut trace) = played();
        trace.remove(told(&trace, name, qos)[1]);
        let broken = broken(&watch(&scenario, &trace));
        assert!(broken.len() == 1 && broken[0].starts_with(statement), "{broken:?}");
        assert!(broken[0].contains("never reached"), "{broken:?}");
    }
}

#[test]
fn a_message_at_qos_2_that_is_heard_twice_is_doubled() {
    let (scenario, mut trace) = played();
    let place = told(&trace, "new", Qos::ExactlyOnce)[0];
    trace.insert(place + 1, trace[place].clone());
    let broken = broken(&watch(&scenario, &trace));
    assert!(broken.len() == 1 && broken[0].starts_with("v5/MQTT-4.3.3-10"), "{broken:?}");
}

#[test]
fn at_qos_1_a_message_may_be_heard_twice() {
    let (scenario, mut trace) = played();
    let place = told(&trace, "old", Qos::AtLeastOnce)[0];
    trace.insert(place + 1, trace[place].clone());
    assert_eq!(broken(&watch(&scenario, &trace)), Vec::<String>::new());
}

#[test]
fn messages_that_change_places_are_out_of_order() {
    let (scenario, mut trace) = played();
    let places = told(&trace, "old", Qos::AtLeastOnce);
    let (one, other) = (trace[places[1]].what.clone(), trace[places[2]].what.clone());
    trace[places[1]].what = other;
    trace[places[2]].what = one;
    let broken = broken(&watch(&scenario, &trace));
    assert!(broken.len() == 1 && broken[0].starts_with("v3.1.1/MQTT-4.6.0-6"), "{broken:?}");
}

#[test]
fn what_came_before_a_subscription_may_be_heard_late() {
    let (scenario, trace) = play("subscribed_in_between.yaml");
    let heard: Vec<_> = told(&trace, "dan", Qos::AtLeastOnce).into_iter().map(|place| &trace[place].what).collect();
    let says = |what: &What| match what {
        What::Told { message, .. } => message.payload.clone(),
        _ => unreachable!("told"),
    };
    assert_eq!(heard.into_iter().map(says).collect::<Vec<_>>(), ["two", "one", "two"]);
    assert_eq!(broken(&watch(&scenario, &trace)), Vec::<String>::new());
}

/// Runs that exploration once took for broken.
#[test]
fn nothing_is_wrong_where_the_standard_leaves_room() {
    for name in [
        "closed_before_the_connack.yaml",
        "expired_and_sent_again.yaml",
        "given_up_without_a_connack.yaml",
        "replaced_before_the_connack.yaml",
        "resumed_at_the_last_moment.yaml",
        "subscribed_anew_at_once.yaml",
        "subscribed_anew_in_between.yaml",
        "unsubscribed_and_resumed.yaml",
        "unsubscribed_in_between.yaml",
        "will_at_the_last_moment.yaml",
        "will_without_a_connack.yaml",
    ] {
        let (scenario, trace) = play(name);
        assert_eq!(broken(&watch(&scenario, &trace)), Vec::<String>::new(), "{name}");
    }
}
