//! The broker's disk: a store in a directory, written by a thread of its own.
//!
//! The broker's thread hands batches over and never waits. The disk's thread takes all that wait, writes them as one, syncs
//! once, and says up to which mark all is durable: under load many acknowledgements share one sync.
//!
//! In the directory: `simrun.redb`, the store; `lock`, held by the broker that uses it; and what was damaged, set aside
//! under another name.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::backends::FileBackend;
use thiserror::Error;

use crate::store::batch::Batch;
use crate::store::database::{Clock, Database, StoreError};
use crate::store::{Change, Mark, Restored};
use crate::time::Time;

/// With more than this waiting, in bytes, the host should take in nothing more until less waits.
const HIGH_WATER: usize = 32 << 20;
/// How long to wait before a disk that was full is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How much time may pass before it is written down how far the run's time has come.
const CLOCK: Duration = Duration::from_secs(10);

const STORE: &str = "simrun.redb";
const LOCK: &str = "lock";

/// Why a directory cannot be the broker's disk.
#[derive(Debug, Error)]
pub enum DiskError {
    /// Another broker uses it.
    #[error("{0} is in use by another broker; stop it, or choose another directory with --data DIR")]
    InUse(PathBuf),
    /// A later version of this program wrote it.
    #[error("{file}: {why}; use that version, or another directory with --data DIR", file = .0.display(), why = .1)]
    Newer(PathBuf, StoreError),
    /// The operating system refuses.
    #[error("{what} {path}: {why}", path = .path.display())]
    Refused {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What it says.
        why: io::Error,
    },
}

/// What the disk's thread tells.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// All up to this mark is durable.
    Stored(Mark),
    /// Nothing can be written now, and why. It is tried again until it works: see [`Told::Recovered`].
    Failing(String),
    /// It can be written again.
    Recovered,
    /// Nothing will be durable any more, and why: the host has to end.
    Failed(String),
    /// The disk was closed while nothing could be written: what waited is given up.
    Unwritten,
}

/// An opened disk: what a broker starts from.
pub struct Opened {
    /// The records.
    pub restored: Restored,
    /// The moment of the run at which it goes on; times in the records are of the same run.
    pub now: Time,
    /// What the owner should know: what was damaged and is lost.
    pub remarks: Vec<String>,
    store: Store,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("now", &self.now).field("records", &self.restored.len()).finish_non_exhaustive()
    }
}

/// The way to the disk's thread. When it is dropped, what waits is written first, unless nothing can be written.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Rung when something is put into the queue.
    bell: Condvar,
    /// How much waits or is being written, in bytes.
    waiting: AtomicUsize,
    /// The last mark that is durable.
    stored: AtomicU64,
    /// Nothing can be written now.
    failing: AtomicBool,
    /// Nothing will be written any more.
    failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    /// All up to here is in the batch, or was in an earlier one.
    mark: Mark,
    /// What of that is being written, or is durable.
    taken: Mark,
    closed: bool,
}

impl Disk {
    /// Opens the store in a directory, which is made if it is not there, for this process alone. A damaged store is set
    /// aside, and a new one begun: `remarks` says so.
    ///
    /// # Errors
    /// If the directory is in use, written by a later version, or not to be read and written.
    pub fn open(directory: &Path) -> Result<Opened, DiskError> {
        let lock = lock(directory)?;
        let file = directory.join(STORE);
        let mut remarks = Vec::new();
        let (database, contents) = match open_store(&file) {
            Err(StoreError::Damaged(why)) => {
                let aside = set_aside(&file)?;
                remarks.push(format!(
                    "{} is damaged ({why}) and was set aside as {}; the broker starts empty: the sessions, \
                     subscriptions, queued and retained messages in it are lost",
                    file.display(),
                    aside.display()
                ));
                open_store(&file)
            }
            opened => opened,
        }
        .map_err(|error| match error {
            StoreError::InUse => DiskError::InUse(directory.to_owned()),
            StoreError::Newer(_) => DiskError::Newer(file.clone(), error),
            StoreError::Storage(why) | StoreError::Unsynced(why) => refused("cannot open", &file, why),
            StoreError::Damaged(why) => refused("cannot make", &file, io::Error::other(why)),
        })?;
        sync_directory(directory)?;
        if contents.unreadable > 0 {
            let (count, file) = (contents.unreadable, file.display());
            remarks.push(format!("{file}: {count} records cannot be read and are lost; the others are intact"));
        }
        let clock = Clock::resume(contents.clock, unix_time());
        let reopen = Box::new(move || open_store(&file));
        let store = Store::new(Some(database), reopen, clock, Some(lock));
        Ok(Opened { restored: contents.restored, now: clock.last, remarks, store })
    }

    /// Hands over a batch. It is durable, with all before it, once [`Told::Stored`] says so.
    pub fn write(&self, changes: Vec<Change>, mark: Mark) {
        let mut queue = self.shared.lock();
        let (is_first, before) = (queue.mark == queue.taken, queue.batch.weight());
        queue.batch.extend(changes);
        queue.mark = mark;
        // It may have become less.
        self.shared.waiting.fetch_add(queue.batch.weight().wrapping_sub(before), Ordering::Relaxed);
        drop(queue);
        // To ring costs a system call, and one that has been rung for comes.
        if is_first {
            self.shared.bell.notify_one();
        }
    }

    /// The mark up to which all is durable.
    pub fn stored(&self) -> Mark {
        Mark(self.shared.stored.load(Ordering::Acquire))
    }

    /// Whether the host should take in nothing more for now: too much waits, or nothing can be written. It is over at the
    /// latest when [`Told::Stored`] or [`Told::Recovered`] is said.
    pub fn is_congested(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed) || self.shared.waiting.load(Ordering::Relaxed) > HIGH_WATER
    }
}

impl Disk {
    /// Whether [`Told::Failed`] was said.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Opened {
    /// Starts the disk's thread; `told` is called on it.
    ///
    /// # Errors
    /// If the operating system gives us no thread.
    pub fn start(self, told: impl FnMut(Told) + Send + 'static) -> io::Result<Disk> {
        let shared = Arc::new(Shared::default());
        let mut writer = Writer { shared: shared.clone(), store: self.store, told: Box::new(told) };
        let thread = std::thread::Builder::new().name("disk".to_owned()).spawn(move || writer.run())?;
        Ok(Disk { shared, thread: Some(thread) })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has said what went wrong.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that waits, once something does, into an empty batch; `None` once there will be nothing more.
    fn take(&self, batch: &mut Batch) -> Option<Mark> {
        let mut queue = self.lock();
        while queue.mark == queue.taken {
            if queue.closed {
                return None;
            }
            queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut queue.batch, batch);
        queue.taken = queue.mark;
        Some(queue.mark)
    }

    /// Waits for a while; false if the disk is closed meanwhile.
    fn pause(&self) -> bool {
        let queue = self.lock();
        let waited = self.bell.wait_timeout_while(queue, PAUSE, |queue| !queue.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

/// The disk's thread.
struct Writer {
    shared: Arc<Shared>,
    store: Store,
    told: Box<dyn FnMut(Told) + Send>,
}

impl Writer {
    fn run(&mut self) {
        let mut batch = Batch::default();
        while let Some(mark) = self.shared.take(&mut batch) {
            if !batch.is_empty() && !self.write(&batch) {
                return;
            }
            self.shared.waiting.fetch_sub(batch.weight(), Ordering::Relaxed);
            batch.clear();
            self.shared.stored.store(mark.0, Ordering::Release);
            (self.told)(Told::Stored(mark));
        }
        self.store.close();
    }

    /// Writes until it is written; false if it cannot be.
    fn write(&mut self, batch: &Batch) -> bool {
        loop {
            let error = match self.store.write(batch) {
                Ok(()) => break,
                Err(error) => error,
            };
            let failing = self.shared.failing.swap(true, Ordering::Relaxed);
            if !passes(&error) {
                self.shared.failed.store(true, Ordering::Relaxed);
                (self.told)(Told::Failed(error.to_string()));
                return false;
            }
            if !failing {
                (self.told)(Told::Failing(error.to_string()));
            }
            if !self.shared.pause() {
                (self.told)(Told::Unwritten);
                return false;
            }
        }
        if self.shared.failing.swap(false, Ordering::Relaxed) {
            (self.told)(Told::Recovered);
        }
        true
    }
}

/// Whether an error is over once somebody makes room. After a sync that failed nobody knows what is on the disk.
fn passes(error: &StoreError) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, StoreError::Storage(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

/// What opens the store again after an error.
type Reopen = Box<dyn FnMut() -> Result<(Database, crate::store::database::Contents), StoreError> + Send>;

/// The store and the time of its run.
struct Store {
    database: Option<Database>,
    reopen: Reopen,
    /// As it stood when the store was opened.
    clock: Clock,
    #[allow(clippy::disallowed_types)] // This is where real time comes from.
    opened: std::time::Instant,
    /// How far the run's time had come when it was last written down.
    noted: Option<Time>,
    /// Held for as long as the store is used.
    _lock: Option<File>,
}

impl Store {
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)]
    fn new(database: Option<Database>, reopen: Reopen, clock: Clock, lock: Option<File>) -> Store {
        Store { database, reopen, clock, opened: std::time::Instant::now(), noted: None, _lock: lock }
    }

    fn now(&self) -> Time {
        self.clock.last + self.opened.elapsed()
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let now = self.now();
        let due = self.noted.is_none_or(|noted| now.since(noted) >= CLOCK);
        self.write_with(batch, due.then_some(now))
    }

    fn write_with(&mut self, batch: &Batch, now: Option<Time>) -> Result<(), StoreError> {
        let database = match &mut self.database {
            Some(database) => database,
            None => self.database.insert((self.reopen)()?.0),
        };
        let clock = now.map(|last| Clock { last, ..self.clock });
        match database.write(batch, clock) {
            Ok(()) => {
                self.noted = now.or(self.noted);
                Ok(())
            }
            Err(error) => {
                // Only what is opened again can be written to.
                self.database = None;
                Err(error)
            }
        }
    }

    /// Notes how far the run's time has come.
    fn close(&mut self) {
        let now = self.now();
        // If it cannot be, the next run takes the machine's clock at its word.
        let _ = self.write_with(&Batch::default(), Some(now));
    }
}

fn open_store(file: &Path) -> Result<(Database, crate::store::database::Contents), StoreError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(file);
    let storage =
        file.and_then(|file| FileBackend::new(file).map_err(io::Error::other)).map_err(StoreError::Storage)?;
    Database::open(storage)
}

/// Makes the directory if need be, for its owner alone, and takes it for this process.
fn lock(directory: &Path) -> Result<File, DiskError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|why| refused("cannot make", directory, why))?;
    let path = directory.join(LOCK);
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|why| refused("cannot write", &path, why))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DiskError::InUse(directory.to_owned())),
        Err(TryLockError::Error(why)) => Err(refused("cannot lock", &path, why)),
    }
}

/// Gives a damaged store another name, which nothing has.
fn set_aside(file: &Path) -> Result<PathBuf, DiskError> {
    for number in 1..u32::MAX {
        let aside = file.with_extension(format!("redb.damaged-{number}"));
        if !aside.exists() {
            return match std::fs::rename(file, &aside) {
                Ok(()) => Ok(aside),
                Err(why) => Err(refused("cannot set aside", file, why)),
            };
        }
    }
    Err(refused("cannot set aside", file, io::ErrorKind::AlreadyExists.into()))
}

/// A file's name is durable only once its directory is.
fn sync_directory(directory: &Path) -> Result<(), DiskError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|why| refused("cannot sync", directory, why))
}

fn refused(what: &'static str, path: &Path, why: io::Error) -> DiskError {
    DiskError::Refused { what, path: path.to_owned(), why }
}

/// The span since the Unix epoch, by the machine's clock.
#[allow(clippy::disallowed_types, clippy::disallowed_methods)]
fn unix_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::codec::Text;
    use crate::message::Message;
    use crate::sim::platter::{Mishap, Platter};
    use crate::store::{Key, Value};

    const LONG: Duration = Duration::from_secs(20);

    /// A disk whose store is on a simulated one, and what it tells.
    fn disk(platter: &Platter) -> (Disk, Receiver<Told>) {
        let reopen = {
            let platter = platter.clone();
            Box::new(move || Database::open(platter.clone()))
        };
        let (database, contents) = Database::open(platter.clone()).expect("it is sound");
        let clock = Clock::resume(contents.clock, Duration::from_secs(1000));
        let store = Store::new(Some(database), reopen, clock, None);
        let opened = Opened { restored: contents.restored, now: clock.last, remarks: Vec::new(), store };
        let (tell, told) = channel();
        let disk = opened.start(move |what| drop(tell.send(what))).expect("a thread");
        (disk, told)
    }

    fn batch(number: u64, len: usize) -> Vec<Change> {
        let topic = Text::try_from(number.to_string()).expect("a text");
        let message = Message { topic: topic.clone(), payload: vec![7; len].into(), ..Message::default() };
        vec![Change::new(Key::Retained(topic), Some(Value::Retained(Box::new(message))))]
    }

    fn records(platter: &Platter) -> usize {
        Database::open(platter.clone()).expect("it is sound").1.restored.len()
    }

    #[test]
    fn what_waits_is_written_together_and_told_in_order() {
        let platter = Platter::default();
        let (disk, told) = disk(&platter);
        (1..=1000).for_each(|number| disk.write(batch(number, 10), Mark(number)));
        let mut last = Mark(0);
        let mut commits = 0;
        while last < Mark(1000) {
            let Ok(Told::Stored(mark)) = told.recv_timeout(LONG) else { panic!("it is stored") };
            assert!(mark > last);
            assert!(disk.stored() >= mark);
            (last, commits) = (mark, commits + 1);
        }
        assert!(commits < 1000, "each batch by itself");
        drop(disk);
        assert_eq!(records(&platter), 1000);
    }

    #[test]
    fn what_waits_is_written_before_it_is_closed() {
        let platter = Platter::default();
        let (disk, _told) = disk(&platter);
        (1..=50).for_each(|number| disk.write(batch(number, 10), Mark(number)));
        drop(disk);
        assert_eq!(records(&platter), 50);
    }

    #[test]
    fn a_full_disk_promises_nothing_until_there_is_room() {
        let platter = Platter::default();
        let (disk, told) = disk(&platter);
        platter.plan(0, Mishap::Full);
        disk.write(batch(1, 1_000_000), Mark(1));
        assert!(matches!(told.recv_timeout(LONG), Ok(Told::Failing(_))));
        assert!(disk.is_congested());
        assert_eq!(disk.stored(), Mark(0));
        platter.mend();
        assert_eq!(told.recv_timeout(LONG), Ok(Told::Recovered));
        assert_eq!(told.recv_timeout(LONG), Ok(Told::Stored(Mark(1))));
        assert!(!disk.is_congested());
        drop(disk);
        assert_eq!(records(&platter), 1);
    }

    #[test]
    fn after_a_sync_that_failed_nothing_is_promised_any_more() {
        let platter = Platter::default();
        let (disk, told) = disk(&platter);
        platter.plan(0, Mishap::Broken);
        disk.write(batch(1, 10), Mark(1));
        assert!(matches!(told.recv_timeout(LONG), Ok(Told::Failed(_))));
        assert!(disk.has_failed() && disk.is_congested());
        platter.mend();
        disk.write(batch(2, 10), Mark(2));
        assert!(told.recv_timeout(LONG).is_err(), "its thread has ended");
        assert_eq!(disk.stored(), Mark(0));
    }

    #[test]
    fn the_host_is_told_when_too_much_waits() {
        let platter = Platter::default();
        let (disk, told) = disk(&platter);
        platter.plan(0, Mishap::Full);
        for number in 1..=40 {
            disk.write(batch(number, 1 << 20), Mark(number));
        }
        assert!(disk.is_congested());
        platter.mend();
        while disk.stored() < Mark(40) {
            told.recv_timeout(LONG).expect("it goes on");
        }
        assert!(!disk.is_congested());
    }
}
