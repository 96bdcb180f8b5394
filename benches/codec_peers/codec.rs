//! simrun's codec beside those of other projects: what a packet costs, in nanoseconds, the median of many short turns.
//! The contenders take turns, so that a noise on the machine meets all of them. An argument selects rows by a part of
//! their name.

mod contenders;
mod packets;

use std::time::Duration;

use contenders::{Contender, Way, contenders};
use packets::{STREAM_LEN, Sample, mixed_stream, samples};

const ROUNDS: usize = 101;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let asked_for = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    for way in [Way::Decode, Way::Encode] {
        for Sample { name, version, wire } in samples() {
            let name = format!("{way:?} {name} {version}").to_lowercase();
            if asked_for(&name) {
                // About as many bytes in each turn, so that a turn is long enough to be timed.
                let batch = (65_536 / wire.len()).clamp(16, 512);
                measure(&name, contenders(way, version, &wire, batch), batch);
            }
        }
    }
    for version in packets::VERSIONS {
        let name = format!("stream of {STREAM_LEN} mixed packets in 4 KiB pieces {version}");
        if asked_for(&name) {
            measure(&name, contenders::of_stream(version, mixed_stream(version)), STREAM_LEN);
        }
    }
}

fn measure(name: &str, mut contenders: Vec<Contender>, packets: usize) {
    let rounds = if packets == STREAM_LEN { ROUNDS / 3 } else { ROUNDS };
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds + 3 {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let time = (contender.turn)();
            if round >= 3 {
                times.push(time);
            }
        }
    }
    println!("{name}");
    let mut results: Vec<(f64, f64, &str)> = contenders
        .iter()
        .zip(&mut times)
        .map(|(contender, times)| {
            times.sort();
            let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / packets as f64;
            (nanoseconds(times[times.len() / 2]), nanoseconds(times[0]), contender.name)
        })
        .collect();
    results.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (median, least, name) in results {
        println!("  {median:10.1} ns   (least {least:.1})   {name}");
    }
}
