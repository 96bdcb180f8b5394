use std::hint::black_box;

use ntex_bytes::{BytePages, BytesMut};
use ntex_codec::{Decoder, Encoder};
use ntex_mqtt::{v3, v5};
use simrun::codec::Version;

use super::{Contender, PIECE};

const NAME: &str = "ntex-mqtt";

fn read_all<D: Decoder>(codec: &D, wires: &mut BytesMut) {
    while let Ok(Some(packet)) = &codec.decode(wires) {
        black_box(packet);
    }
}

fn decoder<D: Decoder + 'static>(codec: D, wires: Vec<u8>) -> Vec<Contender> {
    let task = move |mut wires: BytesMut| {
        read_all(&codec, &mut wires);
        assert!(wires.is_empty(), "{NAME} reads it");
    };
    vec![Contender::new(NAME, move || BytesMut::copy_from_slice(&wires), task)]
}

pub fn decode(version: Version, wires: Vec<u8>) -> Vec<Contender> {
    match version {
        Version::V3_1_1 => decoder(v3::codec::Codec::new(), wires),
        Version::V5 => decoder(v5::codec::Codec::new(), wires),
    }
}

/// Its encoder takes packets by value, so making copies is not timed.
fn encoder<E: Encoder + 'static>(codec: E, packet: E::Item, batch: usize) -> Vec<Contender>
where
    E::Item: Clone,
{
    let task = move |(packets, mut out): (Vec<E::Item>, BytePages)| {
        for packet in packets {
            out.clear();
            assert!(codec.encodev(packet, &mut out).is_ok());
            black_box(&out);
        }
    };
    vec![Contender::new(NAME, move || (vec![packet.clone(); batch], BytePages::default()), task)]
}

pub fn encode(version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    let mut wire = BytesMut::copy_from_slice(wire);
    match version {
        Version::V3_1_1 => {
            let codec = v3::codec::Codec::new();
            let packet = match codec.decode(&mut wire).expect("a good packet").expect("a whole packet") {
                v3::codec::Decoded::Packet(packet, _) => v3::codec::Encoded::Packet(packet),
                v3::codec::Decoded::Publish(publish, payload, _) => v3::codec::Encoded::Publish(publish, Some(payload)),
                v3::codec::Decoded::PayloadChunk(..) => return Vec::new(),
            };
            encoder(codec, packet, batch)
        }
        Version::V5 => {
            let codec = v5::codec::Codec::new();
            let packet = match codec.decode(&mut wire).expect("a good packet").expect("a whole packet") {
                v5::codec::Decoded::Packet(packet, _) => v5::codec::Encoded::Packet(packet),
                v5::codec::Decoded::Publish(publish, payload, _) => v5::codec::Encoded::Publish(publish, Some(payload)),
                v5::codec::Decoded::PayloadChunk(..) => return Vec::new(),
            };
            encoder(codec, packet, batch)
        }
    }
}

fn streamer<D: Decoder + 'static>(codec: D, wire: Vec<u8>) -> Vec<Contender> {
    let task = move |()| {
        let mut buffer = BytesMut::with_capacity(PIECE * 2);
        for piece in wire.chunks(PIECE) {
            buffer.extend_from_slice(piece);
            read_all(&codec, &mut buffer);
        }
        assert!(buffer.is_empty(), "{NAME} reads it");
    };
    vec![Contender::new(NAME, || (), task)]
}

pub fn stream(version: Version, wire: Vec<u8>) -> Vec<Contender> {
    match version {
        Version::V3_1_1 => streamer(v3::codec::Codec::new(), wire),
        Version::V5 => streamer(v5::codec::Codec::new(), wire),
    }
}
