//! The conformance suite on our own broker and client, in simulated time: every statement is kept.

use simrun::conform::coverage::cover;
use simrun::conform::result::{Report, Verdict};
use simrun::conform::run::{Options, OurClient, check_broker, check_our_client};
use simrun::conform::suite::choose;
use simrun::conform::target::{Ours, Target};
use simrun::report::conform::Document;
use simrun::rules::{Role, Vantage, judge};

fn breaches(report: &Report) -> Vec<String> {
    let mut breaches = Vec::new();
    for case in &report.cases {
        if case.verdict() == Verdict::Fail || case.is_unsettled() {
            breaches.push(format!("{} in {}: {}", case.case.name, case.version, case.why().unwrap_or_default()));
        }
    }
    for statement in report.statements.iter().filter(|statement| statement.verdict == Verdict::Fail) {
        for (case, event, why) in &statement.breaches {
            let case = &report.cases[*case];
            breaches.push(format!("{}: {} in {}, event {event}: {why}", statement.id, case.case.name, case.version));
        }
    }
    breaches
}

#[test]
fn our_broker_keeps_every_statement() {
    let chosen = choose(Role::Server, &[]);
    let report = check_broker(&Target::Ours(Ours::default()), &chosen, |_| true, &Options::default(), |_| {});
    let report = report.expect("it runs");
    assert_eq!(breaches(&report), Vec::<String>::new());
}

/// The suite itself acknowledges in the order that it demands of clients: a broker may take anything else amiss.
#[test]
fn the_suite_acknowledges_in_order() {
    let chosen = choose(Role::Server, &[]);
    let report = check_broker(&Target::Ours(Ours::default()), &chosen, |_| true, &Options::default(), |_| {});
    let order = ["4.6.0-2", "4.6.0-3", "4.6.0-4"];
    let mut breaches = Vec::new();
    for case in report.expect("it runs").cases {
        for (id, finding) in judge(&case.trace, Role::Client, Vantage::Both) {
            for breach in finding.breaches.iter().filter(|_| order.iter().any(|number| id.name().ends_with(number))) {
                breaches.push(format!("{id} in {} at {}: {}", case.case.name, breach.event, breach.why));
            }
        }
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn our_client_keeps_every_statement() {
    let chosen = choose(Role::Client, &[]);
    let report = check_our_client(&OurClient::default(), &chosen, |_| true, |_| {}).expect("it runs");
    assert_eq!(breaches(&report), Vec::<String>::new());
}

/// How every statement is covered, by role: reviewed as a difference when it changes.
#[test]
fn every_statement_is_covered() {
    let mut text = String::new();
    let mut uncovered = Vec::new();
    for role in [Role::Server, Role::Client] {
        for (id, cover) in cover(role) {
            let mut by: Vec<String> = cover.cases.iter().map(|case| (*case).to_owned()).collect();
            by.extend(cover.rule.then(|| "a rule".to_owned()));
            by.extend(cover.excuse.map(|reason| format!("excused: {reason}")));
            text.push_str(&format!("{role:?} {id}: {}\n", by.join(", ")));
            if !cover.is_covered() {
                uncovered.push(format!("{role:?} {id}"));
            }
        }
    }
    insta::assert_snapshot!(text);
    assert_eq!(uncovered, Vec::<String>::new(), "nothing stands for these");
}

/// As broker or as client, every statement is tried; what is excused is seen as a difference when it changes.
#[test]
fn no_statement_is_skipped() {
    let broker = choose(Role::Server, &[]);
    let broker = check_broker(&Target::Ours(Ours::default()), &broker, |_| true, &Options::default(), |_| {});
    let client = check_our_client(&OurClient::default(), &choose(Role::Client, &[]), |_| true, |_| {});
    let document = Document::of("ours", "", &[broker.expect("it runs"), client.expect("it runs")]);
    let not_kept = document.statements.iter().filter(|entry| entry.verdict != Verdict::Pass);
    let words =
        not_kept.map(|entry| format!("{}: {:?}, {}\n", entry.id, entry.verdict, entry.why.as_deref().unwrap_or("")));
    insta::assert_snapshot!(words.collect::<String>());
}
