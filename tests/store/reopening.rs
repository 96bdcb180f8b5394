//! What was written is there when the store is opened again; what the disk does in between is the same each time.

use std::time::Duration;

use proptest::prelude::*;
use simrun::codec::Text;
use simrun::message::Message;
use simrun::sim::platter::{Mishap, Platter};
use simrun::store::batch::Batch;
use simrun::store::database::{Clock, StoreError};
use simrun::store::{Change, Key, Value};
use simrun::time::Time;

use super::{any, open, replayed, write};

fn retained(topic: &'static str, len: usize) -> Vec<Change> {
    let topic = Text::literal(topic);
    let message = Message { topic: topic.clone(), payload: vec![1; len].into(), ..Message::default() };
    vec![Change::new(Key::Retained(topic), Some(Value::Retained(Box::new(message))))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_there_again(batches in any::batches()) {
        let platter = Platter::default();
        for batch in &batches {
            let (mut database, _) = open(&platter);
            write(&mut database, batch).unwrap();
        }
        let (_, contents) = open(&platter);
        prop_assert_eq!(contents.restored, replayed(&batches));
        prop_assert_eq!(contents.unreadable, 0);
    }

    /// One seed is one run: what redb asks of a disk depends on nothing but what is asked of it.
    #[test]
    fn the_same_batches_are_the_same_writes(batches in any::batches()) {
        let operations = || {
            let platter = Platter::default();
            platter.lie(true); // What is never synced pends, and can be looked at.
            let (mut database, _) = open(&platter);
            batches.iter().for_each(|batch| write(&mut database, batch).unwrap());
            let mut asked = Vec::new();
            platter.deafen();
            platter.lose_power(|operation| {
                asked.push(operation.clone());
                simrun::sim::platter::Fate::Lost
            });
            asked
        };
        let first = operations();
        prop_assert!(first.len() > batches.len());
        prop_assert_eq!(first, operations());
    }
}

#[test]
fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let platter = Platter::default();
    let (mut database, _) = open(&platter);
    write(&mut database, &retained("before", 10)).unwrap();
    platter.plan(platter.operations(), Mishap::Full);
    let error = write(&mut database, &retained("large", 1_000_000)).unwrap_err();
    assert!(matches!(&error, StoreError::Storage(error) if error.kind() == std::io::ErrorKind::StorageFull), "{error}");
    drop(database);
    platter.mend();
    let (mut database, contents) = open(&platter);
    assert_eq!(contents.restored, replayed([&retained("before", 10)]));
    write(&mut database, &retained("large", 1_000_000)).expect("there is room again");
}

#[test]
fn a_sync_that_fails_is_told_apart() {
    let platter = Platter::default();
    let (mut database, _) = open(&platter);
    platter.plan(platter.operations(), Mishap::Broken);
    let error = write(&mut database, &retained("c", 1)).unwrap_err();
    assert!(matches!(error, StoreError::Unsynced(_)), "{error:?}");
}

#[test]
fn a_disk_that_is_lost_is_an_empty_store() {
    let platter = Platter::default();
    let (mut database, _) = open(&platter);
    write(&mut database, &retained("gone", 10)).unwrap();
    drop(database);
    platter.lose_all();
    assert!(open(&platter).1.restored.is_empty());
}

#[test]
fn the_time_of_a_run_outlives_its_process_and_never_goes_back() {
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let began = Clock::resume(None, 1000 * day);
    assert_eq!(began, Clock { began: 1000 * day, last: Time::ZERO });

    let platter = Platter::default();
    let kept = Clock { last: Time::after(5 * second), ..began };
    open(&platter).0.write(&Batch::default(), Some(kept)).unwrap();
    let read = open(&platter).1.clock;
    assert_eq!(read, Some(kept));

    let later = Clock::resume(read, 1001 * day);
    assert_eq!(later.last, Time::after(day), "the time during which nothing ran has passed");
    let set_back = Clock::resume(read, 999 * day);
    assert_eq!(set_back.last, kept.last, "a clock that was set back");
    let after_that = Clock::resume(Some(set_back), 999 * day + 7 * second);
    assert_eq!(after_that.last, Time::after(12 * second), "time goes on from there");
}
