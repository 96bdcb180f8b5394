//! The faults of a scenario, with whom they befall, in the order of time.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::network::Place;
use crate::scenario::{self, Action, Names, Scenario, setup};
use crate::time::Time;
use crate::trace::{Name, Way, What};

/// The broker's place among the machines of a run. The clients follow in order.
pub(crate) const BROKER: Place = 0;

/// What befalls a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// When.
    pub at: Time,
    /// The scenario's word for it.
    pub word: &'static str,
    /// Whom it names, as it is written.
    pub names: Vec<Name>,
    /// Whether it begins something; `false` where it ends something.
    pub begins: bool,
    /// What is done.
    pub blow: Blow,
}

impl Fault {
    /// What the trace says of it.
    pub(crate) fn what(&self) -> What {
        What::Fault { word: self.word, names: self.names.clone(), began: self.begins }
    }
}

/// What a fault does. Paths are named by the client at their end.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub(crate) enum Blow {
    Cut(Vec<Place>, Vec<Way>),
    Heal(Vec<Place>),
    Hold(Vec<Place>),
    Release(Vec<Place>),
    Reset(Vec<Place>),
    /// The end that sends this way closes.
    Close(Vec<Place>, Way),
    Kill(Vec<Place>),
    PowerOff(Vec<Place>),
    Start(Vec<Place>),
    Latency(RangeInclusive<Duration>),
    Chunk(u32),
}

/// The faults of a scenario whose machines are called `names`, the broker first.
pub(crate) fn faults(scenario: &Scenario, names: &[Name]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for step in &scenario.timeline {
        let Some((word, action)) = step.actions().next() else { continue };
        let clients = |named: &Names| places(scenario, names, named, true);
        let hosts = |named: &Names| places(scenario, names, named, false);
        let (named, begins, blow) = match action {
            Action::Cut { names: named, way } => {
                // A path has its client at one end: seen from the broker, up and down change places.
                let seen_from_broker = named.0.iter().any(|name| name == setup::BROKER);
                let ways = match way {
                    None => Way::BOTH.to_vec(),
                    Some(scenario::Way::Up) if seen_from_broker => vec![Way::Down],
                    Some(scenario::Way::Down) if seen_from_broker => vec![Way::Up],
                    Some(scenario::Way::Up) => vec![Way::Up],
                    Some(scenario::Way::Down) => vec![Way::Down],
                };
                (Some(named), true, Blow::Cut(clients(named), ways))
            }
            Action::Heal(named) => (Some(named), false, Blow::Heal(clients(named))),
            Action::Hold(named) => (Some(named), true, Blow::Hold(clients(named))),
            Action::Release(named) => (Some(named), false, Blow::Release(clients(named))),
            Action::Reset(named) => (Some(named), true, Blow::Reset(clients(named))),
            Action::Close(named) => {
                let at_broker = named.0.iter().any(|name| name == setup::BROKER);
                let way = if at_broker { Way::Down } else { Way::Up };
                (Some(named), true, Blow::Close(clients(named), way))
            }
            Action::Kill(named) => (Some(named), true, Blow::Kill(hosts(named))),
            Action::PowerOff(named) => (Some(named), true, Blow::PowerOff(hosts(named))),
            Action::Start(named) => (Some(named), false, Blow::Start(hosts(named))),
            Action::Latency(range) => (None, true, Blow::Latency(range.least..=range.most)),
            Action::Chunk(most) => (None, true, Blow::Chunk(most)),
            _ => continue,
        };
        let named = named.map(|named| named.0.iter().map(|name| Name::from(name.as_str())).collect());
        faults.push(Fault { at: Time::after(step.time().0), word, names: named.unwrap_or_default(), begins, blow });
    }
    faults
}

/// Whom the names mean. `broker` means its own place, or where `paths` are meant, those to all clients.
fn places(scenario: &Scenario, names: &[Name], named: &Names, paths: bool) -> Vec<Place> {
    let every_path = paths && named.0.iter().any(|name| name == setup::BROKER);
    let mut places = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let is_path = place != BROKER;
        if (every_path && is_path) || setup::names_mean(scenario, named, name) && (is_path || !paths) {
            places.push(place);
        }
    }
    places
}
