//! Who may come in: user names and passwords (section 3.1.3.5, 3.1.3.6), enhanced authentication (5.0 section 4.12).
//!
//! ```text
//! CONNECT ── too many failures from there? ──▶ held back a while ──▶ looked at
//! looked at ── no password needed, or one that is compared at once ──▶ in, or refused
//!           ── a hash ──▶ Output::Verify … Input::Verified ──▶ in, or refused
//!           ── an authentication method ──▶ AUTH to and fro ──▶ in, or refused
//! ```
//!
//! Whoever does not exist costs the same as a wrong password, and is refused in the same way.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::link::Phase;
use super::{Broker, Output, Timer};
use crate::codec::{Auth, Connect, Packet, Properties, Property, Reason, Text, Value, Version};
use crate::link::{Cause, LinkId};
use crate::password::PasswordHash;
use crate::scram::{self, Verifier};

/// What proves that somebody is a user.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// This password.
    Password(String),
    /// The password of this hash; and what SCRAM needs, without which the user cannot use it.
    Hash(Arc<PasswordHash>, Option<Verifier>),
}

impl From<String> for Credential {
    fn from(password: String) -> Credential {
        Credential::Password(password)
    }
}

impl From<&str> for Credential {
    fn from(password: &str) -> Credential {
        Credential::Password(password.to_owned())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// What is asked of those who come in by one listener, where that differs from what is asked of everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// Whether they may come without a user name.
    pub anonymous: Option<bool>,
    /// The only users who may come in.
    pub users: Option<BTreeSet<String>>,
}

/// How somebody arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// What is asked of them there.
    pub door: Arc<Door>,
    /// The user that a certificate of theirs shows them to be: no password is asked for.
    pub user: Option<Text>,
}

/// A password to be held against a hash: see [`Output::Verify`].
#[derive(Clone)]
pub struct Check {
    hash: Arc<PasswordHash>,
    password: Bytes,
}

impl Check {
    /// Does it. Takes some milliseconds and megabytes.
    pub fn verdict(&self) -> Verdict {
        if self.hash.is_of(&self.password) { Verdict::Right } else { Verdict::Wrong }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// What came of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the hash of the password.
    Right,
    /// It is not.
    Wrong,
    /// There are too many to check.
    Busy,
}

/// What is known of a user name and a password.
#[derive(Debug)]
pub enum Weighed {
    /// Whether they are right.
    Known(bool),
    /// They are to be checked; with an answer here, what comes of that is of no matter.
    Check(Check, Option<bool>),
}

/// What comes of a CONNECT's credentials.
enum Entry {
    /// The client may come in.
    Open,
    /// AUTH packets go to and fro first.
    Exchange,
    /// Its password is held against a hash; with a verdict here, what that says is of no matter.
    Verify(Option<bool>),
    /// It may not come in, for this reason.
    Refused(Reason),
    /// It may not, and has guessed.
    Wrong,
}

/// An exchange of AUTH packets that goes on: the challenge was sent, the proof is awaited.
#[derive(Debug)]
pub(super) struct Exchange(scram::Server);

impl Broker {
    /// Looks at the credentials of a CONNECT, and does what comes of that.
    pub(super) fn enter(&mut self, id: LinkId, mut connect: Box<Connect>) {
        let entry = match connect.properties.authentication_method() {
            Some(method) if connect.version == Version::V5 => {
                let data = connect.properties.authentication_data().unwrap_or_default();
                self.begin_exchange(id, &method, &data)
            }
            _ => self.look_at_password(id, &mut connect),
        };
        let phase = match entry {
            Entry::Open => return self.accept(id, &connect, Properties::default()),
            Entry::Refused(reason) => return self.refuse(id, reason),
            Entry::Wrong => return self.refuse_guess(id),
            Entry::Exchange => Phase::Authenticating(connect),
            Entry::Verify(verdict) => Phase::Verifying(connect, verdict),
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.phase = phase;
            self.timers.set(Timer::Connect(id), self.now + self.config.connect_timeout);
        }
    }

    /// Looks at user name and password.
    fn look_at_password(&mut self, id: LinkId, connect: &mut Connect) -> Entry {
        let Some(link) = self.links.get(&id) else { return Entry::Wrong };
        let arrival = link.arrival.as_deref();
        if let Some(user) = arrival.and_then(|arrival| arrival.user.clone()) {
            connect.username = Some(user);
            return Entry::Open;
        }
        let door = arrival.map(|arrival| &*arrival.door);
        let anonymous = door.and_then(|door| door.anonymous).unwrap_or(self.config.anonymous);
        let Some(username) = connect.username.as_deref().filter(|_| !self.config.users.is_empty()) else {
            return if anonymous { Entry::Open } else { Entry::Refused(Reason::BadUserNameOrPassword) };
        };
        let welcome = door.and_then(|door| door.users.as_ref()).is_none_or(|users| users.contains(username));
        let given = connect.password.clone().unwrap_or_default();
        match self.weigh(username, given, welcome) {
            Weighed::Known(true) => Entry::Open,
            Weighed::Known(false) => Entry::Wrong,
            Weighed::Check(check, known) => {
                self.outbox.push(Output::Verify(id, check));
                Entry::Verify(known)
            }
        }
    }

    /// Whether this is the password of a user of the broker, for others who ask who somebody is.
    pub fn weigh_password(&self, username: &str, password: Bytes) -> Weighed {
        self.weigh(username, password, true)
    }

    fn weigh(&self, username: &str, password: Bytes, welcome: bool) -> Weighed {
        let (expected, known) = match self.config.users.get(username).filter(|_| welcome) {
            Some(Credential::Hash(hash, _)) => return Weighed::Check(Check { hash: hash.clone(), password }, None),
            Some(Credential::Password(expected)) => (expected.as_str(), true),
            None => ("", false),
        };
        let right = bool::from(expected.as_bytes().ct_eq(&password)) && known;
        // Where hashes take their time, everyone takes it.
        match self.decoy(username) {
            Some(hash) => Weighed::Check(Check { hash, password }, Some(right)),
            None => Weighed::Known(right),
        }
    }

    /// A hash to spend time on for a user who has none: always the same one.
    fn decoy(&self, username: &str) -> Option<Arc<PasswordHash>> {
        let hashes = || {
            self.config.users.values().filter_map(|credential| match credential {
                Credential::Hash(hash, _) => Some(hash),
                Credential::Password(_) => None,
            })
        };
        let count = hashes().count();
        if count == 0 {
            return None;
        }
        let [first, second, ..] = self.salt_of(username);
        hashes().nth(usize::from(u16::from_be_bytes([first, second])) % count).cloned()
    }

    /// The host has held a password against a hash.
    pub(super) fn verified(&mut self, id: LinkId, verdict: Verdict) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let (connect, known) = match std::mem::replace(&mut link.phase, Phase::AwaitingConnect) {
            Phase::Verifying(connect, known) => (connect, known),
            phase => {
                link.phase = phase;
                return;
            }
        };
        if self.wants_names() {
            self.introduce(id, connect.client_id.clone(), connect.username.clone());
        }
        match (verdict, known) {
            (Verdict::Busy, _) => self.refuse(id, Reason::ServerBusy),
            (Verdict::Right, None) | (_, Some(true)) => self.accept(id, &connect, Properties::default()),
            _ => self.refuse_guess(id),
        }
        self.resume(id);
    }

    /// Refuses somebody who has brought a wrong name, password or proof.
    fn refuse_guess(&mut self, id: LinkId) {
        self.note_failure(id);
        self.refuse(id, Reason::BadUserNameOrPassword);
    }

    /// Answers the client's first message with a challenge.
    fn begin_exchange(&mut self, id: LinkId, method: &Text, data: &[u8]) -> Entry {
        if method != scram::METHOD || !self.offers_scram() {
            return Entry::Refused(Reason::BadAuthenticationMethod);
        }
        let nonce = scram::nonce(|| self.nonces.draw());
        let door = self.links.get(&id).and_then(|link| link.arrival.as_ref()).map(|arrival| arrival.door.clone());
        let Ok((exchange, challenge)) = scram::Server::begin(data, &nonce, |user| self.verifier(user, door.as_deref()))
        else {
            return Entry::Refused(Reason::NotAuthorized);
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.exchange = Some(Box::new(Exchange(exchange)));
        }
        self.send_auth(id, Reason::ContinueAuthentication, challenge);
        Entry::Exchange
    }

    /// Whether anybody could use SCRAM: not where all users have hashes alone.
    fn offers_scram(&self) -> bool {
        let users = &self.config.users;
        let can = |credential: &Credential| !matches!(credential, Credential::Hash(_, None));
        self.config.scram && (users.is_empty() || users.values().any(can))
    }

    /// AUTH from a client (5.0 section 4.12): the proof that is awaited, or the beginning of a re-authentication.
    pub(super) fn authenticate(&mut self, id: LinkId, auth: Auth) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.method.is_none() || auth.properties.authentication_method().as_ref() != link.method.as_deref() {
            return self.offend(id, "AUTH with another method than CONNECT, or none");
        }
        let data = auth.properties.authentication_data().unwrap_or_default();
        match (link.exchange.take(), auth.reason) {
            (Some(exchange), Reason::ContinueAuthentication) => self.finish_exchange(id, &exchange.0, &data),
            (None, Reason::ReAuthenticate) if link.session().is_some() => {
                let method = link.method.as_deref().cloned().unwrap_or_default();
                if let Entry::Refused(reason) = self.begin_exchange(id, &method, &data) {
                    self.close(id, Cause::Protocol(reason, "re-authentication failed"));
                }
            }
            _ => self.offend(id, "an AUTH that is not due"),
        }
    }

    /// Lets the client in, or stay, if its proof is right.
    fn finish_exchange(&mut self, id: LinkId, exchange: &scram::Server, data: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Ok(proof) = exchange.finish(data) else {
            let connected = link.session().is_some();
            self.note_failure(id);
            return match connected {
                false => self.refuse(id, Reason::NotAuthorized),
                true => self.close(id, Cause::Protocol(Reason::NotAuthorized, "re-authentication failed")),
            };
        };
        match std::mem::replace(&mut link.phase, Phase::AwaitingConnect) {
            Phase::Authenticating(mut connect) => {
                connect.username = Text::try_from(exchange.username()).ok();
                self.accept(id, &connect, authentication(proof));
            }
            phase => {
                link.phase = phase;
                self.send_auth(id, Reason::Success, proof);
            }
        }
    }

    fn send_auth(&mut self, id: LinkId, reason: Reason, data: Vec<u8>) {
        self.send(id, &Packet::Auth(Auth { reason, properties: authentication(data) }));
    }

    /// What is kept of a user instead of the password: made when first asked for. The salt of a user is always the same,
    /// also of one who does not exist.
    fn verifier(&mut self, user: &str, door: Option<&Door>) -> Verifier {
        let salt = self.salt_of(user);
        let welcome = door.and_then(|door| door.users.as_ref()).is_none_or(|users| users.contains(user));
        match self.config.users.get(user).filter(|_| welcome) {
            Some(Credential::Password(password)) => {
                let made = || Verifier::new(password, &salt[..16], scram::ITERATIONS);
                self.verifiers.entry(user.to_owned()).or_insert_with(made).clone()
            }
            Some(Credential::Hash(_, Some(verifier))) => verifier.clone(),
            Some(Credential::Hash(_, None)) | None => Verifier::of_nobody(&salt[..16], scram::ITERATIONS),
        }
    }

    /// Bytes that are always the same for a user, and that nobody else can tell.
    fn salt_of(&self, user: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.config.seed.to_be_bytes()).chain_update(user).finalize().into()
    }
}

/// The properties that carry SCRAM's messages.
fn authentication(data: Vec<u8>) -> Properties {
    Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(Text::literal(scram::METHOD)))
        .with(Property::AuthenticationData, Value::Binary(Bytes::from(data)))
}
