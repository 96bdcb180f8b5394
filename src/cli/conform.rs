//! `simrun conform`: every numbered statement, on our broker and client, a broker at an address, or a client command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::explore::stop_at_signals;
use super::trust::TrustArguments;
use super::{FAILED, GONE, complain, is_broken_pipe, say, wrong};
use crate::conform::coverage::cover;
use crate::conform::result::{Report, Verdict};
use crate::conform::run::{Options, OurClient, RunError, check_broker, check_client_command, check_our_client};
use crate::conform::suite::{Selection, choose};
use crate::conform::target::{Address, Ours, PATIENCE, Profile, Target};
use crate::live::dial::{Dialer, Url};
use crate::report::conform::{Document, Matrix, junit, markdown, page, terminal};
use crate::rules::{Id, Role};

/// What a conformance run is told.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Exit codes: 0 every statement kept, 1 one was broken, 2 the input was wrong, 3 the target cannot be reached or died.\n\
Without --target, simrun's own broker and client are checked in simulated time."
)]
pub(super) struct ConformArguments {
    #[command(subcommand)]
    command: Option<ConformCommand>,
    /// What to check: statements (v5/MQTT-4.3.3-1), sections (v5/4.3), versions (v3.1.1), cases. Without any: everything
    #[arg(value_name = "SELECTION")]
    selections: Vec<String>,
    /// The broker to check: mqtt://[user:password@]host[:port], or mqtts, ws, wss
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// The client to check: a command that starts an adapter around it, steered through the line protocol of
    /// tests/adapters/README.md
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["target", "patience"])]
    client: Option<String>,
    /// What is known of the target beyond its address (YAML): where it has which set-up, how to start it again
    #[arg(long, value_name = "FILE", requires = "target")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
    /// How many seconds the target may take to answer
    #[arg(long, value_name = "SECONDS", requires = "target", default_value_t = PATIENCE.as_secs())]
    patience: u64,
    /// How many cases run side by side against a target
    #[arg(long, value_name = "N", default_value_t = Options::default().side_by_side)]
    side_by_side: usize,
    /// List the statements with what claims them, and run nothing
    #[arg(long)]
    list: bool,
    /// Count what is only advisable as broken
    #[arg(long)]
    strict: bool,
    /// Fail only on what is new: a file of statements that are known to be broken, one a line, or a JSON report
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Run so many times, and name what differs
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// Write the results; the ending decides the form: .json, .xml (JUnit), .html, .md (GitHub job summary), .txt
    /// (statements that were broken, for --baseline). May be given several times
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ConformCommand {
    /// Set JSON reports side by side: statements by targets
    Matrix {
        /// The reports
        #[arg(required = true, value_name = "REPORT.json")]
        reports: Vec<PathBuf>,
        /// Write the matrix: .html, .md or .txt. May be given several times
        #[arg(short, long, value_name = "FILE")]
        output: Vec<PathBuf>,
    },
}

/// Does what the arguments say.
pub(super) fn conform(arguments: &ConformArguments) -> ExitCode {
    let done = match &arguments.command {
        Some(ConformCommand::Matrix { reports, output }) => matrix(reports, output),
        None => check(arguments),
    };
    done.unwrap_or_else(wrong)
}

fn check(arguments: &ConformArguments) -> Result<ExitCode, String> {
    let selections = arguments.selections.iter().map(|word| Selection::read(word)).collect::<Result<Vec<_>, _>>();
    let selections = selections.map_err(|why| format!("error: {why}"))?;
    if arguments.list {
        say(&list(&selections));
        return Ok(ExitCode::SUCCESS);
    }
    arguments.output.iter().try_for_each(|file| Form::of(file).and_then(|_| can_be_written(file)))?;
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose()?;
    let target = target(arguments)?;
    let stop = stop_at_signals();
    let mut runs = Vec::new();
    while runs.len() < arguments.repeat.max(1) && !stop.load(Ordering::Relaxed) {
        let options = Options { side_by_side: arguments.side_by_side.max(1), stop: stop.clone(), ..Options::default() };
        match run(arguments, &selections, target.as_ref(), options) {
            Ok(document) => runs.push(document),
            Err(error) => {
                complain(format_args!("error: {error}"));
                return Ok(ExitCode::from(GONE));
            }
        }
    }
    let differing = differences(&runs);
    let Some(document) = runs.pop() else { return Ok(ExitCode::from(FAILED)) };
    say(&terminal(&document, arguments.strict));
    say(&differing);
    let (held, words) = judge(&document, baseline.as_ref(), arguments.strict);
    say(&words);
    for file in &arguments.output {
        write(file, &Form::of(file)?.render(&document, arguments.strict))?;
    }
    let interrupted = stop.load(Ordering::Relaxed);
    if interrupted {
        complain("interrupted: what had begun until then is told");
    }
    let code = if !document.deaths.is_empty() {
        GONE
    } else if held && differing.is_empty() && !interrupted {
        0
    } else {
        FAILED
    };
    Ok(ExitCode::from(code))
}

/// The address to check, if there is one.
fn target(arguments: &ConformArguments) -> Result<Option<Address>, String> {
    let Some(url) = &arguments.target else { return Ok(None) };
    let url: Url = url.parse().map_err(|error| format!("error: {error}"))?;
    let profile = match &arguments.profile {
        None => Profile::default(),
        Some(file) => read_profile(file)?,
    };
    let dialer = Dialer::new(arguments.trust.trust());
    dialer.prepare(&url).map_err(|error| format!("error: {error}"))?;
    let patience = Duration::from_secs(arguments.patience.max(1));
    Ok(Some(Address { url, profile, patience, dialer, ..Address::default() }))
}

fn read_profile(file: &Path) -> Result<Profile, String> {
    let text = read(file)?;
    let profile: Profile =
        serde_yaml::from_str(&text).map_err(|error| format!("error: {}: {error}", file.display()))?;
    profile.check().map_err(|why| format!("error: {}: {why}", file.display()))?;
    Ok(profile)
}

/// One run, as broker and, where the target is ours, as client.
fn run(
    arguments: &ConformArguments,
    selections: &[Selection],
    target: Option<&Address>,
    options: Options,
) -> Result<Document, RunError> {
    let wanted = |id: Id| selections.is_empty() || selections.iter().any(|selection| selection.asks_for(id));
    if let Some(command) = &arguments.client {
        let clients = choose(Role::Client, selections);
        let progress = progress(clients.len());
        let report = check_client_command(command, &clients, wanted, &options, |_| progress.inc(1))?;
        progress.finish_and_clear();
        return Ok(Document::of(&report.target.clone(), &repetition(arguments), &[report]));
    }
    let chosen = choose(Role::Server, selections);
    let Some(address) = target else {
        let clients = choose(Role::Client, selections);
        let progress = progress(chosen.len() + clients.len());
        let ours = Target::Ours(Ours::default());
        let broker = check_broker(&ours, &chosen, wanted, &options, |_| progress.inc(1))?;
        let client = check_our_client(&OurClient::default(), &clients, wanted, |_| progress.inc(1))?;
        progress.finish_and_clear();
        return Ok(Document::of(&ours.name(), "", &[broker, client]));
    };
    let progress = progress(chosen.len());
    let options = Options { run_name: run_name(), ..options };
    let target = Target::Address(address.clone());
    let report: Report = check_broker(&target, &chosen, wanted, &options, |_| progress.inc(1))?;
    progress.finish_and_clear();
    Ok(Document::of(&target.name(), &repetition(arguments), &[report]))
}

/// What repeats a part of this run.
fn repetition(arguments: &ConformArguments) -> String {
    let mut words = String::new();
    if let Some(command) = &arguments.client {
        let _ = write!(words, "--client '{command}'");
    }
    if let Some(target) = &arguments.target {
        // Reports are shown to others: they say nothing of passwords. What is no address is refused elsewhere.
        let target = target.parse().map_or_else(|_| target.clone(), |url: Url| url.to_string());
        let _ = write!(words, "--target {target}{}", arguments.trust);
    }
    if let Some(profile) = &arguments.profile {
        let _ = write!(words, " --profile {}", profile.display());
    }
    words
}

/// Unlike that of other runs against the same broker: three letters or digits of chance.
fn run_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    let chance = RandomState::new().hash_one("simrun conform");
    let digits: Vec<char> = ('0'..='9').chain('a'..='z').collect();
    let letter = |place: u32| digits[usize::try_from((chance >> (place * 8)) % 36).unwrap_or_default()];
    format!("sr{}{}{}{}", letter(0), letter(1), letter(2), letter(3))
}

fn progress(cases: usize) -> ProgressBar {
    let bar = ProgressBar::new(cases as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} cases, {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// What differs between runs, in words; empty if nothing does.
fn differences(runs: &[Document]) -> String {
    let mut verdicts: BTreeMap<&str, Vec<Verdict>> = BTreeMap::new();
    for document in runs {
        for case in &document.cases {
            verdicts.entry(&case.name).or_default().push(case.verdict);
        }
        for statement in &document.statements {
            verdicts.entry(&statement.id).or_default().push(statement.verdict);
        }
    }
    let mut words = String::new();
    for (name, verdicts) in verdicts {
        if verdicts.iter().any(|verdict| *verdict != verdicts[0]) {
            let _ = writeln!(words, "differs from run to run: {name}: {verdicts:?}");
        }
    }
    words
}

/// Whether the run counts as good, and what is to be said about the baseline.
fn judge(document: &Document, baseline: Option<&BTreeSet<String>>, strict: bool) -> (bool, String) {
    let fails = |verdict: Verdict| verdict == Verdict::Fail || (strict && verdict == Verdict::Advice);
    let failing = document.statements.iter().filter(|entry| fails(entry.verdict)).map(|entry| entry.id.clone());
    let failing: BTreeSet<String> = failing.collect();
    let settled = document.unsettled().next().is_none();
    let Some(known) = baseline else { return (failing.is_empty() && settled, String::new()) };
    let mut words = String::new();
    let new: Vec<_> = failing.difference(known).collect();
    let passed =
        |id: &&String| document.statements.iter().any(|entry| entry.id == **id && entry.verdict == Verdict::Pass);
    let mended: Vec<_> = known.difference(&failing).filter(passed).collect();
    let _ = writeln!(words, "baseline: {} known, {} new, {} mended", known.len(), new.len(), mended.len());
    for id in &new {
        let _ = writeln!(words, "  new: {id}");
    }
    for id in &mended {
        let _ = writeln!(words, "  mended, to be struck from the baseline: {id}");
    }
    (new.is_empty() && mended.is_empty() && settled, words)
}

/// The statements that are known to be broken.
fn read_baseline(file: &Path) -> Result<BTreeSet<String>, String> {
    let text = read(file)?;
    if file.extension().is_some_and(|ending| ending == "json") {
        let document = Document::read(&text).map_err(|error| format!("error: {}: {error}", file.display()))?;
        let broken = document.statements.into_iter().filter(|entry| entry.verdict == Verdict::Fail);
        return Ok(broken.map(|entry| entry.id).collect());
    }
    let mut known = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let id = line.split('#').next().unwrap_or_default().trim();
        if id.is_empty() {
            continue;
        }
        if Id::named(id).is_none() {
            let file = file.display();
            return Err(format!("error: {file}:{}: {id:?} is no statement; write v5/MQTT-4.3.3-1", number + 1));
        }
        known.insert(id.to_owned());
    }
    Ok(known)
}

/// The forms of results, by the ending of the file.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Junit,
    Html,
    Markdown,
    Baseline,
}

impl Form {
    fn of(file: &Path) -> Result<Form, String> {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Ok(Form::Json),
            Some("xml") => Ok(Form::Junit),
            Some("html") => Ok(Form::Html),
            Some("md") => Ok(Form::Markdown),
            Some("txt") => Ok(Form::Baseline),
            _ => Err(format!(
                "error: {}: the ending says no known form; write .json, .xml (JUnit), .html, .md or .txt",
                file.display()
            )),
        }
    }

    fn render(self, document: &Document, strict: bool) -> String {
        match self {
            Form::Json => document.json(),
            Form::Junit => junit(document, strict),
            Form::Html => page(document),
            Form::Markdown => markdown(document),
            Form::Baseline => {
                let broken = document.statements.iter().filter(|entry| entry.verdict == Verdict::Fail);
                broken.map(|entry| format!("{}  # {}\n", entry.id, entry.summary)).collect()
            }
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("error: {}: {error}", file.display()))
}

/// Refuses before the run what cannot be written after it, as far as can be told without touching the file.
fn can_be_written(file: &Path) -> Result<(), String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Err(format!("error: {}: there is no folder {}", file.display(), folder.display()))
        }
        _ if file.is_dir() => Err(format!("error: {}: it is a folder", file.display())),
        _ => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    match std::fs::write(file, text) {
        Err(error) if !is_broken_pipe(&error) => Err(format!("error: {}: {error}", file.display())),
        _ => Ok(()),
    }
}

/// Statements, with what claims them.
fn list(selections: &[Selection]) -> String {
    let mut rows: BTreeMap<Id, Vec<String>> = BTreeMap::new();
    for role in [Role::Server, Role::Client] {
        let word = if role == Role::Server { "broker" } else { "client" };
        for (id, cover) in cover(role) {
            let mut by: Vec<String> = cover.cases.iter().map(|case| (*case).to_owned()).collect();
            if cover.rule {
                by.push("a rule".to_owned());
            }
            by.extend(cover.excuse.map(|reason| format!("excused: {reason}")));
            if !by.is_empty() {
                rows.entry(id).or_default().push(format!("{word}: {}", by.join(", ")));
            }
        }
    }
    let mut text = String::new();
    for (id, by) in rows {
        if selections.is_empty() || selections.iter().any(|selection| selection.asks_for(id)) {
            let statement = id.statement();
            let _ = writeln!(text, "{id}  {}\n  {} · {}", statement.summary, statement.level, by.join(" · "));
        }
    }
    text
}

fn matrix(reports: &[PathBuf], output: &[PathBuf]) -> Result<ExitCode, String> {
    let mut documents = Vec::new();
    for file in reports {
        let document = Document::read(&read(file)?);
        documents.push(document.map_err(|error| format!("error: {}: {error}", file.display()))?);
    }
    let matrix = Matrix::new(documents);
    for file in output {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("html") => write(file, &matrix.html())?,
            Some("txt") => write(file, &matrix.text())?,
            Some("md") => write(file, &matrix.markdown())?,
            _ => return Err(format!("error: {}: a matrix is written as .html, .md or .txt", file.display())),
        }
    }
    say(&matrix.text());
    Ok(ExitCode::SUCCESS)
}
