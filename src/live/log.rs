//! The broker's log, on standard error: for a reader where that is a terminal, as lines of JSON elsewhere.
//!
//! What the broker notes is written by a thread of its own, so that nobody waits for whoever reads the log: what does not
//! fit is left out, and said to be. Everything a client chose goes in as a value, which is quoted and escaped: it can
//! forge no line and send a terminal nothing. There is never a payload or a password in it.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{debug, info, warn};

use crate::broker::{Notice, Noticed, Notices, Who, WillFate};

/// How many notices may wait to be written.
const WAITING: usize = 8192;
/// How long the end of the program waits for them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For a reader
    Human,
    /// An object a line
    Json,
}

/// How much is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// Nothing
    Off,
    /// What keeps the broker from doing what it should
    Error,
    /// Limits that are hit, too
    Warn,
    /// Who comes and goes, too
    #[default]
    Info,
    /// Subscriptions, too
    Debug,
}

impl Level {
    /// What the broker has to note for it.
    pub fn notices(self) -> Notices {
        match self {
            Level::Off | Level::Error => Notices::None,
            Level::Warn | Level::Info => Notices::Few,
            Level::Debug => Notices::All,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
        }
    }
}

/// What is to be written.
enum Entry {
    Notice(Box<Notice>),
    /// All that came before is written.
    Written(SyncSender<()>),
}

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    entries: SyncSender<Entry>,
    left_out: AtomicU64,
}

/// Begins to write. Without a form, standard error decides. Only the first call counts.
pub fn begin(form: Option<Form>, level: Level) {
    let terminal = io::stderr().is_terminal();
    let form = form.unwrap_or(if terminal { Form::Human } else { Form::Json });
    let lines = tracing_subscriber::fmt().with_max_level(level.filter()).with_target(false).with_writer(io::stderr);
    // Somebody else's subscriber is as good.
    let _ = match form {
        Form::Human => tracing::subscriber::set_global_default(lines.compact().with_ansi(terminal).finish()),
        Form::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
    let (entries, waiting) = sync_channel(WAITING);
    if LOG.set(Log { entries, left_out: AtomicU64::new(0) }).is_ok() {
        // Without the thread there is no log, which is no reason not to serve.
        let _ = thread::Builder::new().name("log".into()).spawn(move || write_all(&waiting));
    }
}

/// Writes what the broker noted, soon.
pub fn notice(notice: Notice) {
    let Some(log) = LOG.get() else { return };
    if log.entries.try_send(Entry::Notice(Box::new(notice))).is_err() {
        log.left_out.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until all is written, but not for long.
pub fn finish() {
    let Some(log) = LOG.get() else { return };
    let (tell, told) = sync_channel(1);
    if log.entries.try_send(Entry::Written(tell)).is_ok() {
        let _ = told.recv_timeout(LAST_WORDS);
    }
}

fn write_all(waiting: &Receiver<Entry>) {
    for entry in waiting {
        match entry {
            Entry::Notice(notice) => write(&notice),
            Entry::Written(tell) => drop(tell.try_send(())),
        }
        if let Some(lines) = LOG.get().map(|log| log.left_out.swap(0, Ordering::Relaxed)).filter(|&lines| lines > 0) {
            warn!(lines, "the log was not read in time: lines are left out");
        }
    }
}

fn write(notice: &Notice) {
    let Who { client_id, user, address } = &notice.who;
    let (client_id, user) = (client_id.as_deref(), user.as_deref());
    let address = address.as_ref().map(|peer| peer.0.as_str());
    match &notice.what {
        Noticed::Connected { version, keep_alive, clean_start, session_present } => {
            let version = version.to_string();
            let version = version.as_str();
            info!(client_id, user, address, version, keep_alive, clean_start, session_present, "connected");
        }
        Noticed::Refused(cause) => {
            let reason = cause.to_string();
            info!(client_id, user, address, reason = reason.as_str(), "refused");
        }
        Noticed::Disconnected { cause, will } => {
            let reason = cause.to_string();
            let reason = reason.as_str();
            match will {
                WillFate::None => info!(client_id, user, address, reason, "disconnected"),
                WillFate::Published => info!(client_id, user, address, reason, will = "published", "disconnected"),
                WillFate::Delayed(will_in) => info!(client_id, user, address, reason, will_in, "disconnected"),
            }
        }
        Noticed::WillPublished(topic) => info!(client_id, user, topic = topic.as_str(), "will published"),
        Noticed::Expired => info!(client_id, user, reason = "nobody came back to it in time", "session expired"),
        Noticed::SessionEnded => info!(client_id, user, address, reason = "ended by the operator", "session ended"),
        Noticed::Subscribed(filter, Ok(qos)) => {
            debug!(client_id, user, address, filter = filter.as_str(), qos = qos.number(), "subscribed");
        }
        Noticed::Subscribed(filter, Err(reason)) => {
            let reason = reason.to_string();
            info!(client_id, user, address, filter = filter.as_str(), reason, "subscription refused");
        }
        Noticed::Unsubscribed(filter) => {
            debug!(client_id, user, address, filter = filter.as_str(), "unsubscribed");
        }
        Noticed::LimitHit(limit, times) => warn!(client_id, user, address, times, "{}", limit.words()),
    }
}
