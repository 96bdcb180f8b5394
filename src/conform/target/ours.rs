//! Our broker in this process, on streams in memory, in simulated time.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Place;
use crate::broker::{Broker, Config, Peer};
use crate::conform::relay::{self, AnyStream, Segments, Tampering};
use crate::conform::setup::{PASSWORD, Setup, USER};
use crate::drive::{External, Net, Seen, drive};
use crate::machine::Machine;
use crate::store::{Change, Restored};
use crate::time::Time;

/// Longer than any answer takes in simulated time; shorter than what keep alive and expiry of the cases wait for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much a stream in memory holds before the writer waits.
const STREAM_SIZE: usize = 1 << 20;

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
        if setup == Setup::WebSocket {
            return Err("the simulated broker has no WebSocket listener".to_owned());
        }
        let mut config = Config { seed: self.seed, ..setup.config() };
        if let Some(adjust) = &self.adjust {
            adjust(&mut config);
        }
        let (dials, accepted) = mpsc::unbounded_channel();
        let broker = Broker::new(config, Restored::default(), Time::ZERO);
        tokio::spawn(drive(Machine::Broker(Box::new(broker)), Host { accepted, start: now() }));
        let ours = self.clone();
        let dial = move || {
            let (near, far) = tokio::io::duplex(STREAM_SIZE);
            let stood = dials.send(Box::new(far) as AnyStream).is_ok();
            let near = ours.before(Box::new(near));
            let result = if stood { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) };
            Box::pin(std::future::ready(result)) as super::Dialling
        };
        let credentials = setup.asks_for_a_password().then(|| (USER.to_owned(), PASSWORD.to_owned()));
        Ok(Place { setup, dial: Rc::new(dial), credentials, patience: PATIENCE })
    }

    fn before(&self, far: AnyStream) -> AnyStream {
        if self.tamper.is_none() && self.segments == Segments::Alike {
            return far;
        }
        relay::before(far, self.tamper.as_ref().map(|make| make()), self.segments)
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
