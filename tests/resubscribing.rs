//! Subscriptions of a scenario, with subscription identifiers and without, are made once in each new session.

use simrun::codec::{Packet, decode};
use simrun::scenario::parse;
use simrun::sim::{Engine, run};
use simrun::trace::{Event, What};

const STORY: &str = r#"
clients:
  reader: { subscribe: { a: { qos: 1, subscription_identifier: 7 }, b: 1, c: { subscription_identifier: 7 } }, reconnect: 1s }
timeline:
  - { at: 5s, reset: reader }
  - { at: 10s, reset: reader }
ends: 15s
"#;

#[test]
fn each_filter_once_in_each_of_three_sessions() {
    let scenario = parse("resubscribing", STORY.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    for engine in [Engine::Direct, Engine::Turmoil] {
        let run = run(&scenario, 1, engine);
        let packets: Vec<Packet> = run.trace.iter().filter_map(sent).collect();
        let mut sessions = Vec::new();
        for packet in packets {
            match packet {
                Packet::Connect(_) => sessions.push(Vec::new()),
                Packet::Subscribe(subscribe) => {
                    let identifier = subscribe.properties.subscription_identifiers().next();
                    let filters = subscribe.subscriptions.iter().map(|one| (one.filter.to_string(), identifier));
                    sessions.last_mut().expect("connected first").extend(filters);
                }
                _ => {}
            }
        }
        for session in &mut sessions {
            session.sort();
        }
        let once = [("a", Some(7)), ("b", None), ("c", Some(7))].map(|(filter, id)| (filter.to_owned(), id));
        assert_eq!(sessions, [once.to_vec(), once.to_vec(), once.to_vec()], "{engine}");
    }
}

/// What the client sent.
fn sent(event: &Event) -> Option<Packet> {
    match &event.what {
        What::Left(transfer) if &*transfer.from == "reader" => decode(transfer.version, &transfer.bytes).ok(),
        _ => None,
    }
}
