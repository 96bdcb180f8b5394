//! Bytes to packets. Topics and payloads are slices of the input, not copies.

use bytes::Bytes;

use super::fault::{Fault, Malformed};
use super::packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, PacketIdentifier, PacketType, Publish, Qos,
    RetainHandling, SubAck, Subscribe, Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, Version, Will,
};
use super::property::{Place, Properties};
use super::reason::Reason;
use super::text::Text;
use super::wire::{read_padded, read_variable};

/// Reads one whole packet, fixed header included. A CONNECT names its version itself, whatever `version` says.
///
/// # Errors
/// What is wrong with the bytes: the reason code for it, and the statement broken.
pub fn decode(version: Version, frame: &Bytes) -> Result<Packet, Malformed> {
    let first = *frame.first().ok_or(Fault::CutOff)?;
    let (remaining, len) = read_padded(&frame[1..])?.ok_or(Fault::CutOff)?;
    let at = 1 + len;
    let end = at + remaining as usize;
    if end > frame.len() {
        return Err(Fault::CutOff.into());
    }
    if end < frame.len() {
        return Err(Fault::TrailingBytes.into());
    }
    Body { bytes: frame, at, version }.packet(first)
}

/// What is left of a packet.
struct Body<'a> {
    bytes: &'a Bytes,
    at: usize,
    version: Version,
}

impl Body<'_> {
    fn packet(mut self, first: u8) -> Result<Packet, Malformed> {
        let flags = first & 0x0f;
        let packet_type = PacketType::from_number(first >> 4).ok_or(Fault::TypeReserved)?;
        if packet_type == PacketType::Publish {
            return self.publish(flags);
        }
        let expected = match packet_type {
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
            _ => 0,
        };
        if flags != expected {
            return Err(Fault::FlagsReserved.into());
        }
        let packet = match packet_type {
            PacketType::Connect => Packet::Connect(Box::new(self.connect()?)),
            PacketType::ConnAck => Packet::ConnAck(self.connack()?),
            PacketType::Publish | PacketType::PubAck => Packet::Ack(self.ack(AckKind::PubAck)?),
            PacketType::PubRec => Packet::Ack(self.ack(AckKind::PubRec)?),
            PacketType::PubRel => Packet::Ack(self.ack(AckKind::PubRel)?),
            PacketType::PubComp => Packet::Ack(self.ack(AckKind::PubComp)?),
            PacketType::Subscribe => Packet::Subscribe(self.subscribe()?),
            PacketType::SubAck => Packet::SubAck(self.suback()?),
            PacketType::Unsubscribe => Packet::Unsubscribe(self.unsubscribe()?),
            PacketType::UnsubAck => Packet::UnsubAck(self.unsuback()?),
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(self.disconnect()?),
            PacketType::Auth => Packet::Auth(self.auth()?),
        };
        if self.is_empty() { Ok(packet) } else { Err(Fault::TrailingBytes.into()) }
    }

    #[inline]
    fn publish(mut self, flags: u8) -> Result<Packet, Malformed> {
        let qos = Qos::from_number(flags >> 1 & 0b11).ok_or(Fault::Qos3)?;
        let (dup, retain) = (flags & 0b1000 != 0, flags & 1 != 0);
        if dup && qos == Qos::AtMostOnce {
            return Err(Fault::DupAtQos0.into());
        }
        let topic = self.text()?;
        if has_wildcard(topic.as_bytes()) {
            return Err(Fault::TopicWildcard.into());
        }
        let packet_identifier = if qos == Qos::AtMostOnce { None } else { Some(self.packet_identifier()?) };
        let properties = self.properties(Place::In(PacketType::Publish))?;
        if topic.is_empty() && properties.topic_alias().is_none() {
            return Err(Fault::TopicMissing.into());
        }
        let payload = self.bytes.slice(self.at..);
        Ok(Packet::Publish(Publish { dup, qos, retain, topic, packet_identifier, properties, payload }))
    }

    fn connect(&mut self) -> Result<Connect, Malformed> {
        let name = self.field()?;
        let level = self.byte()?;
        self.version = match (&name[..], level) {
            (b"MQTT", 5) => Version::V5,
            // Level 3 is 3.1, an older spelling of 3.1.1.
            (b"MQTT", 4) | (b"MQIsdp", 3) => Version::V3_1_1,
            (b"MQTT" | b"MQIsdp", _) => return Err(Fault::ProtocolLevel.into()),
            _ => return Err(Fault::ProtocolName.into()),
        };
        let flags = self.byte()?;
        let (has_will, will_qos, will_retain) = (flags & 0x04 != 0, flags >> 3 & 0b11, flags & 0x20 != 0);
        let (has_password, has_username) = (flags & 0x40 != 0, flags & 0x80 != 0);
        if flags & 1 != 0 {
            return Err(Fault::ConnectFlagReserved.into());
        }
        let will_qos = Qos::from_number(will_qos).ok_or(Fault::WillQos3)?;
        if !has_will && (will_qos != Qos::AtMostOnce || will_retain) {
            return Err(Fault::WillFlagsWithoutWill.into());
        }
        if has_password && !has_username && self.version == Version::V3_1_1 {
            return Err(Fault::PasswordWithoutUserName.into());
        }
        Ok(Connect {
            version: self.version,
            clean_start: flags & 0x02 != 0,
            keep_alive: self.two()?,
            properties: self.properties(Place::In(PacketType::Connect))?,
            client_id: self.text()?,
            will: if has_will { Some(self.will(will_qos, will_retain)?) } else { None },
            username: if has_username { Some(self.text()?) } else { None },
            password: if has_password { Some(self.field()?) } else { None },
        })
    }

    fn will(&mut self, qos: Qos, retain: bool) -> Result<Will, Malformed> {
        let properties = self.properties(Place::Will)?;
        let topic = self.text()?;
        if topic.is_empty() {
            return Err(Fault::TopicEmpty.into());
        }
        if has_wildcard(topic.as_bytes()) {
            return Err(Fault::TopicWildcard.into());
        }
        Ok(Will { qos, retain, topic, payload: self.field()?, properties })
    }

    fn connack(&mut self) -> Result<ConnAck, Malformed> {
        let flags = self.byte()?;
        if flags > 1 {
            return Err(Fault::ConnAckFlagsReserved.into());
        }
        let code = self.byte()?;
        let reason = match self.version {
            Version::V3_1_1 => Reason::from_return_code(code).ok_or(Fault::ReasonUnknown)?,
            Version::V5 => known_reason(code, PacketType::ConnAck)?,
        };
        if flags == 1 && reason != Reason::Success {
            return Err(Fault::SessionPresentWithError.into());
        }
        let properties = self.properties(Place::In(PacketType::ConnAck))?;
        Ok(ConnAck { session_present: flags == 1, reason, properties })
    }

    #[inline]
    fn ack(&mut self, kind: AckKind) -> Result<Ack, Malformed> {
        let packet_identifier = self.packet_identifier()?;
        let (reason, properties) = self.tail(kind.packet_type())?;
        Ok(Ack { kind, packet_identifier, reason, properties })
    }

    /// The reason code and properties that an ack, DISCONNECT or AUTH of 5.0 may leave out at its end.
    #[inline]
    fn tail(&mut self, packet: PacketType) -> Result<(Reason, Properties), Malformed> {
        if self.version == Version::V3_1_1 || self.is_empty() {
            return Ok((Reason::Success, Properties::new()));
        }
        let reason = known_reason(self.byte()?, packet)?;
        let properties = if self.is_empty() { Properties::new() } else { self.properties(Place::In(packet))? };
        Ok((reason, properties))
    }

    fn subscribe(&mut self) -> Result<Subscribe, Malformed> {
        let packet_identifier = self.packet_identifier()?;
        let properties = self.properties(Place::In(PacketType::Subscribe))?;
        if self.is_empty() {
            return Err(Fault::NoFilters.into());
        }
        let mut subscriptions = Vec::with_capacity(self.filters_left());
        while !self.is_empty() {
            let filter = self.filter()?;
            let options = self.options()?;
            subscriptions.push(Subscription { filter, options });
        }
        Ok(Subscribe { packet_identifier, properties, subscriptions })
    }

    /// A cautious guess at how many filters follow: enough for most packets, not more than their bytes can hold.
    fn filters_left(&self) -> usize {
        ((self.bytes.len() - self.at) / 4).clamp(1, 16)
    }

    fn filter(&mut self) -> Result<Text, Malformed> {
        let filter = self.text()?;
        if filter.is_empty() { Err(Fault::FilterEmpty.into()) } else { Ok(filter) }
    }

    fn options(&mut self) -> Result<SubscriptionOptions, Malformed> {
        let byte = self.byte()?;
        let qos = Qos::from_number(byte & 0b11).ok_or(Fault::SubscriptionQos3)?;
        if self.version == Version::V3_1_1 {
            if byte > 0b11 {
                return Err(Fault::OptionsReserved.into());
            }
            return Ok(SubscriptionOptions { qos, ..SubscriptionOptions::default() });
        }
        if byte & 0b1100_0000 != 0 {
            return Err(Fault::OptionsReserved.into());
        }
        Ok(SubscriptionOptions {
            qos,
            no_local: byte & 0b100 != 0,
            retain_as_published: byte & 0b1000 != 0,
            retain_handling: RetainHandling::from_number(byte >> 4 & 0b11).ok_or(Fault::RetainHandling3)?,
        })
    }

    fn suback(&mut self) -> Result<SubAck, Malformed> {
        let packet_identifier = self.packet_identifier()?;
        let properties = self.properties(Place::In(PacketType::SubAck))?;
        let version = self.version;
        let reasons = self.rest().iter().map(|&code| {
            let known = known_reason(code, PacketType::SubAck).map_err(|_| Fault::SubAckCodeReserved)?;
            let exists = version == Version::V5 || code <= 2 || code == 0x80;
            if exists { Ok(known) } else { Err(Fault::SubAckCodeReserved.into()) }
        });
        let reasons = reasons.collect::<Result<Vec<_>, Malformed>>()?;
        if reasons.is_empty() {
            return Err(Fault::CutOff.into());
        }
        Ok(SubAck { packet_identifier, properties, reasons })
    }

    fn unsubscribe(&mut self) -> Result<Unsubscribe, Malformed> {
        let packet_identifier = self.packet_identifier()?;
        let properties = self.properties(Place::In(PacketType::Unsubscribe))?;
        if self.is_empty() {
            return Err(Fault::NoFiltersToEnd.into());
        }
        let mut filters = Vec::with_capacity(self.filters_left());
        while !self.is_empty() {
            filters.push(self.filter()?);
        }
        Ok(Unsubscribe { packet_identifier, properties, filters })
    }

    fn unsuback(&mut self) -> Result<UnsubAck, Malformed> {
        let packet_identifier = self.packet_identifier()?;
        let properties = self.properties(Place::In(PacketType::UnsubAck))?;
        if self.version == Version::V3_1_1 {
            return Ok(UnsubAck { packet_identifier, properties, reasons: Vec::new() });
        }
        let reasons = self.rest().iter().map(|&code| known_reason(code, PacketType::UnsubAck));
        let reasons = reasons.collect::<Result<Vec<_>, Malformed>>()?;
        if reasons.is_empty() {
            return Err(Fault::CutOff.into());
        }
        Ok(UnsubAck { packet_identifier, properties, reasons })
    }

    fn disconnect(&mut self) -> Result<Disconnect, Malformed> {
        let (reason, properties) = self.tail(PacketType::Disconnect)?;
        Ok(Disconnect { reason, properties })
    }

    fn auth(&mut self) -> Result<Auth, Malformed> {
        if self.version == Version::V3_1_1 {
            return Err(Fault::NotInThisVersion.into());
        }
        let (reason, properties) = self.tail(PacketType::Auth)?;
        Ok(Auth { reason, properties })
    }

    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// All that is left.
    fn rest(&mut self) -> &[u8] {
        let at = std::mem::replace(&mut self.at, self.bytes.len());
        &self.bytes[at..]
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn two(&mut self) -> Result<u16, Malformed> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Fault::CutOff)?;
        self.at += 2;
        Ok(u16::from_be_bytes(*bytes))
    }

    #[inline]
    fn packet_identifier(&mut self) -> Result<PacketIdentifier, Malformed> {
        PacketIdentifier::new(self.two()?).ok_or(Fault::PacketIdentifierZero.into())
    }

    #[inline]
    fn field(&mut self) -> Result<Bytes, Malformed> {
        let len = usize::from(self.two()?);
        let end = self.at + len;
        if end > self.bytes.len() {
            return Err(Fault::CutOff.into());
        }
        let field = if len == 0 { Bytes::new() } else { self.bytes.slice(self.at..end) };
        self.at = end;
        Ok(field)
    }

    #[inline]
    fn text(&mut self) -> Result<Text, Malformed> {
        Ok(Text::try_from(self.field()?)?)
    }

    /// The properties, which 3.1.1 does not have.
    #[inline]
    fn properties(&mut self, place: Place) -> Result<Properties, Malformed> {
        if self.version == Version::V3_1_1 {
            return Ok(Properties::new());
        }
        let (len, taken) = read_variable(&self.bytes[self.at..])?.ok_or(Fault::CutOff)?;
        let start = self.at + taken;
        let end = start + len as usize;
        if end > self.bytes.len() {
            return Err(Fault::CutOff.into());
        }
        self.at = end;
        if len == 0 { Ok(Properties::new()) } else { Properties::parse(self.bytes.slice(start..end), place) }
    }
}

fn known_reason(code: u8, packet: PacketType) -> Result<Reason, Malformed> {
    match Reason::from_code(code) {
        Some(Reason::Success) => Ok(Reason::Success),
        Some(reason) if reason.allowed_in(packet) => Ok(reason),
        _ => Err(Fault::ReasonUnknown.into()),
    }
}

#[inline]
fn has_wildcard(topic: &[u8]) -> bool {
    topic.iter().fold(false, |found, &byte| found | (byte == b'+') | (byte == b'#'))
}
