//! Strings as MQTT carries them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use thiserror::Error;

use super::fault::{Fault, Malformed};

/// The longest string or binary field, in bytes: its length is sent as two bytes (5.0 section 1.5.4).
pub const MAX_FIELD_LEN: usize = 65_535;

/// A UTF-8 string that MQTT can carry: well-formed, without U+0000, at most 65,535 bytes
/// (3.1.1 section 1.5.3, 5.0 section 1.5.4).
///
/// A slice of a shared buffer: cloning does not copy the characters.
#[derive(Clone)]
pub struct Text {
    bytes: Bytes,
    /// Whether there is `+` or `#` in it: seen once, and not looked for each time that a message is sent.
    wildcard: bool,
}

/// The same, as it lies in the buffer that it came in or in a [`Text`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextRef<'a>(&'a [u8]);

/// Why a string cannot be carried by MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    /// Ill-formed UTF-8 (overlong forms, surrogates and cut-off sequences are among it).
    #[error("the string is not well-formed UTF-8")]
    NotUtf8,
    /// The string holds U+0000.
    #[error("the string contains U+0000")]
    Null,
    /// The string has more than 65,535 bytes.
    #[error("the string is longer than 65,535 bytes")]
    TooLong,
}

impl Text {
    /// The empty string.
    pub const EMPTY: Text = Text { bytes: Bytes::new(), wildcard: false };

    /// A string that is known while compiling; fails to compile, or panics, if MQTT cannot carry it.
    pub const fn literal(string: &'static str) -> Text {
        assert!(string.len() <= MAX_FIELD_LEN, "longer than 65,535 bytes");
        let bytes = string.as_bytes();
        let mut wildcard = false;
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != 0, "contains U+0000");
            wildcard |= is_wildcard(bytes[at]);
            at += 1;
        }
        Text { bytes: Bytes::from_static(bytes), wildcard }
    }

    /// Bytes that have passed [`check`].
    #[inline]
    fn checked(bytes: Bytes) -> Text {
        let wildcard = has_wildcard(&bytes);
        Text { bytes, wildcard }
    }

    /// Whether there is `+` or `#` in it, so that it is no topic name (section 4.7.1).
    #[inline]
    pub(crate) fn has_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The string's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The string.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.borrowed().as_str()
    }

    /// The same, borrowed.
    #[inline]
    pub fn borrowed(&self) -> TextRef<'_> {
        TextRef(&self.bytes)
    }

    /// Part of this string, without copying it.
    ///
    /// # Panics
    /// If the range is not within the string or does not lie on character boundaries.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Text {
        assert!(self.as_str().is_char_boundary(range.start) && self.as_str().is_char_boundary(range.end));
        Text::checked(self.bytes.slice(range))
    }

    /// A copy in a buffer of its own, for keeping: it does not hold on to the buffer it was received in.
    pub fn detached(&self) -> Text {
        Text { bytes: Bytes::copy_from_slice(&self.bytes), wildcard: self.wildcard }
    }

    /// A copy for keeping together with other bytes, in one buffer.
    pub fn detached_with(&self, others: &[u8]) -> (Text, Bytes) {
        let mut bytes = Bytes::from([self.as_bytes(), others].concat());
        let others = bytes.split_off(self.len());
        (Text { bytes, wildcard: self.wildcard }, others)
    }
}

/// Whether `bytes` may stand in a packet as a string.
///
/// # Errors
/// What is wrong with it.
#[inline]
pub(crate) fn check(bytes: &[u8]) -> Result<(), TextError> {
    if is_plain(bytes) { check_length(bytes) } else { check_slowly(bytes) }
}

fn check_length(bytes: &[u8]) -> Result<(), TextError> {
    if bytes.len() > MAX_FIELD_LEN { Err(TextError::TooLong) } else { Ok(()) }
}

#[cold]
fn check_slowly(bytes: &[u8]) -> Result<(), TextError> {
    check_length(bytes)?;
    if std::str::from_utf8(bytes).is_err() {
        return Err(TextError::NotUtf8);
    }
    if bytes.contains(&0) { Err(TextError::Null) } else { Ok(()) }
}

#[cold]
fn check_name_slowly(bytes: &[u8], wildcard: Fault) -> Result<(), Malformed> {
    check_slowly(bytes)?;
    if has_wildcard(bytes) { Err(wildcard.into()) } else { Ok(()) }
}

/// Whether all bytes are ASCII other than NUL: by far the most frequent case, and a quick one to see.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    all(bytes, is_plain_byte)
}

/// Whether all bytes are ASCII other than NUL and wildcards, as those of most topic names.
#[inline]
fn is_plain_name(bytes: &[u8]) -> bool {
    all(bytes, |byte| is_plain_byte(byte) & !is_wildcard(byte))
}

/// Whether a topic name would be none: it holds `+` or `#`.
#[inline]
pub(crate) fn has_wildcard(bytes: &[u8]) -> bool {
    !all(bytes, |byte| !is_wildcard(byte))
}

const fn is_plain_byte(byte: u8) -> bool {
    byte.cast_signed() > 0
}

const fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'+' | b'#')
}

/// Whether all bytes are good ones. They are looked at in chunks of a size known to the compiler, which makes a few
/// vector instructions of each; the last chunk overlaps the one before it.
#[inline]
fn all(bytes: &[u8], is_good: impl Fn(u8) -> bool) -> bool {
    fn each<const N: usize>(chunk: &[u8; N], is_good: &impl Fn(u8) -> bool) -> bool {
        chunk.iter().fold(true, |good, &byte| good & is_good(byte))
    }
    if let Some(last) = bytes.last_chunk::<16>() {
        bytes.as_chunks::<16>().0.iter().all(|chunk| each(chunk, &is_good)) && each(last, &is_good)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        each(first, &is_good) & each(last, &is_good)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        each(first, &is_good) & each(last, &is_good)
    } else {
        bytes.iter().all(|&byte| is_good(byte))
    }
}

impl<'a> TextRef<'a> {
    /// Characters that have passed [`check`].
    #[inline]
    pub(super) fn checked(bytes: &'a [u8]) -> TextRef<'a> {
        TextRef(bytes)
    }

    /// A topic name: a string without wildcards; `wildcard` is what is wrong if there is one.
    #[inline]
    pub(super) fn name(bytes: &'a [u8], wildcard: Fault) -> Result<TextRef<'a>, Malformed> {
        if !is_plain_name(bytes) {
            check_name_slowly(bytes, wildcard)?;
        }
        Ok(TextRef(bytes))
    }

    /// The string's bytes.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The string.
    #[inline]
    #[allow(unsafe_code)]
    pub fn as_str(self) -> &'a str {
        // SAFETY: every constructor has checked that the bytes are well-formed UTF-8, and they never change.
        unsafe { std::str::from_utf8_unchecked(self.0) }
    }

    /// A copy in a buffer of its own, for keeping.
    pub fn detached(self) -> Text {
        self.owned(&Bytes::copy_from_slice)
    }

    /// The same in what `keep` makes of its bytes.
    #[inline]
    pub(super) fn owned(self, keep: &impl Fn(&[u8]) -> Bytes) -> Text {
        Text::checked(keep(self.0))
    }
}

impl TryFrom<Bytes> for Text {
    type Error = TextError;

    fn try_from(bytes: Bytes) -> Result<Text, TextError> {
        check(&bytes)?;
        Ok(Text::checked(bytes))
    }
}

impl TryFrom<String> for Text {
    type Error = TextError;

    fn try_from(string: String) -> Result<Text, TextError> {
        Text::try_from(Bytes::from(string))
    }
}

impl TryFrom<&str> for Text {
    type Error = TextError;

    fn try_from(string: &str) -> Result<Text, TextError> {
        check(string.as_bytes())?;
        Ok(Text::checked(Bytes::copy_from_slice(string.as_bytes())))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

// `Bytes` orders and hashes as its bytes do, and `str` orders by bytes too, but hashes with a terminator;
// so look-ups by borrowed key go by bytes.
impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.bytes
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Text {}

impl Default for Text {
    fn default() -> Text {
        Text::EMPTY
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl Deref for TextRef<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for TextRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
