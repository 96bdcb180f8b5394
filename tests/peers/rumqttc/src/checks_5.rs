//! What only 5.0 can.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use crate::peer::{Message, Options, Peer, PublishProperties, RetainForwardRule, Wanted};
use crate::{Case, Check, Outcome, checks, expect};

pub const CHECKS: &[(&str, Check)] = checks![
    publish_properties,
    subscription_identifiers,
    message_expiry,
    session_expiry,
    topic_alias,
    shared_subscription,
    assigned_client_id,
    no_local,
    retain_handling,
    retain_as_published,
    takeover_reason,
    receive_maximum,
    receive_maximum_while_acknowledging,
];

async fn publish_properties(c: &Case) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    let (questions, answers) = (c.topic("questions"), c.topic("answers"));
    a.subscribe(&answers, 1).await?;
    b.subscribe(&questions, 1).await?;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let asked = PublishProperties {
        user_properties: vec![pair("colour", "red"), pair("colour", "blue"), pair("灯", "开"), pair("empty", "")],
        content_type: Some("application/json".to_owned()),
        response_topic: Some(answers.clone()),
        correlation_data: Some(Bytes::from_static(b"\x00\xff7")),
        payload_format_indicator: Some(1),
        ..PublishProperties::default()
    };
    a.publish_with(&questions, b"{}", 1, asked.clone()).await?;
    let heard = b.hears(&questions, b"{}").await?.properties;
    expect("properties", heard.clone(), asked)?;
    let correlation_data = heard.correlation_data.clone();
    let answer = PublishProperties { correlation_data, ..PublishProperties::default() };
    b.publish_with(&heard.response_topic.unwrap_or_default(), b"yes", 1, answer).await?;
    let heard = a.hears(&answers, b"yes").await?.properties.correlation_data;
    expect("correlation data of the answer", heard.as_deref(), Some(&b"\x00\xff7"[..]))
}

async fn subscription_identifiers(c: &Case) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    for (filter, identifier) in [("x/+", 1), ("y/+", 268_435_455)] {
        b.subscribe_with(&c.topic(filter), 1, Wanted { identifier: Some(identifier), ..Wanted::default() }).await?;
    }
    for (topic, identifier) in [("x/1", 1), ("y/1", 268_435_455)] {
        a.publish(&c.topic(topic), b"", 1).await?;
        let heard = b.hears(&c.topic(topic), b"").await?.properties.subscription_identifiers;
        expect("subscription identifiers", heard, vec![identifier])?;
    }
    Ok(())
}

async fn message_expiry(c: &Case) -> Outcome {
    let mut a = c.up("a").await?;
    let topic = c.topic("t");
    let (mut away, _) = c.keeping("away", Options::default()).await?;
    away.subscribe(&topic, 1).await?;
    away.disconnect().await?;
    // Nothing orders the two connections: the broker is to see this one end before the messages come.
    sleep(Duration::from_millis(300)).await;
    for (payload, seconds) in [("short", 1), ("long", 60)] {
        let expiring = PublishProperties { message_expiry_interval: Some(seconds), ..PublishProperties::default() };
        a.publish_with(&topic, payload.as_bytes(), 1, expiring).await?;
    }
    sleep(Duration::from_millis(2200)).await;
    let (mut back, _) = c.keeping("away", Options::default()).await?;
    match back.hears(&topic, b"long").await?.properties.message_expiry_interval {
        Some(50..=59) => Ok(()),
        other => Err(format!("message expiry interval {other:?} on delivery, 2 s after 60")),
    }
}

async fn session_expiry(c: &Case) -> Outcome {
    let short = Options { session_expiry: Some(1), ..Options::default() };
    c.keeping("short", short.clone()).await?.0.disconnect().await?;
    c.keeping("long", Options::default()).await?.0.disconnect().await?;
    sleep(Duration::from_millis(2700)).await;
    expect("session present after its expiry", c.keeping("short", short).await?.1, false)?;
    expect("session present before its expiry", c.keeping("long", Options::default()).await?.1, true)
}

async fn topic_alias(c: &Case) -> Outcome {
    let mut a = c.peer("a", Options::default());
    let most = a.connect().await?.topic_alias_maximum;
    if most == 0 {
        return Err("the broker takes no topic alias".to_owned());
    }
    let mut b = c.up("b").await?;
    b.subscribe(&c.topic("#"), 1).await?;
    let (x, y, z) = (c.topic("x"), c.topic("y"), c.topic("z"));
    let table = [(&x, 1, true), (&x, 1, false), (&y, 1, true), (&y, 1, false), (&z, most, true), (&z, most, false)];
    for (topic, alias, named) in table {
        let aliased = PublishProperties { topic_alias: Some(alias), ..PublishProperties::default() };
        a.publish_with(if named { topic } else { "" }, b"", 1, aliased).await?;
        b.hears(topic, b"").await?;
    }
    Ok(())
}

async fn shared_subscription(c: &Case) -> Outcome {
    let mut a = c.up("a").await?;
    let mut members = [c.up("b1").await?, c.up("b2").await?];
    for member in &mut members {
        member.subscribe(&format!("$share/{}/{}", c.run, c.topic("t")), 1).await?;
        member.subscribe(&c.topic("fence"), 1).await?;
    }
    let sent: Vec<u8> = (0..40).collect();
    for payload in &sent {
        a.publish(&c.topic("t"), &[*payload], 1).await?;
    }
    a.publish(&c.topic("fence"), b"fence", 1).await?;
    let mut together = Vec::new();
    for member in &mut members {
        let before = together.len();
        loop {
            let payload = member.next().await?.payload;
            if &payload[..] == b"fence" {
                break;
            }
            together.extend(payload);
        }
        if together.len() == before {
            return Err("one of two got no message".to_owned());
        }
    }
    together.sort_unstable();
    expect("messages of both together", together, sent)
}

async fn assigned_client_id(c: &Case) -> Outcome {
    let mut peers = [Peer::new(&c.broker, "", Options::default()), Peer::new(&c.broker, "", Options::default())];
    let [a, b] = &mut peers;
    let given = [a.connect().await?.client_id, b.connect().await?.client_id];
    match &given {
        [Some(a), Some(b)] if !a.is_empty() && !b.is_empty() && a != b => Ok(()),
        _ => Err(format!("assigned client identifiers {given:?}")),
    }
}

async fn no_local(c: &Case) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    let topic = c.topic("t");
    a.subscribe_with(&topic, 1, Wanted { no_local: true, ..Wanted::default() }).await?;
    b.subscribe(&topic, 1).await?;
    a.publish(&topic, b"own", 1).await?;
    b.hears(&topic, b"own").await?;
    a.hears_nothing_before(&mut b, &topic, 1).await?;
    b.hears(&topic, b"fence").await.map(drop) // without no local, one's own comes back
}

async fn retain_handling(c: &Case) -> Outcome {
    let handling = |retain_handling| Wanted { retain_handling, ..Wanted::default() };
    let mut a = c.up("a").await?;
    let topic = c.topic("t");
    c.retain(&mut a, &topic, b"kept").await?;
    let mut never = c.up("never").await?;
    never.subscribe_with(&topic, 1, handling(RetainForwardRule::Never)).await?;
    never.hears_nothing_before(&mut a, &topic, 1).await?;
    let mut new = c.up("new").await?;
    new.subscribe_with(&topic, 1, handling(RetainForwardRule::OnNewSubscribe)).await?;
    new.hears_as(&topic, b"kept", 1, true).await?;
    new.subscribe_with(&topic, 1, handling(RetainForwardRule::OnNewSubscribe)).await?;
    new.hears_nothing_before(&mut a, &topic, 1).await?;
    never.hears(&topic, b"fence").await?;
    never.subscribe_with(&topic, 1, handling(RetainForwardRule::OnEverySubscribe)).await?;
    never.hears_as(&topic, b"kept", 1, true).await.map(drop)
}

async fn retain_as_published(c: &Case) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    let topic = c.topic("t");
    b.subscribe_with(&topic, 1, Wanted { retain_as_published: true, ..Wanted::default() }).await?;
    c.retain(&mut a, &topic, b"kept").await?;
    b.hears_as(&topic, b"kept", 1, true).await.map(drop)
}

async fn takeover_reason(c: &Case) -> Outcome {
    let (mut first, _second) = (c.up("same").await?, c.up("same").await?);
    expect("end of the first connection", first.closed().await?.as_str(), "DISCONNECT: SessionTakenOver")
}

async fn receive_maximum(c: &Case) -> Outcome {
    let mut flow = Flow::begin(c).await?;
    while flow.heard.len() < Flow::MESSAGES {
        flow.acknowledge_and_hear().await?;
    }
    flow.end()
}

async fn receive_maximum_while_acknowledging(c: &Case) -> Outcome {
    let mut flow = Flow::begin(c).await?;
    while flow.heard.len() < Flow::MESSAGES {
        flow.acknowledge_and_hear().await?;
        flow.no_more(c).await?;
    }
    flow.end()
}

/// A client of receive maximum 2, and six messages for it of which it has acknowledged none.
struct Flow {
    peer: Peer,
    heard: Vec<Message>,
    acknowledged: usize,
}

impl Flow {
    const MESSAGES: usize = 6;

    async fn begin(c: &Case) -> Outcome<Flow> {
        let mut a = c.up("a").await?;
        let options = Options { hold_acks: true, receive_maximum: Some(2), ..Options::default() };
        let mut peer = c.up_with("b", options).await?;
        peer.subscribe(&c.topic("t"), 1).await?;
        for n in 0..Flow::MESSAGES {
            a.publish(&c.topic("t"), n.to_string().as_bytes(), 1).await?;
        }
        let heard = vec![peer.next().await?, peer.next().await?];
        let mut flow = Flow { peer, heard, acknowledged: 0 };
        flow.no_more(c).await?;
        Ok(flow)
    }

    async fn no_more(&mut self, c: &Case) -> Outcome {
        self.peer.subscribe(&c.topic("fence"), 1).await?; // its SUBACK comes behind what was sent too early
        expect("messages beyond 2 not acknowledged", self.peer.waiting(), 0)
    }

    async fn acknowledge_and_hear(&mut self) -> Outcome {
        self.peer.acknowledge(&self.heard[self.acknowledged]).await?;
        self.acknowledged += 1;
        self.heard.push(self.peer.next().await?);
        Ok(())
    }

    fn end(&self) -> Outcome {
        let heard: Vec<String> =
            self.heard.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect();
        expect("payloads", heard, (0..Flow::MESSAGES).map(|n| n.to_string()).collect())
    }
}
