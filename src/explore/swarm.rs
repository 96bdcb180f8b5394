//! Faults drawn from a seed. First it is drawn which kinds there are at all, and how many: runs with a few kinds of fault
//! go deeper than runs with a little of everything.

use std::time::Duration;

use serde_yaml::Value;

use super::draw::Draw;
use super::plan::{Plan, map, span, step};

/// The kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cut,
    CutOneWay,
    Hold,
    Reset,
    Close,
    Kill,
    PowerOff,
    Latency,
    Chunk,
}

const KINDS: [Kind; 9] = [
    Kind::Cut,
    Kind::CutOneWay,
    Kind::Hold,
    Kind::Reset,
    Kind::Close,
    Kind::Kill,
    Kind::PowerOff,
    Kind::Latency,
    Kind::Chunk,
];

/// How long after the last fault all is well, so that everything owed can arrive: longer than keep alive, back-off and
/// will delay of the workload together.
const QUIET: Duration = Duration::from_secs(60);

/// The plan with the faults of this seed. They are all healed at its end, and a quiet phase follows.
#[must_use]
pub fn with_faults(plan: &Plan, seed: u64) -> Plan {
    let mut draw = Draw::new(seed, "swarm");
    let mut plan = plan.clone();
    plan.seed = seed;
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| draw.once_in(3)).collect();
    let end = plan.last() + Duration::from_secs(5);
    let names: Vec<String> = plan.clients.iter().map(|(name, _)| name.clone()).collect();
    if !kinds.is_empty() && !names.is_empty() {
        let count = draw.between(1, 12);
        let mut faults = Vec::new();
        for _ in 0..count {
            let kind = *draw.one_of(&kinds);
            let name = Value::from(draw.one_of(&names).as_str());
            fault(&mut draw, kind, name, end, &mut faults);
        }
        plan.add(faults);
        plan.add(heal(&names, end));
    }
    plan.ends = Some(plan.ends.unwrap_or_default().max(plan.last() + QUIET));
    plan
}

/// A fault, and what ends it.
fn fault(draw: &mut Draw, kind: Kind, name: Value, end: Duration, faults: &mut Vec<(Duration, Value)>) {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let at = Duration::from_millis(draw.between(500, millis(end)));
    // Short and long ones: some hit between two packets, some outlast a keep alive.
    let most = *draw.one_of(&[100, 1000, 12_000]);
    let until = (at + Duration::from_millis(draw.between(10, most))).min(end);
    let broker = Value::from("broker");
    match kind {
        Kind::Cut => {
            faults.push(step(at, [("cut", name.clone())]));
            faults.push(step(until, [("heal", name)]));
        }
        Kind::CutOneWay => {
            let way = *draw.one_of(&["up", "down"]);
            faults.push(step(at, [("cut", name.clone()), ("way", way.into())]));
            faults.push(step(until, [("heal", name)]));
        }
        Kind::Hold => {
            faults.push(step(at, [("hold", name.clone())]));
            faults.push(step(until, [("release", name)]));
        }
        Kind::Reset => faults.push(step(at, [("reset", name)])),
        Kind::Close => faults.push(step(at, [("close", name)])),
        Kind::Kill => {
            faults.push(step(at, [("kill", broker.clone())]));
            faults.push(step(until, [("start", broker)]));
        }
        Kind::PowerOff => {
            faults.push(step(at, [("power_off", broker.clone())]));
            faults.push(step(until, [("start", broker)]));
        }
        Kind::Latency => {
            let least = draw.between(1, 50);
            let range = format!("{least}ms..{}ms", least + draw.up_to(500));
            faults.push(step(at, [("latency", range.into())]));
        }
        Kind::Chunk => faults.push(step(at, [("chunk", (*draw.one_of(&[1u64, 2, 3, 7, 50])).into())])),
    }
}

/// The end of all faults.
fn heal(names: &[String], end: Duration) -> Vec<(Duration, Value)> {
    let all = Value::Sequence(names.iter().map(|name| Value::from(name.as_str())).collect());
    vec![
        step(end, [("heal", all.clone())]),
        step(end, [("release", all.clone())]),
        step(end, [("start", Value::from("broker"))]),
        step(end, [("latency", Value::from("5ms"))]),
        step(end + Duration::from_secs(1), [("connect", all)]),
    ]
}

/// A range of latency that draws nothing from chance.
pub(super) fn steady() -> Value {
    map([("latency", span(Duration::from_millis(5)))])
}
