//! Packets to bytes.

use thiserror::Error;

use super::fault::Malformed;
use super::packet::{Ack, Connect, Packet, PacketIdentifier, PacketType, Publish, Qos, Subscription, Version};
use super::property::{Place, Properties};
use super::reason::Reason;
use super::text::{MAX_FIELD_LEN, Text};
use super::wire::{MAX_VARIABLE, put_field, put_variable, variable_len};

/// Why a packet cannot be sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unencodable {
    /// Its remaining length is above 268,435,455 bytes.
    #[error("the packet is longer than 256 MiB")]
    TooLong,
    /// A binary field is longer than 65,535 bytes.
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// This version has no way to say it.
    #[error("MQTT {0} has no way to say this")]
    NotInThisVersion(Version),
    /// QoS 1 and 2 need a packet identifier, QoS 0 has none.
    #[error("a PUBLISH has a packet identifier exactly at QoS 1 and 2")]
    PacketIdentifier,
    /// DUP says "again", and QoS 0 is sent once.
    #[error("DUP is set at QoS 0")]
    Dup,
    /// A list is empty that must not be.
    #[error("the packet names no topic filter, or no reason code")]
    Empty,
    /// A topic name is empty, or contains a wildcard.
    #[error("the topic name is empty or contains a wildcard")]
    Topic,
    /// The reason code is not one for this packet, or contradicts the rest of it.
    #[error("{0} does not fit this packet")]
    Reason(Reason),
    /// The properties do not fit this packet.
    #[error("{0}")]
    Properties(Malformed),
    /// A password without a user name, in 3.1.1.
    #[error("a password needs a user name in MQTT 3.1.1")]
    PasswordWithoutUserName,
}

/// Appends a packet to `out`. A CONNECT is written in the version it names.
///
/// # Errors
/// If the standard forbids it as it is; `out` is then left as it was.
pub fn encode(packet: &Packet, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let before = out.len();
    let result = write(packet, version, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

#[inline]
fn write(packet: &Packet, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    match packet {
        Packet::Publish(publish) => {
            publish_head(publish, version, publish.payload.len(), out)?;
            out.extend_from_slice(&publish.payload);
            Ok(())
        }
        Packet::Ack(ack) => write_ack(ack, version, out),
        Packet::PingReq => {
            out.extend_from_slice(&[0xC0, 0]);
            Ok(())
        }
        Packet::PingResp => {
            out.extend_from_slice(&[0xD0, 0]);
            Ok(())
        }
        packet => {
            let mut body = Body { out: Vec::with_capacity(64), version };
            body.rest(packet)?;
            let len = u32::try_from(body.out.len()).map_err(|_| Unencodable::TooLong)?;
            let flags = match packet {
                Packet::Subscribe(_) | Packet::Unsubscribe(_) => 0b0010,
                _ => 0,
            };
            out.push(packet.packet_type().number() << 4 | flags);
            if !put_variable(out, len) {
                return Err(Unencodable::TooLong);
            }
            out.extend_from_slice(&body.out);
            Ok(())
        }
    }
}

/// Everything of a PUBLISH but the payload, so that a payload can be sent from where it lies.
#[inline]
pub(super) fn publish_head(
    publish: &Publish,
    version: Version,
    payload_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    check_publish(publish, version)?;
    let id_len = if publish.packet_identifier.is_some() { 2 } else { 0 };
    let properties = properties_of(&publish.properties, version);
    let properties_len = match version {
        Version::V3_1_1 => 0,
        Version::V5 => variable_len(properties.len()) + properties.len(),
    };
    let topic = publish.topic.as_bytes();
    let remaining = 2 + topic.len() + id_len + properties_len + payload_len;
    let remaining = u32::try_from(remaining).ok().filter(|len| *len <= MAX_VARIABLE).ok_or(Unencodable::TooLong)?;
    out.reserve(5 + remaining as usize);
    let flags = u8::from(publish.dup) << 3 | publish.qos.number() << 1 | u8::from(publish.retain);
    out.push(0x30 | flags);
    put_variable(out, remaining);
    put_field(out, topic);
    if let Some(id) = publish.packet_identifier {
        out.extend_from_slice(&id.get().to_be_bytes());
    }
    if version == Version::V5 {
        if !publish.properties.is_empty() {
            fit(&publish.properties, Place::In(PacketType::Publish))?;
        }
        put_variable(out, u32::try_from(properties.len()).map_err(|_| Unencodable::TooLong)?);
        out.extend_from_slice(properties);
    }
    Ok(())
}

#[inline]
fn check_publish(publish: &Publish, version: Version) -> Result<(), Unencodable> {
    if (publish.qos == Qos::AtMostOnce) != publish.packet_identifier.is_none() {
        return Err(Unencodable::PacketIdentifier);
    }
    if publish.dup && publish.qos == Qos::AtMostOnce {
        return Err(Unencodable::Dup);
    }
    let aliased = version == Version::V5 && publish.topic.is_empty() && publish.properties.topic_alias().is_some();
    if aliased { Ok(()) } else { check_topic(&publish.topic) }
}

#[inline]
fn check_topic(topic: &Text) -> Result<(), Unencodable> {
    let bytes = topic.as_bytes();
    let wildcard = bytes.iter().fold(false, |found, &byte| found | (byte == b'+') | (byte == b'#'));
    if wildcard || bytes.is_empty() { Err(Unencodable::Topic) } else { Ok(()) }
}

/// An ack leaves out what it need not say (5.0 section 3.4.2.1).
#[inline]
fn write_ack(ack: &Ack, version: Version, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let packet = ack.kind.packet_type();
    let flags = if packet == PacketType::PubRel { 0b0010 } else { 0 };
    let [high, low] = ack.packet_identifier.get().to_be_bytes();
    if version == Version::V3_1_1 || (ack.reason == Reason::Success && ack.properties.is_empty()) {
        out.extend_from_slice(&[packet.number() << 4 | flags, 2, high, low]);
        return Ok(());
    }
    check_reason(ack.reason, packet)?;
    let mut body = Body { out: vec![high, low], version };
    body.tail(ack.reason, &ack.properties, packet)?;
    out.push(packet.number() << 4 | flags);
    if !put_variable(out, u32::try_from(body.out.len()).map_err(|_| Unencodable::TooLong)?) {
        return Err(Unencodable::TooLong);
    }
    out.extend_from_slice(&body.out);
    Ok(())
}

/// What follows the fixed header.
struct Body {
    out: Vec<u8>,
    version: Version,
}

impl Body {
    fn rest(&mut self, packet: &Packet) -> Result<(), Unencodable> {
        match packet {
            Packet::Connect(connect) => self.connect(connect),
            Packet::ConnAck(connack) => {
                check_reason(connack.reason, PacketType::ConnAck)?;
                if connack.session_present && connack.reason != Reason::Success {
                    return Err(Unencodable::Reason(connack.reason));
                }
                let code = match self.version {
                    Version::V3_1_1 => {
                        connack.reason.return_code().ok_or(Unencodable::NotInThisVersion(self.version))?
                    }
                    Version::V5 => connack.reason.code(),
                };
                self.out.extend_from_slice(&[u8::from(connack.session_present), code]);
                self.properties(&connack.properties, Place::In(PacketType::ConnAck))
            }
            Packet::Subscribe(subscribe) => {
                self.identifier(subscribe.packet_identifier);
                self.properties(&subscribe.properties, Place::In(PacketType::Subscribe))?;
                subscribe.subscriptions.iter().try_for_each(|subscription| self.subscription(subscription))?;
                not_empty(&subscribe.subscriptions)
            }
            Packet::SubAck(suback) => {
                self.identifier(suback.packet_identifier);
                self.properties(&suback.properties, Place::In(PacketType::SubAck))?;
                not_empty(&suback.reasons)?;
                let three = self.version == Version::V3_1_1;
                self.reasons(&suback.reasons, PacketType::SubAck, |code| !three || code <= 2 || code == 0x80)
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.identifier(unsubscribe.packet_identifier);
                self.properties(&unsubscribe.properties, Place::In(PacketType::Unsubscribe))?;
                not_empty(&unsubscribe.filters)?;
                unsubscribe.filters.iter().try_for_each(|filter| self.filter(filter))
            }
            Packet::UnsubAck(unsuback) => {
                self.identifier(unsuback.packet_identifier);
                self.properties(&unsuback.properties, Place::In(PacketType::UnsubAck))?;
                match self.version {
                    Version::V3_1_1 if unsuback.reasons.is_empty() => Ok(()),
                    Version::V3_1_1 => Err(Unencodable::NotInThisVersion(self.version)),
                    Version::V5 => {
                        not_empty(&unsuback.reasons)?;
                        self.reasons(&unsuback.reasons, PacketType::UnsubAck, |_| true)
                    }
                }
            }
            Packet::Disconnect(disconnect) => {
                check_reason(disconnect.reason, PacketType::Disconnect)?;
                let plain = disconnect.reason == Reason::Success && disconnect.properties.is_empty();
                match (plain, self.version) {
                    (true, _) => Ok(()),
                    (false, Version::V3_1_1) => Err(Unencodable::NotInThisVersion(self.version)),
                    (false, Version::V5) => {
                        self.tail(disconnect.reason, &disconnect.properties, PacketType::Disconnect)
                    }
                }
            }
            Packet::Auth(auth) => {
                check_reason(auth.reason, PacketType::Auth)?;
                match self.version {
                    Version::V3_1_1 => Err(Unencodable::NotInThisVersion(self.version)),
                    Version::V5 if auth.reason == Reason::Success && auth.properties.is_empty() => Ok(()),
                    Version::V5 => self.tail(auth.reason, &auth.properties, PacketType::Auth),
                }
            }
            Packet::Publish(_) | Packet::Ack(_) | Packet::PingReq | Packet::PingResp => Ok(()),
        }
    }

    fn connect(&mut self, connect: &Connect) -> Result<(), Unencodable> {
        self.version = connect.version;
        let level = match connect.version {
            Version::V3_1_1 => 4,
            Version::V5 => 5,
        };
        if connect.password.is_some() && connect.username.is_none() && connect.version == Version::V3_1_1 {
            return Err(Unencodable::PasswordWithoutUserName);
        }
        let mut flags = u8::from(connect.clean_start) << 1;
        if let Some(will) = &connect.will {
            flags |= 0x04 | will.qos.number() << 3 | u8::from(will.retain) << 5;
        }
        flags |= u8::from(connect.password.is_some()) << 6 | u8::from(connect.username.is_some()) << 7;
        self.field(b"MQTT")?;
        self.out.extend_from_slice(&[level, flags]);
        self.out.extend_from_slice(&connect.keep_alive.to_be_bytes());
        self.properties(&connect.properties, Place::In(PacketType::Connect))?;
        self.field(connect.client_id.as_bytes())?;
        if let Some(will) = &connect.will {
            check_topic(&will.topic)?;
            self.properties(&will.properties, Place::Will)?;
            self.field(will.topic.as_bytes())?;
            self.field(&will.payload)?;
        }
        if let Some(username) = &connect.username {
            self.field(username.as_bytes())?;
        }
        connect.password.as_ref().map_or(Ok(()), |password| self.field(password))
    }

    fn subscription(&mut self, subscription: &Subscription) -> Result<(), Unencodable> {
        self.filter(&subscription.filter)?;
        let options = &subscription.options;
        let extra = u8::from(options.no_local) << 2
            | u8::from(options.retain_as_published) << 3
            | (options.retain_handling as u8) << 4;
        if extra != 0 && self.version == Version::V3_1_1 {
            return Err(Unencodable::NotInThisVersion(self.version));
        }
        self.out.push(options.qos.number() | extra);
        Ok(())
    }

    fn filter(&mut self, filter: &Text) -> Result<(), Unencodable> {
        if filter.is_empty() { Err(Unencodable::Empty) } else { self.field(filter.as_bytes()) }
    }

    fn reasons(
        &mut self,
        reasons: &[Reason],
        packet: PacketType,
        exists: impl Fn(u8) -> bool,
    ) -> Result<(), Unencodable> {
        for &reason in reasons {
            check_reason(reason, packet)?;
            if !exists(reason.code()) {
                return Err(Unencodable::NotInThisVersion(self.version));
            }
            self.out.push(reason.code());
        }
        Ok(())
    }

    /// A reason code, and properties if there are any (5.0).
    fn tail(&mut self, reason: Reason, properties: &Properties, packet: PacketType) -> Result<(), Unencodable> {
        self.out.push(reason.code());
        if properties.is_empty() { Ok(()) } else { self.properties(properties, Place::In(packet)) }
    }

    fn properties(&mut self, properties: &Properties, place: Place) -> Result<(), Unencodable> {
        if self.version == Version::V5 {
            fit(properties, place)?;
            let len = u32::try_from(properties.len()).map_err(|_| Unencodable::TooLong)?;
            if !put_variable(&mut self.out, len) {
                return Err(Unencodable::TooLong);
            }
            self.out.extend_from_slice(properties.as_wire());
        }
        Ok(())
    }

    fn identifier(&mut self, id: PacketIdentifier) {
        self.out.extend_from_slice(&id.get().to_be_bytes());
    }

    fn field(&mut self, bytes: &[u8]) -> Result<(), Unencodable> {
        debug_assert!(MAX_FIELD_LEN <= usize::from(u16::MAX));
        if put_field(&mut self.out, bytes) { Ok(()) } else { Err(Unencodable::FieldTooLong) }
    }
}

/// What 3.1.1 cannot carry is left out: the message is passed on without it.
fn properties_of(properties: &Properties, version: Version) -> &[u8] {
    match version {
        Version::V3_1_1 => &[],
        Version::V5 => properties.as_wire(),
    }
}

fn fit(properties: &Properties, place: Place) -> Result<(), Unencodable> {
    properties.fit(place).map_err(Unencodable::Properties)
}

fn check_reason(reason: Reason, packet: PacketType) -> Result<(), Unencodable> {
    if reason.allowed_in(packet) { Ok(()) } else { Err(Unencodable::Reason(reason)) }
}

fn not_empty<T>(list: &[T]) -> Result<(), Unencodable> {
    if list.is_empty() { Err(Unencodable::Empty) } else { Ok(()) }
}
