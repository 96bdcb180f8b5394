//! From a file or a text to a checked scenario, or to a diagnosis of what is wrong with it.

use std::path::Path;

use super::check;
use super::diagnosis::Diagnosis;
use super::model::Scenario;
use crate::notation::read::{Genre, contents, document};

const GENRE: Genre = Genre {
    noun: "scenario",
    empty: "see scenarios/light_demo.yaml for what to write",
    other: "a scenario begins with `clients:` and the like; see scenarios/light_demo.yaml",
    shorter: "use `count` and `repeat` instead of writing things many times",
};

/// A scenario that can be run, and how it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// The comment at the head of its file, line by line, without the signs of a comment.
    pub story: Vec<String>,
}

/// Reads the scenario in a file and checks it.
///
/// # Errors
/// What is wrong with the file or the scenario.
pub fn read(path: &Path) -> Result<Loaded, Box<Diagnosis>> {
    parse(&path.display().to_string(), &contents(path, &GENRE)?)
}

/// Reads a scenario from the bytes of a file called `name` and checks it.
///
/// # Errors
/// What is wrong with it.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Loaded, Box<Diagnosis>> {
    let (scenario, text): (Scenario, &str) = document(name, bytes, &GENRE)?;
    check::check(&scenario).map_err(|problem| problem.diagnosis(name, text))?;
    Ok(Loaded { scenario, story: story(text) })
}

/// The comment that a text begins with.
fn story(text: &str) -> Vec<String> {
    text.lines()
        .map_while(|line| line.strip_prefix('#'))
        .filter(|line| !line.trim_start().starts_with("yaml-language-server:"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned())
        .collect()
}
