//! A scenario drawn from a seed: subscribers that come and go, QoS mixed, both versions, client identifiers used twice,
//! shared subscriptions, wills, retained messages, expiry, aliases, quotas, a broker with a disk or without.

use std::time::Duration;

use serde_yaml::{Mapping, Value};

use super::draw::Draw;
use super::plan::{Plan, map, step};

/// How long clients are at work.
const WORK: Duration = Duration::from_secs(40);
/// Where messages go.
const TOPICS: [&str; 4] = ["t/a", "t/b", "t/c", "u"];
/// Who listens.
const FILTERS: [&str; 7] = ["t/a", "t/b", "t/+", "t/#", "#", "u", "$share/g/t/#"];
/// What clients are called.
const NAMES: [&str; 6] = ["ann", "bob", "cyd", "dan", "eve", "fay"];

/// The scenario of this seed, without faults.
pub fn workload(seed: u64) -> Plan {
    let mut draw = Draw::new(seed, "workload");
    let mut head = Mapping::new();
    head.insert("network".into(), map([("latency", latency(&mut draw))]));
    head.insert("broker".into(), broker(&mut draw));
    let count = usize::try_from(draw.between(2, NAMES.len() as u64)).unwrap_or(2);
    let names = &NAMES[..count];
    let mut clients: Vec<(String, Value)> = Vec::new();
    for name in names {
        let twin = draw.once_in(12).then(|| names[0]).filter(|first| first != name);
        clients.push(((*name).to_owned(), client(&mut draw, name, twin)));
    }
    let mut plan = Plan { head, clients, timeline: Vec::new(), seed, ends: None };
    let deeds = draw.between(5, 30);
    let steps: Vec<_> = (0..deeds).map(|number| deed(&mut draw, names, number)).collect();
    plan.add(steps);
    plan
}

fn latency(draw: &mut Draw) -> Value {
    let least = draw.between(1, 20);
    Value::from(format!("{least}ms..{}ms", least + draw.up_to(80)))
}

fn broker(draw: &mut Draw) -> Value {
    let mut fields = vec![("disk", Value::from(draw.once_in(2)))];
    if draw.once_in(4) {
        fields.push(("receive_maximum", draw.between(1, 3).into()));
    }
    map(fields)
}

fn client(draw: &mut Draw, name: &str, twin: Option<&str>) -> Value {
    let v5 = draw.once_in(2);
    let mut fields = vec![
        ("version", Value::from(if v5 { "5" } else { "3.1.1" })),
        ("keep_alive", Value::from(format!("{}s", draw.between(2, 10)))),
        ("reconnect", map([("first", Value::from("500ms")), ("most", Value::from("4s"))])),
    ];
    if let Some(twin) = twin {
        fields.push(("client_id", twin.into()));
    }
    // Most have something to lose.
    let stays = !draw.once_in(4);
    if v5 && stays {
        let expiry = if draw.once_in(5) { draw.between(1, 10) } else { 3600 };
        fields.push(("session_expiry", Value::from(format!("{expiry}s"))));
    } else if !v5 {
        fields.push(("clean_start", Value::from(!stays)));
    }
    if v5 && draw.once_in(3) {
        fields.push(("receive_maximum", draw.between(1, 4).into()));
    }
    if v5 && draw.once_in(3) {
        fields.push(("topic_alias_maximum", draw.between(1, 3).into()));
    }
    if draw.once_in(3) {
        fields.push(("will", will(draw, name, v5)));
    }
    if !draw.once_in(4) {
        let filters = draw.between(1, 2);
        let filters = (0..filters).map(|_| subscription(draw, v5)).collect();
        fields.push(("subscribe", Value::Mapping(filters)));
    }
    map(fields)
}

fn will(draw: &mut Draw, name: &str, v5: bool) -> Value {
    let mut fields = vec![
        ("topic", Value::from(*draw.one_of(&TOPICS))),
        ("payload", Value::from(format!("will of {name}"))),
        ("qos", draw.up_to(2).into()),
    ];
    if draw.once_in(3) {
        fields.push(("retain", true.into()));
    }
    if v5 && draw.once_in(2) {
        fields.push(("delay", Value::from(format!("{}s", draw.up_to(5)))));
    }
    map(fields)
}

fn subscription(draw: &mut Draw, v5: bool) -> (Value, Value) {
    let filters = if v5 { &FILTERS[..] } else { &FILTERS[..FILTERS.len() - 1] };
    let filter = *draw.one_of(filters);
    let mut fields = vec![("qos", Value::from(draw.up_to(2)))];
    if v5 && draw.once_in(4) {
        fields.push(("retain_as_published", true.into()));
    }
    if v5 && draw.once_in(6) && !filter.starts_with('$') {
        fields.push(("no_local", true.into()));
    }
    (filter.into(), map(fields))
}

/// One thing that a client does.
fn deed(draw: &mut Draw, names: &[&str], number: u64) -> (Duration, Value) {
    let at = Duration::from_millis(1000 + draw.up_to(u64::try_from(WORK.as_millis()).unwrap_or_default() / 10) * 10);
    let name = Value::from(*draw.one_of(names));
    match draw.up_to(19) {
        0 => {
            step(at, [("unsubscribe", map([("client", name), ("filters", Value::from(*draw.one_of(&FILTERS[..6])))]))])
        }
        1 => {
            let (filter, options) = subscription(draw, false);
            let filters = Value::Mapping(std::iter::once((filter, options)).collect());
            step(at, [("subscribe", map([("client", name), ("filters", filters)]))])
        }
        2 => step(at, [("disconnect", name)]),
        3 | 4 => step(at, [("connect", name)]),
        _ => {
            let mut fields = vec![
                ("from", name),
                ("topic", Value::from(*draw.one_of(&TOPICS))),
                ("payload", Value::from(format!("m{number} {{n}}"))),
                ("qos", draw.up_to(2).into()),
            ];
            if draw.once_in(6) {
                fields.push(("retain", true.into()));
            }
            if draw.once_in(3) {
                fields.push(("count", draw.between(2, 12).into()));
            }
            step(at, [("publish", map(fields))])
        }
    }
}
