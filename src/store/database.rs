//! The records in a redb database, on whatever storage it is given: a file (`live`), or a disk in simulated time (`sim`).
//!
//! | table | holds |
//! |---|---|
//! | `about` | `format`: [`FORMAT`]; `began` and `last`: see [`Clock`] |
//! | `records` | records, in the form of [`encoding`](super::encoding) |

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redb::{Builder, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError};
use thiserror::Error;

use super::batch::Batch;
use super::encoding::{FORMAT, decode, encode_key, encode_value};
use super::{Change, Key, Restored, Value};
use crate::time::Time;

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// How much of the file is kept in memory, in bytes.
const CACHE: usize = 16 << 20;

/// How much is read at once where it is looked whether there is anything, in bytes.
const PAGE: usize = 4096;

/// Why a store cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("another process has it open")]
    InUse,
    /// It was written by a later version of this program.
    #[error("it has format {0}, and this version knows formats up to {FORMAT}: a newer simrun wrote it")]
    Newer(u64),
    /// What stands there is no store, or not a whole one.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The storage refused. It may be asked again, once the store has been opened again.
    #[error("{0}")]
    Storage(io::Error),
    /// The storage failed to sync. What it has shown since may be lost: nothing can be promised before the host has
    /// started anew.
    #[error("it could not be synced: {0}")]
    Unsynced(io::Error),
}

/// The time of a run that outlives its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// When the run began, as the span since the Unix epoch by the machine's clock.
    pub began: Duration,
    /// The latest moment of the run that is known to have been.
    pub last: Time,
}

impl Clock {
    /// The clock of a run that goes on, or begins, when the machine's clock says `unix`. A run's time never goes back: if
    /// the machine's clock was set back, the run goes on where it was.
    pub fn resume(kept: Option<Clock>, unix: Duration) -> Clock {
        let Some(kept) = kept else { return Clock { began: unix, last: Time::ZERO } };
        let now = Time::after(unix.saturating_sub(kept.began)).max(kept.last);
        Clock { began: unix.saturating_sub(now.since_start()), last: now }
    }
}

/// What stood in a store when it was opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its records.
    pub restored: Restored,
    /// How many records could not be read; they are left where they are.
    pub unreadable: usize,
    /// The run's clock, if there was one.
    pub clock: Option<Clock>,
}

/// An open store.
#[derive(Debug)]
pub struct Database {
    redb: redb::Database,
    /// A sync has failed.
    unsynced: Arc<AtomicBool>,
}

/// A storage that notes a sync that fails, which redb does not tell apart from other errors.
///
/// Locks are left to the owner of the storage.
#[derive(Debug)]
struct Noting<S> {
    storage: S,
    unsynced: Arc<AtomicBool>,
}

impl Database {
    /// Opens the store on a storage, or makes one where the storage is empty, and reads what is in it.
    ///
    /// # Errors
    /// See [`StoreError`]; the storage is as it was then, but for what redb mends after a crash.
    pub fn open(storage: impl StorageBackend) -> Result<(Database, Contents), StoreError> {
        // redb takes some files that it did not write for an error of its own.
        let opened = catch_unwind(AssertUnwindSafe(|| Database::open_sound(storage)));
        opened.unwrap_or_else(|_| Err(StoreError::Damaged("its inner order is broken".to_owned())))
    }

    fn open_sound(storage: impl StorageBackend) -> Result<(Database, Contents), StoreError> {
        if is_unborn(&storage).map_err(StoreError::Storage)? {
            storage.set_len(0).map_err(StoreError::Storage)?;
        }
        let unsynced = Arc::new(AtomicBool::new(false));
        let storage = Noting { storage, unsynced: unsynced.clone() };
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = Database { redb: builder.create_with_backend(storage).map_err(refused)?, unsynced };
        let contents = database.read()?;
        Ok((database, contents))
    }

    /// Applies a batch, all of it or nothing; they are durable once this returns. `clock` is noted beside them.
    ///
    /// # Errors
    /// [`StoreError::Storage`] or [`StoreError::Unsynced`] if the storage refused. Nothing more can be written until the
    /// store is opened again, and whether the changes are there is known only then.
    pub fn write(&mut self, batch: &Batch, clock: Option<Clock>) -> Result<(), StoreError> {
        self.apply(batch, clock).map_err(|error| match error {
            StoreError::Storage(error) if self.unsynced.load(Ordering::Relaxed) => StoreError::Unsynced(error),
            error => error,
        })
    }

    fn apply(&self, batch: &Batch, clock: Option<Clock>) -> Result<(), StoreError> {
        let transaction = self.redb.begin_write().map_err(refused)?;
        {
            let mut records = transaction.open_table(RECORDS).map_err(refused)?;
            // In the order of keys redb finds its way sooner.
            for (key, value) in encoded(batch) {
                match value {
                    Some(value) => records.insert(&*key, &*value).map(drop),
                    None => records.remove(&*key).map(drop),
                }
                .map_err(refused)?;
            }
            if let Some(clock) = clock {
                let mut about = transaction.open_table(ABOUT).map_err(refused)?;
                about.insert("format", FORMAT).map_err(refused)?;
                about.insert("began", nanos(clock.began)).map_err(refused)?;
                about.insert("last", nanos(clock.last.since_start())).map_err(refused)?;
            }
        }
        transaction.commit().map_err(refused)
    }

    fn read(&self) -> Result<Contents, StoreError> {
        let mut contents = Contents::default();
        let transaction = self.redb.begin_read().map_err(refused)?;
        match transaction.open_table(ABOUT) {
            Ok(about) => {
                let get = |key| Ok::<_, StoreError>(about.get(key).map_err(refused)?.map(|value| value.value()));
                if let Some(format) = get("format")?.filter(|format| *format > FORMAT) {
                    return Err(StoreError::Newer(format));
                }
                if let (Some(began), Some(last)) = (get("began")?, get("last")?) {
                    let last = Time::after(Duration::from_nanos(last));
                    contents.clock = Some(Clock { began: Duration::from_nanos(began), last });
                }
            }
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(refused(error)),
        }
        let records = match transaction.open_table(RECORDS) {
            Ok(records) => records,
            Err(TableError::TableDoesNotExist(_)) => return Ok(contents),
            Err(error) => return Err(refused(error)),
        };
        for record in records.iter().map_err(refused)? {
            let (key, value) = record.map_err(refused)?;
            match decode(key.value(), value.value()) {
                Ok((key, value)) => contents.restored.apply(Change::new(key, Some(value))),
                Err(_) => contents.unreadable += 1,
            }
        }
        Ok(contents)
    }
}

/// Whether a crash ended the making of a store before there was anything in it: redb gives the file its length first and
/// its name last, and would take what is between for something else.
fn is_unborn(storage: &impl StorageBackend) -> io::Result<bool> {
    const NAME: usize = 9;
    const HEADER: usize = 320;
    let mut page = vec![0; PAGE];
    let (len, mut at) = (storage.len()?, 0);
    while at < len {
        let whole = usize::try_from(len - at).map_or(PAGE, |left| left.min(PAGE));
        storage.read(at, &mut page[..whole])?;
        let free = if at == 0 { HEADER.min(whole) } else { 0 };
        if page[..free.min(NAME)].iter().chain(&page[free..whole]).any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += whole as u64;
    }
    Ok(len > 0)
}

impl<S: StorageBackend> StorageBackend for Noting<S> {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data().inspect_err(|_| self.unsynced.store(true, Ordering::Relaxed))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }
}

/// The changes as bytes, in the order of their keys.
fn encoded(batch: &Batch) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let encode = |(key, value): (&Key, Option<&Value>)| {
        let mut bytes = (Vec::new(), value.map(|_| Vec::new()));
        encode_key(key, &mut bytes.0);
        if let (Some(value), Some(bytes)) = (value, &mut bytes.1) {
            encode_value(value, bytes);
        }
        bytes
    };
    let mut all: Vec<_> = batch.iter().map(encode).collect();
    all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// As a number; six centuries at most.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// What redb says, as this store's own error.
fn refused(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
        redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            StoreError::Damaged(error.to_string())
        }
        redb::Error::Io(error) => StoreError::Storage(error),
        error @ (redb::Error::Backend(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            StoreError::Storage(io::Error::other(error))
        }
        // A page that cannot be right, a table of another type, an old form of redb's file, a repair that gave up.
        error => StoreError::Damaged(error.to_string()),
    }
}
