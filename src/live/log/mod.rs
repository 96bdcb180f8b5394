//! The broker's log, on standard error: for a reader where that is a terminal, as lines of JSON elsewhere.
//!
//! A thread of its own writes it, many lines at a time, so that nobody waits for whoever reads the log: what does not fit
//! is left out, and said to be. Everything a client chose goes in as a value, which is quoted and escaped: it can forge no
//! line and send a terminal nothing. There is never a payload or a password in it.
//!
//! | file | what |
//! |---|---|
//! | `mod` | what waits to be written, and the thread that writes it |
//! | `line` | how a line looks |
//! | `notice` | what a line about a client says |

mod line;
mod notice;

use std::io::{self, IsTerminal, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;

use crate::broker::{Notice, Notices};
use line::{Look, Moment, Value};

/// How many entries may wait to be written, and how many bytes that clients chose.
const WAITING: usize = 8192;
const WAITING_BYTES: usize = 8 << 20;
/// How long the writer gathers before it writes: under load many lines share one write, and nobody wakes it for each.
const GATHER: Duration = Duration::from_millis(10);
/// How long is waited for what is left.
const PATIENCE: Duration = Duration::from_secs(1);

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
}

/// What is to be written, and when it happened.
struct Entry {
    moment: Moment,
    what: What,
}

enum What {
    /// Of a client.
    Notice(Notice),
    /// Of the broker itself.
    Said(Level, String, Vec<(&'static str, String)>),
}

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    look: Look,
    level: Level,
    queue: Mutex<Queue>,
    /// Rung for the writer.
    bell: Condvar,
    /// Rung by the writer when it has written all.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    /// How many bytes in them clients chose.
    bytes: usize,
    left_out: u64,
    /// The writer waits for the bell.
    asleep: bool,
    /// The writer has entries that it has not written.
    busy: bool,
    /// Somebody waits for all to be written: nothing is gathered.
    hurry: bool,
}

/// Begins to write. Without a form, standard error decides. Only the first call counts.
pub fn begin(form: Option<Form>, level: Level) {
    let terminal = io::stderr().is_terminal();
    let form = form.unwrap_or(if terminal { Form::Human } else { Form::Json });
    let look = Look { form, colours: terminal && form == Form::Human };
    let log = Log { look, level, queue: Mutex::default(), bell: Condvar::new(), written: Condvar::new() };
    if LOG.set(log).is_ok()
        && let Some(log) = LOG.get()
    {
        // Without the thread there is no log, which is no reason not to serve.
        let _ = thread::Builder::new().name("log".into()).spawn(move || log.write_all(&mut io::stderr()));
    }
}

/// Writes what the broker noted of a client, soon.
pub fn notice(notice: Notice) {
    if let Some(log) = LOG.get()
        && notice::level(&notice) <= log.level
    {
        let bytes = notice::weight(&notice);
        log.push(What::Notice(notice), bytes);
    }
}

/// Writes what the broker says of itself, soon: words, and values by name.
pub fn say(level: Level, words: impl Into<String>, values: &[(&'static str, &str)]) {
    if let Some(log) = LOG.get()
        && level <= log.level
    {
        let values = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        log.push(What::Said(level, words.into(), values), 0);
    }
}

/// Waits until all is written, but not for long: nobody may read it.
pub fn catch_up() {
    if let Some(log) = LOG.get() {
        log.catch_up();
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, what: What, bytes: usize) {
        let moment = Moment::now();
        let mut queue = self.lock();
        if queue.entries.len() >= WAITING || queue.bytes + bytes > WAITING_BYTES {
            queue.left_out += 1;
            return;
        }
        queue.bytes += bytes;
        queue.entries.push(Entry { moment, what });
        let asleep = std::mem::replace(&mut queue.asleep, false);
        drop(queue);
        if asleep {
            self.bell.notify_one();
        }
    }

    fn catch_up(&self) {
        let mut queue = self.lock();
        queue.hurry = true;
        self.bell.notify_one();
        let left = |queue: &mut Queue| queue.busy || !queue.entries.is_empty();
        // What is not written by then nobody reads.
        let caught_up = self.written.wait_timeout_while(queue, PATIENCE, left);
        caught_up.unwrap_or_else(PoisonError::into_inner).0.hurry = false;
    }

    fn write_all(&self, out: &mut impl Write) {
        let (mut entries, mut text) = (Vec::new(), Vec::new());
        loop {
            let left_out = self.take(&mut entries);
            for Entry { moment, what } in entries.drain(..) {
                match what {
                    What::Notice(notice) => notice::write(&notice, self.look.begin(&mut text, moment)),
                    What::Said(level, words, values) => {
                        let mut line = self.look.begin(&mut text, moment).says(level, &words);
                        for (name, value) in &values {
                            line = line.with(name, Value::Text(value));
                        }
                        line.end();
                    }
                }
            }
            if left_out > 0 {
                let line = self.look.begin(&mut text, Moment::now());
                let line = line.says(Level::Warn, "the log was not read in time: lines are left out");
                line.with("lines", Value::Number(left_out)).end();
            }
            // Nobody may read it any more, which is no reason not to serve.
            let _ = out.write_all(&text);
            text.clear();
        }
    }

    /// Waits for entries, gathers, and takes all; how many did not fit meanwhile.
    fn take(&self, entries: &mut Vec<Entry>) -> u64 {
        let mut queue = self.lock();
        queue.busy = false;
        while queue.entries.is_empty() {
            self.written.notify_all();
            queue.asleep = true;
            queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let gathering = |queue: &mut Queue| !queue.hurry && queue.entries.len() < WAITING / 2;
        let gathered = self.bell.wait_timeout_while(queue, GATHER, gathering);
        let mut queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        queue.busy = true;
        queue.bytes = 0;
        std::mem::swap(&mut queue.entries, entries);
        std::mem::take(&mut queue.left_out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A reader that hears of each write, and takes it when it is let.
    struct Reader {
        wrote: Sender<String>,
        may: Arc<Mutex<()>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.may.lock().expect("not poisoned"));
            self.wrote.send(String::from_utf8(bytes.to_vec()).expect("text")).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> &'static Log {
        let look = Look { form: Form::Human, colours: false };
        let log =
            Log { look, level: Level::Info, queue: Mutex::default(), bell: Condvar::new(), written: Condvar::new() };
        Box::leak(Box::new(log))
    }

    fn say(log: &Log, words: String) {
        log.push(What::Said(Level::Info, words, Vec::new()), 0);
    }

    #[test]
    fn many_lines_are_one_write_in_order_and_none_is_lost_at_the_end() {
        let (wrote, writes) = channel();
        let log = log();
        (0..1000).for_each(|n| say(log, format!("line {n}.")));
        thread::spawn(move || log.write_all(&mut Reader { wrote, may: Arc::default() }));
        (1000..2000).for_each(|n| say(log, format!("line {n}.")));
        log.catch_up();
        let writes: Vec<String> = writes.try_iter().collect();
        assert!(writes.len() < 100, "{} writes", writes.len());
        let all = writes.concat();
        assert_eq!(all.lines().count(), 2000);
        assert!(all.lines().enumerate().all(|(n, line)| line.ends_with(&format!(" INFO line {n}."))), "{all}");
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read_and_what_is_left_out_is_counted() {
        let (wrote, writes) = channel();
        let (log, may) = (log(), Arc::new(Mutex::new(())));
        let reader = Reader { wrote, may: may.clone() };
        let held = may.lock().expect("not poisoned");
        thread::spawn(move || log.write_all(&mut { reader }));
        (0..3 * WAITING).for_each(|n| say(log, format!("line {n}.")));
        drop(held);
        log.catch_up();
        let all = writes.try_iter().collect::<String>();
        let written = all.lines().filter(|line| line.contains(" line ")).count();
        let left_out: usize = all.lines().filter_map(|line| line.rsplit_once("lines=")?.1.parse::<usize>().ok()).sum();
        assert!(left_out > 0 && written >= WAITING, "{written} written, {left_out} left out");
        assert_eq!(written + left_out, 3 * WAITING);
    }
}
