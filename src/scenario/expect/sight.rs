//! A trace as an expectation sees it: packets decoded, topic aliases resolved, and what they mean to a client.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{Packet, Text, decode};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::scenario::words::EventWord;
use crate::time::Time;
use crate::trace::{Event, Name, Transfer, What, describe};

/// Something that a pattern may fit.
pub(super) struct Sight {
    /// Its event's number in the trace.
    pub event: usize,
    pub time: Time,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// A packet left, or arrived. The topic of a PUBLISH is what its alias stands for.
    Packet { from: Name, to: Name, packet: Box<Packet>, arrived: bool },
    /// Something happened to a client; `at` is the side it happened on.
    Happened { client: Name, event: EventWord, at: Name, detail: Detail },
}

/// What there is to know about what happened.
pub(super) enum Detail {
    None,
    ConnAck(Box<Packet>),
    Cause(Cause),
    Line(String),
    Message(Box<Message>),
}

impl Sight {
    /// What it is, in one line.
    pub(super) fn words(&self) -> String {
        match &self.kind {
            Kind::Packet { packet, .. } => describe(packet),
            Kind::Happened { event, detail, .. } => match detail {
                Detail::None => event.word().to_owned(),
                Detail::ConnAck(packet) => format!("{} ({})", event.word(), describe(packet)),
                Detail::Cause(cause) => format!("{} ({cause})", event.word()),
                Detail::Line(line) => format!("{} {line:?}", event.word()),
                Detail::Message(message) => format!("{} {}", event.word(), message.topic),
            },
        }
    }
}

/// Everything in a trace that a pattern may fit, in order.
pub(super) fn sights(trace: &[Event]) -> Vec<Sight> {
    let mut eye = Eye::default();
    for (number, event) in trace.iter().enumerate() {
        eye.see(number, event);
    }
    eye.sights
}

#[derive(Default)]
struct Eye {
    sights: Vec<Sight>,
    owners: BTreeMap<LinkId, Name>,
    accepted: BTreeSet<LinkId>,
    /// What the aliases stand for, for each connection, sender and side that sees it.
    aliases: BTreeMap<(LinkId, Name, bool, u16), Text>,
}

impl Eye {
    fn see(&mut self, number: usize, event: &Event) {
        match &event.what {
            What::Opened { link, client, .. } => {
                self.owners.insert(*link, client.clone());
                self.happened(number, event.time, client, EventWord::Opened, client, Detail::None);
            }
            What::Unreachable { client, .. } => {
                self.happened(number, event.time, client, EventWord::Unreachable, client, Detail::None);
            }
            What::Closed { link, at, cause } => {
                let owner = self.owners.get(link).unwrap_or(at).clone();
                let detail = || Detail::Cause(cause.clone());
                self.happened(number, event.time, &owner, EventWord::Closed, at, detail());
                if *at == owner && self.accepted.remove(link) {
                    self.happened(number, event.time, &owner, EventWord::Disconnected, at, detail());
                }
            }
            What::Left(transfer) => self.packet(number, event.time, transfer, false),
            What::Arrived(transfer) => self.packet(number, event.time, transfer, true),
            What::Told { client, message } => {
                let detail = Detail::Message(Box::new(message.clone()));
                self.happened(number, event.time, client, EventWord::Told, client, detail);
            }
            What::Said { client, publish } => {
                let message = Message::from_publish(publish, publish.topic.clone(), event.time);
                let detail = Detail::Message(Box::new(message));
                self.happened(number, event.time, client, EventWord::Said, client, detail);
            }
            What::Printed { client, line } => {
                self.happened(number, event.time, client, EventWord::Printed, client, Detail::Line(line.clone()));
            }
            What::Misused { client, .. } => {
                self.happened(number, event.time, client, EventWord::Misused, client, Detail::None);
            }
            What::Fault { .. } | What::Session { .. } => {}
        }
    }

    fn packet(&mut self, number: usize, time: Time, transfer: &Transfer, arrived: bool) {
        let Ok(mut packet) = decode(transfer.version, &transfer.bytes) else { return };
        if let Packet::Publish(publish) = &mut packet
            && let Some(alias) = publish.properties.topic_alias()
        {
            let key = (transfer.link, transfer.from.clone(), arrived, alias);
            if publish.topic.is_empty() {
                publish.topic = self.aliases.get(&key).cloned().unwrap_or_default();
            } else {
                self.aliases.insert(key, publish.topic.clone());
            }
        }
        let answer = match &packet {
            Packet::ConnAck(connack) if arrived && connack.reason.is_error() => Some(EventWord::Refused),
            Packet::ConnAck(_) if arrived => {
                self.accepted.insert(transfer.link);
                Some(EventWord::Connected)
            }
            _ => None,
        };
        if let Some(event) = answer {
            let detail = Detail::ConnAck(Box::new(packet.clone()));
            self.happened(number, time, &transfer.to, event, &transfer.to, detail);
        }
        let (from, to) = (transfer.from.clone(), transfer.to.clone());
        let kind = Kind::Packet { from, to, packet: Box::new(packet), arrived };
        self.sights.push(Sight { event: number, time, kind });
    }

    fn happened(&mut self, number: usize, time: Time, client: &Name, event: EventWord, at: &Name, detail: Detail) {
        let kind = Kind::Happened { client: client.clone(), event, at: at.clone(), detail };
        self.sights.push(Sight { event: number, time, kind });
    }
}
