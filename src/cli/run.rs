//! `simrun SCENARIO`: runs a scenario in simulated time and says how it went.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{FAILED, RunArguments, is_broken_pipe, say, wrong};
use crate::report::terminal::{self, Terminal, Verdict};
use crate::rules::Findings;
use crate::scenario::{self, Loaded};
use crate::sim::{self, Engine, Run};
use crate::trace::{Event, jsonl};

/// How often `--check-determinism` runs a scenario.
const REPETITIONS: usize = 3;

/// Runs what the arguments name.
pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let Some(path) = &arguments.scenario else {
        return wrong("error: no scenario is named; begin with: simrun scenarios/light_demo.yaml");
    };
    let loaded = match load(path, &arguments.output) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let seed = arguments.seed.unwrap_or(loaded.scenario.seed);
    let engine = Engine::from(arguments.engine);
    let stopwatch = Stopwatch::start();
    let run = sim::run(&loaded.scenario, seed, engine);
    let wall = stopwatch.seconds();
    if let Err(exit) = write_traces(&arguments.output, &run.trace) {
        return exit;
    }
    if arguments.check_determinism {
        return check_determinism(&loaded, seed, engine, &run);
    }
    tell(&loaded, path, arguments.verbose, &run, wall)
}

/// The scenario, if everything about the input is right: also the files that the trace is to be written to.
pub(super) fn load(path: &Path, output: &[PathBuf]) -> Result<Loaded, ExitCode> {
    if let Some(unknown) = output.iter().find(|file| !is_jsonl(file)) {
        return Err(wrong(format_args!(
            "error: {}: the ending says no known form; write FILE.jsonl",
            unknown.display()
        )));
    }
    scenario::read(path).map_err(wrong)
}

/// Writes the trace to every file.
pub(super) fn write_traces(output: &[PathBuf], trace: &[Event]) -> Result<(), ExitCode> {
    for file in output {
        if let Err(error) = write_trace(file, trace)
            && !is_broken_pipe(&error)
        {
            return Err(wrong(format_args!("error: {}: {error}", file.display())));
        }
    }
    Ok(())
}

/// What the scenario is about, as the head of its run.
pub(super) fn title(loaded: &Loaded) -> String {
    loaded.story.first().map(|title| format!("{title}\n\n")).unwrap_or_default()
}

/// What the scenario demands, whether it was so, and all of it in one line.
pub(super) fn verdicts(verdicts: &[scenario::Verdict]) -> String {
    let shown = verdicts.iter().map(|verdict| Verdict { held: verdict.held, what: verdict.to_string() });
    let mut text = terminal::verdicts(&shown.collect::<Vec<_>>());
    if !verdicts.is_empty() {
        text.insert(0, '\n');
    }
    let (failed, counted) = (failures(verdicts), verdicts.len());
    let summary = match failed {
        0 => terminal::good(&format!("all {counted} expectations held")),
        _ => terminal::bad(&format!("{failed} of {counted} expectations did not hold")),
    };
    let _ = writeln!(text, "\n{summary}");
    text
}

/// What rules and history say of a run: each breach, and how much was seen.
pub(super) fn watched(findings: &Findings, trace: &[Event]) -> String {
    let mut text = String::new();
    for (id, finding) in findings {
        for breach in &finding.breaches {
            let at = trace.get(breach.event).map(|event| event.time.since_start()).unwrap_or_default();
            let _ = writeln!(text, "{} {id} at {}: {}", terminal::bad("✗"), terminal::Seconds(at), breach.why);
            let _ = writeln!(text, "  it asks: {}", id.statement().summary);
        }
    }
    let breaches = breaches(findings);
    let _ = match breaches {
        0 => writeln!(text, "{} statements of the standards were seen, all kept", findings.len()),
        _ => writeln!(text, "{}", terminal::bad(&format!("{breaches} breaches of the standards"))),
    };
    text
}

/// How often statements were broken.
pub(super) fn breaches(findings: &Findings) -> usize {
    findings.values().map(|finding| finding.breaches.len()).sum()
}

/// How many did not hold.
pub(super) fn failures(verdicts: &[scenario::Verdict]) -> usize {
    verdicts.iter().filter(|verdict| !verdict.held).count()
}

/// Everything there is to say about a run.
fn tell(loaded: &Loaded, path: &Path, verbose: bool, run: &Run, wall: f64) -> ExitCode {
    let names = sim::names(&loaded.scenario);
    let judged = scenario::judge(&loaded.scenario, &run.trace);
    let findings = sim::watch(&loaded.scenario, &run.trace);
    let failed = failures(&judged) + breaches(&findings);
    let mut text = title(loaded);
    text.push_str(&Terminal::new(&names, verbose).lines(&run.trace));
    text.push_str(&verdicts(&judged));
    text.push_str(&watched(&findings, &run.trace));
    let _ = writeln!(
        text,
        "{} simulated in {wall:.3} s · {} packets · seed {} · engine {}",
        terminal::Seconds(run.ended.since_start()),
        run.packets,
        run.seed,
        run.engine
    );
    if failed > 0 {
        let engine = run.engine;
        let _ = writeln!(text, "again: simrun {} --seed {} --engine {engine} -v", path.display(), run.seed);
    }
    say(&text);
    ExitCode::from(if failed == 0 { 0 } else { FAILED })
}

/// Runs it again, also on another thread, and compares the traces.
fn check_determinism(loaded: &Loaded, seed: u64, engine: Engine, first: &Run) -> ExitCode {
    let again = |_| sim::run(&loaded.scenario, seed, engine);
    let mut others: Vec<Run> = (2..REPETITIONS).map(again).collect();
    match std::thread::scope(|scope| scope.spawn(|| again(0)).join()) {
        Ok(run) => others.push(run),
        Err(_) => return wrong("error: the run on another thread ended early"),
    }
    let lines = |run: &Run| run.trace.iter().map(jsonl::line).collect::<Vec<_>>();
    let expected = lines(first);
    for other in &others {
        let found = lines(other);
        if found == expected {
            continue;
        }
        let at = expected.iter().zip(&found).take_while(|(one, other)| one == other).count();
        let nothing = "(nothing: the trace is over)".to_owned();
        say(&format!(
            "{}\nevent {}, once:  {}\nevent {}, again: {}\n",
            terminal::bad("two runs with the same seed differ"),
            at + 1,
            expected.get(at).unwrap_or(&nothing),
            at + 1,
            found.get(at).unwrap_or(&nothing)
        ));
        return ExitCode::from(FAILED);
    }
    let (runs, events) = (others.len() + 1, expected.len());
    say(&format!(
        "{}\nseed {seed} · engine {engine} · {runs} runs, one on a thread of its own · {events} events each\n",
        terminal::good("the same trace each time, byte for byte")
    ));
    ExitCode::SUCCESS
}

fn is_jsonl(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "jsonl")
}

fn write_trace(file: &Path, trace: &[Event]) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    jsonl::write(trace, &mut out)?;
    out.flush()
}

/// Wall time, for people.
pub(super) struct Stopwatch(#[allow(clippy::disallowed_types)] std::time::Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, clippy::disallowed_types)] // What a run took is said about it and is no part of it.
    pub(super) fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
