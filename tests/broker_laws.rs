//! The laws of the broker machine hold for any input: it never panics, the same inputs give the same outputs, how bytes
//! are cut does not matter, a timeout that comes early does nothing, and once drained the next timeout lies ahead.

mod support;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use simrun::broker::{Broker, Config, Input, Output, Peer};
use simrun::codec::*;
use simrun::link::{Cause, LinkId};
use simrun::store::Restored;
use simrun::time::Time;
use support::*;

/// Something that happens to a broker with a few links.
#[derive(Clone, Debug)]
enum Step {
    Open(u64),
    Bytes(u64, Vec<u8>),
    Packet(u64, Packet),
    Close(u64),
    Congested(u64),
    Drained(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let link = 1..4_u64;
    prop_oneof![
        2 => link.clone().prop_map(Step::Open),
        1 => (link.clone(), prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(l, b)| Step::Bytes(l, b)),
        12 => (link.clone(), packet()).prop_map(|(l, p)| Step::Packet(l, p)),
        1 => link.clone().prop_map(Step::Close),
        1 => link.clone().prop_map(Step::Congested),
        1 => link.prop_map(Step::Drained),
        2 => (0..20_000_u64).prop_map(Step::Wait),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let topic = prop_oneof![Just("a"), Just("a/b"), Just("b"), Just("$SYS/x")];
    let filter = prop_oneof![Just("a"), Just("#"), Just("a/+"), Just("$share/g/a"), Just("a/#/b")];
    let id = 1..4_u16;
    let connect =
        (any::<bool>(), any::<bool>(), 0..3_u8, 0..20_u16, any::<bool>()).prop_map(|(v5, clean, who, alive, will)| {
            let version = if v5 { Version::V5 } else { Version::V3_1_1 };
            let base = if clean {
                hello(version, ["", "x", "y"][who as usize])
            } else {
                hello_lasting(version, ["x", "y", "z"][who as usize])
            };
            let will = will.then(|| Will { topic: text("a"), payload: "will".into(), ..Will::default() });
            Packet::Connect(Box::new(Connect { keep_alive: alive, will, ..base }))
        });
    let publish = (topic, 0..3_u8, id.clone(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(topic, qos, id, dup, retain, empty)| {
            let payload = if empty { "" } else { "x" };
            let id = if qos > 0 { id } else { 0 };
            Packet::Publish(Publish { dup: dup && qos > 0, retain, ..publish(topic, payload, qos, id) })
        },
    );
    let acks = (0..4_usize, id.clone()).prop_map(|(kind, id)| {
        let kinds = [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp];
        Packet::Ack(ack(kinds[kind], id))
    });
    let subscribe = (filter.clone(), 0..3_u8, id.clone()).prop_map(|(filter, qos, id)| {
        let options = SubscriptionOptions { qos: Qos::from_number(qos).expect("0 to 2"), ..Default::default() };
        let subscriptions = vec![Subscription { filter: text(filter), options }];
        Packet::Subscribe(Subscribe { packet_identifier: pid(id), properties: Properties::new(), subscriptions })
    });
    let unsubscribe = (filter, id).prop_map(|(filter, id)| {
        let filters = vec![text(filter)];
        Packet::Unsubscribe(Unsubscribe { packet_identifier: pid(id), properties: Properties::new(), filters })
    });
    prop_oneof![
        3 => connect,
        4 => publish,
        4 => acks,
        2 => subscribe,
        1 => unsubscribe,
        1 => Just(Packet::PingReq),
        1 => Just(Packet::Disconnect(Disconnect::new(Reason::Success))),
    ]
}

/// What a run says, as text, and the machine after it.
fn run(steps: &[Step], config: &Config, cut: usize) -> Vec<String> {
    let mut broker = Broker::new(config.clone(), Restored::default(), Time::ZERO);
    let mut now = Time::ZERO;
    let mut said = Vec::new();
    for step in steps {
        let received = |link: u64, bytes: &[u8]| -> Vec<Input> {
            let pieces = bytes.chunks(if cut == 0 { usize::MAX } else { cut });
            pieces.map(|piece| Input::Received(LinkId(link), Bytes::copy_from_slice(piece))).collect()
        };
        let inputs = match step {
            Step::Open(link) => {
                vec![Input::Closed(LinkId(*link), Cause::Reset), Input::Opened(LinkId(*link), Peer::default())]
            }
            Step::Bytes(link, bytes) => received(*link, bytes),
            Step::Packet(link, packet) => {
                let version = broker.version(LinkId(*link)).unwrap_or(Version::V3_1_1);
                let mut bytes = Vec::new();
                match encode(packet, version, &mut bytes) {
                    Ok(()) => received(*link, &bytes),
                    Err(_) => Vec::new(),
                }
            }
            Step::Close(link) => vec![Input::Closed(LinkId(*link), Cause::Reset)],
            Step::Congested(link) => vec![Input::Congested(LinkId(*link))],
            Step::Drained(link) => vec![Input::Drained(LinkId(*link))],
            Step::Wait(millis) => {
                now = now + Duration::from_millis(*millis);
                vec![Input::Timeout]
            }
        };
        for input in inputs {
            broker.handle(now, input);
            drain(&mut broker, now, &mut said);
            assert!(broker.next_timeout().is_none_or(|next| next > now), "a due timer stays after draining");
            let before = said.len();
            broker.handle(now, Input::Timeout);
            drain(&mut broker, now, &mut said);
            assert_eq!(said.len(), before, "a timeout that was not due did something");
        }
    }
    said
}

fn drain(broker: &mut Broker, now: Time, said: &mut Vec<String>) {
    while let Some(output) = broker.poll() {
        said.push(format!("{now} {output:?}"));
        if let Output::Store(_, mark) = output {
            broker.handle(now, Input::Stored(mark));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_input_is_survived_and_gives_the_same_outputs_each_time(
        steps in prop::collection::vec(step(), 1..60),
        durable in any::<bool>(),
    ) {
        let config = Config { durable, trace: true, ..Config::default() };
        let once = run(&steps, &config, 0);
        prop_assert_eq!(&once, &run(&steps, &config, 0));
        for cut in [1, 3] {
            prop_assert_eq!(&once, &run(&steps, &config, cut), "cut into pieces of {}", cut);
        }
    }
}
