//! The bytes of a record from a store: a record or an error, and what is read is written as it was, but for a session of
//! format 1, which is written with the block of packet identifiers that it lacked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simrun::store::Value;
use simrun::store::encoding::{decode, encode_key, encode_value};

fuzz_target!(|input: &[u8]| {
    let Some((&split, rest)) = input.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(split).min(rest.len()));
    let Ok((read_key, read_value)) = decode(key, value) else { return };
    let (mut key_again, mut value_again) = (Vec::new(), Vec::new());
    encode_key(&read_key, &mut key_again);
    encode_value(&read_value, &mut value_again);
    if matches!(read_value, Value::Session(_)) && value_again.len() == value.len() + 1 {
        assert_eq!(value_again.pop(), Some(0));
    }
    assert_eq!((&key_again[..], &value_again[..]), (key, value));
});
