//! What a scenario demands of its run: each way of holding and of failing, and how a failure is told.

use std::fmt::Write as _;
use std::time::Duration;

use simrun::scenario::{Verdict, judge, judge_with_grace, parse};
use simrun::sim::{Engine, run};

/// What every expectation of this scenario comes to.
fn verdicts(text: &str) -> Vec<Verdict> {
    let loaded = parse("test.yaml", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}"));
    let run = run(&loaded.scenario, 0, Engine::Direct);
    judge(&loaded.scenario, &run.trace)
}

/// Two lamps and a switch that says `on` at the first second and `off` at the second; then the given demands.
fn lamps(demands: &str) -> Vec<Verdict> {
    verdicts(&format!(
        "network: {{ latency: 10ms }}
clients:
  switch: {{ version: \"5\" }}
  hall: {{ version: \"3.1.1\", subscribe: {{ light: 1 }} }}
  porch: {{ version: \"5\", subscribe: {{ light: 0 }} }}
timeline:
  - {{ at: 1s, publish: {{ from: switch, topic: light, payload: \"on\", qos: 1 }} }}
  - {{ at: 2s, publish: {{ from: switch, topic: light, payload: \"off\", qos: 1, content_type: text }} }}
{demands}"
    ))
}

fn held(demands: &str) -> Vec<bool> {
    lamps(demands).iter().map(|verdict| verdict.held).collect()
}

#[test]
fn patterns_are_taken_in_order_for_each_client() {
    let demands = "  - by: 3s
    expect:
      - { to: hall, packet: publish, payload: \"on\" }
      - { to: hall, packet: publish, payload: \"off\" }
      - { to: porch, packet: publish, payload: \"on\" }";
    assert_eq!(held(demands), [true, true, true]);
    let backwards = "  - by: 3s
    expect:
      - { to: hall, packet: publish, payload: \"off\" }
      - { to: hall, packet: publish, payload: \"on\" }
      - { to: porch, packet: publish, payload: \"on\" }";
    assert_eq!(held(backwards), [true, false, true]);
}

#[test]
fn one_event_serves_one_pattern() {
    let demands = "  - by: 3s
    expect:
      - { to: hall, packet: publish, payload: \"on\" }
      - { to: hall, packet: publish, payload: \"on\" }";
    assert_eq!(held(demands), [true, false]);
}

#[test]
fn what_comes_after_by_is_too_late() {
    let demands = "  - { by: 2s, expect: [{ to: hall, packet: publish, payload: \"off\" }] }";
    assert_eq!(held(demands), [false]);
}

#[test]
fn counts_are_exact_and_from_the_beginning() {
    let demands = "  - by: 2s
    expect: [{ to: hall, packet: publish, count: 1 }, { to: hall, packet: publish, count: 2 }]
  - by: 3s
    expect: [{ to: hall, packet: publish, count: 2 }, { to: hall, packet: publish, count: 1..3 }, { packet: connack, count: 3 }]";
    assert_eq!(held(demands), [true, false, true, true, true]);
}

#[test]
fn never_is_about_the_whole_run() {
    let demands = "never:
  - { to: hall, packet: publish, payload: \"off\" }
  - { to: hall, packet: publish, payload: blue }
  - { client: porch, event: disconnected }";
    assert_eq!(held(demands), [false, true, true]);
}

#[test]
fn fields_of_packets_and_events() {
    let demands = "  - by: 3s
    expect:
      - { from: hall, packet: connect, client_id: hall, clean_start: true, keep_alive: 60s }
      - { from: hall, packet: subscribe, filter: light }
      - { to: hall, packet: suback, reasons: [granted QoS 1] }
      - { to: hall, packet: publish, topic: light, qos: 1, dup: false, retain: false, size: 2, hex: 6f6e }
      - { from: hall, packet: puback, reason: 0 }
      - { client: hall, event: told, topic: light, payload: \"off\", qos: 1 }
      - { to: porch, packet: connack, session_present: false, reason: success }
      - { to: porch, packet: publish, qos: 0, has: { content_type: false } }
      - { to: porch, packet: publish, qos: 0, content_type: text }
      - { client: switch, event: said, payload: \"on\", count: 1 }
      - { client: switch, event: opened, count: 1 }
      - { client: switch, event: connected, count: 1 }";
    let verdicts = lamps(demands);
    assert!(verdicts.iter().all(|verdict| verdict.held), "{verdicts:#?}");
}

#[test]
fn a_failure_says_what_came_nearest() {
    let demands = "  - by: 2005ms
    expect:
      - { to: hall, packet: publish, payload: \"on\", dup: true }
      - { to: hall, packet: publish, payload: \"off\" }
      - { to: hall, packet: disconnect }
      - { to: porch, packet: publish, payload: \"on\" }
      - { to: porch, packet: connack }
      - { to: porch, packet: publish, count: 3 }
      - { to: switch, packet: puback, count: 0 }
      - { client: switch, event: printed, line: hello }
never:
  - { client: porch, event: told, payload: \"off\" }";
    let mut told = String::new();
    for verdict in lamps(demands) {
        let _ = writeln!(told, "{} {verdict}", if verdict.held { "✓" } else { "✗" });
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_grace_excuses_what_is_late_and_nothing_else() {
    // The first message arrives 20 ms after it was published, the second a second later.
    let text = "network: { latency: 10ms }
clients:
  switch: {}
  hall: { subscribe: { light: 1 } }
timeline:
  - { at: 1s, publish: { from: switch, topic: light, payload: one, qos: 1 } }
  - by: 1s
    expect:
      - { to: hall, packet: publish, payload: one }
      - { to: hall, packet: publish, count: 1 }
      - { to: hall, packet: publish, count: 0 }
      - { to: hall, packet: publish, count: 2 }
  - { at: 2s, publish: { from: switch, topic: light, payload: two, qos: 1 } }
  - by: 3s
    expect:
      - { to: hall, packet: publish, count: 1 }
      - { to: hall, packet: publish, payload: three }
never:
  - { to: hall, packet: publish, payload: two }";
    let loaded = parse("test.yaml", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}"));
    let run = run(&loaded.scenario, 0, Engine::Direct);
    let held = |grace: u64| -> Vec<bool> {
        let verdicts = judge_with_grace(&loaded.scenario, &run.trace, Duration::from_millis(grace));
        verdicts.iter().map(|verdict| verdict.held).collect()
    };
    assert_eq!(held(0), [false, false, true, false, false, false, false]);
    assert_eq!(held(100), [true, true, true, false, false, false, false]);
}
