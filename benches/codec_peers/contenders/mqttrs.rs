//! 3.1.1 only. Its packets borrow from the buffer: nothing can be kept of them.

use std::hint::black_box;

use mqttrs::{decode_slice, encode_slice};
use simrun::codec::Version;

use super::{Contender, PIECE, extent};

const NAME: &str = "mqttrs (borrows)";

/// How many bytes it has read. It does not say where a packet ends.
fn read_all(wires: &[u8]) -> usize {
    let mut at = 0;
    while let Some((_, end)) = extent(&wires[at..]) {
        let Ok(Some(packet)) = &decode_slice(&wires[at..at + end]) else { panic!("{NAME} reads it") };
        black_box(packet);
        at += end;
    }
    at
}

pub fn decode(version: Version, wires: Vec<u8>) -> Vec<Contender> {
    if version == Version::V5 {
        return Vec::new();
    }
    let task = move |wires: Vec<u8>| assert_eq!(read_all(&wires), wires.len());
    vec![Contender::new(NAME, move || wires.clone(), task)]
}

pub fn encode(version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    if version == Version::V5 {
        return Vec::new();
    }
    let wire: &'static [u8] = wire.to_vec().leak();
    let packet = decode_slice(wire).expect("a good packet").expect("a whole packet");
    let mut out = vec![0; wire.len() + 16];
    let task = move |()| {
        for _ in 0..batch {
            encode_slice(black_box(&packet), &mut out).expect("a good packet");
            black_box(&out);
        }
    };
    vec![Contender::new(NAME, || (), task)]
}

pub fn stream(version: Version, wire: Vec<u8>) -> Vec<Contender> {
    if version == Version::V5 {
        return Vec::new();
    }
    let task = move |()| {
        let mut buffer = Vec::with_capacity(PIECE * 2);
        for piece in wire.chunks(PIECE) {
            buffer.extend_from_slice(piece);
            let read = read_all(&buffer);
            buffer.drain(..read);
        }
        assert!(buffer.is_empty(), "{NAME} reads it");
    };
    vec![Contender::new(NAME, || (), task)]
}
