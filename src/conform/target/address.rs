//! A broker at an address, and the profile that says how else it can be reached.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::{Dialling, Place, Upgrade};
use crate::conform::relay::{self, AnyStream, Segments};
use crate::conform::setup::Setup;
use crate::live::dial::{Dialer, Scheme, Url, UrlError};

/// How long a foreign broker may take to answer, if nobody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a command may take that starts a broker anew, if nobody says otherwise.
const RESTART_LIMIT: Duration = Duration::from_secs(60);

/// A broker at an address.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where it is with default settings.
    pub url: Url,
    /// Where it has which set-up, and more.
    pub profile: Profile,
    /// How long it may take to answer.
    pub patience: Duration,
    /// How long the profile's command may take that starts it anew.
    pub restart_limit: Duration,
    /// How streams are cut.
    pub segments: Segments,
    /// What connects to it.
    pub dialer: Dialer,
}

/// What is known of a target beyond its address; read from YAML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// What it is called in reports.
    pub name: Option<String>,
    /// For each set-up by its name the address where the target has it.
    pub setups: BTreeMap<String, String>,
    /// A command that starts the target anew after it has died, and ends: the target runs on in the background.
    pub restart: Option<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.profile.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.url),
        }
    }
}

impl Default for Address {
    /// On this machine, on MQTT's port.
    fn default() -> Address {
        let url = Url::new(Scheme::Mqtt, "127.0.0.1", Scheme::Mqtt.default_port());
        let (profile, segments) = (Profile::default(), Segments::Alike);
        let (patience, restart_limit) = (PATIENCE, RESTART_LIMIT);
        Address { url, profile, patience, restart_limit, segments, dialer: Dialer::default() }
    }
}

impl Profile {
    /// Whether all that it names is known.
    ///
    /// # Errors
    /// What is not, with what there is.
    pub fn check(&self) -> Result<(), String> {
        for (name, address) in &self.setups {
            if !Setup::ALL.iter().any(|setup| setup.name() == name) {
                let known: Vec<&str> = Setup::ALL.iter().map(|setup| setup.name()).collect();
                return Err(format!("there is no set-up {name:?}; there are {}", known.join(", ")));
            }
            address.parse::<Url>().map_err(|error| format!("setups: {name}: {error}"))?;
        }
        Ok(())
    }
}

impl Address {
    /// Runs a command of the profile. It gets and says nothing: what it leaves running holds on to none of our streams.
    ///
    /// # Errors
    /// How it failed.
    pub(in crate::conform) async fn run(&self, command: &str) -> Result<(), String> {
        let mut shell = tokio::process::Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match timeout(self.restart_limit, shell.kill_on_drop(true).status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("failed with {status}")),
            Ok(Err(error)) => Err(format!("could not be run: {error}")),
            Err(_) => Err(format!(
                "did not end within {:?}: it has to leave the target running in the background",
                self.restart_limit
            )),
        }
    }

    pub(super) fn place(&self, setup: Setup) -> Result<Place, String> {
        let url = match (setup, self.profile.setups.get(setup.name())) {
            (Setup::Internals, _) => return Err("only code in this process can be asked this: no wire shows it".into()),
            (_, Some(address)) => address.parse().map_err(|error: UrlError| error.to_string())?,
            (Setup::Plain, None) => self.url.clone(),
            (Setup::WebSocket, None) if self.url.scheme.is_websocket() => self.url.clone(),
            (_, None) => return Err(format!("no target with the set-up {:?}: see --profile", setup.name())),
        };
        let user = url.username.clone();
        let credentials = user.map(|user| (user, url.password.clone().unwrap_or_default()));
        let (dialer, under, segments) = (self.dialer.clone(), under(&url), self.segments);
        let raw: Rc<dyn Fn() -> Dialling> =
            Rc::new(move || Box::pin(dial(dialer.clone(), under.clone(), segments)) as Dialling);
        let place = Place { setup, dial: raw.clone(), credentials, patience: self.patience, upgrade: None };
        Ok(if url.scheme.is_websocket() {
            place.upgraded(Upgrade { dial: raw, host: url.authority(), path: url.path })
        } else {
            place
        })
    }
}

/// What a WebSocket at this address is upgraded from.
fn under(url: &Url) -> Url {
    let scheme = match url.scheme {
        Scheme::Mqtt | Scheme::Ws => Scheme::Mqtt,
        Scheme::Mqtts | Scheme::Wss => Scheme::Mqtts,
    };
    Url { scheme, path: String::new(), ..url.clone() }
}

async fn dial(dialer: Dialer, url: Url, segments: Segments) -> std::io::Result<AnyStream> {
    let stream = dialer.dial(&url).await?;
    Ok(if segments == Segments::Alike { stream } else { relay::before(stream, None, segments) })
}
