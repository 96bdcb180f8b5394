//! How YAML files are read that people write: scenarios, and the broker's configuration. What is wrong with one is told
//! with its file, line, column, the line itself and the nearest right name.
//!
//! | file | what |
//! |---|---|
//! | `read` | from a file to a value, or to a diagnosis |
//! | `diagnosis` | what is wrong, where, and what to do about it |
//! | `locate` | where something stands in a text |
//! | `scalar` | values that are written as one word or number |
//! | `units` | durations with units |

pub(crate) mod diagnosis;
pub(crate) mod locate;
pub(crate) mod read;
pub(crate) mod scalar;
pub(crate) mod units;

pub use diagnosis::{Diagnosis, Spot};
pub use scalar::Named;
pub use units::{Expiry, Seconds, Span, SpanRange};
