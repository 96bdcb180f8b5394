//! Every run is watched: by the rules, on both sides, and by the history of what was said and heard.

use crate::rules::history::{Circumstances, history};
use crate::rules::{Findings, Role, Vantage, judge};
use crate::scenario::{Action, Scenario, setup};
use crate::trace::{Event, What};

/// What rules and history say of a run of this scenario. A client whose scenario has it send bytes of its own is a tool,
/// and not judged.
pub fn watch(scenario: &Scenario, trace: &[Event]) -> Findings {
    let mut findings = judge(trace, Role::Server, Vantage::Both);
    let tools: Vec<&str> = tools(scenario);
    let honest = if tools.is_empty() { None } else { Some(without(scenario, trace, &tools)) };
    merge(&mut findings, judge(honest.as_deref().unwrap_or(trace), Role::Client, Vantage::Both));
    let circumstances = Circumstances {
        disk: scenario.broker.disk,
        short_of_room: scenario.broker.queue_maximum.is_some() || scenario.broker.maximum_packet_size.is_some(),
    };
    merge(&mut findings, history(trace, setup::BROKER, circumstances));
    findings
}

/// The clients that send bytes of their scenario's.
fn tools(scenario: &Scenario) -> Vec<&str> {
    let raw = scenario.timeline.iter().filter_map(|step| match step.action() {
        Some(Action::Send(send)) => Some(send.from.as_str()),
        _ => None,
    });
    raw.collect()
}

/// The trace with nothing in the place of what concerns these clients, so that places stay what they are.
fn without(scenario: &Scenario, trace: &[Event], tools: &[&str]) -> Vec<Event> {
    let is_tool = |name: &str| tools.iter().any(|tool| setup::means(scenario, tool, name));
    let blank = |event: &Event| match &event.what {
        What::Opened { client, .. } if is_tool(client) => {
            Event { time: event.time, what: What::Fault { word: "nothing", names: Vec::new(), began: false } }
        }
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
