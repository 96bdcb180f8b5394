//! What is shipped beside the program: the commands of `docs/ci.md` do what they say, and the systemd unit is one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of its own, where nothing is.
fn scratch(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("simrun-packaging-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("made");
    directory
}

/// The shell blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).expect("the page is there");
    let pieces = text.split("```sh\n").skip(1);
    pieces.map(|piece| piece.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// Runs a script as CI would: it ends at the first command that fails.
fn run(script: &str, name: &str) -> Output {
    let directory = scratch(name);
    let bin = Path::new(env!("CARGO_BIN_EXE_simrun")).parent().expect("it is in a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(&directory).env("PATH", path);
    for name in ["SIMRUN_URL", "SIMRUN_USERNAME", "SIMRUN_PASSWORD"] {
        command.env_remove(name);
    }
    let output = command.output().expect("bash runs");
    std::fs::remove_dir_all(directory).expect("removed");
    output
}

#[test]
fn the_commands_for_ci_do_what_they_say() {
    let blocks = blocks("docs/ci.md");
    assert_eq!(blocks.len(), 2);
    for (place, block) in blocks.iter().enumerate() {
        let output = run(block, &format!("ci-{place}"));
        assert!(output.status.success(), "block {place}: {output:?}");
    }
}

/// The same commands see it when what they wait for does not come.
#[test]
fn the_commands_for_ci_can_fail() {
    let block = blocks("docs/ci.md").swap_remove(0);
    let spoilt = block.replace("simrun pub -t light/hall", "simrun pub -t dark/hall").replace("-W 10s", "-W 300ms");
    assert_ne!(spoilt, block);
    assert!(!run(&spoilt, "spoilt").status.success());
}

/// What systemd says of the unit, with the program where it is now.
fn verify(unit: &str, name: &str) -> Option<Output> {
    let directory = scratch(name);
    let file = directory.join("simrun.service");
    std::fs::write(&file, unit.replace("/usr/bin/simrun", env!("CARGO_BIN_EXE_simrun"))).expect("written");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    std::fs::remove_dir_all(directory).expect("removed");
    match output {
        Ok(output) => Some(output),
        Err(_) => {
            #[allow(clippy::print_stderr)] // A test that tested nothing says so.
            {
                eprintln!("NOT TESTED: there is no systemd-analyze here");
            }
            None
        }
    }
}

#[test]
fn the_systemd_unit_is_one() {
    let unit = std::fs::read_to_string(root().join("packaging/simrun.service")).expect("the unit is there");
    let Some(output) = verify(&unit, "unit") else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let spoilt = unit.replace("Type=notify", "Type=notified");
    let Some(output) = verify(&spoilt, "spoilt-unit") else { return };
    assert!(!output.stderr.is_empty(), "a wrong type is not seen");
}
