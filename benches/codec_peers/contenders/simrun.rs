use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use simrun::codec::{Frame, PacketRef, Reader, Version, decode as decode_frame, encode as encode_packet};

use super::{Contender, PIECE};

/// What the machines do with a packet: find out which it is and look at all its fields, where they lie.
fn look_at(packet: &PacketRef<'_>) {
    match black_box(packet) {
        PacketRef::Connect(connect) => {
            black_box(&(connect.client_id(), connect.will(), connect.username(), connect.password()));
        }
        PacketRef::Subscribe(subscribe) => subscribe.subscriptions().for_each(|subscription| {
            black_box(&subscription);
        }),
        _ => {}
    }
}

fn read_all(version: Version, reader: &mut Reader) {
    while let Ok(Some(packet)) = &reader.next_packet(version) {
        look_at(packet);
    }
}

pub fn decode(version: Version, wires: Vec<u8>) -> Vec<Contender> {
    let again = wires.clone();
    let mut reader = Reader::new(u32::MAX);
    let reader = Contender::new(
        "simrun",
        move || Bytes::copy_from_slice(&wires),
        move |wires| {
            reader.feed(wires);
            read_all(version, &mut reader);
            assert_eq!(reader.buffered(), 0, "simrun reads it");
        },
    );
    let mut frame_reader = Reader::new(u32::MAX);
    let frames = Contender::new(
        "simrun, by frames",
        move || Bytes::copy_from_slice(&again),
        move |wires| {
            frame_reader.feed(wires);
            while let Some(frame) = frame_reader.next_frame().expect("good packets") {
                assert!(black_box(&decode_frame(version, &frame)).is_ok());
            }
        },
    );
    vec![reader, frames]
}

pub fn encode(version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    let packet = decode_frame(version, &Bytes::copy_from_slice(wire)).expect("a good packet");
    let again = packet.clone();
    let mut out = Vec::new();
    let vec = Contender::new(
        "simrun",
        || (),
        move |()| {
            for _ in 0..batch {
                out.clear();
                encode_packet(black_box(&packet), version, &mut out).expect("a good packet");
                black_box(&out);
            }
        },
    );
    let frame = Contender::new(
        "simrun, Frame",
        || (),
        move |()| {
            for _ in 0..batch {
                assert!(black_box(&Frame::new(black_box(&again), version)).is_ok());
            }
        },
    );
    vec![vec, frame]
}

pub fn stream(version: Version, wire: Vec<u8>) -> Vec<Contender> {
    let task = move |()| {
        let mut reader = Reader::new(u32::MAX);
        // As `drive` reads from a socket.
        let mut buffer = BytesMut::new();
        for piece in wire.chunks(PIECE) {
            buffer.extend_from_slice(piece);
            reader.feed(buffer.split().freeze());
            read_all(version, &mut reader);
        }
        assert_eq!(reader.buffered(), 0, "simrun reads it");
    };
    vec![Contender::new("simrun", || (), task)]
}
