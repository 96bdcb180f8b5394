//! What both versions can.

use std::time::Duration;

use crate::peer::Options;
use crate::{Case, Check, Outcome, checks, expect};

pub const CHECKS: &[(&str, Check)] = checks![
    connect,
    qos0,
    qos1,
    qos2,
    qos_is_the_lower_of_both,
    wildcards,
    retained,
    will_after_drop,
    no_will_after_disconnect,
    session_resumed,
    resent_with_dup,
    one_mebibyte,
    takeover,
    unsubscribe,
    wrong_password,
];

async fn connect(c: &Case) -> Outcome {
    let connected = c.peer("a", Options::default()).connect().await?;
    expect("session present", connected.session_present, false)
}

async fn qos0(c: &Case) -> Outcome {
    both_ways(c, 0).await
}

async fn qos1(c: &Case) -> Outcome {
    both_ways(c, 1).await
}

async fn qos2(c: &Case) -> Outcome {
    both_ways(c, 2).await
}

async fn both_ways(c: &Case, qos: u8) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    let (to_a, to_b) = (c.topic("to-a"), c.topic("to-b"));
    a.subscribe(&to_a, qos).await?;
    b.subscribe(&to_b, qos).await?;
    let all_bytes: Vec<u8> = (0..=255).collect();
    for payload in ["现在天黑了".as_bytes(), b"", &all_bytes] {
        a.publish(&to_b, payload, qos).await?;
        b.hears_as(&to_b, payload, qos, false).await?;
        b.publish(&to_a, payload, qos).await?;
        a.hears_as(&to_a, payload, qos, false).await?;
    }
    // In order, each once.
    let sent: Vec<Vec<u8>> = (0..20).map(|n| n.to_string().into_bytes()).collect();
    for payload in &sent {
        a.publish(&to_b, payload, qos).await?;
    }
    let heard = b.next_payloads(sent.len()).await?.iter().map(|payload| payload.to_vec()).collect();
    expect("payloads", heard, sent)?;
    b.hears_nothing_before(&mut a, &to_b, qos).await?;
    a.hears_nothing_before(&mut b, &to_a, qos).await
}

async fn qos_is_the_lower_of_both(c: &Case) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    for subscribed in 0..=2 {
        let topic = c.topic(&format!("s{subscribed}"));
        b.subscribe(&topic, subscribed).await?;
        for published in 0..=2 {
            a.publish(&topic, &[published], published).await?;
            b.hears_as(&topic, &[published], published.min(subscribed), false).await?;
        }
    }
    Ok(())
}

async fn wildcards(c: &Case) -> Outcome {
    let mut a = c.up("a").await?;
    let table: [(&str, &[&str], &[&str]); 4] = [
        ("one/+", &["one/x", "one/", "one/灯"], &["one", "one/x/y", "two/x"]),
        ("mid/+/end", &["mid/x/end", "mid//end"], &["mid/end", "mid/x/y/end", "mid/x/ends"]),
        ("all/#", &["all", "all/x", "all/x/y/z", "all/"], &["al", "allx", "other/all"]),
        ("mix/+/k/#", &["mix/x/k", "mix/x/k/l"], &["mix/k/l", "mix/x/l"]),
    ];
    for (filter, matching, others) in table {
        let mut b = c.up(filter).await?;
        b.subscribe(&c.topic(filter), 0).await?;
        for topic in others.iter().chain(matching) {
            a.publish(&c.topic(topic), topic.as_bytes(), 0).await?;
        }
        let mut heard = Vec::new();
        for _ in matching {
            heard.push(b.next().await.map_err(|why| format!("{filter}: {why}"))?.topic);
        }
        let mut wanted: Vec<String> = matching.iter().map(|topic| c.topic(topic)).collect();
        heard.sort();
        wanted.sort();
        expect(filter, heard, wanted)?;
        b.disconnect().await?;
    }
    Ok(())
}

async fn retained(c: &Case) -> Outcome {
    let (mut a, mut early) = (c.up("a").await?, c.up("early").await?);
    let topic = c.topic("r");
    early.subscribe(&topic, 1).await?;
    c.retain(&mut a, &topic, b"old").await?;
    c.retain(&mut a, &topic, b"kept").await?;
    early.hears_as(&topic, b"old", 1, false).await?;
    early.hears_as(&topic, b"kept", 1, false).await?;
    let mut late = c.up("late").await?;
    late.subscribe(&topic, 1).await?;
    late.hears_as(&topic, b"kept", 1, true).await?;
    let mut wild = c.up("wild").await?;
    wild.subscribe(&c.topic("#"), 0).await?;
    wild.hears_as(&topic, b"kept", 0, true).await?;
    a.retain(&topic, b"").await?;
    late.hears_as(&topic, b"", 1, false).await?;
    let mut after = c.up("after").await?;
    after.subscribe(&topic, 1).await?;
    after.hears_nothing_before(&mut a, &topic, 1).await
}

async fn will_after_drop(c: &Case) -> Outcome {
    let mut watcher = c.up("watcher").await?;
    watcher.subscribe(&c.topic("will"), 1).await?;
    c.up_with("dying", with_will(c)).await?.drop_link();
    watcher.hears_as(&c.topic("will"), b"gone", 1, false).await.map(drop)
}

async fn no_will_after_disconnect(c: &Case) -> Outcome {
    let mut watcher = c.up("watcher").await?;
    watcher.subscribe(&c.topic("will"), 1).await?;
    c.up_with("leaving", with_will(c)).await?.disconnect().await?;
    tokio::time::sleep(Duration::from_millis(300)).await; // no fence reaches over to a connection that is gone
    let mut a = c.up("a").await?;
    watcher.hears_nothing_before(&mut a, &c.topic("will"), 1).await
}

fn with_will(c: &Case) -> Options {
    Options { will: Some((c.topic("will"), "gone".to_owned())), ..Options::default() }
}

async fn session_resumed(c: &Case) -> Outcome {
    let mut a = c.up("a").await?;
    let topic = c.topic("t");
    let (mut away, present) = c.keeping("away", Options::default()).await?;
    expect("session present at first", present, false)?;
    away.subscribe(&topic, 1).await?;
    away.disconnect().await?;
    for n in 0..10 {
        a.publish(&topic, &[n], 1).await?;
    }
    let (mut back, present) = c.keeping("away", Options::default()).await?;
    expect("session present on return", present, true)?;
    for n in 0..10 {
        back.hears_as(&topic, &[n], 1, false).await?;
    }
    // The subscription is still there, and nothing comes twice.
    back.hears_nothing_before(&mut a, &topic, 1).await?;
    back.disconnect().await?;
    let mut fresh = c.peer("away", Options::default());
    expect("session present after a clean start", fresh.connect().await?.session_present, false)?;
    a.publish(&topic, b"missed", 1).await?;
    fresh.subscribe(&c.topic("fence"), 1).await?;
    fresh.hears_nothing_before(&mut a, &c.topic("fence"), 1).await
}

async fn resent_with_dup(c: &Case) -> Outcome {
    let mut a = c.up("a").await?;
    let topic = c.topic("t");
    let (mut forgetful, _) = c.keeping("b", Options { hold_acks: true, ..Options::default() }).await?;
    forgetful.subscribe(&topic, 1).await?;
    a.publish(&topic, b"twice", 1).await?;
    expect("DUP at first", forgetful.hears(&topic, b"twice").await?.dup, false)?;
    forgetful.drop_link();
    let (mut back, _) = c.keeping("b", Options::default()).await?;
    expect("DUP when resent", back.hears(&topic, b"twice").await?.dup, true)?;
    back.hears_nothing_before(&mut a, &topic, 1).await
}

async fn one_mebibyte(c: &Case) -> Outcome {
    let payload: Vec<u8> = (0..1024 * 1024_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    let (to_a, to_b) = (c.topic("to-a"), c.topic("to-b"));
    a.subscribe(&to_a, 1).await?;
    b.subscribe(&to_b, 2).await?;
    a.publish(&to_b, &payload, 2).await?;
    b.hears(&to_b, &payload).await?;
    b.publish(&to_a, &payload, 1).await?;
    a.hears(&to_a, &payload).await.map(drop)
}

async fn takeover(c: &Case) -> Outcome {
    let (mut first, mut second) = (c.up("same").await?, c.up("same").await?);
    first.closed().await?;
    second.subscribe(&c.topic("t"), 1).await?;
    let mut a = c.up("a").await?;
    second.hears_nothing_before(&mut a, &c.topic("t"), 1).await
}

async fn unsubscribe(c: &Case) -> Outcome {
    let (mut a, mut b) = (c.up("a").await?, c.up("b").await?);
    let (topic, fence) = (c.topic("t"), c.topic("fence"));
    b.subscribe(&topic, 1).await?;
    b.subscribe(&fence, 1).await?;
    a.publish(&topic, b"before", 1).await?;
    b.hears(&topic, b"before").await?;
    b.unsubscribe(&topic).await?;
    a.publish(&topic, b"after", 1).await?;
    b.hears_nothing_before(&mut a, &fence, 1).await
}

async fn wrong_password(c: &Case) -> Outcome {
    let wrong = Options { password: Some("not the password".to_owned()), ..Options::default() };
    let unknown = Options { user: Some("nobody".to_owned()), ..Options::default() };
    for options in [wrong, unknown] {
        let why = c.peer("a", options).refused().await?;
        if !["refused: BadUserNamePassword", "refused: NotAuthorized"].contains(&why.as_str()) {
            return Err(why);
        }
    }
    Ok(())
}
