//! Two clients and a broker over links that stall, lose and break at any byte: QoS 2 arrives exactly once, QoS 1 at
//! least once, both in order, in both versions and with any Receive Maximum.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use simrun::broker::{self, Broker, Peer};
use simrun::client::{self, Backoff, Client, Event};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use simrun::store::Restored;
use simrun::time::Time;

const PUBLISHER: usize = 0;
const SUBSCRIBER: usize = 1;

/// One connection: what is under way in both directions.
#[derive(Default)]
struct Wire {
    who: usize,
    /// The client's own number of it.
    number: u64,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
}

/// Both clients, the broker, and what lies between.
struct World {
    now: Time,
    broker: Broker,
    clients: [Client; 2],
    wires: BTreeMap<LinkId, Wire>,
    opened: u64,
    heard: Vec<String>,
    settled: usize,
    lost: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    /// Moves some bytes of every wire.
    Move(usize, usize),
    /// The connection of a client breaks, on both sides.
    Break(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..=2_u8).prop_map(Step::Publish),
        8 => (0..60_usize, 0..60_usize).prop_map(|(up, down)| Step::Move(up, down)),
        2 => (0..2_usize).prop_map(Step::Break),
        3 => (0..3_000_u64).prop_map(Step::Wait),
    ]
}

fn client(version: Version, name: &'static str, receive_maximum: u16, subscribe: bool) -> Client {
    let options = SubscriptionOptions { qos: Qos::ExactlyOnce, ..SubscriptionOptions::default() };
    Client::new(client::Config {
        version,
        client_id: Text::literal(name),
        clean_start: false,
        session_expiry: (version == Version::V5).then_some(u32::MAX),
        keep_alive: 5,
        reconnect: Some(Backoff { first: Duration::from_millis(100), most: Duration::from_secs(2) }),
        subscriptions: if subscribe {
            vec![(Subscription { filter: Text::literal("t/#"), options }, Properties::default())]
        } else {
            Vec::new()
        },
        receive_maximum,
        topic_aliases: true,
        topic_alias_maximum: 2,
        ..client::Config::default()
    })
}

impl World {
    fn new(versions: [Version; 2], receive_maximum: [u16; 2]) -> World {
        let config = broker::Config { receive_maximum: receive_maximum[1], ..broker::Config::default() };
        let mut world = World {
            now: Time::ZERO,
            broker: Broker::new(config, Restored::default(), Time::ZERO),
            clients: [
                client(versions[0], "publisher", 10, false),
                client(versions[1], "subscriber", receive_maximum[0], true),
            ],
            wires: BTreeMap::new(),
            opened: 0,
            heard: Vec::new(),
            settled: 0,
            lost: 0,
        };
        for who in [SUBSCRIBER, PUBLISHER] {
            world.tell(who, client::Input::Connect);
            world.quiet();
        }
        world
    }

    fn tell(&mut self, who: usize, input: client::Input) {
        self.clients[who].handle(self.now, input);
        self.drain(who);
    }

    fn drain(&mut self, who: usize) {
        while let Some(output) = self.clients[who].poll() {
            match output {
                client::Output::Dial(number) => {
                    self.opened += 1;
                    let id = LinkId(self.opened);
                    self.wires.insert(id, Wire { who, number: number.0, ..Wire::default() });
                    self.broker.handle(self.now, broker::Input::Opened(id, Peer::default()));
                    self.clients[who].handle(self.now, client::Input::Dialed(number));
                }
                client::Output::Send(number, frame) => {
                    let wire = self.wires.values_mut().find(|wire| wire.who == who && wire.number == number.0);
                    wire.expect("a connection that stands").up.extend(frame.to_bytes());
                }
                client::Output::Close(number, _) => {
                    let id = self.wires.iter().find(|(_, wire)| wire.who == who && wire.number == number.0);
                    if let Some(id) = id.map(|(id, _)| *id) {
                        self.wires.remove(&id);
                        self.broker.handle(self.now, broker::Input::Closed(id, Cause::End));
                    }
                }
                client::Output::Event(Event::Message { message, .. }) => {
                    self.heard.push(String::from_utf8_lossy(&message.payload).into_owned());
                }
                client::Output::Event(Event::Published(_, reason)) => {
                    assert!(!reason.is_error(), "{reason}");
                    self.settled += 1;
                }
                client::Output::Event(Event::Lost(_) | Event::Expired(_)) => self.lost += 1,
                client::Output::Event(Event::Disconnected(Cause::Protocol(_, what), _)) => {
                    panic!("the client says: {what}")
                }
                client::Output::Event(Event::Disconnected(_, Some(reason))) => panic!("the broker says: {reason}"),
                client::Output::Event(_) => {}
            }
        }
        self.drain_broker();
    }

    fn drain_broker(&mut self) {
        let mut ended = Vec::new();
        while let Some(output) = self.broker.poll() {
            match output {
                broker::Output::Send(id, frame) => {
                    if let Some(wire) = self.wires.get_mut(&id) {
                        wire.down.extend(frame.to_bytes());
                    }
                }
                broker::Output::Close(id, cause) => {
                    assert!(!matches!(cause, Cause::Protocol(..) | Cause::Malformed(_)), "the broker says: {cause}");
                    ended.extend(self.wires.remove(&id));
                }
                broker::Output::Store(..) | broker::Output::Verify(..) | broker::Output::Session(..) => {}
            }
        }
        for wire in ended {
            self.tell(wire.who, client::Input::Closed(LinkId(wire.number), Cause::End));
        }
    }

    /// Moves at most so many bytes of each wire; whether there were any.
    fn carry(&mut self, up: usize, down: usize) -> bool {
        let mut moved = false;
        for id in self.wires.keys().copied().collect::<Vec<_>>() {
            let Some(wire) = self.wires.get_mut(&id) else { continue };
            let bytes: Bytes = wire.up.drain(..up.min(wire.up.len())).collect();
            if !bytes.is_empty() {
                moved = true;
                self.broker.handle(self.now, broker::Input::Received(id, bytes));
                self.drain_broker();
            }
            let Some(wire) = self.wires.get_mut(&id) else { continue };
            let bytes: Bytes = wire.down.drain(..down.min(wire.down.len())).collect();
            let (who, number) = (wire.who, LinkId(wire.number));
            if !bytes.is_empty() {
                moved = true;
                self.tell(who, client::Input::Received(number, bytes));
            }
        }
        moved
    }

    fn quiet(&mut self) {
        while self.carry(usize::MAX, usize::MAX) {}
    }

    fn wait(&mut self, span: Duration, carry: bool) {
        let end = self.now + span;
        loop {
            let clients = self.clients.iter().filter_map(Client::next_timeout);
            let Some(due) = clients.chain(self.broker.next_timeout()).min().filter(|due| *due <= end) else { break };
            self.now = due;
            self.broker.handle(due, broker::Input::Timeout);
            self.drain_broker();
            self.tell(PUBLISHER, client::Input::Timeout);
            self.tell(SUBSCRIBER, client::Input::Timeout);
            if carry {
                self.quiet();
            }
        }
        self.now = end;
    }

    fn break_link(&mut self, who: usize) {
        let Some(id) = self.wires.iter().find(|(_, wire)| wire.who == who).map(|(id, _)| *id) else { return };
        let Some(wire) = self.wires.remove(&id) else { return };
        self.broker.handle(self.now, broker::Input::Closed(id, Cause::Reset));
        self.drain_broker();
        self.tell(who, client::Input::Closed(LinkId(wire.number), Cause::Reset));
    }
}

fn check(versions: [Version; 2], maxima: [u16; 2], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(versions, maxima);
    let mut said = [Vec::new(), Vec::new()];
    let mut count = 0;
    for step in steps {
        match step {
            Step::Publish(qos) => {
                count += 1;
                let payload = format!("{qos} {count}");
                let publish = Publish {
                    topic: Text::literal(if *qos == 1 { "t/one" } else { "t/two" }),
                    qos: Qos::from_number(*qos).expect("1 or 2"),
                    payload: payload.clone().into(),
                    ..Publish::default()
                };
                world.clients[PUBLISHER].publish(world.now, publish).expect("may be published");
                world.drain(PUBLISHER);
                said[usize::from(*qos) - 1].push(payload);
            }
            Step::Move(up, down) => {
                world.carry(*up, *down);
            }
            Step::Break(who) => world.break_link(*who),
            Step::Wait(millis) => world.wait(Duration::from_millis(*millis), false),
        }
    }
    world.quiet();
    world.wait(Duration::from_secs(30), true);
    world.quiet();
    prop_assert_eq!((world.settled, world.lost), (count, 0), "each message is settled");
    prop_assert_eq!(world.clients[PUBLISHER].unsettled(), 0);
    let twice: Vec<_> = world.heard.iter().filter(|heard| heard.starts_with('2')).cloned().collect();
    prop_assert_eq!(&twice, &said[1], "QoS 2 exactly once and in order");
    let mut first: Vec<String> = Vec::new();
    for heard in world.heard.iter().filter(|heard| heard.starts_with('1')) {
        if !first.contains(heard) {
            first.push(heard.clone());
        }
    }
    prop_assert_eq!(&first, &said[0], "QoS 1 at least once, first in order");
    Ok(())
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V3_1_1), Just(Version::V5)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_promised_arrives(
        versions in [version(), version()],
        maxima in [1..4_u16, 1..4_u16],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        check(versions, maxima, &steps)?;
    }
}
