//! CONNECT, CONNACK, AUTH and DISCONNECT: what may come when.

use super::Judgement::{Broken, Kept, Silent};
use super::{Conversation, Judgement, Role, Rule, Saw, Side, Watch};
use crate::codec::{Auth, Packet, PacketType, Property, Reason};

pub(super) const RULES: &[Rule] = &[
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.2.0-1", "v5/MQTT-3.2.0-1"], watch: connack_first },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.2.0-2"], watch: one_connack },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.2.2-5", "v5/MQTT-3.2.2-7"], watch: refusal_ends },
    Rule { role: Role::Server, statements: &["v3.1.1/MQTT-3.2.2-1", "v5/MQTT-3.2.2-2"], watch: clean_start },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.1.3-7"], watch: assigned_identifier },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.14.0-1"], watch: no_early_disconnect },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.14.4-1"], watch: silent_after_disconnect },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.14.2-2"], watch: no_session_expiry },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.12.0-6"], watch: no_auth_unasked },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.12.0-5"], watch: same_method },
    Rule { role: Role::Server, statements: &["v5/MQTT-4.12.0-2"], watch: challenge_continues },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.1.2-28"], watch: no_response_information },
    Rule { role: Role::Server, statements: &["v5/MQTT-3.1.2-29"], watch: no_problem_information },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"], watch: connect_first },
    Rule { role: Role::Client, statements: &["v3.1.1/MQTT-3.1.3-7"], watch: empty_identifier },
    Rule { role: Role::Client, statements: &["v5/MQTT-3.1.2-30"], watch: nothing_before_connack },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.12.0-7"], watch: no_auth_unasked },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.12.0-5"], watch: same_method },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.12.0-3"], watch: challenge_continues },
    Rule { role: Role::Client, statements: &["v5/MQTT-4.12.1-1"], watch: same_method_again },
    Rule {
        role: Role::Client,
        statements: &["v3.1.1/MQTT-3.14.4-2", "v5/MQTT-3.14.4-1"],
        watch: silent_after_disconnect,
    },
];

/// A watch that looks at the packets of the judged side and remembers nothing.
fn packets(look: fn(&Conversation, &Packet) -> Judgement) -> Watch {
    Box::new(move |so_far, saw| match saw {
        Saw::Packet(Side::Judged, packet, _) => look(so_far, packet),
        _ => Silent,
    })
}

fn connack_first() -> Watch {
    packets(|so_far, packet| match packet {
        _ if so_far.packets > 0 => Silent,
        Packet::ConnAck(_) => Kept,
        Packet::Auth(_) => Silent,
        other => Broken(format!("{} is the first packet", other.packet_type())),
    })
}

fn one_connack() -> Watch {
    packets(|so_far, packet| match packet {
        Packet::ConnAck(_) => Judgement::of(so_far.connack.is_none(), || "a second CONNACK".to_owned()),
        _ => Silent,
    })
}

fn refusal_ends() -> Watch {
    Box::new(|so_far, saw| {
        let refused = so_far.connack.is_some() && !so_far.is_accepted();
        match saw {
            Saw::Packet(Side::Judged, packet, _) if refused => {
                Broken(format!("{} follows a CONNACK that refuses", packet.packet_type()))
            }
            Saw::Ended(Side::Judged) if refused => Kept,
            _ => Silent,
        }
    })
}

fn clean_start() -> Watch {
    packets(|so_far, packet| match (packet, &so_far.connect) {
        (Packet::ConnAck(connack), Some(connect)) if connect.clean_start && !connack.reason.is_error() => {
            Judgement::of(!connack.session_present, || "Session Present 1 in answer to a clean start".to_owned())
        }
        _ => Silent,
    })
}

fn assigned_identifier() -> Watch {
    packets(|so_far, packet| match (packet, &so_far.connect) {
        (Packet::ConnAck(connack), Some(connect)) if connect.client_id.is_empty() && !connack.reason.is_error() => {
            let assigned = connack.properties.assigned_client_identifier();
            Judgement::of(assigned.is_some_and(|id| !id.is_empty()), || "no client identifier is assigned".to_owned())
        }
        _ => Silent,
    })
}

fn no_early_disconnect() -> Watch {
    packets(|so_far, packet| match packet {
        Packet::Disconnect(_) => {
            Judgement::of(so_far.is_accepted(), || "DISCONNECT without a CONNACK that accepts".to_owned())
        }
        Packet::ConnAck(connack) if connack.reason.is_error() => Kept,
        _ => Silent,
    })
}

fn silent_after_disconnect() -> Watch {
    Box::new(|so_far, saw| {
        let gone = so_far.said_goodbye[Side::Judged as usize];
        match saw {
            Saw::Packet(Side::Judged, packet, _) if gone => {
                Broken(format!("{} follows DISCONNECT", packet.packet_type()))
            }
            Saw::Ended(Side::Judged) if gone => Kept,
            _ => Silent,
        }
    })
}

fn no_session_expiry() -> Watch {
    packets(|_, packet| match packet {
        Packet::Disconnect(disconnect) => {
            Judgement::of(disconnect.properties.session_expiry_interval().is_none(), || {
                "DISCONNECT of a server with a session expiry interval".to_owned()
            })
        }
        _ => Silent,
    })
}

/// The authentication method that CONNECT named.
fn method(so_far: &Conversation) -> Option<crate::codec::Text> {
    so_far.connect.as_ref()?.properties.authentication_method()
}

fn no_auth_unasked() -> Watch {
    packets(|so_far, packet| {
        if so_far.connect.is_none() || method(so_far).is_some() {
            return Silent;
        }
        match packet {
            Packet::Auth(_) => Broken("AUTH, though CONNECT named no method".to_owned()),
            Packet::ConnAck(connack) => Judgement::of(connack.properties.authentication_method().is_none(), || {
                "CONNACK with a method, though CONNECT named none".to_owned()
            }),
            _ if so_far.role() == Role::Client => Kept,
            _ => Silent,
        }
    })
}

fn same_method() -> Watch {
    packets(|so_far, packet| {
        let Some(method) = method(so_far) else { return Silent };
        let named = match packet {
            Packet::Auth(auth) => auth.properties.authentication_method(),
            Packet::ConnAck(connack) if connack.reason == Reason::Success => connack.properties.authentication_method(),
            _ => return Silent,
        };
        let words = || format!("{} names the method {named:?}, CONNECT {method:?}", packet.packet_type());
        Judgement::of(named.as_ref() == Some(&method), words)
    })
}

fn same_method_again() -> Watch {
    packets(|so_far, packet| match packet {
        Packet::Auth(Auth { reason: Reason::ReAuthenticate, properties }) => {
            let named = properties.authentication_method();
            Judgement::of(named == method(so_far), || format!("AUTH names the method {named:?}, unlike CONNECT"))
        }
        _ => Silent,
    })
}

/// AUTH has code 0x18 while the server challenges, and while the client answers.
fn challenge_continues() -> Watch {
    packets(|so_far, packet| match packet {
        Packet::Auth(auth) if !so_far.is_accepted() => {
            let words = || format!("AUTH with {} before CONNACK", auth.reason);
            Judgement::of(auth.reason == Reason::ContinueAuthentication, words)
        }
        _ => Silent,
    })
}

fn no_response_information() -> Watch {
    packets(|so_far, packet| match (packet, &so_far.connect) {
        (Packet::ConnAck(connack), Some(connect))
            if connect.properties.request_response_information().is_none_or(|asked| asked == 0) =>
        {
            let words = || "response information that was not asked for".to_owned();
            Judgement::of(connack.properties.response_information().is_none(), words)
        }
        _ => Silent,
    })
}

fn no_problem_information() -> Watch {
    packets(|so_far, packet| {
        let Some(connect) = &so_far.connect else { return Silent };
        if connect.properties.request_problem_information() != Some(0) {
            return Silent;
        }
        let properties = match packet {
            Packet::Ack(ack) => &ack.properties,
            Packet::SubAck(suback) => &suback.properties,
            Packet::UnsubAck(unsuback) => &unsuback.properties,
            Packet::Auth(auth) => &auth.properties,
            _ => return Silent,
        };
        let told = properties.iter().any(|(name, _)| matches!(name, Property::ReasonString | Property::UserProperty));
        Judgement::of(!told, || format!("{} with a reason string or user property", packet.packet_type()))
    })
}

fn connect_first() -> Watch {
    packets(|so_far, packet| match packet {
        Packet::Connect(_) => Judgement::of(so_far.packets == 0, || "a second CONNECT".to_owned()),
        other if so_far.packets == 0 => Broken(format!("{} is the first packet", other.packet_type())),
        _ => Silent,
    })
}

fn empty_identifier() -> Watch {
    packets(|_, packet| match packet {
        Packet::Connect(connect) if connect.client_id.is_empty() => {
            Judgement::of(connect.clean_start, || "an empty client identifier without Clean Session".to_owned())
        }
        _ => Silent,
    })
}

fn nothing_before_connack() -> Watch {
    packets(|so_far, packet| {
        if method(so_far).is_none() || so_far.connack.is_some() {
            return Silent;
        }
        let allowed = matches!(packet.packet_type(), PacketType::Auth | PacketType::Disconnect);
        Judgement::of(allowed, || format!("{} before CONNACK, in an authentication", packet.packet_type()))
    })
}
