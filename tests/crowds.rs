//! What crowds cost the broker, and whether its other clients notice: ten thousand connections, a million retained topics,
//! a million subscriptions, readers that do not read, senders that take their time. It prints a table:
//!
//! ```sh
//! cargo test --release --test crowds -- --ignored --nocapture
//! ```

#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::print_stdout)] // Real processes, in real time.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use simrun::codec::{Frame, Packet, PacketIdentifier, Properties, Publish, Subscribe, Subscription, Text, Version};
use support::served::Served;

/// Publishes and hears it, again and again, as a client that has nothing to do with the crowd.
struct Bystander {
    stop: Arc<AtomicBool>,
    spans: JoinHandle<Vec<Duration>>,
}

impl Bystander {
    fn begin(broker: &Served) -> Bystander {
        let (mut hears, mut says) = (broker.connect("hears"), broker.connect("says"));
        broker.subscribe(&mut hears, "bystander");
        let message = publish("bystander", b"x", false);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let spans = spawn(move || {
            let mut spans = Vec::new();
            let mut heard = vec![0; message.len()];
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                says.write_all(&message).expect("it reads");
                hears.read_exact(&mut heard).expect("it comes");
                spans.push(begun.elapsed());
                sleep(Duration::from_millis(2));
            }
            spans
        });
        Bystander { stop, spans }
    }

    /// The median, the hundredth that waited longest, and the longest.
    fn end(self) -> [Duration; 3] {
        self.stop.store(true, Ordering::Relaxed);
        let mut spans = self.spans.join().expect("it ends");
        spans.sort();
        [spans[spans.len() / 2], spans[spans.len() * 99 / 100], spans[spans.len() - 1]]
    }
}

/// A broker's crowd: prints what it cost, and gives back how many bytes of memory came with it.
fn crowd<T>(name: &str, count: usize, broker: &Served, come: impl FnOnce() -> T) -> (usize, T) {
    let before = memory(broker);
    let bystander = Bystander::begin(broker);
    let begun = Instant::now();
    let there = come();
    let took = begun.elapsed();
    let [median, slow, slowest] = bystander.end();
    let grown = memory(broker).saturating_sub(before);
    println!(
        "{name}: {took:.2?}; {} MiB, {} bytes each; others wait {median:.0?}, one in a hundred {slow:.0?}, at most {slowest:.0?}",
        grown >> 20,
        grown / count,
    );
    (grown, there)
}

/// What the broker's process holds in memory, in bytes.
fn memory(broker: &Served) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
}

fn publish(topic: &str, payload: &'static [u8], retain: bool) -> Vec<u8> {
    bytes(&Packet::Publish(Publish { topic: text(topic), payload: payload.into(), retain, ..Publish::default() }))
}

fn subscribe(filters: impl Iterator<Item = String>) -> Vec<u8> {
    let subscription = |filter: String| Subscription { filter: text(&filter), options: Default::default() };
    let packet_identifier = PacketIdentifier::new(1).expect("it is not 0");
    let subscriptions = filters.map(subscription).collect();
    bytes(&Packet::Subscribe(Subscribe { packet_identifier, properties: Properties::new(), subscriptions }))
}

fn bytes(packet: &Packet) -> Vec<u8> {
    Frame::new(packet, Version::V5).expect("it can be written").to_bytes().to_vec()
}

fn text(text: &str) -> Text {
    Text::try_from(text).expect("MQTT can carry it")
}

/// As many connections as we may have.
fn raise_descriptors() {
    let mut limits = getrlimit(Resource::Nofile);
    limits.current = limits.maximum;
    setrlimit(Resource::Nofile, limits).expect("it may");
}

#[test]
#[ignore = "it takes a minute, and its figures are those of a release build"]
fn crowds() {
    raise_descriptors();
    connections();
    retained_topics();
    subscriptions();
    readers_that_do_not_read();
    senders_that_take_their_time();
}

fn connections() {
    const COUNT: usize = 10_000;
    let broker = Served::start(&["--log-level", "warn"]);
    let (grown, clients) = crowd("10,000 connections, a subscription each", COUNT, &broker, || {
        let connect = |n: usize| {
            let mut client = broker.connect(&format!("client-{n}"));
            broker.subscribe(&mut client, &format!("of/{n}"));
            client
        };
        (0..COUNT).map(connect).collect::<Vec<_>>()
    });
    assert_eq!(clients.len(), COUNT);
    assert!(grown / COUNT < 4096, "{grown}");
}

fn retained_topics() {
    const COUNT: usize = 1_000_000;
    let broker = Served::start(&["--log-level", "warn", "--set", "limits.retained_messages=2000000"]);
    let (grown, ()) = crowd("a million retained topics", COUNT, &broker, || {
        let mut client = broker.connect("keeper");
        for thousand in 0..COUNT / 1000 {
            let messages = (0..1000).flat_map(|n| publish(&format!("kept/{thousand}/{n}"), b"16 bytes of this", true));
            client.write_all(&messages.collect::<Vec<u8>>()).expect("it reads");
        }
        broker.ping(&mut client);
    });
    assert!(grown / COUNT < 1024, "{grown}");
}

fn subscriptions() {
    const COUNT: usize = 1_000_000;
    let broker = Served::start(&["--log-level", "warn"]);
    let (grown, _) = crowd("a million subscriptions of 100 clients", COUNT, &broker, || {
        let mut clients: Vec<TcpStream> = (0..100).map(|n| broker.connect(&format!("client-{n}"))).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            for hundred in 0..100 {
                let filters = (0..100).map(|n| format!("client/{number}/{hundred}/{n}"));
                client.write_all(&subscribe(filters)).expect("it reads");
                let mut suback = [0; 2 + 3 + 100];
                client.read_exact(&mut suback).expect("SUBACK");
                assert!(suback[0] == 0x90 && suback[5..].iter().all(|reason| *reason < 0x80), "{suback:?}");
            }
        }
        clients
    });
    assert!(grown / COUNT < 1024, "{grown}");
}

fn readers_that_do_not_read() {
    const COUNT: usize = 100;
    const MESSAGES: usize = 4000;
    let broker = Served::start(&["--log-level", "error"]);
    let name = "100 readers that do not read, 250 MiB for each of them";
    let (grown, _) = crowd(name, COUNT, &broker, || {
        let deaf = (0..COUNT).map(|n| {
            let mut client = broker.connect(&format!("deaf-{n}"));
            broker.subscribe(&mut client, "flood");
            client
        });
        let deaf: Vec<TcpStream> = deaf.collect();
        let mut client = broker.connect("flooder");
        let message = publish("flood", Box::leak(vec![7; 64 << 10].into_boxed_slice()), false);
        (0..MESSAGES).for_each(|_| client.write_all(&message).expect("it reads"));
        broker.ping(&mut client);
        deaf
    });
    assert!(grown / COUNT < 4 << 20, "{grown}");
}

fn senders_that_take_their_time() {
    const COUNT: usize = 1000;
    let broker = Served::start(&["--log-level", "error"]);
    let (grown, ()) = crowd("1,000 senders of a byte a second, none of them a CONNECT in time", COUNT, &broker, || {
        let mut senders: Vec<TcpStream> =
            (0..COUNT).map(|_| TcpStream::connect(("127.0.0.1", broker.mqtt)).expect("it accepts")).collect();
        // The first bytes of a CONNECT as long as may be; its time is ten seconds.
        for byte in b"\x10\xff\xff\xff\x01\0\x04MQTT\x05" {
            senders.iter_mut().for_each(|sender| drop(sender.write_all(&[*byte])));
            sleep(Duration::from_secs(1));
        }
        for sender in &mut senders {
            sender.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            assert!(matches!(sender.read(&mut [0]), Ok(0)), "one is still there");
        }
    });
    assert!(grown / COUNT < 64 << 10, "{grown}");
}
