//! The numbers for Prometheus, in its text format.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Web;
use super::api::{Problem, ask};
use crate::broker::inspect::{Backlog, Totals};

pub(super) async fn metrics(State(web): State<Web>) -> Result<Response, Problem> {
    let (totals, backlog, up) = ask(&web, |broker, now| (broker.totals(), broker.backlog(), now.since_start())).await?;
    let text = text(&totals, backlog, up.as_secs_f64());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn text(totals: &Totals, backlog: Backlog, uptime: f64) -> String {
    let counters = &totals.counters;
    let gauges = [
        ("simrun_clients_connected", "Clients that are connected.", counters.connected),
        ("simrun_clients_connected_maximum", "The most clients at one time.", counters.connected_maximum),
        ("simrun_connections", "Open connections, also of clients not accepted yet.", totals.connections as u64),
        ("simrun_sessions", "Sessions, connected or not.", totals.sessions as u64),
        ("simrun_subscriptions", "Subscriptions.", totals.subscriptions as u64),
        ("simrun_shared_groups", "Groups that share a subscription.", totals.groups as u64),
        ("simrun_retained_messages", "Retained messages.", totals.retained as u64),
        ("simrun_messages_queued", "Messages that wait for a client.", backlog.queued),
        ("simrun_messages_inflight", "Messages sent and not acknowledged.", backlog.inflight),
        ("process_resident_memory_bytes", "Memory in use.", resident_bytes().unwrap_or_default()),
    ];
    let counts = [
        ("simrun_packets_received_total", "Packets from clients.", counters.packets.received.number),
        ("simrun_packets_sent_total", "Packets to clients.", counters.packets.sent.number),
        ("simrun_bytes_received_total", "Bytes from clients.", counters.packets.received.bytes),
        ("simrun_bytes_sent_total", "Bytes to clients.", counters.packets.sent.bytes),
        ("simrun_publishes_received_total", "PUBLISH packets from clients.", counters.publishes.received.number),
        ("simrun_publishes_sent_total", "PUBLISH packets to clients.", counters.publishes.sent.number),
        ("simrun_publish_bytes_received_total", "Payload bytes from clients.", counters.publishes.received.bytes),
        ("simrun_publish_bytes_sent_total", "Payload bytes to clients.", counters.publishes.sent.bytes),
        ("simrun_messages_dropped_total", "Messages that a session does not get.", counters.dropped),
        ("simrun_connections_opened_total", "Connections that were opened.", counters.opened),
        ("simrun_clients_accepted_total", "Clients that were accepted.", counters.accepted),
        ("simrun_clients_refused_total", "Connections that ended before a client was accepted.", counters.refused),
        ("simrun_sessions_expired_total", "Sessions that nobody came back to in time.", counters.expired),
    ];
    let mut text = String::new();
    let mut say = |kind: &str, name: &str, help: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    say("gauge", "simrun_uptime_seconds", "Since the broker began.", &uptime);
    for (name, help, value) in gauges {
        say("gauge", name, help, &value);
    }
    for (name, help, value) in counts {
        say("counter", name, help, &value);
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        text,
        "# HELP simrun_build_info Which program this is.\n# TYPE simrun_build_info gauge\nsimrun_build_info{{version=\"{version}\"}} 1"
    );
    text
}

/// The memory in use, where the operating system says it (Linux).
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
