//! Runs cases: in simulated time one after another, each in a world of its own; in real time side by side.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::LocalSet;

use super::abilities::Abilities;
use super::bench::{Bench, Door};
use super::case::Run;
use super::lab::Lab;
use super::pulse::Pulse;
use super::relay::{self, AnyStream, Segments, Tampering};
use super::result::{CaseResult, Death, Report, by_statement};
use super::setup::Setup;
use super::steered::{self, command::Fate};
use super::suite::Chosen;
use super::target::{Address, Target};
use super::verdict::{Failure, Outcome, Stop};
use super::wire::Log;
use crate::rules::{self, Findings, Id, Role, Vantage};

/// How long a case may take before it counts as stuck: longer than any of its waits together.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a client in memory may take to do something, in simulated time.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// So far lie the numbers apart from which one case makes its names when it runs again.
const ATTEMPT: usize = 0x1000;

/// How often a target that is started again is asked whether it is there.
const RESTART_TRIES: usize = 50;

/// Why a case was not tried that had not begun when the run was to stop.
const STOPPED: &str = "the run was interrupted";

/// What keeps a run from beginning.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The operating system refused what is needed.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// Something is there, but lets nobody in.
    #[error("{target} is there, but answers {why}: is it an MQTT broker, and are user and password right?")]
    NoEntry {
        /// The target.
        target: String,
        /// What it answers.
        why: String,
    },
    /// The target does not answer.
    #[error("{target} cannot be reached: {why}")]
    Unreachable {
        /// The target.
        target: String,
        /// Why.
        why: String,
    },
}

/// How a run goes about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many cases run at a time, in real time.
    pub side_by_side: usize,
    /// What makes client identifiers and topics unlike those of other runs: some letters and digits.
    pub run_name: String,
    /// Once it is set, no further case begins.
    pub stop: Arc<AtomicBool>,
}

impl Options {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Default for Options {
    fn default() -> Options {
        Options { side_by_side: 24, run_name: "sr".to_owned(), stop: Arc::default() }
    }
}

/// Runs these cases against a broker. `done` is told of each as it ends.
///
/// # Errors
/// If it cannot begin.
pub fn check_broker(
    target: &Target,
    chosen: &[Chosen],
    wanted: impl Fn(Id) -> bool,
    options: &Options,
    mut done: impl FnMut(&CaseResult),
) -> Result<Report, RunError> {
    let (mut cases, deaths) = match target {
        Target::Ours(_) => (in_simulated_time(target, chosen, options, &mut done)?, Vec::new()),
        Target::Address(address) => {
            let run = async {
                let (results, deaths, pulse) = (Vec::new(), Vec::new(), Pulse::start());
                LiveRun { target, address, options, results, deaths, pulse }.all(chosen, &mut done).await
            };
            real()?.block_on(LocalSet::new().run_until(run))?
        }
    };
    let place = |result: &CaseResult| {
        chosen.iter().position(|chosen| std::ptr::eq(chosen.case, result.case) && chosen.version == result.version)
    };
    cases.sort_by_key(place);
    let statements = by_statement(Role::Server, &cases, wanted);
    Ok(Report { target: target.name(), role: Role::Server, cases, statements, deaths })
}

/// Each case in a world of its own, one after another.
fn in_simulated_time(
    target: &Target,
    chosen: &[Chosen],
    options: &Options,
    done: &mut impl FnMut(&CaseResult),
) -> Result<Vec<CaseResult>, RunError> {
    let abilities = Rc::new(LocalSet::new().block_on(&simulated()?, abilities(target))?);
    let mut results = Vec::new();
    for (number, chosen) in chosen.iter().enumerate() {
        let case = broker_case(target, *chosen, &abilities, prefix(options, number));
        let result = LocalSet::new().block_on(&simulated()?, case);
        done(&result);
        results.push(result);
    }
    Ok(results)
}

/// A run against an address.
struct LiveRun<'a> {
    target: &'a Target,
    address: &'a Address,
    options: &'a Options,
    results: Vec<CaseResult>,
    deaths: Vec<Death>,
    pulse: Pulse,
}

impl LiveRun<'_> {
    /// Runs the cases side by side. If the target dies and can be started again, the cases that ran then run again one by
    /// one, so that the one that kills it is known; then the others go on.
    async fn all(
        mut self,
        chosen: &[Chosen],
        done: &mut impl FnMut(&CaseResult),
    ) -> Result<(Vec<CaseResult>, Vec<Death>), RunError> {
        let abilities = Rc::new(abilities(self.target).await?);
        let mut waiting: Vec<Numbered> = chosen.iter().copied().enumerate().collect();
        while !waiting.is_empty() {
            let (suspects, left) = self.batch(&waiting, self.options.side_by_side, &abilities, done).await;
            waiting = left;
            if self.options.is_stopped() {
                self.skip(&std::mem::take(&mut waiting), STOPPED, done);
            }
            if suspects.is_empty() {
                continue;
            }
            let restarted = self.restart().await;
            let alive = if restarted.is_ok() && suspects.len() > 1 {
                self.one_by_one(&suspects, &abilities, done).await
            } else {
                self.died(&suspects, restarted, done)
            };
            if !alive {
                self.skip(&std::mem::take(&mut waiting), "the target had died", done);
            }
        }
        Ok((self.results, self.deaths))
    }

    /// Runs the cases during which the target died again, each by itself. Whether the target is there at the end.
    async fn one_by_one(
        &mut self,
        suspects: &[Numbered],
        abilities: &Rc<Abilities>,
        done: &mut impl FnMut(&CaseResult),
    ) -> bool {
        let before = self.deaths.len();
        for (place, suspect) in suspects.iter().enumerate() {
            let (again, left) = self.batch(&[*suspect], 1, abilities, done).await;
            self.skip(&left, STOPPED, done);
            if again.is_empty() {
                continue;
            }
            let restarted = self.restart().await;
            if !self.died(&again, restarted, done) {
                self.skip(&suspects[place + 1..], "the target had died", done);
                return false;
            }
        }
        if self.deaths.len() == before {
            // None of them does it alone.
            let during = suspects.iter().map(|(_, chosen)| *chosen).collect();
            self.deaths.push(Death { during, restarted: Ok(()) });
        }
        true
    }

    /// The target died while these ran. Whether it is there again.
    fn died(&mut self, during: &[Numbered], restarted: Result<(), String>, done: &mut impl FnMut(&CaseResult)) -> bool {
        self.skip(during, "the target died while it ran", done);
        let alive = restarted.is_ok();
        self.deaths.push(Death { during: during.iter().map(|(_, chosen)| *chosen).collect(), restarted });
        alive
    }

    fn skip(&mut self, cases: &[Numbered], why: &str, done: &mut impl FnMut(&CaseResult)) {
        for (_, chosen) in cases {
            let result = finish(*chosen, Err(Stop::Skipped(why.to_owned())), &Log::new(), Role::Server);
            done(&result);
            self.results.push(result);
        }
    }

    /// Runs cases, so many at a time. Where the target dies: the cases that ran then, and those that had not begun.
    async fn batch(
        &mut self,
        batch: &[Numbered],
        at_a_time: usize,
        abilities: &Rc<Abilities>,
        done: &mut impl FnMut(&CaseResult),
    ) -> (Vec<Numbered>, Vec<Numbered>) {
        let room = Rc::new(Semaphore::new(at_a_time.max(1)));
        let dead = Rc::new(Cell::new(false));
        let (ends, mut ended) = mpsc::unbounded_channel();
        for (number, chosen) in batch.iter().copied() {
            let (target, abilities, room, ends) = (self.target.clone(), abilities.clone(), room.clone(), ends.clone());
            let (dead, pulse, options) = (dead.clone(), self.pulse.clone(), self.options.clone());
            tokio::task::spawn_local(async move {
                let _permit = room.acquire().await;
                let mut end = End::NotBegun;
                if !dead.get() && !options.is_stopped() {
                    let try_it = async |attempt| {
                        let prefix = prefix(&options, number + attempt * ATTEMPT);
                        broker_case(&target, chosen, &abilities, prefix).await
                    };
                    let result = pulse.unless_starved(try_it, CaseResult::went_wrong).await;
                    let suspicious = result.went_wrong();
                    if suspicious && !dead.get() && !is_alive(&target).await {
                        dead.set(true);
                    }
                    end = if suspicious && dead.get() { End::Suspect } else { End::Done(Box::new(result)) };
                }
                let _ = ends.send((number, chosen, end));
            });
        }
        drop(ends);
        let (mut suspects, mut left) = (Vec::new(), Vec::new());
        while let Some((number, chosen, end)) = ended.recv().await {
            match end {
                End::Done(result) => {
                    done(&result);
                    self.results.push(*result);
                }
                End::Suspect => suspects.push((number, chosen)),
                End::NotBegun => left.push((number, chosen)),
            }
        }
        (suspects, left)
    }

    /// Starts the target again, as the profile says, and waits until it answers.
    ///
    /// # Errors
    /// Why it is not there.
    async fn restart(&self) -> Result<(), String> {
        let Some(command) = &self.address.profile.restart else {
            return Err("no profile says how to start it again".to_owned());
        };
        self.address.run(command).await.map_err(|why| format!("`{command}` {why}"))?;
        for _ in 0..RESTART_TRIES {
            if is_alive(self.target).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("`{command}` ended well, and the target does not answer"))
    }
}

/// A case, and the number from which its names are made.
type Numbered = (usize, Chosen);

/// How a case of a live run ended.
enum End {
    /// By itself.
    Done(Box<CaseResult>),
    /// The target died meanwhile.
    Suspect,
    /// The target had died before.
    NotBegun,
}

/// Whether the target answers.
async fn is_alive(target: &Target) -> bool {
    for _ in 0..2 {
        if abilities(target).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    false
}

async fn abilities(target: &Target) -> Result<Abilities, RunError> {
    let unreachable = |why: String| RunError::Unreachable { target: target.name(), why };
    let place = target.place(Setup::Plain).map_err(unreachable)?;
    Abilities::ask(&place, "simrunprobe").await.map_err(|stop| match stop {
        Stop::Failed(failure) => RunError::NoEntry { target: target.name(), why: failure.actual },
        Stop::Advice(failure) | Stop::Setup(failure) => unreachable(failure.actual),
        Stop::Skipped(why) | Stop::Excused(why) => unreachable(why),
    })
}

async fn broker_case(target: &Target, chosen: Chosen, abilities: &Rc<Abilities>, prefix: String) -> CaseResult {
    let log = Log::new();
    let outcome = try_broker_case(target, chosen, abilities, prefix, &log);
    let outcome = tokio::time::timeout(LONGEST, outcome).await.unwrap_or_else(|_| Err(stuck()));
    finish(chosen, outcome, &log, Role::Server)
}

async fn try_broker_case(
    target: &Target,
    chosen: Chosen,
    abilities: &Rc<Abilities>,
    prefix: String,
    log: &Log,
) -> Outcome {
    let Chosen { case, version } = chosen;
    if !abilities.versions.contains(&version) {
        return Err(Stop::Skipped(format!("the target does not speak {version}")));
    }
    let case = match case.run {
        Run::Server(case) => case,
        Run::Internals(_, case) if target.is_simulated() => return case(version),
        Run::Internals(..) => return Err(Stop::Skipped("no wire shows it: our own code is tested for it".to_owned())),
        Run::Client(_) => return Err(Stop::Skipped("a case for clients".to_owned())),
    };
    let place = target.place(chosen.case.setup).map_err(Stop::Skipped)?;
    let mut lab = Lab::new(place, abilities.clone(), version, prefix, log.clone());
    let outcome = case(&mut lab).await;
    if !target.is_simulated() {
        // Tidying up is no part of the case.
        let trace = log.take();
        lab.clean_up().await;
        log.put_back(trace);
    }
    outcome
}

fn stuck() -> Stop {
    Stop::Setup(Failure::new(format!("a case that ends within {LONGEST:?}"), "it did not end"))
}

/// Letters and digits that no other case of this run and of others has; short enough for a client identifier of 23.
fn prefix(options: &Options, number: usize) -> String {
    format!("{}{number:03x}x", options.run_name)
}

fn finish(chosen: Chosen, outcome: Outcome, log: &Log, role: Role) -> CaseResult {
    let took = log.elapsed();
    let trace = log.take();
    let findings = match &outcome {
        Err(Stop::Skipped(_)) => Findings::new(),
        _ => rules::judge(&trace, role, Vantage::Opposite),
    };
    CaseResult { case: chosen.case, version: chosen.version, outcome, trace, findings, took }
}

// --- clients ----------------------------------------------------------------------------------------------------------

/// Our own client, as it is or behind something that tampers with what it sends and gets.
#[derive(Clone, Default)]
pub struct OurClient {
    /// What stands before it.
    pub tamper: Option<Tampering>,
}

/// Runs these cases against our own client.
///
/// # Errors
/// If it cannot begin.
pub fn check_our_client(
    ours: &OurClient,
    chosen: &[Chosen],
    wanted: impl Fn(Id) -> bool,
    mut done: impl FnMut(&CaseResult),
) -> Result<Report, RunError> {
    let mut cases = Vec::new();
    for chosen in chosen {
        let runtime = simulated()?;
        let result = LocalSet::new().block_on(&runtime, our_client_case(ours, *chosen));
        done(&result);
        cases.push(result);
    }
    let statements = by_statement(Role::Client, &cases, wanted);
    let target = format!("simrun {} (client)", env!("CARGO_PKG_VERSION"));
    Ok(Report { target, role: Role::Client, cases, statements, deaths: Vec::new() })
}

async fn our_client_case(ours: &OurClient, chosen: Chosen) -> CaseResult {
    let log = Log::new();
    let case = async {
        let case = match chosen.case.run {
            Run::Client(case) => case,
            Run::Internals(_, case) => return case(chosen.version),
            Run::Server(_) => return Err(Stop::Skipped("a case for brokers".to_owned())),
        };
        let (dials, streams) = mpsc::unbounded_channel::<AnyStream>();
        let tamper = ours.tamper.clone();
        let dial: steered::Dial = Rc::new(move |order| {
            let (near, far) = tokio::io::duplex(1 << 20);
            let near: AnyStream = Box::new(near);
            let near = match &tamper {
                // The relay's near end is the client's, its far end the suite's.
                Some(make) => relay::before(near, Some(make()), Segments::Alike),
                None => near,
            };
            let (stood, order) = (dials.send(Box::new(far)).is_ok(), order.clone());
            Box::pin(async move {
                if !stood {
                    return Err(std::io::ErrorKind::ConnectionRefused.into());
                }
                steered::within(near, &order).await
            })
        });
        let client = steered::ours(dial);
        let mut bench = Bench::new(client, Door::Memory(streams), chosen.version, log.clone(), CLIENT_PATIENCE);
        case(&mut bench).await
    };
    let outcome = tokio::time::timeout(LONGEST, case).await.unwrap_or_else(|_| Err(stuck()));
    finish(chosen, outcome, &log, Role::Client)
}

/// Runs these cases against a client that a command starts, one process a case, at most [`PROCESSES`] at a time.
///
/// # Errors
/// If it cannot begin: [`RunError::Unreachable`] if the command does not start, or is no adapter.
pub fn check_client_command(
    command: &str,
    chosen: &[Chosen],
    wanted: impl Fn(Id) -> bool,
    options: &Options,
    mut done: impl FnMut(&CaseResult),
) -> Result<Report, RunError> {
    let run = async {
        let unreachable = |why| RunError::Unreachable { target: command.to_owned(), why };
        let (client, process) = steered::command::start(command).await.map_err(unreachable)?;
        let ready = client.ready().clone();
        drop(client);
        process.end().await;
        let (cases, deaths) = client_cases(command, &ready.versions, chosen, options, &mut done).await;
        Ok::<_, RunError>((ready.client, cases, deaths))
    };
    let (target, mut cases, deaths) = real()?.block_on(LocalSet::new().run_until(run))?;
    cases.sort_by_key(|result| {
        chosen.iter().position(|chosen| std::ptr::eq(chosen.case, result.case) && chosen.version == result.version)
    });
    let statements = by_statement(Role::Client, &cases, wanted);
    Ok(Report { target, role: Role::Client, cases, statements, deaths })
}

/// How many clients run at a time: each is a process, and starting one is work.
pub const PROCESSES: usize = 8;
/// How long a client in a process may take to do something, in real time.
const PROCESS_PATIENCE: Duration = Duration::from_secs(5);

async fn client_cases(
    command: &str,
    versions: &[String],
    chosen: &[Chosen],
    options: &Options,
    done: &mut impl FnMut(&CaseResult),
) -> (Vec<CaseResult>, Vec<Death>) {
    let room = Rc::new(Semaphore::new(options.side_by_side.clamp(1, PROCESSES)));
    let (results, mut finished) = mpsc::unbounded_channel();
    let pulse = Pulse::start();
    for chosen in chosen.iter().copied() {
        let (command, room, results, pulse) = (command.to_owned(), room.clone(), results.clone(), pulse.clone());
        let speaks = versions.iter().any(|version| version == steered::protocol::spelling(chosen.version));
        let stop = options.stop.clone();
        tokio::task::spawn_local(async move {
            let _permit = room.acquire().await;
            if stop.load(Ordering::Relaxed) {
                let stopped = finish(chosen, Err(Stop::Skipped(STOPPED.to_owned())), &Log::new(), Role::Client);
                let _ = results.send((stopped, false));
                return;
            }
            let try_it = async |_| {
                let log = Log::new();
                let case = command_case(&command, chosen, speaks, &log);
                let ended = tokio::time::timeout(LONGEST, case).await;
                let (outcome, died) = ended.unwrap_or_else(|_| (Err(stuck()), false));
                (finish(chosen, outcome, &log, Role::Client), died)
            };
            let result = pulse.unless_starved(try_it, |(result, died)| !died && result.went_wrong()).await;
            let _ = results.send(result);
        });
    }
    drop(results);
    let (mut cases, mut deaths) = (Vec::new(), Vec::new());
    while let Some((result, died)) = finished.recv().await {
        done(&result);
        if died {
            deaths
                .push(Death { during: vec![Chosen { case: result.case, version: result.version }], restarted: Ok(()) });
        }
        cases.push(result);
    }
    (cases, deaths)
}

/// Runs a case against a process of its own. Also says whether that died.
async fn command_case(command: &str, chosen: Chosen, speaks: bool, log: &Log) -> (Outcome, bool) {
    let case = match chosen.case.run {
        _ if !speaks => return (Err(Stop::Skipped(format!("the client does not speak {}", chosen.version))), false),
        Run::Client(case) => case,
        Run::Internals(..) => {
            return (Err(Stop::Skipped("no wire shows it: our own code is tested for it".to_owned())), false);
        }
        Run::Server(_) => return (Err(Stop::Skipped("a case for brokers".to_owned())), false),
    };
    let failed = |expected: &str, why: String| (Err(Stop::Setup(Failure::new(expected, why))), false);
    let listener = match TcpListener::bind(("127.0.0.1", 0)).await {
        Ok(listener) => listener,
        Err(error) => return failed("a socket to listen on", error.to_string()),
    };
    let (client, mut process) = match steered::command::start(command).await {
        Ok(started) => started,
        Err(why) => return failed("a client that starts", why),
    };
    let mut bench = Bench::new(client, Door::Socket(listener), chosen.version, log.clone(), PROCESS_PATIENCE);
    let outcome = case(&mut bench).await;
    let fate = process.fate().await;
    drop(bench);
    process.end().await;
    match fate {
        None => (outcome, false),
        // Whatever the case has seen: it was not the client that did it.
        Some(fate) => {
            let died = matches!(fate, Fate::Died(_));
            (
                Err(Stop::Setup(Failure::new("a client that lives on and keeps to the line protocol", fate.words()))),
                died,
            )
        }
    }
}

/// A world in which time passes only when nothing else is to be done.
fn simulated() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_time().start_paused(true).build()
}

fn real() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
