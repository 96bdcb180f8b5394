//! `simrun bench` on a broker of ours, and on one that loses, doubles and confuses what it is given.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Another program takes real time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use bytes::Bytes;
use serde_json::Value;
use simrun::codec::{Packet, Properties, Reader, Reason, SubAck, Version, decode, encode};

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a run measured, and how it ended.
fn bench(url: &str, arguments: &[&str]) -> (Output, Value) {
    let name = format!("simrun-bench-{}-{:?}.json", std::process::id(), std::thread::current().id());
    let file = std::env::temp_dir().join(name.replace(['(', ')'], ""));
    let mut command = simrun(&["bench", "--url", url, "--time", "400ms", "--warmup", "100ms", "-o"]);
    let output = command.arg(&file).args(arguments).output().expect("it runs");
    let json = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let _ = std::fs::remove_file(file);
    (output, json)
}

struct Broker(Child, String);

impl Broker {
    fn start() -> Broker {
        let mut process = simrun(&["--real", "--listen", "127.0.0.1:0"]).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it prints");
        let (_, rest) = line.split_once("mqtt://").expect("it says where it listens");
        let address = rest.split_whitespace().next().expect("an address").trim_end_matches([',', ';']);
        Broker(process, format!("mqtt://{address}"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_mode_measures_something() {
    let broker = Broker::start();
    let pid = broker.0.id().to_string();
    for (arguments, moves) in [
        (vec!["pairs", "-n", "5"], true),
        (vec!["pairs", "-n", "5", "-q", "1", "-V", "5"], true),
        (vec!["pairs", "-n", "5", "-q", "2"], true),
        (vec!["pairs", "-n", "5", "-q", "1", "--lasting"], true),
        (vec!["fan-out", "-n", "10", "--size", "2000"], true),
        (vec!["fan-in", "-n", "10", "-q", "1"], true),
        (vec!["wildcards", "-n", "10", "--filters", "200", "--topics", "50"], true),
        (vec!["retained", "-n", "200", "--repeat", "3", "-q", "2"], true),
        (vec!["latency", "-n", "2", "--rate", "200"], true),
        (vec!["connects", "-n", "4"], false),
        (vec!["idle", "-n", "20"], false),
    ] {
        let (output, json) = bench(&broker.1, &[&arguments[..], &["--pid", &pid]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(json["mode"], arguments[0]);
        assert!(json["done"].as_u64() > Some(0), "{json}");
        assert_eq!(json["delivered"].as_u64() > Some(0), moves, "{json}");
        for nothing in ["lost", "duplicated", "reordered", "misrouted", "stalls", "closed"] {
            assert_eq!(json[nothing], 0, "{arguments:?}: {nothing}: {json}");
        }
        if moves {
            let latency = &json["latency"];
            assert!(
                latency["p50"].as_f64() > Some(0.0) && latency["max"].as_f64() >= latency["p99"].as_f64(),
                "{json}"
            );
        }
        assert!(json["broker"]["memory"].as_u64() > Some(100_000), "{json}");
    }
}

#[test]
fn a_steady_rate_is_kept() {
    let broker = Broker::start();
    let (_, json) = bench(&broker.1, &["latency", "-n", "2", "--rate", "250"]);
    let done = json["done"].as_u64().expect("a number");
    assert!((70..=130).contains(&done), "{json}");
}

#[test]
fn sessions_last_where_that_is_asked_for() {
    for (words, lasts) in [(vec![], false), (vec!["--lasting"], true)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("mqtt://{}", listener.local_addr().expect("bound"));
        let first = std::thread::spawn(move || {
            let stream = listener.accept().expect("dialled").0;
            Conversation { stream, reader: Reader::new(1 << 20) }.next().expect("a packet")
        });
        bench(&url, &[&["pairs", "-V", "5"], &words[..]].concat());
        let Ok(Packet::Connect(connect)) = decode(Version::V5, &first.join().expect("it ends")) else {
            panic!("CONNECT")
        };
        let expiry = connect.properties.session_expiry_interval();
        assert_eq!((connect.clean_start, expiry.is_some()), (!lasts, lasts), "{words:?}");
    }
}

/// A broker for one publisher and one subscriber that does with the n-th message what it is told.
fn liar(forward: impl Fn(u64, Bytes, &mut Vec<Bytes>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("mqtt://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let accept = || Conversation { stream: listener.accept().expect("dialled").0, reader: Reader::new(1 << 20) };
        let mut subscriber = accept();
        subscriber.welcome();
        subscriber.answer_subscribe();
        let mut publisher = accept();
        publisher.welcome();
        let mut held = Vec::new();
        for number in 0.. {
            let Some(frame) = publisher.next() else { return };
            forward(number, frame, &mut held);
            if held.drain(..).any(|frame| subscriber.stream.write_all(&frame).is_err()) {
                return;
            }
        }
    });
    url
}

struct Conversation {
    stream: TcpStream,
    reader: Reader,
}

impl Conversation {
    fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.reader.next_frame().expect("a packet") {
                return Some(frame);
            }
            let mut buffer = vec![0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.reader.feed(Bytes::copy_from_slice(&buffer[..length])),
            }
        }
    }

    fn welcome(&mut self) {
        assert!(matches!(self.next().map(|frame| frame[0]), Some(0x10)));
        self.stream.write_all(&[0x20, 2, 0, 0]).expect("it reads");
    }

    fn answer_subscribe(&mut self) {
        let frame = self.next().expect("SUBSCRIBE");
        let Ok(Packet::Subscribe(subscribe)) = decode(Version::V3_1_1, &frame) else { panic!("no SUBSCRIBE") };
        let answer = SubAck {
            packet_identifier: subscribe.packet_identifier,
            reasons: vec![Reason::Success],
            properties: Properties::new(),
        };
        let mut bytes = Vec::new();
        encode(&Packet::SubAck(answer), Version::V3_1_1, &mut bytes).expect("encodable");
        self.stream.write_all(&bytes).expect("it reads");
    }
}

#[test]
fn an_honest_relay_passes() {
    let url = liar(|_, frame, out| out.push(frame));
    let (output, json) = bench(&url, &["pairs", "-n", "1"]);
    assert!(output.status.success() && json["delivered"].as_u64() > Some(0), "{json}");
}

#[test]
fn what_is_lost_is_counted() {
    let url = liar(|number, frame, out| out.extend((number % 100 != 50).then_some(frame)));
    let (_, json) = bench(&url, &["pairs", "-n", "1", "--rate", "500"]);
    assert!(json["lost"].as_u64() > Some(0), "{json}");
    assert_eq!((&json["duplicated"], &json["reordered"]), (&0.into(), &0.into()), "{json}");
}

#[test]
fn what_comes_twice_is_counted() {
    let url = liar(|number, frame, out| {
        out.push(frame.clone());
        out.extend((number % 100 == 50).then_some(frame));
    });
    let (output, json) = bench(&url, &["pairs", "-n", "1"]);
    assert_eq!(output.status.code(), Some(1), "{json}");
    assert!(json["duplicated"].as_u64() > Some(0) && json["lost"] == 0, "{json}");
}

#[test]
fn what_comes_late_is_counted() {
    let late = std::cell::RefCell::new(None);
    let url = liar(move |number, frame, out| {
        if number % 100 == 50 {
            late.replace(Some(frame));
        } else {
            out.push(frame);
            out.extend(late.take());
        }
    });
    let (output, json) = bench(&url, &["pairs", "-n", "1"]);
    assert_eq!(output.status.code(), Some(1), "{json}");
    assert!(json["reordered"].as_u64() > Some(0) && json["duplicated"] == 0, "{json}");
}

#[test]
fn what_cannot_be_done_is_said() {
    for (arguments, code, said) in [
        (vec!["pairs", "--url", "mqtt://127.0.0.1:1"], 3, "cannot be reached"),
        (vec!["pairs", "--size", "3"], 2, "from 24 (the stamp"),
        (vec!["pairs", "--pid", "4194305"], 2, "there is no such process"),
        (vec!["pairs", "-o", "a.csv"], 2, "write .json"),
        (vec!["sprint"], 2, "invalid value"),
    ] {
        let output = simrun(&["bench"]).args(&arguments).output().expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}
