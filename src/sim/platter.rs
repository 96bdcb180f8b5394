//! A disk in simulated time, byte for byte: what is written pends until a sync, and what becomes of it in a crash is said
//! from outside. It is a redb storage, so that the store that runs on it is the one that ships.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// A disk. Its handles share it, as processes do that come and go.
#[derive(Clone, Debug, Default)]
pub struct Platter(Arc<Mutex<State>>);

/// What is asked of a disk before its next sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes at an offset.
    Write(u64, Vec<u8>),
    /// A new length.
    Resize(u64),
}

/// What becomes of an operation that pends when the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was done.
    Kept,
    /// It was not.
    Lost,
    /// So many of its bytes were written. A length is set or not.
    Torn(usize),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The power fails during the operation.
    PowerOff,
    /// There is no room for it, nor for any later one until [`Platter::mend`].
    Full,
    /// It is a sync and fails, and everything after it fails until [`Platter::mend`].
    Broken,
}

#[derive(Debug, Default)]
struct State {
    /// What survives a loss of power for sure.
    synced: Vec<u8>,
    /// What is read.
    current: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Operation>,
    /// How many writes, changes of length and syncs there were.
    operations: u64,
    /// At which of them what goes wrong.
    planned: Option<(u64, Mishap)>,
    /// What is wrong now.
    mishap: Option<Mishap>,
    /// The process that wrote is dead: nothing that it still wants is done.
    deaf: bool,
    /// It says that it has synced, and has not.
    lies: bool,
}

impl Platter {
    /// How many writes, changes of length and syncs were asked of it.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets something go wrong at the operation of this number, counted from 0 as [`Platter::operations`] does, or at the
    /// next that is of a kind to which it can happen.
    pub fn plan(&self, operation: u64, mishap: Mishap) {
        self.state().planned = Some((operation, mishap));
    }

    /// Nothing more goes wrong.
    pub fn mend(&self) {
        let mut state = self.state();
        (state.planned, state.mishap) = (None, None);
    }

    /// Whether the power has failed as it was planned.
    pub fn has_no_power(&self) -> bool {
        self.state().mishap == Some(Mishap::PowerOff)
    }

    /// Whether nothing was ever written to it.
    pub fn is_empty(&self) -> bool {
        self.state().current.is_empty()
    }

    /// The process that uses it dies at once: it does no more.
    pub fn deafen(&self) {
        self.state().deaf = true;
    }

    /// Another process may use it.
    pub fn listen(&self) {
        self.state().deaf = false;
    }

    /// Whether it only says that it has synced.
    pub fn lie(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// The power fails, and comes back. What was synced is there; of what pends each, in order, has the fate it is told.
    pub fn lose_power(&self, mut fate: impl FnMut(&Operation) -> Fate) {
        let mut state = self.state();
        for operation in std::mem::take(&mut state.pending) {
            let fate = fate(&operation);
            do_partly(&mut state.synced, &operation, fate);
        }
        state.current = state.synced.clone();
        (state.planned, state.mishap) = (None, None);
    }

    /// All that was on it is gone.
    pub fn lose_all(&self) {
        *self.state() = State::default();
    }

    /// What is read from it.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().current.clone()
    }

    /// Puts bytes in the place of all that was there.
    pub fn put(&self, bytes: Vec<u8>) {
        let mut state = self.state();
        state.synced.clone_from(&bytes);
        state.current = bytes;
        state.pending.clear();
    }

    /// How many operations wait for a sync.
    pub fn pending(&self) -> usize {
        self.state().pending.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation; an error if it cannot be done. The last that is asked before the power fails pends like those
    /// before it.
    fn operate(&mut self, operation: Option<Operation>) -> io::Result<()> {
        if self.deaf {
            return Err(io::Error::other("the process is dead"));
        }
        let number = self.operations;
        self.operations += 1;
        if self.mishap.is_none()
            && let Some((planned, mishap)) = self.planned
            && planned <= number
            && (mishap != Mishap::Full || operation.is_some())
            && (mishap != Mishap::Broken || operation.is_none())
        {
            self.mishap = Some(mishap);
            if let (Mishap::PowerOff, Some(operation)) = (mishap, &operation) {
                self.pending.push(operation.clone());
            }
        }
        match self.mishap {
            None => {}
            Some(Mishap::Full) if operation.is_none() => {}
            Some(Mishap::Full) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Mishap::PowerOff) => return Err(io::Error::other("there is no power")),
            Some(Mishap::Broken) => return Err(io::Error::other("the disk is broken")),
        }
        match operation {
            Some(operation) => {
                do_partly(&mut self.current, &operation, Fate::Kept);
                self.pending.push(operation);
            }
            None if self.lies => {}
            None => {
                for operation in std::mem::take(&mut self.pending) {
                    do_partly(&mut self.synced, &operation, Fate::Kept);
                }
            }
        }
        Ok(())
    }
}

/// Bytes behind the end, because a length was lost, are lost too.
fn do_partly(bytes: &mut Vec<u8>, operation: &Operation, fate: Fate) {
    let most = match fate {
        Fate::Kept => usize::MAX,
        Fate::Lost => return,
        Fate::Torn(most) => most,
    };
    match operation {
        Operation::Write(offset, written) => {
            let Ok(start) = usize::try_from(*offset) else { return };
            let there = bytes.get_mut(start..).unwrap_or_default();
            let len = written.len().min(most).min(there.len());
            there[..len].copy_from_slice(&written[..len]);
        }
        Operation::Resize(len) => {
            if let (Ok(len), Fate::Kept) = (usize::try_from(*len), fate) {
                bytes.resize(len, 0);
            }
        }
    }
}

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let from = usize::try_from(offset).ok().and_then(|start| state.current.get(start..)?.get(..out.len()));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().operate(Some(Operation::Resize(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state().operate(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state().operate(Some(Operation::Write(offset, data.to_vec())))
    }
}
