//! `simrun passwd`: users and hashes of their passwords, in a file for `--users`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{say, wrong};
use crate::codec::Text;
use crate::live::users;

/// Whose password, and where.
#[derive(Debug, Args)]
#[command(after_help = "\
The password is asked for twice on a terminal, and read from standard input otherwise. Passwords are kept as argon2id hashes; \
lines of mosquitto_passwd may stand in the same file. A running broker re-reads it on SIGHUP.")]
pub(super) struct PasswdArguments {
    /// The file; made if it is not there, readable for its owner alone
    file: PathBuf,
    /// The user's name
    name: String,
    /// Remove the user
    #[arg(short = 'D', long)]
    delete: bool,
    /// Keep what SCRAM-SHA-256 needs too, so that the user can prove the password without sending it
    #[arg(long, conflicts_with = "delete")]
    scram: bool,
}

/// Adds, changes or removes a user.
pub(super) fn run(arguments: &PasswdArguments) -> ExitCode {
    match change(arguments) {
        Ok(done) => {
            say(&format!("{done}\n"));
            ExitCode::SUCCESS
        }
        Err(what) => wrong(format_args!("error: {what}")),
    }
}

fn change(arguments: &PasswdArguments) -> Result<String, String> {
    let PasswdArguments { file, name, delete, scram } = arguments;
    if name.is_empty()
        || name.contains([':', '\n', '\r'])
        || name.starts_with('#')
        || Text::try_from(name.as_str()).is_err()
    {
        return Err(format!("{name:?} cannot be a user's name: it may not be empty, begin with # or hold a colon"));
    }
    let shown = file.display();
    if *delete {
        return match users::change(file, name, None).map_err(|error| error.to_string())? {
            true => Ok(format!("{shown}: {name} is removed")),
            false => Err(format!("{shown}: there is no user {name}")),
        };
    }
    let password = password(name).map_err(|error| format!("no password: {error}"))?;
    if password.is_empty() || password.len() > usize::from(u16::MAX) {
        return Err("a password has from 1 to 65535 bytes".to_owned());
    }
    let credential = users::credential(&password, *scram).map_err(|error| error.to_string())?;
    let was_there = users::change(file, name, Some(&credential)).map_err(|error| error.to_string())?;
    Ok(format!("{shown}: {name} {}", if was_there { "has a new password" } else { "is added" }))
}

fn password(name: &str) -> io::Result<String> {
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password(format!("Password of {name}: "))?;
        let again = rpassword::prompt_password("Once more: ")?;
        return if first == again { Ok(first) } else { Err(io::Error::other("the two are not the same")) };
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
