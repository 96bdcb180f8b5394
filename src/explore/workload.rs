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
/// What the client is called that repeats its packets when nobody asks for it.
const IMPATIENT: &str = "gil";
/// Where nobody but the broker may publish.
const FORBIDDEN: &str = "$SYS/mine";

/// A client that is drawn.
struct Drawn {
    name: &'static str,
    v5: bool,
}

/// The scenario of this seed, without faults.
pub fn workload(seed: u64) -> Plan {
    let mut draw = Draw::new(seed, "workload");
    let mut head = Mapping::new();
    head.insert("network".into(), map([("latency", latency(&mut draw))]));
    head.insert("broker".into(), broker(&mut draw));
    let count = usize::try_from(draw.between(2, NAMES.len() as u64)).unwrap_or(2);
    let drawn: Vec<Drawn> = NAMES[..count].iter().map(|name| Drawn { name, v5: draw.once_in(2) }).collect();
    let mut clients: Vec<(String, Value)> = Vec::new();
    for client in &drawn {
        let twin = draw.once_in(10).then(|| drawn[0].name).filter(|first| *first != client.name);
        clients.push((client.name.to_owned(), fields(&mut draw, client, twin)));
    }
    let deeds = draw.between(5, 30);
    let mut steps: Vec<_> = (0..deeds).map(|number| deed(&mut draw, &drawn, number)).collect();
    if draw.once_in(8) {
        let version = *draw.one_of(&["5", "3.1.1"]);
        clients.push((IMPATIENT.to_owned(), map([("version", version.into())])));
        steps.push(repeats(&mut draw, version == "5"));
    }
    let mut plan = Plan { head, clients, timeline: Vec::new(), seed, ends: None };
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

fn fields(draw: &mut Draw, client: &Drawn, twin: Option<&str>) -> Value {
    let mut fields = vec![
        ("version", Value::from(if client.v5 { "5" } else { "3.1.1" })),
        ("keep_alive", Value::from(format!("{}s", draw.between(2, 10)))),
        ("reconnect", map([("first", Value::from("500ms")), ("most", Value::from("4s"))])),
    ];
    if let Some(twin) = twin {
        fields.push(("client_id", twin.into()));
    }
    // Most have something to lose.
    let stays = !draw.once_in(4);
    if client.v5 && stays {
        let expiry = if draw.once_in(4) { draw.between(1, 10) } else { 3600 };
        fields.push(("session_expiry", Value::from(format!("{expiry}s"))));
    } else if !client.v5 {
        fields.push(("clean_start", Value::from(!stays)));
    }
    if client.v5 {
        limits(draw, &mut fields);
    }
    if draw.once_in(3) {
        fields.push(("will", will(draw, client)));
    }
    if !draw.once_in(4) {
        let filters = draw.between(1, 3);
        let filters = (0..filters).map(|_| subscription(draw, client.v5)).collect();
        fields.push(("subscribe", Value::Mapping(filters)));
    }
    map(fields)
}

/// What a client of 5.0 takes at most.
fn limits(draw: &mut Draw, fields: &mut Vec<(&'static str, Value)>) {
    if draw.once_in(3) {
        fields.push(("receive_maximum", draw.between(1, 4).into()));
    }
    if draw.once_in(3) {
        fields.push(("topic_alias_maximum", draw.between(1, 3).into()));
    }
    if draw.once_in(10) {
        fields.push(("maximum_packet_size", draw.between(20, 40).into()));
    }
}

fn will(draw: &mut Draw, client: &Drawn) -> Value {
    let mut fields = vec![
        ("topic", Value::from(*draw.one_of(&TOPICS))),
        ("payload", Value::from(format!("will of {}", client.name))),
        ("qos", draw.up_to(2).into()),
    ];
    if draw.once_in(3) {
        fields.push(("retain", true.into()));
    }
    if client.v5 && draw.once_in(2) {
        fields.push(("delay", Value::from(format!("{}s", draw.up_to(12)))));
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
    if v5 && draw.once_in(3) {
        fields.push(("retain_handling", draw.between(1, 2).into()));
    }
    (filter.into(), map(fields))
}

/// One thing that a client does.
fn deed(draw: &mut Draw, clients: &[Drawn], number: u64) -> (Duration, Value) {
    let at = moment(draw);
    let client = draw.one_of(clients);
    let name = Value::from(client.name);
    match draw.up_to(19) {
        0 => {
            step(at, [("unsubscribe", map([("client", name), ("filters", Value::from(*draw.one_of(&FILTERS[..6])))]))])
        }
        1 | 2 => {
            let filters = Value::Mapping(std::iter::once(subscription(draw, client.v5)).collect());
            step(at, [("subscribe", map([("client", name), ("filters", filters)]))])
        }
        // DISCONNECT 0x04: the will is published all the same.
        3 if client.v5 && draw.once_in(2) => {
            step(at, [("disconnect", map([("client", name), ("reason", Value::from(4))]))])
        }
        3 => step(at, [("disconnect", name)]),
        4 | 5 => step(at, [("connect", name)]),
        _ => step(at, [("publish", message(draw, client, number))]),
    }
}

fn moment(draw: &mut Draw) -> Duration {
    Duration::from_millis(1000 + draw.up_to(u64::try_from(WORK.as_millis()).unwrap_or_default() / 10) * 10)
}

fn message(draw: &mut Draw, client: &Drawn, number: u64) -> Value {
    let place = usize::try_from(draw.up_to(TOPICS.len() as u64 - 1)).unwrap_or_default();
    let forbidden = client.v5 && draw.once_in(20);
    let mut fields = vec![
        ("from", Value::from(client.name)),
        ("topic", Value::from(if forbidden { FORBIDDEN } else { TOPICS[place] })),
        ("payload", Value::from(format!("m{number} {{n}}"))),
        ("qos", draw.up_to(2).into()),
    ];
    if draw.once_in(6) {
        fields.push(("retain", true.into()));
    }
    if draw.once_in(3) {
        fields.push(("count", draw.between(2, 12).into()));
    }
    if client.v5 && draw.once_in(8) {
        fields.push(("message_expiry_interval", Value::from(format!("{}s", draw.between(1, 20)))));
    }
    if client.v5 && !forbidden && draw.once_in(3) {
        fields.push(("topic_alias", Value::from(place + 1)));
        // The alias alone: where it means nothing yet, the client refuses.
        if draw.once_in(2) {
            fields[1].1 = Value::from("");
        }
    }
    map(fields)
}

/// The same QoS 2 message two to four times in one breath, as 3.1.1 allows, and one more behind it.
fn repeats(draw: &mut Draw, v5: bool) -> (Duration, Value) {
    let publish = |first: &str, identifier: u8, payload: u8| {
        let properties = if v5 { "00" } else { "" };
        let length = 6 + u8::from(v5);
        format!("{first}{length:02x}000175{:04x}{properties}{payload:02x}", u16::from(identifier))
    };
    let mut bytes = publish("34", 9, b'x');
    for _ in 0..draw.between(1, 3) {
        bytes.push_str(&publish("3c", 9, b'x'));
    }
    bytes.push_str(&publish("34", 10, b'y'));
    step(moment(draw), [("send", map([("from", IMPATIENT.into()), ("hex", bytes.into())]))])
}
