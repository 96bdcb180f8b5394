//! Every run is watched: by the rules, on both sides, and by the history of what was said and heard.

use super::names;
use crate::rules::history::{Circumstances, history};
use crate::rules::{Findings, Role, Vantage, judge};
use crate::scenario::{Action, Scenario, setup};
use crate::trace::{Event, Name, What};

/// What rules and history say of a run of this scenario. Of clients its own are judged; those that it has send bytes of its
/// choice are tools, and are not.
pub fn watch(scenario: &Scenario, trace: &[Event]) -> Findings {
    let mut findings = judge(trace, Role::Server, Vantage::Both);
    merge(&mut findings, judge(&among_honest(scenario, trace), Role::Client, Vantage::Both));
    let circumstances = Circumstances {
        disk: scenario.broker.disk,
        short_of_room: scenario.broker.queue_maximum.is_some() || scenario.broker.maximum_packet_size.is_some(),
    };
    merge(&mut findings, history(trace, setup::BROKER, circumstances));
    findings
}

/// The trace without the connections of tools and strangers; a place stays what it is.
fn among_honest(scenario: &Scenario, trace: &[Event]) -> Vec<Event> {
    let tools: Vec<&str> = scenario
        .timeline
        .iter()
        .filter_map(|step| match step.action() {
            Some(Action::Send(send)) => Some(send.from.as_str()),
            _ => None,
        })
        .collect();
    let names = names(scenario);
    let honest = |name: &Name| names.contains(name) && !tools.iter().any(|tool| setup::means(scenario, tool, name));
    let nothing = What::Fault { word: "nothing", names: Vec::new(), began: false };
    let blank = |event: &Event| match &event.what {
        What::Opened { client, .. } if !honest(client) => Event { time: event.time, what: nothing.clone() },
        _ => event.clone(),
    };
    trace.iter().map(blank).collect()
}

fn merge(findings: &mut Findings, more: Findings) {
    for (id, finding) in more {
        let entry = findings.entry(id).or_default();
        entry.exercised += finding.exercised;
        entry.breaches.extend(finding.breaches);
    }
}
