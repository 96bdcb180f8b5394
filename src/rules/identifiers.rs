//! Packet identifiers, and the packets that answer.

use super::Judgement::{Broken, Kept, Silent};
use super::conversation::Step;
use super::{Conversation, Judgement, Role, Rule, Saw, Side, Watch};
use crate::codec::{Ack, AckKind, Packet, Publish, Qos};

pub(super) const RULES: &[Rule] = &[
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-2.3.1-4", "v5/MQTT-2.2.1-4"], watch: fresh },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-2.3.1-2", "v5/MQTT-2.2.1-3"], watch: fresh },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.3.2-1"], watch: fresh_at_qos_1 },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.3.2-1"], watch: fresh_at_qos_1 },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.3.3-1"], watch: fresh_at_qos_2 },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.3.3-1"], watch: fresh_at_qos_2 },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-2.3.1-6", "v5/MQTT-2.2.1-5"], watch: echo },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-2.3.1-6", "v5/MQTT-2.2.1-5"], watch: echo },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.3.4-1", "v5/MQTT-3.3.4-1"], watch: answer_by_qos },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-3.3.4-1", "v5/MQTT-3.3.4-1"], watch: answer_by_qos },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-2.3.1-7", "v5/MQTT-2.2.1-6"], watch: answers_a_request },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.8.4-2", "v5/MQTT-3.8.4-2"], watch: answers_subscribe },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.8.4-5", "v5/MQTT-3.8.4-6"], watch: one_code_per_filter },
];

/// A watch on what the judged side publishes at QoS 1 and 2 for the first time, as far as DUP tells; broken if its packet
/// identifier is that of an exchange that is not over.
fn new_publish(wanted: fn(&Publish) -> bool) -> Watch {
    Box::new(move |so_far, saw| match saw {
        Saw::Packet(Side::Judged, Packet::Publish(publish), _) if wanted(publish) && !publish.dup => {
            unused(so_far, publish)
        }
        _ => Silent,
    })
}

fn unused(so_far: &Conversation, publish: &Publish) -> Judgement {
    let Some(identifier) = publish.packet_identifier else { return Silent };
    let exchanges = so_far.exchanges(Side::Judged);
    let begun = exchanges.get(&identifier.get());
    // The same message again without DUP is another matter: see `delivery`.
    let again = matches!(begun, Some(Step::Published(earlier)) if same_message(earlier, publish));
    let perhaps_over = begun == Some(&Step::Doubtful);
    let free = (begun.is_none() || again || perhaps_over) && !so_far.requests.contains_key(&identifier.get());
    Judgement::of(free || is_other_direction(so_far, identifier.get(), begun.is_some()), || {
        format!("packet identifier {identifier} begins a message while it is in use")
    })
}

/// The requests of a client use up its own packet identifiers, not the server's.
fn is_other_direction(so_far: &Conversation, identifier: u16, begun: bool) -> bool {
    so_far.role() == Role::Server && !begun && so_far.requests.contains_key(&identifier)
}

/// Whether both carry the same application message.
pub(super) fn same_message(one: &Publish, other: &Publish) -> bool {
    one.payload == other.payload && one.qos == other.qos && (one.topic == other.topic || one.topic.is_empty())
}

fn fresh() -> Watch {
    Box::new(|so_far, saw| match saw {
        Saw::Packet(Side::Judged, Packet::Publish(publish), _) if !publish.dup => unused(so_far, publish),
        Saw::Packet(Side::Judged, Packet::Subscribe(subscribe), _) => {
            request(so_far, subscribe.packet_identifier.get())
        }
        Saw::Packet(Side::Judged, Packet::Unsubscribe(unsubscribe), _) => {
            request(so_far, unsubscribe.packet_identifier.get())
        }
        _ => Silent,
    })
}

fn request(so_far: &Conversation, identifier: u16) -> Judgement {
    let used = so_far.requests.contains_key(&identifier) || so_far.exchanges(Side::Judged).contains_key(&identifier);
    Judgement::of(!used, || format!("packet identifier {identifier} begins a request while it is in use"))
}

fn fresh_at_qos_1() -> Watch {
    new_publish(|publish| publish.qos == Qos::AtLeastOnce)
}

fn fresh_at_qos_2() -> Watch {
    new_publish(|publish| publish.qos == Qos::ExactlyOnce)
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP name an exchange of the connection. What was over already may be answered again, and
/// who was restarted may go on with what was over. A client's PUBREL for what is over, or belongs to a session that is,
/// names what was sent: whether it is due is another matter.
fn echo() -> Watch {
    let mut over = std::collections::BTreeSet::new();
    Box::new(move |so_far, saw| {
        let Saw::Packet(side, packet, _) = saw else { return Silent };
        if let (Side::Opposite, Packet::Publish(publish)) = (side, packet) {
            over.extend(publish.packet_identifier);
        }
        if let (Side::Opposite, Packet::Ack(ack)) = (side, packet) {
            over.insert(ack.packet_identifier);
        }
        let (Side::Judged, Packet::Ack(ack)) = (side, packet) else { return Silent };
        let identifier = ack.packet_identifier;
        let begun = so_far.exchanges(if ack.kind == AckKind::PubRel { Side::Judged } else { Side::Opposite });
        let known = begun.contains_key(&identifier.get()) || over.contains(&identifier);
        // Whether PUBCOMP had come, who was restarted cannot know: nothing was promised by hearing it.
        let was_known = so_far.restarted || so_far.has_used(identifier.get());
        if !known && ack.kind == AckKind::PubRel && was_known {
            return Silent;
        }
        Judgement::of(known, || {
            format!("{} for packet identifier {identifier}, which nothing uses", packet.packet_type())
        })
    })
}

/// PUBACK answers QoS 1, PUBREC answers QoS 2.
fn answer_by_qos() -> Watch {
    Box::new(|so_far, saw| {
        let Saw::Packet(Side::Judged, Packet::Ack(Ack { kind, packet_identifier, .. }), _) = saw else { return Silent };
        let exchanges = so_far.exchanges(Side::Opposite);
        let Some(Step::Published(publish)) = exchanges.get(&packet_identifier.get()) else {
            return Silent;
        };
        match (kind, publish.qos) {
            (AckKind::PubAck, Qos::AtLeastOnce) | (AckKind::PubRec, Qos::ExactlyOnce) => Kept,
            (AckKind::PubAck | AckKind::PubRec, qos) => Broken(format!("{} in answer to {qos}", kind.packet_type())),
            _ => Silent,
        }
    })
}

/// SUBACK and UNSUBACK name a request that waits for them.
fn answers_a_request() -> Watch {
    answers(|packet| matches!(packet, Packet::SubAck(_) | Packet::UnsubAck(_)))
}

/// SUBACK names a SUBSCRIBE that waits for it.
fn answers_subscribe() -> Watch {
    answers(|packet| matches!(packet, Packet::SubAck(_)))
}

fn answers(wanted: fn(&Packet) -> bool) -> Watch {
    Box::new(move |so_far, saw| {
        let Saw::Packet(Side::Judged, packet, _) = saw else { return Silent };
        if !wanted(packet) {
            return Silent;
        }
        let (identifier, is_subscribe) = match packet {
            Packet::SubAck(suback) => (suback.packet_identifier, true),
            Packet::UnsubAck(unsuback) => (unsuback.packet_identifier, false),
            _ => return Silent,
        };
        let asked = so_far.requests.get(&identifier.get()).is_some_and(|(subscribe, _)| *subscribe == is_subscribe);
        Judgement::of(asked, || {
            format!("{} for packet identifier {identifier}, which nothing asked", packet.packet_type())
        })
    })
}

fn one_code_per_filter() -> Watch {
    Box::new(|so_far, saw| {
        let Saw::Packet(Side::Judged, Packet::SubAck(suback), _) = saw else { return Silent };
        let Some((true, filters)) = so_far.requests.get(&suback.packet_identifier.get()) else { return Silent };
        let codes = suback.reasons.len();
        Judgement::of(codes == *filters, || format!("SUBACK with {codes} codes for {filters} filters"))
    })
}
