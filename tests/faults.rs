//! Every fault word does what the design says, on both engines: each test sees what the peers see.

use std::time::Duration;

use simrun::link::Cause;
use simrun::scenario::parse;
use simrun::sim::{Engine, Run, run};
use simrun::trace::What;

const BOTH: [Engine; 2] = [Engine::Direct, Engine::Turmoil];

/// A listener, subscribed at QoS 1 with a session that lasts, a talker, and what befalls them.
fn play(engine: Engine, broker: &str, timeline: &str) -> Run {
    let text = format!(
        "broker: {broker}\n\
         clients:\n  \
           talker: {{}}\n  \
           listener: {{ subscribe: {{ t: 1 }}, session_expiry: 1h, reconnect: 100ms, keep_alive: 2s }}\n\
         ends: 30s\n\
         timeline:\n{timeline}"
    );
    let scenario = parse("faults", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    run(&scenario, 1, engine)
}

/// When the listener was told of each message, in seconds.
fn told(run: &Run) -> Vec<f64> {
    let times = run.trace.iter().filter(|event| matches!(event.what, What::Told { .. }));
    times.map(|event| event.time.since_start().as_secs_f64()).collect()
}

/// When and why connections ended, at the one called `name`, other than at the very end.
fn closed(run: &Run, name: &str) -> Vec<(f64, Cause)> {
    let end = |what: &What| match what {
        What::Closed { at, cause, .. } if &**at == name => Some(cause.clone()),
        _ => None,
    };
    run.trace.iter().filter_map(|event| Some((event.time.since_start().as_secs_f64(), end(&event.what)?))).collect()
}

fn unreachable(run: &Run) -> usize {
    run.trace.iter().filter(|event| matches!(event.what, What::Unreachable { .. })).count()
}

const PUBLISH_AT_2: &str = "- { at: 2s, publish: { from: talker, topic: t, payload: x, qos: 1 } }\n";

fn between(time: f64, from: f64, to: f64) -> bool {
    (from..=to).contains(&time)
}

#[test]
fn without_a_fault_a_message_arrives_at_once() {
    for engine in BOTH {
        let run = play(engine, "{}", PUBLISH_AT_2);
        let told = told(&run);
        assert!(told.len() == 1 && between(told[0], 2.0, 2.01), "{engine}: {told:?}");
        assert_eq!(closed(&run, "listener"), [], "{engine}");
    }
}

#[test]
fn cut_is_silent_and_heal_lets_new_connections_work() {
    for engine in BOTH {
        let run = play(
            engine,
            "{}",
            &format!("- {{ at: 1s, cut: listener }}\n{PUBLISH_AT_2}- {{ at: 10s, heal: listener }}\n"),
        );
        // Nobody is told of it: each side finds out by itself, by its keep alive.
        let listener = closed(&run, "listener");
        assert!(between(listener[0].0, 1.5, 6.0) && listener[0].1 == Cause::KeepAlive, "{engine}: {listener:?}");
        let broker = closed(&run, "broker");
        assert!(between(broker[0].0, 3.0, 6.0) && broker[0].1 == Cause::KeepAlive, "{engine}: {broker:?}");
        assert!(unreachable(&run) > 0, "{engine}: dials fail until it is healed");
        let told = told(&run);
        assert!(told.len() == 1 && told[0] > 10.0, "{engine}: {told:?}");
    }
}

#[test]
fn cut_one_way_lets_the_other_way_pass() {
    for engine in BOTH {
        let cut = |way: &str| {
            format!("- {{ at: 1500ms, cut: listener, way: {way} }}\n{PUBLISH_AT_2}- {{ at: 2100ms, heal: listener }}\n")
        };
        let up = told(&play(engine, "{}", &cut("up")));
        assert!(between(up[0], 2.0, 2.01), "{engine}: what comes down arrives: {up:?}");
        assert!(up.len() == 2, "{engine}: but its PUBACK does not: it comes again: {up:?}");
        let down = told(&play(engine, "{}", &cut("down")));
        assert!(down.len() == 1 && down[0] > 2.1, "{engine}: what comes down is lost: {down:?}");
    }
}

#[test]
fn hold_is_an_outage_that_tcp_survives() {
    for engine in BOTH {
        let timeline =
            format!("- {{ at: 1900ms, hold: listener }}\n{PUBLISH_AT_2}- {{ at: 2700ms, release: listener }}\n");
        let run = play(engine, "{}", &timeline);
        let told = told(&run);
        assert!(told.len() == 1 && between(told[0], 2.7, 2.71), "{engine}: {told:?}");
        assert_eq!(closed(&run, "listener"), [], "{engine}");
    }
}

#[test]
fn reset_is_seen_by_both_ends() {
    for engine in BOTH {
        let run = play(engine, "{}", &format!("- {{ at: 1s, reset: listener }}\n{PUBLISH_AT_2}"));
        for name in ["listener", "broker"] {
            let closed = closed(&run, name);
            assert!(closed.len() == 1 && between(closed[0].0, 1.0, 1.01), "{engine} at {name}: {closed:?}");
            assert_eq!(closed[0].1, Cause::Reset, "{engine} at {name}");
        }
        assert_eq!(told(&run).len(), 1, "{engine}: it connects again");
    }
}

#[test]
fn close_is_the_end_of_the_stream_for_both() {
    for engine in BOTH {
        let run = play(engine, "{}", &format!("- {{ at: 1s, close: listener }}\n{PUBLISH_AT_2}"));
        for name in ["listener", "broker"] {
            let closed = closed(&run, name);
            assert!(closed.len() == 1 && between(closed[0].0, 1.0, 1.01), "{engine} at {name}: {closed:?}");
            assert_eq!(closed[0].1, Cause::End, "{engine} at {name}");
        }
        assert_eq!(told(&run).len(), 1, "{engine}: it connects again");
    }
}

#[test]
fn kill_ends_the_streams_and_what_is_on_disk_survives() {
    for engine in BOTH {
        let timeline = "- { at: 1s, kill: broker }\n- { at: 3s, start: broker }\n\
                        - { at: 3050ms, connect: talker }\n\
                        - { at: 4s, publish: { from: talker, topic: t, payload: x, qos: 1 } }\n";
        for (broker, present) in [("{ disk: true }", true), ("{}", false)] {
            let run = play(engine, broker, timeline);
            let listener = closed(&run, "listener");
            assert!(between(listener[0].0, 1.0, 1.01) && listener[0].1 == Cause::End, "{engine}: {listener:?}");
            assert!(unreachable(&run) > 0, "{engine}: dials are refused while it is dead");
            assert_eq!(told(&run).len(), 1, "{engine}");
            let resumed = run.trace.iter().any(|event| {
                matches!(&event.what, What::Session { client_id, change: simrun::broker::SessionChange::Resumed } if client_id == "listener")
            });
            assert_eq!(resumed, present, "{engine}: the session is there again exactly if there is a disk");
        }
    }
}

#[test]
fn a_killed_client_ends_its_stream_and_starts_anew() {
    for engine in BOTH {
        let timeline = format!("- {{ at: 1s, kill: listener }}\n{PUBLISH_AT_2}- {{ at: 3s, start: listener }}\n");
        let run = play(engine, "{}", &timeline);
        let broker = closed(&run, "broker");
        assert!(between(broker[0].0, 1.0, 1.01) && broker[0].1 == Cause::End, "{engine}: {broker:?}");
        let told = told(&run);
        assert!(told.len() == 1 && between(told[0], 3.0, 3.1), "{engine}: its session kept the message: {told:?}");
    }
}

#[test]
fn power_off_is_silent_until_the_host_is_back() {
    for engine in BOTH {
        let timeline = "- { at: 1s, power_off: broker }\n- { at: 1300ms, start: broker }\n";
        let run = play(engine, "{ disk: true }", timeline);
        let listener = closed(&run, "listener");
        // It hears nothing at first; its next PINGREQ meets a host that knows nothing of the connection.
        assert!(between(listener[0].0, 1.5, 3.1), "{engine}: {listener:?}");
        assert_eq!(listener[0].1, Cause::Reset, "{engine}");
    }
}

#[test]
fn latency_changes_how_long_bytes_travel() {
    for engine in BOTH {
        let run = play(engine, "{}", &format!("- {{ at: 1s, latency: 200ms }}\n{PUBLISH_AT_2}"));
        let told = told(&run);
        assert!(told.len() == 1 && between(told[0], 2.39, 2.42), "{engine}: {told:?}");
    }
}

#[test]
fn chunk_cuts_the_stream_and_nothing_else_changes() {
    for engine in BOTH {
        let run = play(engine, "{}", &format!("- {{ at: 1s, chunk: 1 }}\n{PUBLISH_AT_2}"));
        let told = told(&run);
        assert!(told.len() == 1 && between(told[0], 2.0, 2.1), "{engine}: {told:?}");
        assert_eq!(closed(&run, "listener"), [], "{engine}");
    }
}

#[test]
fn faults_stand_in_the_trace() {
    for engine in BOTH {
        let run = play(engine, "{}", "- { at: 1s, cut: listener }\n- { at: 2s, heal: listener }\n");
        let faults: Vec<_> = run
            .trace
            .iter()
            .filter_map(|event| match &event.what {
                What::Fault { word, began, .. } => Some((event.time.since_start(), *word, *began)),
                _ => None,
            })
            .collect();
        assert_eq!(
            faults,
            [(Duration::from_secs(1), "cut", true), (Duration::from_secs(2), "heal", false)],
            "{engine}"
        );
    }
}
