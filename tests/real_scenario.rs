//! `simrun --real SCENARIO`: shipped scenarios hold over real sockets, strangers may join, and it ends as it should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use simrun::live::{self, Played, Terms};
use simrun::scenario::parse;
use simrun::trace::What;

/// The least margin of a shipped scenario, 50 ms around a cut, is some 12 ms at the first of these speeds. On a machine
/// with other work a turn may come later than that: what failed is run again, slower.
const SPEEDS: [&str; 3] = ["4", "2", "1"];

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(["--real"]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn shipped(name: &str) -> String {
    format!("{}/scenarios/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A scenario in a file of its own, gone with the value.
struct Story(PathBuf);

impl Story {
    fn new(name: &str, text: &str) -> Story {
        let path = std::env::temp_dir().join(format!("simrun-real-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file can be written");
        Story(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A scenario under way, on a port of its own; killed at the end if the test has not ended it.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut process = simrun(&["--listen", "127.0.0.1:0"]).args(arguments).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it prints");
        let (_, rest) = line.split_once("127.0.0.1:").unwrap_or_else(|| panic!("it says where it listens: {line}"));
        let port = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok());
        Running { process, lines, port: port.expect("a port") }
    }

    fn until(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(self.lines.read_line(&mut line).expect("it prints") > 0, "it ended without {word}");
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success());
    }

    /// What it still printed, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut text = String::new();
        self.lines.read_to_string(&mut text).expect("it prints");
        (text, self.process.wait().expect("it ends").code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A peer that is no part of the scenario.
struct Stranger(TcpStream);

impl Stranger {
    fn connect(port: u16, connect: &[u8]) -> Stranger {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("open to anyone");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        stream.write_all(connect).expect("it reads");
        let mut stranger = Stranger(stream);
        let connack = stranger.packet();
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:?}");
        stranger
    }

    /// The next packet; shorter than 128 bytes.
    fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![0; 2];
        self.0.read_exact(&mut packet).expect("a packet");
        packet.resize(2 + usize::from(packet[1]), 0);
        self.0.read_exact(&mut packet[2..]).expect("all of it");
        packet
    }

    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }
}

const ADMIN_3_1_1: &[u8] = b"\x10\x1e\0\x04MQTT\x04\xc2\0\0\0\x01y\0\x05admin\0\x08password";
const STRANGER_5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01x";
const SUBSCRIBE_ALL_3_1_1: &[u8] = b"\x82\x06\0\x01\0\x01#\0";

#[test]
fn every_shipped_scenario_holds_over_real_sockets() {
    let folder = std::fs::read_dir(shipped("")).expect("scenarios are there");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    assert!(files.len() > 15, "{files:?}");
    let mut failures = Vec::new();
    for speed in SPEEDS {
        failures = failing(&files, speed);
        files = failures.iter().map(|(file, _)| file.clone()).collect();
    }
    let failures: Vec<String> = failures.into_iter().map(|(_, why)| why).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs these scenarios side by side; those that did not hold, and why.
fn failing(files: &[PathBuf], speed: &str) -> Vec<(PathBuf, String)> {
    let start = |file: &PathBuf| {
        let file = file.to_str().expect("a plain path");
        simrun(&["--listen", "127.0.0.1:0", "--speed", speed, file]).spawn().expect("it starts")
    };
    let runs: Vec<(&PathBuf, Child)> = files.iter().map(|file| (file, start(file))).collect();
    let mut failures = Vec::new();
    for (file, run) in runs {
        let output = run.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.code() != Some(0) || !text.contains("expectations held") {
            let said = String::from_utf8_lossy(&output.stderr);
            let failed: Vec<&str> = text.lines().filter(|line| line.contains('✗')).collect();
            let why = format!("{}: {:?} {said}\n{}", file.display(), output.status, failed.join("\n"));
            failures.push((file.clone(), why));
        }
    }
    failures
}

#[test]
fn a_stranger_joins_the_light_demo_and_stands_in_its_trace() {
    let trace = std::env::temp_dir().join(format!("simrun-real-{}-demo.jsonl", std::process::id()));
    let output = trace.to_str().expect("a plain path");
    let demo = shipped("light_demo.yaml");
    let run = Running::start(&["--speed", "10", "-o", output, &demo]);
    let mut stranger = Stranger::connect(run.port, ADMIN_3_1_1);
    let address = stranger.0.local_addr().expect("it has one");
    stranger.0.write_all(SUBSCRIBE_ALL_3_1_1).expect("it reads");
    assert_eq!(stranger.packet()[0], 0x90, "SUBACK");
    let heard = stranger.packet();
    assert_eq!(heard[0] & 0xF0, 0x30, "PUBLISH");
    assert!(heard.windows(11).any(|part| part == b"lightChange"), "{heard:?}");
    let (text, code) = run.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("all 16 expectations held"), "{text}");
    let events = std::fs::read_to_string(&trace).expect("it was written");
    let _ = std::fs::remove_file(&trace);
    let from = format!("\"from\":\"{address}\"");
    assert!(events.lines().any(|line| line.contains(&from) && line.contains("SUBSCRIBE")), "its packets are there");
    let last = stranger.rest();
    assert!(last.chunks(heard.len()).all(|packet| packet == heard), "only messages, and then the end: {last:?}");
}

#[test]
fn a_stranger_sees_the_broker_die_and_finds_it_again_at_the_same_port() {
    let story = Story::new(
        "dies.yaml",
        "clients: { a: { reconnect: 1s } }\ntimeline:\n- { at: 2s, kill: broker }\n- { at: 4s, start: broker }\n- { by: 20s, expect: [{ client: a, event: connected, count: 2 }] }\n",
    );
    let mut run = Running::start(&["-v", "--speed", "4", story.path()]);
    let stranger = Stranger::connect(run.port, STRANGER_5);
    assert!(stranger.rest().is_empty(), "the end of the stream, and no word");
    run.until("start");
    run.until("connected to broker");
    let again = Stranger::connect(run.port, STRANGER_5);
    let (text, code) = run.end();
    assert_eq!(code, Some(0), "{text}");
    let goodbye = again.rest();
    assert_eq!((goodbye[0], goodbye[2]), (0xE0, 0x8B), "DISCONNECT, server shutting down");
}

#[test]
fn what_does_not_hold_is_said_and_the_exit_code_is_1() {
    let story = Story::new(
        "fails.yaml",
        "clients: { a: {} }\ntimeline:\n- { by: 1s, expect: [{ client: a, event: disconnected }, { client: a, event: connected }] }\n",
    );
    let output = simrun(&["--listen", "127.0.0.1:0", "--speed", "10", story.path()]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ a: disconnected by 1s: it did not come") && text.contains("1 of 2"), "{text}");
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one");
    let story = Story::new("port.yaml", &format!("broker: {{ port: {} }}\nclients: {{ a: {{}} }}\n", address.port()));
    let said = complaint(&simrun(&[story.path()]).output().expect("it runs"));
    assert!(said.contains(&address.to_string()) && said.contains("in use") && said.lines().count() == 1, "{said}");
}

#[test]
fn mistakes_are_said_and_nothing_is_run() {
    let demo = &shipped("light_demo.yaml");
    for (arguments, word) in [
        (&["--speed", "0", demo][..], "0.1 to 100"),
        (&["--speed", "fast", demo], "0.1 to 100"),
        (&["--speed", "2"], "SCENARIO"),
        (&["--seed", "2"], "SCENARIO"),
        (&["-o", "x.jsonl"], "SCENARIO"),
        (&["-o", "x.txt", demo], "FILE.jsonl"),
        (&["--profile", "apollo", demo], "--profile"),
        (&["--user", "a:b", demo], "--user"),
        (&["--engine", "direct", demo], "--engine"),
        (&["nowhere.yaml"], "nowhere.yaml"),
        (&["--listen", "0.0.0.0:0", &shipped("will.yaml")], "other machines"),
    ] {
        let said = complaint(&simrun(arguments).output().expect("it runs"));
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_signal_ends_it_in_good_order() {
    let text = "clients: { old: { version: \"3.1.1\" }, new: {} }\ntimeline:\n\
                - { by: 500ms, expect: [{ client: new, event: connected }] }\n\
                - { at: 1s, hold: old }\n- { at: 1s, release: old }\n\
                - { by: 1h, expect: [{ client: new, event: disconnected }] }\n\
                never: [{ client: old, event: disconnected }]\n";
    for signal in ["INT", "TERM"] {
        let story = Story::new(&format!("{signal}.yaml"), text);
        let trace = std::env::temp_dir().join(format!("simrun-real-{}-{signal}.jsonl", std::process::id()));
        let mut run = Running::start(&["-v", "-o", trace.to_str().expect("a plain path"), story.path()]);
        let stranger = Stranger::connect(run.port, STRANGER_5);
        run.until("release");
        run.signal(signal);
        let goodbye = stranger.rest();
        assert_eq!((goodbye[0], goodbye[2]), (0xE0, 0x8B), "DISCONNECT, server shutting down");
        let (text, code) = run.end();
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("✓ new: connected") && !text.contains('✗'), "what was due is judged: {text}");
        assert!(text.contains("interrupted; 2 expectations are not judged"), "{text}");
        let events = std::fs::read_to_string(&trace).expect("it was written");
        let _ = std::fs::remove_file(&trace);
        let told = |name: &str, what: &str| {
            events
                .lines()
                .any(|line| line.contains("\"event\":\"arrived\"") && line.contains(name) && line.contains(what))
        };
        assert!(told("\"to\":\"new\"", "DISCONNECT"), "{events}");
        assert!(events.lines().any(|line| line.contains("\"event\":\"closed\"") && line.contains("\"at\":\"old\"")));
    }
}

/// A run in this process.
fn play(text: &str, speed: f64) -> Played {
    let scenario = parse("real", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let terms = Terms { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), seed: 1, speed };
    live::play(&scenario, terms, |_| {}, |_| {}).expect("a free port")
}

#[test]
fn latency_is_added_to_what_loopback_has_and_may_change() {
    let text = "network: { latency: 200ms }\nclients: { talker: {}, listener: { subscribe: { t: 1 } } }\ntimeline:\n\
                - { at: 2s, publish: { from: talker, topic: t, payload: x, qos: 1 } }\n\
                - { at: 4s, latency: 400ms }\n\
                - { at: 6s, publish: { from: talker, topic: t, payload: y, qos: 1 } }\n";
    let run = play(text, 2.0);
    let told = run.trace.iter().filter(|event| matches!(event.what, What::Told { .. }));
    let told: Vec<f64> = told.map(|event| event.time.since_start().as_secs_f64()).collect();
    assert_eq!(told.len(), 2);
    // There and on: never sooner; later only by what the clock and the scheduler cost.
    assert!((2.4..2.7).contains(&told[0]) && (6.8..7.1).contains(&told[1]), "{told:?}");
}

#[test]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)] // This is about real time.
fn time_goes_at_the_speed_that_was_asked_for() {
    let text = "clients: { a: {} }\nends: 4s\n";
    for speed in [4.0, 8.0] {
        let before = std::time::Instant::now();
        let run = play(text, speed);
        let (took, simulated) = (before.elapsed().as_secs_f64(), run.ended.since_start().as_secs_f64());
        assert!((4.0..4.5).contains(&simulated), "{simulated}");
        assert!((4.0 / speed..4.0 / speed + 0.6).contains(&took), "{took} s at {speed}");
    }
}
