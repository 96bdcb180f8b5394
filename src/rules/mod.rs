//! Passive checks of numbered statements over a trace.
//!
//! A rule is a bystander: it sees the packets of one connection, and of the session that it belongs to, and says of the
//! statements that it watches whether they were exercised, and whether one was broken, at which event and why. It need
//! not know which program it watches, and it does not blame one side for what the other began: once the other side has
//! sent what is no packet, only the form of the answers is looked at.
//!
//! | file | what |
//! |---|---|
//! | `statements` | the numbered statements of both standards |
//! | `conversation` | what is known of a connection before its next packet |
//! | `form` | packets as they should be: what the decoder checks |
//! | `connecting` | CONNECT, CONNACK, AUTH, DISCONNECT: what may come when |
//! | `limits` | what the other side said that it takes |
//! | `identifiers` | packet identifiers and the packets that answer |
//! | `delivery` | who gets what; first copies, repeats, order of acknowledgements |
//! | `history` | what applications said and heard: was each promise of delivery kept? |
//! | `ledger` | sessions, wills, copies, exchanges: is what outlives a connection as it must be? |

mod connecting;
mod conversation;
mod delivery;
mod form;
pub mod history;
mod identifiers;
pub mod ledger;
mod limits;
pub mod statements;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::{Packet, PacketType, Version, decode};
use crate::link::LinkId;
use crate::trace::{Event, Name, Transfer, What};

use conversation::{Conversation, Sessions};
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

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The one that is judged.
    Judged,
    /// The other one.
    Opposite,
}

/// What a rule sees next on a connection.
#[derive(Clone, Copy, Debug)]
enum Saw<'a> {
    /// A packet, and its bytes.
    Packet(Side, &'a Packet, &'a Bytes),
    /// One side has closed its end.
    Ended(Side),
}

/// What a rule says of what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judgement {
    /// It has nothing to do with the statements.
    Silent,
    /// They were exercised, and kept.
    Kept,
    /// They were broken, and how.
    Broken(String),
}

impl Judgement {
    /// Kept if `holds`, and broken if not.
    fn of(holds: bool, why: impl FnOnce() -> String) -> Judgement {
        if holds { Judgement::Kept } else { Judgement::Broken(why()) }
    }
}

/// What looks at one connection; it may remember. It is handed what is known of the connection before what it sees.
type Watch = Box<dyn FnMut(&Conversation, Saw<'_>) -> Judgement>;

/// A rule: for which role, about which statements, and what looks.
struct Rule {
    role: Role,
    statements: &'static [&'static str],
    watch: fn() -> Watch,
}

/// All rules that look at packets one connection at a time.
fn rules() -> impl Iterator<Item = &'static Rule> {
    [connecting::RULES, limits::RULES, identifiers::RULES, delivery::RULES].into_iter().flatten()
}

/// The statements that some rule can judge for this role.
pub fn watched(role: Role) -> Vec<Id> {
    let named = rules().filter(|rule| rule.role == role).flat_map(|rule| rule.statements.iter().copied());
    let mut ids: Vec<Id> = named.filter_map(Id::named).chain(form::watched(role)).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Holds a trace against all rules.
pub fn judge(trace: &[Event], role: Role, vantage: Vantage) -> Findings {
    let mut court = Court { role, findings: Findings::new(), links: BTreeMap::new(), sessions: Sessions::default() };
    for (place, event) in trace.iter().enumerate() {
        match &event.what {
            What::Opened { link, client, broker } => {
                let judged = if role == Role::Server { broker } else { client };
                court.links.insert(*link, Case::new(role, judged, client));
            }
            What::Left(transfer) => court.transfer(place, transfer, vantage, true),
            What::Arrived(transfer) => court.transfer(place, transfer, vantage, false),
            What::Closed { link, at, .. } => court.closed(place, *link, at),
            What::Fault { word: "kill" | "power_off", began: true, .. } => court.sessions.restarted = true,
            _ => {}
        }
    }
    court.findings
}

/// Holds one trace against the rules.
struct Court {
    role: Role,
    findings: Findings,
    links: BTreeMap<LinkId, Case>,
    sessions: Sessions,
}

/// One connection.
struct Case {
    /// The name of the judged side.
    judged: Name,
    conversation: Conversation,
    watches: Vec<(&'static Rule, Watch)>,
}

impl Case {
    fn new(role: Role, judged: &Name, client: &Name) -> Case {
        let watches = rules().filter(|rule| rule.role == role).map(|rule| (rule, (rule.watch)())).collect();
        Case { judged: judged.clone(), conversation: Conversation::new(role, client), watches }
    }
}

impl Court {
    fn transfer(&mut self, place: usize, transfer: &Transfer, vantage: Vantage, left: bool) {
        let Some(case) = self.links.get_mut(&transfer.link) else { return };
        let side = if transfer.from == case.judged { Side::Judged } else { Side::Opposite };
        // What counts is what the judged side did and what it could know.
        let counts = match vantage {
            Vantage::Both => left == (side == Side::Judged),
            Vantage::Opposite => left == (side == Side::Opposite),
        };
        if !counts || case.conversation.is_garbled(side) {
            return;
        }
        let version = case.conversation.version(transfer.version);
        match decode(version, &transfer.bytes) {
            Ok(packet) => {
                if side == Side::Judged {
                    for name in form::exercised(self.role, version, &packet) {
                        note(&mut self.findings, version, &[name], place, &Judgement::Kept);
                    }
                }
                let saw = Saw::Packet(side, &packet, &transfer.bytes);
                case.show(&mut self.findings, version, place, saw);
                case.conversation.take_in(side, &packet, &mut self.sessions);
            }
            Err(malformed) => {
                if side == Side::Judged && !case.conversation.is_garbled(Side::Opposite) {
                    let names = form::broken(self.role, version, malformed.fault, &transfer.bytes);
                    let packet = transfer.bytes.first().and_then(|first| PacketType::from_number(first >> 4));
                    let words = format!("{}: {}", packet.map_or("a packet", PacketType::name), malformed.fault.words());
                    note(&mut self.findings, version, &names, place, &Judgement::Broken(words));
                }
                case.conversation.garble(side);
            }
        }
    }

    fn closed(&mut self, place: usize, link: LinkId, at: &Name) {
        let Some(case) = self.links.get_mut(&link) else { return };
        let side = if *at == case.judged { Side::Judged } else { Side::Opposite };
        let version = case.conversation.version(Version::V5);
        case.show(&mut self.findings, version, place, Saw::Ended(side));
    }
}

impl Case {
    fn show(&mut self, findings: &mut Findings, version: Version, place: usize, saw: Saw<'_>) {
        if self.conversation.is_garbled(Side::Opposite) {
            return;
        }
        for (rule, watch) in &mut self.watches {
            let judgement = watch(&self.conversation, saw);
            note(findings, version, rule.statements, place, &judgement);
        }
    }
}

/// Notes what is said of those statements that belong to this version.
fn note(findings: &mut Findings, version: Version, names: &[&str], event: usize, judgement: &Judgement) {
    if *judgement == Judgement::Silent {
        return;
    }
    for id in names.iter().filter_map(|name| Id::named(name)).filter(|id| id.version() == version) {
        let finding = findings.entry(id).or_default();
        finding.exercised += 1;
        if let Judgement::Broken(why) = judgement {
            finding.breaches.push(Breach { event, why: why.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_statements_that_exist() {
        let names = rules().flat_map(|rule| rule.statements.iter().copied()).chain(form::names());
        let wrong: Vec<&str> = names.filter(|name| Id::named(name).is_none()).collect();
        assert_eq!(wrong, Vec::<&str>::new());
    }
}
