//! How a case ends: it runs to its end, or stops for one of these reasons.

use crate::codec::{PacketType, Property};

/// What a case comes to.
pub type Outcome = Result<(), Stop>;

/// Why a case stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The target broke what the case claims.
    Failed(Failure),
    /// The target did what is allowed, but not advisable.
    Advice(Failure),
    /// What has to stand before the case can begin did not come about: nothing is shown.
    Setup(Failure),
    /// The target cannot be asked this, and why.
    Skipped(String),
    /// The target never does what the statement sets a limit to, and nothing that the suite could send makes it: it has
    /// nothing to break. What it does not do.
    Excused(String),
}

/// What was expected and what came instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was expected.
    pub expected: String,
    /// What came.
    pub actual: String,
}

impl Failure {
    /// Expected and actual.
    pub fn new(expected: impl Into<String>, actual: impl Into<String>) -> Failure {
        Failure { expected: expected.into(), actual: actual.into() }
    }

    fn about(self, what: &str) -> Failure {
        Failure::new(format!("{what}: {}", self.expected), self.actual)
    }
}

impl Stop {
    /// The target's packet of this type never has this property.
    pub fn never_has(packet: PacketType, property: Property) -> Stop {
        let (packet, property) = (packet.name(), property.name());
        Stop::Excused(format!(
            "the target's {packet} has no {property}, which is its own choice: it has none to leave out"
        ))
    }
}

impl From<Failure> for Stop {
    /// What a case expects and does not get is a failure, unless it says otherwise: see [`Otherwise`].
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// For expectations whose failure is no breach of what the case claims, or needs more words.
pub trait Otherwise<T>: Sized {
    /// It is about this, one of several things that the case does.
    ///
    /// # Errors
    /// The same, with `what` before what was expected.
    fn about(self, what: &str) -> Self;

    /// It belongs to the set-up.
    ///
    /// # Errors
    /// [`Stop::Setup`].
    fn setup(self) -> Result<T, Stop>;

    /// It is advisable only (SHOULD, or left open).
    ///
    /// # Errors
    /// [`Stop::Advice`].
    fn advisable(self) -> Result<T, Stop>;
}

impl<T> Otherwise<T> for Result<T, Failure> {
    fn about(self, what: &str) -> Self {
        self.map_err(|failure| failure.about(what))
    }

    fn setup(self) -> Result<T, Stop> {
        self.map_err(Stop::Setup)
    }

    fn advisable(self) -> Result<T, Stop> {
        self.map_err(Stop::Advice)
    }
}

impl<T> Otherwise<T> for Result<T, Stop> {
    fn about(self, what: &str) -> Self {
        self.map_err(|stop| match stop {
            Stop::Failed(failure) => Stop::Failed(failure.about(what)),
            Stop::Advice(failure) => Stop::Advice(failure.about(what)),
            Stop::Setup(failure) => Stop::Setup(failure.about(what)),
            Stop::Skipped(_) | Stop::Excused(_) => stop,
        })
    }

    fn setup(self) -> Result<T, Stop> {
        self.map_err(|stop| match stop {
            Stop::Failed(failure) => Stop::Setup(failure),
            other => other,
        })
    }

    fn advisable(self) -> Result<T, Stop> {
        self.map_err(|stop| match stop {
            Stop::Failed(failure) => Stop::Advice(failure),
            other => other,
        })
    }
}

/// Demands a condition.
///
/// # Errors
/// If it does not hold.
pub fn ensure(holds: bool, expected: impl Into<String>, actual: impl Into<String>) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(expected, actual)) }
}

/// Demands that all that was given comes, in its order; `what` names it. That nothing else is added is advisable: nowhere
/// does the standard forbid it.
///
/// # Errors
/// If something is missing, out of its place or added.
pub fn in_order<T: PartialEq + std::fmt::Debug>(what: &str, came: &[T], given: &[T]) -> Outcome {
    let words = |values: &[T]| format!("{what} {values:?}");
    let mut left = came.iter();
    ensure(given.iter().all(|value| left.any(|other| other == value)), words(given), words(came))?;
    ensure(came.len() == given.len(), format!("{} alone", words(given)), words(came)).advisable()
}

/// Demands that two things are the same; `what` names them.
///
/// # Errors
/// If they are not.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: T, expected: T) -> Result<(), Failure> {
    if actual == expected {
        return Ok(());
    }
    Err(Failure::new(format!("{what} {expected:?}"), format!("{what} {actual:?}")))
}
