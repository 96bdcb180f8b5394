//! The ledger of sessions, wills, copies and exchanges: nothing is wrong with our machines, and whatever it judges is seen
//! broken once, in the trace of a run that has been tampered with.

use std::path::Path;

use simrun::codec::{AckKind, Packet, Property, Qos, Reason, Value, Version, decode};
use simrun::link::Cause;
use simrun::scenario::{Scenario, read};
use simrun::sim::{Engine, run, watch};
use simrun::time::Time;
use simrun::trace::{Event, Transfer, What};

type Trace = Vec<Event>;

fn played(name: &str) -> (Scenario, Trace) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/bugs").join(name).with_extension("yaml");
    let scenario = read(&file).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let trace = run(&scenario, scenario.seed, Engine::Direct).trace;
    (scenario, trace)
}

fn broken(scenario: &Scenario, trace: &Trace) -> Vec<&'static str> {
    let findings = watch(scenario, trace);
    findings.iter().filter(|(_, finding)| !finding.breaches.is_empty()).map(|(id, _)| id.name()).collect()
}

/// Plays the scenario of a bug, tampers with its trace, and sees that these statements are broken, and were not before.
fn seen(scenario: &str, statements: &[&str], tamper: impl FnOnce(&mut Trace)) {
    let (scenario, mut trace) = played(scenario);
    assert_eq!(broken(&scenario, &trace), Vec::<&str>::new());
    let before = trace.clone();
    tamper(&mut trace);
    assert_ne!(trace, before, "nothing was tampered with");
    let broken = broken(&scenario, &trace);
    let missing: Vec<_> = statements.iter().filter(|statement| !broken.contains(statement)).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {broken:?}");
}

fn packet(transfer: &Transfer) -> Option<Packet> {
    decode(transfer.version, &transfer.bytes).ok()
}

/// What the broker sends.
fn sent(event: &Event) -> Option<Packet> {
    match &event.what {
        What::Left(transfer) if &*transfer.from == "broker" => packet(transfer),
        _ => None,
    }
}

/// What a client sends.
fn asked(event: &Event) -> Option<Packet> {
    match &event.what {
        What::Left(transfer) if &*transfer.to == "broker" => packet(transfer),
        _ => None,
    }
}

fn is_copy(event: &Event) -> bool {
    matches!(sent(event), Some(Packet::Publish(_)))
}

/// Changes what the broker sends.
fn change(trace: &mut Trace, change: impl Fn(&mut Packet)) {
    for event in trace {
        let Some(mut packet) = sent(event) else { continue };
        let What::Left(transfer) = &mut event.what else { continue };
        change(&mut packet);
        let version = if transfer.version == Version::V5 { Version::V5 } else { Version::V3_1_1 };
        transfer.bytes = simrun::codec::Frame::new(&packet, version).expect("it can be sent").to_bytes();
    }
}

/// Repeats what the broker sends.
fn repeat(trace: &mut Trace, which: impl Fn(&Event) -> bool) {
    *trace = trace
        .drain(..)
        .flat_map(|event| if which(&event) { vec![event.clone(), event] } else { vec![event] })
        .collect();
}

/// Puts an event behind each that `which` gives one for.
fn insert(trace: &mut Trace, which: impl Fn(&Event) -> Option<What>) {
    let behind = |event: Event| {
        let more = which(&event).map(|what| Event { time: event.time, what });
        std::iter::once(event).chain(more)
    };
    *trace = trace.drain(..).flat_map(behind).collect();
}

#[test]
fn a_session_that_is_lost_or_lives_too_long() {
    seen("session_of_the_absent_not_stored", &["v3.1.1/MQTT-3.1.2-4", "v5/MQTT-3.1.2-5"], |trace| {
        change(trace, |packet| {
            if let Packet::ConnAck(connack) = packet {
                connack.session_present = false;
            }
        });
    });
    seen("expiry_forgotten_over_a_restart", &["v5/MQTT-4.1.0-2"], |trace| {
        change(trace, |packet| {
            if let Packet::ConnAck(connack) = packet {
                connack.session_present = true;
            }
        });
    });
    // Neither session outlives its connection, and both are resumed.
    seen("dead_link_never_noticed", &["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-4.1.0-2"], |trace| {
        change(trace, |packet| {
            if let Packet::ConnAck(connack) = packet {
                connack.session_present = true;
            }
        });
    });
}

#[test]
fn a_connection_that_is_displaced() {
    seen("no_word_to_the_displaced", &["v5/MQTT-3.1.4-3"], |trace| {
        trace.retain(|event| !matches!(sent(event), Some(Packet::Disconnect(_))));
    });
    seen("displaced_connection_lives_on", &["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"], |trace| {
        trace.retain(|event| !matches!(&event.what, What::Closed { cause: Cause::TakenOver, .. }));
    });
    seen("displaced_connection_lives_on", &["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"], |trace| {
        // They are closed at the very end, and are sent something before.
        let displaced = |event: &Event| match event.what {
            What::Closed { link, cause: Cause::TakenOver, .. } => Some(link),
            _ => None,
        };
        let (closed, others): (Trace, Trace) = trace.drain(..).partition(|event| displaced(event).is_some());
        let ends = others.last().expect("it is long").time;
        let links: Vec<_> = closed.iter().filter_map(displaced).collect();
        let suback = |event: &&Event| {
            matches!(&event.what, What::Left(transfer) if links.contains(&transfer.link))
                && matches!(sent(event), Some(Packet::SubAck(_)))
        };
        let more: Trace = others.iter().filter(suback).cloned().chain(closed).collect();
        trace.extend(others);
        trace.extend(more.into_iter().map(|event| Event { time: ends, ..event }));
    });
    seen("takeover_without_end", &["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"], |trace| {
        // One client of each version is let in again and again.
        let ends = trace.last().expect("it is long").time;
        for version in [Version::V3_1_1, Version::V5] {
            let arrives = |event: &&Event| {
                matches!(&event.what, What::Arrived(transfer)
                    if transfer.version == version && matches!(packet(transfer), Some(Packet::ConnAck(_))))
            };
            let late = trace.iter().rfind(arrives).expect("they connect").clone();
            trace.extend(std::iter::repeat_n(Event { time: ends, ..late }, 25));
        }
    });
}

#[test]
fn a_connection_that_is_closed_without_need() {
    let violation = |link, at: &str, reason| What::Closed { link, at: at.into(), cause: Cause::Protocol(reason, "") };
    seen("qos2_repeat_refused", &["v3.1.1/MQTT-4.3.3-2", "v5/MQTT-4.3.3-10"], |trace| {
        insert(trace, |event| match &event.what {
            What::Arrived(transfer) if &*transfer.to == "broker" => match packet(transfer)? {
                Packet::Publish(publish) if publish.dup => {
                    Some(violation(transfer.link, "broker", Reason::ProtocolError))
                }
                _ => None,
            },
            _ => None,
        });
    });
    seen("quota_grows_with_repeats", &["v5/MQTT-3.3.4-7"], |trace| {
        insert(trace, |event| match &event.what {
            What::Arrived(transfer) if &*transfer.to == "broker" => match packet(transfer)? {
                Packet::Publish(_) => Some(violation(transfer.link, "broker", Reason::ReceiveMaximumExceeded)),
                _ => None,
            },
            _ => None,
        });
    });
    seen("unknown_pubrel_reconnect_storm", &["v5/MQTT-4.3.3-11"], |trace| {
        insert(trace, |event| match &event.what {
            What::Arrived(transfer) if &*transfer.from == "broker" => match packet(transfer)? {
                Packet::Ack(ack) if ack.kind == AckKind::PubRel => {
                    Some(violation(transfer.link, &transfer.to, Reason::ProtocolError))
                }
                _ => None,
            },
            _ => None,
        });
    });
    seen("keep_alive_without_patience", &["v3.1.1/MQTT-3.1.2-24", "v5/MQTT-3.1.2-22"], |trace| {
        for event in trace {
            if matches!(event.what, What::Closed { cause: Cause::KeepAlive, .. }) {
                event.time = event.time - std::time::Duration::from_secs(1);
            }
        }
    });
    seen("keep_alive_without_patience", &["v3.1.1/MQTT-3.1.2-24", "v5/MQTT-3.1.2-22"], |trace| {
        trace.retain(|event| !matches!(event.what, What::Closed { cause: Cause::KeepAlive, .. }));
    });
}

#[test]
fn a_will_that_does_not_come_or_comes_twice() {
    seen("will_lost_at_takeover", &["v3.1.1/MQTT-3.1.2-8", "v5/MQTT-3.1.2-8"], |trace| {
        trace.retain(|event| !is_copy(event));
    });
    seen("will_lost_at_takeover", &["v3.1.1/MQTT-3.1.2-10", "v5/MQTT-3.1.3-9"], |trace| repeat(trace, is_copy));
}

#[test]
fn a_copy_that_says_something_else() {
    seen("first_filter_wins", &["v3.1.1/MQTT-3.3.5-1", "v5/MQTT-3.3.4-2"], |trace| {
        change(trace, |packet| {
            if let Packet::Publish(publish) = packet {
                (publish.qos, publish.packet_identifier) = (Qos::AtMostOnce, None);
            }
        });
    });
    seen("first_filter_wins", &["v3.1.1/MQTT-3.8.4-6", "v5/MQTT-3.8.4-8"], |trace| {
        change(trace, |packet| {
            if let Packet::Publish(publish) = packet {
                publish.qos = Qos::ExactlyOnce;
            }
        });
    });
    seen("retain_as_published_lost_offline", &["v5/MQTT-3.3.1-13"], |trace| {
        change(trace, |packet| {
            if let Packet::Publish(publish) = packet {
                publish.retain = false;
            }
        });
    });
    seen("message_expiry_not_counted_down", &["v5/MQTT-3.3.2-6"], |trace| {
        change(trace, |packet| {
            if let Packet::Publish(publish) = packet
                && let Some(left) = publish.properties.message_expiry_interval()
            {
                publish.properties =
                    simrun::codec::Properties::default().with(Property::MessageExpiryInterval, Value::Four(left + 5));
            }
        });
    });
    seen("message_expiry_not_counted_down", &["v5/MQTT-3.3.2-5"], |trace| {
        for event in trace {
            if is_copy(event) {
                event.time = Time::after(std::time::Duration::from_secs(100_000));
            }
        }
    });
}

#[test]
fn a_message_that_is_not_for_this_session() {
    seen("retained_again_on_resume", &["v3.1.1/MQTT-3.3.1-9", "v5/MQTT-3.3.1-12"], |trace| repeat(trace, is_copy));
    seen("retain_handling_ignored", &["v5/MQTT-3.3.1-10", "v5/MQTT-3.3.1-11"], |trace| {
        // Every SUBSCRIBE is answered with what was kept.
        let copy = trace.iter().find(|event| is_copy(event)).expect("something was kept").what.clone();
        let What::Left(copy) = copy else { panic!("it left") };
        insert(trace, |event| match (&event.what, sent(event)) {
            (What::Left(transfer), Some(Packet::SubAck(_))) => {
                let bytes = copy.bytes.clone();
                Some(What::Left(Transfer { bytes, ..transfer.clone() }))
            }
            _ => None,
        });
    });
    seen("stray_message_of_an_old_session", &["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-3.1.2-4"], |trace| {
        // What was meant for the session before comes behind the CONNACK of the new one.
        let said = trace.iter().find_map(|event| match &event.what {
            What::Arrived(transfer) if &*transfer.to == "broker" => match packet(transfer)? {
                Packet::Publish(publish) => Some((event.time, publish)),
                _ => None,
            },
            _ => None,
        });
        let (said_at, said) = said.expect("somebody publishes");
        insert(trace, |event| match (&event.what, sent(event)) {
            (What::Left(transfer), Some(Packet::ConnAck(connack))) if event.time > said_at => {
                assert!(!connack.session_present, "the session is new");
                let publish = Packet::Publish(simrun::codec::Publish {
                    qos: Qos::AtMostOnce,
                    packet_identifier: None,
                    ..said.clone()
                });
                let bytes = simrun::codec::Frame::new(&publish, transfer.version).expect("it can be sent").to_bytes();
                Some(What::Left(Transfer { bytes, ..transfer.clone() }))
            }
            _ => None,
        });
    });
    seen("qos0_sent_again", &["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"], |trace| {
        repeat(trace, |event| matches!(sent(event), Some(Packet::Publish(publish)) if publish.qos == Qos::AtMostOnce));
    });
}

#[test]
fn an_exchange_that_does_not_go_on() {
    seen("pubrel_never_again", &["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"], |trace| {
        // Of the second PUBREL and its answer nothing is seen.
        let later = Time::after(std::time::Duration::from_millis(2400));
        trace.retain(|event| {
            let transfer = match &event.what {
                What::Left(transfer) | What::Arrived(transfer) => transfer,
                _ => return true,
            };
            event.time < later || !matches!(packet(transfer), Some(Packet::Ack(_)))
        });
    });
    seen("accepted_and_never_sent_again", &["v3.1.1/MQTT-4.4.0-1", "v5/MQTT-4.4.0-1"], |trace| {
        trace.retain(|event| !matches!(asked(event), Some(Packet::Publish(publish)) if publish.dup));
        trace.retain(
            |event| !matches!(&event.what, What::Arrived(transfer) if matches!(packet(transfer), Some(Packet::Ack(_)))),
        );
    });
    seen("pubrel_after_refusal", &["v5/MQTT-4.3.3-4"], |trace| {
        insert(trace, |event| match &event.what {
            What::Arrived(transfer) => match packet(transfer)? {
                Packet::Ack(ack) if ack.kind == AckKind::PubRec && ack.reason.is_error() => {
                    let [high, low] = ack.packet_identifier.get().to_be_bytes();
                    let bytes = vec![0x62, 2, high, low].into();
                    let (from, to) = (transfer.to.clone(), transfer.from.clone());
                    Some(What::Left(Transfer { from, to, bytes, ..transfer.clone() }))
                }
                _ => None,
            },
            _ => None,
        });
    });
}

#[test]
fn a_client_that_does_not_subscribe_anew() {
    seen("subscriptions_lost_with_the_session", &["v3.1.1/MQTT-3.2.2-3", "v5/MQTT-3.2.2-5"], |trace| {
        let last = trace.iter().rposition(|event| matches!(sent(event), Some(Packet::ConnAck(_))));
        let last = trace[last.expect("they connect")].time;
        trace.retain(|event| {
            let transfer = match &event.what {
                What::Left(transfer) | What::Arrived(transfer) => transfer,
                _ => return true,
            };
            let subscribes = matches!(packet(transfer), Some(Packet::Subscribe(_) | Packet::SubAck(_)));
            event.time + std::time::Duration::from_millis(500) < last || !subscribes
        });
    });
}
