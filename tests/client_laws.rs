//! The laws of the client machine hold for any input: it never panics, the same inputs give the same outputs, how bytes
//! are cut does not matter, a timeout that comes early does nothing, and once drained the next timeout lies ahead.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use simrun::client::{Backoff, Client, Config, Credentials, Event, Input, Output};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use simrun::time::Time;

/// Something that happens to a client. What concerns a connection concerns the latest one, or an older one.
#[derive(Clone, Debug)]
enum Step {
    Connect,
    Dialed,
    DialFailed,
    Bytes(Vec<u8>),
    Packets(Vec<Packet>),
    Closed,
    Stale(Box<Step>),
    Publish(Publish),
    Subscribe(&'static str, u8, bool),
    Unsubscribe(&'static str),
    Disconnect(Reason, Option<u32>),
    Authenticate,
    Wait(u64),
}

fn pid(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("not zero")
}

fn qos() -> impl Strategy<Value = Qos> {
    (0..3_u8).prop_map(|number| Qos::from_number(number).expect("0 to 2"))
}

fn properties() -> impl Strategy<Value = Properties> {
    let property = prop_oneof![
        (0..4_u16).prop_map(|n| (Property::TopicAlias, Value::Two(n))),
        (0..4_u32).prop_map(|n| (Property::MessageExpiryInterval, Value::Four(n))),
        Just((Property::ContentType, Value::Text(Text::literal("text")))),
        Just((Property::SubscriptionIdentifier, Value::Variable(7))),
    ];
    prop_oneof![
        4 => Just(Properties::new()),
        1 => property.prop_map(|(property, value)| Properties::new().with(property, value)),
    ]
}

fn publish() -> impl Strategy<Value = Publish> {
    let topic = prop_oneof![3 => Just("a"), 1 => Just("b"), 1 => Just(""), 1 => Just("a/#")];
    (topic, qos(), 1..4_u16, any::<bool>(), any::<bool>(), properties()).prop_map(
        |(topic, qos, id, dup, retain, properties)| Publish {
            dup: dup && qos > Qos::AtMostOnce,
            qos,
            retain,
            topic: Text::literal(topic),
            packet_identifier: (qos > Qos::AtMostOnce).then(|| pid(id)),
            properties,
            payload: Bytes::from_static(b"x"),
        },
    )
}

fn connack() -> impl Strategy<Value = Packet> {
    let property = prop_oneof![
        (1..4_u16).prop_map(|n| (Property::ReceiveMaximum, Value::Two(n))),
        (0..2_u8).prop_map(|n| (Property::MaximumQos, Value::Byte(n))),
        Just((Property::RetainAvailable, Value::Byte(0))),
        (1..60_u32).prop_map(|n| (Property::MaximumPacketSize, Value::Four(n))),
        (0..3_u16).prop_map(|n| (Property::TopicAliasMaximum, Value::Two(n))),
        (0..3_u16).prop_map(|n| (Property::ServerKeepAlive, Value::Two(n))),
        (0..9_u32).prop_map(|n| (Property::SessionExpiryInterval, Value::Four(n))),
        Just((Property::AssignedClientIdentifier, Value::Text(Text::literal("given")))),
        Just((Property::ServerReference, Value::Text(Text::literal("there")))),
        Just((Property::WildcardSubscriptionAvailable, Value::Byte(0))),
    ];
    let reason = prop_oneof![
        8 => Just(Reason::Success),
        1 => Just(Reason::NotAuthorized),
        1 => Just(Reason::ServerUnavailable),
    ];
    (any::<bool>(), reason, prop::option::of(property)).prop_map(|(present, reason, property)| {
        let properties = property.map_or(Properties::new(), |(p, v)| Properties::new().with(p, v));
        Packet::ConnAck(ConnAck { session_present: present && reason == Reason::Success, reason, properties })
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let id = 1..6_u16;
    let ack = (0..4_usize, id.clone(), any::<bool>()).prop_map(|(kind, id, error)| {
        let kind = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp][kind];
        let reason = match kind {
            AckKind::PubAck | AckKind::PubRec if error => Reason::QuotaExceeded,
            _ => Reason::Success,
        };
        Packet::Ack(Ack::new(kind, pid(id), reason))
    });
    let suback = (id.clone(), 1..3_usize).prop_map(|(id, count)| {
        let reasons = vec![Reason::Success; count];
        Packet::SubAck(SubAck { packet_identifier: pid(id), properties: Properties::new(), reasons })
    });
    let unsuback = id.prop_map(|id| {
        let reasons = vec![Reason::Success];
        Packet::UnsubAck(UnsubAck { packet_identifier: pid(id), properties: Properties::new(), reasons })
    });
    let goodbye = prop_oneof![Just(Reason::SessionTakenOver), Just(Reason::ServerBusy), Just(Reason::Success)];
    let auth = prop_oneof![Just(Reason::ContinueAuthentication), Just(Reason::Success)].prop_map(|reason| {
        let properties = Properties::new()
            .with(Property::AuthenticationMethod, Value::Text(Text::literal("SCRAM-SHA-256")))
            .with(Property::AuthenticationData, Value::Binary(Bytes::from_static(b"r=x,s=AAAA,i=4096")));
        Packet::Auth(Auth { reason, properties })
    });
    prop_oneof![
        6 => connack(),
        6 => publish().prop_map(Packet::Publish),
        8 => ack,
        2 => suback,
        1 => unsuback,
        2 => Just(Packet::PingResp),
        1 => Just(Packet::PingReq),
        1 => goodbye.prop_map(|reason| Packet::Disconnect(Disconnect::new(reason))),
        1 => auth,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let filter = prop_oneof![Just("a"), Just("a/+"), Just("$share/g/a"), Just("a/#/b"), Just("")];
    let reason = prop_oneof![Just(Reason::Success), Just(Reason::DisconnectWithWill), Just(Reason::NotAuthorized)];
    let plain = prop_oneof![
        3 => Just(Step::Connect),
        4 => Just(Step::Dialed),
        1 => Just(Step::DialFailed),
        1 => prop::collection::vec(any::<u8>(), 0..24).prop_map(Step::Bytes),
        9 => prop::collection::vec(packet(), 1..4).prop_map(Step::Packets),
        2 => Just(Step::Closed),
        5 => publish().prop_map(Step::Publish),
        1 => (filter.clone(), 0..3_u8, any::<bool>()).prop_map(|(f, q, l)| Step::Subscribe(f, q, l)),
        1 => filter.prop_map(Step::Unsubscribe),
        1 => (reason, prop::option::of(0..9_u32)).prop_map(|(reason, expiry)| Step::Disconnect(reason, expiry)),
        1 => Just(Step::Authenticate),
        4 => (0..9_000_u64).prop_map(Step::Wait),
    ];
    prop_oneof![12 => plain.clone(), 1 => plain.prop_map(|step| Step::Stale(Box::new(step)))]
}

fn config() -> impl Strategy<Value = Config> {
    (
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        (0..9_u16, prop::option::of(0..9_u32), 1..5_u16, 0..3_u16, 0..5_usize, any::<u64>()),
    )
        .prop_map(|((v5, clean, again, auth, named), (alive, expiry, receive, aliases, queue, seed))| Config {
            version: if v5 { Version::V5 } else { Version::V3_1_1 },
            client_id: if named { Text::literal("me") } else { Text::EMPTY },
            clean_start: clean,
            keep_alive: alive,
            session_expiry: expiry,
            reconnect: again.then_some(Backoff { first: Duration::from_secs(1), most: Duration::from_secs(8) }),
            subscriptions: vec![(
                Subscription { filter: Text::literal("s"), options: SubscriptionOptions::default() },
                Properties::new(),
            )],
            receive_maximum: receive,
            topic_alias_maximum: aliases,
            topic_aliases: named,
            queue_maximum: queue,
            auth: (auth && seed % 4 == 0).then(|| Credentials { username: "u".into(), password: "p".into() }),
            seed,
            ..Config::default()
        })
}

/// Takes a client through steps, bytes cut to pieces of at most `cut`, and returns all that comes out, per step.
fn run(config: &Config, steps: &[Step], cut: usize, early: bool) -> Result<Vec<Vec<Output>>, TestCaseError> {
    let mut client = Client::new(config.clone());
    let mut now = Time::ZERO;
    let mut latest = 0;
    let mut all = Vec::new();
    for step in steps {
        let (step, link) = match step {
            Step::Stale(step) => (&**step, LinkId(latest + 1)),
            step => (step, LinkId(latest)),
        };
        let mut outputs = Vec::new();
        let mut handle = |client: &mut Client, input: Input| {
            client.handle(now, input);
            outputs.extend(std::iter::from_fn(|| client.poll()));
        };
        match step {
            Step::Connect => handle(&mut client, Input::Connect),
            Step::Dialed => handle(&mut client, Input::Dialed(link)),
            Step::DialFailed => handle(&mut client, Input::DialFailed(link, Cause::Unreachable(String::new()))),
            Step::Closed => handle(&mut client, Input::Closed(link, Cause::Reset)),
            Step::Bytes(bytes) => {
                for piece in bytes.chunks(cut) {
                    handle(&mut client, Input::Received(link, Bytes::copy_from_slice(piece)));
                }
            }
            Step::Packets(packets) => {
                let mut bytes = Vec::new();
                for packet in packets {
                    let mut one = Vec::new();
                    if encode(packet, config.version, &mut one).is_ok() {
                        bytes.append(&mut one);
                    }
                }
                for piece in bytes.chunks(cut) {
                    handle(&mut client, Input::Received(link, Bytes::copy_from_slice(piece)));
                }
            }
            Step::Publish(publish) => {
                let _ = client.publish(now, publish.clone());
            }
            Step::Subscribe(filter, qos, no_local) => {
                let qos = Qos::from_number(*qos).expect("0 to 2");
                let options = SubscriptionOptions { qos, no_local: *no_local, ..SubscriptionOptions::default() };
                let subscription = Subscription { filter: Text::literal(filter), options };
                let _ = client.subscribe(now, vec![subscription], Properties::new());
            }
            Step::Unsubscribe(filter) => {
                let _ = client.unsubscribe(now, vec![Text::literal(filter)]);
            }
            Step::Disconnect(reason, expiry) => {
                let properties = expiry.map_or(Properties::new(), |seconds| {
                    Properties::new().with(Property::SessionExpiryInterval, Value::Four(seconds))
                });
                let _ = client.disconnect(now, Disconnect { reason: *reason, properties });
            }
            Step::Authenticate => {
                let _ = client.authenticate_again(now);
            }
            Step::Wait(millis) => {
                let end = now + Duration::from_millis(*millis);
                // As a host does: each timer in its time.
                while let Some(due) = client.next_timeout().filter(|due| *due <= end) {
                    now = due;
                    client.handle(now, Input::Timeout);
                    outputs.extend(std::iter::from_fn(|| client.poll()));
                    prop_assert!(client.next_timeout().is_none_or(|next| next > now), "a due timer stays");
                }
                now = end;
            }
            Step::Stale(_) => {}
        }
        outputs.extend(std::iter::from_fn(|| client.poll()));
        if early {
            let next = client.next_timeout();
            client.handle(now, Input::Timeout);
            prop_assert_eq!(client.poll(), None, "an early timeout did something");
            prop_assert_eq!(client.next_timeout(), next);
        }
        prop_assert!(client.next_timeout().is_none_or(|next| next > now), "a due timer stays");
        for output in &outputs {
            check(config, output)?;
            if let Output::Dial(link) = output {
                latest = link.0;
            }
        }
        all.push(outputs);
    }
    prop_assert!(client.unsettled() <= 3 * config.queue_maximum + usize::from(u16::MAX));
    Ok(all)
}

/// What holds of every output by itself.
fn check(config: &Config, output: &Output) -> Result<(), TestCaseError> {
    match output {
        Output::Send(_, frame) => {
            let packet = decode(config.version, &frame.to_bytes()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let for_servers = matches!(
                packet.packet_type(),
                PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp
            );
            prop_assert!(!for_servers, "a client does not send {}", packet.packet_type());
        }
        Output::Event(Event::Message { message, .. }) => prop_assert!(!message.topic.is_empty()),
        Output::Event(_) | Output::Dial(_) | Output::Close(..) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_laws_hold(config in config(), steps in prop::collection::vec(step(), 1..60)) {
        let whole = run(&config, &steps, usize::MAX, false)?;
        prop_assert_eq!(&whole, &run(&config, &steps, usize::MAX, false)?, "same inputs, other outputs");
        prop_assert_eq!(&whole, &run(&config, &steps, 1, false)?, "the cut of the bytes matters");
        prop_assert_eq!(&whole, &run(&config, &steps, usize::MAX, true)?, "an early timeout matters");
    }
}
