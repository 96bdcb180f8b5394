//! What the other side said that it takes: receive maximum, packet size, topic aliases, QoS, retain.

use super::Judgement::Silent;
use super::{Conversation, Judgement, Role, Rule, Saw, Side, Watch};
use crate::codec::{Packet, Properties, Publish, Qos, Version};

pub(super) const RULES: &[Rule] = &[
    Rule { role: Role::Server, statements: &["v5/MQTT-3.3.4-9", "v5/MQTT-4.9.0-2"], watch: receive_maximum },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.3.4-7", "v5/MQTT-4.9.0-2"], watch: receive_maximum },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.9.0-1"], watch: first_quota },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.9.0-1"], watch: first_quota },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.1.2-24"], watch: packet_size },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.2.2-15"], watch: packet_size },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.1.2-26", "v5/MQTT-3.3.2-11"], watch: alias_within },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.2.2-17", "v5/MQTT-3.3.2-9"], watch: alias_within },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.1.2-27"], watch: no_alias },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.2.2-18"], watch: no_alias },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.3.2-7"], watch: alias_known },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.3.2-7"], watch: alias_known },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.2.2-11"], watch: maximum_qos },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.2.2-14"], watch: retain_available },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.3.4-6"], watch: no_subscription_identifier },
];

/// A watch on the PUBLISH packets of the judged side, with what the other side said: CONNECT's properties, or CONNACK's.
fn publishes(look: fn(&Conversation, &Properties, &Publish) -> Judgement) -> Watch {
    Box::new(move |so_far, saw| match (saw, said(so_far)) {
        (Saw::Packet(Side::Judged, Packet::Publish(publish), _), Some(said)) => look(so_far, said, publish),
        _ => Silent,
    })
}

/// The properties in which the other side says what it takes.
fn said(so_far: &Conversation) -> Option<&Properties> {
    match so_far.role() {
        Role::Server => so_far.connect.as_ref().map(|connect| &connect.properties),
        Role::Client => so_far.connack.as_ref().map(|connack| &connack.properties),
    }
}

fn receive_maximum() -> Watch {
    publishes(within_receive_maximum)
}

/// As long as the other side has answered nothing, the quota is the first one.
fn first_quota() -> Watch {
    let (mut answered, mut look) = (false, receive_maximum());
    Box::new(move |so_far, saw| {
        answered |= matches!(saw, Saw::Packet(Side::Opposite, Packet::Ack(_), _));
        if answered { Silent } else { look(so_far, saw) }
    })
}

fn within_receive_maximum(so_far: &Conversation, said: &Properties, publish: &Publish) -> Judgement {
    let Some(identifier) = publish.packet_identifier else { return Silent };
    let most = usize::from(said.receive_maximum().unwrap_or(u16::MAX));
    let others = so_far.under_way.keys().filter(|id| **id != identifier.get()).count();
    Judgement::of(others < most, || format!("{} messages under way, Receive Maximum {most}", others + 1))
}

fn packet_size() -> Watch {
    Box::new(|so_far, saw| {
        let Saw::Packet(Side::Judged, packet, bytes) = saw else { return Silent };
        let Some(most) = said(so_far).and_then(Properties::maximum_packet_size) else { return Silent };
        let fits = u32::try_from(bytes.len()).is_ok_and(|len| len <= most);
        Judgement::of(fits, || format!("{} of {} bytes, Maximum Packet Size {most}", packet.packet_type(), bytes.len()))
    })
}

fn alias_within() -> Watch {
    publishes(|_, said, publish| {
        let (Some(alias), most) = (publish.properties.topic_alias(), said.topic_alias_maximum().unwrap_or(0)) else {
            return Silent;
        };
        Judgement::of(alias <= most, || format!("topic alias {alias}, Topic Alias Maximum {most}"))
    })
}

fn no_alias() -> Watch {
    publishes(|_, said, publish| {
        if said.topic_alias_maximum().unwrap_or(0) > 0 {
            return Silent;
        }
        Judgement::of(publish.properties.topic_alias().is_none(), || "a topic alias, though none are taken".to_owned())
    })
}

fn alias_known() -> Watch {
    publishes(|so_far, _, publish| match publish.properties.topic_alias() {
        Some(alias) if publish.topic.is_empty() => {
            let words = || format!("topic alias {alias} stands for no topic on this connection");
            Judgement::of(so_far.aliases.contains_key(&alias), words)
        }
        _ => Silent,
    })
}

fn maximum_qos() -> Watch {
    publishes(|_, said, publish| {
        let most = said.maximum_qos().and_then(Qos::from_number).unwrap_or(Qos::ExactlyOnce);
        Judgement::of(publish.qos <= most, || format!("{} above Maximum {most}", publish.qos))
    })
}

fn retain_available() -> Watch {
    publishes(|_, said, publish| {
        if said.retain_available().unwrap_or(true) {
            return Silent;
        }
        Judgement::of(!publish.retain, || "RETAIN, though the server keeps no retained messages".to_owned())
    })
}

fn no_subscription_identifier() -> Watch {
    publishes(|so_far, _, publish| {
        if so_far.version(Version::V5) != Version::V5 {
            return Silent;
        }
        let none = publish.properties.subscription_identifiers().next().is_none();
        Judgement::of(none, || "a client's PUBLISH with a subscription identifier".to_owned())
    })
}
