//! Time as the machines see it: handed in, never read from a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, as the span since the run began.
///
/// In a simulated run the run begins at the simulation's start; on real sockets when the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Duration);

impl Time {
    /// The moment the run began.
    pub const ZERO: Time = Time(Duration::ZERO);

    /// The moment `span` after the run began.
    pub const fn after(span: Duration) -> Time {
        Time(span)
    }

    /// The span since the run began.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The span from `earlier` to this moment; zero if `earlier` lies in the future.
    pub fn since(self, earlier: Time) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(span))
    }
}

impl fmt::Display for Time {
    /// Seconds with six decimals, so that columns of times line up: `12.034500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}
