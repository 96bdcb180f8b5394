//! Durations with units: `5s`, `20ms`, `1h30m`, `5ms..20ms`.

use std::fmt;
use std::time::Duration;

use super::scalar::{Scalar, scalar, with_help};

/// The longest duration that can be written: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

const HOW: &str = "write a duration as 5s, 20ms, 1m30s or 1h";

/// The units and how many nanoseconds each has.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A duration or a moment of the run: `5s`, `20ms`, `1m30s`, `1.5h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Span {
    /// As it is written: `1m30s`, `20ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_nanos();
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS.iter().rev().filter(|(unit, _)| *unit != "us") {
            let count = left / size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
            left %= size;
        }
        Ok(())
    }
}

impl Scalar for Span {
    const WHAT: &'static str = "a duration such as 5s or 20ms";

    fn from_text(text: &str) -> Result<Span, String> {
        let mut rest = text.trim();
        let mut nanos: u128 = 0;
        if rest.is_empty() {
            return Err(with_help("a duration is missing", HOW));
        }
        if rest == "0" {
            return Ok(Span::default());
        }
        if rest.starts_with('-') {
            return Err(with_help(format!("`{text}` is negative"), "time only goes forward"));
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            nanos = nanos.saturating_add(part(text, number, unit.trim())?);
            rest = after;
        }
        match u64::try_from(nanos).map(Duration::from_nanos) {
            Ok(span) if span <= LONGEST => Ok(Span(span)),
            _ => Err(with_help(format!("`{text}` is too long"), "a hundred years is the longest")),
        }
    }

    fn from_integer(number: i128) -> Result<Span, String> {
        match number {
            0 => Ok(Span::default()),
            _ => Err(with_help(format!("`{number}` has no unit"), format!("write {number}s, {number}ms or {number}m"))),
        }
    }

    fn from_float(number: f64) -> Result<Span, String> {
        let what = if number.is_finite() { "has no unit" } else { "is no time" };
        Err(with_help(format!("`{number}` {what}"), HOW))
    }
}

/// One number with its unit, in nanoseconds.
fn part(text: &str, number: &str, unit: &str) -> Result<u128, String> {
    if number.is_empty() {
        return Err(with_help(format!("`{text}` is not a duration"), HOW));
    }
    if unit.is_empty() {
        return Err(with_help(format!("`{text}` has no unit"), format!("write {number}s, {number}ms or {number}m")));
    }
    let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let units = UNITS.map(|(name, _)| name).join(", ");
        return Err(with_help(format!("`{unit}` is not a unit of time"), format!("the units are {units}")));
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let broken = || with_help(format!("`{number}` is not a number"), HOW);
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(broken());
    }
    // Saturating: a number with hundreds of digits is too long, not broken.
    let digits = |digits: &str| {
        digits.bytes().fold(0_u128, |sum, b| sum.saturating_mul(10).saturating_add(u128::from(b - b'0')))
    };
    let mut nanos = digits(whole).saturating_mul(*size);
    let mut worth = *size;
    for digit in fraction.bytes() {
        worth /= 10;
        nanos = nanos.saturating_add(worth * u128::from(digit - b'0'));
    }
    Ok(nanos)
}

scalar!(Span, {
    "description": "A duration or a moment of the run: 5s, 20ms, 1m30s, 1.5h.",
    "anyOf": [
        { "type": "string", "pattern": "^([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h|d))+$|^0$", "examples": ["5s", "20ms", "1m30s"] },
        { "const": 0 }
    ]
});

/// A range of durations, `5ms..20ms`, or one that is always the same, `5ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpanRange {
    /// The shortest.
    pub least: Duration,
    /// The longest, not shorter than `least`.
    pub most: Duration,
}

impl Scalar for SpanRange {
    const WHAT: &'static str = "a duration or a range of durations such as 5ms..20ms";

    fn from_text(text: &str) -> Result<SpanRange, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (least, most) = (Span::from_text(least)?.0, Span::from_text(most.trim_start_matches('='))?.0);
        if least > most {
            let what = format!("the range `{text}` ends before it begins");
            return Err(with_help(what, "put the shorter duration first"));
        }
        Ok(SpanRange { least, most })
    }

    fn from_integer(number: i128) -> Result<SpanRange, String> {
        Span::from_integer(number).map(|span| SpanRange { least: span.0, most: span.0 })
    }

    fn from_float(number: f64) -> Result<SpanRange, String> {
        Span::from_float(number).map(|span| SpanRange { least: span.0, most: span.0 })
    }
}

scalar!(SpanRange, {
    "description": "A range of durations, 5ms..20ms, or one that is always the same, 5ms.",
    "anyOf": [
        {
            "type": "string",
            "pattern": "^([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h|d))+( *\\.\\. *([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h|d))+)?$",
            "examples": ["5ms..20ms"]
        },
        { "const": 0 }
    ]
});

/// A duration that goes over the wire as a number of whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub u32);

impl Scalar for Seconds {
    const WHAT: &'static str = "a duration in whole seconds such as 60s";

    fn from_text(text: &str) -> Result<Seconds, String> {
        let span = Span::from_text(text)?.0;
        if span.subsec_nanos() != 0 {
            let what = format!("`{text}` is not a whole number of seconds");
            return Err(with_help(what, "it is sent in seconds: write 1s or more"));
        }
        let too_long = |_| with_help(format!("`{text}` is too long"), "it is sent as a number of 32 bits");
        u32::try_from(span.as_secs()).map(Seconds).map_err(too_long)
    }

    fn from_integer(number: i128) -> Result<Seconds, String> {
        Span::from_integer(number).map(|_| Seconds(0))
    }

    fn from_float(number: f64) -> Result<Seconds, String> {
        Span::from_float(number).map(|_| Seconds(0))
    }
}

scalar!(Seconds, {
    "description": "A duration in whole seconds: 60s, 5m, 1h.",
    "anyOf": [
        { "type": "string", "pattern": "^([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h|d))+$|^0$", "examples": ["60s", "5m"] },
        { "const": 0 }
    ]
});

/// When a session ends after its connection: a duration in whole seconds, or `never`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(pub u32);

impl Expiry {
    /// It never ends (5.0 section 3.1.2.11.2).
    pub const NEVER: Expiry = Expiry(u32::MAX);
}

impl Scalar for Expiry {
    const WHAT: &'static str = "a duration in whole seconds such as 1h, or `never`";

    fn from_text(text: &str) -> Result<Expiry, String> {
        if text == "never" {
            return Ok(Expiry::NEVER);
        }
        Seconds::from_text(text).map(|seconds| Expiry(seconds.0))
    }

    fn from_integer(number: i128) -> Result<Expiry, String> {
        Span::from_integer(number).map(|_| Expiry(0))
    }

    fn from_float(number: f64) -> Result<Expiry, String> {
        Span::from_float(number).map(|_| Expiry(0))
    }
}

scalar!(Expiry, {
    "description": "A duration in whole seconds, 1h, or never.",
    "anyOf": [
        { "type": "string", "pattern": "^([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h|d))+$|^0$|^never$", "examples": ["1h", "never"] },
        { "const": 0 }
    ]
});
