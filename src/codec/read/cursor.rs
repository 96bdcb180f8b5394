//! A place in a packet's body.

use bytes::Bytes;

use crate::codec::fault::{Fault, Malformed};
use crate::codec::packet::{PacketIdentifier, PacketType, Version};
use crate::codec::property::Place;
use crate::codec::text::{self, Text, TextRef};
use crate::codec::wire::read_variable;
use crate::codec::{Properties, PropertiesRef, Reason};

use super::reason;

/// A place in a packet's body. Every step is checked against its end.
pub(super) struct Cursor<'a> {
    pub(super) buffer: &'a Bytes,
    /// What is still to be read, up to the packet's end.
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.rest.split_first().ok_or(Fault::CutOff)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn two(&mut self) -> Result<u16, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>().ok_or(Fault::CutOff)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    #[inline]
    pub(super) fn packet_identifier(&mut self) -> Result<PacketIdentifier, Malformed> {
        Ok(PacketIdentifier::new(self.two()?).ok_or(Fault::PacketIdentifierZero)?)
    }

    /// Steps over these bytes, if they are next.
    #[inline]
    pub(super) fn skip<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((next, rest)) if next == bytes => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Fault::CutOff)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The bytes of a field that begins with its length.
    #[inline]
    pub(super) fn field(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.two()?;
        self.take(len.into())
    }

    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<TextRef<'a>, Malformed> {
        let field = self.field()?;
        text::check(field)?;
        Ok(TextRef::checked(field))
    }

    #[inline]
    pub(super) fn shared_text(&mut self) -> Result<Text, Malformed> {
        Ok(self.text()?.owned(&|part| self.buffer.slice_ref(part)))
    }

    /// The properties that stand here in 5.0; none in 3.1.1.
    #[inline]
    pub(super) fn properties(&mut self, version: Version, place: Place) -> Result<PropertiesRef<'a>, Malformed> {
        if version == Version::V3_1_1 {
            return Ok(PropertiesRef::default());
        }
        let (len, length) = read_variable(self.rest)?.ok_or(Fault::CutOff)?;
        self.rest = self.rest.get(length..).unwrap_or_default();
        if len == 0 { Ok(PropertiesRef::default()) } else { PropertiesRef::parse(self.take(len as usize)?, place) }
    }

    #[inline]
    pub(super) fn shared_properties(&mut self, version: Version, place: Place) -> Result<Properties, Malformed> {
        let properties = self.properties(version, place)?;
        Ok(self.share(properties))
    }

    /// The reason code and properties that end a packet of 5.0, each of which may be left out (section 3.4.2).
    #[inline]
    pub(super) fn outcome(&mut self, packet_type: PacketType) -> Result<(Reason, PropertiesRef<'a>), Malformed> {
        if self.is_done() {
            return Ok((Reason::Success, PropertiesRef::default()));
        }
        let reason = reason(self.byte()?, packet_type)?;
        let properties = if self.is_done() && packet_type != PacketType::Auth {
            PropertiesRef::default()
        } else {
            self.properties(Version::V5, Place::In(packet_type))?
        };
        Ok((reason, properties))
    }

    /// The same properties, as a share of the buffer.
    pub(super) fn share(&self, properties: PropertiesRef<'_>) -> Properties {
        properties.owned(&|part| self.buffer.slice_ref(part))
    }
}
