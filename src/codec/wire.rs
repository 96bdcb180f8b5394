//! The data types of section 1.5 that are not plain integers.

use super::fault::{Fault, Malformed};
use super::text::MAX_FIELD_LEN;

/// The largest variable byte integer (5.0 section 1.5.5), and so the largest remaining length.
pub(crate) const MAX_VARIABLE: u32 = 268_435_455;

/// A variable byte integer at the head of `bytes` and how many bytes it takes; `None` if it goes on after them. One that
/// is longer than it needs to be is an error (5.0, 1.5.5-1).
#[inline]
pub(crate) fn read_variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    match read_padded(bytes)? {
        Some((number, len)) if len > variable_len(number as usize) => Err(Fault::VariableNotShortest.into()),
        read => Ok(read),
    }
}

/// The same, tolerant of padding: 3.1.1 does not forbid it in a remaining length, and 5.0 does not order a check.
#[inline]
pub(crate) fn read_padded(bytes: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    let mut number = 0_u32;
    for (place, &byte) in bytes.iter().take(4).enumerate() {
        number |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((number, place + 1)));
        }
    }
    if bytes.len() >= 4 { Err(Fault::RemainingLength.into()) } else { Ok(None) }
}

/// Writes a variable byte integer; false if it is too large.
#[inline]
pub(crate) fn put_variable(out: &mut Vec<u8>, mut number: u32) -> bool {
    if number > MAX_VARIABLE {
        return false;
    }
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
    true
}

/// How many bytes a variable byte integer takes.
#[inline]
pub(crate) const fn variable_len(number: usize) -> usize {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Writes bytes behind their length in two bytes; false if they are too long.
#[inline]
pub(crate) fn put_field(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    match u16::try_from(bytes.len()) {
        Ok(len) if bytes.len() <= MAX_FIELD_LEN => {
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(bytes);
            true
        }
        _ => false,
    }
}
