//! Who may use the page, and who has logged in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::broker::{AccessRule, Config, Credential, Verdict, Weighed};
use crate::live::Control;

/// How long a login lasts that is not used.
const LOGIN_IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long credentials that were right with a request are right with the next one.
const BASIC_LASTS: Duration = Duration::from_secs(60);
/// How many logins are kept.
const LOGINS: usize = 1_000;
/// From how many addresses failures are remembered, and for how long.
const FAILURES: usize = 1_000;
const FAILURES_LAST: Duration = Duration::from_secs(10 * 60);
/// How long the first failure is paid for with; each further one doubles it.
const PENALTY: Duration = Duration::from_millis(250);
const PENALTY_MAXIMUM: Duration = Duration::from_secs(8);

/// Who is let in: users of the broker whose password is right; anyone for as long as it has no users, and is to be
/// reached from this machine alone. Clones share what changes.
#[derive(Clone, Debug)]
pub struct Door(watch::Sender<Keys>);

/// What decides who is let in.
#[derive(Debug)]
struct Keys {
    users: BTreeMap<String, Credential>,
    access: Vec<AccessRule>,
    edition: Edition,
}

/// How often that has changed. Whoever was let in before asks again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edition(u64);

impl Door {
    /// The door of a broker that is set up like this.
    pub fn of(config: &Config) -> Door {
        let (users, access) = (config.users.clone(), config.access.clone());
        Door(watch::Sender::new(Keys { users, access, edition: Edition::default() }))
    }

    /// The broker is set up like this by now. If its users or access rules are others, all logins end.
    pub fn change(&self, config: &Config) {
        self.0.send_if_modified(|keys| {
            let changed = keys.users != config.users || keys.access != config.access;
            if changed {
                let (users, access) = (config.users.clone(), config.access.clone());
                *keys = Keys { users, access, edition: Edition(keys.edition.0 + 1) };
            }
            changed
        });
    }

    /// Whether nobody is asked for a password.
    pub fn is_open(&self) -> bool {
        self.0.borrow().users.is_empty()
    }

    pub(super) fn edition(&self) -> Edition {
        self.0.borrow().edition
    }

    /// Waits until this edition is over.
    pub(super) async fn changed_since(&self, edition: Edition) {
        // It fails only without a sender, and that is ours.
        let _ = self.0.subscribe().wait_for(|keys| keys.edition != edition).await;
    }
}

/// Whether the broker has this user with this password.
#[allow(clippy::disallowed_methods)] // A hash is held up to for some milliseconds, in which others want their pages.
pub(super) async fn is_right(control: &Control, user: String, password: Bytes) -> bool {
    match control.ask(move |broker, _| broker.weigh_password(&user, password)).await {
        None => false,
        Some(Weighed::Known(right)) => right,
        Some(Weighed::Check(check, known)) => {
            let verdict = tokio::task::spawn_blocking(move || check.verdict()).await;
            known.unwrap_or(matches!(verdict, Ok(Verdict::Right)))
        }
    }
}

/// Who has logged in, and who failed to.
#[derive(Default)]
pub(super) struct Logins {
    by_secret: BTreeMap<Secret, Login>,
    failures: BTreeMap<IpAddr, (u32, Instant)>,
    /// Makes what is kept of credentials useless to whoever reads our memory later.
    key: Option<[u8; 32]>,
}

/// What is kept of a token or of credentials: not themselves.
type Secret = [u8; 32];

#[derive(Clone)]
struct Login {
    user: String,
    edition: Edition,
    ends: Instant,
    lasts: Duration,
}

impl Login {
    fn holds(&self, edition: Edition) -> bool {
        self.edition == edition && self.ends > Instant::now()
    }
}

impl Logins {
    /// A new token for a user who was let in by this edition of the door.
    ///
    /// # Errors
    /// If the operating system has no randomness.
    pub(super) fn log_in(&mut self, user: &str, edition: Edition) -> Result<String, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let token = random.iter().fold(String::new(), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        });
        let secret = self.secret("token", token.as_bytes())?;
        self.keep(secret, user, edition, LOGIN_IDLE);
        Ok(token)
    }

    /// Whose token it is, as long as nothing has changed.
    pub(super) fn user_of(&mut self, token: &str, edition: Edition) -> Option<String> {
        let secret = self.secret("token", token.as_bytes()).ok()?;
        let login = self.by_secret.get_mut(&secret)?;
        if !login.holds(edition) {
            self.by_secret.remove(&secret);
            return None;
        }
        login.ends = Instant::now() + login.lasts;
        Some(login.user.clone())
    }

    /// The token is good for nothing any more.
    pub(super) fn log_out(&mut self, token: &str) {
        if let Ok(secret) = self.secret("token", token.as_bytes()) {
            self.by_secret.remove(&secret);
        }
    }

    /// Whether these credentials were right a moment ago, and whose they are.
    pub(super) fn remembered(&mut self, credentials: &str, edition: Edition) -> Option<String> {
        let secret = self.secret("basic", credentials.as_bytes()).ok()?;
        let login = self.by_secret.get(&secret)?;
        login.holds(edition).then(|| login.user.clone())
    }

    /// These credentials were right for this edition of the door.
    pub(super) fn remember(&mut self, credentials: &str, user: &str, edition: Edition) {
        if let Ok(secret) = self.secret("basic", credentials.as_bytes()) {
            self.keep(secret, user, edition, BASIC_LASTS);
        }
    }

    /// How long somebody from there has to wait for an answer, who has failed before.
    pub(super) fn penalty(&self, from: IpAddr) -> Duration {
        match self.failures.get(&from) {
            Some((failures, last)) if last.elapsed() < FAILURES_LAST => {
                PENALTY.saturating_mul(1 << (failures - 1).min(16)).min(PENALTY_MAXIMUM)
            }
            _ => Duration::ZERO,
        }
    }

    pub(super) fn failed(&mut self, from: IpAddr) {
        self.failures.retain(|_, (_, last)| last.elapsed() < FAILURES_LAST);
        if self.failures.len() >= FAILURES && !self.failures.contains_key(&from) {
            self.failures.pop_first();
        }
        let (failures, last) = self.failures.entry(from).or_insert((0, Instant::now()));
        *failures = failures.saturating_add(1);
        *last = Instant::now();
    }

    pub(super) fn succeeded(&mut self, from: IpAddr) {
        self.failures.remove(&from);
    }

    fn keep(&mut self, secret: Secret, user: &str, edition: Edition, lasts: Duration) {
        self.by_secret.retain(|_, login| login.holds(edition));
        if self.by_secret.len() >= LOGINS {
            let soonest = self.by_secret.iter().min_by_key(|(_, login)| login.ends).map(|(secret, _)| *secret);
            soonest.map(|soonest| self.by_secret.remove(&soonest));
        }
        let ends = Instant::now() + lasts;
        self.by_secret.insert(secret, Login { user: user.to_owned(), edition, ends, lasts });
    }

    fn secret(&mut self, kind: &str, text: &[u8]) -> Result<Secret, getrandom::Error> {
        let key = match self.key {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key)?;
                *self.key.insert(key)
            }
        };
        Ok(Sha256::new().chain_update(key).chain_update(kind).chain_update([0]).chain_update(text).finalize().into())
    }
}
