//! Passive checks of numbered statements over a trace.
//!
//! A rule is a bystander: it sees the packets of one link (or of one session, over several links) and says of each
//! statement that it watches whether it was exercised, and whether it was broken, at which event and why. It need not
//! know which program it watches.

pub mod statements;

use std::collections::BTreeMap;

use crate::trace::Event;

pub use statements::{Id, Statement};

/// Which side of the connections is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The broker.
    Server,
    /// The client.
    Client,
}

/// From where a trace was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// Both sides were seen: what the judged side sent is known when it left, what it got when it arrived there.
    Both,
    /// Only the other side was seen: what the judged side sent is known when it arrived here. What was sent to it may
    /// have reached it any time later.
    Opposite,
}

/// What the rules say of one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How often something happened that the statement speaks of.
    pub exercised: usize,
    /// Where it was broken.
    pub breaches: Vec<Breach>,
}

/// Where a statement was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The event of the trace, counted from 0.
    pub event: usize,
    /// What was wrong.
    pub why: String,
}

/// What all rules say of a trace.
pub type Findings = BTreeMap<Id, Finding>;

/// Holds a trace against all rules.
pub fn judge(_trace: &[Event], _role: Role, _vantage: Vantage) -> Findings {
    Findings::new()
}

/// The statements that some rule can judge for this role.
pub fn watched(_role: Role) -> Vec<Id> {
    Vec::new()
}
