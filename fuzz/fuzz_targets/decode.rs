//! A stream of any bytes, cut in two ways, in both versions: packets or an error, the same either way.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use simrun::codec::{Malformed, Packet, Reader, Version, decode};

fuzz_target!(|stream: &[u8]| {
    let stream = Bytes::copy_from_slice(stream);
    for version in [Version::V3_1_1, Version::V5] {
        let _ = decode(version, &stream);
        let whole = read(version, [stream.clone()]);
        let bytewise = read(version, stream.chunks(1).map(Bytes::copy_from_slice));
        assert_eq!(whole, bytewise);
    }
});

fn read(version: Version, chunks: impl IntoIterator<Item = Bytes>) -> (Vec<Packet>, Option<Malformed>) {
    let mut reader = Reader::new(1 << 20);
    let mut packets = Vec::new();
    for chunk in chunks {
        reader.feed(chunk);
        loop {
            match reader.next_packet(version) {
                Ok(Some(packet)) => packets.push(packet.detached()),
                Ok(None) => break,
                Err(malformed) => return (packets, Some(malformed)),
            }
        }
    }
    (packets, None)
}
