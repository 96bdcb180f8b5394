//! A CONNECT put together by hand, to be broken: what the encoder refuses to write.

use super::wire::{by_hand, field};
use crate::codec::{Connect, Packet, Version, encode};

/// Properties behind their length.
pub fn properties(wire: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    variable(&mut bytes, wire.len());
    bytes.extend_from_slice(wire);
    bytes
}

fn variable(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

/// A CONNECT, part by part as it stands on the wire, so that each can be broken. A part that is missing is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConnect {
    /// The packet type and its flags.
    pub first: u8,
    /// The protocol name, without its length.
    pub name: Vec<u8>,
    /// The protocol level.
    pub level: u8,
    /// The connect flags.
    pub flags: u8,
    /// Keep alive, in seconds.
    pub keep_alive: u16,
    /// The properties without their length; `None` where not even that is there (3.1.1).
    pub properties: Option<Vec<u8>>,
    /// The client identifier with its length, as all that follows.
    pub client_id: Vec<u8>,
    /// The will: its properties (5.0), topic and payload.
    pub will: Vec<u8>,
    /// The user name.
    pub user_name: Vec<u8>,
    /// The password.
    pub password: Vec<u8>,
    /// What does not belong there.
    pub rest: Vec<u8>,
}

impl RawConnect {
    /// The connect flag that is reserved.
    pub const RESERVED: u8 = 1;
    /// The connect flag for a will.
    pub const WILL: u8 = 1 << 2;
    /// The connect flags for QoS 3 of a will.
    pub const WILL_QOS: u8 = 0b11 << 3;
    /// The connect flag for a retained will.
    pub const WILL_RETAIN: u8 = 1 << 5;
    /// The connect flag for a password.
    pub const PASSWORD: u8 = 1 << 6;
    /// The connect flag for a user name.
    pub const USER_NAME: u8 = 1 << 7;

    /// The parts of this CONNECT.
    ///
    /// # Panics
    /// If the standard forbids it.
    #[allow(clippy::expect_used)]
    pub fn of(connect: &Connect) -> RawConnect {
        let mut bytes = Vec::new();
        let packet = Packet::Connect(Box::new(connect.clone()));
        encode(&packet, connect.version, &mut bytes).expect("it is broken only afterwards");
        let mut parts = Parts { bytes: &bytes, version: connect.version };
        let first = parts.take(1)[0];
        parts.take_variable();
        let name = parts.take_field()[2..].to_vec();
        let (level, flags) = (parts.take(1)[0], parts.take(1)[0]);
        parts.take(2);
        let properties = parts.take_properties();
        let field = |parts: &mut Parts<'_>, there: bool| if there { parts.take_field() } else { Vec::new() };
        let client_id = parts.take_field();
        let will = match &connect.will {
            None => Vec::new(),
            Some(_) => {
                let properties = parts.take_properties().map(|wire| self::properties(&wire)).unwrap_or_default();
                [properties, parts.take_field(), parts.take_field()].concat()
            }
        };
        let user_name = field(&mut parts, connect.username.is_some());
        let password = field(&mut parts, connect.password.is_some());
        let keep_alive = connect.keep_alive;
        let rest = Vec::new();
        RawConnect { first, name, level, flags, keep_alive, properties, client_id, will, user_name, password, rest }
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = field(&self.name);
        body.extend([self.level, self.flags]);
        body.extend(self.keep_alive.to_be_bytes());
        if let Some(wire) = &self.properties {
            body.extend(properties(wire));
        }
        for part in [&self.client_id, &self.will, &self.user_name, &self.password, &self.rest] {
            body.extend(part);
        }
        by_hand(self.first, &body)
    }

    /// Adds properties as they stand on the wire (5.0).
    pub fn add_properties(&mut self, wire: &[u8]) {
        self.properties.get_or_insert_default().extend(wire);
    }

    /// Sets the flags of a will, and the will: one with this topic and a payload.
    pub fn set_will(&mut self, flags: u8, topic: &[u8]) {
        self.flags |= RawConnect::WILL | flags;
        let no_properties = if self.properties.is_some() { properties(&[]) } else { Vec::new() };
        self.will = [no_properties, field(topic), field(b"a will")].concat();
    }
}

/// What is left of a well-formed CONNECT.
struct Parts<'a> {
    bytes: &'a [u8],
    version: Version,
}

impl Parts<'_> {
    fn take(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        taken.to_vec()
    }

    fn take_variable(&mut self) -> usize {
        let mut number = 0;
        for place in 0.. {
            let byte = self.take(1)[0];
            number |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// A field, with its length.
    fn take_field(&mut self) -> Vec<u8> {
        let len = usize::from(u16::from_be_bytes([self.bytes[0], self.bytes[1]]));
        self.take(2 + len)
    }

    fn take_properties(&mut self) -> Option<Vec<u8>> {
        if self.version == Version::V3_1_1 {
            return None;
        }
        let len = self.take_variable();
        Some(self.take(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Properties, Property, Text, Value, Will};

    #[test]
    fn an_unbroken_connect_is_as_the_encoder_writes_it() {
        for version in [Version::V3_1_1, Version::V5] {
            let user = || match version {
                Version::V3_1_1 => Properties::new(),
                Version::V5 => {
                    Properties::new().with(Property::UserProperty, Value::Pair(Text::literal("a"), Text::literal("b")))
                }
            };
            let will = Will { topic: Text::literal("w"), payload: "x".into(), properties: user(), ..Will::default() };
            let connect = Connect {
                version,
                clean_start: true,
                keep_alive: 258,
                client_id: Text::literal("c"),
                will: Some(will),
                username: Some(Text::literal("u")),
                password: Some("p".into()),
                properties: user(),
            };
            let mut bytes = Vec::new();
            encode(&Packet::Connect(Box::new(connect.clone())), version, &mut bytes).expect("it can be written");
            assert_eq!(RawConnect::of(&connect).bytes(), bytes);
        }
    }
}
