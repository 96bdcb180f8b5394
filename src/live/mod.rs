//! The broker on real sockets.

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
        let host = Host { listener, signals: Signals::new()?, clock: Clock::start(), since_failure: None };
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

/// A number that strangers cannot guess: topics and client identifiers come from them.
fn chance() -> u64 {
    RandomState::new().hash_one("simrun")
}

/// Real sockets, and the clock of the machine.
struct Host {
    listener: TcpListener,
    signals: Signals,
    clock: Clock,
    /// Set while accepting fails, as it does when file descriptors run out.
    since_failure: Option<Time>,
}

impl Net for Host {
    type Stream = TcpStream;

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn next(&mut self) -> External<TcpStream> {
        loop {
            if self.since_failure.take().is_some() {
                tokio::select! {
                    biased;
                    () = self.signals.next() => return External::Shutdown,
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
            }
            tokio::select! {
                biased;
                () = self.signals.next() => return External::Shutdown,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        // Packets are small and someone waits for them; that this cannot be had is no reason to refuse.
                        let _ = stream.set_nodelay(true);
                        return External::Accepted(stream, Peer(address.to_string()));
                    }
                    Err(_) => self.since_failure = Some(self.now()),
                },
            }
        }
    }

    /// A broker dials nobody.
    fn dial(&self) -> impl Future<Output = io::Result<TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    async fn store(&mut self, _changes: Vec<Change>) {}

    fn saw(&mut self, _now: Time, _machine: &Machine, _seen: Seen<'_>) {}
}

/// SIGINT and SIGTERM.
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

/// The time since the process began to serve.
#[allow(clippy::disallowed_types)] // This is where real time comes from.
struct Clock(std::time::Instant);

impl Clock {
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    fn now(&self) -> Time {
        Time::after(self.0.elapsed())
    }
}
