//! simrun's codec beside those of other projects: what a packet costs, in nanoseconds, the median of many short turns.
//! The contenders take turns, so that a noise on the machine meets all of them. An argument selects rows by a part of
//! their name.

mod contenders;
mod packets;

use std::time::Duration;

use contenders::{Contender, Way, contenders};
use packets::{STREAM_LEN, Sample, mixed_stream, samples};

/// How many times all contenders are made anew, each time with buffers elsewhere in memory: where a buffer happens to lie
/// can cost half as much again.
const PASSES: usize = 9;
const ROUNDS: usize = 23;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let asked_for = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    for way in [Way::Decode, Way::Encode] {
        for Sample { name, version, wire } in samples() {
            let name = format!("{way:?} {name} {version}").to_lowercase();
            if asked_for(&name) {
                // About as many bytes in each turn, so that a turn is long enough to be timed.
                let batch = (65_536 / wire.len()).clamp(16, 512);
                measure(&name, || contenders(way, version, &wire, batch), batch);
            }
        }
    }
    for version in packets::VERSIONS {
        let name = format!("stream of {STREAM_LEN} mixed packets in 4 KiB pieces {version}");
        if asked_for(&name) {
            let wire = mixed_stream(version);
            measure(&name, || contenders::of_stream(version, wire.clone()), STREAM_LEN);
        }
    }
}

fn measure(name: &str, make: impl Fn() -> Vec<Contender>, packets: usize) {
    let rounds = if packets == STREAM_LEN { ROUNDS / 3 } else { ROUNDS };
    // All are kept to the end, for what is freed is handed out again at the same place.
    let mut passes: Vec<Vec<Contender>> = (0..PASSES).map(|_| make()).collect();
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(PASSES * rounds); passes[0].len()];
    for contenders in &mut passes {
        for _ in 0..rounds {
            for (contender, times) in contenders.iter_mut().zip(&mut times) {
                // The first turn finds the caches as another has left them.
                (contender.turn)();
                times.push((contender.turn)());
            }
        }
    }
    println!("{name}");
    let mut results: Vec<(f64, f64, &str)> = passes[0]
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
