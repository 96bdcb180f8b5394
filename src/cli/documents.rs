//! What the command line knows of itself, for shells and for `man`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, is_broken_pipe, wrong};

/// `simrun completions SHELL`.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "simrun", &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if !is_broken_pipe(&error) => wrong(format_args!("error: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// `simrun man DIR`: one page a command.
pub(super) fn man(directory: &Path) -> ExitCode {
    let written = std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => wrong(format_args!("error: {}: {error}", directory.display())),
    }
}
