//! CONNECT (section 3.1): its form, client identifiers, who is let in, keep alive, limits of the client. Sessions and
//! wills have files of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::codec::{
    ConnAck, Connect, Packet, Properties, Property, Qos, Reason, SubscriptionOptions, Text, Value, Version, Will,
};
use crate::conform::case::server_cases;
use crate::conform::lab::{Lab, names};
use crate::conform::raw::{RawConnect, properties};
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::{Wire, by_hand, field, text};

server_cases! {
    first_packet: ["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"];
    second_connect: ["v3.1.1/MQTT-3.1.0-2", "v5/MQTT-3.1.0-2"];
    protocol_name: ["v3.1.1/MQTT-3.1.2-1", "v5/MQTT-3.1.2-1"];
    protocol_level: ["v3.1.1/MQTT-3.1.2-2", "v5/MQTT-3.1.2-2"];
    reserved_connect_flag: ["v3.1.1/MQTT-3.1.2-3", "v5/MQTT-3.1.2-3"];
    will_flag_without_will: ["v3.1.1/MQTT-3.1.2-9", "v5/MQTT-3.1.2-9"];
    will_without_will_flag: ["v3.1.1/MQTT-3.1.2-11"];
    will_qos_without_will: ["v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-13", "v5/MQTT-3.1.2-11"];
    will_retain_without_will: ["v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-15", "v5/MQTT-3.1.2-13"];
    will_qos_3: ["v3.1.1/MQTT-3.1.2-14", "v5/MQTT-3.1.2-12"];
    user_name_without_flag: ["v3.1.1/MQTT-3.1.2-18", "v5/MQTT-3.1.2-16"];
    flag_without_user_name: ["v3.1.1/MQTT-3.1.2-19", "v5/MQTT-3.1.2-17"];
    password_without_flag: ["v3.1.1/MQTT-3.1.2-20", "v5/MQTT-3.1.2-18"];
    flag_without_password: ["v3.1.1/MQTT-3.1.2-21", "v5/MQTT-3.1.2-19"];
    password_without_user_name: ["v3.1.1/MQTT-3.1.2-22"];
    no_client_id: ["v3.1.1/MQTT-3.1.3-3", "v5/MQTT-3.1.3-3"];
    ill_formed_client_id: ["v3.1.1/MQTT-3.1.3-4", "v5/MQTT-3.1.3-4"];
    ill_formed_will_topic: ["v3.1.1/MQTT-3.1.3-10", "v5/MQTT-3.1.3-11"];
    ill_formed_user_name: ["v3.1.1/MQTT-3.1.3-11", "v5/MQTT-3.1.3-12"];
    broken_connects: ["v3.1.1/MQTT-3.1.4-1", "v5/MQTT-3.1.4-1"];
    all_fields: ["v3.1.1/MQTT-3.1.3-1", "v5/MQTT-3.1.3-1"];
    guaranteed_client_ids: ["v3.1.1/MQTT-3.1.3-5", "v5/MQTT-3.1.3-5"];
    empty_client_ids: ["v3.1.1/MQTT-3.1.3-6", "v5/MQTT-3.1.3-6"];
    empty_client_id_to_stay: ["v3.1.1/MQTT-3.1.3-8"];
    assigned_client_id: ["v5/MQTT-3.1.3-7"];
    other_client_ids: ["v3.1.1/MQTT-3.1.3-9", "v5/MQTT-3.1.3-8"];
    wrong_password with Users: ["v5/MQTT-3.1.4-2"];
    takeover: ["v3.1.1/MQTT-3.1.4-2", "v5/MQTT-3.1.4-3"];
    good_connect: ["v3.1.1/MQTT-3.1.4-4", "v5/MQTT-3.1.4-5"];
    behind_a_refusal: ["v3.1.1/MQTT-3.1.4-5", "v5/MQTT-3.1.4-6"];
    keep_alive: ["v3.1.1/MQTT-3.1.2-24", "v5/MQTT-3.1.2-22"];
    large_message_is_not_sent: ["v5/MQTT-3.1.2-24"];
    large_message_counts_as_sent: ["v5/MQTT-3.1.2-25"];
    topic_aliases: ["v5/MQTT-3.1.2-26"];
    no_topic_aliases: ["v5/MQTT-3.1.2-27"];
    no_response_information: ["v5/MQTT-3.1.2-28"];
    no_problem_information: ["v5/MQTT-3.1.2-29"];
}

// --- what comes when --------------------------------------------------------------------------------------------------

/// A connection that does not begin with CONNECT is closed, and nothing on it is answered.
async fn first_packet(lab: &mut Lab) -> Outcome {
    let string = field(lab.topic("t").as_bytes());
    let no_properties = if lab.is_v5() { properties(&[]) } else { Vec::new() };
    let publish = [&string[..], &no_properties, b"hello"].concat();
    let subscribe = [&[0, 1], &no_properties[..], &string, &[0]].concat();
    let unsubscribe = [&[0, 1], &no_properties[..], &string].concat();
    let rows: [(&str, u8, &[u8]); 9] = [
        ("PUBLISH", 0x30, &publish),
        ("PUBACK", 0x40, &[0, 1]),
        ("PUBREC", 0x50, &[0, 1]),
        ("PUBREL", 0x62, &[0, 1]),
        ("PUBCOMP", 0x70, &[0, 1]),
        ("SUBSCRIBE", 0x82, &subscribe),
        ("UNSUBSCRIBE", 0xA2, &unsubscribe),
        ("PINGREQ", 0xC0, &[]),
        ("DISCONNECT", 0xE0, &[]),
    ];
    for (what, first, body) in rows {
        let mut wire = lab.dial("a").await?;
        wire.send_bytes(by_hand(first, body)).await.setup()?;
        let before = lab.closed_if_checked(&mut wire).await.about(what)?;
        let answered = before.iter().any(|packet| !matches!(packet, Packet::Disconnect(_)));
        ensure(!answered, "the connection closed without an answer", names(&before)).about(what)?;
    }
    Ok(())
}

/// A further CONNECT on a live connection, with the same client identifier or another, ends it.
async fn second_connect(lab: &mut Lab) -> Outcome {
    for (what, second) in [("the same client identifier", "a"), ("another client identifier", "b")] {
        let mut wire = lab.client("a").await?;
        wire.send(&Packet::Connect(Box::new(lab.connect(second)))).await.setup()?;
        let before = lab.closed(&mut wire).await.about(what)?;
        let connack = before.iter().any(|packet| matches!(packet, Packet::ConnAck(_)));
        ensure(!connack, "the connection closed without a second CONNACK", names(&before)).about(what)?;
    }
    Ok(())
}

// --- the form of CONNECT ----------------------------------------------------------------------------------------------

/// With another protocol name the target does not serve MQTT 3.1.1, whatever else it does; in 5.0 it closes.
async fn protocol_name(lab: &mut Lab) -> Outcome {
    if lab.is_v5() {
        return lab.turns_away(&[("the protocol name MQTX", |raw| raw.name = b"MQTX".to_vec())]).await;
    }
    let mut raw = RawConnect::of(&lab.connect("a"));
    raw.name = b"MQTX".to_vec();
    let mut wire = lab.dial("a").await?;
    wire.send_bytes(raw.bytes()).await.setup()?;
    wire.try_send_bytes(by_hand(0xC0, &[])).await;
    wire.set_patience(Duration::from_secs(1));
    let came = wire.closed().await.unwrap_or_else(|_| wire.rest());
    let served = came.iter().any(|packet| matches!(packet, Packet::ConnAck(connack) if !connack.reason.is_error()));
    ensure(!served, "no CONNACK that accepts the protocol name MQTX", names(&came))?;
    lab.alive().await
}

/// A protocol level that does not exist is refused: in 3.1.1 with return code 1 and then the end, in 5.0 with the end. Who
/// speaks both versions may answer a level above 5 as 5.0 has it (section 3.1.2.2), which is no packet in 3.1.1.
async fn protocol_level(lab: &mut Lab) -> Outcome {
    for (what, level) in [("protocol level 6", 6), ("protocol level 127", 127)] {
        let mut wire = lab.dial("a").await?;
        wire.send_bytes(RawConnect { level, ..RawConnect::of(&lab.connect("a")) }.bytes()).await.setup()?;
        if !lab.is_v5() {
            let connack = wire.connack().await;
            let of_5_0 = wire.refusal_of_5_0().filter(|_| lab.abilities().versions.contains(&Version::V5));
            ensure(of_5_0.is_none(), "CONNACK with return code 1", "the CONNACK of 5.0").about(what).advisable()?;
            same("return code", connack.about(what)?.reason.return_code(), Some(1)).about(what)?;
        }
        // The refusal may be one of another version, which is no packet in this one.
        let before = lab.closed(&mut wire).await.about(what)?;
        let accepts = before.iter().any(|packet| matches!(packet, Packet::ConnAck(c) if !c.reason.is_error()));
        ensure(!accepts, "no CONNACK that accepts", "CONNACK that accepts").about(what)?;
    }
    Ok(())
}

/// The reserved connect flag is set.
async fn reserved_connect_flag(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("the reserved connect flag set", |raw| raw.flags |= RawConnect::RESERVED)]).await
}

/// The Will Flag is set, and the fields of the will are missing.
async fn will_flag_without_will(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[
        ("the will flag without will fields", |raw| {
            raw.flags = raw.flags & !(RawConnect::USER_NAME | RawConnect::PASSWORD) | RawConnect::WILL;
            raw.user_name.clear();
            raw.password.clear();
        }),
        ("the will flag without a will payload", |raw| {
            let no_properties = if raw.properties.is_some() { vec![0] } else { Vec::new() };
            raw.flags = raw.flags & !(RawConnect::USER_NAME | RawConnect::PASSWORD) | RawConnect::WILL;
            raw.will = [no_properties, field(b"topic")].concat();
            raw.user_name.clear();
            raw.password.clear();
        }),
    ])
    .await
}

/// The Will Flag is not set, and a will is there.
async fn will_without_will_flag(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("will fields without the will flag", |raw| raw.rest = [field(b"topic"), field(b"x")].concat())])
        .await
}

/// Will QoS is set without the Will Flag.
async fn will_qos_without_will(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[
        ("will QoS 1 without a will", |raw| raw.flags |= 0b01 << 3),
        ("will QoS 2 without a will", |raw| raw.flags |= 0b10 << 3),
    ])
    .await
}

/// Will Retain is set without the Will Flag.
async fn will_retain_without_will(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("will retain without a will", |raw| raw.flags |= RawConnect::WILL_RETAIN)]).await
}

/// Will QoS 3.
async fn will_qos_3(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("will QoS 3", |raw| raw.set_will(RawConnect::WILL_QOS, b"simrun/will"))]).await
}

/// A user name is there without its flag.
async fn user_name_without_flag(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("a user name without its flag", |raw| {
        raw.flags &= !(RawConnect::USER_NAME | RawConnect::PASSWORD);
        raw.user_name = field(b"user");
        raw.password.clear();
    })])
    .await
}

/// The flag for a user name is set, and none is there.
async fn flag_without_user_name(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("the user name flag without a user name", |raw| {
        raw.flags = raw.flags & !RawConnect::PASSWORD | RawConnect::USER_NAME;
        raw.user_name.clear();
        raw.password.clear();
    })])
    .await
}

/// A password is there without its flag.
async fn password_without_flag(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("a password without its flag", |raw| {
        raw.flags = raw.flags & !RawConnect::PASSWORD | RawConnect::USER_NAME;
        raw.user_name = field(b"user");
        raw.password = field(b"password");
    })])
    .await
}

/// The flag for a password is set, and none is there.
async fn flag_without_password(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("the password flag without a password", |raw| {
        raw.flags |= RawConnect::USER_NAME | RawConnect::PASSWORD;
        raw.user_name = field(b"user");
        raw.password.clear();
    })])
    .await
}

/// A password without a user name, which 5.0 allows.
async fn password_without_user_name(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("a password without a user name", |raw| {
        raw.flags = raw.flags & !RawConnect::USER_NAME | RawConnect::PASSWORD;
        raw.user_name.clear();
        raw.password = field(b"password");
    })])
    .await
}

/// The payload has no client identifier, not even an empty one.
async fn no_client_id(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[("no client identifier", |raw| {
        raw.flags &= !(RawConnect::USER_NAME | RawConnect::PASSWORD);
        raw.client_id.clear();
        raw.user_name.clear();
        raw.password.clear();
    })])
    .await
}

/// The client identifier is no UTF-8.
async fn ill_formed_client_id(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[
        ("a surrogate", |raw| raw.client_id = field(b"a\xED\xA0\x80")),
        ("a sequence cut off", |raw| raw.client_id = field(b"a\xE2\x82")),
    ])
    .await
}

/// The will topic is no UTF-8.
async fn ill_formed_will_topic(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[
        ("a surrogate", |raw| raw.set_will(0, b"a\xED\xA0\x80")),
        ("a sequence cut off", |raw| raw.set_will(0, b"a\xE2\x82")),
    ])
    .await
}

/// The user name is no UTF-8.
async fn ill_formed_user_name(lab: &mut Lab) -> Outcome {
    fn set(raw: &mut RawConnect, user_name: &[u8]) {
        raw.flags |= RawConnect::USER_NAME;
        raw.user_name = field(user_name);
    }
    lab.turns_away(&[
        ("a surrogate", |raw| set(raw, b"a\xED\xA0\x80")),
        ("a sequence cut off", |raw| set(raw, b"a\xE2\x82")),
    ])
    .await
}

/// CONNECTs whose form is wrong in ways that no other case has.
async fn broken_connects(lab: &mut Lab) -> Outcome {
    lab.turns_away(&[
        ("a byte too many", |raw| raw.rest = vec![0]),
        ("a field too many", |raw| raw.rest = field(b"stray")),
        ("a client identifier that goes beyond the end", |raw| raw.client_id = b"\x00\x7Fa".to_vec()),
        ("a client identifier of one byte's length", |raw| {
            raw.flags &= !(RawConnect::USER_NAME | RawConnect::PASSWORD);
            raw.client_id = vec![0];
            raw.user_name.clear();
            raw.password.clear();
        }),
    ])
    .await?;
    if !lab.is_v5() {
        return Ok(());
    }
    lab.turns_away(&[
        ("Session Expiry Interval twice", |raw| raw.add_properties(b"\x11\0\0\0\x01\x11\0\0\0\x01")),
        ("Receive Maximum 0", |raw| raw.add_properties(b"\x21\0\0")),
        ("Maximum Packet Size 0", |raw| raw.add_properties(b"\x27\0\0\0\0")),
        ("Request Response Information 2", |raw| raw.add_properties(b"\x19\x02")),
        ("Request Problem Information 2", |raw| raw.add_properties(b"\x17\x02")),
        ("a Topic Alias, which is not for CONNECT", |raw| raw.add_properties(b"\x23\0\x01")),
        ("a property that does not exist", |raw| raw.add_properties(b"\x7E\0")),
        ("a property cut off", |raw| raw.add_properties(b"\x21\0")),
        ("Authentication Data without a method", |raw| raw.add_properties(b"\x16\0\x01x")),
    ])
    .await
}

// --- the payload ------------------------------------------------------------------------------------------------------

/// A CONNECT with every field is understood: the will comes out as it was given.
async fn all_fields(lab: &mut Lab) -> Outcome {
    let mut watcher = lab.subscriber("w", "will", Qos::AtMostOnce).await?;
    let mut connect = lab.connect("a");
    connect.username.get_or_insert_with(|| text("a-user"));
    connect.password.get_or_insert_with(|| "a-password".into());
    let properties = match lab.is_v5() {
        true => Properties::new().with(Property::ContentType, Value::Text(text("a-content-type"))),
        false => Properties::new(),
    };
    let topic = text(&lab.topic("will"));
    connect.will = Some(Will { topic: topic.clone(), payload: "a-payload".into(), properties, ..Will::default() });
    let (wire, _) = lab.join(connect).await?;
    wire.cut().await;
    let message = watcher.message().await?;
    same("will topic", message.topic, topic)?;
    same("will payload", &message.payload[..], &b"a-payload"[..])?;
    let content_type = lab.is_v5().then(|| text("a-content-type"));
    same("content type of the will", message.properties.content_type(), content_type)?;
    Ok(())
}

/// Client identifiers of every length from 1 to 23, with all letters and digits among them, are accepted.
async fn guaranteed_client_ids(lab: &mut Lab) -> Outcome {
    const CHARACTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    // The two versions may run side by side: they begin with other characters.
    let mut characters = CHARACTERS.iter().cycle().skip(if lab.is_v5() { 31 } else { 0 }).map(|byte| char::from(*byte));
    for len in 1..=23 {
        let client_id: String = characters.by_ref().take(len).collect();
        let mut wire = lab.open(Connect { client_id: text(&client_id), ..lab.connect("a") }).await?;
        let what = format!("the client identifier {client_id}");
        let connack = wire.connack().await.about(&what)?;
        same("CONNACK with", connack.reason, Reason::Success).about(&what)?;
        wire.leave().await.setup()?;
    }
    Ok(())
}

/// Two clients with empty client identifiers, if they are let in, both stay and are served; in 5.0 each is told its own.
async fn empty_client_ids(lab: &mut Lab) -> Outcome {
    let mut one = nameless(lab, lab.connect("a")).await?;
    let mut two = nameless(lab, lab.connect("a")).await?;
    for client in [&mut one, &mut two] {
        client.wire.ping().await?;
        client.wire.subscribe(lab.topic("t"), Qos::AtMostOnce).await?;
    }
    one.wire.publish(lab.publish("t", "hello", Qos::AtMostOnce)).await?;
    one.wire.message().await?;
    two.wire.message().await?;
    let [one, two] = [one, two].map(|client| client.connack.properties.assigned_client_identifier());
    ensure(!lab.is_v5() || one != two, "two client identifiers", format!("{one:?} twice"))?;
    Ok(())
}

/// A client without a client identifier of its own.
pub(super) struct Nameless {
    pub(super) wire: Wire,
    pub(super) connack: ConnAck,
}

/// Connects with an empty client identifier. A target may refuse it.
pub(super) async fn nameless(lab: &Lab, connect: Connect) -> Result<Nameless, Stop> {
    let mut wire = lab.open(Connect { client_id: Text::EMPTY, ..connect }).await?;
    let connack = wire.connack().await?;
    lab.needs(!connack.reason.is_error(), "room for empty client identifiers")?;
    if let Some(assigned) = connack.properties.assigned_client_identifier() {
        lab.remember(&assigned);
    }
    Ok(Nameless { wire, connack })
}

/// An empty client identifier with Clean Session 0 is refused with return code 2, and the connection closed.
async fn empty_client_id_to_stay(lab: &mut Lab) -> Outcome {
    let mut wire = refused(lab, "a").await?;
    same("CONNACK with", wire.connack().await?.reason, Reason::ClientIdentifierNotValid)?;
    lab.closed(&mut wire).await?;
    Ok(())
}

/// The assigned client identifier is as good as one that the client brings: its session can be resumed.
async fn assigned_client_id(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let Nameless { wire, connack } = nameless(lab, lab.connect_to_stay("a")).await?;
    let assigned = connack
        .properties
        .assigned_client_identifier()
        .ok_or_else(|| Failure::new("an Assigned Client Identifier", "CONNACK without one"))?;
    ensure(!assigned.is_empty(), "an Assigned Client Identifier", "an empty one")?;
    wire.cut().await;
    let mut again = lab.open(Connect { client_id: assigned, ..lab.connect_to_stay("a") }).await?;
    let connack = again.connack().await?;
    same("Session Present", connack.session_present, true)?;
    Ok(())
}

/// A client identifier beyond those that must be accepted is accepted, or refused as an identifier, and the connection
/// closed; 5.0 leaves open how it is refused.
async fn other_client_ids(lab: &mut Lab) -> Outcome {
    let long = "n".repeat(300);
    for (what, name) in [("300 bytes", long.as_str()), ("punctuation", "/ .:;#+$%"), ("other letters", "Ωß漢")] {
        let mut wire = lab.open(lab.connect(name)).await?;
        let connack = match wire.connack().await {
            Ok(connack) if connack.reason.is_error() => Some(connack),
            Ok(_) => {
                wire.leave().await.setup()?;
                continue;
            }
            Err(_) if lab.is_v5() => None,
            Err(failure) => return Err(failure.into()),
        };
        if !lab.is_v5() {
            let reason = connack.map(|connack| connack.reason);
            same("CONNACK with", reason, Some(Reason::ClientIdentifierNotValid)).about(what)?;
        }
        lab.closed(&mut wire).await.about(what)?;
    }
    Ok(())
}

// --- who is let in ----------------------------------------------------------------------------------------------------

/// A wrong password, and none: the connection is closed, after a CONNACK that refuses or none.
async fn wrong_password(lab: &mut Lab) -> Outcome {
    let wrong = Connect { password: Some("not-the-password".into()), ..lab.connect("a") };
    let none = Connect { username: None, password: None, ..lab.connect("a") };
    for (what, connect) in [("a wrong password", wrong), ("no user name", none)] {
        let mut wire = lab.open(connect).await?;
        let before = lab.closed(&mut wire).await.about(what)?;
        let allowed = match before.as_slice() {
            [] => true,
            [Packet::ConnAck(connack)] => connack.reason.is_error(),
            _ => false,
        };
        ensure(allowed, "the connection closed", format!("first {}", names(&before))).about(what)?;
    }
    Ok(())
}

/// A client identifier that is connected connects once more: the older connection is closed, in 5.0 after DISCONNECT
/// with 0x8E; the newer one is served.
async fn takeover(lab: &mut Lab) -> Outcome {
    let mut older = lab.client("a").await?;
    let mut newer = lab.client("a").await?;
    let before = lab.closed(&mut older).await?;
    newer.ping().await?;
    if lab.is_v5() {
        let told = before.iter().any(
            |packet| matches!(packet, Packet::Disconnect(disconnect) if disconnect.reason == Reason::SessionTakenOver),
        );
        ensure(told, "DISCONNECT with 0x8E before the end", format!("[{}]", names(&before))).advisable()?;
    }
    Ok(())
}

/// A good CONNECT, with and without a will, a clean start or not, is answered by CONNACK with 0.
async fn good_connect(lab: &mut Lab) -> Outcome {
    let will = Will { topic: text(&lab.topic("will")), payload: "gone".into(), ..Will::default() };
    let rows = [
        ("a clean start", lab.connect("a")),
        ("a session to stay", lab.connect_to_stay("b")),
        ("a will", Connect { will: Some(will), ..lab.connect("c") }),
        ("no keep alive", Connect { keep_alive: 0, ..lab.connect("d") }),
    ];
    for (what, connect) in rows {
        let mut wire = lab.open(connect).await?;
        same("CONNACK with", wire.connack().await.about(what)?.reason, Reason::Success).about(what)?;
        wire.leave().await.setup()?;
    }
    Ok(())
}

/// What comes in one segment with a CONNECT that is refused is not acted on.
async fn behind_a_refusal(lab: &mut Lab) -> Outcome {
    let mut watcher = lab.subscriber("w", "t", Qos::AtMostOnce).await?;
    let mut publisher = lab.client("p").await?;
    let string = field(lab.topic("t").as_bytes());
    let no_properties = if lab.is_v5() { properties(&[]) } else { Vec::new() };
    let publish = by_hand(0x30, &[&string[..], &no_properties, b"behind"].concat());
    let subscribe = by_hand(0x82, &[&[0, 1], &no_properties[..], &string, &[0]].concat());
    let mut wire = lab.dial("a").await?;
    wire.send_together(&[refused_connect(lab, "a"), publish, subscribe]).await.setup()?;
    let came = wire.closed().await.unwrap_or_else(|_| wire.rest());
    let accepted = came.iter().any(|packet| matches!(packet, Packet::ConnAck(connack) if !connack.reason.is_error()));
    ensure(!accepted, "a CONNECT that is refused", "CONNACK that accepts it").setup()?;
    let acted = came.iter().any(|packet| !matches!(packet, Packet::ConnAck(_)));
    ensure(!acted, "no answer behind the refusal", names(&came))?;
    publisher.publish(lab.publish("t", "sentinel", Qos::AtMostOnce)).await.setup()?;
    same("messages before the sentinel", watcher.messages_until(b"sentinel").await?.len(), 1)?;
    Ok(())
}

/// A connection with a CONNECT on its way that every target refuses.
pub(super) async fn refused(lab: &Lab, name: &str) -> Result<Wire, Stop> {
    let mut wire = lab.dial(name).await?;
    wire.send_bytes(refused_connect(lab, name)).await.setup()?;
    Ok(wire)
}

/// A CONNECT that every target refuses: in 3.1.1 for an empty client identifier that is to stay, in 5.0 for a method of
/// authentication that nobody has.
pub(super) fn refused_connect(lab: &Lab, name: &str) -> Vec<u8> {
    let mut raw = RawConnect::of(&lab.connect_to_stay(name));
    if lab.is_v5() {
        raw.add_properties(&[&[0x15], &field(b"simrun-no-such-method")[..]].concat());
    } else {
        raw.client_id = field(b"");
    }
    raw.bytes()
}

// --- keep alive -------------------------------------------------------------------------------------------------------

/// A client with Keep Alive 2 is served after two silent seconds, and closed when it stays silent; its will goes out.
async fn keep_alive(lab: &mut Lab) -> Outcome {
    let mut watcher = lab.subscriber("w", "will", Qos::AtMostOnce).await?;
    let will = Will { topic: text(&lab.topic("will")), payload: "gone".into(), ..Will::default() };
    let (mut wire, connack) = lab.join(Connect { keep_alive: 2, will: Some(will), ..lab.connect("a") }).await?;
    let seconds = connack.properties.server_keep_alive().unwrap_or(2);
    lab.needs((1..=10).contains(&seconds), "keep alive that ends within this test")?;
    let keep_alive = Duration::from_secs(seconds.into());
    lab.wait(keep_alive).await;
    wire.ping().await?;
    wire.set_patience(keep_alive * 3 / 2 + lab.patience_with_timers());
    lab.closed(&mut wire).await?;
    watcher.messages_until(b"gone").await?;
    Ok(())
}

// --- what the client takes --------------------------------------------------------------------------------------------

/// The largest packet that a client of [`narrow`] takes.
const NARROW: u32 = 100;

/// A client that takes only small packets, one at a time; its session outlives its connection.
fn narrow(lab: &Lab) -> Connect {
    let connect = lab.connect_to_stay("s");
    let properties = connect
        .properties
        .clone()
        .with(Property::MaximumPacketSize, Value::Four(NARROW))
        .with(Property::ReceiveMaximum, Value::Two(1));
    Connect { properties, ..connect }
}

/// A payload that is too large for a client of [`narrow`].
fn large() -> Vec<u8> {
    vec![b'x'; 2 * NARROW as usize]
}

/// A message that is too large for a client is not sent to it, whether or not others come.
async fn large_message_is_not_sent(lab: &mut Lab) -> Outcome {
    let (mut subscriber, _) = lab.join(narrow(lab)).await?;
    subscriber.subscribe(lab.topic("t"), Qos::AtLeastOnce).await.setup()?;
    let mut publisher = lab.client("p").await?;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        publisher.publish(lab.publish("t", large(), qos)).await.setup()?;
    }
    publisher.publish(lab.publish("t", "small", Qos::AtLeastOnce)).await.setup()?;
    let is_small = |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.payload == "small");
    let before = subscriber.settling_until(is_small).await?;
    let sent = before.iter().any(|packet| matches!(packet, Packet::Publish(publish) if publish.payload == large()));
    ensure(!sent, format!("no packet of more than {NARROW} bytes"), names(&before))?;
    Ok(())
}

/// A message that is too large for a client counts as sent: the next one comes, and it is not sent later either.
async fn large_message_counts_as_sent(lab: &mut Lab) -> Outcome {
    let (mut subscriber, _) = lab.join(narrow(lab)).await?;
    subscriber.subscribe(lab.topic("t"), Qos::AtLeastOnce).await.setup()?;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("t", large(), Qos::AtLeastOnce)).await.setup()?;
    publisher.publish(lab.publish("t", "small", Qos::AtLeastOnce)).await.setup()?;
    same("messages up to the small one", subscriber.messages_until(b"small").await?.len(), 1)?;
    subscriber.cut().await;
    let (mut subscriber, _) = lab.join(narrow(lab)).await?;
    publisher.publish(lab.publish("t", "sentinel", Qos::AtLeastOnce)).await.setup()?;
    let messages = subscriber.messages_until(b"sentinel").await?;
    let late = messages.iter().any(|message| message.payload == large());
    ensure(!late, "only small messages in the resumed session", "the large message")?;
    Ok(())
}

/// Topic aliases of the target are at most the client's Topic Alias Maximum.
async fn topic_aliases(lab: &mut Lab) -> Outcome {
    for alias in aliases_used(lab, Some(2)).await? {
        ensure((1..=2).contains(&alias), "topic aliases 1 and 2 at most", format!("topic alias {alias}"))?;
    }
    Ok(())
}

/// With Topic Alias Maximum absent, or 0, the target uses no topic alias.
async fn no_topic_aliases(lab: &mut Lab) -> Outcome {
    for maximum in [None, Some(0)] {
        let aliases = aliases_used(lab, maximum).await?;
        ensure(aliases.is_empty(), "no topic alias", format!("topic aliases {aliases:?}"))?;
    }
    Ok(())
}

/// The topic aliases that a client with this Topic Alias Maximum is sent, with messages on four topics, twice each.
async fn aliases_used(lab: &Lab, maximum: Option<u16>) -> Result<BTreeSet<u16>, Stop> {
    lab.needs(lab.abilities().wildcards, "wildcard subscriptions")?;
    let mut connect = lab.connect("s");
    if let Some(maximum) = maximum {
        connect.properties.push(Property::TopicAliasMaximum, Value::Two(maximum));
    }
    let (mut subscriber, _) = lab.join(connect).await?;
    subscriber.subscribe(lab.topic("+"), Qos::AtLeastOnce).await.setup()?;
    let mut publisher = lab.client("p").await?;
    for topic in ["a", "b", "c", "d", "a", "b", "c", "d"] {
        publisher.publish(lab.publish(topic, topic, Qos::AtLeastOnce)).await.setup()?;
    }
    let mut aliases = BTreeSet::new();
    for _ in 0..8 {
        aliases.extend(subscriber.take_message().await.setup()?.properties.topic_alias());
    }
    Ok(aliases)
}

/// Without a request for it, and with one for none, CONNACK has no Response Information.
async fn no_response_information(lab: &mut Lab) -> Outcome {
    for asked in [None, Some(0)] {
        let mut connect = lab.connect("a");
        if let Some(asked) = asked {
            connect.properties.push(Property::RequestResponseInformation, Value::Byte(asked));
        }
        let (_, connack) = lab.join(connect).await?;
        same("Response Information", connack.properties.response_information(), None)?;
    }
    Ok(())
}

/// With Request Problem Information 0, acks of all kinds carry neither reason strings nor user properties.
async fn no_problem_information(lab: &mut Lab) -> Outcome {
    let mut connect = lab.connect("a");
    connect.properties.push(Property::RequestProblemInformation, Value::Byte(0));
    let (mut wire, _) = lab.join(connect).await?;
    let mut said = Vec::new();
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().filter(|qos| *qos <= lab.abilities().maximum_qos) {
        wire.send_publish(lab.publish("nobody", "hello", qos)).await.setup()?;
        let ack = wire.expect("PUBACK or PUBREC", |packet| match packet {
            Packet::Ack(ack) => Some(ack.properties.clone()),
            _ => None,
        });
        said.push(("PUBACK or PUBREC", ack.await.setup()?));
    }
    let options = SubscriptionOptions::default();
    let suback = wire.ask(&[(&lab.topic("bad/#/filter"), options)], Properties::new()).await;
    if let Ok(suback) = suback {
        said.push(("SUBACK", suback.properties));
        said.push(("UNSUBACK", wire.unsubscribe(&[&lab.topic("nobody")]).await.setup()?.properties));
    }
    for (what, properties) in said {
        let told = properties.iter().any(|(name, _)| matches!(name, Property::ReasonString | Property::UserProperty));
        ensure(!told, format!("{what} without reason string and user property"), format!("{properties:?}"))?;
    }
    Ok(())
}
