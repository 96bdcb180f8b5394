//! `simrun schema`: the JSON Schemas of the files that people write.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::{live, scenario};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A scenario
    Scenario,
    /// The configuration of `simrun --real`
    Broker,
}

/// Prints the schema of a kind of file.
pub(super) fn print(kind: Kind) -> ExitCode {
    let schema = match kind {
        Kind::Scenario => scenario::schema(),
        Kind::Broker => live::config::schema(),
    };
    super::say(&format!("{schema}\n"));
    ExitCode::SUCCESS
}
