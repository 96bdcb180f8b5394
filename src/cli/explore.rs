//! `simrun explore`: seeds by the thousand, failures shrunk to a few lines.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::run::Stopwatch;
use super::{FAILED, complain, is_broken_pipe, say, wrong};
use crate::explore::{Failure, Orders, Outcome, Plan, Seeds, Shard, Source, shrink, sweep};
use crate::report::terminal::{bad, good};
use crate::rules::Id;

/// What the built-in scenario is called.
const WORKLOAD: &str = "workload";

/// What an exploration is told.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Exit codes: 0 everything held for every seed, 1 something broke, 2 the input was wrong.\n\
Begin with: simrun explore --seeds 0..1000"
)]
pub(super) struct ExploreArguments {
    #[command(subcommand)]
    command: Option<ExploreCommand>,
    /// The scenario that befalls faults. Without one, each seed draws clients and what they do as well
    scenario: Option<PathBuf>,
    /// Which seeds: 0..10000, or one number
    #[arg(long, value_name = "A..B", default_value = "0..1000")]
    seeds: Seeds,
    /// How many threads [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Go on after a failure, and tell failures apart by what broke
    #[arg(long)]
    keep_going: bool,
    /// Run one part of the seeds only, as 0/4 … 3/4; the results of all parts merge
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// Where capsules go: a scenario for each thing that broke, which replays it
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    capsules: PathBuf,
    /// Do not shrink what breaks
    #[arg(long)]
    no_shrink: bool,
    /// Write the results (.json). May be given several times
    #[arg(short, long, value_name = "FILE.json")]
    output: Vec<PathBuf>,
    /// Print the scenario of the first seed, faults and all, and run nothing
    #[arg(long)]
    show: bool,
}

#[derive(Debug, Subcommand)]
enum ExploreCommand {
    /// Merge the results of several parts
    Merge {
        /// The results, or folders that hold them
        #[arg(required = true, value_name = "RESULT.json")]
        results: Vec<PathBuf>,
        /// Write the merged results (.json). May be given several times
        #[arg(short, long, value_name = "FILE.json")]
        output: Vec<PathBuf>,
    },
}

/// Does what the arguments say.
pub(super) fn explore(arguments: &ExploreArguments) -> ExitCode {
    let done = match &arguments.command {
        Some(ExploreCommand::Merge { results, output }) => merge(results, output),
        None => run(arguments),
    };
    done.unwrap_or_else(wrong)
}

fn run(arguments: &ExploreArguments) -> Result<ExitCode, String> {
    check_endings(&arguments.output)?;
    let (source, name) = source(arguments.scenario.as_deref())?;
    if arguments.show {
        say(&source.plan(arguments.seeds.0.start).yaml(&[]));
        return Ok(ExitCode::SUCCESS);
    }
    let stop = stop_at_signals();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let orders = Orders {
        seeds: arguments.seeds.clone(),
        shard: arguments.shard,
        jobs: arguments.jobs.unwrap_or(cores),
        keep_going: arguments.keep_going,
    };
    let stopwatch = Stopwatch::start();
    let mut outcome = watched_sweep(&source, &orders, &stop);
    let seconds = stopwatch.seconds();
    outcome.source = name;
    say(&summary(&outcome, Some(seconds)));
    for file in &arguments.output {
        write(file, &outcome.json())?;
    }
    let interrupted = stop.load(Ordering::Relaxed);
    if interrupted {
        complain("interrupted: what was run until then is told");
    }
    // A second signal interrupts the shrinking, and the best so far is kept.
    stop.store(false, Ordering::Relaxed);
    for (what, failure) in &outcome.failures {
        say(&capsule(arguments, &source, what, failure, &stop)?);
    }
    Ok(ExitCode::from(if outcome.failures.is_empty() && !interrupted { 0 } else { FAILED }))
}

fn source(scenario: Option<&Path>) -> Result<(Source, String), String> {
    match scenario {
        None => Ok((Source::Workload, WORKLOAD.to_owned())),
        Some(path) => {
            let plan = Plan::read(path).map_err(|diagnosis| diagnosis.to_string())?;
            Ok((Source::Scenario(plan), path.display().to_string()))
        }
    }
}

/// The sweep, with its progress on the terminal.
fn watched_sweep(source: &Source, orders: &Orders, stop: &AtomicBool) -> Outcome {
    let bar = ProgressBar::new(orders.seeds.0.end - orders.seeds.0.start);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {msg}") {
        bar.set_style(style);
    }
    let (failed, faults) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcome = sweep(source, orders, stop, |_, examined| {
        let faults = faults.fetch_add(examined.faults.values().sum::<usize>() as u64, Ordering::Relaxed);
        let failed = match examined.broken.is_empty() {
            true => failed.load(Ordering::Relaxed),
            false => failed.fetch_add(1, Ordering::Relaxed) + 1,
        };
        bar.inc(1);
        bar.set_message(format!("{faults} faults, {failed} seeds failed"));
    });
    bar.finish_and_clear();
    outcome
}

/// What was run and what broke.
fn summary(outcome: &Outcome, seconds: Option<f64>) -> String {
    let mut text = String::new();
    let faults: Vec<String> = outcome.faults.iter().map(|(word, times)| format!("{times} {word}")).collect();
    let _ = writeln!(text, "faults: {}", if faults.is_empty() { "none".to_owned() } else { faults.join(", ") });
    let _ = writeln!(text, "{} statements were exercised", outcome.exercised.len());
    for (what, failure) in &outcome.failures {
        let seeds: Vec<String> = failure.seeds.iter().take(5).map(u64::to_string).collect();
        let more = if failure.seeds.len() > 5 { ", …" } else { "" };
        let _ = writeln!(text, "{} {what} in {} seeds ({}{more})", bad("✗"), failure.seeds.len(), seeds.join(", "));
        let _ = writeln!(text, "  {}", failure.why);
        if let Some(id) = Id::named(what) {
            let _ = writeln!(text, "  it asks: {}", id.statement().summary);
        }
    }
    let [first, last] = outcome.seeds;
    let rate =
        seconds.map(|seconds| format!(" in {seconds:.1} s, {:.0} a second", outcome.runs as f64 / seconds.max(1e-9)));
    let line =
        format!("{} runs of {}, seeds {first}..{last}{}", outcome.runs, outcome.source, rate.unwrap_or_default());
    let _ = match outcome.failures.len() {
        0 => writeln!(text, "{}: {line}", good("everything held")),
        broken => writeln!(text, "{}: {line}", bad(&format!("{broken} things broke"))),
    };
    text
}

/// Shrinks what broke and writes it as a scenario of its own.
fn capsule(
    arguments: &ExploreArguments,
    source: &Source,
    what: &str,
    failure: &Failure,
    stop: &AtomicBool,
) -> Result<String, String> {
    let Some(seed) = failure.seeds.first().copied() else { return Ok(String::new()) };
    let plan = source.plan(seed);
    let (plan, why, runs) = if arguments.no_shrink {
        (plan, failure.why.clone(), 0)
    } else {
        let shrunk = shrink(&plan, what, || !stop.load(Ordering::Relaxed));
        (shrunk.plan, shrunk.why, shrunk.runs)
    };
    let asks = Id::named(what).map(|id| format!("It asks: {}", id.statement().summary));
    let mut comment = vec![format!("Breaks {what}: {why}.")];
    comment.extend(asks);
    comment.push(format!("Found by simrun {} explore, seed {seed}.", env!("CARGO_PKG_VERSION")));
    let text = plan.yaml(&comment);
    let file = arguments.capsules.join(format!("{}-{seed}.yaml", what.replace('/', "-").to_lowercase()));
    write(&file, &text)?;
    Ok(format!(
        "\n{} (shrunk in {runs} runs); replay it: simrun {} --engine direct\n{text}",
        file.display(),
        file.display()
    ))
}

/// Set by SIGINT and SIGTERM. Who finds it set already ends the program.
pub(super) fn stop_at_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            while let Ok(()) = crate::live::signalled().await {
                // The first ends the sweep, the second the shrinking, the third everything.
                if flag.swap(true, Ordering::Relaxed) {
                    std::process::exit(i32::from(FAILED));
                }
            }
        });
    });
    stop
}

fn merge(results: &[PathBuf], output: &[PathBuf]) -> Result<ExitCode, String> {
    check_endings(output)?;
    let mut merged: Option<Outcome> = None;
    for file in &result_files(results)? {
        let explain = |error: &dyn std::fmt::Display| format!("error: {}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| explain(&error))?;
        let outcome = Outcome::read(&text).map_err(|error| explain(&error))?;
        match &mut merged {
            None => merged = Some(outcome),
            Some(merged) => merged.merge(outcome).map_err(|error| explain(&error))?,
        }
    }
    let Some(merged) = merged else { return Ok(ExitCode::SUCCESS) };
    say(&summary(&merged, None));
    for file in output {
        write(file, &merged.json())?;
    }
    Ok(ExitCode::from(if merged.failures.is_empty() { 0 } else { FAILED }))
}

/// The files themselves, and those of the folders among them, in the order of their names.
fn result_files(results: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in results {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let explain = |error: std::io::Error| format!("error: {}: {error}", path.display());
        let mut inside: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(explain)? {
            inside.push(entry.map_err(explain)?.path());
        }
        inside.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
        if inside.is_empty() {
            return Err(format!("error: {}: no .json file is in it", path.display()));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn check_endings(output: &[PathBuf]) -> Result<(), String> {
    match output.iter().find(|file| file.extension().is_none_or(|ending| ending != "json")) {
        Some(file) => Err(format!("error: {}: the ending says no known form; write FILE.json", file.display())),
        None => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = folder.map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(file, text));
    match written {
        Err(error) if !is_broken_pipe(&error) => Err(format!("error: {}: {error}", file.display())),
        _ => Ok(()),
    }
}
