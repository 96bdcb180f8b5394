//! What is shipped beside the program: the commands of `docs/ci.md` do what they say, the systemd unit is one, and the
//! options in all of it are options of the program.

use std::collections::BTreeSet;
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

/// The long options of the program, of all its commands.
fn known_options() -> BTreeSet<String> {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_simrun")).args(arguments).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let commands = ["pub", "sub", "bench", "conform", "explore", "healthcheck", "passwd"];
    let all = commands.iter().map(|command| help(&[command, "--help"])).chain([help(&["--help"])]);
    all.flat_map(|text| options(&text)).collect()
}

/// The long options in a text.
fn options(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || "\"'`[](),=".contains(c));
    let names = words.filter_map(|word| word.strip_prefix("--"));
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// The options that the program gets in a file that is shipped.
fn used_options(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).expect("the file is there");
    let of_ours = |line: &&str| line.contains("simrun") || line.contains("\"--real\"");
    let lines = text.lines().filter(of_ours);
    // Before the program's name stand options of others, such as docker's; a make of it has cargo's.
    let own = lines.filter(|line| !line.contains("cargo ") && !line.contains("COPY ")).flat_map(|line| {
        let from = line.rfind("simrun ").or(line.find("[\"--real")).unwrap_or(line.len());
        options(&line[from..])
    });
    own.collect()
}

#[test]
fn options_in_what_is_shipped_are_options_of_the_program() {
    let known = known_options();
    for (file, least) in
        [("packaging/simrun.service", 3), ("packaging/Dockerfile", 3), ("docs/ci.md", 8), ("docs/page.md", 2)]
    {
        let used = used_options(file);
        assert!(used.len() >= least, "{file}: {used:?}");
        let unknown: Vec<&String> = used.iter().filter(|option| !known.contains(*option)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    assert!(!known.contains("reddy-file") && options("simrun --real --reddy-file x") == ["real", "reddy-file"]);
}
