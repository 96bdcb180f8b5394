//! How a stream is cut does not matter.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use simrun::codec::*;

use crate::any;

/// A stream of packets, perhaps with garbage at its end, and where it is cut.
fn stream() -> impl Strategy<Value = (Version, Vec<u8>, Vec<usize>)> {
    let packets = any::version().prop_flat_map(|version| (Just(version), vec(any::packet(version), 0..6)));
    let garbage = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 1..20)];
    let cuts = prop_oneof![vec(1..20_usize, 1..20), Just(vec![1]), vec(1..5000_usize, 1..5)];
    (packets, garbage, cuts).prop_map(|((version, packets), garbage, cuts)| {
        let mut wire = Vec::new();
        for packet in &packets {
            encode(packet, version, &mut wire).unwrap();
        }
        wire.truncate(200_000);
        wire.extend(garbage);
        (version, wire, cuts)
    })
}

/// Everything that a reader finds: packets, then perhaps what stopped it.
#[derive(Debug, Default, PartialEq)]
struct Found {
    packets: Vec<Result<Packet, Malformed>>,
    stopped: Option<Malformed>,
}

fn read(version: Version, chunks: impl Iterator<Item = Bytes>, greedy: bool) -> Found {
    let mut reader = Reader::new(u32::MAX);
    let mut found = Found::default();
    for chunk in chunks {
        reader.feed(chunk);
        if !greedy && !drain(&mut reader, version, &mut found) {
            return found;
        }
    }
    drain(&mut reader, version, &mut found);
    found
}

fn drain(reader: &mut Reader, version: Version, found: &mut Found) -> bool {
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => found.packets.push(decode(version, &frame)),
            Ok(None) => return true,
            Err(malformed) => {
                found.stopped = Some(malformed);
                return false;
            }
        }
    }
}

fn cut<'a>(wire: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = Bytes> + 'a {
    let mut sizes = sizes.iter().cycle();
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (piece, more) = rest.split_at((*sizes.next()?).min(rest.len()));
        rest = more;
        (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// In one piece, in pieces read as they come, in pieces read at the end: the same packets, the same error.
    #[test]
    fn cuts_do_not_matter((version, wire, sizes) in stream()) {
        let whole = read(version, std::iter::once(Bytes::copy_from_slice(&wire)), false);
        prop_assert_eq!(&read(version, cut(&wire, &sizes), false), &whole);
        prop_assert_eq!(&read(version, cut(&wire, &sizes), true), &whole);
    }

    /// Reading packets finds what reading frames and decoding them finds.
    #[test]
    fn packets_are_decoded_frames((version, wire, sizes) in stream()) {
        let frames = read(version, cut(&wire, &sizes), false);
        let mut reader = Reader::new(u32::MAX);
        let mut packets = Vec::new();
        for chunk in cut(&wire, &sizes) {
            reader.feed(chunk);
            while let Ok(Some(packet)) = reader.next_packet(version) {
                packets.push(packet.detached());
            }
        }
        let good = frames.packets.into_iter().map_while(Result::ok).collect::<Vec<_>>();
        prop_assert!(packets.starts_with(&good));
    }
}

#[test]
fn memory_grows_with_what_arrives() {
    let mut reader = Reader::new(u32::MAX);
    reader.feed(Bytes::from_static(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, b't']));
    assert_eq!(reader.next_frame(), Ok(None));
    assert_eq!(reader.buffered(), 8);
    for _ in 0..10 {
        reader.feed(Bytes::from_static(&[0; 1000]));
        assert_eq!(reader.next_frame(), Ok(None));
    }
    assert_eq!(reader.buffered(), 10_008);
}

#[test]
fn a_packet_within_a_chunk_is_not_copied() {
    let chunk = Bytes::from_static(b"\x30\x05\x00\x01tab\xd0\x00");
    let mut reader = Reader::new(u32::MAX);
    reader.feed(chunk.clone());
    let frame = reader.next_frame().unwrap().unwrap();
    assert_eq!(frame.as_ptr(), chunk.as_ptr());
    let Packet::Publish(publish) = decode(Version::V3_1_1, &frame).unwrap() else { panic!("a PUBLISH") };
    assert_eq!(publish.payload.as_ptr(), chunk[5..].as_ptr());

    let mut reader = Reader::new(u32::MAX);
    reader.feed(chunk.clone());
    let Ok(Some(PacketRef::Publish(lent))) = reader.next_packet(Version::V3_1_1) else { panic!("a PUBLISH") };
    assert_eq!(lent.topic.as_bytes().as_ptr(), chunk[4..].as_ptr());
    assert_eq!(lent.shared_payload().as_ptr(), chunk[5..].as_ptr());
}

#[test]
fn the_largest_packet_is_accepted_and_one_larger_refused_at_once() {
    let fault = |max| {
        let mut reader = Reader::new(max);
        reader.feed(Bytes::from_static(&[0x30, 0x80, 0x01]));
        reader.next_frame().map_err(|malformed| malformed.fault)
    };
    assert_eq!(fault(131), Ok(None));
    assert_eq!(fault(130), Err(Fault::TooLarge));
}
