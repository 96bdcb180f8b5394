//! Who gets what; first copies, repeats, and the order of acknowledgements.

use std::collections::VecDeque;

use super::Judgement::{Broken, Kept, Silent};
use super::conversation::Step;
use super::identifiers::same_message;
use super::{Conversation, Judgement, Role, Rule, Saw, Side, Watch};
use crate::codec::{AckKind, Packet, Publish, Qos};
use crate::topic::TopicName;

pub(super) const RULES: &[Rule] = &[
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.3.2-3", "v5/MQTT-3.3.2-3"], watch: subscribed_to },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.3.1-3", "v5/MQTT-3.3.1-3"], watch: first_copy },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.3.2-2"], watch: first_copy_at_qos_1 },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.3.2-2"], watch: first_copy_at_qos_1 },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.3.3-2"], watch: first_copy_at_qos_2 },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.3.3-2"], watch: first_copy_at_qos_2 },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.3.1-1", "v5/MQTT-3.3.1-1"], watch: repeat },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-3.3.1-1", "v5/MQTT-3.3.1-1"], watch: repeat },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.4.0-1"], watch: only_on_a_new_connection },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.4.0-1"], watch: only_on_a_new_connection },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-6"], watch: no_way_back },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-4.3.3-1", "v5/MQTT-4.3.3-6"], watch: no_way_back },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-4.6.0-2", "v5/MQTT-4.6.0-2"], watch: pubacks_in_order },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-4.6.0-3", "v5/MQTT-4.6.0-3"], watch: pubrecs_in_order },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-4.6.0-4", "v5/MQTT-4.6.0-4"], watch: pubrels_in_order },
];

/// A client is sent what it has subscribed to.
fn subscribed_to() -> Watch {
    Box::new(|so_far, saw| {
        let Saw::Packet(Side::Judged, Packet::Publish(publish), _) = saw else { return Silent };
        let topic = match publish.properties.topic_alias().filter(|_| publish.topic.is_empty()) {
            Some(alias) => so_far.aliases.get(&alias),
            None => Some(&publish.topic),
        };
        let Some(topic) = topic.and_then(|topic| TopicName::try_from(topic.clone()).ok()) else { return Silent };
        let words = || format!("a message on {topic}, to which the client never subscribed");
        Judgement::of(so_far.filters().may_match(&topic), words)
    })
}

/// A watch on what the judged side publishes at QoS 1 and 2, with the step of the exchange that has its identifier.
fn exchanges(look: fn(&Conversation, &Publish, Option<&Step>) -> Judgement) -> Watch {
    Box::new(move |so_far, saw| match saw {
        Saw::Packet(Side::Judged, Packet::Publish(publish), _) => match publish.packet_identifier {
            Some(identifier) => look(so_far, publish, so_far.exchanges(Side::Judged).get(&identifier.get())),
            None => Silent,
        },
        _ => Silent,
    })
}

/// What begins an exchange has DUP 0. What is repeated of a session that is over begins none.
fn first(so_far: &Conversation, publish: &Publish, step: Option<&Step>) -> Judgement {
    let lost = publish.packet_identifier.and_then(|identifier| so_far.lost(identifier.get()));
    let repeated = match lost {
        Some(Step::Published(earlier)) => same_message(earlier, publish),
        Some(Step::Received | Step::Released) => publish.qos == Qos::ExactlyOnce,
        Some(Step::Doubtful) | None => false,
    };
    match step {
        None if so_far.restarted || repeated => Silent,
        None => Judgement::of(!publish.dup, || "DUP on a message that was not sent before".to_owned()),
        Some(_) => Silent,
    }
}

fn first_copy() -> Watch {
    exchanges(first)
}

fn first_copy_at_qos_1() -> Watch {
    exchanges(|so_far, publish, step| match publish.qos {
        Qos::AtLeastOnce => first(so_far, publish, step),
        _ => Silent,
    })
}

fn first_copy_at_qos_2() -> Watch {
    exchanges(|so_far, publish, step| match publish.qos {
        Qos::ExactlyOnce => first(so_far, publish, step),
        _ => Silent,
    })
}

/// A repeat has DUP 1.
fn repeat() -> Watch {
    exchanges(|_, publish, step| match step {
        Some(Step::Published(earlier)) if same_message(earlier, publish) => {
            Judgement::of(publish.dup, || "a message is sent again without DUP".to_owned())
        }
        _ => Silent,
    })
}

fn only_on_a_new_connection() -> Watch {
    exchanges(|so_far, publish, step| match (step, publish.packet_identifier) {
        (Some(Step::Published(earlier)), Some(identifier)) if same_message(earlier, publish) => {
            let here = so_far.under_way.contains_key(&identifier.get());
            Judgement::of(!here, || "a message is sent again on the same connection".to_owned())
        }
        _ => Silent,
    })
}

fn no_way_back() -> Watch {
    exchanges(|_, publish, step| match step {
        Some(Step::Released) if publish.qos == Qos::ExactlyOnce => {
            Broken("PUBLISH for an exchange whose PUBREL was sent".to_owned())
        }
        Some(Step::Received | Step::Released | Step::Doubtful) => Silent,
        _ if publish.qos == Qos::ExactlyOnce => Kept,
        _ => Silent,
    })
}

/// The acknowledgements of this kind come in the order of what they answer, given by `asks`.
fn in_order(kind: AckKind, asks: fn(&Packet) -> Option<u16>) -> Watch {
    let mut waiting: VecDeque<u16> = VecDeque::new();
    Box::new(move |_, saw| match saw {
        Saw::Packet(Side::Opposite, packet, _) => {
            if let Some(identifier) = asks(packet)
                && !waiting.contains(&identifier)
            {
                waiting.push_back(identifier);
            }
            Silent
        }
        Saw::Packet(Side::Judged, Packet::Ack(ack), _) if ack.kind == kind => {
            let Some(place) = waiting.iter().position(|id| *id == ack.packet_identifier.get()) else { return Silent };
            waiting.remove(place);
            Judgement::of(place == 0, || format!("{} out of order", kind.packet_type()))
        }
        _ => Silent,
    })
}

fn pubacks_in_order() -> Watch {
    in_order(AckKind::PubAck, |packet| match packet {
        Packet::Publish(publish) if publish.qos == Qos::AtLeastOnce => publish.packet_identifier.map(u16::from),
        _ => None,
    })
}

fn pubrecs_in_order() -> Watch {
    in_order(AckKind::PubRec, |packet| match packet {
        Packet::Publish(publish) if publish.qos == Qos::ExactlyOnce => publish.packet_identifier.map(u16::from),
        _ => None,
    })
}

fn pubrels_in_order() -> Watch {
    in_order(AckKind::PubRel, |packet| match packet {
        Packet::Ack(ack) if ack.kind == AckKind::PubRec && !ack.reason.is_error() => Some(ack.packet_identifier.get()),
        _ => None,
    })
}
