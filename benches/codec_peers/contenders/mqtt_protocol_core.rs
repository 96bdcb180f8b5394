//! It reads single packets, without their fixed header; a PUBLISH out of an `Arc` that has to be made for it.

use std::hint::black_box;

use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use simrun::codec::Version;

use super::{Contender, extent};

const NAME: &str = "mqtt-protocol-core";

macro_rules! reader {
    ($name:ident, $version:ident) => {
        fn $name(first: u8, body: &[u8]) {
            match first >> 4 {
                1 => assert!(black_box(&$version::Connect::parse(body)).is_ok()),
                3 => assert!(black_box(&$version::Publish::parse(first & 15, body.into())).is_ok()),
                4 => assert!(black_box(&$version::Puback::parse(body)).is_ok()),
                8 => assert!(black_box(&$version::Subscribe::parse(body)).is_ok()),
                _ => panic!("not among the samples"),
            }
        }
    };
}

reader!(read_v3, v3_1_1);
reader!(read_v5, v5_0);

pub fn decode(version: Version, wires: Vec<u8>) -> Vec<Contender> {
    let read = match version {
        Version::V3_1_1 => read_v3,
        Version::V5 => read_v5,
    };
    let task = move |wires: Vec<u8>| {
        let mut rest = &wires[..];
        while let Some((body, end)) = extent(rest) {
            read(rest[0], &rest[body..end]);
            rest = &rest[end..];
        }
        assert!(rest.is_empty(), "{NAME} reads it");
    };
    vec![Contender::new(NAME, move || wires.clone(), task)]
}

macro_rules! writers {
    ($version:ident, $wire:expr, $batch:expr) => {{
        let (first, (body, end)) = ($wire[0], extent($wire).expect("a whole packet"));
        let body = &$wire[body..end];
        match first >> 4 {
            1 => writer!($version::Connect::parse(body), $batch),
            3 => writer!($version::Publish::parse(first & 15, body.into()), $batch),
            4 => writer!($version::Puback::parse(body), $batch),
            8 => writer!($version::Subscribe::parse(body), $batch),
            _ => Vec::new(),
        }
    }};
}

macro_rules! writer {
    ($packet:expr, $batch:expr) => {{
        let (packet, _) = $packet.expect("a good packet");
        let batch = $batch;
        let task = move |()| {
            for _ in 0..batch {
                black_box(black_box(&packet).to_continuous_buffer());
            }
        };
        vec![Contender::new(NAME, || (), task)]
    }};
}

pub fn encode(version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    match version {
        Version::V3_1_1 => writers!(v3_1_1, wire, batch),
        Version::V5 => writers!(v5_0, wire, batch),
    }
}
