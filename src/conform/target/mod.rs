//! What is checked.

mod address;
mod ours;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

pub use address::{Address, PATIENCE, Profile};
pub use ours::Ours;

use super::relay::AnyStream;
use super::setup::Setup;
use super::websocket;

/// A broker to check.
#[derive(Clone, Debug)]
pub enum Target {
    /// Ours, in this process and in simulated time: a new one for each case.
    Ours(Ours),
    /// One that listens at an address.
    Address(Address),
}

impl Target {
    /// What it is called in reports.
    pub fn name(&self) -> String {
        match self {
            Target::Ours(_) => format!("simrun {}", env!("CARGO_PKG_VERSION")),
            Target::Address(address) => address.to_string(),
        }
    }

    /// Whether time is simulated.
    pub const fn is_simulated(&self) -> bool {
        matches!(self, Target::Ours(_))
    }

    /// Where a case that needs this set-up finds it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn place(&self, setup: Setup) -> Result<Place, String> {
        match self {
            Target::Ours(ours) => ours.place(setup),
            Target::Address(address) => address.place(setup),
        }
    }
}

/// A connection that is being made.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<AnyStream>>>>;

/// A broker with a certain set-up.
#[derive(Clone)]
pub struct Place {
    setup: Setup,
    dial: Rc<dyn Fn() -> Dialling>,
    credentials: Option<(String, String)>,
    patience: Duration,
    /// Where a connection can be upgraded to WebSocket, frame by frame.
    upgrade: Option<Upgrade>,
}

/// Where a connection can be upgraded.
#[derive(Clone)]
struct Upgrade {
    /// A new connection to there, on which nothing has been sent.
    dial: Rc<dyn Fn() -> Dialling>,
    /// What the server is called in the request, with its port.
    host: String,
    /// The path to ask for.
    path: String,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("setup", &self.setup).finish_non_exhaustive()
    }
}

impl Place {
    /// The set-up that it has.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// A new connection to it.
    pub fn dial(&self) -> Dialling {
        (self.dial)()
    }

    /// The same, reached through what its connections are upgraded to.
    fn upgraded(self, upgrade: Upgrade) -> Place {
        let Upgrade { dial, host, path } = upgrade.clone();
        let dial = move || {
            let (stream, host, path) = (dial(), host.clone(), path.clone());
            Box::pin(async move { websocket::open(stream.await?, &host, &path).await }) as Dialling
        };
        Place { dial: Rc::new(dial), upgrade: Some(upgrade), ..self }
    }

    /// A new connection to it that is to be upgraded, with what the server is called and the path to ask for.
    pub fn upgrade(&self) -> Option<(Dialling, &str, &str)> {
        self.upgrade.as_ref().map(|upgrade| ((upgrade.dial)(), upgrade.host.as_str(), upgrade.path.as_str()))
    }

    /// The user name and password that let a client in, if it asks for them.
    pub fn credentials(&self) -> Option<&(String, String)> {
        self.credentials.as_ref()
    }

    /// How long to wait for what must come.
    pub fn patience(&self) -> Duration {
        self.patience
    }
}
