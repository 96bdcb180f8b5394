//! Stores of every format that was ever written open, and those of a later one are refused.

use std::path::PathBuf;
use std::time::Duration;

use redb::TableDefinition;
use simrun::codec::{
    PacketIdentifier, Properties, Property, Qos, RetainHandling, SubscriptionOptions, Text, Value as Is, Will,
};
use simrun::message::Message;
use simrun::sim::platter::Platter;
use simrun::store::database::{Clock, Database, StoreError};
use simrun::store::encoding::FORMAT;
use simrun::store::{Change, Key, OwedRecord, SessionRecord, SubscriptionRecord, Value};
use simrun::time::Time;

use super::{open, replayed};

fn fixture(format: u64) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/format-{format}.redb"))
}

/// The block of packet identifiers of the session.
const BLOCK: u8 = 3;

const CLOCK: Clock =
    Clock { began: Duration::from_secs(1_764_000_000), last: Time::after(Duration::from_millis(12_345)) };

/// A record of every kind, with everything that it can hold.
/// `block` is 0 before format 2.
fn records(block: u8) -> Vec<Change> {
    let client_id = Text::literal("lamp");
    let packet = PacketIdentifier::new(4711).unwrap();
    let properties = Properties::new().with(Property::ContentType, Is::Text(Text::literal("text/plain")));
    let message = Message {
        topic: Text::literal("light/hall"),
        payload: "现在天黑了".into(),
        qos: Qos::ExactlyOnce,
        retain: true,
        properties: properties.clone(),
        expires: Some(Time::after(Duration::from_nanos(1_234_567_890_123))),
    };
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: Text::literal("gone"),
        payload: "lamp".into(),
        properties: properties.with(Property::WillDelayInterval, Is::Four(30)),
    };
    let options = SubscriptionOptions {
        qos: Qos::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
    };
    let owed = |sent| Value::Owed(OwedRecord { message: Box::new(message.clone()), sent });
    let all = [
        (
            Key::Session(client_id.clone()),
            Value::Session(Box::new(SessionRecord {
                expiry_seconds: 3600,
                left: Some(Time::after(Duration::from_secs(5))),
                will: Some((will, 30)),
                username: Some(Text::literal("ada")),
                block,
            })),
        ),
        (
            Key::Subscription(client_id.clone(), Text::literal("$share/g/light/+")),
            Value::Subscription(SubscriptionRecord { options, identifier: Some(7), shared: true }),
        ),
        (Key::Owed(client_id.clone(), 1), owed(Some((packet, true)))),
        (Key::Owed(client_id.clone(), 2), owed(None)),
        (Key::Unreleased(client_id, packet), Value::Present),
        (Key::Retained(message.topic.clone()), Value::Retained(Box::new(message.clone()))),
    ];
    all.into_iter().map(|(key, value)| Change::new(key, Some(value))).collect()
}

#[test]
fn a_store_of_every_format_opens() {
    for format in 1..=FORMAT {
        let platter = Platter::default();
        platter.put(std::fs::read(fixture(format)).expect("each format has its file"));
        let (_, contents) = open(&platter);
        assert_eq!(contents.restored, replayed([&records(if format < 2 { 0 } else { BLOCK })]), "format {format}");
        assert_eq!((contents.unreadable, contents.clock), (0, Some(CLOCK)), "format {format}");
    }
}

/// For a new format, once: its file then stays as it is.
#[test]
#[ignore = "writes the file of the present format"]
fn write_the_file_of_this_format() {
    let platter = Platter::default();
    open(&platter).0.write(&records(BLOCK).into_iter().collect(), Some(CLOCK)).unwrap();
    std::fs::write(fixture(FORMAT), platter.bytes()).unwrap();
}

#[test]
fn a_store_of_a_later_format_is_refused() {
    let platter = Platter::default();
    open(&platter).0.write(&records(BLOCK).into_iter().collect(), Some(CLOCK)).unwrap();
    {
        let database = redb::Builder::new().create_with_backend(platter.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<&str, u64>::new("about"))
            .unwrap()
            .insert("format", FORMAT + 1)
            .unwrap();
        transaction.commit().unwrap();
    }
    let error = Database::open(platter).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Newer(format) if format == FORMAT + 1), "{error:?}");
}

#[test]
fn a_record_that_cannot_be_read_does_not_hide_the_others() {
    let platter = Platter::default();
    open(&platter).0.write(&records(BLOCK).into_iter().collect(), Some(CLOCK)).unwrap();
    {
        let database = redb::Builder::new().create_with_backend(platter.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        let table = TableDefinition::<&[u8], &[u8]>::new("records");
        transaction.open_table(table).unwrap().insert(&b"\x09what"[..], &b"?"[..]).unwrap();
        transaction.commit().unwrap();
    }
    let (_, contents) = open(&platter);
    assert_eq!(contents.unreadable, 1);
    assert_eq!(contents.restored, replayed([&records(BLOCK)]));
}
