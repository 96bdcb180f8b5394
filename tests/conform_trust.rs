//! The suite can be trusted: run again it says the same, whether the machine is busy or not, and however the stream is
//! cut into segments; a target that is not there, or dies, is one finding.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simrun::codec::{Packet, Version};
use simrun::conform::relay::{self, Onward, Segments, Tamper};
use simrun::conform::result::{CaseResult, Report, Verdict};
use simrun::conform::run::{Options, RunError, check_broker};
use simrun::conform::suite::{Chosen, Selection, choose};
use simrun::conform::target::{Address, Ours, Profile, Target};
use simrun::conform::{Setup, Stop};
use simrun::rules::Role;
use simrun::trace::Way;

/// What was said of each case and statement.
fn verdicts(report: &Report) -> BTreeMap<String, Verdict> {
    let cases = report.cases.iter().map(|case| (format!("{} {}", case.case.name, case.version), case.verdict()));
    let statements = report.statements.iter().map(|statement| (statement.id.to_string(), statement.verdict));
    cases.chain(statements).collect()
}

fn run(target: &Target) -> Report {
    check_broker(target, &choose(Role::Server, &[]), |_| true, &Options::default(), |_| {}).expect("it runs")
}

/// What differs between two runs, with what the other one says of it.
fn differences(one: &Report, other: &Report) -> Vec<String> {
    let (before, after) = (verdicts(one), verdicts(other));
    let differing = before.iter().filter(|(name, verdict)| after.get(*name) != Some(verdict));
    let why = |name: &str| {
        let case = other.cases.iter().find(|case| format!("{} {}", case.case.name, case.version) == name);
        case.and_then(CaseResult::why).unwrap_or_default()
    };
    differing.map(|(name, was)| format!("{name}: {was:?}, then {:?}: {}", after.get(name), why(name))).collect()
}

#[test]
fn ten_simulated_runs_say_the_same_however_the_stream_is_cut() {
    let first = run(&Target::Ours(Ours::default()));
    for seed in 1..=10 {
        let segments =
            [Segments::Alike, Segments::Bytes, Segments::Merged][usize::try_from(seed % 3).unwrap_or_default()];
        let again = run(&Target::Ours(Ours { seed, segments, ..Ours::default() }));
        assert_eq!(differences(&first, &again), Vec::<String>::new(), "{segments:?}");
    }
}

/// Our broker as a process of its own, killed at the end.
struct Broker {
    process: Child,
    address: String,
}

impl Broker {
    fn start(port: u16) -> Broker {
        let mut process = Command::new(env!("CARGO_BIN_EXE_simrun"))
            .args(["--real", "--listen", &format!("127.0.0.1:{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let rest = line.split_once("mqtt://")?.1;
            Some(format!("mqtt://{}", rest.split_whitespace().next()?))
        });
        // Somebody reads on, or the broker would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Broker { process, address: address.expect("the broker says where it listens") }
    }

    fn target(&self, segments: Segments) -> Target {
        let url = self.address.parse().expect("an address");
        // What passes does not wait for it; a debug build behind single bytes takes its time.
        let patience = Duration::from_secs(30);
        Target::Address(Address { url, segments, patience, ..Address::default() })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Threads that keep all cores busy until dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start() -> Busy {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {});
        }
        Busy(stop)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn runs_on_real_sockets_say_the_same_also_while_the_machine_is_busy() {
    let broker = Broker::start(0);
    let first = run(&broker.target(Segments::Alike));
    let broken = first.cases.iter().filter(|case| case.verdict() == Verdict::Fail || case.is_unsettled());
    let broken: Vec<String> = broken.map(|case| format!("{}: {:?}", case.case.name, case.why())).collect();
    assert_eq!(broken, Vec::<String>::new(), "our broker on a real socket");
    for (segments, busy) in [(Segments::Bytes, false), (Segments::Merged, true)] {
        let busy = busy.then(Busy::start);
        let again = run(&broker.target(segments));
        assert_eq!(differences(&first, &again), Vec::<String>::new(), "{segments:?}, {}", busy.is_some());
    }
}

#[test]
fn a_target_that_is_not_there_is_one_finding() {
    let target =
        Target::Address(Address { url: "mqtt://127.0.0.1:1".parse().expect("an address"), ..Address::default() });
    let run = check_broker(&target, &choose(Role::Server, &[]), |_| true, &Options::default(), |_| {});
    assert!(matches!(run, Err(RunError::Unreachable { .. })), "{run:?}");
}

/// Stops to answer anybody for good when it gets a second CONNECT.
struct Mortal {
    dead: Arc<AtomicBool>,
    connected: bool,
}

impl Tamper for Mortal {
    fn passes(&mut self, version: Version, way: Way, bytes: bytes::Bytes, onward: &mut Onward) {
        if let Ok(Packet::Connect(_)) = simrun::codec::decode(version, &bytes) {
            if self.connected {
                self.dead.store(true, Ordering::Relaxed);
            }
            self.connected = true;
        }
        if !self.dead.load(Ordering::Relaxed) {
            onward.send(way, bytes);
        }
    }
}

#[test]
fn a_simulated_target_that_dies_keeps_nothing() {
    let dead = Arc::new(AtomicBool::new(false));
    let make = move || -> Box<dyn Tamper> { Box::new(Mortal { dead: dead.clone(), connected: false }) };
    let report = run_with(Ours { tamper: Some(Arc::new(make)), ..Ours::default() });
    let passed: Vec<&str> = report
        .cases
        .iter()
        .skip_while(|case| case.case.name != "second_connect")
        .filter(|case| case.verdict() == Verdict::Pass && !case.trace.is_empty())
        .map(|case| case.case.name)
        .collect();
    assert_eq!(passed, Vec::<&str>::new(), "passed by a dead target");
}

fn run_with(ours: Ours) -> Report {
    let chosen = choose(Role::Server, &[]);
    check_broker(&Target::Ours(ours), &chosen, |_| true, &Options::default(), |_| {}).expect("it runs")
}

/// Cases that take no time of their own.
fn quick() -> Vec<Chosen> {
    let sections = ["v3.1.1/3.1.0", "v3.1.1/3.8.4", "v5/3.8.4"];
    let chosen = choose(Role::Server, &sections.map(|section| Selection::read(section).expect("a section")));
    chosen.into_iter().filter(|chosen| chosen.case.setup == Setup::Plain).collect()
}

/// No case fails because its target died, and all ran but those that the target died of.
fn judged_as_if_alive(report: &Report, but: &[&str]) {
    for case in report.cases.iter().filter(|case| !but.contains(&case.case.name)) {
        assert_eq!(case.outcome, Ok(()), "{} in {}", case.case.name, case.version);
    }
}

/// A broker whose process is killed in the middle of the run, and started again by the profile's command.
#[test]
fn a_target_that_dies_is_one_finding_and_is_started_again() {
    let broker = Broker::start(0);
    let port = broker.address.rsplit(':').next().expect("a port").to_owned();
    let again = std::env::temp_dir().join(format!("simrun-conform-trust-{}", broker.process.id()));
    let command = format!(
        "{} --real --listen 127.0.0.1:{port} >/dev/null 2>&1 & echo $! >{}",
        env!("CARGO_BIN_EXE_simrun"),
        again.display()
    );
    let url = broker.address.parse().expect("an address");
    let profile = Profile { restart: Some(command), ..Profile::default() };
    let target = Target::Address(Address { url, profile, ..Address::default() });
    let mut broker = Some(broker);
    let mut ended = 0;
    let options = Options { side_by_side: 4, ..Options::default() };
    let kill_in_the_middle = |_: &CaseResult| {
        ended += 1;
        if ended == 5 {
            drop(broker.take());
        }
    };
    let report = check_broker(&target, &quick(), |_| true, &options, kill_in_the_middle);
    let started = std::fs::read_to_string(&again).unwrap_or_default();
    if let Ok(id) = started.trim().parse::<u32>() {
        let _ = Command::new("kill").arg(id.to_string()).status();
    }
    let _ = std::fs::remove_file(&again);
    let report = report.expect("it runs");
    assert_eq!(report.deaths.len(), 1, "{:?}", report.deaths);
    assert!(report.deaths[0].restarted.is_ok() && !report.deaths[0].during.is_empty(), "{:?}", report.deaths);
    judged_as_if_alive(&report, &[]);
}

/// Something before a broker that dies of a second CONNECT, and is there again once somebody has written this file.
fn mortal(broker: &str, again: PathBuf) -> (String, Arc<AtomicBool>) {
    let end = Arc::new(AtomicBool::new(false));
    let (ended, broker) = (end.clone(), broker.trim_start_matches("mqtt://").to_owned());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut listener = Some(listener);
        while !ended.load(Ordering::Relaxed) {
            let dead = Arc::new(AtomicBool::new(false));
            let life = live(listener.take(), address, &broker, &dead, &ended);
            runtime.block_on(tokio::task::LocalSet::new().run_until(life));
            while !ended.load(Ordering::Relaxed) && !again.exists() {
                runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
            }
            let _ = std::fs::remove_file(&again);
        }
    });
    (format!("mqtt://{address}"), end)
}

/// Passes connections on until one of them is deadly: then all of them end.
async fn live(
    listener: Option<std::net::TcpListener>,
    address: std::net::SocketAddr,
    broker: &str,
    dead: &Arc<AtomicBool>,
    ended: &AtomicBool,
) {
    let listener = match listener {
        Some(listener) => tokio::net::TcpListener::from_std(listener),
        None => tokio::net::TcpListener::bind(address).await,
    };
    let listener = listener.expect("a listener");
    let mut tasks = tokio::task::JoinSet::new();
    while !dead.load(Ordering::Relaxed) && !ended.load(Ordering::Relaxed) {
        let accepted = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
        let Ok(Ok((mut near, _))) = accepted else { continue };
        let far = tokio::net::TcpStream::connect(broker).await.expect("the broker");
        let tamper = Box::new(Mortal { dead: dead.clone(), connected: false });
        let mut far = relay::before(Box::new(far), Some(tamper), Segments::Alike);
        tasks.spawn_local(async move {
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

/// A second CONNECT is what one case is about: that case is named, and none beside it.
#[test]
fn the_case_that_a_target_dies_of_is_named() {
    let broker = Broker::start(0);
    let again = std::env::temp_dir().join(format!("simrun-conform-mortal-{}", broker.process.id()));
    let (address, end) = mortal(&broker.address, again.clone());
    let profile = Profile { restart: Some(format!("touch {}", again.display())), ..Profile::default() };
    let target = Target::Address(Address { url: address.parse().expect("an address"), profile, ..Address::default() });
    let report = check_broker(&target, &quick(), |_| true, &Options::default(), |_| {}).expect("it runs");
    end.store(true, Ordering::Relaxed);
    let during: Vec<Vec<&str>> =
        report.deaths.iter().map(|death| death.during.iter().map(|chosen| chosen.case.name).collect()).collect();
    assert_eq!(during, [["second_connect"]]);
    judged_as_if_alive(&report, &["second_connect"]);
}

/// The run, one case after another, of a target that dies for good.
fn dies(address: Address) -> Report {
    let options = Options { side_by_side: 1, ..Options::default() };
    let report = check_broker(&Target::Address(address), &quick(), |_| true, &options, |_| {}).expect("it runs");
    assert_eq!(report.deaths.len(), 1);
    report
}

/// A command that is to start the target again and does not: each way to fail is told, one that never ends as well.
#[test]
fn a_restart_that_fails() {
    let broker = Broker::start(0);
    for (command, words) in [
        ("exit 7", "`exit 7` failed with exit status: 7"),
        ("exec sleep 60", "`exec sleep 60` did not end within 200ms: it has to leave the target running"),
    ] {
        let (address, end) = mortal(&broker.address, PathBuf::from("/nowhere/again"));
        let profile = Profile { restart: Some(command.to_owned()), ..Profile::default() };
        let (url, restart_limit) = (address.parse().expect("an address"), Duration::from_millis(200));
        let report = dies(Address { url, profile, restart_limit, ..Address::default() });
        end.store(true, Ordering::Relaxed);
        let why = report.deaths[0].restarted.as_ref().expect_err("nobody starts it again");
        assert!(why.starts_with(words), "{why}");
    }
}

/// Without a way to start it again, what was left is not tried, and nothing is said of the statements.
#[test]
fn a_target_that_dies_for_good() {
    let broker = Broker::start(0);
    let (address, end) = mortal(&broker.address, PathBuf::from("/nowhere/again"));
    let report = dies(Address { url: address.parse().expect("an address"), ..Address::default() });
    end.store(true, Ordering::Relaxed);
    let why = report.deaths[0].restarted.as_ref().expect_err("nobody starts it again");
    assert_eq!(why, "no profile says how to start it again");
    let tried = report.cases.iter().take_while(|case| case.case.name != "second_connect").count();
    for case in &report.cases[tried..] {
        assert!(matches!(case.outcome, Err(Stop::Skipped(_))), "{}: {:?}", case.case.name, case.outcome);
    }
}
