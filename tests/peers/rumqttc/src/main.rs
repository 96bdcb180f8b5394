//! Exercises an MQTT broker with rumqttc.
//!
//! `exercise-rumqttc --port 1883 --user admin --password password --version 5 [--ws] [--cafile CA.pem]`
//!
//! One line per check, `ok NAME` or `FAIL NAME: why`; exit code 0 only if all passed. The broker must know the user and
//! let it use any topic. Client ids and topics are of this run only; sessions and retained messages are removed.
//!
//! That something does not come is shown by a fence (something sent later on the same path that does come), not by waiting.

mod checks;
mod checks_5;
mod peer;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peer::{Options, Peer};

/// For all checks together.
const WHOLE_RUN: Duration = Duration::from_secs(60);

/// `Err` says what the broker did that it should not.
type Outcome<T = ()> = Result<T, String>;

type Check = for<'a> fn(&'a Case) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A list of checks with their names, out of functions.
#[macro_export]
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |c| Box::pin($name(c)))),*]
    };
}

/// Where the broker is, and who we are there.
#[derive(Clone, Default)]
struct Broker {
    host: String,
    port: u16,
    user: String,
    password: String,
    v5: bool,
    /// Over WebSocket, at /mqtt.
    ws: bool,
    /// Over TLS: who may sign its certificate (PEM).
    authorities: Option<Vec<u8>>,
}

impl Broker {
    /// What rumqttc calls the host: over WebSocket a whole URL.
    fn address(&self) -> String {
        let Broker { host, port, .. } = self;
        match (self.ws, &self.authorities) {
            (false, _) => host.clone(),
            (true, None) => format!("ws://{host}:{port}/mqtt"),
            (true, Some(_)) => format!("wss://{host}:{port}/mqtt"),
        }
    }

    fn transport(&self) -> rumqttc::Transport {
        let tls = |ca: &Vec<u8>| rumqttc::TlsConfiguration::Simple { ca: ca.clone(), alpn: None, client_auth: None };
        match (self.ws, &self.authorities) {
            (false, None) => rumqttc::Transport::Tcp,
            (false, Some(ca)) => rumqttc::Transport::Tls(tls(ca)),
            (true, None) => rumqttc::Transport::Ws,
            (true, Some(ca)) => rumqttc::Transport::Wss(tls(ca)),
        }
    }
}

/// One check's clients and names.
struct Case {
    broker: Broker,
    run: String,
    name: &'static str,
    /// Whose sessions stay, and which topics have a retained message, until they are removed.
    persistent: RefCell<BTreeSet<String>>,
    retained: RefCell<BTreeSet<String>>,
}

impl Case {
    fn topic(&self, rest: &str) -> String {
        format!("peers/{}/{}/{rest}", self.run, self.name)
    }

    /// A client that is not connected.
    fn peer(&self, name: &str, options: Options) -> Peer {
        Peer::new(&self.broker, &format!("{}-{}-{name}", self.run, self.name), options)
    }

    async fn up(&self, name: &str) -> Outcome<Peer> {
        self.up_with(name, Options::default()).await
    }

    async fn up_with(&self, name: &str, options: Options) -> Outcome<Peer> {
        let mut peer = self.peer(name, options);
        peer.connect().await?;
        Ok(peer)
    }

    /// A connected client whose session stays when it goes, and whether it was there before.
    async fn keeping(&self, name: &str, options: Options) -> Outcome<(Peer, bool)> {
        self.persistent.borrow_mut().insert(name.to_owned());
        let session_expiry = options.session_expiry.or(Some(60));
        let mut peer = self.peer(name, Options { clean: false, session_expiry, ..options });
        let present = peer.connect().await?.session_present;
        Ok((peer, present))
    }

    async fn retain(&self, peer: &mut Peer, topic: &str, payload: &[u8]) -> Outcome {
        self.retained.borrow_mut().insert(topic.to_owned());
        peer.retain(topic, payload).await
    }

    async fn close(&self) -> Outcome {
        for name in self.persistent.take() {
            self.up(&name).await?.disconnect().await?;
        }
        for topic in self.retained.take() {
            self.up("cleaner").await?.retain(&topic, b"").await?;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let (broker, only, skip) = arguments();
    let _ = rustls::crypto::ring::default_provider().install_default();
    thread::spawn(|| {
        thread::sleep(WHOLE_RUN);
        println!("FAIL whole_run: not done in {WHOLE_RUN:?}");
        std::process::exit(1);
    });
    let both = checks::CHECKS.iter();
    let chosen: Vec<_> = both
        .chain(checks_5::CHECKS.iter().filter(|_| broker.v5))
        .filter(|(name, _)| !skip.contains(&name.to_string()) && (only.is_empty() || only.contains(&name.to_string())))
        .collect();
    assert!(!chosen.is_empty(), "no check to run");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = format!("rumqttc{:x}{:x}", std::process::id(), since.subsec_nanos());
    // Side by side: some wait for time to pass.
    let all_passed = thread::scope(|scope| {
        let running: Vec<_> = chosen
            .into_iter()
            .map(|&(name, check)| {
                let (broker, run) = (broker.clone(), run.clone());
                (name, scope.spawn(move || run_one(broker, run, name, check)))
            })
            .collect();
        let passed = running.into_iter().map(|(name, thread)| match thread.join() {
            Ok(Ok(())) => {
                println!("ok {name}");
                true
            }
            Ok(Err(why)) => {
                println!("FAIL {name}: {why}");
                false
            }
            Err(_) => {
                println!("FAIL {name}: panicked, see above");
                false
            }
        });
        passed.fold(true, |all, one| all && one)
    });
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_one(broker: Broker, run: String, name: &'static str, check: Check) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let case = Case { broker, run, name, persistent: RefCell::default(), retained: RefCell::default() };
    runtime.block_on(async {
        let outcome = check(&case).await;
        let closed = case.close().await.map_err(|why| format!("cleaning up: {why}"));
        outcome.and(closed)
    })
}

/// The broker, and the names after `--only` and `--skip`.
fn arguments() -> (Broker, Vec<String>, Vec<String>) {
    let mut broker = Broker { host: "127.0.0.1".to_owned(), ..Broker::default() };
    let (mut only, mut skip) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        if option == "--ws" {
            broker.ws = true;
            continue;
        }
        let value = arguments.next().unwrap_or_else(|| panic!("{option} needs a value"));
        match option.as_str() {
            "--host" => broker.host = value,
            "--port" => broker.port = value.parse().expect("a port"),
            "--user" => broker.user = value,
            "--password" => broker.password = value,
            "--version" if value == "5" || value == "3.1.1" => broker.v5 = value == "5",
            "--cafile" => broker.authorities = Some(std::fs::read(value).expect("a file of certificates")),
            "--only" => only.push(value),
            "--skip" => skip.push(value),
            _ => panic!("{option} {value}: not understood"),
        }
    }
    let known = |name: &String| checks::CHECKS.iter().chain(checks_5::CHECKS).any(|(check, _)| check == name);
    if let Some(name) = only.iter().chain(&skip).find(|name| !known(name)) {
        panic!("no such check: {name}");
    }
    (broker, only, skip)
}

/// What was expected; `Err` if it is not what was got.
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted { Ok(()) } else { Err(format!("{what}: {} instead of {}", short(&got), short(&wanted))) }
}

fn short(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(160) {
        None => text,
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}
