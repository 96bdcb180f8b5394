//! Records as bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use simrun::store::encoding::{Undecodable, decode, encode_key, encode_value};
use simrun::store::{Key, Value};

use super::any;

fn encoded(key: &Key, value: &Value) -> (Vec<u8>, Vec<u8>) {
    let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
    encode_key(key, &mut key_bytes);
    encode_value(value, &mut value_bytes);
    (key_bytes, value_bytes)
}

proptest! {
    #[test]
    fn what_is_written_is_read((key, value) in any::record()) {
        let (key_bytes, value_bytes) = encoded(&key, &value);
        prop_assert_eq!(decode(&key_bytes, &value_bytes), Ok((key, value)));
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_refused((key, value) in any::record(), at in any::<prop::sample::Index>()) {
        // Before format 2 a session ended before its last byte.
        let least = usize::from(matches!(key, Key::Session(_)));
        let (key, value) = encoded(&key, &value);
        if !value.is_empty() {
            let cut = at.index(value.len() - least);
            prop_assert!(decode(&key, &value[..cut]).is_err());
        }
        prop_assert_eq!(decode(&key[..at.index(key.len())], &value), Err(Undecodable::CutOff));
        let longer = [&value[..], &[0]].concat();
        prop_assert_eq!(decode(&key, &longer), Err(Undecodable::TooLong(1)));
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(key in vec(0..8_u8, 0..30), value in vec(any::<u8>(), 0..60)) {
        if let Ok((read_key, read_value)) = decode(&key, &value) {
            prop_assert_eq!(encoded(&read_key, &read_value), (key, value));
        }
    }
}
