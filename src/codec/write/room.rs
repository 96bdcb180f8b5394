//! Where a packet is written.

use super::Unencodable;
use crate::codec::packet::{PacketType, Version};
use crate::codec::properties::Properties;
use crate::codec::read::reserved_flags;
use crate::codec::wire::{MAX_VARIABLE, head_with_variable, variable_len};

/// Room for a packet's body, whose length is known before: it is filled from its beginning. To fill a slice is quicker
/// than to append many pieces, each of which may have to move the buffer.
#[derive(Default)]
pub(super) struct Room<'a>(&'a mut [u8]);

impl<'a> Room<'a> {
    /// Writes the fixed header of a packet other than PUBLISH, and makes room for the `remaining` bytes behind it.
    #[inline(always)]
    pub(super) fn behind_head(
        packet_type: PacketType,
        remaining: usize,
        out: &'a mut Vec<u8>,
    ) -> Result<Room<'a>, Unencodable> {
        let first = packet_type.number() << 4 | reserved_flags(packet_type);
        let (head, len) = head_with_variable(first, remaining_length(remaining)?);
        out.reserve((len + remaining).max(WORD));
        put_low_bytes(head, len, out);
        let start = out.len();
        out.resize(start + remaining, 0);
        Ok(Room(&mut out[start..]))
    }

    #[inline]
    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.take(N).copy_from_slice(&bytes);
    }

    #[inline]
    pub(super) fn put_slice(&mut self, bytes: &[u8]) {
        copy(bytes, self.take(bytes.len()));
    }

    /// Bytes behind their length in two bytes. They are never more than a field can have.
    #[inline]
    pub(super) fn put_field(&mut self, bytes: &[u8]) {
        self.put(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.put_slice(bytes);
    }

    /// Properties behind their length, in 5.0.
    #[inline]
    pub(super) fn put_properties(&mut self, properties: &Properties, version: Version) {
        match version {
            Version::V3_1_1 => {}
            Version::V5 if properties.is_empty() => self.put([0]),
            Version::V5 => *self = std::mem::take(self).with_properties(properties),
        }
    }

    /// By value, for `self` stays in registers so.
    #[inline(never)]
    fn with_properties(mut self, properties: &Properties) -> Room<'a> {
        // Their length has been found to fit the packet.
        let number = u32::try_from(properties.len()).unwrap_or(u32::MAX);
        let (length, len) = head_with_variable(0, number);
        self.put_slice(&length.to_le_bytes()[1..len]);
        self.put_slice(properties.borrowed().as_wire());
        self
    }

    #[inline]
    fn take(&mut self, len: usize) -> &'a mut [u8] {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        taken
    }
}

/// Copies bytes to a slice of the same length. Few are copied as their two ends, which overlap: that is quicker than to
/// call for a copy of some length.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    #[inline]
    fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
        let end = to.len();
        if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            to[..N].copy_from_slice(first);
            to[end - N..].copy_from_slice(last);
        }
    }
    match from.len() {
        33.. | ..4 => to.copy_from_slice(from),
        16.. => copy_ends::<16>(from, to),
        8.. => copy_ends::<8>(from, to),
        4.. => copy_ends::<4>(from, to),
    }
}

#[inline]
pub(super) fn remaining_length(bytes: usize) -> Result<u32, Unencodable> {
    u32::try_from(bytes).ok().filter(|&len| len <= MAX_VARIABLE).ok_or(Unencodable::PacketTooLong)
}

/// How many bytes the properties take with the length before them.
#[inline]
pub(super) fn properties_len(properties: &Properties, version: Version) -> usize {
    match version {
        Version::V3_1_1 => 0,
        Version::V5 => variable_len(properties.len()) + properties.len(),
    }
}

/// How many bytes are written at once at the head of a packet. Most packets are no shorter, so that a fresh buffer is
/// filled to its end.
pub(super) const WORD: usize = size_of::<u64>();

#[inline]
pub(super) fn put_low_bytes(word: u64, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(out.len() - WORD + len);
}
