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
mod control;
mod core;
mod delay;
pub mod disk;

pub mod dial;
pub mod log;
mod outgoing;
mod scenario;
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

use socket2::{Domain, Socket};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::{Config, Peer};
use crate::time::Time;

use self::core::Core;
use self::disk::Disk;
pub use control::Control;
pub use scenario::{Played, Terms, play};

/// What kept the broker from serving.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The address is taken by another program.
    #[error(
        "{address} is in use by another program; stop it, or choose another port with {option} ADDRESS:PORT",
        address = .0.address,
        option = .0.transport.option()
    )]
    InUse(Listen),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {1}", address = .0.address)]
    Listen(Listen, io::Error),
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

/// What carries MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// WebSocket over TCP.
    WebSocket,
    /// No MQTT: the page to look at the broker with.
    Page,
}

impl Transport {
    /// The scheme of its addresses.
    pub const fn scheme(self) -> &'static str {
        match self {
            Transport::Tcp => "mqtt",
            Transport::WebSocket => "ws",
            Transport::Page => "http",
        }
    }

    /// What says on the command line where it listens.
    const fn option(self) -> &'static str {
        match self {
            Transport::Tcp => "--listen",
            Transport::WebSocket => "--ws",
            Transport::Page => "--web",
        }
    }
}

/// Where to listen, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For what.
    pub transport: Transport,
    /// Where. Port 0 is any that is free.
    pub address: SocketAddr,
}

/// Serves until SIGINT or SIGTERM; then every client is told, what is left is sent, and it returns. A second signal ends
/// it at once. `ready` is called with the addresses in use, once clients can connect.
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
    ready: impl FnOnce(&[Listen]),
) -> Result<(), LiveError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let packet_maximum = config.maximum_packet_size;
    let has_users = !config.users.is_empty();
    let (mut plain, mut carried, mut pages, mut local) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for wanted in listens {
        let listener = bind(*wanted)?;
        local.push(Listen { address: listener.local_addr()?, ..*wanted });
        match wanted.transport {
            Transport::Tcp => plain.push(listener),
            Transport::WebSocket => carried.push(listener),
            Transport::Page => pages.push(listener),
        }
    }
    let opened = data.map(Disk::open).transpose()?;
    let begins = opened.as_ref().map_or(Time::ZERO, |opened| opened.now);
    opened.iter().flat_map(|opened| &opened.remarks).for_each(|remark| tracing::warn!("{remark}"));
    let config = Config { seed: chance(), durable: opened.is_some(), ..config };
    let core = Core::new(config, plain, Clock::start(1.0).from(begins), opened)?;
    let control = core.control();
    {
        let _entered = runtime.enter();
        let signals = Signals::new()?;
        for listener in carried {
            let listener = TcpListener::from_std(listener)?;
            runtime.spawn(carry_all(listener, packet_maximum, control.clone()));
        }
        for listener in pages {
            let listener = TcpListener::from_std(listener)?;
            let door = if has_users { web::Door::of_users(control.clone()) } else { web::Door::Open };
            runtime.spawn(web::serve(listener, control.clone(), door));
        }
        runtime.spawn(obey(signals, control));
    }
    ready(&local);
    for Listen { transport, address } in &local {
        tracing::info!(transport = transport.scheme(), address = address.to_string(), "listening");
    }
    core.run().map_err(LiveError::Stopped)?;
    log::finish();
    tracing::info!("ended");
    runtime.shutdown_background();
    Ok(())
}

/// The first signal ends the broker in good order, the second at once.
async fn obey(mut signals: Signals, control: Control) {
    signals.next().await;
    tracing::info!(reason = "a signal", "shutting down: clients are told");
    control.shut_down().await;
    signals.next().await;
    control.stop().await;
}

/// Accepts connections that are to become WebSockets, and carries their bytes.
async fn carry_all(listener: TcpListener, packet_maximum: u32, control: Control) {
    loop {
        let (_, stream, address) = accept(std::slice::from_ref(&listener)).await;
        let control = control.clone();
        tokio::spawn(async move {
            // A client that wanted something else has been told.
            if let Ok(stream) = websocket::accept(stream, packet_maximum).await {
                // It fails if the broker has ended.
                let _ = control.carry(Peer(address.to_string()), stream).await;
            }
        });
    }
}

/// Makes a socket that listens. Connections inherit that small packets leave at once.
fn bind(wanted: Listen) -> Result<std::net::TcpListener, LiveError> {
    const BACKLOG: i32 = 4096;
    let bound = || {
        let socket = Socket::new(Domain::for_address(wanted.address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&wanted.address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        io::Result::Ok(socket.into())
    };
    bound().map_err(|error| refused(wanted, error))
}

fn refused(wanted: Listen, error: io::Error) -> LiveError {
    match error.kind() {
        io::ErrorKind::AddrInUse => LiveError::InUse(wanted),
        _ => LiveError::Listen(wanted, error),
    }
}

async fn listen(wanted: Listen) -> Result<TcpListener, LiveError> {
    TcpListener::bind(wanted.address).await.map_err(|error| refused(wanted, error))
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
