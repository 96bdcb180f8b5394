use std::hint::black_box;

use bytes::BytesMut;
use mqttbytes::{v4, v5};
use simrun::codec::Version;

use super::{Contender, PIECE};

const NAME: &str = "mqttbytes";

fn read_all(version: Version, wires: &mut BytesMut) {
    match version {
        Version::V3_1_1 => {
            while let Ok(packet) = &v4::read(wires, usize::MAX) {
                black_box(packet);
            }
        }
        Version::V5 => {
            while let Ok(packet) = &v5::read(wires, usize::MAX) {
                black_box(packet);
            }
        }
    }
}

pub fn decode(version: Version, wires: Vec<u8>) -> Vec<Contender> {
    let task = move |mut wires: BytesMut| {
        read_all(version, &mut wires);
        assert!(wires.is_empty(), "{NAME} reads it");
    };
    vec![Contender::new(NAME, move || BytesMut::from(&wires[..]), task)]
}

fn writer(batch: usize, write: impl Fn(&mut BytesMut) + 'static) -> Vec<Contender> {
    let mut out = BytesMut::new();
    let task = move |()| {
        for _ in 0..batch {
            out.clear();
            write(&mut out);
            black_box(&out);
        }
    };
    vec![Contender::new(NAME, || (), task)]
}

macro_rules! writers {
    ($version:ident, $packet:expr, $batch:expr) => {
        match $packet.expect("a good packet") {
            $version::Packet::Connect(packet) => writer($batch, move |out| {
                let _ = black_box(&packet).write(out);
            }),
            $version::Packet::Publish(packet) => writer($batch, move |out| {
                let _ = black_box(&packet).write(out);
            }),
            $version::Packet::Subscribe(packet) => writer($batch, move |out| {
                let _ = black_box(&packet).write(out);
            }),
            $version::Packet::PubAck(packet) => writer($batch, move |out| {
                let _ = black_box(&packet).write(out);
            }),
            _ => Vec::new(),
        }
    };
}

pub fn encode(version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    let mut wire = BytesMut::from(wire);
    match version {
        Version::V3_1_1 => writers!(v4, v4::read(&mut wire, usize::MAX), batch),
        Version::V5 => writers!(v5, v5::read(&mut wire, usize::MAX), batch),
    }
}

pub fn stream(version: Version, wire: Vec<u8>) -> Vec<Contender> {
    let task = move |()| {
        let mut buffer = BytesMut::with_capacity(PIECE * 2);
        for piece in wire.chunks(PIECE) {
            buffer.extend_from_slice(piece);
            read_all(version, &mut buffer);
        }
        assert!(buffer.is_empty(), "{NAME} reads it");
    };
    vec![Contender::new(NAME, || (), task)]
}
