//! What the broker machine itself takes for a message, without sockets: bytes in, packets out.
//!
//! Each round hands the machine what one turn of a busy live broker reads: a batch of fifty messages from each publisher,
//! and the acknowledgements of what the round before sent. Figures are for one delivered message.
//!
//! - `pairs`: fifty publishers, each with a subscriber of its own, at each QoS.
//! - `fan-out`: one publisher, a hundred subscribers.
//! - `fan-in`: a hundred publishers, one subscriber on a filter with `+`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // A bench reads the clock.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simrun::broker::{Broker, Config, Input, Output, Peer};
use simrun::codec::{
    Ack, AckKind, Connect, Frame, Packet, PacketIdentifier, Properties, Publish, Qos, Reason, Text, Version,
};
use simrun::link::LinkId;
use simrun::store::Restored;
use simrun::time::Time;

/// Messages that a publisher sends in a round.
const BATCH: u16 = 50;
const PAYLOAD: usize = 64;

fn rounds(c: &mut Criterion) {
    let mut group = c.benchmark_group("broker");
    for (name, qos, publishers, subscribers) in [
        ("pairs, QoS 0", Qos::AtMostOnce, 50, 50),
        ("pairs, QoS 1", Qos::AtLeastOnce, 50, 50),
        ("pairs, QoS 2", Qos::ExactlyOnce, 50, 50),
        ("fan-out 1 to 100, QoS 0", Qos::AtMostOnce, 1, 100),
        ("fan-in 100 to 1, QoS 0", Qos::AtMostOnce, 100, 1),
    ] {
        let deliveries = u64::from(BATCH) * u64::max(publishers, subscribers);
        group.throughput(Throughput::Elements(deliveries));
        group.bench_function(name, |b| {
            let mut world = World::new(qos, publishers, subscribers);
            b.iter_custom(|count| {
                let started = Instant::now();
                for _ in 0..count {
                    assert_eq!(world.round(), deliveries);
                }
                started.elapsed()
            });
        });
    }
}

/// A broker and all its clients.
struct World {
    broker: Broker,
    /// What each publisher sends in a round, acknowledgements of the broker's answers included.
    batches: Vec<(LinkId, Bytes)>,
    /// What subscribers have been sent and must acknowledge.
    acks: BTreeMap<LinkId, Vec<u8>>,
    delivered: u64,
}

impl World {
    fn new(qos: Qos, publishers: u64, subscribers: u64) -> World {
        let broker =
            Broker::new(Config { receive_maximum: 1000, ..Config::default() }, Restored::default(), Time::ZERO);
        let mut world = World { broker, batches: Vec::new(), acks: BTreeMap::new(), delivered: 0 };
        for n in 0..subscribers {
            let filter = match (publishers, subscribers) {
                (1, _) => "bench/0".to_owned(),
                (_, 1) => "bench/+".to_owned(),
                _ => format!("bench/{n}"),
            };
            let link = world.connect(format!("subscriber{n}"));
            world.send(link, &subscribe(&filter, qos));
        }
        for n in 0..publishers {
            let link = world.connect(format!("publisher{n}"));
            let mut batch = Vec::new();
            for packet in 1..=BATCH {
                let packet_identifier = (qos > Qos::AtMostOnce).then(|| PacketIdentifier::new(packet).unwrap());
                let publish = Publish {
                    qos,
                    packet_identifier,
                    topic: Text::try_from(format!("bench/{n}")).unwrap(),
                    payload: vec![b'x'; PAYLOAD].into(),
                    ..Publish::default()
                };
                batch.extend_from_slice(&bytes(&Packet::Publish(publish)));
            }
            // The broker answers PUBREC; that much is known without looking.
            for packet in (1..=BATCH).filter(|_| qos == Qos::ExactlyOnce) {
                batch.extend_from_slice(&ack(AckKind::PubRel, packet));
            }
            world.batches.push((link, batch.into()));
        }
        world.delivered = 0;
        world
    }

    fn connect(&mut self, client_id: String) -> LinkId {
        let link = LinkId(self.broker.connections() as u64 + 1);
        self.broker.handle(Time::ZERO, Input::Opened(link, Peer::default()));
        let connect = Connect {
            version: Version::V3_1_1,
            clean_start: true,
            keep_alive: 60,
            client_id: client_id.try_into().unwrap(),
            will: None,
            username: None,
            password: None,
            properties: Properties::default(),
        };
        self.send(link, &bytes(&Packet::Connect(Box::new(connect))));
        link
    }

    fn send(&mut self, link: LinkId, bytes: &Bytes) {
        self.broker.handle(Time::ZERO, Input::Received(link, bytes.clone()));
        while let Some(output) = self.broker.poll() {
            let Output::Send(to, frame) = output else { panic!("the broker closes") };
            self.sent(to, &frame);
        }
    }

    /// Counts, and prepares what the client answers.
    fn sent(&mut self, to: LinkId, frame: &Frame) {
        let first = frame.head[0];
        match (first >> 4, first & 0b110) {
            (3, 0) => self.delivered += 1,
            (3, qos) => {
                self.delivered += 1;
                // Behind the fixed header of two bytes and the topic of two and as many as it says.
                let at = 4 + usize::from(frame.head[3]);
                let answer = if qos == 2 { 0x40 } else { 0x50 };
                self.acks.entry(to).or_default().extend_from_slice(&[answer, 2, frame.head[at], frame.head[at + 1]]);
            }
            (6, _) => {
                self.acks.entry(to).or_default().extend_from_slice(&[0x70, 2, frame.head[2], frame.head[3]]);
            }
            _ => {}
        }
    }

    /// One round; how many messages it delivered.
    fn round(&mut self) -> u64 {
        self.delivered = 0;
        for n in 0..self.batches.len() {
            let (link, batch) = self.batches[n].clone();
            self.send(link, &batch);
        }
        while !self.acks.is_empty() {
            for (link, acks) in std::mem::take(&mut self.acks) {
                self.send(link, &acks.into());
            }
        }
        self.delivered
    }
}

fn bytes(packet: &Packet) -> Bytes {
    Frame::new(packet, Version::V3_1_1).unwrap().to_bytes()
}

fn ack(kind: AckKind, packet: u16) -> Bytes {
    let packet_identifier = PacketIdentifier::new(packet).unwrap();
    bytes(&Packet::Ack(Ack { kind, packet_identifier, reason: Reason::Success, properties: Properties::default() }))
}

fn subscribe(filter: &str, qos: Qos) -> Bytes {
    let mut bytes = vec![0x82, u8::try_from(filter.len() + 5).unwrap(), 0, 1, 0, u8::try_from(filter.len()).unwrap()];
    bytes.extend_from_slice(filter.as_bytes());
    bytes.push(qos as u8);
    bytes.into()
}

criterion_group!(benches, rounds);
criterion_main!(benches);
