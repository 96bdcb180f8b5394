//! Programs of the user's own on the places of a scenario's clients.
//!
//! A guest is an async function that speaks MQTT over whatever byte stream [`Guest::dial`] gives it. It runs on the host of
//! a client of the scenario, in simulated time: faults that name the client befall its connections and its process, every
//! packet is in the trace, and [`watch`](super::watch) holds it against the rules like our own. What only its application
//! knows it says itself: [`Guest::said`] and [`Guest::heard`] are what the history checker goes by.
//!
//! ```
//! use simrun::scenario::parse;
//! use simrun::sim::{self, Guests, watch};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! // The client `probe` of this scenario is ours; its connection is reset after two seconds.
//! let text = "clients:\n  probe: { version: 3.1.1 }\ntimeline:\n  - { at: 2s, reset: probe }\nends: 5s\n";
//! let scenario = parse("example.yaml", text.as_bytes()).unwrap().scenario;
//!
//! let guests = Guests::new().with("probe", |guest| async move {
//!     for _ in 0..2 {
//!         let mut stream = guest.dial().await.expect("the broker listens");
//!         // CONNECT of 3.1.1: clean session, keep alive 60 s, client identifier "probe".
//!         stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe").await.unwrap();
//!         let mut connack = [0; 4];
//!         stream.read_exact(&mut connack).await.unwrap();
//!         assert_eq!(connack, [0x20, 2, 0, 0]);
//!         // Until the reset.
//!         let _ = stream.read_u8().await;
//!     }
//! });
//! let run = sim::run_with(&scenario, 7, guests);
//! assert_eq!(run.packets, 4);
//!
//! let findings = watch(&scenario, &run.trace);
//! assert!(findings.values().all(|finding| finding.breaches.is_empty()));
//! ```
//!
//! Time is tokio's, paused and moved on by the simulator: `tokio::time::sleep` costs nothing. What waits for the real world
//! (a socket of the operating system, another thread, `std::time::Instant`) has no place in a guest.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use super::gate::Gate;
use super::network::Place;
use super::play::{Play, World, connect, until_alive, until_gone};
use super::stage::{Doing, Shared};
use super::turmoil::Simulated;
use crate::codec::{Publish, Qos, Text};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::time::Time;
use crate::trace::{Name, Way, What};

type Life = Pin<Box<dyn Future<Output = ()> + Send>>;
type Program = Arc<dyn Fn(Guest) -> Life + Send + Sync>;

/// Which clients of a scenario are programs of the user's.
#[derive(Clone, Default)]
pub struct Guests(BTreeMap<String, Program>);

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Guests {
    /// None yet.
    pub fn new() -> Guests {
        Guests::default()
    }

    /// The client called `name` is this program. It begins with the run, and again whenever its process is started after a
    /// `kill` or `power_off`; when it returns, the client has nothing more to do.
    #[must_use]
    pub fn with<F>(mut self, name: &str, program: impl Fn(Guest) -> F + Send + Sync + 'static) -> Guests
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.insert(name.to_owned(), Arc::new(move |guest| Box::pin(program(guest))));
        self
    }

    pub(super) fn program(&self, name: &str) -> Option<Program> {
        self.0.get(name).cloned()
    }
}

/// A program's way to the simulated world. Its clones are the same client.
#[derive(Clone, Debug)]
pub struct Guest {
    play: Arc<Play<Simulated>>,
    place: Place,
    name: Name,
}

impl Guest {
    /// The name of its client in the scenario.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time since the run began.
    pub fn now(&self) -> Time {
        self.play.world.now()
    }

    /// Connects to the scenario's broker.
    ///
    /// # Errors
    /// If nobody listens or the path is cut.
    pub async fn dial(&self) -> io::Result<GuestStream> {
        let link = self.play.stage.lock().attempt(self.place);
        match connect(self.play.clone(), self.place, link).await {
            Ok(gate) => {
                self.play.stage.lock().recorder.opened(self.now(), link);
                Ok(GuestStream { gate, link, guest: self.clone(), ended: false })
            }
            Err(error) => {
                self.play.stage.lock().recorder.unreachable(self.now(), link, error.to_string());
                Err(error)
            }
        }
    }

    /// Notes for the history that the application was handed a message. `qos` is the number of the QoS; what is no QoS or no
    /// topic is taken for 0 and the empty one.
    pub fn heard(&self, topic: &str, payload: &[u8], qos: u8) {
        let (topic, payload, qos) = parts(topic, payload, qos);
        let message = Message { topic, payload, qos, ..Message::default() };
        self.note(What::Told { client: self.name.clone(), message });
    }

    /// Notes for the history that the application has its client publish a message. `qos` is as with [`Guest::heard`].
    pub fn said(&self, topic: &str, payload: &[u8], qos: u8) {
        let (topic, payload, qos) = parts(topic, payload, qos);
        let publish = Publish { topic, payload, qos, ..Publish::default() };
        self.note(What::Said { client: self.name.clone(), publish });
    }

    fn note(&self, what: What) {
        self.play.stage.lock().recorder.note(self.now(), what);
    }
}

fn parts(topic: &str, payload: &[u8], qos: u8) -> (Text, Bytes, Qos) {
    let topic = Text::try_from(topic).unwrap_or_default();
    (topic, Bytes::copy_from_slice(payload), Qos::from_number(qos).unwrap_or_default())
}

/// Runs a guest in a client's place.
pub(super) async fn host(play: Arc<Play<Simulated>>, place: Place, name: Name, program: Program) {
    let stage = play.stage.clone();
    let does = |busy| stage.lock().does(place, Doing { busy, waiting: false });
    while until_alive(&stage, place).await {
        does(true);
        let guest = Guest { play: play.clone(), place, name: name.clone() };
        tokio::select! {
            biased;
            _ = until_gone::<()>(&stage, place) => continue,
            () = program(guest) => {}
        }
        does(false);
        let _ = until_gone::<()>(&stage, place).await;
    }
}

/// A guest's connection to the broker: a byte stream through which faults act. Its packets are in the trace.
#[derive(Debug)]
pub struct GuestStream {
    gate: Gate<TcpStream>,
    link: LinkId,
    guest: Guest,
    ended: bool,
}

impl GuestStream {
    fn stage(&self) -> &Shared {
        &self.guest.play.stage
    }

    fn end(&mut self, cause: Cause) {
        if !std::mem::replace(&mut self.ended, true) {
            let now = self.guest.now();
            let mut stage = self.guest.play.stage.lock();
            stage.done(self.link, Way::Up);
            stage.recorder.closed(now, self.link, Way::Up, cause);
        }
    }

    fn sent(&self, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.stage().lock().recorder.left_in_pieces(self.guest.now(), self.link, Way::Up, bytes);
    }
}

impl Drop for GuestStream {
    fn drop(&mut self) {
        self.end(Cause::Asked);
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        match ready!(Pin::new(&mut self.gate).poll_read(context, buffer)) {
            Ok(()) if buffer.filled().len() == before && room > 0 => self.end(Cause::End),
            Ok(()) => {
                let bytes = Bytes::copy_from_slice(&buffer.filled()[before..]);
                self.stage().lock().recorder.arrived(self.guest.now(), self.link, Way::Down, bytes);
            }
            Err(error) => {
                self.end(Cause::Reset);
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.gate).poll_write(context, bytes));
        match &written {
            Ok(length) => self.sent(&bytes[..*length]),
            Err(_) => self.end(Cause::Reset),
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.gate).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end(Cause::Asked);
        Pin::new(&mut self.gate).poll_shutdown(context)
    }
}
