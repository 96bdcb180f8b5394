//! Every run is watched: by the rules, on both sides, and by the history of what was said and heard.

use std::collections::BTreeSet;

use super::names;
use crate::rules::history::{Circumstances, history};
use crate::rules::ledger::{Honest, ledger};
use crate::rules::{Findings, Role, Vantage, judge};
use crate::scenario::{Action, Scenario, setup};
use crate::time::Time;
use crate::trace::{Event, Name, What};

/// What rules and history say of a run of this scenario. Of clients its own are judged; those that it has send bytes of its
/// choice are tools, and are not.
pub fn watch(scenario: &Scenario, trace: &[Event]) -> Findings {
    let honest = honest(scenario);
    let mut findings = judge(trace, Role::Server, Vantage::Both);
    merge(&mut findings, judge(&among_honest(&honest, trace), Role::Client, Vantage::Both));
    let circumstances = Circumstances {
        disk: scenario.broker.disk,
        ended: setup::timeline_end(scenario).max(Time::after(scenario.ends.map(|ends| ends.0).unwrap_or_default())),
        short_of_room: scenario.broker.queue_maximum.is_some() || scenario.broker.maximum_packet_size.is_some(),
    };
    merge(&mut findings, history(trace, setup::BROKER, circumstances));
    merge(&mut findings, ledger(trace, setup::BROKER, &honest, circumstances));
    findings
}

/// The scenario's own machines, but for clients that it has send bytes of its choice.
fn honest(scenario: &Scenario) -> Honest {
    let tools: Vec<&str> = scenario
        .timeline
        .iter()
        .filter_map(|step| match step.action() {
            Some(Action::Send(send)) => Some(send.from.as_str()),
            _ => None,
        })
        .collect();
    let is_tool = |name: &Name| tools.iter().any(|tool| setup::means(scenario, tool, name));
    let own = names(scenario).into_iter().filter(|name| !is_tool(name));
    own.map(|name| (name.clone(), lasting(scenario, &name))).collect()
}

/// The filters that a client is to be subscribed to as long as it is connected: it never gives them up.
fn lasting(scenario: &Scenario, name: &str) -> BTreeSet<String> {
    let client = scenario.clients.iter().find(|(of, client)| client.copies(of).iter().any(|copy| copy == name));
    let Some((_, client)) = client.filter(|(_, client)| client.program.is_none()) else { return BTreeSet::new() };
    let given_up = |filter: &str| {
        let deeds = setup::agenda(scenario, name).into_iter().map(|(_, deed)| deed);
        let mut unsubscribed = deeds.filter_map(|deed| match deed {
            setup::Deed::Unsubscribe(filters) => Some(filters),
            _ => None,
        });
        unsubscribed.any(|filters| filters.iter().any(|it| it == filter))
    };
    client.subscribe.iter().map(|(filter, _)| filter.to_owned()).filter(|filter| !given_up(filter)).collect()
}

/// The trace without the connections of tools and strangers; a place stays what it is.
fn among_honest(honest: &Honest, trace: &[Event]) -> Vec<Event> {
    let nothing = What::Fault { word: "nothing", names: Vec::new(), began: false };
    let blank = |event: &Event| match &event.what {
        What::Opened { client, .. } if !honest.contains_key(client) => {
            Event { time: event.time, what: nothing.clone() }
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
