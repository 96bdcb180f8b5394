//! One scenario, one seed, one engine: one trace, byte for byte.

use std::path::PathBuf;
use std::process::Command;

use simrun::scenario::{Scenario, read};
use simrun::sim::{Engine, run};
use simrun::trace::jsonl;

/// Every scenario that is shipped.
fn shipped() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn trace(scenario: &Scenario, seed: u64, engine: Engine) -> String {
    let lines: Vec<String> = run(scenario, seed, engine).trace.iter().map(jsonl::line).collect();
    assert!(!lines.is_empty());
    lines.join("\n")
}

#[test]
fn twice_in_a_process_and_on_several_threads_at_once() {
    for file in shipped() {
        let scenario = read(&file).unwrap().scenario;
        for engine in [Engine::Direct, Engine::Turmoil] {
            let first = trace(&scenario, 7, engine);
            std::thread::scope(|scope| {
                let other = scope.spawn(|| trace(&scenario, 7, engine));
                assert_eq!(first, trace(&scenario, 7, engine), "{} on {engine}", file.display());
                assert_eq!(first, other.join().unwrap(), "{} on {engine}, on a thread", file.display());
            });
        }
    }
}

#[test]
fn in_two_processes() {
    let directory = std::env::temp_dir().join(format!("simrun-determinism-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for scenario in shipped() {
        for engine in ["direct", "turmoil"] {
            let traces = ["one.jsonl", "two.jsonl"].map(|name| {
                let file = directory.join(name);
                let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
                command.arg(&scenario).args(["--engine", engine, "--seed", "3", "-o"]).arg(&file);
                command.output().unwrap();
                std::fs::read(&file).unwrap()
            });
            assert!(!traces[0].is_empty());
            assert!(traces[0] == traces[1], "{} on {engine}", scenario.display());
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn another_seed_is_another_run_where_chance_has_a_say() {
    let text = b"network: { latency: 1ms..50ms }\nclients: { a: {}, b: { subscribe: { t: 1 } } }\ntimeline:\n- at: 1s\n  publish: { from: a, topic: t, payload: x, qos: 1 }\n";
    let scenario = simrun::scenario::parse("test", text).unwrap().scenario;
    for engine in [Engine::Direct, Engine::Turmoil] {
        assert_ne!(trace(&scenario, 1, engine), trace(&scenario, 2, engine), "{engine}");
    }
}

#[test]
fn the_command_checks_it() {
    let file = &shipped()[0];
    let output = Command::new(env!("CARGO_BIN_EXE_simrun")).arg(file).arg("--check-determinism").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("byte for byte"));
}
