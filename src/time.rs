//! Time as the machines see it: handed in, never read from a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, as the span since the run began.
///
/// In a simulated run the run begins at the simulation's start; on real sockets when the process started. Counted in
/// nanoseconds, it lasts for 584 years; what would be later is then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment the run began.
    pub const ZERO: Time = Time(0);

    /// The moment `span` after the run began.
    pub const fn after(span: Duration) -> Time {
        let nanos = span.as_nanos();
        #[expect(clippy::cast_possible_truncation)] // It fits, or is not taken.
        Time(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
    }

    /// The span since the run began.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The span from `earlier` to this moment; zero if `earlier` lies in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(Time::after(span).0))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(Time::after(span).0))
    }
}

impl fmt::Display for Time {
    /// Seconds with six decimals, so that columns of times line up: `12.034500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}
