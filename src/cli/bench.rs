//! `simrun bench`: a load for a broker, and what it makes of it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::connect::{BrokerArguments, VersionWord, qos, span};
use super::{FAILED, GONE, complain, is_broken_pipe, say, wrong};
use crate::codec::Qos;
use crate::live::bench::{self, BenchError, Latency, Load, Mode, Outcome, Process, STAMP};

/// What to load a broker with.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the broker kept what the QoS promises, 1 it did not, or refused, 2 the input was wrong, 3 it cannot be \
reached or died.\n\
Give the broker one processor and this program another: taskset -c 0 …, taskset -c 1 simrun bench …")]
pub(super) struct BenchArguments {
    /// What is measured
    #[arg(value_enum)]
    mode: ModeWord,
    #[command(flatten)]
    broker: BrokerArguments,
    /// The protocol version
    #[arg(short = 'V', long = "mqtt-version", value_enum, value_name = "VERSION", default_value_t = VersionWord::V3_1_1)]
    version: VersionWord,
    /// The QoS
    #[arg(short, long, value_parser = qos, default_value = "0")]
    qos: Qos,
    /// How many pairs, subscribers, publishers, connections or messages [default: as the mode says]
    #[arg(short, long, value_parser = many)]
    n: Option<usize>,
    /// The payload, in bytes; at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = size)]
    size: usize,
    /// How many messages of one publisher may be on their way
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    window: u32,
    /// Subscribers have sessions that outlive their connections: a broker with a disk stores what it owes them
    #[arg(long)]
    lasting: bool,
    /// So many messages a second in all, instead of as many as the windows allow [default for latency: 2000]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long to measure
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5s")]
    time: Duration,
    /// How long to run before that
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1s")]
    warmup: Duration,
    /// wildcards: how many filters
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = many)]
    filters: usize,
    /// wildcards: how many topics
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = many)]
    topics: usize,
    /// retained: how many subscribers, one after the other
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = many)]
    repeat: usize,
    /// The broker's process on this machine: its processor time and memory are read from /proc
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Write what was measured as JSON; may be given several times
    #[arg(short, long, value_name = "FILE.json")]
    output: Vec<PathBuf>,
}

/// What is measured, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeWord {
    /// 50 publishers, each with a subscriber of its own
    Pairs,
    /// One publisher, 100 subscribers
    FanOut,
    /// 100 publishers, one subscriber to all
    FanIn,
    /// 10,000 filters over 1,000 topics, held by 100 subscribers
    Wildcards,
    /// 10,000 retained messages to new subscribers
    Retained,
    /// Connections made and ended, 32 at a time
    Connects,
    /// 10 pairs at a steady rate: how long a message takes
    Latency,
    /// 10,000 connections with a subscription each: memory for each, of a broker that has just started
    Idle,
}

impl ModeWord {
    const fn n(self) -> usize {
        match self {
            ModeWord::Pairs => 50,
            ModeWord::FanOut | ModeWord::FanIn | ModeWord::Wildcards => 100,
            ModeWord::Retained | ModeWord::Idle => 10_000,
            ModeWord::Connects => 32,
            ModeWord::Latency => 10,
        }
    }

    const fn rate(self) -> Option<f64> {
        if matches!(self, ModeWord::Latency) { Some(2_000.0) } else { None }
    }
}

fn many(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
        _ => Err("write a number from 1 to 1000000".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (STAMP..=100_000_000).contains(&size) => Ok(size),
        _ => Err(format!("write a number of bytes from {STAMP} (the stamp that each message carries) to 100000000")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e7).contains(&rate) => Ok(rate),
        _ => Err("write messages a second, from 0.1 to 10000000".to_owned()),
    }
}

/// Does what the arguments say.
pub(super) fn bench(arguments: &BenchArguments) -> ExitCode {
    let load = match load(arguments) {
        Ok(load) => load,
        Err(why) => return wrong(why),
    };
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    let done = bench::run(&load, &|words| {
        bar.set_message(format!("{}: {words}", load.mode.name()));
        bar.tick();
    });
    bar.finish_and_clear();
    let outcome = match done {
        Ok(outcome) => outcome,
        Err(error) => {
            complain(format_args!("error: {error}"));
            return ExitCode::from(if matches!(error, BenchError::Refused(_)) { FAILED } else { GONE });
        }
    };
    for file in &arguments.output {
        let json = serde_json::to_string_pretty(&outcome).unwrap_or_default();
        match std::fs::write(file, json + "\n") {
            Err(error) if !is_broken_pipe(&error) => return wrong(format_args!("error: {}: {error}", file.display())),
            _ => {}
        }
    }
    say(&table(&outcome));
    ExitCode::from(if outcome.kept() { 0 } else { FAILED })
}

fn load(arguments: &BenchArguments) -> Result<Load, String> {
    let (url, dialer) = arguments.broker.resolve()?;
    for file in &arguments.output {
        if file.extension().is_none_or(|ending| ending != "json") {
            return Err(format!("error: {}: the ending says no known form; write .json", file.display()));
        }
    }
    let mode = match arguments.mode {
        ModeWord::Pairs => Mode::Pairs,
        ModeWord::Latency => Mode::Latency,
        ModeWord::FanOut => Mode::FanOut,
        ModeWord::FanIn => Mode::FanIn,
        ModeWord::Wildcards => Mode::Wildcards { filters: arguments.filters, topics: arguments.topics },
        ModeWord::Retained => Mode::Retained { repeat: arguments.repeat },
        ModeWord::Connects => Mode::Connects,
        ModeWord::Idle => Mode::Idle,
    };
    let process = match arguments.pid {
        None => None,
        Some(id) => Some(Process::with_id(id).ok_or(format!("error: --pid {id}: there is no such process here"))?),
    };
    Ok(Load {
        mode,
        url,
        dialer,
        version: arguments.version.into(),
        qos: arguments.qos,
        n: arguments.n.unwrap_or(arguments.mode.n()),
        size: arguments.size,
        window: arguments.window,
        lasting: arguments.lasting,
        rate: arguments.rate.or(arguments.mode.rate()),
        warmup: arguments.warmup,
        span: arguments.time,
        process,
        name: format!("simrun-bench-{}", std::process::id()),
    })
}

/// What was measured, for a person.
fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    let Outcome { mode, target, version, qos, n, size, .. } = outcome;
    let _ = writeln!(text, "{mode} on {target}: n {n}, MQTT {version}, QoS {qos}, {size} bytes");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<22} {value}");
    };
    let per_second = |count: u64, rate: f64| format!("{count} in {:.1} s, {rate:.0} a second", outcome.seconds);
    match *mode {
        "connects" | "idle" => row("connections", per_second(outcome.done, outcome.done_per_second)),
        "retained" => row("delivered", per_second(outcome.delivered, outcome.delivered_per_second)),
        _ => {
            row("published", per_second(outcome.done, outcome.done_per_second));
            row("delivered", per_second(outcome.delivered, outcome.delivered_per_second));
        }
    }
    let Outcome { lost, duplicated, reordered, misrouted, stalls, closed, .. } = outcome;
    if !matches!(*mode, "connects" | "idle") {
        row("lost", format!("{lost}; duplicated {duplicated}, reordered {reordered}, misrouted {misrouted}"));
    }
    if stalls + closed > 0 {
        row("stalls", format!("{stalls}; connections ended by the broker {closed}"));
    }
    if let Some(Latency { p50, p90, p99, p999, max, .. }) = outcome.latency {
        let (p50, p90, p99, p999, max) = (micros(p50), micros(p90), micros(p99), micros(p999), micros(max));
        row("latency", format!("p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, most {max}"));
    }
    if let Some(cost) = &outcome.broker {
        let (user, system) = (cost.user_seconds, cost.system_seconds);
        let words = format!("{:.2} s ({user:.2} user, {system:.2} system); ", user + system);
        row("the broker's processor", words + &format!("{:.0} for each second of it", cost.per_cpu_second));
        #[allow(clippy::cast_precision_loss)] // A reader sees a digit behind the point.
        let mebibytes = cost.memory as f64 / 1024.0 / 1024.0;
        let each = cost.memory_per_connection.map_or(String::new(), |bytes| format!("; {bytes:.0} bytes a connection"));
        row("its memory", format!("{mebibytes:.1} MiB{each}"));
    }
    row("our own processor", format!("{:.2} s", outcome.own_cpu_seconds));
    text
}

fn micros(micros: f64) -> String {
    if micros < 10_000.0 { format!("{micros:.0} µs") } else { format!("{:.1} ms", micros / 1e3) }
}
