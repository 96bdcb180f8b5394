//! `kill -9`, again and again, under load, on a real disk: publishers at QoS 1 and 2, subscribers whose sessions persist.
//! Whatever the broker acknowledged reaches every subscriber, at QoS 2 once, and it always starts again.
//!
//! A thousand times: `cargo test --release --test kill9 -- --include-ignored --nocapture`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::print_stdout)] // Real processes in real time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use simrun::codec::{
    Ack, AckKind, Connect, Packet, PacketIdentifier, Properties, Property, Publish, Qos, Reader, Reason, Subscribe,
    Subscription, SubscriptionOptions, Text, Value, Version, decode, encode,
};

/// How many messages a publisher has unacknowledged.
const WINDOW: usize = 20;

#[test]
fn nothing_promised_is_lost_or_doubled() {
    kill_again_and_again(10);
}

#[test]
#[ignore = "takes minutes"]
fn nothing_promised_is_lost_or_doubled_a_thousand_times() {
    kill_again_and_again(1000);
}

fn kill_again_and_again(rounds: u32) {
    let directory = std::env::temp_dir().join(format!("simrun-kill9-{}-{rounds}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let mut publishers: Vec<Publisher> = [Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce]
        .into_iter()
        .enumerate()
        .map(|(number, qos)| Publisher::new(number, qos))
        .collect();
    let mut subscribers = [Version::V3_1_1, Version::V5].map(Subscriber::new);
    for subscriber in &mut subscribers {
        // What is subscribed to before the first message is owed every message.
        let mut broker = Broker::start(&directory);
        subscriber.hear(broker.port, Duration::from_secs(20), |subscriber| subscriber.subscribed);
        broker.kill();
    }
    let begun = Instant::now();
    for round in 0..rounds {
        let mut broker = Broker::start(&directory);
        let port = broker.port;
        std::thread::scope(|scope| {
            publishers.iter_mut().for_each(|publisher| drop(scope.spawn(move || publisher.publish(port))));
            let for_ever = Duration::from_secs(60);
            subscribers.iter_mut().for_each(|one| drop(scope.spawn(move || one.hear(port, for_ever, |_| false))));
            // Of no length in particular: each round is cut off somewhere else.
            std::thread::sleep(Duration::from_millis(10 + u64::from(round.wrapping_mul(2_654_435_761) >> 8) % 90));
            broker.kill();
        });
    }
    let promised: BTreeSet<String> = publishers.iter().flat_map(|publisher| publisher.promised.clone()).collect();
    let mut broker = Broker::start(&directory);
    for subscriber in &mut subscribers {
        subscriber
            .hear(broker.port, Duration::from_secs(20), |one| promised.iter().all(|what| one.heard.contains_key(what)));
        let lost: Vec<_> = promised.iter().filter(|what| !subscriber.heard.contains_key(*what)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let doubled: Vec<_> =
            subscriber.heard.iter().filter(|(what, count)| what.starts_with("qos-2") && **count > 1).collect();
        assert!(doubled.is_empty(), "QoS 2 and doubled: {doubled:?}");
    }
    broker.end();
    let size = std::fs::metadata(directory.join("simrun.redb")).expect("it is there").len();
    println!(
        "{rounds} times killed in {:.1} s; {} messages acknowledged, all heard; the store has {size} bytes",
        begun.elapsed().as_secs_f64(),
        promised.len(),
    );
    assert!(promised.len() > rounds as usize, "there was load: {}", promised.len());
    std::fs::remove_dir_all(&directory).expect("ours");
}

/// A broker with a store in this directory.
struct Broker {
    process: Child,
    port: u16,
}

impl Broker {
    fn start(directory: &Path) -> Broker {
        let mut command = Command::new(program());
        command.args(["--real", "--listen", "127.0.0.1:0", "--data"]).arg(directory);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it prints");
        let port = line.split_once("127.0.0.1:").and_then(|(_, rest)| {
            rest.split(|character: char| !character.is_ascii_digit()).next().and_then(|port| port.parse().ok())
        });
        let Some(port) = port else {
            let mut complaint = String::new();
            let _ = process.stderr.take().expect("piped").read_to_string(&mut complaint);
            panic!("it does not start: {line}{complaint}");
        };
        Broker { process, port }
    }

    /// Kills it as `kill -9` does. Until then it had nothing to complain about.
    fn kill(&mut self) {
        self.process.kill().expect("it was there");
        self.process.wait().expect("it is gone");
        let mut complaint = String::new();
        self.process.stderr.take().expect("piped").read_to_string(&mut complaint).expect("text");
        assert_eq!(complaint, "", "it says something");
    }

    /// Ends it in good order.
    fn end(&mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().expect("kill runs").success());
        assert_eq!(self.process.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_simrun"))
}

/// A connection, and what has come on it.
struct Line {
    stream: TcpStream,
    reader: Reader,
    version: Version,
}

impl Line {
    /// Connects with a session that persists; whether the broker has it. `None` if the broker is gone.
    fn connect(port: u16, version: Version, client_id: &str) -> Option<(Line, bool)> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(20))).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut line = Line { stream, reader: Reader::new(1 << 20), version };
        let properties = match version {
            Version::V3_1_1 => Properties::new(),
            Version::V5 => Properties::new().with(Property::SessionExpiryInterval, Value::Four(u32::MAX)),
        };
        let connect = Connect {
            version,
            clean_start: false,
            keep_alive: 0,
            client_id: Text::try_from(client_id.to_owned()).expect("a text"),
            will: None,
            username: None,
            password: None,
            properties,
        };
        line.send(&[Packet::Connect(Box::new(connect))])?;
        loop {
            if let Some(Packet::ConnAck(connack)) = line.receive()?.first() {
                assert_eq!(connack.reason, Reason::Success);
                return Some((line, connack.session_present));
            }
        }
    }

    fn send(&mut self, packets: &[Packet]) -> Option<()> {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| encode(packet, self.version, &mut bytes).expect("it can be sent"));
        self.stream.write_all(&bytes).ok()
    }

    /// What has come, perhaps nothing; CONNACK comes alone. `None` once the broker is gone.
    fn receive(&mut self) -> Option<Vec<Packet>> {
        let mut packets = Vec::new();
        if self.reader.buffered() == 0 || !self.take(&mut packets) {
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.reader.feed(Bytes::copy_from_slice(&buffer[..read])),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => return None,
            }
            self.take(&mut packets);
        }
        Some(packets)
    }

    /// Takes out what is whole; whether there was something.
    fn take(&mut self, packets: &mut Vec<Packet>) -> bool {
        while let Some(frame) = self.reader.next_frame().expect("the broker is sane") {
            let packet = decode(self.version, &frame).expect("the broker is sane");
            let alone = matches!(packet, Packet::ConnAck(_));
            packets.push(packet);
            if alone {
                break;
            }
        }
        !packets.is_empty()
    }

    fn ack(&mut self, kind: AckKind, packet_identifier: PacketIdentifier) -> Option<()> {
        self.send(&[Packet::Ack(Ack {
            kind,
            packet_identifier,
            reason: Reason::Success,
            properties: Properties::new(),
        })])
    }
}

/// Publishes as fast as it is acknowledged, and never forgets what is not.
struct Publisher {
    name: String,
    qos: Qos,
    said: u64,
    last_identifier: u16,
    /// What is not over, in order, with its packet identifier, and whether PUBREC has come.
    open: BTreeMap<u64, (PacketIdentifier, bool)>,
    promised: Vec<String>,
    connected: bool,
}

impl Publisher {
    fn new(number: usize, qos: Qos) -> Publisher {
        Publisher {
            name: format!("qos-{}-publisher-{number}", qos.number()),
            qos,
            said: 0,
            last_identifier: 0,
            open: BTreeMap::new(),
            promised: Vec::new(),
            connected: false,
        }
    }

    /// Publishes until the broker is gone.
    fn publish(&mut self, port: u16) {
        let Some((mut line, present)) = Line::connect(port, Version::V3_1_1, &self.name) else { return };
        assert!(present || !self.connected, "the session of {} is gone", self.name);
        self.connected = true;
        let again: Vec<Packet> = self.open.iter().map(|(number, open)| self.packet(*number, *open, true)).collect();
        let mut going = line.send(&again);
        while going.is_some() {
            let mut new = Vec::new();
            while self.open.len() < WINDOW {
                self.last_identifier = self.last_identifier % 60_000 + 1;
                let open = (PacketIdentifier::new(self.last_identifier).expect("not 0"), false);
                self.open.insert(self.said, open);
                new.push(self.packet(self.said, open, false));
                self.said += 1;
            }
            going = line
                .send(&new)
                .and_then(|()| line.receive())
                .and_then(|packets| packets.iter().try_for_each(|packet| self.answered(packet, &mut line)));
        }
    }

    fn packet(&self, number: u64, (packet_identifier, received): (PacketIdentifier, bool), dup: bool) -> Packet {
        if received {
            let properties = Properties::new();
            return Packet::Ack(Ack { kind: AckKind::PubRel, packet_identifier, reason: Reason::Success, properties });
        }
        Packet::Publish(Publish {
            dup,
            qos: self.qos,
            topic: Text::literal("load"),
            packet_identifier: Some(packet_identifier),
            payload: self.words(number).into(),
            ..Publish::default()
        })
    }

    fn words(&self, number: u64) -> String {
        format!("{} {number}", self.name)
    }

    fn answered(&mut self, packet: &Packet, line: &mut Line) -> Option<()> {
        let Packet::Ack(ack) = packet else { return Some(()) };
        let found = self.open.iter().find(|(_, (identifier, _))| *identifier == ack.packet_identifier);
        let Some((&number, &(identifier, received))) = found else { return Some(()) };
        match ack.kind {
            AckKind::PubAck => drop(self.open.remove(&number)),
            AckKind::PubComp => {
                self.open.remove(&number);
                return Some(());
            }
            _ => drop(self.open.insert(number, (identifier, true))),
        }
        if !received {
            self.promised.push(self.words(number));
        }
        if ack.kind == AckKind::PubRec { line.ack(AckKind::PubRel, identifier) } else { Some(()) }
    }
}

/// Hears what is published.
struct Subscriber {
    name: String,
    version: Version,
    subscribed: bool,
    connected: bool,
    heard: BTreeMap<String, u32>,
    /// QoS 2 messages that are not released.
    received: BTreeSet<PacketIdentifier>,
}

impl Subscriber {
    fn new(version: Version) -> Subscriber {
        let (heard, received) = (BTreeMap::new(), BTreeSet::new());
        Subscriber {
            name: format!("subscriber {version:?}"),
            version,
            subscribed: false,
            connected: false,
            heard,
            received,
        }
    }

    /// Listens until the broker is gone, this long, or until `enough`.
    fn hear(&mut self, port: u16, longest: Duration, enough: impl Fn(&Subscriber) -> bool) {
        let begun = Instant::now();
        let Some((mut line, present)) = Line::connect(port, self.version, &self.name) else { return };
        assert!(present || !self.connected, "the session of {} is gone", self.name);
        self.connected = true;
        if !self.subscribed {
            let options = SubscriptionOptions { qos: Qos::ExactlyOnce, ..SubscriptionOptions::default() };
            let subscribe = Subscribe {
                packet_identifier: PacketIdentifier::new(1).expect("not 0"),
                properties: Properties::new(),
                subscriptions: vec![Subscription { filter: Text::literal("load"), options }],
            };
            line.send(&[Packet::Subscribe(subscribe)]);
        }
        while begun.elapsed() < longest && !enough(self) {
            let Some(packets) = line.receive() else { return };
            if packets.iter().try_for_each(|packet| self.take_in(packet, &mut line)).is_none() {
                return;
            }
        }
    }

    fn take_in(&mut self, packet: &Packet, line: &mut Line) -> Option<()> {
        match packet {
            Packet::SubAck(_) => self.subscribed = true,
            Packet::Publish(publish) => {
                let identifier = publish.packet_identifier?;
                if publish.qos < Qos::ExactlyOnce || self.received.insert(identifier) {
                    let words = String::from_utf8(publish.payload.to_vec()).expect("text");
                    *self.heard.entry(words).or_default() += 1;
                }
                let kind = if publish.qos == Qos::ExactlyOnce { AckKind::PubRec } else { AckKind::PubAck };
                return line.ack(kind, identifier);
            }
            Packet::Ack(ack) if ack.kind == AckKind::PubRel => {
                self.received.remove(&ack.packet_identifier);
                return line.ack(AckKind::PubComp, ack.packet_identifier);
            }
            _ => {}
        }
        Some(())
    }
}
