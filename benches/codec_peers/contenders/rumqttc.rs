use std::hint::black_box;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use simrun::codec::Version;

use super::{Contender, PIECE};

const NAME: &str = "rumqttc";

fn read_all(version: Version, wires: &mut BytesMut) {
    match version {
        Version::V3_1_1 => {
            while let Ok(packet) = &v4::Packet::read(wires, usize::MAX) {
                black_box(packet);
            }
        }
        Version::V5 => {
            while let Ok(packet) = &v5::Packet::read(wires, None) {
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

pub fn encode(version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    let mut wire = BytesMut::from(wire);
    let mut out = BytesMut::new();
    match version {
        Version::V3_1_1 => {
            let packet = v4::Packet::read(&mut wire, usize::MAX).expect("a good packet");
            let task = move |()| {
                for _ in 0..batch {
                    out.clear();
                    black_box(&packet).write(&mut out, usize::MAX).expect("a good packet");
                    black_box(&out);
                }
            };
            vec![Contender::new(NAME, || (), task)]
        }
        Version::V5 => {
            let packet = v5::Packet::read(&mut wire, None).expect("a good packet");
            let task = move |()| {
                for _ in 0..batch {
                    out.clear();
                    black_box(&packet).write(&mut out, None).expect("a good packet");
                    black_box(&out);
                }
            };
            vec![Contender::new(NAME, || (), task)]
        }
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
