//! The results as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::Version;
use crate::conform::result::{CaseResult, Report, StatementResult, Verdict};
use crate::conform::steered::hex;
use crate::conform::verdict::Stop;
use crate::rules::{Id, Role, statements};
use crate::trace::{Event, What, describe_bytes};

/// The version of this form. It changes when a reader of an earlier one would misread.
pub const SCHEMA: &str = "simrun-conform/1";
/// Of longer packets only the beginning is shown.
const SHOWN_BYTES: usize = 256;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of simrun.
    pub simrun: String,
    /// What was checked.
    pub target: String,
    /// What has to stand behind `simrun conform SELECTION` to repeat a part of it; empty for our own.
    pub arguments: String,
    /// One for each statement that was asked for, in the order of the standards.
    pub statements: Vec<StatementEntry>,
    /// One for each case in each version, in the order of the suite.
    pub cases: Vec<CaseEntry>,
    /// When the target died.
    #[serde(default)]
    pub deaths: Vec<Death>,
}

/// What came of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementEntry {
    /// As `v5/MQTT-3.1.2-22`.
    pub id: String,
    /// What is said of it.
    pub verdict: Verdict,
    /// Why, where it did not simply pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The key words of the standard: `MUST`, `SHOULD` …
    pub level: String,
    /// What it asks for, in our words.
    pub summary: String,
    /// The cases behind the verdict, as `v5/NAME`.
    pub cases: Vec<String>,
    /// How often a rule saw it exercised in other cases.
    pub exercised: usize,
    /// What rules found broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<RuleBreach>,
}

/// What a rule found broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleBreach {
    /// The case in which.
    pub case: String,
    /// The packet, by its place in the case's list.
    pub packet: usize,
    /// What was wrong.
    pub why: String,
}

/// What came of a case in one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseEntry {
    /// As `v5/NAME`: what selects it on the command line.
    pub name: String,
    /// Which side it judges: `server`, `client`.
    pub role: String,
    /// What is said of it.
    pub verdict: Verdict,
    /// What was expected, if it did not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What came instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// Why it was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether its set-up did not come about, though it should have.
    #[serde(default)]
    pub unsettled: bool,
    /// How many milliseconds it took, in the time that it ran in.
    pub milliseconds: u64,
    /// The packets that passed, in order.
    pub packets: Vec<Packet>,
}

/// One packet, or the end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Seconds since the case began.
    pub time: String,
    /// The connection.
    pub link: u64,
    /// Who did it.
    pub from: String,
    /// Whether it was the suite.
    pub suite: bool,
    /// In words.
    pub words: String,
    /// The bytes in hexadecimal digits, the beginning if there are many; none for the end of a connection.
    pub bytes: String,
}

/// The target died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// The cases that ran then, as `v5/NAME`: one of them did it.
    pub during: Vec<String>,
    /// Whether it was started again.
    pub restarted: bool,
    /// Why not, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Why a file is no report.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// It is not in this form.
    #[error("it is no report of simrun conform: {0}")]
    Form(#[from] serde_json::Error),
    /// It is in another form.
    #[error("it has the schema {0:?}, this program reads {SCHEMA:?}")]
    Schema(String),
}

impl Document {
    /// Sums up runs against one target, as broker, as client, or both. `arguments` repeat it.
    pub fn of(target: &str, arguments: &str, reports: &[Report]) -> Document {
        let mut statements: BTreeMap<Id, StatementEntry> = BTreeMap::new();
        for report in reports {
            for result in &report.statements {
                let entry = statement(report, result);
                match statements.remove(&result.id) {
                    Some(other) => statements.insert(result.id, merged(other, entry)),
                    None => statements.insert(result.id, entry),
                };
            }
        }
        let cases = reports.iter().flat_map(|report| report.cases.iter().map(|result| case(report.role, result)));
        let deaths = reports.iter().flat_map(|report| &report.deaths).map(|death| Death {
            during: death.during.iter().map(|chosen| name(chosen.case.name, chosen.version)).collect(),
            restarted: death.restarted.is_ok(),
            why: death.restarted.clone().err(),
        });
        Document {
            schema: SCHEMA.to_owned(),
            simrun: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.to_owned(),
            arguments: arguments.to_owned(),
            statements: statements.into_values().collect(),
            cases: cases.collect(),
            deaths: deaths.collect(),
        }
    }

    /// Reads what [`Document::json`] wrote.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(json: &str) -> Result<Document, DocumentError> {
        let value: serde_json::Value = serde_json::from_str(json)?;
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => Ok(serde_json::from_value(value)?),
            other => Err(DocumentError::Schema(other.unwrap_or_default().to_owned())),
        }
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// How many statements have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.statements.iter().filter(|statement| statement.verdict == verdict).count()
    }

    /// The case with this name.
    pub fn case(&self, name: &str) -> Option<&CaseEntry> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// The cases whose set-up did not come about.
    pub fn unsettled(&self) -> impl Iterator<Item = &CaseEntry> {
        self.cases.iter().filter(|case| case.unsettled)
    }
}

/// A case as it is selected: `v5/NAME`.
fn name(case: &str, version: Version) -> String {
    format!("{}/{case}", statements::spelling(version))
}

fn statement(report: &Report, result: &StatementResult) -> StatementEntry {
    let statement = result.id.statement();
    let named = |place: &usize| {
        let case: &CaseResult = &report.cases[*place];
        name(case.case.name, case.version)
    };
    StatementEntry {
        id: result.id.name().to_owned(),
        verdict: result.verdict,
        why: result.why.clone(),
        level: statement.level.to_owned(),
        summary: statement.summary.to_owned(),
        cases: result.cases.iter().map(named).collect(),
        exercised: result.exercised,
        breaches: result
            .breaches
            .iter()
            .map(|(place, event, why)| RuleBreach {
                case: named(place),
                packet: packet_place(&report.cases[*place].trace, *event),
                why: why.clone(),
            })
            .collect(),
    }
}

/// A statement that was checked in both roles: the worse verdict stands.
fn merged(one: StatementEntry, other: StatementEntry) -> StatementEntry {
    let rank = |verdict: Verdict| match verdict {
        Verdict::Fail => 0,
        Verdict::Advice => 1,
        Verdict::Pass => 2,
        Verdict::Skipped => 3,
        Verdict::Excused => 4,
    };
    let (mut worse, better) = if rank(one.verdict) <= rank(other.verdict) { (one, other) } else { (other, one) };
    worse.cases.extend(better.cases);
    worse.exercised += better.exercised;
    worse.breaches.extend(better.breaches);
    worse
}

fn case(role: Role, result: &CaseResult) -> CaseEntry {
    let (expected, actual) = match &result.outcome {
        Err(Stop::Failed(failure) | Stop::Advice(failure) | Stop::Setup(failure)) => {
            (Some(failure.expected.clone()), Some(failure.actual.clone()))
        }
        _ => (None, None),
    };
    let why = match &result.outcome {
        Err(Stop::Skipped(why) | Stop::Excused(why)) => Some(why.clone()),
        Err(Stop::Setup(_)) => Some("the set-up did not come about".to_owned()),
        _ => None,
    };
    CaseEntry {
        name: name(result.case.name, result.version),
        role: if role == Role::Server { "server" } else { "client" }.to_owned(),
        verdict: result.verdict(),
        expected,
        actual,
        why,
        unsettled: result.is_unsettled(),
        milliseconds: u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
        packets: result.trace.iter().filter_map(|event| packet(role, event)).collect(),
    }
}

/// The place among the packets of what stands at this place in the trace.
fn packet_place(trace: &[Event], event: usize) -> usize {
    trace.iter().take(event).filter(|event| packet(Role::Server, event).is_some()).count()
}

fn packet(role: Role, event: &Event) -> Option<Packet> {
    let suite_is = |name: &str| name != if role == Role::Server { "target" } else { "client" };
    let time = event.time.to_string();
    match &event.what {
        What::Left(transfer) | What::Arrived(transfer) => {
            let shown = transfer.bytes.slice(..transfer.bytes.len().min(SHOWN_BYTES));
            let more = if shown.len() < transfer.bytes.len() { "…" } else { "" };
            Some(Packet {
                time,
                link: transfer.link.0,
                from: transfer.from.to_string(),
                suite: suite_is(&transfer.from),
                words: describe_bytes(transfer.version, &transfer.bytes),
                bytes: format!("{}{more}", hex(&shown)),
            })
        }
        What::Closed { link, at, .. } => Some(Packet {
            time,
            link: link.0,
            from: at.to_string(),
            suite: suite_is(at),
            words: "closes the connection".to_owned(),
            bytes: String::new(),
        }),
        _ => None,
    }
}
