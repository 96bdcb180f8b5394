//! CONNECT (section 3.1).

use std::time::Duration;

use super::connects;
use crate::codec::{AckKind, Packet, Properties, Property, Qos, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::{ConnectOrder, Order, WillOrder};
use crate::conform::verdict::{Failure, Otherwise, Outcome, ensure, same};
use crate::conform::wire::Wire;
use crate::trace::describe;

client_cases! {
    connect_comes_first: ["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"];
    client_protocol_name: ["v5/MQTT-3.1.2-1"];
    session_is_resumed: ["v3.1.1/MQTT-3.1.2-4", "v5/MQTT-3.1.2-23"];
    client_clean_start_forgets: ["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-3.1.2-4"];
    will_is_whole: ["v3.1.1/MQTT-3.1.2-9", "v5/MQTT-3.1.2-9"];
    client_will_qos: ["v3.1.1/MQTT-3.1.2-14", "v5/MQTT-3.1.2-12"];
    without_a_will: [
        "v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-13", "v3.1.1/MQTT-3.1.2-15", "v5/MQTT-3.1.2-11", "v5/MQTT-3.1.2-13",
    ];
    without_a_user_name: ["v3.1.1/MQTT-3.1.2-18", "v5/MQTT-3.1.2-16"];
    without_a_password: ["v3.1.1/MQTT-3.1.2-20", "v5/MQTT-3.1.2-18"];
    with_user_name: ["v3.1.1/MQTT-3.1.2-19", "v5/MQTT-3.1.2-17"];
    with_password: ["v3.1.1/MQTT-3.1.2-21", "v5/MQTT-3.1.2-19"];
    no_password_without_user_name: ["v3.1.1/MQTT-3.1.2-22"];
    pings_within_keep_alive: ["v3.1.1/MQTT-3.1.2-23", "v5/MQTT-3.1.2-20"];
    pings_within_server_keep_alive: ["v5/MQTT-3.1.2-21", "v5/MQTT-3.2.2-21"];
    fields_in_order: ["v3.1.1/MQTT-3.1.3-1", "v5/MQTT-3.1.3-1"];
    session_belongs_to_client_identifier: ["v3.1.1/MQTT-3.1.3-2", "v5/MQTT-3.1.3-2"];
    client_identifier_is_there: ["v3.1.1/MQTT-3.1.3-3", "v5/MQTT-3.1.3-3"];
    client_identifier_is_utf_8: ["v3.1.1/MQTT-3.1.3-4", "v5/MQTT-3.1.3-4"];
    empty_client_identifier: ["v3.1.1/MQTT-3.1.3-7"];
    will_topic_is_utf_8: ["v3.1.1/MQTT-3.1.3-10", "v5/MQTT-3.1.3-11"];
    user_name_is_utf_8: ["v3.1.1/MQTT-3.1.3-11", "v5/MQTT-3.1.3-12"];
}

/// The first packet on a connection is CONNECT.
async fn connect_comes_first(bench: &mut Bench) -> Outcome {
    let order = bench.connect("a");
    bench.start(order).await?;
    let mut wire = bench.accept().await?;
    let first = wire.next("CONNECT as the first packet").await?;
    ensure(matches!(first, Packet::Connect(_)), "CONNECT as the first packet", describe(&first))?;
    Ok(())
}

/// CONNECT begins with the protocol name MQTT: the suite takes no other.
async fn client_protocol_name(bench: &mut Bench) -> Outcome {
    let order = bench.connect("a");
    connects(bench, order).await?;
    Ok(())
}

/// Messages that were not acknowledged when the connection was cut are sent again once the session is resumed.
async fn session_is_resumed(bench: &mut Bench) -> Outcome {
    for qos in [1, 2] {
        let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
        bench.say(bench.publish("a", "unsettled", qos)).await?;
        wire.message().await.setup()?;
        let mut wire = bench.resume(wire, true).await?;
        same("payload", &wire.take_message().await?.payload[..], b"unsettled")?;
        bench.cut(wire).await?;
    }
    Ok(())
}

/// With a clean start nothing of the earlier session is sent again. Its messages may come as new ones.
async fn client_clean_start_forgets(bench: &mut Bench) -> Outcome {
    let session_expiry = bench.is_v5().then_some(300);
    let mut wire = bench.welcome(ConnectOrder { session_expiry, ..bench.connect("a") }).await?;
    bench.say(bench.publish("a", "unsettled", 1)).await?;
    wire.message().await.setup()?;
    bench.say(bench.publish("a", "released", 2)).await?;
    let released = wire.message().await.setup()?.packet_identifier.unwrap_or(super::id(0));
    wire.send_ack(AckKind::PubRec, released).await.setup()?;
    wire.ack(AckKind::PubRel, released).await.setup()?;
    bench.cut(wire).await?;
    bench.must(Order::Reconnect { clean_start: Some(true) }).await?;
    let (mut wire, connect) = bench.connecting().await?;
    ensure(connect.clean_start, "a clean start", "none").setup()?;
    bench.accepted(&mut wire, false, Properties::new()).await?;
    nothing_old(&bench.until_sentinel(&mut wire).await?)?;
    Ok(())
}

/// Demands that none of these packets belongs to an earlier session.
fn nothing_old(sent: &[Packet]) -> Result<(), Failure> {
    let old = sent.iter().find(|packet| match packet {
        Packet::Publish(publish) => publish.dup,
        Packet::Ack(ack) => ack.kind == AckKind::PubRel,
        _ => false,
    });
    let expected = "nothing of an earlier session";
    old.map_or(Ok(()), |packet| Err(Failure::new(expected, describe(packet))))
}

fn will(qos: u8) -> WillOrder {
    WillOrder { topic: "will/topic".to_owned(), payload: "will payload".to_owned(), qos, ..WillOrder::default() }
}

/// A will comes with its topic and payload, QoS and RETAIN as asked for.
async fn will_is_whole(bench: &mut Bench) -> Outcome {
    let asked = WillOrder { retain: true, ..will(1) };
    let order = ConnectOrder { will: Some(asked), ..bench.connect("a") };
    let (_, connect) = connects(bench, order).await?;
    let will = connect.will.ok_or_else(|| Failure::new("a will", "none"))?;
    same("will topic", will.topic.as_str(), "will/topic")?;
    same("will payload", &will.payload[..], b"will payload")?;
    same("will QoS", will.qos, Qos::AtLeastOnce)?;
    same("will retain", will.retain, true)?;
    Ok(())
}

/// Will QoS is 0, 1 or 2, and never 3.
async fn client_will_qos(bench: &mut Bench) -> Outcome {
    for qos in 0..=2 {
        let order = ConnectOrder { will: Some(will(qos)), ..bench.connect("a") };
        let (wire, connect) = connects(bench, order).await?;
        same("will QoS", connect.will.map(|will| will.qos.number()), Some(qos))?;
        bench.cut(wire).await?;
    }
    let order = ConnectOrder { will: Some(will(3)), ..bench.connect("a") };
    // QoS 3 would not be read.
    bench.may_connect(order).await?;
    Ok(())
}

/// Without a will its QoS and RETAIN are 0 and its fields are left out.
async fn without_a_will(bench: &mut Bench) -> Outcome {
    let order = bench.connect("a");
    let (_, connect) = connects(bench, order).await?;
    same("will", connect.will, None)?;
    Ok(())
}

/// Without a user name its field is left out.
async fn without_a_user_name(bench: &mut Bench) -> Outcome {
    let order = bench.connect("a");
    let (_, connect) = connects(bench, order).await?;
    same("user name", connect.username, None)?;
    Ok(())
}

/// Without a password its field is left out.
async fn without_a_password(bench: &mut Bench) -> Outcome {
    let username = Some("user".to_owned());
    let order = ConnectOrder { username, ..bench.connect("a") };
    let (_, connect) = connects(bench, order).await?;
    same("user name", connect.username.as_deref(), Some("user"))?;
    same("password", connect.password, None)?;
    Ok(())
}

/// The user name is there.
async fn with_user_name(bench: &mut Bench) -> Outcome {
    let order = login(bench, Some("user"));
    let (_, connect) = connects(bench, order).await?;
    same("user name", connect.username.as_deref(), Some("user"))?;
    Ok(())
}

/// The password is there.
async fn with_password(bench: &mut Bench) -> Outcome {
    let order = login(bench, Some("user"));
    let (_, connect) = connects(bench, order).await?;
    same("password", connect.password.as_deref(), Some(&b"password"[..]))?;
    Ok(())
}

/// A password alone is refused by the library, or not sent without a user name.
async fn no_password_without_user_name(bench: &mut Bench) -> Outcome {
    // A password without a user name would not be read.
    bench.may_connect(login(bench, None)).await?;
    Ok(())
}

fn login(bench: &Bench, username: Option<&str>) -> ConnectOrder {
    let username = username.map(str::to_owned);
    ConnectOrder { username, password: Some("password".to_owned()), ..bench.connect("a") }
}

/// While the application is idle no more than the keep alive lies between two packets.
async fn pings_within_keep_alive(bench: &mut Bench) -> Outcome {
    let wire = bench.welcome(ConnectOrder { keep_alive: Some(5), ..bench.connect("a") }).await?;
    pings_within(bench, wire, Duration::from_secs(5)).await
}

/// The same with the keep alive that the server has set.
async fn pings_within_server_keep_alive(bench: &mut Bench) -> Outcome {
    let properties = Properties::new().with(Property::ServerKeepAlive, Value::Two(3));
    let wire = bench.welcome_with(bench.connect("a"), false, properties).await?;
    pings_within(bench, wire, Duration::from_secs(3)).await
}

/// How late a packet may be for reasons that are not the client's: the way to it, and a machine that has more to do.
const LATE: Duration = Duration::from_secs(1);
/// How late it usually is at most: more is worth a word.
const HARDLY_LATE: Duration = Duration::from_millis(250);

async fn pings_within(bench: &Bench, mut wire: Wire, keep_alive: Duration) -> Outcome {
    wire.set_patience(keep_alive + LATE);
    let mut longest = Duration::ZERO;
    for _ in 0..2 {
        let before = bench.elapsed();
        let packet = wire.next(&format!("a packet within {keep_alive:?}")).await?;
        longest = longest.max(bench.elapsed() - before);
        if packet == Packet::PingReq {
            wire.send(&Packet::PingResp).await.setup()?;
        }
    }
    let in_time = longest <= keep_alive + HARDLY_LATE;
    ensure(in_time, format!("a packet within {keep_alive:?}"), format!("one after {longest:?}")).advisable()
}

/// All fields of the payload arrive in their places.
async fn fields_in_order(bench: &mut Bench) -> Outcome {
    let order = ConnectOrder { will: Some(will(0)), ..login(bench, Some("user")) };
    let (_, connect) = connects(bench, order).await?;
    same("client identifier", connect.client_id.as_str(), "a")?;
    let will = connect.will.ok_or_else(|| Failure::new("a will", "none"))?;
    same("will topic", will.topic.as_str(), "will/topic")?;
    same("will payload", &will.payload[..], b"will payload")?;
    same("user name", connect.username.as_deref(), Some("user"))?;
    same("password", connect.password.as_deref(), Some(&b"password"[..]))?;
    Ok(())
}

/// Under another client identifier nothing of the first one's session is sent again.
async fn session_belongs_to_client_identifier(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect_to_stay("a")).await?;
    bench.say(bench.publish("a", "unsettled", 1)).await?;
    wire.message().await.setup()?;
    bench.cut(wire).await?;
    let mut wire = bench.welcome(bench.connect_to_stay("b")).await?;
    nothing_old(&bench.until_sentinel(&mut wire).await?)?;
    Ok(())
}

/// The payload begins with the client identifier.
async fn client_identifier_is_there(bench: &mut Bench) -> Outcome {
    let order = bench.connect("identifier");
    let (_, connect) = connects(bench, order).await?;
    same("client identifier", connect.client_id.as_str(), "identifier")?;
    Ok(())
}

/// The client identifier arrives as the application gave it.
async fn client_identifier_is_utf_8(bench: &mut Bench) -> Outcome {
    let order = bench.connect("aß€😀");
    let (_, connect) = connects(bench, order).await?;
    same("client identifier", connect.client_id.as_str(), "aß€😀")?;
    Ok(())
}

/// An empty client identifier does not go with Clean Session 0: the library refuses, or makes one of them another.
async fn empty_client_identifier(bench: &mut Bench) -> Outcome {
    let order = ConnectOrder { clean_start: Some(false), ..bench.connect("") };
    let Some((_, connect)) = bench.may_connect(order).await? else { return Ok(()) };
    let allowed = connect.clean_start || !connect.client_id.is_empty();
    ensure(allowed, "Clean Session 1 or a client identifier", "neither")?;
    Ok(())
}

/// The will topic arrives as the application gave it.
async fn will_topic_is_utf_8(bench: &mut Bench) -> Outcome {
    let asked = WillOrder { topic: "aß/€😀".to_owned(), ..will(0) };
    let order = ConnectOrder { will: Some(asked), ..bench.connect("a") };
    let (_, connect) = connects(bench, order).await?;
    same("will topic", connect.will.map(|will| will.topic.to_string()).as_deref(), Some("aß/€😀"))?;
    Ok(())
}

/// The user name arrives as the application gave it.
async fn user_name_is_utf_8(bench: &mut Bench) -> Outcome {
    let order = login(bench, Some("aß€😀"));
    let (_, connect) = connects(bench, order).await?;
    same("user name", connect.username.as_deref(), Some("aß€😀"))?;
    Ok(())
}
