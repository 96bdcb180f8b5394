//! Ways to tamper with a wire.

#![allow(dead_code)] // Until all sections have their mutants.

use std::time::Duration;

use bytes::Bytes;
use simrun::codec::{Fault, Packet, Properties, Property, Version, decode};
use simrun::conform::relay::{Onward, Tamper};
use simrun::trace::Way;

/// Changes whole packets. What is no packet passes as it is.
pub fn alter(change: impl FnMut(Version, Way, Packet, &mut Onward) + Send + 'static) -> Box<dyn Tamper> {
    struct Alter<F>(F);
    impl<F: FnMut(Version, Way, Packet, &mut Onward) + Send> Tamper for Alter<F> {
        fn passes(&mut self, version: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            match decode(version, &bytes) {
                Ok(packet) => (self.0)(version, way, packet, onward),
                Err(_) => onward.send(way, bytes),
            }
        }
    }
    Box::new(Alter(change))
}

/// Changes the bytes of packets that go this way; without bytes left the packet is lost.
pub fn patch(way: Way, change: impl FnMut(Version, &mut Vec<u8>) + Send + 'static) -> Box<dyn Tamper> {
    struct Patch<F>(Way, F);
    impl<F: FnMut(Version, &mut Vec<u8>) + Send> Tamper for Patch<F> {
        fn passes(&mut self, version: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            let mut bytes = bytes.to_vec();
            if way == self.0 {
                (self.1)(version, &mut bytes);
            }
            if !bytes.is_empty() {
                onward.send(way, bytes.into());
            }
        }
    }
    Box::new(Patch(way, change))
}

/// Changes packets that go this way.
pub fn change(way: Way, mut change: impl FnMut(Version, &mut Packet) + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, of, mut packet, onward| {
        if of == way {
            change(version, &mut packet);
        }
        onward.packet(version, of, &packet);
    })
}

/// Keeps packets from the broker that have such a fault; a packet's first byte tells which kind it is.
pub fn overlooks(wanted: impl Fn(u8, Fault) -> bool + Send + 'static) -> Box<dyn Tamper> {
    patch(Way::Up, move |version, bytes| {
        let packet = decode(version, &Bytes::copy_from_slice(bytes));
        if packet.is_err_and(|malformed| wanted(bytes[0], malformed.fault)) {
            bytes.clear();
        }
    })
}

/// Changes the bytes of packets on their way up that the standard forbids, so that the broker sees others.
pub fn mend(change: impl Fn(&mut Vec<u8>) + Send + 'static) -> Box<dyn Tamper> {
    patch(Way::Up, move |version, bytes| {
        if decode(version, &Bytes::copy_from_slice(bytes)).is_err() {
            change(bytes);
        }
    })
}

/// As [`mend`]: puts letters in the place of these bytes, wherever they are.
pub fn letters_for(wrong: &'static [u8]) -> Box<dyn Tamper> {
    mend(move |bytes| {
        while let Some(at) = bytes.windows(wrong.len()).position(|window| window == wrong) {
            bytes[at..at + wrong.len()].fill(b'x');
        }
    })
}

/// All properties but this one.
pub fn without(properties: &Properties, left_out: Property) -> Properties {
    let kept = properties.iter().filter(|(property, _)| *property != left_out);
    kept.fold(Properties::new(), |kept, (property, value)| kept.with(property, value))
}

/// Where the body of a packet begins.
pub fn body(bytes: &[u8]) -> usize {
    2 + bytes[1..].iter().take_while(|byte| **byte >= 0x80).count()
}

/// Changes the flags of a CONNECT on its way up.
pub fn connect_flags(change: impl Fn(u8) -> u8 + Send + 'static) -> Box<dyn Tamper> {
    patch(Way::Up, move |_, bytes| {
        if bytes[0] >> 4 == 1 {
            let flags = body(bytes) + 7;
            bytes[flags] = change(bytes[flags]);
        }
    })
}

/// Changes the body of a packet, which is short, and its length with it.
pub fn with_body(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) {
    let mut changed = bytes.split_off(body(bytes));
    change(&mut changed);
    bytes.truncate(1);
    bytes.push(u8::try_from(changed.len()).expect("a short body"));
    bytes.append(&mut changed);
}

/// Loses packets that go this way.
pub fn swallow(way: Way, wanted: impl Fn(Version, &Packet) -> bool + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, of, packet, onward| {
        if of != way || !wanted(version, &packet) {
            onward.packet(version, of, &packet);
        }
    })
}

/// Delays packets that go this way; others overtake them.
pub fn later(way: Way, span: Duration, wanted: impl Fn(&Packet) -> bool + Send + 'static) -> Box<dyn Tamper> {
    struct Later<F>(Way, Duration, F);
    impl<F: Fn(&Packet) -> bool + Send> Tamper for Later<F> {
        fn passes(&mut self, version: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            let late = way == self.0 && decode(version, &bytes).is_ok_and(|packet| (self.2)(&packet));
            onward.later(if late { self.1 } else { Duration::ZERO }, way, bytes);
        }
    }
    Box::new(Later(way, span, wanted))
}

/// Does not close a connection, though it says why it should be closed.
pub fn lingers() -> Box<dyn Tamper> {
    struct Lingers;
    impl Tamper for Lingers {
        fn passes(&mut self, _: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            onward.send(way, bytes);
        }

        fn ends(&mut self, way: Way, onward: &mut Onward) {
            if way == Way::Up {
                onward.end(way);
            }
        }
    }
    Box::new(Lingers)
}

/// Does not close a connection, and keeps to itself why it should be closed.
pub fn never_closes() -> Box<dyn Tamper> {
    struct NeverCloses;
    impl Tamper for NeverCloses {
        fn passes(&mut self, version: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            if way == Way::Up || !matches!(decode(version, &bytes), Ok(Packet::Disconnect(_))) {
                onward.send(way, bytes);
            }
        }

        fn ends(&mut self, way: Way, onward: &mut Onward) {
            if way == Way::Up {
                onward.end(way);
            }
        }
    }
    Box::new(NeverCloses)
}

/// Sends a packet of its own, as bytes, ahead of each one that goes up and is wanted.
pub fn ahead_of(
    wanted: impl Fn(&Packet) -> bool + Send + 'static,
    bytes: impl Fn(Version) -> Vec<u8> + Send + 'static,
) -> Box<dyn Tamper> {
    alter(move |version, way, packet, onward| {
        if way == Way::Up && wanted(&packet) {
            onward.send(way, bytes(version).into());
        }
        onward.packet(version, way, &packet);
    })
}

/// Holds the first wanted packet that goes up back until the second has passed.
pub fn swap(wanted: impl Fn(&Packet) -> bool + Send + 'static) -> Box<dyn Tamper> {
    let (mut held, mut done) = (None, false);
    alter(move |version, way, packet, onward| {
        if done || way != Way::Up || !wanted(&packet) {
            return onward.packet(version, way, &packet);
        }
        match held.take() {
            None => held = Some(packet),
            Some(first) => {
                onward.packet(version, way, &packet);
                onward.packet(version, way, &first);
                done = true;
            }
        }
    })
}

/// A client that does not close its connection.
pub fn stays_open() -> Box<dyn Tamper> {
    struct StaysOpen;
    impl Tamper for StaysOpen {
        fn passes(&mut self, _: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            onward.send(way, bytes);
        }

        fn ends(&mut self, way: Way, onward: &mut Onward) {
            if way == Way::Down {
                onward.end(way);
            }
        }
    }
    Box::new(StaysOpen)
}

/// A packet's bytes.
pub fn encoded(version: Version, packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    simrun::codec::encode(packet, version, &mut bytes).expect("a packet that can be written");
    bytes
}

/// The bytes that these hexadecimal digits stand for.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A frame of a WebSocket.
pub struct Frame {
    /// Its first byte: whether it is the last of its message, and its opcode.
    pub first: u8,
    /// What it holds, unmasked.
    pub payload: Vec<u8>,
    mask: Option<[u8; 4]>,
}

impl Frame {
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;

    pub fn opcode(&self) -> u8 {
        self.first & 0xF
    }

    pub fn set_opcode(&mut self, opcode: u8) {
        self.first = self.first & 0xF0 | opcode;
    }

    pub fn is_data(&self) -> bool {
        self.opcode() < 8
    }

    /// Takes the first frame out of these bytes, if it is there.
    fn take(bytes: &mut Vec<u8>) -> Option<Frame> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (length, mut at) = match second & 0x7F {
            126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
            127 => panic!("no mutant sees frames as long as this"),
            length => (usize::from(length), 2),
        };
        let mask = (second & 0x80 != 0).then(|| bytes.get(at..at + 4)).map(|mask| mask?.try_into().ok());
        let mask: Option<[u8; 4]> = match mask {
            Some(mask) => Some(mask?),
            None => None,
        };
        at += if mask.is_some() { 4 } else { 0 };
        let payload = masked(bytes.get(at..at + length)?, mask);
        bytes.drain(..at + length);
        Some(Frame { first, payload, mask })
    }

    fn bytes(&self) -> Vec<u8> {
        let masked_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match u8::try_from(self.payload.len()) {
            Ok(length @ ..=125) => bytes.push(masked_bit | length),
            _ => {
                bytes.push(masked_bit | 126);
                bytes.extend(u16::try_from(self.payload.len()).expect("a short frame").to_be_bytes());
            }
        }
        bytes.extend(self.mask.unwrap_or_default().iter().take(if self.mask.is_some() { 4 } else { 0 }));
        bytes.extend(masked(&self.payload, self.mask));
        bytes
    }
}

fn masked(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    payload.iter().zip(mask.unwrap_or_default().iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

/// Changes the heads of the HTTP request and its answer, and the frames of the WebSocket behind them; a frame that is not
/// given back is lost.
pub fn websocket(
    head: impl Fn(Way, String) -> String + Send + 'static,
    frame: impl FnMut(Way, Frame) -> Option<Frame> + Send + 'static,
) -> Box<dyn Tamper> {
    struct Socket<H, F> {
        head: H,
        frame: F,
        came: [Vec<u8>; 2],
        upgraded: [bool; 2],
    }
    impl<H: Fn(Way, String) -> String + Send, F: FnMut(Way, Frame) -> Option<Frame> + Send> Tamper for Socket<H, F> {
        fn takes_bytes(&self) -> bool {
            true
        }

        fn passes(&mut self, _: Version, way: Way, bytes: Bytes, onward: &mut Onward) {
            let came = &mut self.came[way as usize];
            came.extend_from_slice(&bytes);
            if !self.upgraded[way as usize] {
                let Some(end) = came.windows(4).position(|window| window == b"\r\n\r\n") else { return };
                let head = String::from_utf8(came.drain(..end + 4).collect()).expect("a head is text");
                onward.send(way, (self.head)(way, head).into());
                self.upgraded[way as usize] = true;
            }
            while let Some(frame) = Frame::take(came) {
                if let Some(frame) = (self.frame)(way, frame) {
                    onward.send(way, frame.bytes().into());
                }
            }
        }
    }
    Box::new(Socket { head, frame, came: Default::default(), upgraded: [false; 2] })
}

/// Changes only the frames.
pub fn frames(mut change: impl FnMut(Way, &mut Frame) + Send + 'static) -> Box<dyn Tamper> {
    websocket(
        |_, head| head,
        move |way, mut frame| {
            change(way, &mut frame);
            Some(frame)
        },
    )
}

/// Takes every frame that goes this way for one packet: loses those that hold something else.
pub fn frame_is_packet(of: Way) -> Box<dyn Tamper> {
    websocket(
        |_, head| head,
        move |way, frame| {
            let whole = |bytes: &[u8]| {
                bytes.len() >= 2 && bytes[1] < 0x80 && bytes.len() == 2 + usize::from(bytes[1])
                    || bytes.len() > 2 && bytes[1] >= 0x80
            };
            (way != of || !frame.is_data() || whole(&frame.payload)).then_some(frame)
        },
    )
}
