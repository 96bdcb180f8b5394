//! A broker with clients on strings: packets go in and come out, time passes when told to.
#![allow(dead_code, unreachable_pub)]

pub mod scenarios;
pub mod served;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use simrun::broker::{Broker, Check, Config, Input, Output, Peer};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use simrun::store::{Mark, Restored};
use simrun::time::Time;

pub struct Host {
    pub broker: Broker,
    pub now: Time,
    pub disk: Restored,
    /// Whether the disk answers; a crash loses what it has not answered.
    pub disk_answers: bool,
    /// Whether passwords are held against hashes at once.
    pub verifies: bool,
    pub unverified: Vec<(LinkId, Check)>,
    waiting: Vec<(Vec<simrun::store::Change>, Mark)>,
    config: Config,
    links: BTreeMap<LinkId, Line>,
    next_link: u64,
}

struct Line {
    version: Version,
    heard: VecDeque<Packet>,
    closed: Option<Cause>,
}

impl Host {
    pub fn new(config: Config) -> Host {
        Host {
            broker: Broker::new(config.clone(), Restored::default(), Time::ZERO),
            now: Time::ZERO,
            disk: Restored::default(),
            disk_answers: true,
            verifies: true,
            unverified: Vec::new(),
            waiting: Vec::new(),
            config,
            links: BTreeMap::new(),
            next_link: 0,
        }
    }

    pub fn open(&mut self) -> LinkId {
        self.open_with(|id| Input::Opened(id, Peer(format!("test {}", id.0))))
    }

    pub fn open_from(&mut self, address: &str) -> LinkId {
        self.open_with(|id| Input::Opened(id, Peer(address.to_owned())))
    }

    pub fn open_with(&mut self, input: impl FnOnce(LinkId) -> Input) -> LinkId {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        self.links.insert(id, Line { version: Version::V3_1_1, heard: VecDeque::new(), closed: None });
        self.input(input(id));
        id
    }

    pub fn cut_if_open(&mut self, id: LinkId) {
        if self.closed(id).is_none() {
            self.cut(id);
        }
    }

    pub fn input(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send(id, frame) => {
                    let line = self.links.get_mut(&id).expect("the broker sends on links it knows");
                    assert!(line.closed.is_none(), "the broker sent on a closed link");
                    let packet = decode(line.version, &frame.to_bytes()).expect("the broker sends valid packets");
                    line.heard.push_back(packet);
                }
                Output::Close(id, cause) => self.links.get_mut(&id).expect("known").closed = Some(cause),
                Output::Store(changes, mark) => self.waiting.push((changes, mark)),
                Output::Verify(id, check) => self.unverified.push((id, check)),
                Output::Session(..) => {}
            }
            if self.verifies {
                for (id, check) in std::mem::take(&mut self.unverified) {
                    self.broker.handle(self.now, Input::Verified(id, check.verdict()));
                }
            }
            if self.disk_answers {
                for (changes, mark) in std::mem::take(&mut self.waiting) {
                    changes.into_iter().for_each(|change| self.disk.apply(change));
                    self.broker.handle(self.now, Input::Stored(mark));
                }
            }
        }
    }

    /// The process dies and starts again with what is on disk.
    pub fn restart(&mut self) {
        self.waiting.clear();
        self.disk_answers = true;
        self.links.clear();
        self.broker = Broker::new(self.config.clone(), self.disk.clone(), self.now);
        self.drain();
    }

    pub fn send(&mut self, id: LinkId, packet: impl Into<AnyPacket>) {
        let packet = packet.into().0;
        let line = self.links.get_mut(&id).expect("opened");
        if let Packet::Connect(connect) = &packet {
            line.version = connect.version;
        }
        let mut bytes = Vec::new();
        encode(&packet, line.version, &mut bytes).expect("the test sends valid packets");
        self.input(Input::Received(id, bytes.into()));
    }

    pub fn send_bytes(&mut self, id: LinkId, bytes: &[u8]) {
        self.input(Input::Received(id, Bytes::copy_from_slice(bytes)));
    }

    /// Lets time pass, timer by timer.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.broker.next_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.input(Input::Timeout);
            assert!(self.broker.next_timeout().is_none_or(|next| next > self.now), "a due timer stays");
        }
        self.now = end;
    }

    pub fn cut(&mut self, id: LinkId) {
        self.input(Input::Closed(id, Cause::Reset));
        self.links.get_mut(&id).expect("opened").closed = Some(Cause::Reset);
    }

    /// The next packet heard on this link.
    pub fn next(&mut self, id: LinkId) -> Packet {
        self.links.get_mut(&id).and_then(|line| line.heard.pop_front()).expect("nothing more was heard")
    }

    pub fn next_publish(&mut self, id: LinkId) -> Publish {
        match self.next(id) {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, heard {other:?}"),
        }
    }

    pub fn silent(&self, id: LinkId) -> bool {
        self.links[&id].heard.is_empty()
    }

    pub fn closed(&self, id: LinkId) -> Option<&Cause> {
        self.links[&id].closed.as_ref()
    }

    /// A connected client, its CONNACK read and accepted.
    pub fn connect(&mut self, connect: Connect) -> (LinkId, ConnAck) {
        let id = self.open();
        self.send(id, connect);
        match self.next(id) {
            Packet::ConnAck(connack) => (id, connack),
            other => panic!("expected CONNACK, heard {other:?}"),
        }
    }

    pub fn subscribe(&mut self, id: LinkId, filter: &str, qos: Qos) -> Vec<Reason> {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        self.subscribe_with(id, filter, options)
    }

    pub fn subscribe_with(&mut self, id: LinkId, filter: &str, options: SubscriptionOptions) -> Vec<Reason> {
        let subscriptions = vec![Subscription { filter: text(filter), options }];
        self.send(id, Subscribe { packet_identifier: pid(1), properties: Properties::new(), subscriptions });
        match self.next(id) {
            Packet::SubAck(suback) => suback.reasons,
            other => panic!("expected SUBACK, heard {other:?}"),
        }
    }
}

/// Any packet, so that tests can write `send(link, Publish { .. })`.
pub struct AnyPacket(Packet);

macro_rules! into_any {
    ($($kind:ident $wrap:expr;)*) => {
        $(impl From<$kind> for AnyPacket {
            fn from(packet: $kind) -> AnyPacket { AnyPacket(($wrap)(packet)) }
        })*
    };
}
into_any! {
    Packet |p| p;
    Connect |p| Packet::Connect(Box::new(p));
    Publish Packet::Publish;
    Ack Packet::Ack;
    Subscribe Packet::Subscribe;
    Unsubscribe Packet::Unsubscribe;
    Disconnect Packet::Disconnect;
}

pub fn text(string: &str) -> Text {
    Text::try_from(string).expect("a string for MQTT")
}

pub fn pid(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not zero")
}

/// A CONNECT that starts clean.
pub fn hello(version: Version, client_id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 0,
        client_id: text(client_id),
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    }
}

/// A CONNECT that asks for a session that lasts.
pub fn hello_lasting(version: Version, client_id: &str) -> Connect {
    let properties = match version {
        Version::V3_1_1 => Properties::new(),
        Version::V5 => Properties::new().with(Property::SessionExpiryInterval, Value::Four(3600)),
    };
    Connect { clean_start: false, properties, ..hello(version, client_id) }
}

pub fn publish(topic: &str, payload: &'static str, qos: u8, id: u16) -> Publish {
    Publish {
        qos: Qos::from_number(qos).expect("0, 1 or 2"),
        topic: text(topic),
        packet_identifier: PacketIdentifier::new(id),
        payload: Bytes::from_static(payload.as_bytes()),
        ..Publish::default()
    }
}

pub fn ack(kind: AckKind, id: u16) -> Ack {
    Ack::new(kind, pid(id), Reason::Success)
}

pub const BOTH: [Version; 2] = [Version::V3_1_1, Version::V5];
