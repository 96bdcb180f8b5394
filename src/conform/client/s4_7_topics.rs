//! Topic names and filters (section 4.7), shared subscriptions (5.0 section 4.8.2).

use super::never_sends;
use crate::codec::Packet;
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::{FilterOrder, Order, SubscribeOrder};
use crate::conform::verdict::{Outcome, same};

client_cases! {
    multi_level_wildcard: ["v3.1.1/MQTT-4.7.1-2", "v5/MQTT-4.7.1-1"];
    single_level_wildcard: ["v3.1.1/MQTT-4.7.1-3", "v5/MQTT-4.7.1-2"];
    nothing_is_empty: ["v3.1.1/MQTT-4.7.3-1", "v5/MQTT-4.7.3-1"];
    as_long_as_can_be: ["v3.1.1/MQTT-4.7.3-3", "v5/MQTT-4.7.3-3"];
    shared_begins_with_a_name: ["v5/MQTT-4.8.2-1"];
    share_name_and_filter: ["v5/MQTT-4.8.2-2"];
}

fn subscribe(filter: &str) -> Order {
    let filters = vec![FilterOrder { filter: filter.to_owned(), ..FilterOrder::default() }];
    Order::Subscribe(SubscribeOrder { filters, ..SubscribeOrder::default() })
}

/// Filters of the first kind arrive, those of the second are refused by the library, or not sent.
async fn filters(bench: &mut Bench, good: &[&str], bad: &[&'static str]) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    for filter in good {
        bench.must(subscribe(filter)).await?;
        same("filter", wire.subscribing().await?.subscriptions[0].filter.as_str(), *filter)?;
    }
    bench.cut(wire).await?;
    let rows = bad.iter().map(|filter| (*filter, subscribe(filter))).collect();
    never_sends(bench, rows, |packet| match packet {
        Packet::Subscribe(subscribe) => {
            subscribe.subscriptions.iter().any(|asked| bad.contains(&asked.filter.as_str()))
        }
        _ => false,
    })
    .await
}

/// `#` stands alone, in the last level.
async fn multi_level_wildcard(bench: &mut Bench) -> Outcome {
    filters(bench, &["#", "a/#"], &["a#", "a/#/b", "#/a", "a/b#"]).await
}

/// `+` fills a level.
async fn single_level_wildcard(bench: &mut Bench) -> Outcome {
    filters(bench, &["+", "+/+", "/+", "a/+/b", "+/#"], &["a+", "a/b+/c", "+a"]).await
}

/// Empty topics and filters are refused by the library, or not sent.
async fn nothing_is_empty(bench: &mut Bench) -> Outcome {
    let rows = vec![
        ("an empty topic", Order::Publish(Box::new(bench.publish("", "x", 0)))),
        ("an empty filter", subscribe("")),
        ("an empty filter to end", Order::Unsubscribe { filters: vec![String::new()], user_properties: Vec::new() }),
    ];
    never_sends(bench, rows, |packet| match packet {
        Packet::Publish(publish) => publish.topic.is_empty() && publish.properties.topic_alias().is_none(),
        Packet::Subscribe(subscribe) => subscribe.subscriptions.iter().any(|asked| asked.filter.is_empty()),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().any(|filter| filter.is_empty()),
        _ => false,
    })
    .await
}

/// A topic of 65,535 bytes arrives whole, if the library has no limit of its own; one of 65,536 is refused by the
/// library, or not sent, nor sent in part.
async fn as_long_as_can_be(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let longest = Order::Publish(Box::new(bench.publish(&"x".repeat(65_535), "y", 0)));
    for packet in bench.offer(&mut wire, longest).await? {
        if let Packet::Publish(publish) = packet {
            same("length of the topic", publish.topic.len(), 65_535)?;
        }
    }
    bench.cut(wire).await?;
    let too_long = bench.publish(&"x".repeat(65_536), "y", 0);
    let rows = vec![("a topic of 65,536 bytes", Order::Publish(Box::new(too_long)))];
    never_sends(bench, rows, |packet| matches!(packet, Packet::Publish(_))).await
}

/// A share name has at least one character.
async fn shared_begins_with_a_name(bench: &mut Bench) -> Outcome {
    filters(bench, &["$share/g/a"], &["$share//a"]).await
}

/// A share name has no `/`, `+` or `#`, and a filter follows.
async fn share_name_and_filter(bench: &mut Bench) -> Outcome {
    filters(bench, &["$share/g//a"], &["$share/g", "$share/g/", "$share/g+/a", "$share/g#/a"]).await
}
