//! The data types of section 1.5 that are not plain integers.

use super::fault::{Fault, Malformed};

/// The largest variable byte integer (5.0 section 1.5.5), and so the largest remaining length.
pub(crate) const MAX_VARIABLE: u32 = 268_435_455;

/// A variable byte integer at the head of `bytes` and how many bytes it takes; `None` if it goes on after them.
#[inline]
pub(crate) fn read_variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    match *bytes {
        [] => Ok(None),
        [number @ 0..0x80, ..] => Ok(Some((number.into(), 1))),
        [_, 0, ..] => Err(Fault::VariableNotShortest.into()),
        [low, high @ 0..0x80, ..] => Ok(Some((u32::from(low & 0x7f) | u32::from(high) << 7, 2))),
        _ => read_long_variable(bytes),
    }
}

fn read_long_variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Malformed> {
    let mut number = 0_u32;
    for (place, &byte) in bytes.iter().take(4).enumerate() {
        number |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            if byte == 0 && place > 0 {
                return Err(Fault::VariableNotShortest.into());
            }
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

/// A variable byte integer behind another byte, as the low bytes of a word, and how many they are: writing a word and
/// taking back some of it is quicker than writing few bytes one by one. The number must not be too large.
#[inline]
pub(crate) fn head_with_variable(first: u8, number: u32) -> (u64, usize) {
    let wide = u64::from(number);
    // Seven bits to each byte, and the eighth set in all but the last.
    let spread = wide & 0x7f | (wide & 0x3f80) << 1 | (wide & 0x1f_c000) << 2 | (wide & 0xfe0_0000) << 3;
    let len = variable_len(number as usize);
    let more = 0x80_8080_u64 & ((1 << (8 * (len - 1))) - 1);
    (u64::from(first) | (spread | more) << 8, 1 + len)
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
    let Ok(len) = u16::try_from(bytes.len()) else { return false };
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
    true
}
