//! Real sockets.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the broker alone, until a signal |
//! | `scenario` | a scenario in real time: broker, clients, faults |
//! | `delay` | a network's latency, which loopback lacks |

mod delay;
mod scenario;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::{Broker, Config, Peer};
use crate::drive::{External, Net, Seen, drive};
use crate::machine::Machine;
use crate::store::{Change, Restored};
use crate::time::Time;

pub use scenario::{Played, Terms, play};

/// What kept the broker from serving.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The address is taken by another program.
    #[error("{0} is in use by another program; stop it, or choose another port with --listen ADDRESS:PORT")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The operating system refused something else that is needed.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Serves until SIGINT or SIGTERM; then every client is told, what is left is sent, and it returns. A second signal ends
/// it at once. `ready` is called with the address in use, once clients can connect.
///
/// # Errors
/// If the address cannot be listened on.
pub fn serve(config: Config, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<(), LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen(address).await?;
        let local = listener.local_addr()?;
        let broker = Broker::new(Config { seed: chance(), ..config }, Restored::default(), Time::ZERO);
        let host = Host { listener, signals: Signals::new()?, clock: Clock::start(1.0) };
        ready(local);
        let mut impatience = Signals::new()?;
        tokio::select! {
            _ = drive(Machine::Broker(Box::new(broker)), host) => {}
            () = async { impatience.next().await; impatience.next().await } => {}
        }
        Ok(())
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, LiveError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => LiveError::InUse(address),
        _ => LiveError::Listen(address, error),
    })
}

/// The next connection. Accepting fails when file descriptors run out: then it is tried again after a while.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Packets are small and someone waits for them; that this cannot be had is no reason to refuse.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// A number that strangers cannot guess: topics and client identifiers come from them.
fn chance() -> u64 {
    RandomState::new().hash_one("simrun")
}

/// Real sockets, and the clock of the machine.
struct Host {
    listener: TcpListener,
    signals: Signals,
    clock: Clock,
}

impl Net for Host {
    type Stream = TcpStream;

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn next(&mut self) -> External<TcpStream> {
        tokio::select! {
            biased;
            () = self.signals.next() => External::Shutdown,
            (stream, address) = accept(&self.listener) => External::Accepted(stream, Peer(address.to_string())),
        }
    }

    /// A broker dials nobody.
    fn dial(&self) -> impl Future<Output = io::Result<TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    async fn store(&mut self, _changes: Vec<Change>) {}

    fn saw(&mut self, _now: Time, _machine: &Machine, _seen: Seen<'_>) {}
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

/// The time since the process began to serve, which may go faster or slower than real time.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::disallowed_types)] // This is where real time comes from.
struct Clock {
    started: std::time::Instant,
    speed: f64,
}

impl Clock {
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    fn start(speed: f64) -> Clock {
        Clock { started: std::time::Instant::now(), speed }
    }

    fn now(&self) -> Time {
        let elapsed = self.started.elapsed();
        Time::after(if self.speed == 1.0 { elapsed } else { elapsed.mul_f64(self.speed) })
    }
}
