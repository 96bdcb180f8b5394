//! JUnit, which most CI systems read: a test suite for each section, a test case for each statement.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::document::{Document, StatementEntry};
use super::terminal::{died, finding};
use crate::conform::result::Verdict;

/// The results as JUnit XML. Advice is a success with its words in the output, unless `strict`.
pub fn junit(document: &Document, strict: bool) -> String {
    let mut report = Report::new(format!("simrun conform {}", document.target));
    let mut suites: BTreeMap<(bool, Vec<u32>, String), TestSuite> = BTreeMap::new();
    for entry in &document.statements {
        let section = section(&entry.id);
        let number = section.rsplit('/').next().unwrap_or_default();
        let order = number.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect();
        let key = (section.starts_with("v5"), order, section.clone());
        suites.entry(key).or_insert_with(|| TestSuite::new(section)).add_test_case(test_case(document, entry, strict));
    }
    report.add_test_suites(suites.into_values());
    for suite in &mut report.test_suites {
        let time = suite.test_cases.iter().filter_map(|case| case.time).sum::<Duration>();
        suite.time = Some(time);
    }
    if !document.deaths.is_empty() {
        let mut suite = TestSuite::new("target");
        for death in &document.deaths {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(died(death));
            suite.add_test_case(TestCase::new("the target stays alive", status));
        }
        report.add_test_suite(suite);
    }
    report.to_string().unwrap_or_default()
}

fn section(id: &str) -> String {
    let (version, number) = id.split_once('/').unwrap_or((id, ""));
    let section = number.trim_start_matches("MQTT-");
    format!("{version}/{}", section.rsplit_once('-').map_or(section, |(section, _)| section))
}

fn test_case(document: &Document, entry: &StatementEntry, strict: bool) -> TestCase {
    let status = match entry.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Advice if !strict => TestCaseStatus::success(),
        Verdict::Fail | Verdict::Advice => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(entry.summary.clone());
            status.set_description(plain(&finding(document, entry)));
            status
        }
        Verdict::Skipped | Verdict::Excused => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(entry.why.clone().unwrap_or_default());
            status
        }
    };
    let mut case = TestCase::new(entry.id.clone(), status);
    case.set_classname(section(&entry.id));
    let milliseconds = entry.cases.iter().filter_map(|name| document.case(name)).map(|case| case.milliseconds).sum();
    case.set_time(Duration::from_millis(milliseconds));
    if entry.verdict == Verdict::Advice && !strict {
        case.set_system_out(plain(&finding(document, entry)));
    }
    case
}

/// Without the colours of a terminal.
pub(super) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
