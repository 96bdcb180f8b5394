//! A packet in one line, readable at a glance: `PUBLISH light, QoS 1, id 1, DUP, "on"`.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use crate::codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Properties, Publish, Qos, Reason, RetainHandling, SubAck,
    Subscribe, Subscription, UnsubAck, Unsubscribe, Value, Version, decode,
};

/// How many characters of a payload are shown.
const SHOWN_CHARACTERS: usize = 60;
/// How many bytes of a payload that is no text are shown.
const SHOWN_BYTES: usize = 24;

/// One packet's bytes in one line.
pub fn describe_bytes(version: Version, bytes: &Bytes) -> String {
    match decode(version, bytes) {
        Ok(packet) => describe(&packet),
        Err(malformed) => format!("malformed ({}): {}", malformed.fault.words(), Quoted(bytes)),
    }
}

/// One packet in one line.
pub fn describe(packet: &Packet) -> String {
    let mut parts = Parts::default();
    match packet {
        Packet::Connect(connect) => parts.connect(connect),
        Packet::ConnAck(connack) => parts.connack(connack),
        Packet::Publish(publish) => parts.publish(publish),
        Packet::Ack(ack) => parts.ack(ack),
        Packet::Subscribe(subscribe) => parts.subscribe(subscribe),
        Packet::SubAck(suback) => parts.suback(suback),
        Packet::Unsubscribe(unsubscribe) => parts.unsubscribe(unsubscribe),
        Packet::UnsubAck(unsuback) => parts.unsuback(unsuback),
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => parts.disconnect(disconnect),
        Packet::Auth(auth) => parts.auth(auth),
    }
    let name = packet.packet_type().name();
    if parts.0.is_empty() { name.to_owned() } else { format!("{name} {}", parts.0.join(", ")) }
}

/// Bytes as a reader wants to see them: text in quotes, anything else in hex, long ones cut short.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| is_readable(text)) {
            f.write_char('"')?;
            for character in text.chars().take(SHOWN_CHARACTERS) {
                match character {
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    '"' => f.write_str("\\\"")?,
                    other => f.write_char(other)?,
                }
            }
            return match text.chars().nth(SHOWN_CHARACTERS) {
                Some(_) => write!(f, "…\" ({} bytes)", bytes.len()),
                None => f.write_char('"'),
            };
        }
        f.write_str("0x")?;
        for byte in bytes.iter().take(SHOWN_BYTES) {
            write!(f, "{byte:02x}")?;
        }
        if bytes.len() > SHOWN_BYTES { write!(f, "… ({} bytes)", bytes.len()) } else { Ok(()) }
    }
}

/// Whether a terminal shows the text as it is.
fn is_readable(text: &str) -> bool {
    text.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\t' | '\r'))
}

/// The parts of a line, joined by commas.
#[derive(Default)]
struct Parts(Vec<String>);

impl Parts {
    fn push(&mut self, part: impl Into<String>) {
        self.0.push(part.into());
    }

    fn flag(&mut self, set: bool, word: &str) {
        if set {
            self.push(word);
        }
    }

    fn connect(&mut self, connect: &Connect) {
        self.push(connect.version.to_string());
        self.push(if connect.client_id.is_empty() { "no client id".to_owned() } else { safe(&connect.client_id) });
        self.flag(connect.clean_start, "clean");
        self.push(format!("keep alive {} s", connect.keep_alive));
        if let Some(username) = &connect.username {
            self.push(format!("user {}", safe(username)));
        }
        self.flag(connect.password.is_some(), "with password");
        if let Some(will) = &connect.will {
            let retain = if will.retain { " retained" } else { "" };
            self.push(format!("will {}{retain} {} {}", safe(&will.topic), will.qos, Quoted(&will.payload)));
            self.properties(&will.properties);
        }
        self.properties(&connect.properties);
    }

    fn connack(&mut self, connack: &ConnAck) {
        self.push(reason(connack.reason));
        self.flag(connack.session_present, "session present");
        self.properties(&connack.properties);
    }

    fn publish(&mut self, publish: &Publish) {
        if publish.topic.is_empty() {
            self.push("(no topic)");
        } else {
            self.push(safe(&publish.topic));
        }
        if publish.qos != Qos::AtMostOnce {
            self.push(publish.qos.to_string());
        }
        if let Some(id) = publish.packet_identifier {
            self.push(format!("id {id}"));
        }
        self.flag(publish.dup, "DUP");
        self.flag(publish.retain, "RETAIN");
        self.properties(&publish.properties);
        self.push(Quoted(&publish.payload).to_string());
    }

    fn ack(&mut self, ack: &Ack) {
        self.push(format!("id {}", ack.packet_identifier));
        if ack.reason != Reason::Success {
            self.push(reason(ack.reason));
        }
        self.properties(&ack.properties);
    }

    fn subscribe(&mut self, subscribe: &Subscribe) {
        self.push(format!("id {}", subscribe.packet_identifier));
        for subscription in &subscribe.subscriptions {
            self.push(subscribed(subscription));
        }
        self.properties(&subscribe.properties);
    }

    fn suback(&mut self, suback: &SubAck) {
        self.push(format!("id {}", suback.packet_identifier));
        for granted in &suback.reasons {
            self.push(match granted {
                Reason::Success => "granted QoS 0".to_owned(),
                Reason::GrantedQos1 | Reason::GrantedQos2 => granted.words().to_owned(),
                other => reason(*other),
            });
        }
        self.properties(&suback.properties);
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        self.push(format!("id {}", unsubscribe.packet_identifier));
        for filter in &unsubscribe.filters {
            self.push(safe(filter));
        }
        self.properties(&unsubscribe.properties);
    }

    fn unsuback(&mut self, unsuback: &UnsubAck) {
        self.push(format!("id {}", unsuback.packet_identifier));
        for outcome in &unsuback.reasons {
            self.push(reason(*outcome));
        }
        self.properties(&unsuback.properties);
    }

    fn disconnect(&mut self, disconnect: &Disconnect) {
        if disconnect.reason != Reason::Success {
            self.push(reason(disconnect.reason));
        }
        self.properties(&disconnect.properties);
    }

    fn auth(&mut self, auth: &Auth) {
        self.push(reason(auth.reason));
        self.properties(&auth.properties);
    }

    fn properties(&mut self, properties: &Properties) {
        for (property, value) in properties.iter() {
            let name = spaced(&format!("{property:?}"));
            let value = match value {
                Value::Byte(byte) => byte.to_string(),
                Value::Two(two) => two.to_string(),
                Value::Four(four) | Value::Variable(four) => four.to_string(),
                Value::Text(text) => Quoted(text.as_bytes()).to_string(),
                Value::Binary(bytes) => Quoted(&bytes).to_string(),
                Value::Pair(key, value) => format!("{}={}", safe(&key), Quoted(value.as_bytes())),
            };
            self.push(format!("{name} {value}"));
        }
    }
}

/// One subscription: `light QoS 1`, with the options of 5.0 that are not the default.
fn subscribed(subscription: &Subscription) -> String {
    let options = subscription.options;
    let mut line = format!("{} {}", safe(&subscription.filter), options.qos);
    if options.no_local {
        line.push_str(" no local");
    }
    if options.retain_as_published {
        line.push_str(" retain as published");
    }
    match options.retain_handling {
        RetainHandling::Send => {}
        RetainHandling::SendIfNew => line.push_str(" retained if new"),
        RetainHandling::DoNotSend => line.push_str(" no retained"),
    }
    line
}

fn reason(reason: Reason) -> String {
    if reason == Reason::Success { reason.words().to_owned() } else { reason.to_string() }
}

/// A name from the wire, without anything that would steer the reader's terminal.
fn safe(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{FFFD}' } else { character }).collect()
}

/// `TopicAlias` as `topic alias`.
fn spaced(name: &str) -> String {
    let mut spaced = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push(character.to_ascii_lowercase());
    }
    spaced
}
