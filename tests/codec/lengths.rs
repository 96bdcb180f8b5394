//! Strings are looked at and copied in chunks: at every length something odd is seen at every place, and all arrives.

use bytes::Bytes;
use simrun::codec::Version::{V3_1_1, V5};
use simrun::codec::*;

const LENGTHS: std::ops::RangeInclusive<usize> = 1..=70;

fn plain(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

fn text(len: usize) -> Text {
    Text::try_from(Bytes::from(plain(len))).unwrap()
}

/// Plain strings with this byte at one place: every length, every place.
fn with_odd(odd: u8) -> impl Iterator<Item = Vec<u8>> {
    LENGTHS.flat_map(move |len| {
        (0..len).map(move |at| {
            let mut string = plain(len);
            string[at] = odd;
            string
        })
    })
}

fn publish_to(topic: &[u8]) -> Bytes {
    let len = u8::try_from(topic.len()).unwrap();
    [&[0x30, 2 + len, 0, len][..], topic].concat().into()
}

/// A CONNECT of 3.1.1 with an empty client identifier and a will without payload.
fn connect_with_will_to(topic: &[u8]) -> Bytes {
    let len = u8::try_from(topic.len()).unwrap();
    let head = [0x10, 16 + len, 0, 4, b'M', b'Q', b'T', b'T', 4, 0b110, 0, 0, 0, 0, 0, len];
    [&head[..], topic, &[0, 0]].concat().into()
}

#[track_caller]
fn refused(frame: &Bytes, fault: Fault) {
    assert_eq!(decode(V3_1_1, frame).map_err(|malformed| malformed.fault), Err(fault), "{frame:?}");
}

#[test]
fn null_is_seen_at_every_place() {
    for string in with_odd(0) {
        refused(&publish_to(&string), Fault::NullCharacter);
        refused(&connect_with_will_to(&string), Fault::NullCharacter);
        assert_eq!(Text::try_from(Bytes::from(string)), Err(TextError::Null));
    }
}

#[test]
fn ill_formed_utf8_is_seen_at_every_place() {
    for string in with_odd(0x80) {
        refused(&publish_to(&string), Fault::NotUtf8);
        refused(&connect_with_will_to(&string), Fault::NotUtf8);
        assert_eq!(Text::try_from(Bytes::from(string)), Err(TextError::NotUtf8));
    }
}

#[test]
fn wildcards_are_seen_at_every_place() {
    for string in with_odd(b'+').chain(with_odd(b'#')) {
        refused(&publish_to(&string), Fault::TopicWildcard);
        refused(&connect_with_will_to(&string), Fault::WillTopicWildcard);
        let topic = Text::try_from(Bytes::from(string)).unwrap();
        let publish = Packet::Publish(Publish { topic, ..Publish::default() });
        assert_eq!(encode(&publish, V5, &mut Vec::new()), Err(Fault::TopicWildcard.into()));
    }
}

#[test]
fn other_bytes_are_plain_at_every_place() {
    for odd in [1, b'"', b'$', b'*', b',', b'+' | 0x40, 0x7f] {
        for string in with_odd(odd) {
            assert!(decode(V3_1_1, &publish_to(&string)).is_ok(), "{string:?}");
        }
    }
}

#[test]
fn fields_of_every_length_arrive() {
    for len in LENGTHS {
        let field = Bytes::from(plain(len));
        let properties = Properties::new().with(Property::UserProperty, (text(len), text(len)));
        let will = Will { topic: text(len), payload: field.clone(), properties: properties.clone(), ..Will::default() };
        let connect = Connect {
            version: V5,
            clean_start: true,
            keep_alive: 0,
            client_id: text(len),
            will: Some(will),
            username: Some(text(len)),
            password: Some(field),
            properties: properties.clone(),
        };
        let subscription = Subscription { filter: text(len), options: SubscriptionOptions::default() };
        let packet_identifier = PacketIdentifier::MIN;
        let (filters, subscriptions) = (vec![text(len); 3], vec![subscription; 3]);
        for packet in [
            Packet::Connect(Box::new(connect)),
            Packet::Subscribe(Subscribe { packet_identifier, properties: properties.clone(), subscriptions }),
            Packet::Unsubscribe(Unsubscribe { packet_identifier, properties, filters }),
        ] {
            let frame = Frame::new(&packet, V5).unwrap();
            assert_eq!(frame.decode(V5), Ok(packet), "{len}");
        }
    }
}
