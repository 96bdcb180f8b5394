//! Clients that a command starts: our own as a process passes what it passes in simulated time, and one that dies, talks
//! nonsense or does not start is told apart from one that breaks a statement.

use simrun::conform::Stop;
use simrun::conform::result::{Report, Verdict};
use simrun::conform::run::{Options, RunError, check_client_command};
use simrun::conform::suite::{Selection, choose};
use simrun::rules::Role;

const READY: &str = r#"echo '{"event":"ready","protocol":1,"client":"it","versions":["3.1.1","5"]}'"#;

fn check(command: &str, cases: &[&str]) -> Result<Report, RunError> {
    let selections: Vec<_> = cases.iter().map(|case| Selection::read(case).expect("a case")).collect();
    check_client_command(command, &choose(Role::Client, &selections), |_| true, &Options::default(), |_| {})
}

/// Cases without waits of seconds: the others are the same code, in simulated time.
#[test]
fn our_client_as_a_process() {
    let command = format!("{} adapter", env!("CARGO_BIN_EXE_simrun"));
    let cases = ["basic_flows", "fields_in_order", "qos_2_is_passed_on_once", "no_wildcards_in_topics", "auth_codes"];
    let report = check(&command, &cases).expect("it runs");
    assert_eq!(report.target, format!("simrun {}", env!("CARGO_PKG_VERSION")));
    for case in &report.cases {
        assert_eq!(case.outcome, Ok(()), "{} in {}", case.case.name, case.version);
    }
    assert_eq!(report.cases.len(), 8);
    assert!(report.deaths.is_empty());
}

/// What it said last stands in the finding.
#[test]
fn a_client_that_dies() {
    let report = check(&format!("sh -c \"{}; read order; echo alas >&2; exit 3\"", quoted(READY)), &["auth_codes"]);
    let report = report.expect("it runs");
    assert_eq!(report.deaths.len(), 1);
    let Err(Stop::Setup(failure)) = &report.cases[0].outcome else { panic!("{:?}", report.cases[0].outcome) };
    assert!(failure.actual.contains("exit status: 3") && failure.actual.contains("alas"), "{failure:?}");
    assert!(report.statements.iter().all(|statement| statement.verdict != Verdict::Pass));
}

#[test]
fn a_client_that_talks_nonsense() {
    let command = format!("sh -c \"{}; read order; echo well; read more\"", quoted(READY));
    let report = check(&command, &["auth_codes"]).expect("it runs");
    assert!(report.deaths.is_empty());
    let Err(Stop::Setup(failure)) = &report.cases[0].outcome else { panic!("{:?}", report.cases[0].outcome) };
    assert!(failure.actual.ends_with("no line of the protocol: well"), "{failure:?}");
}

#[test]
fn a_client_that_does_not_start() {
    for (command, why) in [("simrun-is-not-here", "not found"), ("echo hello", "no line of the protocol: hello")] {
        match check(command, &["auth_codes"]) {
            Err(RunError::Unreachable { why: said, .. }) => assert!(said.contains(why), "{said}"),
            other => panic!("{command}: {other:?}"),
        }
    }
}

/// As it has to be written between double quotes.
fn quoted(words: &str) -> String {
    words.replace('"', "\\\"")
}
