//! One packet ready to be sent.

use bytes::{Bytes, BytesMut};

use super::packet::{Packet, Version};
use super::write::{Unencodable, encode, publish_head};

/// An encoded packet: a small head and a shared payload, so that a message to a thousand subscribers is encoded once
/// and its payload never copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The packet up to a large payload, or all of it.
    pub head: Bytes,
    /// The payload if it is large, else nothing.
    pub payload: Bytes,
}

/// Below this many bytes a payload is copied behind its head: one buffer is cheaper to send than two.
const WORTH_SHARING: usize = 512;

impl Frame {
    /// Encodes a packet.
    ///
    /// # Errors
    /// If the standard forbids it as it is.
    pub fn new(packet: &Packet, version: Version) -> Result<Frame, Unencodable> {
        match packet {
            Packet::Publish(publish) if publish.payload.len() >= WORTH_SHARING => {
                let mut head = Vec::new();
                publish_head(publish, version, publish.payload.len(), &mut head)?;
                Ok(Frame { head: head.into(), payload: publish.payload.clone() })
            }
            packet => {
                let mut head = Vec::new();
                encode(packet, version, &mut head)?;
                Ok(Frame { head: head.into(), payload: Bytes::new() })
            }
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether it has none, which no packet has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes in one piece.
    pub fn to_bytes(&self) -> Bytes {
        if self.payload.is_empty() {
            return self.head.clone();
        }
        let mut whole = BytesMut::with_capacity(self.len());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(&self.payload);
        whole.freeze()
    }
}
