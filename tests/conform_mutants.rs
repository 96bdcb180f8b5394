//! Every claim is seen failing: for each statement a broker or client with one thing wrong about it, which the suite
//! catches for that statement. And each wrong is held against its own statement: what a broker does wrong beside is not
//! called what it is not.

mod mutants;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use mutants::tools::{alter, change, patch, swallow, without};
use mutants::{Kind, Mutant};
use simrun::codec::{AckKind, Packet, Property, Publish, Qos, Text, Value, Version};
use simrun::conform::coverage::cover;
use simrun::conform::relay::Tamper;
use simrun::conform::result::{Report, StatementResult, Verdict};
use simrun::conform::run::{Options, OurClient, check_broker, check_our_client};
use simrun::conform::suite::{Chosen, Selection, choose};
use simrun::conform::target::{Ours, Target};
use simrun::rules::{Id, Role};
use simrun::trace::Way;

/// Statement, mutant, what caught it.
type Table = BTreeMap<(Role, Id), Vec<(&'static str, String)>>;

#[test]
fn every_claim_is_seen_failing() {
    let mut table = Table::new();
    let mut slipped = String::new();
    for mutant in mutants::all() {
        let report = run(mutant);
        for name in mutant.breaks {
            let id = Id::named(name).unwrap_or_else(|| panic!("{}: there is no statement {name}", mutant.name));
            let result = report.statements.iter().find(|result| result.id == id);
            match result.and_then(|result| caught(&report, result)) {
                Some(by) => table.entry((mutant.role(), id)).or_default().push((mutant.name, by)),
                None => writeln!(slipped, "{} slipped through {name}: {result:?}", mutant.name).expect("a string"),
            }
        }
    }
    for role in [Role::Server, Role::Client] {
        for (id, cover) in cover(role) {
            let excused = mutants::NOT_MUTABLE.iter().any(|(of, name, _)| *of == role && *name == id.name());
            let claimed = !cover.cases.is_empty() || cover.rule;
            if claimed && !excused && !table.contains_key(&(role, id)) {
                writeln!(slipped, "no mutant breaks {id} as {role:?}").expect("a string");
            }
        }
    }
    print(&table);
    assert!(slipped.is_empty(), "{slipped}");
}

fn run(mutant: &Mutant) -> Report {
    let chosen: Vec<Chosen> = if mutant.via.is_empty() {
        let ids = mutant.breaks.iter().filter_map(|name| Id::named(name));
        choose(mutant.role(), &ids.map(Selection::Statement).collect::<Vec<_>>())
    } else {
        let cases = mutant.via.iter().map(|name| Selection::Case(None, (*name).to_owned()));
        choose(mutant.role(), &cases.collect::<Vec<_>>())
    };
    let broker = |ours: Ours| check_broker(&Target::Ours(ours), &chosen, |_| true, &Options::default(), |_| {});
    let report = match mutant.kind {
        Kind::Broker(make) => broker(Ours { tamper: Some(Arc::new(make)), ..Ours::default() }),
        Kind::BrokerSettings(adjust) => broker(Ours { adjust: Some(Arc::new(adjust)), ..Ours::default() }),
        Kind::Client(make) => check_our_client(&OurClient { tamper: Some(Arc::new(make)) }, &chosen, |_| true, |_| {}),
    };
    report.expect("it runs")
}

/// What caught it: the cases that failed, or the rule.
fn caught(report: &Report, result: &StatementResult) -> Option<String> {
    let failed = |verdict: Verdict| matches!(verdict, Verdict::Fail | Verdict::Advice);
    let cases = result.cases.iter().map(|place| &report.cases[*place]).filter(|case| failed(case.verdict()));
    let mut by: Vec<&str> = cases.map(|case| case.case.name).collect();
    if !result.breaches.is_empty() {
        by.push("a rule");
    }
    (!by.is_empty()).then(|| by.join(", "))
}

#[allow(clippy::print_stdout)] // The table is what this test is for: cargo test --test conform_mutants -- --nocapture
fn print(table: &Table) {
    for ((role, id), mutants) in table {
        for (mutant, by) in mutants {
            println!("{id} ({role:?}) → {mutant} → {by}");
        }
    }
}

// --- each wrong in its place ------------------------------------------------------------------------------------------

/// What the suite says of our broker behind this, in these sections, statements or cases.
fn report_of(selections: &[&str], make: fn() -> Box<dyn Tamper>) -> Report {
    let selections: Vec<_> = selections.iter().map(|word| Selection::read(word).expect("a selection")).collect();
    let target = Target::Ours(Ours { tamper: Some(Arc::new(make)), ..Ours::default() });
    check_broker(&target, &choose(Role::Server, &selections), |_| true, &Options::default(), |_| {}).expect("it runs")
}

/// The statements and the cases of which this is said.
fn found(report: &Report, verdict: Verdict) -> (Vec<&'static str>, Vec<&'static str>) {
    let statements = report.statements.iter().filter(|result| result.verdict == verdict);
    let cases = report.cases.iter().filter(|case| case.verdict() == verdict);
    (statements.map(|result| result.id.name()).collect(), cases.map(|case| case.case.name).collect())
}

/// A message that is too large for its client blocks the way for others, but is not sent.
#[test]
fn a_large_message_that_blocks_the_way_is_not_called_sent() {
    let report = report_of(&["large_message_is_not_sent", "large_message_counts_as_sent"], || {
        let mut limited = false;
        alter(move |version, way, packet, onward| {
            if let Packet::Connect(connect) = &packet {
                limited = connect.properties.maximum_packet_size().is_some();
            }
            if !(limited && way == Way::Down && matches!(packet, Packet::Publish(_))) {
                onward.packet(version, way, &packet);
            }
        })
    });
    assert_eq!(found(&report, Verdict::Fail), (vec!["v5/MQTT-3.1.2-25"], vec!["large_message_counts_as_sent"]));
    let sent = report.statements.iter().find(|result| result.id.name() == "v5/MQTT-3.1.2-24");
    assert_eq!(sent.map(|result| result.verdict), Some(Verdict::Pass));
}

/// Who speaks 5.0 as well refuses a level above 5 as 5.0 has it: not as 3.1.1 asks, and nothing else.
#[test]
fn a_refusal_of_5_0_to_a_level_that_nobody_knows_is_advice() {
    let report = report_of(
        &["v3.1.1/protocol_level", "v3.1.1/codes_of_refusals", "v3.1.1/session_present_in_a_refusal"],
        || {
            patch(Way::Down, |_, bytes| {
                if bytes == &[0x20, 2, 0, 1] {
                    *bytes = vec![0x20, 3, 0, 0x84, 0];
                }
            })
        },
    );
    assert_eq!(found(&report, Verdict::Fail), (vec![], vec![]));
    assert_eq!(found(&report, Verdict::Advice), (vec!["v3.1.1/MQTT-3.1.2-2"], vec!["protocol_level"]));
}

/// A broker that sends everybody the messages of others breaks one statement; the cases go on undisturbed.
#[test]
fn messages_of_other_cases_are_one_breach() {
    let report = report_of(&["v5/3.8.4"], || {
        alter(|version, way, packet, onward| {
            onward.packet(version, way, &packet);
            if matches!(packet, Packet::ConnAck(_)) {
                let topic = Text::literal("simrun/another/light");
                onward.packet(version, way, &Packet::Publish(Publish { topic, ..Publish::default() }));
            }
        })
    });
    assert_eq!(found(&report, Verdict::Fail), (vec!["v5/MQTT-3.3.2-3"], vec![]));
    let unsettled: Vec<_> = report.cases.iter().filter(|case| case.is_unsettled()).map(|case| case.case.name).collect();
    assert_eq!(unsettled, Vec::<&str>::new());
}

/// A broker that adds a user property of its own to every message keeps what the standard asks; it is told all the same.
#[test]
fn a_user_property_beside_those_given_is_advice() {
    let report = report_of(&["v5/MQTT-3.1.3-10", "v5/MQTT-3.3.2-17", "v5/MQTT-3.3.2-18"], || {
        change(Way::Down, |version, packet| {
            if let (Version::V5, Packet::Publish(publish)) = (version, packet) {
                let own = Value::Pair(Text::literal("of"), Text::literal("the broker"));
                publish.properties.push(Property::UserProperty, own);
            }
        })
    });
    let (failed, advised) = (found(&report, Verdict::Fail).0, found(&report, Verdict::Advice).0);
    assert_eq!((failed, advised), (vec![], vec!["v5/MQTT-3.1.3-10", "v5/MQTT-3.3.2-17", "v5/MQTT-3.3.2-18"]));
}

/// What a case needs beside what it claims is no breach of the claim: a fault there is another statement's, and nothing is
/// shown.
#[test]
fn a_fault_beside_the_claim_is_not_held_against_it() {
    type Row = (&'static [&'static str], fn() -> Box<dyn Tamper>, &'static [&'static str]);
    let rows: [Row; 9] = [
        // What must be refused is accepted.
        (&["v3.1.1/refusal_ends_the_connection", "v3.1.1/codes_of_refusals"], || accepts_no_client_id(), &[]),
        // What comes again has no DUP.
        (
            &["v3.1.1/qos_1_pending_until_puback", "v3.1.1/qos_2_pending_until_pubrec"],
            || messages(|publish| publish.dup = false),
            &["v3.1.1/MQTT-3.3.1-1"],
        ),
        // Nothing comes again.
        (
            &["order_across_a_cut", "begun_publish_does_not_expire"],
            || swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(publish) if publish.dup)),
            &[],
        ),
        (&["publish_ends_with_pubrel", "begun_pubrel_does_not_expire"], || lost_once_resumed(AckKind::PubRel), &[]),
        // All messages come at QoS 0.
        (
            &["will_qos", "pending_packets_come_again"],
            || {
                messages(|publish| {
                    (publish.qos, publish.packet_identifier, publish.dup) = (Qos::AtMostOnce, None, false);
                })
            },
            &[],
        ),
        // There is no answer.
        (
            &["pubcomp_codes", "unsuback_codes"],
            || {
                swallow(Way::Down, |_, packet| match packet {
                    Packet::UnsubAck(_) => true,
                    Packet::Ack(ack) => ack.kind == AckKind::PubComp && ack.packet_identifier.get() == 0xFFFF,
                    _ => false,
                })
            },
            &[],
        ),
        // A session ends with its connection.
        (
            &["v5/session_lasts_while_connected"],
            || {
                change(Way::Up, |_, packet| {
                    if let Packet::Connect(connect) = packet {
                        connect.properties = without(&connect.properties, Property::SessionExpiryInterval);
                    }
                })
            },
            &[],
        ),
        // PUBREL is not answered after a cut.
        (&["pubcomp_for_an_expired_message"], || lost_once_resumed(AckKind::PubComp), &[]),
        // A retained message comes that nobody asked for.
        (&["v3.1.1/retained_with_its_qos"], || brings_another(), &["v3.1.1/MQTT-3.3.2-3"]),
    ];
    let mut wrong = Vec::new();
    for (cases, make, broken) in rows {
        let (statements, failed) = found(&report_of(cases, make), Verdict::Fail);
        if statements != broken || !failed.is_empty() {
            wrong.push((cases, statements, failed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The same of clients: who keeps no note at all of what came at QoS 2, and who sends PUBREL for what was refused.
#[test]
fn a_fault_of_a_client_beside_the_claim_is_not_held_against_it() {
    let named = |name: &str| mutants::all().find(|mutant| mutant.name == name).expect("a mutant");
    let rows: [(&Mutant, &[&str]); 2] = [
        (
            named("repeats at QoS 2 are passed on"),
            &["session_outlives_connections", "session_lasts_as_long_as_the_connection"],
        ),
        (named("PUBREC that refuses brings PUBREL"), &["client_failing_acks_settle"]),
    ];
    for (mutant, cases) in rows {
        let Kind::Client(make) = mutant.kind else { panic!("{} is no client", mutant.name) };
        let cases: Vec<_> = cases.iter().map(|name| Selection::Case(None, (*name).to_owned())).collect();
        let client = OurClient { tamper: Some(Arc::new(make)) };
        let report = check_our_client(&client, &choose(Role::Client, &cases), |_| true, |_| {}).expect("it runs");
        assert_eq!(found(&report, Verdict::Fail).1, Vec::<&str>::new(), "{}", mutant.name);
    }
}

/// Changes what the broker publishes.
fn messages(mut change_it: impl FnMut(&mut Publish) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::Publish(publish) = packet {
            change_it(publish);
        }
    })
}

/// The broker takes a client without an identifier for one with a clean session.
fn accepts_no_client_id() -> Box<dyn Tamper> {
    change(Way::Up, |_, packet| {
        if let Packet::Connect(connect) = packet {
            connect.clean_start |= connect.client_id.is_empty();
        }
    })
}

/// The broker's packets of this kind are lost on a connection that resumes a session.
fn lost_once_resumed(kind: AckKind) -> Box<dyn Tamper> {
    let mut resumed = false;
    alter(move |version, way, packet, onward| {
        resumed |= matches!(&packet, Packet::ConnAck(connack) if connack.session_present);
        let wanted = matches!(&packet, Packet::Ack(ack) if ack.kind == kind);
        if !(resumed && wanted && way == Way::Down) {
            onward.packet(version, way, &packet);
        }
    })
}

/// Before each retained message comes one on another topic.
fn brings_another() -> Box<dyn Tamper> {
    alter(|version, way, packet, onward| {
        if let (Way::Down, Packet::Publish(publish)) = (way, &packet)
            && publish.retain
            && let Some(path) = publish.topic.as_str().strip_suffix("/two")
        {
            let topic = Text::try_from(format!("{path}/one")).expect("a topic");
            onward.packet(version, way, &Packet::Publish(Publish { topic, retain: true, ..Publish::default() }));
        }
        onward.packet(version, way, &packet);
    })
}
