//! Records as bytes. The form is versioned as a whole ([`FORMAT`]); numbers are big-endian, as in MQTT, and a string or
//! binary field stands behind its length in four bytes. Whatever the bytes are, reading them gives a record or an error.
//!
//! | key | bytes |
//! |---|---|
//! | session | 1, client identifier |
//! | subscription | 2, client identifier, topic filter |
//! | owed | 3, client identifier, place (8) |
//! | unreleased | 4, client identifier, packet identifier (2) |
//! | retained | 5, topic name |

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::{Key, OwedRecord, SessionRecord, SubscriptionRecord, Value};
use crate::codec::{
    PacketIdentifier, PacketType, Place, Properties, PropertiesRef, Qos, RetainHandling, SubscriptionOptions, Text,
    Will,
};
use crate::message::Message;
use crate::time::Time;

/// The version of this form. A change that older programs cannot read, or that reads what they wrote otherwise, takes the
/// next number.
///
/// - 1: without the block of packet identifiers at the end of a session.
/// - 2: with it.
pub const FORMAT: u64 = 2;

const SESSION: u8 = 1;
const SUBSCRIPTION: u8 = 2;
const OWED: u8 = 3;
const UNRELEASED: u8 = 4;
const RETAINED: u8 = 5;

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Undecodable {
    /// They end within a field.
    #[error("the record is cut off")]
    CutOff,
    /// There is more than the record.
    #[error("{0} bytes follow the record")]
    TooLong(usize),
    /// A number that stands for nothing.
    #[error("{0} is no {1}")]
    Unknown(u8, &'static str),
    /// A string that MQTT cannot carry.
    #[error("a string is not well-formed")]
    Text,
    /// Properties that may not stand there.
    #[error("the properties are not valid")]
    Properties,
}

/// Writes a key behind what is in `out`.
pub fn encode_key(key: &Key, out: &mut Vec<u8>) {
    match key {
        Key::Session(client_id) => {
            out.push(SESSION);
            put_text(client_id, out);
        }
        Key::Subscription(client_id, filter) => {
            out.push(SUBSCRIPTION);
            put_text(client_id, out);
            put_text(filter, out);
        }
        Key::Owed(client_id, place) => {
            out.push(OWED);
            put_text(client_id, out);
            out.extend_from_slice(&place.to_be_bytes());
        }
        Key::Unreleased(client_id, packet) => {
            out.push(UNRELEASED);
            put_text(client_id, out);
            out.extend_from_slice(&packet.get().to_be_bytes());
        }
        Key::Retained(topic) => {
            out.push(RETAINED);
            put_text(topic, out);
        }
    }
}

/// Writes a value behind what is in `out`. Of what kind it is, its key tells.
pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Session(record) => put_session(record, out),
        Value::Subscription(record) => put_subscription(record, out),
        Value::Owed(record) => {
            put_option(record.sent.as_ref(), out, |(packet, received), out| {
                out.extend_from_slice(&packet.get().to_be_bytes());
                out.push(u8::from(*received));
            });
            put_message(&record.message, out);
        }
        Value::Present => {}
        Value::Retained(message) => put_message(message, out),
    }
}

/// Reads a record: the bytes of its key and of its value.
///
/// # Errors
/// If they are not what [`encode_key`] and [`encode_value`] write.
pub fn decode(key: &[u8], value: &[u8]) -> Result<(Key, Value), Undecodable> {
    let key = decode_key(key)?;
    let mut cursor = Cursor(value);
    let value = match key {
        Key::Session(_) => Value::Session(Box::new(cursor.session()?)),
        Key::Subscription(..) => Value::Subscription(cursor.subscription()?),
        Key::Owed(..) => {
            let sent = cursor.option(|cursor| Ok((cursor.packet()?, cursor.flag()?)))?;
            Value::Owed(OwedRecord { message: Box::new(cursor.message()?), sent })
        }
        Key::Unreleased(..) => Value::Present,
        Key::Retained(_) => Value::Retained(Box::new(cursor.message()?)),
    };
    cursor.end()?;
    Ok((key, value))
}

fn decode_key(key: &[u8]) -> Result<Key, Undecodable> {
    let mut cursor = Cursor(key);
    let [kind] = cursor.take()?;
    let first = cursor.text()?;
    let key = match kind {
        SESSION => Key::Session(first),
        SUBSCRIPTION => Key::Subscription(first, cursor.text()?),
        OWED => Key::Owed(first, u64::from_be_bytes(cursor.take()?)),
        UNRELEASED => Key::Unreleased(first, cursor.packet()?),
        RETAINED => Key::Retained(first),
        _ => return Err(Undecodable::Unknown(kind, "kind of record")),
    };
    cursor.end()?;
    Ok(key)
}

fn put_session(record: &SessionRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&record.expiry_seconds.to_be_bytes());
    put_option(record.left.as_ref(), out, |left, out| put_time(*left, out));
    put_option(record.username.as_ref(), out, put_text);
    put_option(record.will.as_ref(), out, |(will, delay_seconds), out| {
        out.extend_from_slice(&delay_seconds.to_be_bytes());
        out.push(will.qos.number());
        out.push(u8::from(will.retain));
        put_text(&will.topic, out);
        put_field(will.properties.borrowed().as_wire(), out);
        put_field(&will.payload, out);
    });
    out.push(record.block);
}

fn put_subscription(record: &SubscriptionRecord, out: &mut Vec<u8>) {
    let options = &record.options;
    out.push(options.qos.number());
    out.push(u8::from(options.no_local));
    out.push(u8::from(options.retain_as_published));
    out.push(options.retain_handling as u8);
    out.push(u8::from(record.shared));
    put_option(record.identifier.as_ref(), out, |identifier, out| out.extend_from_slice(&identifier.to_be_bytes()));
}

fn put_message(message: &Message, out: &mut Vec<u8>) {
    out.push(message.qos.number());
    out.push(u8::from(message.retain));
    put_option(message.expires.as_ref(), out, |expires, out| put_time(*expires, out));
    put_text(&message.topic, out);
    put_field(message.properties.borrowed().as_wire(), out);
    put_field(&message.payload, out);
}

fn put_option<T>(option: Option<&T>, out: &mut Vec<u8>, put: impl FnOnce(&T, &mut Vec<u8>)) {
    out.push(u8::from(option.is_some()));
    if let Some(value) = option {
        put(value, out);
    }
}

/// To the nanosecond, for as long as six centuries.
fn put_time(time: Time, out: &mut Vec<u8>) {
    let nanos = u64::try_from(time.since_start().as_nanos()).unwrap_or(u64::MAX);
    out.extend_from_slice(&nanos.to_be_bytes());
}

fn put_text(text: &Text, out: &mut Vec<u8>) {
    put_field(text.as_bytes(), out);
}

/// Nothing that came in a packet is longer than four bytes can say.
fn put_field(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&bytes[..len as usize]);
}

/// What is still to be read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Undecodable::CutOff)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn field(&mut self) -> Result<&'a [u8], Undecodable> {
        let len = u32::from_be_bytes(self.take()?);
        let (taken, rest) = self.0.split_at_checked(len as usize).ok_or(Undecodable::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn end(&self) -> Result<(), Undecodable> {
        if self.0.is_empty() { Ok(()) } else { Err(Undecodable::TooLong(self.0.len())) }
    }

    fn text(&mut self) -> Result<Text, Undecodable> {
        Text::try_from(Bytes::copy_from_slice(self.field()?)).map_err(|_| Undecodable::Text)
    }

    fn properties(&mut self, place: Place) -> Result<Properties, Undecodable> {
        let properties = PropertiesRef::parse(self.field()?, place).map_err(|_| Undecodable::Properties)?;
        Ok(properties.detached())
    }

    fn payload(&mut self) -> Result<Bytes, Undecodable> {
        self.field().map(Bytes::copy_from_slice)
    }

    fn flag(&mut self) -> Result<bool, Undecodable> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Undecodable::Unknown(other, "flag")),
        }
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Undecodable>) -> Result<Option<T>, Undecodable> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    fn qos(&mut self) -> Result<Qos, Undecodable> {
        let [number] = self.take()?;
        Qos::from_number(number).ok_or(Undecodable::Unknown(number, "QoS"))
    }

    fn packet(&mut self) -> Result<PacketIdentifier, Undecodable> {
        PacketIdentifier::new(u16::from_be_bytes(self.take()?)).ok_or(Undecodable::Unknown(0, "packet identifier"))
    }

    fn four(&mut self) -> Result<u32, Undecodable> {
        self.take().map(u32::from_be_bytes)
    }

    fn time(&mut self) -> Result<Time, Undecodable> {
        self.take().map(|nanos| Time::after(Duration::from_nanos(u64::from_be_bytes(nanos))))
    }

    fn session(&mut self) -> Result<SessionRecord, Undecodable> {
        Ok(SessionRecord {
            expiry_seconds: self.four()?,
            left: self.option(Self::time)?,
            username: self.option(Self::text)?,
            will: self.option(|cursor| {
                let delay_seconds = cursor.four()?;
                Ok((cursor.will()?, delay_seconds))
            })?,
            block: if self.0.is_empty() { 0 } else { self.block()? },
        })
    }

    fn block(&mut self) -> Result<u8, Undecodable> {
        match self.take()? {
            [block @ 0..16] => Ok(block),
            [other] => Err(Undecodable::Unknown(other, "block of packet identifiers")),
        }
    }

    fn will(&mut self) -> Result<Will, Undecodable> {
        Ok(Will {
            qos: self.qos()?,
            retain: self.flag()?,
            topic: self.text()?,
            properties: self.properties(Place::Will)?,
            payload: self.payload()?,
        })
    }

    fn subscription(&mut self) -> Result<SubscriptionRecord, Undecodable> {
        Ok(SubscriptionRecord {
            options: SubscriptionOptions {
                qos: self.qos()?,
                no_local: self.flag()?,
                retain_as_published: self.flag()?,
                retain_handling: {
                    let [number] = self.take()?;
                    RetainHandling::from_number(number).ok_or(Undecodable::Unknown(number, "retain handling"))?
                },
            },
            shared: self.flag()?,
            identifier: self.option(Self::four)?,
        })
    }

    fn message(&mut self) -> Result<Message, Undecodable> {
        Ok(Message {
            qos: self.qos()?,
            retain: self.flag()?,
            expires: self.option(Self::time)?,
            topic: self.text()?,
            properties: self.properties(Place::In(PacketType::Publish))?,
            payload: self.payload()?,
        })
    }
}
