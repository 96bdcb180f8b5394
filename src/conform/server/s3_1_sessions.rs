//! Sessions, as CONNECT begins and resumes them (sections 3.1.2, 3.1.3.1, 3.1.4).

use crate::codec::{Connect, Qos};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::Wire;

server_cases! {
    session_goes_on: ["v3.1.1/MQTT-3.1.2-4", "v5/MQTT-3.1.2-5", "v5/MQTT-3.1.2-23"];
    messages_for_the_absent: ["v3.1.1/MQTT-3.1.2-5", "v5/MQTT-3.1.2-5"];
    new_session: ["v3.1.1/MQTT-3.1.2-4", "v5/MQTT-3.1.2-6"];
    clean_start_forgets: ["v3.1.1/MQTT-3.1.2-6", "v5/MQTT-3.1.2-4"];
    clean_session_leaves_nothing: ["v3.1.1/MQTT-3.1.2-6"];
    clean_start_rules: ["v3.1.1/MQTT-3.1.4-3", "v5/MQTT-3.1.4-4"];
    retained_message_outlives_session: ["v3.1.1/MQTT-3.1.2-7"];
    session_of_the_client_id: ["v3.1.1/MQTT-3.1.3-2", "v5/MQTT-3.1.3-2"];
}

/// 5.0 lets a target end every session with its connection, and say so.
fn needs_sessions(lab: &Lab) -> Result<(), Stop> {
    lab.needs(!lab.is_v5() || lab.abilities().sessions, "sessions that outlive their connection")
}

/// A client with a session that has one subscription, and is gone.
async fn leave_session(lab: &Lab, name: &str) -> Result<(), Stop> {
    let (mut wire, _) = lab.join(lab.connect_to_stay(name)).await?;
    wire.subscribe(lab.topic("t"), Qos::ExactlyOnce).await.setup()?;
    wire.cut().await;
    Ok(())
}

/// A client that comes back to its session needs not subscribe again.
async fn session_goes_on(lab: &mut Lab) -> Outcome {
    needs_sessions(lab)?;
    leave_session(lab, "s").await?;
    let (mut subscriber, connack) = lab.join(lab.connect_to_stay("s")).await?;
    same("Session Present", connack.session_present, true)?;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("t", "hello", Qos::AtLeastOnce)).await.setup()?;
    same("payload", &subscriber.take_message().await?.payload[..], &b"hello"[..])?;
    Ok(())
}

/// Messages at QoS 1 and 2 that come while the client is away wait for it.
async fn messages_for_the_absent(lab: &mut Lab) -> Outcome {
    needs_sessions(lab)?;
    leave_session(lab, "s").await?;
    let mut publisher = lab.client("p").await?;
    let most = lab.abilities().maximum_qos;
    for (payload, qos) in [("once", Qos::AtLeastOnce), ("exactly", most)] {
        publisher.publish(lab.publish("t", payload, qos.min(most))).await.setup()?;
    }
    let (mut subscriber, _) = lab.join(lab.connect_to_stay("s")).await?;
    let mut heard = vec![subscriber.take_message().await?.payload, subscriber.take_message().await?.payload];
    heard.sort();
    same("messages", heard, vec!["exactly".into(), "once".into()])?;
    Ok(())
}

/// A client identifier without a session gets a new one, which is there when the client comes back.
async fn new_session(lab: &mut Lab) -> Outcome {
    needs_sessions(lab)?;
    let (mut wire, connack) = lab.join(lab.connect_to_stay("s")).await?;
    same("Session Present", connack.session_present, false)?;
    wire.subscribe(lab.topic("t"), Qos::AtMostOnce).await.setup()?;
    wire.cut().await;
    let (_, connack) = lab.join(lab.connect_to_stay("s")).await?;
    same("Session Present", connack.session_present, true)?;
    Ok(())
}

/// A clean start ends the old session: neither its subscription nor its messages are left.
async fn clean_start_forgets(lab: &mut Lab) -> Outcome {
    needs_sessions(lab)?;
    leave_session(lab, "s").await?;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("t", "queued", Qos::AtLeastOnce)).await.setup()?;
    let (mut subscriber, _) = lab.join(Connect { clean_start: true, ..lab.connect_to_stay("s") }).await?;
    hears_nothing(lab, &mut subscriber, &mut publisher).await
}

/// A session with Clean Session 1 ends with its connection.
async fn clean_session_leaves_nothing(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("s").await?;
    wire.subscribe(lab.topic("t"), Qos::AtLeastOnce).await.setup()?;
    wire.cut().await;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("t", "queued", Qos::AtLeastOnce)).await.setup()?;
    let (mut subscriber, connack) = lab.join(lab.connect_to_stay("s")).await?;
    same("Session Present", connack.session_present, false)?;
    hears_nothing(lab, &mut subscriber, &mut publisher).await
}

/// Demands that a client without subscriptions gets nothing of what was published or is.
async fn hears_nothing(lab: &Lab, subscriber: &mut Wire, publisher: &mut Wire) -> Outcome {
    publisher.publish(lab.publish("t", "unasked", Qos::AtLeastOnce)).await.setup()?;
    subscriber.subscribe(lab.topic("fence"), Qos::AtLeastOnce).await.setup()?;
    publisher.publish(lab.publish("fence", "sentinel", Qos::AtLeastOnce)).await.setup()?;
    let messages = subscriber.messages_until(b"sentinel").await?;
    let heard: Vec<_> = messages.iter().map(|message| message.payload.clone()).collect();
    ensure(heard.len() == 1, "nothing of the old session", format!("{heard:?}"))?;
    Ok(())
}

/// What a clean start means for each state that a session can be in, by Session Present and by what is heard.
async fn clean_start_rules(lab: &mut Lab) -> Outcome {
    needs_sessions(lab)?;
    let rows = [
        ("no session, and no clean start", None, false, false),
        ("no session, and a clean start", None, true, false),
        ("a stored session, and no clean start", Some(false), false, true),
        ("a stored session, and a clean start", Some(false), true, false),
        ("a session in use, and no clean start", Some(true), false, true),
        ("a session in use, and a clean start", Some(true), true, false),
    ];
    let mut publisher = lab.client("p").await?;
    for ((what, in_use, clean_start, resumed), name) in rows.into_iter().zip(["a", "b", "c", "d", "e", "f"]) {
        let mut older = None;
        if let Some(in_use) = in_use {
            let (mut wire, _) = lab.join(lab.connect_to_stay(name)).await?;
            wire.subscribe(lab.topic("t"), Qos::AtMostOnce).await.setup()?;
            match in_use {
                true => older = Some(wire),
                false => wire.cut().await,
            }
        }
        let (mut wire, connack) = lab.join(Connect { clean_start, ..lab.connect_to_stay(name) }).await?;
        same("Session Present", connack.session_present, resumed).about(what)?;
        wire.subscribe(lab.topic("fence"), Qos::AtMostOnce).await.setup()?;
        publisher.publish(lab.publish("t", "to the subscription", Qos::AtMostOnce)).await.setup()?;
        publisher.publish(lab.publish("fence", "sentinel", Qos::AtMostOnce)).await.setup()?;
        let heard = wire.messages_until(b"sentinel").await.setup()?.len();
        same("messages up to the sentinel", heard, 1 + usize::from(resumed)).about(what)?;
        drop(older);
        wire.leave().await.setup()?;
    }
    Ok(())
}

/// A retained message of a client with a clean session is still there when that client has left.
async fn retained_message_outlives_session(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().retain, "retained messages")?;
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.retained("t", "kept", Qos::AtLeastOnce)).await.setup()?;
    publisher.leave().await.setup()?;
    let mut subscriber = lab.subscriber("s", "t", Qos::AtLeastOnce).await?;
    same("payload", &subscriber.take_message().await?.payload[..], &b"kept"[..])?;
    Ok(())
}

/// Two client identifiers have sessions of their own, each found again from another connection.
async fn session_of_the_client_id(lab: &mut Lab) -> Outcome {
    needs_sessions(lab)?;
    for (name, topic) in [("a", "of-a"), ("b", "of-b")] {
        let (mut wire, _) = lab.join(lab.connect_to_stay(name)).await?;
        wire.subscribe(lab.topic(topic), Qos::AtLeastOnce).await.setup()?;
        wire.cut().await;
    }
    let mut publisher = lab.client("p").await?;
    for topic in ["of-a", "of-b"] {
        publisher.publish(lab.publish(topic, topic, Qos::AtLeastOnce)).await.setup()?;
    }
    for (name, topic) in [("b", "of-b"), ("a", "of-a")] {
        let (mut wire, connack) = lab.join(lab.connect_to_stay(name)).await?;
        same("Session Present", connack.session_present, true).about(name)?;
        same("payload", &wire.take_message().await?.payload[..], topic.as_bytes()).about(name)?;
    }
    Ok(())
}
