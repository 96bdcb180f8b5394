//! The will (sections 3.1.2.5 to 3.1.2.7, 3.1.3.2, 3.1.3.3).

use std::time::Duration;

use crate::codec::{Connect, Disconnect, Property, Publish, Qos, Reason, SubscriptionOptions, Value, Will};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, in_order, same};
use crate::conform::wire::{Wire, text};

server_cases! {
    will_after_a_cut: ["v3.1.1/MQTT-3.1.2-8", "v5/MQTT-3.1.2-7", "v5/MQTT-3.1.2-8"];
    will_after_a_breach: ["v3.1.1/MQTT-3.1.2-8", "v5/MQTT-3.1.2-8"];
    will_after_silence: ["v3.1.1/MQTT-3.1.2-8", "v5/MQTT-3.1.2-8"];
    no_will_after_disconnect: ["v3.1.1/MQTT-3.1.2-10", "v5/MQTT-3.1.2-8", "v5/MQTT-3.1.2-10"];
    will_only_once: ["v3.1.1/MQTT-3.1.2-10", "v5/MQTT-3.1.2-10"];
    no_will_without_will: ["v3.1.1/MQTT-3.1.2-12"];
    will_qos: ["v3.1.1/MQTT-3.1.2-9", "v3.1.1/MQTT-3.1.2-14", "v5/MQTT-3.1.2-12"];
    will_not_retained: ["v3.1.1/MQTT-3.1.2-16", "v5/MQTT-3.1.2-14"];
    will_retained: ["v3.1.1/MQTT-3.1.2-9", "v3.1.1/MQTT-3.1.2-17", "v5/MQTT-3.1.2-15"];
    will_asked_for_in_disconnect: ["v5/MQTT-3.1.2-8"];
    will_after_its_delay: ["v5/MQTT-3.1.2-8"];
    will_at_the_end_of_the_session: ["v5/MQTT-3.1.2-8"];
    return_before_the_delay: ["v5/MQTT-3.1.2-8", "v5/MQTT-3.1.3-9"];
    user_properties_of_the_will: ["v5/MQTT-3.1.3-10"];
}

/// A will on the topic `will` of the case.
fn will(lab: &Lab, payload: &'static str) -> Will {
    Will { topic: text(&lab.topic("will")), payload: payload.into(), ..Will::default() }
}

/// A client with this will.
async fn mortal(lab: &Lab, name: &str, will: Will) -> Result<Wire, Stop> {
    Ok(lab.join(Connect { will: Some(will), ..lab.connect(name) }).await?.0)
}

/// Somebody who hears wills.
async fn watcher(lab: &Lab) -> Result<Wire, Stop> {
    lab.subscriber("w", "will", Qos::ExactlyOnce).await
}

/// Demands that no will has come: a message on the same topic is the first that does.
async fn heard_nothing(lab: &Lab, watcher: &mut Wire) -> Outcome {
    heard_before_sentinel(lab, watcher, &[]).await
}

/// Demands that exactly these have come.
async fn heard_before_sentinel(lab: &Lab, watcher: &mut Wire, expected: &[&str]) -> Outcome {
    let mut publisher = lab.client("p").await?;
    publisher.publish(lab.publish("will", "sentinel", Qos::AtLeastOnce)).await.setup()?;
    let messages = watcher.messages_until(b"sentinel").await?;
    let heard: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(&message.payload)).collect();
    same("wills", &heard[..heard.len() - 1], &expected.iter().map(|will| (*will).into()).collect::<Vec<_>>()[..])?;
    Ok(())
}

/// The will of a client whose connection is cut is published as it was given.
async fn will_after_a_cut(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    let mut given = will(lab, "gone");
    if lab.is_v5() {
        given.properties.push(Property::ContentType, Value::Text(text("a-content-type")));
        given.properties.push(Property::ResponseTopic, Value::Text(text("a-response-topic")));
        given.properties.push(Property::CorrelationData, Value::Binary("data".into()));
    }
    mortal(lab, "a", given.clone()).await?.cut().await;
    let message = watcher.take_message().await?;
    same("topic", message.topic, given.topic)?;
    same("payload", message.payload, given.payload)?;
    same("content type", message.properties.content_type(), given.properties.content_type())?;
    same("response topic", message.properties.response_topic(), given.properties.response_topic())?;
    same("correlation data", message.properties.correlation_data(), given.properties.correlation_data())?;
    Ok(())
}

/// The will of a client that breaks the protocol is published.
async fn will_after_a_breach(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    let mut wire = mortal(lab, "a", will(lab, "gone")).await?;
    // PUBLISH with both QoS bits set.
    wire.send_bytes(&b"\x36\x05\x00\x01t\x00\x01"[..]).await.setup()?;
    lab.closed(&mut wire).await.setup()?;
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// The will of a client that is silent for longer than its keep alive allows is published.
async fn will_after_silence(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    let connect = Connect { keep_alive: 1, will: Some(will(lab, "gone")), ..lab.connect("a") };
    let (_silent, connack) = lab.join(connect).await?;
    let seconds = connack.properties.server_keep_alive().unwrap_or(1);
    lab.needs((1..=10).contains(&seconds), "keep alive that ends within this test")?;
    watcher.set_patience(Duration::from_secs(seconds.into()) * 3 / 2 + lab.patience_with_timers());
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// The will of a client that leaves with DISCONNECT is not published.
async fn no_will_after_disconnect(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    mortal(lab, "a", will(lab, "gone")).await?.leave().await.setup()?;
    heard_nothing(lab, &mut watcher).await
}

/// A will that has been published, or that DISCONNECT has removed, does not come with the next connection.
async fn will_only_once(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    mortal(lab, "a", will(lab, "gone")).await?.cut().await;
    lab.client("a").await?.cut().await;
    mortal(lab, "a", will(lab, "removed")).await?.leave().await.setup()?;
    lab.client("a").await?.cut().await;
    heard_before_sentinel(lab, &mut watcher, &["gone"]).await
}

/// A connection without a will ends without one, whatever will an earlier one had.
async fn no_will_without_will(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    mortal(lab, "a", will(lab, "removed")).await?.leave().await.setup()?;
    lab.client("a").await?.cut().await;
    heard_nothing(lab, &mut watcher).await
}

/// Wills are published at QoS 0, 1 and 2, as their CONNECT says.
async fn will_qos(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    let mut publisher = lab.client("p").await?;
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        if qos <= lab.abilities().maximum_qos {
            // Other messages keep their QoS.
            publisher.publish(lab.publish("will", "no will", qos)).await.setup()?;
            same("QoS", watcher.take_message().await.setup()?.qos, qos).setup()?;
            mortal(lab, "a", Will { qos, ..will(lab, "gone") }).await?.cut().await;
            same("QoS", watcher.take_message().await?.qos, qos)?;
        }
    }
    Ok(())
}

/// A will with Will Retain 0 is not kept: who subscribes later does not get it.
async fn will_not_retained(lab: &mut Lab) -> Outcome {
    let mut watcher = lab.client("w").await?;
    let retain_as_published = lab.is_v5();
    let options = SubscriptionOptions { retain_as_published, ..SubscriptionOptions::default() };
    watcher.subscribe_with(lab.topic("will"), options).await.setup()?;
    let Publish { topic, .. } = lab.retained("will", "", Qos::AtMostOnce);
    mortal(lab, "a", Will { topic, ..will(lab, "gone") }).await?.cut().await;
    same("RETAIN", watcher.take_message().await?.retain, false)?;
    let mut later = lab.subscriber("l", "will", Qos::AtMostOnce).await?;
    heard_nothing(lab, &mut later).await
}

/// A will with Will Retain 1 is kept: who subscribes later gets it, with RETAIN 1.
async fn will_retained(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().retain, "retained messages")?;
    let Publish { topic, .. } = lab.retained("will", "", Qos::AtMostOnce);
    mortal(lab, "a", Will { topic, retain: true, ..will(lab, "gone") }).await?.cut().await;
    let mut later = lab.subscriber("l", "will", Qos::AtMostOnce).await?;
    let message = later.take_message().await?;
    same("payload", &message.payload[..], &b"gone"[..])?;
    same("RETAIN", message.retain, true)?;
    Ok(())
}

/// DISCONNECT with 0x04 leaves the will to be published.
async fn will_asked_for_in_disconnect(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    let mut wire = mortal(lab, "a", will(lab, "gone")).await?;
    wire.leave_with(Disconnect::new(Reason::DisconnectWithWill)).await.setup()?;
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// A client whose session lasts for so many seconds, and whose will is to wait for so many.
fn with_delay(lab: &Lab, session: u32, delay: u32) -> Connect {
    let mut connect = lab.connect("a");
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval, Value::Four(session));
    let mut will = will(lab, "gone");
    will.properties.push(Property::WillDelayInterval, Value::Four(delay));
    connect.will = Some(will);
    connect
}

/// The will waits for its delay, and is published then.
async fn will_after_its_delay(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let mut watcher = watcher(lab).await?;
    lab.join(with_delay(lab, 300, 3)).await?.0.cut().await;
    lab.wait(Duration::from_secs(1)).await;
    heard_nothing(lab, &mut watcher).await?;
    watcher.set_patience(Duration::from_secs(3) + lab.patience_with_timers());
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// The will does not wait longer than the session lasts.
async fn will_at_the_end_of_the_session(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let mut watcher = watcher(lab).await?;
    lab.join(with_delay(lab, 1, 300)).await?.0.cut().await;
    watcher.set_patience(Duration::from_secs(1) + lab.patience_with_timers());
    watcher.messages_until(b"gone").await?;
    Ok(())
}

/// A client that is back before the delay of its will is over has cancelled it.
async fn return_before_the_delay(lab: &mut Lab) -> Outcome {
    lab.needs(lab.abilities().sessions, "sessions that outlive their connection")?;
    let mut watcher = watcher(lab).await?;
    lab.join(with_delay(lab, 300, 3)).await?.0.cut().await;
    let (mut back, connack) = lab.join(lab.connect_to_stay("a")).await?;
    ensure(connack.session_present, "the session resumed", "Session Present 0").setup()?;
    lab.wait(Duration::from_secs(5)).await;
    back.ping().await.setup()?;
    heard_nothing(lab, &mut watcher).await
}

/// The user properties of the will come in their order, repeated names among them.
async fn user_properties_of_the_will(lab: &mut Lab) -> Outcome {
    let mut watcher = watcher(lab).await?;
    let mut given = will(lab, "gone");
    for (name, value) in [("b", "1"), ("a", "2"), ("b", "3"), ("a", "1"), ("", "")] {
        given.properties.push(Property::UserProperty, Value::Pair(text(name), text(value)));
    }
    mortal(lab, "a", given.clone()).await?.cut().await;
    let message = watcher.take_message().await?;
    let came: Vec<_> = message.properties.user_properties().collect();
    in_order("user properties", &came, &given.properties.user_properties().collect::<Vec<_>>())
}
