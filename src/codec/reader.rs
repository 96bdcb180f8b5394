//! Cuts a byte stream into packets, however it arrives in pieces.

use bytes::{Buf, Bytes, BytesMut};

use super::fault::{Fault, Malformed};
use super::wire::read_padded;

/// Finds the packets in a stream. A packet that lies whole in one piece is not copied; memory is taken as bytes arrive,
/// never for what a length merely claims.
#[derive(Debug)]
pub struct Reader {
    maximum_packet_size: u32,
    /// The beginning of a packet whose end has not come.
    begun: BytesMut,
    /// What has come after it.
    chunk: Bytes,
}

impl Reader {
    /// A reader that accepts packets of at most this many bytes, fixed header included.
    pub fn new(maximum_packet_size: u32) -> Reader {
        Reader { maximum_packet_size, begun: BytesMut::new(), chunk: Bytes::new() }
    }

    /// Takes in the next piece of the stream. What an earlier piece held must have been read out.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.begun.extend_from_slice(&self.chunk);
            self.begun.extend_from_slice(&chunk);
            self.chunk = self.begun.split().freeze();
        }
    }

    /// The next whole packet, or `None` until more is fed.
    ///
    /// # Errors
    /// If what comes cannot be a packet or is too large to accept. There is no way on after that.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Malformed> {
        if !self.begun.is_empty() {
            return self.finish_begun();
        }
        match self.frame_len(&self.chunk)? {
            Some(len) if len <= self.chunk.len() => Ok(Some(self.chunk.split_to(len))),
            _ => {
                self.begun.extend_from_slice(&self.chunk);
                self.chunk = Bytes::new();
                Ok(None)
            }
        }
    }

    /// Adds to the packet begun as many bytes as it still needs.
    fn finish_begun(&mut self) -> Result<Option<Bytes>, Malformed> {
        const LONGEST_HEADER: usize = 5;
        while self.begun.len() < LONGEST_HEADER && self.frame_len(&self.begun)?.is_none() {
            if self.chunk.is_empty() {
                return Ok(None);
            }
            self.take(1);
        }
        let Some(len) = self.frame_len(&self.begun)? else { return Ok(None) };
        self.take(len - self.begun.len());
        if self.begun.len() < len { Ok(None) } else { Ok(Some(self.begun.split().freeze())) }
    }

    fn take(&mut self, most: usize) {
        let len = most.min(self.chunk.len());
        self.begun.extend_from_slice(&self.chunk[..len]);
        self.chunk.advance(len);
    }

    /// How long the packet at the head of `bytes` is in all, once its length has come.
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first >> 4 == 0 {
            return Err(Fault::TypeReserved.into());
        }
        let Some((remaining, len)) = read_padded(rest)? else { return Ok(None) };
        let whole = 1 + len + remaining as usize;
        if whole > self.maximum_packet_size as usize {
            return Err(Fault::TooLarge.into());
        }
        Ok(Some(whole))
    }
}
