//! Who may come in: user names and passwords (section 3.1.3.5, 3.1.3.6), enhanced authentication (5.0 section 4.12).

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Broker;
use super::link::Phase;
use crate::codec::{Auth, ConnectRef, Packet, Properties, Property, Reason, Text, Value, Version};
use crate::link::{Cause, LinkId};
use crate::scram::{self, Verifier};

/// What comes of a CONNECT's credentials.
pub(super) enum Entry {
    /// The client may come in.
    Open,
    /// AUTH packets go to and fro first.
    Exchange,
    /// It may not, for this reason.
    Refused(Reason),
}

/// An exchange of AUTH packets that goes on: the challenge was sent, the proof is awaited.
#[derive(Debug)]
pub(super) struct Exchange(scram::Server);

impl Broker {
    /// Looks at the credentials of a CONNECT.
    pub(super) fn enter(&mut self, id: LinkId, connect: &ConnectRef<'_>) -> Entry {
        match connect.properties.authentication_method() {
            Some(method) if connect.version == Version::V5 => {
                let data = connect.properties.authentication_data().unwrap_or_default();
                self.begin_exchange(id, &method, &data)
            }
            _ if self.password_is_right(connect) => Entry::Open,
            _ => Entry::Refused(Reason::BadUserNameOrPassword),
        }
    }

    /// Answers the client's first message with a challenge.
    fn begin_exchange(&mut self, id: LinkId, method: &Text, data: &[u8]) -> Entry {
        if method != scram::METHOD || !self.config.scram {
            return Entry::Refused(Reason::BadAuthenticationMethod);
        }
        let nonce = scram::nonce(|| self.nonces.draw());
        let Ok((exchange, challenge)) = scram::Server::begin(data, &nonce, |user| self.verifier(user)) else {
            return Entry::Refused(Reason::NotAuthorized);
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.exchange = Some(Box::new(Exchange(exchange)));
        }
        self.send_auth(id, Reason::ContinueAuthentication, challenge);
        Entry::Exchange
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
            return match link.session() {
                None => self.refuse(id, Reason::NotAuthorized),
                Some(_) => self.close(id, Cause::Protocol(Reason::NotAuthorized, "re-authentication failed")),
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
    fn verifier(&mut self, user: &str) -> Verifier {
        let salt: [u8; 32] =
            Sha256::new().chain_update(self.config.seed.to_be_bytes()).chain_update(user).finalize().into();
        let Some(password) = self.config.users.get(user) else {
            return Verifier::of_nobody(&salt[..16], scram::ITERATIONS);
        };
        let made = || Verifier::new(password, &salt[..16], scram::ITERATIONS);
        self.verifiers.entry(user.to_owned()).or_insert_with(made).clone()
    }

    /// Takes as long for an unknown user as for a wrong password, so that nobody learns who exists.
    fn password_is_right(&self, connect: &ConnectRef<'_>) -> bool {
        let Some(username) = connect.username() else { return self.config.anonymous };
        if self.config.users.is_empty() {
            return self.config.anonymous;
        }
        let known = self.config.users.get(username.as_str());
        let expected = known.map_or("", String::as_str);
        let given = connect.password().unwrap_or_default();
        bool::from(expected.as_bytes().ct_eq(given)) && known.is_some()
    }
}

/// The properties that carry SCRAM's messages.
fn authentication(data: Vec<u8>) -> Properties {
    Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(Text::literal(scram::METHOD)))
        .with(Property::AuthenticationData, Value::Binary(Bytes::from(data)))
}
