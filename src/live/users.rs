//! Files of users: a line for each, `NAME:HASH`, as mosquitto writes them; behind another colon may stand what SCRAM needs.
//!
//! ```text
//! ada:$argon2id$v=19$m=19456,t=2,p=1$…$…:SCRAM-SHA-256$4096:…$…:…
//! grace:$7$101$…$…
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::broker::Credential;
use crate::password::PasswordHash;
use crate::scram::{self, Verifier};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Why a file of users cannot be used.
#[derive(Debug, Error)]
pub enum UsersError {
    /// It cannot be read or written.
    #[error("{file}: {1}", file = .0.display())]
    File(PathBuf, io::Error),
    /// It is too large.
    #[error("{file}: the file is larger than {LARGEST} bytes", file = .0.display())]
    TooLarge(PathBuf),
    /// A line of it is wrong.
    #[error("{shown}:{line}: {what}", shown = file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// The users of a file.
pub type Users = BTreeMap<String, Credential>;

/// Reads a file of users.
///
/// # Errors
/// If it cannot be read, or a line of it is none; the line is named and nothing of it is shown.
pub fn read(path: &Path) -> Result<Users, UsersError> {
    let metadata = fs::metadata(path).map_err(|error| UsersError::File(path.to_owned(), error))?;
    if metadata.len() > LARGEST {
        return Err(UsersError::TooLarge(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| UsersError::File(path.to_owned(), error))?;
    let mut users = Users::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: String| UsersError::Line { file: path.to_owned(), line: number + 1, what };
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once(':').ok_or_else(|| wrong("a line is NAME:HASH".to_owned()))?;
        let (hash, scram) = rest.split_once(':').map_or((rest, None), |(hash, scram)| (hash, Some(scram)));
        let hash = hash.trim_end().parse::<PasswordHash>().map_err(|error| wrong(error.to_string()))?;
        let scram = scram.map(|text| text.trim_end().parse::<Verifier>()).transpose();
        let scram = scram.map_err(|error| wrong(error.to_string()))?;
        if users.insert(name.to_owned(), Credential::Hash(Arc::new(hash), scram)).is_some() {
            return Err(wrong(format!("the user {name} stands here twice")));
        }
    }
    Ok(users)
}

/// Whether others than its owner and group may read a file.
pub fn is_world_readable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// The credential of a password: its argon2id hash and, if wanted, what SCRAM needs.
pub fn credential(password: &str, with_scram: bool) -> io::Result<Credential> {
    let (mut salt, mut scram_salt) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut scram_salt)).map_err(io::Error::other)?;
    let verifier = with_scram.then(|| Verifier::new(password, &scram_salt, scram::ITERATIONS));
    Ok(Credential::Hash(Arc::new(PasswordHash::new(password.as_bytes(), salt)), verifier))
}

/// Adds, changes or (with `None`) removes a user in a file, which is made if it is not there; all else in it stays. The
/// file is replaced at once or not at all, and only its owner may read it. Whether the user was there.
///
/// # Errors
/// If the file cannot be read, is none, or cannot be written.
pub fn change(path: &Path, name: &str, credential: Option<&Credential>) -> Result<bool, UsersError> {
    let failed = |error| UsersError::File(path.to_owned(), error);
    let old = match fs::read_to_string(path) {
        Ok(text) => {
            read(path)?;
            text
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let mut line = match credential {
        Some(Credential::Hash(hash, None)) => Some(format!("{name}:{hash}")),
        Some(Credential::Hash(hash, Some(scram))) => Some(format!("{name}:{hash}:{scram}")),
        Some(Credential::Password(_)) | None => None,
    };
    let mut lines = Vec::new();
    let mut was_there = false;
    for old in old.lines() {
        if old.split_once(':').is_some_and(|(other, _)| other == name) {
            was_there = true;
            lines.extend(line.take());
        } else {
            lines.push(old.to_owned());
        }
    }
    lines.extend(line);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        // It begins with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for line in &lines {
            writeln!(file, "{line}")?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        io::Result::Ok(())
    };
    write().map_err(failed)?;
    Ok(was_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_change_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let right = |name: &str, password: &str| match &read(&path).expect("it reads")[name] {
            Credential::Hash(hash, _) => hash.is_of(password.as_bytes()),
            Credential::Password(_) => false,
        };
        let new = |password, scram| credential(password, scram).expect("chance");
        assert!(!change(&path, "ada", Some(&new("lovelace", true))).expect("made"));
        assert!(!change(&path, "grace", Some(&new("hopper", false))).expect("added"));
        assert!(right("ada", "lovelace") && right("grace", "hopper") && !right("ada", "hopper"));
        assert!(matches!(&read(&path).expect("it reads")["ada"], Credential::Hash(_, Some(_))), "SCRAM's keys");
        fs::write(&path, format!("# people\n\n{}", fs::read_to_string(&path).expect("text"))).expect("written");
        assert!(change(&path, "ada", Some(&new("byron", false))).expect("changed"));
        assert!(right("ada", "byron") && right("grace", "hopper"));
        assert!(change(&path, "ada", None).expect("removed") && !change(&path, "ada", None).expect("was not there"));
        let text = fs::read_to_string(&path).expect("text");
        assert!(text.starts_with("# people\n\ngrace:$argon2id$") && text.lines().count() == 3, "{text}");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(!is_world_readable(&path));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn a_line_that_is_wrong_is_named_and_nothing_of_it_is_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        for (text, line, word) in [
            ("ada\n", 1, "NAME:HASH"),
            ("# people\nada:secret\n", 2, "no hash"),
            ("ada:$6$AAAA$AAAA\n", 1, "broken"),
            ("ada:$6$AAAA$AAAA:SCRAM\n", 1, "broken"),
        ] {
            fs::write(&path, text).expect("written");
            let said = read(&path).expect_err("wrong").to_string();
            assert!(said.contains(&format!("users:{line}: ")) && said.contains(word), "{said}");
            assert!(!said.contains("secret"), "{said}");
            assert!(change(&path, "grace", None).is_err() && fs::read_to_string(&path).expect("there") == text);
        }
        let said = read(&folder.path().join("nobody")).expect_err("nothing there").to_string();
        assert!(said.contains("nobody"), "{said}");
    }
}
