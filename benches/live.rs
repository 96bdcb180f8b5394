//! The live broker beside mosquitto and rumqttd, in one run: `cargo bench --bench live -- [ROUNDS] [SECONDS] [ROW]`.
//!
//! Every broker is measured in turn, each time newly started, with `simrun bench`; the broker has one processor and the
//! load the other. Shown are the medians of what each broker delivers for a second of its processor time, how long a
//! message takes, and its memory for a connection. `tests/targets/install.sh` installs the other brokers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const SIMRUN: &str = env!("CARGO_BIN_EXE_simrun");
const BROKERS: [&str; 3] = ["simrun", "mosquitto", "rumqttd"];

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    /// Deliveries or connections for a second of the broker's processor time.
    PerCpuSecond,
    /// The median time that a message takes, in microseconds.
    Latency,
    /// Bytes for each connection.
    Memory,
}

const ROWS: [(&str, &[&str], Figure); 13] = [
    ("pairs, QoS 0", &["pairs"], Figure::PerCpuSecond),
    ("pairs, QoS 1", &["pairs", "--qos", "1"], Figure::PerCpuSecond),
    ("pairs, QoS 2", &["pairs", "--qos", "2"], Figure::PerCpuSecond),
    ("pairs, QoS 0, 5.0", &["pairs", "-V", "5"], Figure::PerCpuSecond),
    ("pairs, QoS 1, 5.0", &["pairs", "-V", "5", "--qos", "1"], Figure::PerCpuSecond),
    ("pairs, 16 KiB", &["pairs", "--n", "20", "--size", "16384", "--window", "8"], Figure::PerCpuSecond),
    ("fan-out to 100", &["fan-out", "--window", "20"], Figure::PerCpuSecond),
    ("fan-in from 100", &["fan-in"], Figure::PerCpuSecond),
    ("wildcards, 10,000", &["wildcards"], Figure::PerCpuSecond),
    ("retained, 10,000", &["retained"], Figure::PerCpuSecond),
    ("connects", &["connects"], Figure::PerCpuSecond),
    ("latency, µs", &["latency"], Figure::Latency),
    ("idle connection, bytes", &["idle"], Figure::Memory),
];

/// Ended at the end.
struct Broker(Child, u16);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command on one processor of the machine, where there is another and a way to say so.
fn on_processor(number: usize, program: &str) -> Command {
    let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    if several && Path::new("/usr/bin/taskset").exists() {
        let mut command = Command::new("taskset");
        command.args(["-c", &number.to_string(), program]);
        return command;
    }
    Command::new(program)
}

impl Broker {
    fn start(name: &str) -> Option<Broker> {
        // rumqttd wants a second port, for 5.0; WebSocket is on the third.
        let port = (20_000..60_000).step_by(10).map(|first| first + 7).find(|port| {
            (0..3).all(|more| TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port + more))).is_ok())
        })?;
        let mut command = if name == "simrun" {
            let mut command = on_processor(0, SIMRUN);
            command.args(["--real", "--listen", &format!("127.0.0.1:{port}")]);
            command
        } else {
            let mut command = on_processor(0, "bash");
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/targets/start.sh"));
            command.args([name, &port.to_string()]);
            command
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let mut broker = Broker(child, port);
        let listens = (0..500).any(|_| {
            pause(Duration::from_millis(20));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let runs = broker.0.try_wait().ok()?.is_none();
        (listens && runs).then_some(broker)
    }

    /// What one mode measures on it.
    fn measure(&self, name: &str, arguments: &[&str], seconds: &str, output: &Path) -> Option<Value> {
        let port = if name == "rumqttd" && arguments.contains(&"5") { self.1 + 1 } else { self.1 };
        let mut command = on_processor(1, SIMRUN);
        command.arg("bench").args(arguments).args(["--url", &format!("mqtt://127.0.0.1:{port}")]);
        command.args(["--pid", &self.0.id().to_string(), "--time", seconds, "-o"]).arg(output);
        let _ = std::fs::remove_file(output);
        // What it delivers counts even where it loses or doubles something; that is told by the exit code alone.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        serde_json::from_slice(&std::fs::read(output).ok()?).ok()
    }
}

#[allow(clippy::disallowed_methods)] // Other programs take real time to start.
fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn figure(measured: &Value, figure: Figure) -> Option<f64> {
    match figure {
        Figure::PerCpuSecond => measured["broker"]["per_cpu_second"].as_f64(),
        Figure::Latency => measured["latency"]["p50"].as_f64(),
        Figure::Memory => measured["broker"]["memory_per_connection"].as_f64(),
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let rounds: usize = words.first().and_then(|word| word.parse().ok()).unwrap_or(5);
    let seconds = words.get(1).map_or("3", String::as_str);
    let rows: Vec<_> = ROWS.iter().filter(|(row, ..)| words.get(2).is_none_or(|word| row.contains(word))).collect();
    let output = std::env::temp_dir().join(format!("simrun-bench-live-{}.json", std::process::id()));
    let mut out = std::io::stdout();
    let say = |out: &mut std::io::Stdout, line: &str| {
        let _ = writeln!(out, "{line}");
    };
    say(&mut out, &format!("| {rounds} rounds of {seconds} s | {} | simrun / best other |", BROKERS.join(" | ")));
    say(&mut out, &format!("|---|{}---:|", "---:|".repeat(BROKERS.len())));
    for (row, arguments, what) in rows {
        let medians = compare(arguments, *what, rounds, seconds, &output);
        let mut line = format!("| {row} |");
        for value in medians {
            let _ = write!(line, " {} |", value.map_or("–".to_owned(), |value| format!("{value:.0}")));
        }
        let others = medians[1..].iter().flatten().copied();
        let best = if *what == Figure::PerCpuSecond { others.reduce(f64::max) } else { others.reduce(f64::min) };
        let ratio = medians[0].zip(best).map_or("–".to_owned(), |(ours, best)| format!("{:.2}", ours / best));
        say(&mut out, &format!("{line} {ratio} |"));
    }
    let _ = std::fs::remove_file(PathBuf::from(&output));
}

/// The medians of one row; the brokers take turns.
fn compare(arguments: &[&str], what: Figure, rounds: usize, seconds: &str, output: &Path) -> [Option<f64>; 3] {
    let mut values: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        for (name, values) in BROKERS.iter().zip(&mut values) {
            let measured = Broker::start(name).and_then(|broker| broker.measure(name, arguments, seconds, output));
            values.extend(measured.and_then(|measured| figure(&measured, what)));
        }
    }
    values.map(|mut values| median(&mut values))
}
