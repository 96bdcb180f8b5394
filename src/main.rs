//! `simrun`: see the library's `cli`.

use std::process::ExitCode;

/// Most of what a busy broker does with memory is to ask for little pieces and to give them back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    simrun::cli::main()
}
