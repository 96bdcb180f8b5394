//! Who may come in: user names and passwords (section 3.1.3.5, 3.1.3.6), enhanced authentication (5.0 section 4.12).

use subtle::ConstantTimeEq;

use super::Broker;
use crate::codec::{Auth, Connect, Reason, Text, Version};
use crate::link::LinkId;

/// What comes of a CONNECT's credentials.
pub(super) enum Entry {
    /// The client may come in.
    Open,
    /// AUTH packets go to and fro first.
    Exchange,
    /// It may not, for this reason.
    Refused(Reason),
}

/// An exchange of AUTH packets that goes on.
#[derive(Debug)]
pub(super) struct Exchange {}

impl Broker {
    /// Looks at the credentials of a CONNECT.
    pub(super) fn enter(&mut self, id: LinkId, connect: &Connect) -> Entry {
        match connect.properties.authentication_method() {
            Some(method) if connect.version == Version::V5 => {
                let data = connect.properties.authentication_data().unwrap_or_default();
                self.begin_exchange(id, &method, &data)
            }
            _ if self.password_is_right(connect) => Entry::Open,
            _ => Entry::Refused(Reason::BadUserNameOrPassword),
        }
    }

    fn begin_exchange(&mut self, _id: LinkId, _method: &Text, _data: &[u8]) -> Entry {
        Entry::Refused(Reason::BadAuthenticationMethod)
    }

    /// AUTH from a client (5.0 section 3.15).
    pub(super) fn authenticate(&mut self, id: LinkId, _auth: Auth) {
        self.offend(id, "AUTH without an authentication method");
    }

    /// Takes as long for an unknown user as for a wrong password, so that nobody learns who exists.
    fn password_is_right(&self, connect: &Connect) -> bool {
        let Some(username) = &connect.username else { return self.config.anonymous };
        if self.config.users.is_empty() {
            return self.config.anonymous;
        }
        let known = self.config.users.get(username.as_str());
        let expected = known.map_or("", String::as_str);
        let given = connect.password.as_deref().unwrap_or_default();
        bool::from(expected.as_bytes().ct_eq(given)) && known.is_some()
    }
}
