//! A broker at an address, and the profile that says how else it can be reached.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpStream;

use super::{Dialling, Place};
use crate::conform::relay::{self, AnyStream, Segments};
use crate::conform::setup::Setup;

/// How long a foreign broker may take to answer, if nobody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A broker at an address.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where it is with default settings.
    pub url: Url,
    /// Where it has which set-up, and more.
    pub profile: Profile,
    /// How long it may take to answer.
    pub patience: Duration,
    /// How streams are cut.
    pub segments: Segments,
}

/// `mqtt://[user:password@]host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

/// What is known of a target beyond its address; read from YAML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// What it is called in reports.
    pub name: Option<String>,
    /// For each set-up by its name the address where the target has it.
    pub setups: BTreeMap<String, String>,
    /// A command that starts the target anew after it has died.
    pub restart: Option<String>,
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address:?} is no address of a broker: {why}; write mqtt://[user:password@]host:port")]
pub struct AddressError {
    address: String,
    why: &'static str,
}

impl FromStr for Url {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Url, AddressError> {
        let wrong = |why| AddressError { address: address.to_owned(), why };
        let (scheme, rest) = address.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        match scheme {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" | "ws" | "wss" => return Err(wrong("this transport is not supported yet")),
            _ => return Err(wrong("its scheme is not known")),
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, host) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((credentials, host)) => {
                let (user, password) = credentials.split_once(':').ok_or_else(|| wrong("it has no password"))?;
                (Some((user.to_owned(), password.to_owned())), host)
            }
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| wrong("its port is not a number from 1 to 65535"))?)
            }
            _ => (host, 1883),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        Ok(Url { host, port, credentials })
    }
}

impl fmt::Display for Url {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
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
        let url = Url { host: "127.0.0.1".to_owned(), port: 1883, credentials: None };
        Address { url, profile: Profile::default(), patience: PATIENCE, segments: Segments::Alike }
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
    pub(super) fn place(&self, setup: Setup) -> Result<Place, String> {
        let url = match (setup, self.profile.setups.get(setup.name())) {
            (Setup::Internals, _) => return Err("only code in this process can be asked this: no wire shows it".into()),
            (_, Some(address)) => address.parse().map_err(|error: AddressError| error.to_string())?,
            (Setup::Plain, None) => self.url.clone(),
            (_, None) => return Err(format!("no target with the set-up {:?}: see --profile", setup.name())),
        };
        let (credentials, segments) = (url.credentials.clone(), self.segments);
        let dial = move || Box::pin(dial(url.clone(), segments)) as Dialling;
        Ok(Place { setup, dial: Rc::new(dial), credentials, patience: self.patience })
    }
}

async fn dial(url: Url, segments: Segments) -> std::io::Result<AnyStream> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    let stream: AnyStream = Box::new(stream);
    Ok(if segments == Segments::Alike { stream } else { relay::before(stream, None, segments) })
}
