//! Every claim is seen failing: for each statement a broker or client with one thing wrong about it, which the suite
//! catches for that statement.

mod mutants;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use mutants::{Kind, Mutant};
use simrun::conform::coverage::cover;
use simrun::conform::result::{Report, StatementResult, Verdict};
use simrun::conform::run::{Options, OurClient, check_broker, check_our_client};
use simrun::conform::suite::{Chosen, Selection, choose};
use simrun::conform::target::{Ours, Target};
use simrun::rules::{Id, Role};

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
