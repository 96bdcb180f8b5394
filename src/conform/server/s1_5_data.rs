//! Data representation (section 1.5): strings, variable byte integers.

use crate::codec::{Property, Publish, Qos, Value};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::raw::properties;
use crate::conform::verdict::{Otherwise, Outcome, Stop, same};
use crate::conform::wire::{by_hand, field, text};

server_cases! {
    ill_formed_string: ["v3.1.1/MQTT-1.5.3-1", "v5/MQTT-1.5.4-1"];
    null_character: ["v3.1.1/MQTT-1.5.3-2", "v5/MQTT-1.5.4-2"];
    byte_order_mark: ["v3.1.1/MQTT-1.5.3-3", "v5/MQTT-1.5.4-3"];
    padded_number: ["v5/MQTT-1.5.5-1"];
    ill_formed_pair: ["v5/MQTT-1.5.7-1"];
}

/// What is no UTF-8.
const ILL_FORMED: [(&str, &[u8]); 4] = [
    ("a surrogate", b"\xED\xA0\x80"),
    ("an overlong form", b"\xC0\xAF"),
    ("a code point above U+10FFFF", b"\xF5\x80\x80\x80"),
    ("a sequence cut off", b"\xE2\x82"),
];

/// Ill-formed UTF-8 in a topic name, a topic filter or a client identifier ends the connection.
async fn ill_formed_string(lab: &mut Lab) -> Outcome {
    for (what, bad) in ILL_FORMED {
        refuses_string(lab, bad).await.about(what)?;
    }
    lab.turns_away(&[("a surrogate in the client identifier", |raw| raw.client_id = field(b"a\xED\xA0\x80"))]).await
}

/// U+0000 in a topic name, a topic filter or a client identifier ends the connection.
async fn null_character(lab: &mut Lab) -> Outcome {
    refuses_string(lab, b"nu\0ll").await?;
    lab.turns_away(&[("U+0000 in the client identifier", |raw| raw.client_id = field(b"nu\0ll"))]).await
}

/// Demands that the target closes on a topic name and on a topic filter that end like this.
async fn refuses_string(lab: &Lab, bad: &[u8]) -> Outcome {
    let string = field(&[lab.topic("").as_bytes(), bad].concat());
    let no_properties = if lab.is_v5() { properties(&[]) } else { Vec::new() };
    let publish = [&string[..], &no_properties, b"hello"].concat();
    let subscribe = [&[0, 1], &no_properties[..], &string, &[0]].concat();
    for (what, first, body) in [("in a topic name", 0x30, publish), ("in a topic filter", 0x82, subscribe)] {
        let mut wire = lab.client("a").await?;
        wire.send_bytes(by_hand(first, &body)).await.setup()?;
        lab.closed_if_checked(&mut wire).await.about(what)?;
    }
    Ok(())
}

/// U+FEFF at the beginning of a topic is part of it, and of a user property (5.0).
async fn byte_order_mark(lab: &mut Lab) -> Outcome {
    let (plain, marked) = (lab.topic("t"), format!("\u{FEFF}{}", lab.topic("t")));
    let (mut of_plain, mut of_marked) = (lab.client("plain").await?, lab.client("marked").await?);
    of_plain.subscribe(&plain, Qos::AtLeastOnce).await.setup()?;
    of_marked.subscribe(&marked, Qos::AtLeastOnce).await.setup()?;
    let mut publisher = lab.client("p").await?;
    let pair = || Value::Pair(text("\u{FEFF}name"), text("\u{FEFF}value"));
    let mut publish = Publish { topic: text(&marked), ..lab.publish("t", "marked", Qos::AtLeastOnce) };
    if lab.is_v5() {
        publish.properties.push(Property::UserProperty, pair());
    }
    publisher.publish(publish).await.setup()?;
    publisher.publish(lab.publish("t", "plain", Qos::AtLeastOnce)).await.setup()?;
    let message = of_marked.take_message().await?;
    same("the topic", message.topic.as_str(), marked.as_str())?;
    if lab.is_v5() {
        same("the user property", message.properties.iter().next().map(|(_, value)| value), Some(pair()))?;
    }
    let heard = of_plain.messages_until(b"plain").await?;
    same("messages on the topic without U+FEFF", heard.len(), 1)?;
    Ok(())
}

/// A length with more bytes than it needs ends the connection.
async fn padded_number(lab: &mut Lab) -> Outcome {
    let topic = field(lab.topic("t").as_bytes());
    let publish = by_hand(0x30, &[&topic[..], b"\x80\x00", b"hello"].concat());
    let rows = [("a remaining length of 80 00", b"\xC0\x80\x00".to_vec()), ("a property length of 80 00", publish)];
    for (what, bytes) in rows {
        let mut wire = lab.client("a").await?;
        wire.send_bytes(bytes).await.setup()?;
        lab.closed_if_checked(&mut wire).await.about(what)?;
    }
    Ok(())
}

/// Ill-formed UTF-8 in either half of a user property ends the connection.
async fn ill_formed_pair(lab: &mut Lab) -> Outcome {
    let topic = field(lab.topic("t").as_bytes());
    let rows: [(&str, [&[u8]; 2]); 2] =
        [("in the name", [b"\xED\xA0\x80", b"value"]), ("in the value", [b"name", b"\xED\xA0\x80"])];
    for (what, [name, value]) in rows {
        let pair = [&[0x26], &field(name)[..], &field(value)].concat();
        let mut wire = lab.client("a").await?;
        let publish = [&topic[..], &properties(&pair), b"hello"].concat();
        wire.send_bytes(by_hand(0x30, &publish)).await.setup()?;
        lab.closed_if_checked(&mut wire).await.about(what)?;
    }
    Ok::<(), Stop>(())
}
