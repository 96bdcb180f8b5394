//! Which statement is claimed by what: computed from the cases and the rules. What neither claims is excused here, with a
//! reason, or not covered.

use super::case::Run;
use super::suite;
use crate::codec::Version;
use crate::rules::{self, Id, Role, statements};

/// Statements that nobody can try in this role, and why.
const EXCUSED: &[(Role, &str, &str)] = &[
    (
        Role::Server,
        "v3.1.1/MQTT-7.0.0-1",
        "it binds a server that connects to other servers, and is kept by what it sends there: that is what the suite for \
         clients judges",
    ),
    (
        Role::Server,
        "v3.1.1/MQTT-4.8.0-2",
        "no wire shows why a connection ended, and in our broker nothing can fail for a moment: it is a state machine \
         without I/O, and a store that fails ends the process and with it every connection",
    ),
    (
        Role::Client,
        "v3.1.1/MQTT-4.8.0-2",
        "no wire shows why a connection ended, and in our client nothing can fail for a moment: it has no store, and \
         memory that runs out ends the process and with it the connection",
    ),
    (Role::Client, "v3.1.1/MQTT-7.0.0-1", "it binds servers that connect to other servers, not clients"),
];

/// The statements that bind this role, in the standards' order: its own, those for both, and those for the other side
/// that are seen by how this side meets a breach.
pub fn statements_for(role: Role) -> impl Iterator<Item = Id> {
    let both = [Version::V3_1_1, Version::V5].into_iter().flat_map(statements::all);
    both.map(|statement| statement.id).filter(move |id| binds(role, *id))
}

/// Whether a statement can be seen kept or broken by this role.
pub fn binds(role: Role, id: Id) -> bool {
    let statement = id.statement();
    let (own, wire) = match role {
        Role::Server => ("server", "server-wire"),
        Role::Client => ("client", "client-wire"),
    };
    let nowhere = !statement.observable.contains("-wire");
    statement.observable.contains(wire) || (nowhere && [own, "both"].contains(&statement.applies_to))
}

/// Why a statement is excused in this role, if it is.
pub fn excuse(role: Role, id: Id) -> Option<&'static str> {
    EXCUSED.iter().find(|(of, name, _)| *of == role && *name == id.name()).map(|(_, _, reason)| *reason)
}

/// How a statement is covered in this role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// The cases that claim it.
    pub cases: Vec<&'static str>,
    /// Whether some of them only call our own code.
    pub internals: bool,
    /// Whether a rule watches it.
    pub rule: bool,
    /// Why it is excused.
    pub excuse: Option<&'static str>,
}

impl Cover {
    /// Whether anything stands for the statement.
    pub fn is_covered(&self) -> bool {
        !self.cases.is_empty() || self.rule || self.excuse.is_some()
    }
}

/// How each statement that binds this role is covered.
pub fn cover(role: Role) -> Vec<(Id, Cover)> {
    let watched = rules::watched(role);
    let claims = |id: Id| {
        let cases: Vec<_> =
            suite::cases().filter(|case| case.role() == role && case.claims.contains(&id.name())).collect();
        Cover {
            internals: cases.iter().any(|case| matches!(case.run, Run::Internals(..))),
            cases: cases.into_iter().map(|case| case.name).collect(),
            rule: watched.contains(&id),
            excuse: excuse(role, id),
        }
    };
    statements_for(role).map(|id| (id, claims(id))).collect()
}
