//! What is read can be written, in no more bytes, and reads as the same packet.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use simrun::codec::{Frame, Packet, Unencodable, Version, decode, encode};

fuzz_target!(|wire: &[u8]| {
    let wire = Bytes::copy_from_slice(wire);
    for version in [Version::V3_1_1, Version::V5] {
        let Ok(packet) = decode(version, &wire) else { continue };
        let mut again = Vec::new();
        match encode(&packet, version, &mut again) {
            Ok(()) => {}
            // A server reads it, to refuse it with a return code; a client does not send it.
            Err(Unencodable::EmptyClientIdentifier) => continue,
            Err(why) => panic!("{packet:?} was read and cannot be written: {why}"),
        }
        assert!(again.len() <= wire.len());
        assert_eq!(Frame::new(&packet, version).map(|frame| frame.to_bytes()), Ok(Bytes::from(again.clone())));
        let connects = match &packet {
            Packet::Connect(connect) => connect.version,
            _ => version,
        };
        assert_eq!(decode(connects, &again.into()), Ok(packet));
    }
});
