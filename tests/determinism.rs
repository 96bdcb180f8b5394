//! One scenario, one seed, one engine: one trace, byte for byte.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};
use simrun::scenario::{Scenario, read};
use simrun::sim::{Engine, run};
use simrun::trace::jsonl;
use support::scenarios::{is_of_a_bug, name, shipped};

fn trace(scenario: &Scenario, seed: u64, engine: Engine) -> String {
    let lines: Vec<String> = run(scenario, seed, engine).trace.iter().map(jsonl::line).collect();
    assert!(!lines.is_empty());
    lines.join("\n")
}

/// The engines on which a scenario is run again and again. The bugs differ little in what they ask of the slow one.
fn engines(scenario: &Path) -> &'static [Engine] {
    if is_of_a_bug(scenario) { &[Engine::Direct] } else { &[Engine::Direct, Engine::Turmoil] }
}

/// A shipped scenario and what a run of it left.
struct Ran {
    file: PathBuf,
    scenario: Scenario,
    engine: Engine,
    trace: String,
}

const SEED: u64 = 7;

/// Every shipped scenario on either engine.
static RAN: LazyLock<Vec<Ran>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for file in shipped() {
        let scenario = read(&file).unwrap().scenario;
        for engine in [Engine::Direct, Engine::Turmoil] {
            let trace = trace(&scenario, SEED, engine);
            all.push(Ran { file: file.clone(), scenario: scenario.clone(), engine, trace });
        }
    }
    all
});

#[test]
fn twice_in_a_process_and_on_several_threads_at_once() {
    for Ran { file, scenario, engine, trace: first } in
        RAN.iter().filter(|ran| engines(&ran.file).contains(&ran.engine))
    {
        let name = name(file);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| trace(scenario, SEED, *engine));
            assert_eq!(*first, trace(scenario, SEED, *engine), "{name} on {engine}");
            assert_eq!(*first, other.join().unwrap(), "{name} on {engine}, on a thread");
        });
    }
}

/// The digests stand in a file, which debug and release builds on any machine are held against.
///
/// They change with what a scenario does, and with what broker and clients do: then see what changed in the traces
/// (`simrun SCENARIO --seed 7 -o FILE.jsonl` before and after) and accept them (`cargo insta review`).
#[test]
fn on_every_machine_in_every_build() {
    let line = |ran: &Ran| {
        let digest: String = Sha256::digest(&ran.trace).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{digest} {} on {}\n", name(&ran.file), ran.engine)
    };
    insta::assert_snapshot!(RAN.iter().map(line).collect::<String>());
}

/// Where `SIMRUN_OTHER_BUILD` names another build of the program, such as a release one, the second process is of that.
#[test]
fn in_two_processes() {
    let directory = std::env::temp_dir().join(format!("simrun-determinism-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let first = PathBuf::from(env!("CARGO_BIN_EXE_simrun"));
    let second = std::env::var_os("SIMRUN_OTHER_BUILD").map_or(first.clone(), PathBuf::from);
    let trace = |program: &Path, scenario: &Path, engine: &str| {
        let file = directory.join("trace.jsonl");
        let mut command = Command::new(program);
        command.arg(scenario).args(["--engine", engine, "--seed", "3", "-o"]).arg(&file);
        command.output().unwrap();
        let trace = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        trace
    };
    for scenario in shipped() {
        for engine in engines(&scenario) {
            let traces = [&first, &second].map(|program| trace(program, &scenario, &engine.to_string()));
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
