//! From a file or a text to a value, or to a diagnosis of what is wrong with it.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::diagnosis::{Diagnosis, Spot};
use super::locate::{Kind, Place, shape};
use super::scalar::{HELP, OURS, nearest, suggestion};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// The deepest nesting of brackets, or of dashes in one line, that the YAML library is given to read.
const DEEPEST: usize = 100;

/// What a kind of file is called, and what helps with it.
#[derive(Debug)]
pub(crate) struct Genre {
    /// What it is: "scenario".
    pub(crate) noun: &'static str,
    /// What to do about one that is empty.
    pub(crate) empty: &'static str,
    /// What to do about one that is something else.
    pub(crate) other: &'static str,
    /// What to do about one that is too long.
    pub(crate) shorter: &'static str,
}

impl Genre {
    pub(crate) fn depth_help(&self) -> String {
        format!("no field of a {} lies so deep", self.noun)
    }
}

/// What is wrong with a value, and where in its text.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    /// The same, for a reader of the text.
    pub(crate) fn diagnosis(self, name: &str, text: &str) -> Box<Diagnosis> {
        let (line, column) = self.place.find(text);
        let place = Some(Spot::new(text, line, column));
        Box::new(Diagnosis { file: name.to_owned(), place, what: self.what, help: self.help })
    }
}

/// A problem with something to do about it.
pub(crate) fn problem(place: Place, what: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem { place, what: what.into(), help: Some(help.into()) }
}

/// What a file holds.
pub(crate) fn contents(path: &Path, genre: &Genre) -> Result<Vec<u8>, Box<Diagnosis>> {
    let name = path.display().to_string();
    let noun = genre.noun;
    let whole = |what: String, help: Option<String>| Diagnosis { file: name.clone(), place: None, what, help };
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => whole("there is no such file".to_owned(), neighbour(path)),
        _ => whole(format!("the file cannot be read: {error}"), None),
    })?;
    if metadata.is_dir() {
        return Err(whole(format!("this is a directory, not a {noun}"), inhabitants(path)).into());
    }
    if !metadata.is_file() {
        return Err(whole("this is not a plain file".to_owned(), None).into());
    }
    if metadata.len() > LARGEST {
        let what = format!("the file has {} bytes; a {noun} has at most {LARGEST}", metadata.len());
        return Err(whole(what, None).into());
    }
    fs::read(path).map_err(|error| whole(format!("the file cannot be read: {error}"), None).into())
}

/// Reads a value from the bytes of a file called `name`; the value, and the text it stands in.
pub(crate) fn document<'a, T: DeserializeOwned>(
    name: &str,
    bytes: &'a [u8],
    genre: &Genre,
) -> Result<(T, &'a str), Box<Diagnosis>> {
    let noun = genre.noun;
    let diagnosis = |place, what, help| Diagnosis { file: name.to_owned(), place, what, help };
    let whole = |what: &str, help: &str| Box::new(diagnosis(None, what.to_owned(), Some(help.to_owned())));
    let text = text_of(bytes).map_err(|what| whole(&what, &format!("a {noun} is YAML in UTF-8")))?;
    let failed = |error: &serde_yaml::Error| {
        let (what, help) = explain(error, noun);
        let place = error.location().map(|location| Spot::new(text, location.line(), location.column()));
        Box::new(diagnosis(place, what, help))
    };
    if let Some((line, column)) = too_deep(text) {
        let (what, help) = (format!("nested more than {DEEPEST} levels deep"), genre.depth_help());
        return Err(diagnosis(Some(Spot::new(text, line, column)), what, Some(help)).into());
    }
    match shape(text, genre).map_err(|error| failed(&error))? {
        Kind::Map => {}
        Kind::Nothing => return Err(whole("the file is empty", genre.empty)),
        Kind::Other => return Err(whole(&format!("this is YAML, but not a {noun}"), genre.other)),
    }
    let value = T::deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| failed(&error))?;
    Ok((value, text))
}

/// The bytes as text, or why they are none.
fn text_of(bytes: &[u8]) -> Result<&str, String> {
    let line = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return Err(format!("this is not text: byte {} (line {}) is not UTF-8", at + 1, line(at)));
        }
    };
    let binary = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    match text.find(binary) {
        Some(at) => Err(format!("this is not text: byte {} (line {}) is 0x{:02x}", at + 1, line(at), bytes[at])),
        None => Ok(text),
    }
}

/// Where brackets, or dashes in one line, are nested too deeply: the YAML library's time grows with the square of that,
/// so it is refused before the library sees it. Brackets within strings are counted too: so many would be odd there.
fn too_deep(text: &str) -> Option<(usize, usize)> {
    let mut brackets = 0_usize;
    for (number, line) in text.lines().enumerate() {
        let mut dashes = 0;
        let mut leading = true;
        for (at, character) in line.chars().enumerate() {
            match character {
                '[' | '{' => brackets += 1,
                ']' | '}' => brackets = brackets.saturating_sub(1),
                '-' | '?' if leading => dashes += 1,
                _ => {}
            }
            leading &= matches!(character, ' ' | '-' | '?');
            if brackets > DEEPEST || dashes > DEEPEST {
                return Some((number + 1, at + 1));
            }
        }
    }
    None
}

/// What is wrong, and what to do about it, in an error of the YAML library.
fn explain(error: &serde_yaml::Error, noun: &str) -> (String, Option<String>) {
    let shown = error.to_string();
    let mut said = shown.as_str();
    if let Some(location) = error.location() {
        let suffix = format!(" at line {} column {}", location.line(), location.column());
        said = said.strip_suffix(suffix.as_str()).unwrap_or(said);
    }
    // The library puts the path in front; ours are marked, serde's own begin in a few ways.
    if let Some((_, ours)) = said.split_once(OURS) {
        return match ours.split_once(HELP) {
            Some((what, help)) => (what.to_owned(), Some(help.to_owned())),
            None => (ours.to_owned(), None),
        };
    }
    let begins = ["unknown field `", "missing field `", "duplicate field `", "invalid type: ", "invalid value: "];
    let begin = begins.iter().filter_map(|begin| said.find(begin)).min().unwrap_or(0);
    plainly(&said[begin..], noun)
}

/// An error of serde in plain words.
fn plainly(said: &str, noun: &str) -> (String, Option<String>) {
    let quoted = |text: &str| text.split('`').nth(1).unwrap_or_default().to_owned();
    if let Some(rest) = said.strip_prefix("unknown field `") {
        let (field, expected) = rest.split_once('`').unwrap_or((rest, ""));
        let fields: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        return (format!("there is no field `{field}` here"), Some(suggestion(field, fields.iter().copied())));
    }
    if said.starts_with("missing field") {
        return (format!("the field `{}` is missing", quoted(said)), None);
    }
    if let Some(rest) = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: ")) {
        let (found, expected) = rest.split_once(", expected ").unwrap_or((rest, ""));
        let expected = match expected {
            "a string" => "text",
            "a sequence" => "a list",
            "a boolean" => "true or false",
            "u16" => "a whole number from 0 to 65535",
            "u32" => "a whole number from 0 to 4294967295",
            "u64" => "a whole number that is not negative",
            "u8" => "a whole number from 0 to 255",
            other => other.strip_prefix("struct ").map_or(other, |_| "a map of fields"),
        };
        let found = found.replace("sequence", "a list").replace("map", "a map").replace("unit value", "nothing");
        let found = if found == "enum" { "a tag".to_owned() } else { found };
        let help = match expected {
            "text" if !found.starts_with("a ") => Some(format!("write it in quotes: \"{}\"", quoted(&found))),
            "a map of fields" | "a map" => Some("write it as `{name: value}` or as indented lines".to_owned()),
            "a list" => Some("write it as `[a, b]` or as lines that begin with `- `".to_owned()),
            _ => None,
        };
        return (format!("{found} stands where {expected} belongs"), help);
    }
    // The place is shown above; the library says it once more.
    let said = said.split(" at line ").next().unwrap_or(said);
    let help = match said {
        _ if said.contains("cannot start any token") => {
            Some("indent with spaces, not tabs, and put text that begins with @, ` or % in quotes".to_owned())
        }
        _ if said.contains("found a tab character") => Some("indent with spaces".to_owned()),
        _ if said.contains("unknown anchor") => Some("an alias `*name` needs an anchor `&name` before it".to_owned()),
        _ if said.contains("more than one document") => Some(format!("one file holds one {noun}: remove `---`")),
        _ if said.contains("recursion limit") || said.contains("repetition limit") => {
            Some(format!("no {noun} is nested so deeply, or has so many aliases"))
        }
        _ => None,
    };
    (format!("this is not YAML: {said}"), help)
}

/// The file beside `path` whose name is nearest.
fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = names_in(folder);
    let near = nearest(wanted, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", path.with_file_name(near).display()))
}

/// Some YAML files in a directory.
fn inhabitants(path: &Path) -> Option<String> {
    let names = names_in(path);
    let files: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.ends_with(".yaml")).take(5).collect();
    let shown: Vec<String> = files.iter().map(|name| path.join(name).display().to_string()).collect();
    if shown.is_empty() { None } else { Some(format!("name a file in it, as {}", shown.join(" or "))) }
}

/// The names in a directory, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
