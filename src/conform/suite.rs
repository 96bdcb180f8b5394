//! All cases, and how some of them are chosen.

use super::case::Case;
use super::{client, server};
use crate::codec::Version;
use crate::rules::{Id, Role, statements};

/// Every case, those for brokers first.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    server::ALL.iter().chain(client::ALL).copied().flatten()
}

/// A case in one of its versions.
#[derive(Clone, Copy, Debug)]
pub struct Chosen {
    /// The case.
    pub case: &'static Case,
    /// The version it is to run in.
    pub version: Version,
}

/// What to choose: a statement (`v5/MQTT-4.3.3-1`), a section with those below it (`v5/4.3`), a version (`v5`), or the
/// name of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One statement.
    Statement(Id),
    /// A section and what is below it.
    Section(Version, String),
    /// A whole version.
    Version(Version),
    /// One case, in one version or in all of its own.
    Case(Option<Version>, String),
}

impl Selection {
    /// Reads a selection.
    ///
    /// # Errors
    /// If nothing is called so; says what is nearest.
    pub fn read(word: &str) -> Result<Selection, String> {
        if let Some(id) = Id::named(word) {
            return Ok(Selection::Statement(id));
        }
        for version in [Version::V3_1_1, Version::V5] {
            let Some(rest) = word.strip_prefix(statements::spelling(version)) else { continue };
            if rest.is_empty() {
                return Ok(Selection::Version(version));
            }
            let Some(section) = rest.strip_prefix('/') else { continue };
            if statements::all(version).iter().any(|statement| is_within(statement.section, section)) {
                return Ok(Selection::Section(version, section.to_owned()));
            }
        }
        if let Some(selection) = case(word) {
            return Ok(selection);
        }
        Err(format!(
            "{word:?} is no statement (v5/MQTT-4.3.3-1), section (v5/4.3), version (v3.1.1) or case{}",
            nearest(word)
        ))
    }

    fn takes(&self, chosen: Chosen) -> bool {
        match self {
            Selection::Statement(id) => chosen.case.claims_in(chosen.version).contains(id),
            Selection::Section(version, section) => {
                let claims = chosen.case.claims_in(*version);
                chosen.version == *version && claims.iter().any(|id| is_within(id.statement().section, section))
            }
            Selection::Version(version) => chosen.version == *version,
            Selection::Case(version, name) => {
                chosen.case.name == name && version.is_none_or(|version| chosen.version == version)
            }
        }
    }

    /// Whether a statement is among what is asked for.
    pub fn asks_for(&self, id: Id) -> bool {
        match self {
            Selection::Statement(one) => *one == id,
            Selection::Section(version, section) => {
                id.version() == *version && is_within(id.statement().section, section)
            }
            Selection::Version(version) => id.version() == *version,
            Selection::Case(version, name) => {
                version.is_none_or(|version| id.version() == version)
                    && cases().any(|case| case.name == name && case.claims.contains(&id.name()))
            }
        }
    }
}

/// A case, as `NAME` or `v5/NAME`.
fn case(word: &str) -> Option<Selection> {
    let versions = [Version::V3_1_1, Version::V5];
    let in_one = versions.into_iter().find_map(|version| {
        let name = word.strip_prefix(statements::spelling(version))?.strip_prefix('/')?;
        Some((Some(version), name))
    });
    let (version, name) = in_one.unwrap_or((None, word));
    cases().any(|case| case.name == name).then(|| Selection::Case(version, name.to_owned()))
}

/// Whether a section is this one or lies below it.
fn is_within(section: &str, of: &str) -> bool {
    section.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn nearest(word: &str) -> String {
    let distance = |to: &'static str, word: &str| (strsim::damerau_levenshtein(word, to), to);
    let ids = [Version::V3_1_1, Version::V5].into_iter().flat_map(statements::all).map(|statement| statement.id.name());
    let case = word.rsplit('/').next().unwrap_or(word);
    let best = ids.map(|id| distance(id, word)).chain(cases().map(|it| distance(it.name, case))).min();
    match best {
        Some((distance, name)) if distance <= 3 => format!("; did you mean {name}?"),
        _ => String::new(),
    }
}

/// The cases for this role that some selection takes; all of them if there is none. A statement that only a rule watches
/// takes all cases of its version: any of them may exercise it.
pub fn choose(role: Role, selections: &[Selection]) -> Vec<Chosen> {
    let of_role = || cases().filter(move |case| case.role() == role);
    let each = of_role().flat_map(|case| case.versions().into_iter().map(move |version| Chosen { case, version }));
    let selections: Vec<Selection> = selections
        .iter()
        .map(|selection| match selection {
            Selection::Statement(id) if !of_role().any(|case| case.claims.contains(&id.name())) => {
                Selection::Version(id.version())
            }
            other => other.clone(),
        })
        .collect();
    each.filter(|chosen| selections.is_empty() || selections.iter().any(|selection| selection.takes(*chosen))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A case is selected, and stands in reports, by its name.
    #[test]
    fn no_two_cases_have_one_name() {
        let mut names = BTreeSet::new();
        let twice: Vec<&str> = cases().filter(|case| !names.insert(case.name)).map(|case| case.name).collect();
        assert_eq!(twice, Vec::<&str>::new());
    }
}
