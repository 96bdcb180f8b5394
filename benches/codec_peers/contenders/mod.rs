//! Who is measured. Each contender keeps what it reads and writes in the buffers that it is made for, and reuses them
//! where it can.

mod mqtt_protocol_core;
mod mqttbytes;
mod mqttrs;
mod ntex;
mod rumqttc;
mod simrun;

use std::time::{Duration, Instant};

use ::simrun::codec::Version;

#[derive(Clone, Copy, Debug)]
pub enum Way {
    Decode,
    Encode,
}

/// One codec with one task.
pub struct Contender {
    pub name: &'static str,
    /// Does the task and tells how long it took, without what had to be prepared.
    pub turn: Box<dyn FnMut() -> Duration>,
}

impl Contender {
    /// `prepare` is not timed, `task` is.
    fn new<P: 'static>(
        name: &'static str,
        mut prepare: impl FnMut() -> P + 'static,
        mut task: impl FnMut(P) + 'static,
    ) -> Contender {
        let turn = move || {
            let prepared = prepare();
            let start = Instant::now();
            task(prepared);
            start.elapsed()
        };
        Contender { name, turn: Box::new(turn) }
    }
}

/// Everyone who can read or write this packet, `batch` times in a turn. What is read was copied to where it is just
/// before, as if it had come from a socket.
pub fn contenders(way: Way, version: Version, wire: &[u8], batch: usize) -> Vec<Contender> {
    match way {
        Way::Decode => {
            let wires = wire.repeat(batch);
            [
                simrun::decode(version, wires.clone()),
                rumqttc::decode(version, wires.clone()),
                mqttbytes::decode(version, wires.clone()),
                mqttrs::decode(version, wires.clone()),
                ntex::decode(version, wires.clone()),
                mqtt_protocol_core::decode(version, wires),
            ]
            .concat_all()
        }
        Way::Encode => [
            simrun::encode(version, wire, batch),
            rumqttc::encode(version, wire, batch),
            mqttbytes::encode(version, wire, batch),
            mqttrs::encode(version, wire, batch),
            ntex::encode(version, wire, batch),
            mqtt_protocol_core::encode(version, wire, batch),
        ]
        .concat_all(),
    }
}

/// Everyone who can read a stream that comes in pieces of 4 KiB.
pub fn of_stream(version: Version, wire: Vec<u8>) -> Vec<Contender> {
    [
        simrun::stream(version, wire.clone()),
        rumqttc::stream(version, wire.clone()),
        mqttbytes::stream(version, wire.clone()),
        mqttrs::stream(version, wire.clone()),
        ntex::stream(version, wire),
    ]
    .concat_all()
}

pub const PIECE: usize = 4096;

trait ConcatAll {
    fn concat_all(self) -> Vec<Contender>;
}

impl<const N: usize> ConcatAll for [Vec<Contender>; N] {
    fn concat_all(self) -> Vec<Contender> {
        self.into_iter().flatten().collect()
    }
}

/// Where the packet at the head of `wire` has its body and its end, for codecs that leave that to their caller.
pub fn extent(wire: &[u8]) -> Option<(usize, usize)> {
    let mut remaining = 0;
    for place in 0..4 {
        let byte = *wire.get(1 + place)?;
        remaining |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let body = place + 2;
            return (body + remaining <= wire.len()).then_some((body, body + remaining));
        }
    }
    None
}
