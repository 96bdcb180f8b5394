//! A stream of bytes, cut anywhere, to packets.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Version;
use super::fault::{Fault, Malformed};
use super::packet::Packet;
use super::read::decode_within;
use super::wire::read_variable;

/// Finds the packets in a stream. A packet that lies within one chunk is a slice of it; one that does not is put
/// together in a buffer that grows with what has arrived, not with the length that the packet claims.
#[derive(Clone, Debug)]
pub struct Reader {
    max_packet_size: usize,
    /// The beginning of a packet whose end is still to come; what follows it is in `chunk`.
    begun: Vec<u8>,
    /// What is read next.
    chunk: Bytes,
    /// What was fed before `chunk` was used up.
    later: VecDeque<Bytes>,
}

/// Where a packet lies in a chunk.
struct Extent {
    body: usize,
    end: usize,
}

impl Reader {
    /// A reader that refuses packets of more than `max_packet_size` bytes, fixed header and all.
    pub fn new(max_packet_size: u32) -> Reader {
        Reader {
            max_packet_size: usize::try_from(max_packet_size).unwrap_or(usize::MAX),
            begun: Vec::new(),
            chunk: Bytes::new(),
            later: VecDeque::new(),
        }
    }

    /// Changes the largest packet that is accepted, from the next one on.
    pub fn set_max_packet_size(&mut self, max_packet_size: u32) {
        self.max_packet_size = usize::try_from(max_packet_size).unwrap_or(usize::MAX);
    }

    /// Adds what has arrived. Take the packets out of it before adding more: what is not taken is kept as it is.
    #[inline]
    pub fn feed(&mut self, bytes: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = bytes;
        } else if !bytes.is_empty() {
            self.later.push_back(bytes);
        }
    }

    /// How many bytes wait in it.
    pub fn buffered(&self) -> usize {
        self.begun.len() + self.chunk.len() + self.later.iter().map(Bytes::len).sum::<usize>()
    }

    /// Everything that waits in it, taken out as it came.
    pub fn rest(&mut self) -> Bytes {
        let mut rest = std::mem::take(&mut self.begun);
        rest.extend_from_slice(&std::mem::take(&mut self.chunk));
        self.later.drain(..).for_each(|bytes| rest.extend_from_slice(&bytes));
        rest.into()
    }

    /// The next whole packet, not yet decoded; `None` until more is fed.
    ///
    /// # Errors
    /// The length is malformed or too large. Nothing more can be read from the stream.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Malformed> {
        if self.begun.is_empty()
            && let Some(extent) = extent(&self.chunk, self.max_packet_size)?
            && extent.end <= self.chunk.len()
        {
            let frame = self.chunk.split_to(extent.end);
            self.refill();
            return Ok(Some(frame));
        }
        self.assemble()
    }

    /// The next packet, decoded; `None` until more is fed.
    ///
    /// # Errors
    /// What is wrong with it. If it is the length, nothing more can be read from the stream.
    #[inline]
    pub fn next_packet(&mut self, version: Version) -> Result<Option<Packet>, Malformed> {
        if self.begun.is_empty()
            && let Some(extent) = extent(&self.chunk, self.max_packet_size)?
            && extent.end <= self.chunk.len()
        {
            let packet = decode_within(version, self.chunk[0], &self.chunk, extent.body, extent.end);
            bytes::Buf::advance(&mut self.chunk, extent.end);
            self.refill();
            return packet.map(Some);
        }
        match self.assemble()? {
            Some(frame) => super::decode(version, &frame).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    fn refill(&mut self) {
        if self.chunk.is_empty() {
            self.chunk = self.later.pop_front().unwrap_or_default();
        }
    }

    /// Moves what has arrived of a packet that no chunk holds whole into `begun`.
    fn assemble(&mut self) -> Result<Option<Bytes>, Malformed> {
        while !self.chunk.is_empty() {
            let wanted = match extent(&self.begun, self.max_packet_size)? {
                Some(extent) => extent.end - self.begun.len(),
                // Not even the length is there: byte by byte, so as not to take what belongs to the next packet.
                None => 1,
            };
            let piece = self.chunk.split_to(wanted.min(self.chunk.len()));
            self.begun.extend_from_slice(&piece);
            self.refill();
            if extent(&self.begun, self.max_packet_size)?.is_some_and(|extent| extent.end == self.begun.len()) {
                return Ok(Some(Bytes::from(std::mem::take(&mut self.begun))));
            }
        }
        Ok(None)
    }
}

/// Where the packet at the head of `bytes` lies, once that can be seen.
#[inline]
fn extent(bytes: &[u8], max_packet_size: usize) -> Result<Option<Extent>, Malformed> {
    let Some((_, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((remaining, length)) = read_variable(rest)? else { return Ok(None) };
    let body = 1 + length;
    let end = body + remaining as usize;
    if end > max_packet_size { Err(Fault::TooLarge.into()) } else { Ok(Some(Extent { body, end })) }
}
