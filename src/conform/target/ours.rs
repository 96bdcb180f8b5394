//! Our broker in this process, on streams in memory, in simulated time.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Dialling, Place, Upgrade};
use crate::broker::{Broker, Config, Peer};
use crate::conform::relay::{self, AnyStream, Segments, Tampering};
use crate::conform::setup::{PASSWORD, Setup, USER};
use crate::drive::{External, Net, Seen, drive};
use crate::live;
use crate::machine::Machine;
use crate::store::{Change, Restored};
use crate::time::Time;

/// Longer than any answer takes in simulated time; shorter than what keep alive and expiry of the cases wait for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much a stream in memory holds before the writer waits.
const STREAM_SIZE: usize = 1 << 20;

/// The largest packet within WebSocket frames, in bytes.
const PACKET_MAXIMUM: u32 = 1 << 20;

/// Changes a broker's settings.
pub type Adjustment = Arc<dyn Fn(&mut Config) + Send + Sync>;

/// Our broker, as it is or with something wrong about it.
#[derive(Clone)]
pub struct Ours {
    /// What its chance is drawn from.
    pub seed: u64,
    /// What is changed in its settings, after the set-up.
    pub adjust: Option<Adjustment>,
    /// What stands before it.
    pub tamper: Option<Tampering>,
    /// How streams are cut.
    pub segments: Segments,
}

impl Default for Ours {
    fn default() -> Ours {
        Ours { seed: 1, adjust: None, tamper: None, segments: Segments::Alike }
    }
}

impl fmt::Debug for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ours").field("seed", &self.seed).field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl Ours {
    /// Starts a broker. It ends with the runtime that it is started in.
    pub(super) fn place(&self, setup: Setup) -> Result<Place, String> {
        let mut config = Config { seed: self.seed, ..setup.config() };
        if let Some(adjust) = &self.adjust {
            adjust(&mut config);
        }
        let (dials, accepted) = mpsc::unbounded_channel();
        let broker = Broker::new(config, Restored::default(), Time::ZERO);
        tokio::spawn(drive(Machine::Broker(Box::new(broker)), Host { accepted, start: now() }));
        let ours = self.clone();
        let raw: Rc<dyn Fn() -> Dialling> = Rc::new(move || {
            let (near, far) = tokio::io::duplex(STREAM_SIZE);
            let far: AnyStream = Box::new(far);
            let stood = match setup {
                Setup::WebSocket => {
                    tokio::spawn(listen(far, dials.clone()));
                    true
                }
                _ => dials.send(far).is_ok(),
            };
            let near = ours.before(setup, Box::new(near));
            let result = if stood { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) };
            Box::pin(std::future::ready(result))
        });
        let credentials = setup.asks_for_a_password().then(|| (USER.to_owned(), PASSWORD.to_owned()));
        let place = Place { setup, dial: raw.clone(), credentials, patience: PATIENCE, upgrade: None };
        Ok(match setup {
            Setup::WebSocket => {
                place.upgraded(Upgrade { dial: raw, host: "simrun".to_owned(), path: "/mqtt".to_owned() })
            }
            _ => place,
        })
    }

    fn before(&self, setup: Setup, far: AnyStream) -> AnyStream {
        let tamper = self.tamper.as_ref().map(|make| make());
        // What tampers with WebSocket has nothing to do elsewhere.
        let tamper = tamper.filter(|tamper| setup == Setup::WebSocket || !tamper.takes_bytes());
        if tamper.is_none() && self.segments == Segments::Alike {
            return far;
        }
        relay::before(far, tamper, self.segments)
    }
}

/// Upgrades a connection as the live broker does, and hands it to the broker. Who is turned away has been told.
async fn listen(stream: AnyStream, accepted: mpsc::UnboundedSender<AnyStream>) {
    if let Ok(stream) = live::websocket::accept(stream, PACKET_MAXIMUM).await {
        let _ = accepted.send(Box::new(stream));
    }
}

#[allow(clippy::disallowed_methods)] // tokio's clock, which is paused.
fn now() -> Instant {
    Instant::now()
}

/// The world around the broker.
struct Host {
    accepted: mpsc::UnboundedReceiver<AnyStream>,
    start: Instant,
}

impl Net for Host {
    type Stream = AnyStream;

    fn now(&self) -> Time {
        Time::after(self.start.elapsed())
    }

    /// A broker dials nobody.
    fn dial(&self) -> impl Future<Output = io::Result<AnyStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    async fn next(&mut self) -> External<AnyStream> {
        match self.accepted.recv().await {
            Some(stream) => External::Accepted(stream, Peer("suite".to_owned())),
            None => std::future::pending().await,
        }
    }

    async fn store(&mut self, _changes: Vec<Change>) {}

    fn saw(&mut self, _now: Time, _machine: &Machine, _seen: Seen<'_>) {}
}
