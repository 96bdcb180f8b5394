//! Planted bugs: for every scenario of `scenarios/bugs/` a patch of a few lines plants the bug that it tells of, and the
//! scenario, which holds on the code as it is, then fails.
//!
//! ```text
//! cargo test --test planted -- --ignored --nocapture
//! ```
//!
//! plants each in a copy of the source under the target directory, builds it and runs its scenario; with
//! `PLANTED=qos2` only those with `qos2` in their names. `tests/planted/README.md` has the table.
//!
//! ```text
//! cargo test --test planted -- --ignored exploration --nocapture
//! ```
//!
//! plants each likewise, and lets `simrun explore` look for it with the clients and faults that it draws, without the bug's
//! own scenario: it prints how many seeds that took. `docs/exploration.md` has the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use simrun::explore::Outcome;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The program without any bug planted.
const SOUND: &str = env!("CARGO_BIN_EXE_simrun");

/// The names of the files in a folder of the project that end so, without the ending.
fn names(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    files.filter_map(|file| file.strip_suffix(ending).map(str::to_owned)).collect()
}

#[test]
fn every_bug_has_its_scenario_its_patch_and_its_line_in_the_table() {
    let (scenarios, patches) = (names("scenarios/bugs", ".yaml"), names("tests/planted", ".patch"));
    assert!(!patches.is_empty());
    assert_eq!(scenarios, patches);
    let table = fs::read_to_string(Path::new(ROOT).join("tests/planted/README.md")).expect("the table");
    let missing: Vec<&String> = patches.iter().filter(|name| !table.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty(), "not in tests/planted/README.md: {missing:?}");
}

#[test]
fn every_patch_still_applies() {
    let rotten: Vec<String> =
        names("tests/planted", ".patch").iter().filter_map(|name| patched(Path::new(ROOT), name).err()).collect();
    assert!(rotten.is_empty(), "{}", rotten.join("\n"));
}

#[test]
#[ignore = "builds the program once for every bug"]
fn every_planted_bug_is_caught_by_its_scenario() {
    let wanted = std::env::var("PLANTED").unwrap_or_default();
    let scratch = Scratch::new("planted", 0);
    let mut slipped = Vec::new();
    for name in names("tests/planted", ".patch").into_iter().filter(|name| name.contains(&wanted)) {
        let untouched = run(SOUND.as_ref(), &name);
        assert!(untouched.status.success(), "{name} fails without its bug: {:#?}", failures(&untouched));
        match scratch.with_bug(&name).map(|program| run(&program, &name)) {
            Ok(output) if output.status.code() == Some(1) && !failures(&output).is_empty() => {
                say(&name);
                failures(&output).iter().for_each(|failure| say(&format!("  ✗ {failure}")));
            }
            Ok(output) => slipped.push(format!("{name}: {}", output.status)),
            Err(why) => slipped.push(format!("{name}: {why}")),
        }
    }
    assert!(slipped.is_empty(), "not caught:\n{}", slipped.join("\n"));
}

/// So many seeds exploration has for each bug.
const SEEDS: u64 = 10_000;

#[test]
#[ignore = "builds the program once for every bug, and runs it for up to 10,000 seeds"]
fn planted_bugs_are_found_by_exploration_alone() {
    let wanted = std::env::var("PLANTED").unwrap_or_default();
    let scratch = Scratch::new("explored", 1);
    assert!(explored(&scratch.as_it_is()).failures.is_empty(), "something is found without any bug");
    let (mut tried, mut missed) = (0, Vec::new());
    for name in names("tests/planted", ".patch").into_iter().filter(|name| name.contains(&wanted)) {
        tried += 1;
        let outcome = explored(&scratch.with_bug(&name).unwrap_or_else(|why| panic!("{name}: {why}")));
        let found: Vec<&str> = outcome.failures.keys().map(String::as_str).collect();
        match outcome.failures.values().filter_map(|failure| failure.seeds.first()).min() {
            Some(seed) => say(&format!("| `{name}` | {} | {} |", seed + 1, found.join(", "))),
            None => {
                say(&format!("| `{name}` | – | not within {SEEDS} |"));
                missed.push(name);
            }
        }
    }
    assert!(missed.len() * 10 <= tried, "not found within {SEEDS} seeds: {missed:?}");
}

/// What exploration finds first in this program.
fn explored(program: &Path) -> Outcome {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("explored");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let result = folder.join("result.json");
    let mut command = Command::new(program);
    command.args(["explore", "--no-shrink", "--seeds", &format!("0..{SEEDS}")]);
    command.arg("--output").arg(&result).arg("--capsules").arg(&folder).stdin(Stdio::null());
    let output = command.output().expect("it runs");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    Outcome::read(&fs::read_to_string(&result).expect("a result")).expect("a result of simrun explore")
}

/// Runs the scenario of a bug.
fn run(program: &Path, name: &str) -> Output {
    let scenario = Path::new(ROOT).join("scenarios/bugs").join(name).with_extension("yaml");
    let mut command = Command::new(program);
    command.arg(scenario).args(["--engine", "direct"]).stdin(Stdio::null());
    command.output().expect("it runs")
}

/// What failed: expectations, and the statements of the standard that rules and history saw broken, each once.
fn failures(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut seen = BTreeSet::new();
    let failed = text.lines().filter_map(|line| line.strip_prefix("✗ "));
    let new = failed.filter(|line| {
        let statement = line.split_whitespace().next().filter(|word| word.contains("/MQTT-"));
        statement.is_none_or(|statement| seen.insert(statement.to_owned()))
    });
    new.map(str::to_owned).collect()
}

#[allow(clippy::print_stdout)] // With --nocapture it is what the command is for.
fn say(line: &str) {
    println!("{line}");
}

/// A copy of the source in which bugs are planted, and what is built from it: kept, so that only what a patch changes is
/// built anew.
struct Scratch {
    tree: PathBuf,
    built: PathBuf,
    /// How hard the compiler works on it.
    optimized: u8,
}

impl Scratch {
    fn new(name: &str, optimized: u8) -> Scratch {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Scratch { tree: folder.join("tree"), built: folder.join("built"), optimized }
    }

    /// The program with this bug in it.
    fn with_bug(&self, name: &str) -> Result<PathBuf, String> {
        self.build(Some(name))
    }

    /// The program without a bug.
    fn as_it_is(&self) -> PathBuf {
        self.build(None).unwrap_or_else(|why| panic!("{why}"))
    }

    fn build(&self, bug: Option<&str>) -> Result<PathBuf, String> {
        for part in ["Cargo.toml", "Cargo.lock", "src", "benches", "examples"] {
            mirror(&Path::new(ROOT).join(part), &self.tree.join(part));
        }
        for (file, text) in bug.map_or(Ok(Vec::new()), |name| patched(&self.tree, name))? {
            fs::write(file, text).expect("the copy can be written");
        }
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--locked", "--bin", "simrun"]).current_dir(&self.tree);
        command.env("CARGO_TARGET_DIR", &self.built).env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "1");
        command.env("CARGO_PROFILE_DEV_OPT_LEVEL", self.optimized.to_string());
        let output = command.output().expect("cargo runs");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(self.built.join("debug").join("simrun").with_extension(std::env::consts::EXE_EXTENSION))
    }
}

/// Makes a copy equal to its original. What is equal already is not touched, and so not built again.
fn mirror(from: &Path, to: &Path) {
    if from.is_dir() {
        let names = |folder: &Path| -> BTreeSet<_> {
            fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").file_name()).collect()
        };
        let (here, there) = (names(from), names(to));
        for gone in there.difference(&here).map(|name| to.join(name)) {
            let removed = if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) };
            removed.expect("the copy can be changed");
        }
        for name in here {
            mirror(&from.join(&name), &to.join(&name));
        }
    } else {
        let text = fs::read(from).expect("a file");
        if fs::read(to).ok().as_ref() != Some(&text) {
            fs::create_dir_all(to.parent().expect("it is in a folder")).expect("a folder can be made");
            fs::write(to, text).expect("the copy can be written");
        }
    }
}

/// The files that a patch (a unified diff) changes in a source tree, as they are with it; or why it does not apply. Lines
/// may have moved, but what the patch shows of them must be there, and once only.
fn patched(tree: &Path, name: &str) -> Result<Vec<(PathBuf, String)>, String> {
    let patch = fs::read_to_string(Path::new(ROOT).join("tests/planted").join(name).with_extension("patch"))
        .map_err(|error| format!("{name}: {error}"))?;
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for section in patch.split("\n--- ").skip(usize::from(!patch.starts_with("--- "))) {
        let (head, hunks) = section.split_once("\n@@").ok_or_else(|| format!("{name}: no hunk"))?;
        let file =
            head.lines().find_map(|line| line.strip_prefix("+++ b/")).ok_or_else(|| format!("{name}: no file"))?;
        let path = tree.join(file);
        let mut text = fs::read_to_string(&path).map_err(|error| format!("{name}: {file}: {error}"))?;
        for hunk in hunks.split("\n@@") {
            let lines = || hunk.lines().skip(1);
            let side = |other: char| {
                lines().filter(move |line| !line.starts_with(other)).map(|line| line.get(1..).unwrap_or(""))
            };
            let [before, after] = ['+', '-'].map(|other| side(other).flat_map(|line| [line, "\n"]).collect::<String>());
            if text.matches(&before).count() != 1 {
                return Err(format!("{name}: {file} does not have, or has more than once:\n{before}"));
            }
            text = text.replacen(&before, &after, 1);
        }
        files.push((path, text));
    }
    Ok(files)
}
