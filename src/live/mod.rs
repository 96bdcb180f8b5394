//! Real sockets.
//!
//! | file | what |
//! |---|---|
//! | `mod` | the broker alone, until a signal |
//! | `scenario` | a scenario in real time: broker, clients, faults |
//! | `websocket` | MQTT over WebSocket |
//! | `delay` | a network's latency, which loopback lacks |

mod delay;
mod scenario;
pub mod websocket;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::broker::{Broker, Config, Peer};
use crate::drive::{External, Net, Seen, Stream, drive};
use crate::machine::Machine;
use crate::store::{Change, Restored};
use crate::time::Time;

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
}

impl Transport {
    /// The scheme of its addresses.
    pub const fn scheme(self) -> &'static str {
        match self {
            Transport::Tcp => "mqtt",
            Transport::WebSocket => "ws",
        }
    }

    /// What says on the command line where it listens.
    const fn option(self) -> &'static str {
        match self {
            Transport::Tcp => "--listen",
            Transport::WebSocket => "--ws",
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
/// # Errors
/// If one of the addresses cannot be listened on.
pub fn serve(config: Config, listens: &[Listen], ready: impl FnOnce(&[Listen])) -> Result<(), LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut host = Host {
            listeners: Vec::new(),
            transports: Vec::new(),
            upgrades: JoinSet::new(),
            packet_maximum: config.maximum_packet_size,
            signals: Signals::new()?,
            clock: Clock::start(1.0),
        };
        let mut local = Vec::new();
        for wanted in listens {
            let listener = listen(*wanted).await?;
            local.push(Listen { address: listener.local_addr()?, ..*wanted });
            host.listeners.push(listener);
            host.transports.push(wanted.transport);
        }
        let broker = Broker::new(Config { seed: chance(), ..config }, Restored::default(), Time::ZERO);
        ready(&local);
        let mut impatience = Signals::new()?;
        tokio::select! {
            _ = drive(Machine::Broker(Box::new(broker)), host) => {}
            () = async { impatience.next().await; impatience.next().await } => {}
        }
        Ok(())
    })
}

async fn listen(wanted: Listen) -> Result<TcpListener, LiveError> {
    TcpListener::bind(wanted.address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => LiveError::InUse(wanted),
        _ => LiveError::Listen(wanted, error),
    })
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
fn chance() -> u64 {
    RandomState::new().hash_one("simrun")
}

/// Real sockets, and the clock of the machine.
struct Host {
    listeners: Vec<TcpListener>,
    /// What each of them is for.
    transports: Vec<Transport>,
    /// Connections that are not WebSockets yet, or are to be none.
    upgrades: JoinSet<io::Result<(BoxedStream, SocketAddr)>>,
    /// The largest packet accepted, in bytes.
    packet_maximum: u32,
    signals: Signals,
    clock: Clock,
}

/// A byte stream of any transport.
type BoxedStream = Box<dyn Stream>;

impl Host {
    /// Lets the connection become a WebSocket, beside what else goes on.
    fn upgrade(&mut self, stream: TcpStream, address: SocketAddr) {
        let upgrading = websocket::accept(stream, self.packet_maximum);
        self.upgrades.spawn(async move { Ok((Box::new(upgrading.await?) as BoxedStream, address)) });
    }
}

impl Net for Host {
    type Stream = BoxedStream;

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn next(&mut self) -> External<BoxedStream> {
        loop {
            tokio::select! {
                biased;
                () = self.signals.next() => return External::Shutdown,
                Some(upgraded) = self.upgrades.join_next() => {
                    // A client that wanted something else has been told.
                    if let Ok(Ok((stream, address))) = upgraded {
                        return External::Accepted(stream, Peer(address.to_string()));
                    }
                }
                (place, stream, address) = accept(&self.listeners) => match self.transports[place] {
                    Transport::Tcp => return External::Accepted(Box::new(stream), Peer(address.to_string())),
                    Transport::WebSocket => self.upgrade(stream, address),
                },
            }
        }
    }

    /// A broker dials nobody.
    fn dial(&self) -> impl Future<Output = io::Result<BoxedStream>> + Send + 'static {
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
