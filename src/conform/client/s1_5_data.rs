//! Data representation (section 1.5).

use super::{bytes, connects, lacks, never_sends, row};
use crate::codec::{Packet, Property};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::{FilterOrder, Order, PublishOrder, SubscribeOrder};
use crate::conform::verdict::{Otherwise, Outcome, same};

client_cases! {
    strings_are_utf_8: ["v3.1.1/MQTT-1.5.3-1", "v5/MQTT-1.5.4-1"];
    ill_formed_utf_8_is_refused: ["v3.1.1/MQTT-1.5.3-1", "v5/MQTT-1.5.4-1"];
    null_character_is_not_sent: [
        "v3.1.1/MQTT-1.5.3-2", "v3.1.1/MQTT-4.7.3-2", "v5/MQTT-1.5.4-2", "v5/MQTT-4.7.3-2",
    ];
    null_character_is_refused: ["v3.1.1/MQTT-1.5.3-2", "v5/MQTT-1.5.4-2"];
    lengths_take_the_fewest_bytes: ["v5/MQTT-1.5.5-1"];
    user_properties_are_utf_8: ["v5/MQTT-1.5.7-1"];
}

/// One, two, three and four bytes of UTF-8 a character.
const STRING: &str = "aß€😀";

/// Client identifier and topic arrive as the application gave them.
async fn strings_are_utf_8(bench: &mut Bench) -> Outcome {
    let order = bench.connect(STRING);
    let (mut wire, connect) = connects(bench, order).await?;
    same("client identifier", connect.client_id.as_str(), STRING)?;
    bench.accepted(&mut wire, false, Default::default()).await?;
    bench.say(bench.publish(STRING, "x", 0)).await?;
    same("topic", wire.message().await?.topic.as_str(), STRING)?;
    Ok(())
}

/// A topic that is not well-formed UTF-8 ends the connection.
async fn ill_formed_utf_8_is_refused(bench: &mut Bench) -> Outcome {
    for (what, topic) in [("a surrogate", "eda080"), ("an overlong form", "c0af61"), ("a sequence cut off", "61e282")] {
        let mut wire = bench.subscriber(bench.connect("a")).await?;
        let packet = if bench.is_v5() { format!("3006 0003 {topic} 00") } else { format!("3005 0003 {topic}") };
        wire.send_bytes(bytes(&packet)).await.setup()?;
        row(what, bench.closed_if_checked(&mut wire).await)?;
        bench.parted().await?;
    }
    Ok(())
}

/// U+0000 in a topic or filter is refused by the library, or not sent.
async fn null_character_is_not_sent(bench: &mut Bench) -> Outcome {
    let filters = vec![FilterOrder { filter: "a\0b".to_owned(), ..FilterOrder::default() }];
    let rows = vec![
        ("a topic with U+0000", Order::Publish(Box::new(bench.publish("a\0b", "x", 0)))),
        ("a filter with U+0000", Order::Subscribe(SubscribeOrder { filters, ..SubscribeOrder::default() })),
    ];
    // What the library makes of it instead must at least be a packet.
    never_sends(bench, rows, |_| false).await
}

/// A topic with U+0000 ends the connection.
async fn null_character_is_refused(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    let packet = if bench.is_v5() { "3006 0003 610062 00" } else { "3005 0003 610062" };
    wire.send_bytes(bytes(packet)).await.setup()?;
    bench.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// Remaining lengths and property lengths about the borders are written in as few bytes as hold them.
async fn lengths_take_the_fewest_bytes(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    for size in [1, 120, 130, 16_400] {
        let order = PublishOrder { payload_size: Some(size), ..PublishOrder::default() };
        bench.say(PublishOrder { topic: "a".to_owned(), ..order }).await?;
        same("payload length", wire.message().await?.payload.len(), size)?;
    }
    for size in [1, 130] {
        let user_properties = vec![("k".to_owned(), "v".repeat(size))];
        bench.say(PublishOrder { user_properties, ..bench.publish("a", "x", 0) }).await?;
        let properties = wire.message().await?.properties;
        same("user properties", properties.user_properties().count(), 1)?;
    }
    Ok(())
}

/// Names and values of user properties arrive as the application gave them; U+0000 does not.
async fn user_properties_are_utf_8(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let with = |name: &str, value: &str, order: PublishOrder| PublishOrder {
        user_properties: vec![(name.to_owned(), value.to_owned())],
        ..order
    };
    let order = with(STRING, STRING, bench.publish("a", "x", 0));
    bench.say(order).await?;
    let properties = wire.message().await?.properties;
    let pairs: Vec<_> =
        properties.user_properties().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    same("user properties", pairs, vec![(STRING.to_owned(), STRING.to_owned())])?;
    for (name, value) in [("a\0b", "v"), ("k", "a\0b")] {
        let order = with(name, value, bench.publish("a", "x", 0));
        let sent = bench.offer(&mut wire, Order::Publish(Box::new(order))).await?;
        lacks("U+0000 in a user property", &sent, |packet| match packet {
            Packet::Publish(publish) => {
                publish.properties.iter().any(|(property, _)| property == Property::UserProperty)
            }
            _ => false,
        })?;
        if wire.is_closed() {
            break;
        }
    }
    Ok(())
}
