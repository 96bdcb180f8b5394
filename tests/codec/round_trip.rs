//! Any packet survives being written and read.

use bytes::Bytes;
use proptest::prelude::*;
use simrun::codec::*;

use crate::any;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Written, then read: the same packet.
    #[test]
    fn what_is_written_is_read((version, packet) in any::version_and_packet()) {
        let mut wire = b"before".to_vec();
        encode(&packet, version, &mut wire).unwrap();
        let wire = Bytes::from(wire).slice(6..);
        prop_assert_eq!(decode(version, &wire), Ok(packet));
    }

    /// A frame is the same bytes, whether its payload is shared or not.
    #[test]
    fn a_frame_is_what_encode_writes((version, packet) in any::version_and_packet()) {
        let mut wire = Vec::new();
        encode(&packet, version, &mut wire).unwrap();
        let frame = Frame::new(&packet, version).unwrap();
        prop_assert_eq!(frame.len(), wire.len());
        prop_assert_eq!(frame.to_bytes(), wire);
    }

    /// Whatever the bytes: a packet or an error. If a packet, it can be written, and reads as the same one.
    #[test]
    fn any_bytes_are_a_packet_or_an_error(version in any::version(), wire in proptest::collection::vec(any::<u8>(), 0..80)) {
        check_any_bytes(version, wire.into())?;
    }

    /// The same for bytes that are nearly a packet: one byte of a good one changed, added or taken away.
    #[test]
    fn a_damaged_packet_is_a_packet_or_an_error(
        (version, packet) in any::version_and_packet(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        damage in 0..3,
    ) {
        let mut wire = Vec::new();
        encode(&packet, version, &mut wire).unwrap();
        // Damage in the beginning does more than in a long string.
        let place = place.index(wire.len().min(60));
        match damage {
            0 => wire[place] = byte,
            1 => wire.insert(place, byte),
            _ => drop(wire.remove(place)),
        }
        check_any_bytes(version, wire.into())?;
    }
}

/// A CONNECT of 3.1.1 may be one that a server reads and refuses, and that no client sends.
fn check_any_bytes(version: Version, wire: Bytes) -> Result<(), TestCaseError> {
    let Ok(packet) = decode(version, &wire) else { return Ok(()) };
    let mut again = Vec::new();
    match encode(&packet, version, &mut again) {
        Ok(()) => {
            prop_assert!(again.len() <= wire.len(), "the encoder writes the shortest form");
            prop_assert_eq!(decode(version, &again.into()), Ok(packet));
        }
        Err(Unencodable::EmptyClientIdentifier) => {}
        Err(why) => prop_assert!(false, "{:?} was read and cannot be written: {}", packet, why),
    }
    Ok(())
}
