//! The store: records keep what they say, whatever the bytes are nothing panics, and a disk that fails, fills or goes away
//! is met with an error or a fresh start, never with half a batch.

mod any;
mod damage;
mod encoding;
mod format;
mod reopening;

use simrun::sim::platter::Platter;
use simrun::store::database::{Contents, Database, StoreError};
use simrun::store::{Change, Restored};

/// Opens the store on a simulated disk.
fn open(platter: &Platter) -> (Database, Contents) {
    Database::open(platter.clone()).expect("a sound store opens")
}

/// Writes changes as one batch.
fn write(database: &mut Database, changes: &[Change]) -> Result<(), StoreError> {
    database.write(&changes.iter().cloned().collect(), None)
}

/// The records that batches leave.
fn replayed<'a>(batches: impl IntoIterator<Item = &'a Vec<Change>>) -> Restored {
    let mut restored = Restored::default();
    batches.into_iter().flatten().for_each(|change| restored.apply(change.clone()));
    restored
}
