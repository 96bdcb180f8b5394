//! Files that are no store, or not a whole one, or from another time.

use proptest::prelude::*;
use simrun::codec::Text;
use simrun::message::Message;
use simrun::sim::platter::Platter;
use simrun::store::database::{Database, StoreError};
use simrun::store::{Change, Key, Value};

use super::{open, write};

fn some_store() -> Platter {
    let platter = Platter::default();
    let (mut database, _) = open(&platter);
    for number in 0..20 {
        let topic = Text::try_from(format!("topic/{number}")).unwrap();
        let message = Message { topic: topic.clone(), payload: vec![7; 500].into(), ..Message::default() };
        let change = Change::new(Key::Retained(topic), Some(Value::Retained(Box::new(message))));
        write(&mut database, &[change]).unwrap();
    }
    drop(database);
    platter
}

#[test]
fn what_is_no_store_is_damaged() {
    for bytes in [b"not a database".to_vec(), vec![0xff; 100_000]] {
        let platter = Platter::default();
        platter.put(bytes);
        let error = Database::open(platter).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    }
}

/// A crash while it was made: nothing was in it.
#[test]
fn a_store_that_was_never_finished_is_an_empty_one() {
    let platter = Platter::default();
    platter.put(vec![0; 73_728]);
    assert!(open(&platter).1.restored.is_empty());
}

#[test]
fn a_store_that_was_cut_off_is_damaged() {
    let bytes = some_store().bytes();
    for len in [1, 100, 320, 4096, bytes.len() / 2, bytes.len() - 1] {
        let platter = Platter::default();
        platter.put(bytes[..len].to_vec());
        let error = Database::open(platter).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{len} bytes: {error:?}");
    }
}

/// How many of the changed bytes are found depends on where they are: in a page that nothing uses none can be.
#[test]
fn changed_bytes_are_damage_or_do_no_harm() {
    let sound = some_store();
    let bytes = sound.bytes();
    let records = open(&sound).1.restored;
    let mut found = 0;
    for at in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        let platter = Platter::default();
        platter.put(changed);
        match Database::open(platter) {
            Ok((_, contents)) => assert_eq!(contents.restored, records, "byte {at}"),
            Err(StoreError::Damaged(_)) => found += 1,
            Err(other) => panic!("byte {at}: {other:?}"),
        }
    }
    assert!(found > 10, "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_a_store_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..5000), magic in any::<bool>()) {
        let platter = Platter::default();
        let head: &[u8] = if magic { b"redb\x1A\x0A\xA9\x0D\x0A" } else { &[] };
        platter.put([head, &bytes].concat());
        let _ = Database::open(platter);
    }
}
