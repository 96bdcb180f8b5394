//! What came of a run: by case, and by statement.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::coverage;
use super::suite::Chosen;
use super::verdict::{Failure, Outcome, Stop};
use crate::codec::Version;
use crate::rules::{Findings, Id, Role, statements};
use crate::trace::Event;

/// What is said of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was kept wherever it was tried.
    Pass,
    /// It was broken.
    Fail,
    /// It was kept; what was done is allowed and not advisable.
    Advice,
    /// It could not be tried, and why.
    Skipped,
    /// There is nothing in the target that could break it, or nobody can try it; and why.
    Excused,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The case.
    pub case: &'static Case,
    /// The version it ran in.
    pub version: Version,
    /// How it ended.
    pub outcome: Outcome,
    /// What happened.
    pub trace: Vec<Event>,
    /// What the rules say of it.
    pub findings: Findings,
    /// How long it took, in the time that it ran in.
    pub took: Duration,
}

impl CaseResult {
    /// The verdict on what it claims.
    pub fn verdict(&self) -> Verdict {
        match &self.outcome {
            Ok(()) => Verdict::Pass,
            Err(Stop::Failed(_)) => Verdict::Fail,
            Err(Stop::Advice(_)) => Verdict::Advice,
            Err(Stop::Setup(_) | Stop::Skipped(_)) => Verdict::Skipped,
            Err(Stop::Excused(_)) => Verdict::Excused,
        }
    }

    /// What was expected and what came, or why it was not tried.
    pub fn why(&self) -> Option<String> {
        match self.outcome.as_ref().err()? {
            Stop::Failed(failure) | Stop::Advice(failure) => Some(words(failure)),
            Stop::Setup(failure) => Some(format!("the set-up did not come about: {}", words(failure))),
            Stop::Skipped(why) | Stop::Excused(why) => Some(why.clone()),
        }
    }

    /// Whether it did not come to a good end, nor was skipped.
    pub fn went_wrong(&self) -> bool {
        !matches!(self.outcome, Ok(()) | Err(Stop::Skipped(_) | Stop::Excused(_)))
    }

    /// Whether it could not be tried although it should have been possible.
    pub fn is_unsettled(&self) -> bool {
        matches!(self.outcome, Err(Stop::Setup(_)))
    }
}

fn words(failure: &Failure) -> String {
    format!("expected {}; came {}", failure.expected, failure.actual)
}

/// What came of a run against one target.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was checked.
    pub target: String,
    /// As which side.
    pub role: Role,
    /// By case, in the suite's order.
    pub cases: Vec<CaseResult>,
    /// By statement, in the standards' order.
    pub statements: Vec<StatementResult>,
    /// When the target died.
    pub deaths: Vec<Death>,
}

/// The target died.
#[derive(Clone, Debug)]
pub struct Death {
    /// The cases that ran then: one of them did it.
    pub during: Vec<Chosen>,
    /// Whether it was started again, or why not.
    pub restarted: Result<(), String>,
}

/// What came of one statement.
#[derive(Clone, Debug)]
pub struct StatementResult {
    /// The statement.
    pub id: Id,
    /// What is said of it.
    pub verdict: Verdict,
    /// The cases that claim it, by their place in [`Report::cases`].
    pub cases: Vec<usize>,
    /// The cases in whose traces a rule found it broken, with the event and why.
    pub breaches: Vec<(usize, usize, String)>,
    /// How often a rule saw it exercised.
    pub exercised: usize,
    /// Why it was not tried, if it was not.
    pub why: Option<String>,
}

/// Sums up by statement what came of the cases. Statements of which `wanted` does not hold are left out.
pub fn by_statement(role: Role, cases: &[CaseResult], wanted: impl Fn(Id) -> bool) -> Vec<StatementResult> {
    let mut results: BTreeMap<Id, StatementResult> = BTreeMap::new();
    let all = [Version::V3_1_1, Version::V5].into_iter().flat_map(statements::all).map(|statement| statement.id);
    for id in all.filter(|id| wanted(*id)) {
        let fresh = StatementResult {
            id,
            verdict: Verdict::Skipped,
            cases: Vec::new(),
            breaches: Vec::new(),
            exercised: 0,
            why: None,
        };
        results.insert(id, fresh);
    }
    for (place, case) in cases.iter().enumerate() {
        for id in case.case.claims_in(case.version) {
            if let Some(result) = results.get_mut(&id) {
                result.cases.push(place);
            }
        }
        for (id, finding) in &case.findings {
            if let Some(result) = results.get_mut(id) {
                result.exercised += finding.exercised;
                let breaches = finding.breaches.iter().map(|breach| (place, breach.event, breach.why.clone()));
                result.breaches.extend(breaches);
            }
        }
    }
    for result in results.values_mut() {
        settle(role, result, cases);
    }
    results.into_values().collect()
}

/// The worst that was found decides; what was not tried says why.
fn settle(role: Role, result: &mut StatementResult, cases: &[CaseResult]) {
    let verdicts: Vec<Verdict> = result.cases.iter().map(|place| cases[*place].verdict()).collect();
    result.verdict = if verdicts.contains(&Verdict::Fail) || !result.breaches.is_empty() {
        Verdict::Fail
    } else if verdicts.contains(&Verdict::Advice) {
        Verdict::Advice
    } else if verdicts.contains(&Verdict::Pass) || result.exercised > 0 {
        Verdict::Pass
    } else if !verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == Verdict::Excused) {
        result.why = cases[result.cases[0]].why();
        Verdict::Excused
    } else if let Some(reason) = coverage::excuse(role, result.id) {
        result.why = Some(reason.to_owned());
        Verdict::Excused
    } else if !coverage::binds(role, result.id) {
        let other = if role == Role::Server { "clients" } else { "brokers" };
        result.why = Some(format!("it is seen on {other} only"));
        Verdict::Excused
    } else {
        let whys = result.cases.iter().filter_map(|place| cases[*place].why());
        result.why = whys.into_iter().next().or_else(|| Some("nothing that happened exercised it".to_owned()));
        Verdict::Skipped
    };
}
