//! Enhanced authentication with SCRAM-SHA-256 (5.0 section 4.12), in both directions: the server must show that it
//! knows the password too.

use super::link::Phase;
use super::{Client, Credentials, Event, Refused};
use crate::codec::{Auth, Packet, Properties, Property, Reason, Text, Value};
use crate::link::Cause;
use crate::scram;
use crate::time::Time;

const METHOD: Text = Text::literal(scram::METHOD);

impl Client {
    pub(super) fn new_scram(&mut self, credentials: &Credentials) -> scram::Client {
        let nonce = scram::nonce(|| self.nonces.draw());
        scram::Client::new(&credentials.username, &credentials.password, nonce)
    }

    /// Authenticates again on a connection that stands (5.0 section 4.12.1). [`Event::Authenticated`] tells of success;
    /// after a failure the server disconnects.
    ///
    /// # Errors
    /// If the connection was not made with [`Config::auth`](super::Config::auth), or authentication goes on already.
    pub fn authenticate_again(&mut self, now: Time) -> Result<(), Refused> {
        self.catch_up(now);
        let link = self.connected().ok_or(Refused::NotConnected)?;
        let Some(credentials) = self.config.auth.clone().filter(|_| link.scram.is_none()) else {
            return Err(Refused::Authentication);
        };
        if self.config.version != crate::codec::Version::V5 {
            return Err(Refused::NotInThisVersion("AUTH"));
        }
        let scram = self.new_scram(&credentials);
        self.send(&auth(Reason::ReAuthenticate, scram.first()));
        if let Some(link) = self.link_mut() {
            link.scram = Some(scram);
        }
        Ok(())
    }

    /// AUTH came.
    pub(super) fn authenticate(&mut self, packet: Auth) {
        let Some(link) = self.link_mut() else { return };
        let phase = link.phase;
        let Some(scram) = &mut link.scram else { return self.offend("AUTH without authentication going on") };
        if packet.properties.authentication_method() != Some(METHOD) {
            return self.offend("AUTH with another method"); // MQTT-4.12.0-5
        }
        let data = packet.properties.authentication_data().unwrap_or_default();
        match (packet.reason, phase) {
            (Reason::ContinueAuthentication, _) => match scram.answer(&data) {
                Ok(proof) => {
                    self.send(&auth(Reason::ContinueAuthentication, proof));
                }
                Err(_) => self.distrust(),
            },
            (Reason::Success, Phase::Connected) => {
                if scram.verify(&data).is_err() {
                    return self.distrust();
                }
                link.scram = None;
                self.tell(Event::Authenticated);
            }
            _ => self.offend("AUTH with a reason that is not due"),
        }
    }

    /// Whether the server has shown in its CONNACK that it knows the password, if that was asked; closes if not.
    pub(super) fn proven(&mut self, properties: &Properties) -> bool {
        let Some(link) = self.link_mut() else { return false };
        let method = properties.authentication_method();
        let Some(scram) = link.scram.take() else {
            if method.is_some() {
                self.offend("CONNACK with an authentication method that was not asked for");
                return false;
            }
            return true;
        };
        let data = properties.authentication_data().unwrap_or_default();
        if method != Some(METHOD) || scram.verify(&data).is_err() {
            self.distrust();
            return false;
        }
        true
    }

    /// The server does not know the password, or what it says makes no sense: trying again would help an impostor.
    fn distrust(&mut self) {
        self.close(Cause::Refused(Reason::NotAuthorized), Some(Reason::UnspecifiedError), false);
    }
}

fn auth(reason: Reason, data: Vec<u8>) -> Packet {
    let properties = Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(METHOD))
        .with(Property::AuthenticationData, Value::Binary(data.into()));
    Packet::Auth(Auth { reason, properties })
}
