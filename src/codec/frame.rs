//! A packet ready to be sent.

use bytes::{Bytes, BytesMut};

use super::packet::Packet;
use super::write::{PublishParts, Unencodable, encode, put_publish};
use super::{Version, fault::Malformed};

/// Payloads from here on are shared, not copied behind the head.
const WORTH_SHARING: usize = 512;

/// One encoded packet: a small head, and the payload of a PUBLISH where it is worth sharing between the frames of many
/// subscribers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What comes first.
    pub head: Bytes,
    /// What follows it; often empty.
    pub payload: Bytes,
}

impl Frame {
    /// Encodes a packet.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn new(packet: &Packet, version: Version) -> Result<Frame, Unencodable> {
        if let Packet::Publish(publish) = packet {
            return Frame::of_publish(publish.into(), version);
        }
        // Full buffers become `Bytes` at no cost, and acks are short.
        let mut head = if matches!(packet, Packet::Ack(_)) { Vec::with_capacity(4) } else { Vec::new() };
        encode(packet, version, &mut head)?;
        Ok(Frame::from(Bytes::from(head)))
    }

    /// Encodes a PUBLISH.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn of_publish(publish: PublishParts<'_>, version: Version) -> Result<Frame, Unencodable> {
        let mut head = Vec::new();
        put_publish(publish, version, &mut head)?;
        if publish.payload.len() >= WORTH_SHARING {
            return Ok(Frame { head: head.into(), payload: publish.payload.clone() });
        }
        head.extend_from_slice(publish.payload);
        Ok(Frame::from(Bytes::from(head)))
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether it has no bytes, which no packet has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole packet in one piece.
    pub fn to_bytes(&self) -> Bytes {
        if self.payload.is_empty() {
            return self.head.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(&self.payload);
        whole.freeze()
    }

    /// The packet that it is.
    ///
    /// # Errors
    /// What is wrong with it: it may have been made of any bytes.
    pub fn decode(&self, version: Version) -> Result<Packet, Malformed> {
        super::decode(version, &self.to_bytes())
    }
}

impl From<Bytes> for Frame {
    /// Any bytes, to be sent as they are.
    fn from(head: Bytes) -> Frame {
        Frame { head, payload: Bytes::new() }
    }
}
