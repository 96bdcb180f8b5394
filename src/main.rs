//! `simrun`: see the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    simrun::cli::main()
}
