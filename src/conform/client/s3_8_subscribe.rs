//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10).

use super::never_sends;
use crate::codec::Packet;
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::{FilterOrder, Order, SubscribeOrder};
use crate::conform::verdict::{Outcome, same};

client_cases! {
    client_subscribe_flags: ["v3.1.1/MQTT-3.8.1-1", "v5/MQTT-3.8.1-1"];
    filters_are_utf_8: ["v3.1.1/MQTT-3.8.3-1", "v5/MQTT-3.8.3-1"];
    subscribe_names_a_filter: ["v3.1.1/MQTT-3.8.3-3", "v5/MQTT-3.8.3-2"];
    no_local_is_not_for_shared: ["v5/MQTT-3.8.3-4"];
    client_unsubscribe_flags: ["v3.1.1/MQTT-3.10.1-1", "v5/MQTT-3.10.1-1"];
    filters_to_end_are_utf_8: ["v3.1.1/MQTT-3.10.3-1", "v5/MQTT-3.10.3-1"];
    unsubscribe_names_a_filter: ["v3.1.1/MQTT-3.10.3-2", "v5/MQTT-3.10.3-2"];
}

/// Characters of one to four bytes.
const FILTER: &str = "aß/€😀/#";

/// SUBSCRIBE comes with the flags 0010: the suite takes no others.
async fn client_subscribe_flags(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.ask("a", 0).await?;
    wire.subscribing().await?;
    Ok(())
}

/// Filters arrive as the application gave them, with their QoS.
async fn filters_are_utf_8(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let filter = |filter: &str, qos| FilterOrder { filter: filter.to_owned(), qos, ..FilterOrder::default() };
    let filters = vec![filter(FILTER, 1), filter("b", 2)];
    bench.must(Order::Subscribe(SubscribeOrder { filters, ..SubscribeOrder::default() })).await?;
    let mut came = Vec::new();
    // A library may spread them over several packets.
    while came.len() < 2 {
        for subscription in wire.subscribing().await?.subscriptions {
            came.push((subscription.filter.to_string(), subscription.options.qos.number()));
        }
    }
    same("filters", came, vec![(FILTER.to_owned(), 1), ("b".to_owned(), 2)])?;
    Ok(())
}

/// A SUBSCRIBE without filters is refused by the library, or not sent.
async fn subscribe_names_a_filter(bench: &mut Bench) -> Outcome {
    let rows = vec![("a SUBSCRIBE without filters", Order::Subscribe(SubscribeOrder::default()))];
    never_sends(bench, rows, |packet| matches!(packet, Packet::Subscribe(_))).await
}

/// A shared subscription without local messages is refused by the library, or not sent so.
async fn no_local_is_not_for_shared(bench: &mut Bench) -> Outcome {
    bench.needs("no_local")?;
    let filter = FilterOrder { filter: "$share/g/a".to_owned(), no_local: Some(true), ..FilterOrder::default() };
    let order = Order::Subscribe(SubscribeOrder { filters: vec![filter], ..SubscribeOrder::default() });
    never_sends(bench, vec![("No Local on a shared subscription", order)], |packet| match packet {
        Packet::Subscribe(subscribe) => subscribe.subscriptions.iter().any(|asked| asked.options.no_local),
        _ => false,
    })
    .await
}

fn unsubscribe(filters: &[&str]) -> Order {
    let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
    Order::Unsubscribe { filters, user_properties: Vec::new() }
}

/// UNSUBSCRIBE comes with the flags 0010: the suite takes no others.
async fn client_unsubscribe_flags(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.must(unsubscribe(&["a"])).await?;
    wire.unsubscribing().await?;
    Ok(())
}

/// Filters to end arrive as the application gave them, one behind the other.
async fn filters_to_end_are_utf_8(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.must(unsubscribe(&[FILTER, "b"])).await?;
    let mut came = Vec::new();
    while came.len() < 2 {
        came.extend(wire.unsubscribing().await?.filters.iter().map(ToString::to_string));
    }
    same("filters", came, vec![FILTER.to_owned(), "b".to_owned()])?;
    Ok(())
}

/// An UNSUBSCRIBE without filters is refused by the library, or not sent.
async fn unsubscribe_names_a_filter(bench: &mut Bench) -> Outcome {
    let rows = vec![("an UNSUBSCRIBE without filters", unsubscribe(&[]))];
    never_sends(bench, rows, |packet| matches!(packet, Packet::Unsubscribe(_))).await
}
