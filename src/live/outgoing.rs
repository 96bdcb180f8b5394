//! What waits to be sent on a connection.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::{Buf, Bytes};

use crate::codec::Frame;

/// From here on a piece is shared: copying it costs more than minding a further piece.
const WORTH_SHARING: usize = 2048;
/// How many pieces one write takes at most.
const PIECES: usize = 64;
/// A buffer that grew beyond this is not kept for later.
const WORTH_KEEPING: usize = 256 * 1024;

/// Bytes to be written: small packets side by side in one buffer, large payloads as they are.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What goes before the tail.
    pieces: VecDeque<Bytes>,
    /// What was added last.
    tail: Vec<u8>,
    /// How much of the tail has been written.
    written: usize,
    len: usize,
}

impl Outgoing {
    /// Adds a packet; how many bytes wait now.
    pub(super) fn push(&mut self, frame: &Frame) -> usize {
        self.tail.extend_from_slice(&frame.head);
        if frame.payload.len() < WORTH_SHARING {
            self.tail.extend_from_slice(&frame.payload);
        } else {
            self.end_tail();
            self.pieces.push_back(frame.payload.clone());
        }
        self.len += frame.len();
        self.len
    }

    /// Makes the tail a piece of its own.
    fn end_tail(&mut self) {
        let mut tail = Bytes::copy_from_slice(&self.tail);
        tail.advance(self.written);
        self.pieces.push_back(tail);
        self.tail.clear();
        self.written = 0;
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes as much as the stream takes at once; whether that was all.
    pub(super) fn write_to(&mut self, mut stream: impl Write) -> io::Result<bool> {
        while self.len > 0 {
            let written = if self.pieces.is_empty() {
                stream.write(&self.tail[self.written..])
            } else {
                let pieces = self.pieces.iter().map(|piece| IoSlice::new(piece));
                let tail = std::iter::once(IoSlice::new(&self.tail[self.written..]));
                let slices: Vec<IoSlice<'_>> = pieces.chain(tail).take(PIECES).collect();
                stream.write_vectored(&slices)
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                return piece.advance(written);
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        self.written += written;
        if self.written == self.tail.len() {
            self.tail.clear();
            self.written = 0;
        }
    }

    /// Whether it is worth keeping for another connection, once it is empty.
    pub(super) fn is_reusable(&self) -> bool {
        self.len == 0 && self.tail.capacity() <= WORTH_KEEPING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time, then none for once.
    struct Narrow {
        room: usize,
        full: bool,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.full, true) {
                self.full = false;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let length = bytes.len().min(self.room);
            self.taken.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_of_it_leaves_in_order_whatever_the_stream_takes() {
        for room in [1, 3, 1000, 1 << 20] {
            let mut outgoing = Outgoing::default();
            let mut stream = Narrow { room, full: false, taken: Vec::new() };
            let mut all = Vec::new();
            for n in 0..40_u8 {
                let payload = if n % 3 == 0 { vec![n; 5000] } else { vec![n; usize::from(n)] };
                let frame = Frame { head: Bytes::from(vec![n; 7]), payload: payload.into() };
                all.extend_from_slice(&frame.to_bytes());
                outgoing.push(&frame);
                let _ = outgoing.write_to(&mut stream).unwrap();
                assert_eq!(outgoing.len(), all.len() - stream.taken.len());
            }
            while !outgoing.write_to(&mut stream).unwrap() {}
            assert!(stream.taken == all, "with room for {room} bytes");
            assert!(outgoing.len() == 0 && outgoing.is_reusable());
        }
    }
}
