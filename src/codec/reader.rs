//! A stream of bytes, cut anywhere, to packets.

use std::collections::VecDeque;

use bytes::Bytes;

use super::fault::{Fault, Malformed};
use super::packet::{PacketIdentifier, Version};
use super::packet_ref::{AckRef, PacketRef};
use super::read::{ack_kind, decode_body};
use super::wire::read_variable;
use super::{PropertiesRef, Reason};

/// Finds the packets in a stream. A packet that lies within one chunk is lent from there; one that does not is put
/// together in a buffer that grows with what has arrived, not with the length that the packet claims.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    max_packet_size: usize,
    /// What is read next, from `at` on.
    chunk: Bytes,
    at: usize,
    /// What a stream that brings whole packets has no need of: most of the time there is none of it.
    apart: Option<Box<Apart>>,
}

/// What does not lie in one chunk.
#[derive(Clone, Debug, Default)]
struct Apart {
    /// What was fed before the chunk was used up.
    later: VecDeque<Bytes>,
    /// The beginning of a packet whose end is still to come; what follows it is in the chunk.
    begun: Vec<u8>,
    /// The last packet that had to be put together.
    assembled: Bytes,
}

/// Where a packet lies.
struct Extent {
    start: usize,
    body: usize,
    end: usize,
}

impl Reader {
    /// A reader that refuses packets of more than `max_packet_size` bytes, fixed header and all.
    pub fn new(max_packet_size: u32) -> Reader {
        let mut reader = Reader::default();
        reader.set_max_packet_size(max_packet_size);
        reader
    }

    /// Changes the largest packet that is accepted, from the next one on.
    pub fn set_max_packet_size(&mut self, max_packet_size: u32) {
        self.max_packet_size = usize::try_from(max_packet_size).unwrap_or(usize::MAX);
    }

    /// Adds what has arrived. Take the packets out of it before adding more: what is not taken is kept as it is.
    #[inline]
    pub fn feed(&mut self, bytes: Bytes) {
        if self.unread().is_empty() {
            self.chunk = bytes;
            self.at = 0;
        } else if !bytes.is_empty() {
            self.apart().later.push_back(bytes);
        }
    }

    /// How many bytes wait in it.
    pub fn buffered(&self) -> usize {
        let apart = |apart: &Apart| apart.begun.len() + apart.later.iter().map(Bytes::len).sum::<usize>();
        self.unread().len() + self.apart.as_deref().map_or(0, apart)
    }

    /// Everything that waits in it, taken out as it came.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.unread_bytes();
        self.apart = None;
        (self.chunk, self.at) = (Bytes::new(), 0);
        rest
    }

    /// A copy of everything that waits in it, as it came.
    pub fn unread_bytes(&self) -> Bytes {
        let mut rest = self.apart.as_ref().map(|apart| apart.begun.clone()).unwrap_or_default();
        rest.extend_from_slice(self.unread());
        self.apart.iter().flat_map(|apart| &apart.later).for_each(|bytes| rest.extend_from_slice(bytes));
        rest.into()
    }

    /// The next whole packet, not yet decoded; `None` until more is fed.
    ///
    /// # Errors
    /// The length is malformed or too large. Nothing more can be read from the stream.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.step()? {
            Some(Extent { start, end, .. }) => Ok(Some(self.chunk.slice(start..end))),
            None => Ok(self.assemble()?.map(|_| std::mem::take(&mut self.apart().assembled))),
        }
    }

    /// The next packet, decoded where it lies; `None` until more is fed.
    ///
    /// # Errors
    /// What is wrong with it. If it is the length, nothing more can be read from the stream.
    #[inline]
    pub fn next_packet(&mut self, version: Version) -> Result<Option<PacketRef<'_>>, Malformed> {
        if let Some(ack) = self.short_ack() {
            return Ok(Some(PacketRef::Ack(ack)));
        }
        self.next_of_any_kind(version)
    }

    /// The ack of two bytes that is next, if one is: every second packet of a busy connection, and soon seen.
    #[inline]
    fn short_ack(&mut self) -> Option<AckRef<'static>> {
        let [first, 2, high, low] = *self.unread().first_chunk()? else { return None };
        let kind = ack_kind(first)?;
        let packet_identifier = PacketIdentifier::new(u16::from_be_bytes([high, low]))?;
        if self.has_begun() || self.max_packet_size < 4 {
            return None;
        }
        self.at += 4;
        Some(AckRef { kind, packet_identifier, reason: Reason::Success, properties: PropertiesRef::default() })
    }

    fn next_of_any_kind(&mut self, version: Version) -> Result<Option<PacketRef<'_>>, Malformed> {
        let (buffer, Extent { start, body, end }) = match self.step()? {
            Some(extent) => (&self.chunk, extent),
            None => match self.assemble()? {
                Some(extent) => (&self.apart().assembled, extent),
                None => return Ok(None),
            },
        };
        let first = buffer.get(start).copied().unwrap_or_default();
        let body = buffer.get(body..end).unwrap_or_default();
        decode_body(version, first, buffer, body)
    }

    #[inline]
    fn unread(&self) -> &[u8] {
        self.chunk.get(self.at..).unwrap_or_default()
    }

    /// Steps over the next packet, if it lies in one chunk whole, and tells where that was.
    #[inline]
    fn step(&mut self) -> Result<Option<Extent>, Malformed> {
        loop {
            if !self.has_begun()
                && let Some(extent) = extent(&self.chunk, self.at, self.max_packet_size)?
                && extent.end <= self.chunk.len()
            {
                self.at = extent.end;
                return Ok(Some(extent));
            }
            if !self.unread().is_empty() || !self.next_chunk() {
                return Ok(None);
            }
        }
    }

    /// Lets go of the chunk, which has been read; whether there is another.
    fn next_chunk(&mut self) -> bool {
        let later = self.apart.as_mut().and_then(|apart| apart.later.pop_front());
        (self.chunk, self.at) = (later.unwrap_or_default(), 0);
        !self.chunk.is_empty()
    }

    /// Puts together a packet that no chunk holds whole, in `assembled`, as far as it has arrived.
    #[cold]
    fn assemble(&mut self) -> Result<Option<Extent>, Malformed> {
        while !self.unread().is_empty() || self.next_chunk() {
            let (most, at) = (self.max_packet_size, self.at);
            let apart = self.apart.get_or_insert_default();
            let wanted = match extent(&apart.begun, 0, most)? {
                Some(extent) => extent.end - apart.begun.len(),
                // The rest of the chunk is known to hold less than a packet.
                None if apart.begun.is_empty() => usize::MAX,
                // Not even the length is there: byte by byte, so as not to take what belongs to the next packet.
                None => 1,
            };
            let piece = wanted.min(self.chunk.len() - at);
            apart.begun.reserve_exact(piece);
            apart.begun.extend_from_slice(&self.chunk[at..at + piece]);
            self.at += piece;
            if let Some(extent) = extent(&apart.begun, 0, most)?
                && extent.end == apart.begun.len()
            {
                apart.assembled = std::mem::take(&mut apart.begun).into();
                return Ok(Some(extent));
            }
        }
        if !self.has_begun() {
            self.apart = None;
        }
        Ok(None)
    }

    fn apart(&mut self) -> &mut Apart {
        self.apart.get_or_insert_default()
    }

    /// Whether there is the beginning of a packet.
    #[inline]
    fn has_begun(&self) -> bool {
        self.apart.as_ref().is_some_and(|apart| !apart.begun.is_empty())
    }
}

/// Where the packet lies that begins at `start`, once that can be seen.
#[inline]
fn extent(bytes: &[u8], start: usize, max_packet_size: usize) -> Result<Option<Extent>, Malformed> {
    let (remaining, length) = match bytes.get(start..) {
        // Most packets are short.
        Some([_, remaining @ 0..0x80, ..]) => (u32::from(*remaining), 1),
        Some([_, rest @ ..]) => match read_variable(rest)? {
            Some(found) => found,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let size = 1 + length + remaining as usize;
    if size > max_packet_size {
        return Err(Fault::TooLarge.into());
    }
    Ok(Some(Extent { start, body: start + 1 + length, end: start + size }))
}
