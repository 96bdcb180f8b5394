//! Records of every kind.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use simrun::codec::{
    PacketIdentifier, Properties, Property, Qos, RetainHandling, SubscriptionOptions, Text, Value as Is, Will,
};
use simrun::message::Message;
use simrun::store::{Change, Key, OwedRecord, SessionRecord, SubscriptionRecord, Value};
use simrun::time::Time;

/// Batches of changes to few keys, so that they write over and remove each other's.
pub(crate) fn batches() -> impl Strategy<Value = Vec<Vec<Change>>> {
    vec(vec(change(), 1..8), 1..8)
}

fn change() -> impl Strategy<Value = Change> {
    record().prop_flat_map(|(key, value)| {
        option::weighted(0.7, Just(value)).prop_map(move |value| Change::new(key.clone(), value))
    })
}

/// A key and a value of its kind.
pub(crate) fn record() -> impl Strategy<Value = (Key, Value)> {
    prop_oneof![
        (few_names(), session()).prop_map(|(id, record)| (Key::Session(id), Value::Session(Box::new(record)))),
        (few_names(), text(), subscription())
            .prop_map(|(id, filter, record)| (Key::Subscription(id, filter), Value::Subscription(record))),
        (few_names(), prop_oneof![0..4_u64, any::<u64>()], owed())
            .prop_map(|(id, place, record)| (Key::Owed(id, place), Value::Owed(record))),
        (few_names(), any::<PacketIdentifier>()).prop_map(|(id, packet)| (Key::Unreleased(id, packet), Value::Present)),
        (few_names(), message())
            .prop_map(|(topic, message)| (Key::Retained(topic), Value::Retained(Box::new(message)))),
    ]
}

fn few_names() -> impl Strategy<Value = Text> {
    prop_oneof![3 => select(vec![Text::literal("a"), Text::literal("lamp"), Text::EMPTY]), 1 => text()]
}

fn text() -> impl Strategy<Value = Text> {
    let string = prop_oneof![
        20 => "[ -~]{0,20}".boxed(),
        20 => any::<String>().prop_map(|string| string.replace('\0', "")).boxed(),
        1 => Just("x".repeat(65_535)).boxed(),
    ];
    string.prop_map(|string| Text::try_from(string).expect("without NUL and not too long"))
}

fn qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn time() -> impl Strategy<Value = Time> {
    (0..10_000_000_000_u64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| Time::after(Duration::new(seconds, nanos)))
}

fn session() -> impl Strategy<Value = SessionRecord> {
    (any::<u32>(), option::of(time()), option::of((will(), any::<u32>())), option::of(text()), 0..16_u8).prop_map(
        |(expiry_seconds, left, will, username, block)| SessionRecord { expiry_seconds, left, will, username, block },
    )
}

fn will() -> impl Strategy<Value = Will> {
    let properties = option::of(any::<u32>()).prop_map(|delay| match delay {
        Some(delay) => Properties::new().with(Property::WillDelayInterval, Is::Four(delay)),
        None => Properties::new(),
    });
    (qos(), any::<bool>(), text(), vec(any::<u8>(), 0..50), properties).prop_map(
        |(qos, retain, topic, payload, properties)| Will { qos, retain, topic, payload: payload.into(), properties },
    )
}

fn subscription() -> impl Strategy<Value = SubscriptionRecord> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let options = (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling,
        },
    );
    (options, option::of(any::<u32>()), any::<bool>()).prop_map(|(options, identifier, shared)| SubscriptionRecord {
        options,
        identifier,
        shared,
    })
}

fn owed() -> impl Strategy<Value = OwedRecord> {
    (message(), option::of((any::<PacketIdentifier>(), any::<bool>())))
        .prop_map(|(message, sent)| OwedRecord { message: Box::new(message), sent })
}

fn message() -> impl Strategy<Value = Message> {
    let properties = (option::of(text()), vec(1..1000_u32, 0..3)).prop_map(|(name, identifiers)| {
        let named = name.into_iter().fold(Properties::new(), |properties, name| {
            properties.with(Property::UserProperty, Is::Pair(name.clone(), name))
        });
        identifiers.into_iter().fold(named, |properties, identifier| {
            properties.with(Property::SubscriptionIdentifier, Is::Variable(identifier))
        })
    });
    let payload = prop_oneof![20 => vec(any::<u8>(), 0..100), 1 => Just(vec![7; 20_000])];
    (qos(), any::<bool>(), text(), payload, properties, option::of(time())).prop_map(
        |(qos, retain, topic, payload, properties, expires)| Message {
            topic,
            payload: payload.into(),
            qos,
            retain,
            properties,
            expires,
        },
    )
}
