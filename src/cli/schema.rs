//! `simrun schema`: the JSON Schema of scenario files.

use std::process::ExitCode;

use crate::scenario;

/// Prints it.
pub(super) fn print() -> ExitCode {
    super::say(&format!("{}\n", scenario::schema()));
    ExitCode::SUCCESS
}
