//! Real sockets.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the broker alone, until a signal |
//! | `core` | the thread that owns it, and its plain TCP connections |
//! | `outgoing` | what waits to be sent on one of them |
//! | `control` | the way to that thread from others |
//! | `disk` | its disk, written by a thread of its own |
//! | `witness` | what happens, as events for those who watch |
//! | `verify` | passwords held against hashes, on threads of their own |
//! | `listen` | where clients come in: transport, address, TLS, what is asked of them |
//! | `tls` | certificates, keys, and those of clients |
//! | `config/` | how it is set up: defaults, profile, file, environment, flags |
//! | `users` | files of users and hashes of their passwords |
//! | `scenario` | a scenario in real time: broker, clients, faults |
//! | `bench` | a load for any broker |
//! | `client` | our client, for programs of ours that talk to a server |
//! | `dial` | the way to a server: URLs, TCP, TLS, WebSocket |
//! | `websocket` | MQTT over WebSocket |
//! | `log` | what is written down of it |
//! | `web` | the page, its JSON and its metrics |
//! | `delay` | a network's latency, which loopback lacks |

pub mod bench;
pub mod client;
pub mod config;
mod control;
mod core;
mod delay;
pub mod disk;

pub mod dial;
mod listen;
pub mod log;
mod outgoing;
mod scenario;
pub mod tls;
pub mod users;
mod verify;
pub mod web;
pub mod websocket;
mod witness;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::Config;
use crate::time::Time;

use self::core::Core;
use self::disk::Disk;
use self::log::Level;
pub use control::Control;
pub use listen::{Listen, Transport};
pub use scenario::{Played, Terms, play};

/// What kept the broker from serving.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The address is taken by another program; what chooses another one.
    #[error("{0} is in use by another program; stop it, or choose another port with {1} ADDRESS:PORT")]
    InUse(SocketAddr, &'static str),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The directory for its data cannot be used.
    #[error("{0}")]
    Disk(#[from] disk::DiskError),
    /// Something that it cannot do without failed while it served.
    #[error("the broker had to stop: {0}")]
    Stopped(io::Error),
    /// The operating system refused something else that is needed.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Serves until SIGINT or SIGTERM; then every client is told, what is left is sent, and it returns. A second signal ends
/// it at once. On SIGHUP `reload` is asked for what holds from now on. `ready` is called with the addresses in use, once
/// clients can connect.
///
/// With a directory for its data it starts from what an earlier broker kept there, and keeps what it promises.
///
/// One thread, the caller's, owns the broker and the plain TCP connections; another one has the tasks that carry all
/// others, and waits for signals.
///
/// # Errors
/// If one of the addresses cannot be listened on, the directory cannot be used, or the disk fails for good.
pub fn serve(
    config: Config,
    listens: &[Listen],
    data: Option<&Path>,
    reload: impl FnMut() -> Option<Config> + Send + 'static,
    ready: impl FnOnce(&[Listen]),
) -> Result<(), LiveError> {
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let packet_maximum = config.maximum_packet_size;
    let door = web::Door::of(&config);
    let (mut plain, mut carried, mut pages, mut local) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for wanted in listens {
        let listener = wanted.bind()?;
        local.push(Listen { address: listener.local_addr()?, ..wanted.clone() });
        match wanted.transport {
            Transport::Page => pages.push(listener),
            _ if wanted.is_plain() => plain.push(listener),
            _ => carried.push((wanted.clone(), listener)),
        }
    }
    let opened = data.map(Disk::open).transpose()?;
    let begins = opened.as_ref().map_or(Time::ZERO, |opened| opened.now);
    opened.iter().flat_map(|opened| &opened.remarks).for_each(|remark| log::say(Level::Warn, remark, &[]));
    let config = Config { seed: chance(), durable: opened.is_some(), ..config };
    let core = Core::new(config, plain, Clock::start(1.0).from(begins), opened)?;
    let control = core.control();
    {
        let _entered = runtime.enter();
        let signals = Signals::new()?;
        let hangup = signal(SignalKind::hangup())?;
        for (listen, listener) in carried {
            let listener = TcpListener::from_std(listener)?;
            runtime.spawn(listen.carry_all(listener, packet_maximum, control.clone()));
        }
        for listener in pages {
            let listener = TcpListener::from_std(listener)?;
            runtime.spawn(web::serve(listener, control.clone(), door.clone()));
        }
        runtime.spawn(obey(signals, hangup, reload, door, control));
    }
    // What is lost is said before anyone can rely on what is there.
    log::catch_up();
    ready(&local);
    for listen in &local {
        let address = listen.address.to_string();
        log::say(Level::Info, "listening", &[("transport", listen.scheme()), ("address", &address)]);
    }
    core.run().map_err(LiveError::Stopped)?;
    log::say(Level::Info, "ended", &[]);
    runtime.shutdown_background();
    Ok(())
}

/// The first signal ends the broker in good order, the second at once; SIGHUP has it read anew who may come in, and
/// limits.
async fn obey(
    mut signals: Signals,
    mut hangup: Signal,
    mut reload: impl FnMut() -> Option<Config> + Send + 'static,
    door: web::Door,
    control: Control,
) {
    loop {
        tokio::select! {
            biased;
            () = signals.next() => break,
            _ = hangup.recv() => {
                if let Some(config) = reload() {
                    // Signals are not to wait for a broker that waits for its disk.
                    let (control, door) = (control.clone(), door.clone());
                    tokio::spawn(async move {
                        let renewed = config.clone();
                        control.ask(move |broker, _| broker.reconfigure(renewed)).await;
                        door.change(&config);
                    });
                }
            }
        }
    }
    log::say(Level::Info, "shutting down: clients are told", &[("reason", "a signal")]);
    tell_service_manager("STOPPING=1");
    control.shut_down();
    signals.next().await;
    control.stop();
}

/// As many connections as the operating system grants, not as many as are usual for programs.
fn raise_descriptors() {
    let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limits.current = limits.maximum;
    // Without it there are fewer connections.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limits);
}

fn refused(wanted: &Listen, error: io::Error) -> LiveError {
    match error.kind() {
        io::ErrorKind::AddrInUse => LiveError::InUse(wanted.address, wanted.option()),
        _ => LiveError::Listen(wanted.address, error),
    }
}

async fn listen(wanted: Listen) -> Result<TcpListener, LiveError> {
    TcpListener::bind(wanted.address).await.map_err(|error| refused(&wanted, error))
}

/// The next connection, and the place of the listener that it came to. Accepting fails when file descriptors run out:
/// then it is tried again after a while.
async fn accept(listeners: &[TcpListener]) -> (usize, TcpStream, SocketAddr) {
    let any = |context: &mut Context<'_>| {
        for (place, listener) in listeners.iter().enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, address)| (place, stream, address)));
            }
        }
        Poll::Pending
    };
    loop {
        match std::future::poll_fn(any).await {
            Ok((place, stream, address)) => {
                // Packets are small and someone waits for them; that this cannot be had is no reason to refuse.
                let _ = stream.set_nodelay(true);
                return (place, stream, address);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Tells whoever started us how far we are, as systemd wants to know it (sd_notify): where NOTIFY_SOCKET says whom to tell.
pub fn tell_service_manager(state: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(whom) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let whom = whom.to_string_lossy();
    let tell = || {
        let address = match whom.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&*whom)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)
    };
    // Nobody may listen any more, and nothing depends on it here.
    let _ = tell();
}

/// A number that strangers cannot guess: topics and client identifiers come from them.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one("simrun")
}

/// Waits for the next SIGINT or SIGTERM.
///
/// # Errors
/// If the operating system lets nobody wait for it.
pub async fn signalled() -> io::Result<()> {
    Signals::new()?.next().await;
    Ok(())
}

/// SIGINT and SIGTERM.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The time since the run began, which may go faster or slower than real time.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::disallowed_types)] // This is where real time comes from.
struct Clock {
    started: std::time::Instant,
    speed: f64,
    /// What it showed then.
    begins: Time,
}

impl Clock {
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    fn start(speed: f64) -> Clock {
        Clock { started: std::time::Instant::now(), speed, begins: Time::ZERO }
    }

    /// The same, for a run that an earlier process began.
    fn from(self, begins: Time) -> Clock {
        Clock { begins, ..self }
    }

    fn now(&self) -> Time {
        let elapsed = self.started.elapsed();
        self.begins + if self.speed == 1.0 { elapsed } else { elapsed.mul_f64(self.speed) }
    }
}
