//! Packets as they should be. The decoder does the work: what it accepts keeps the statements that speak of such a packet,
//! what it refuses names the one that is broken.

use bytes::Bytes;

use super::{Id, Role};
use crate::codec::{Fault, Packet, PacketType, Property, Publish, Qos, Version};

/// The statements about the form of packets of one type.
struct Row {
    of: PacketType,
    statements: &'static [&'static str],
}

const fn row(of: PacketType, statements: &'static [&'static str]) -> Row {
    Row { of, statements }
}

/// What every packet of a type exercises.
const ROWS: &[Row] = &[
    row(
        PacketType::Connect,
        &[
            "v3.1.1/MQTT-2.2.2-1",
            "v3.1.1/MQTT-1.5.3-1",
            "v3.1.1/MQTT-1.5.3-2",
            "v3.1.1/MQTT-3.1.3-1",
            "v3.1.1/MQTT-3.1.3-3",
            "v3.1.1/MQTT-3.1.3-4",
            "v5/MQTT-2.1.3-1",
            "v5/MQTT-2.2.2-1",
            "v5/MQTT-1.5.4-1",
            "v5/MQTT-1.5.4-2",
            "v5/MQTT-1.5.5-1",
            "v5/MQTT-3.1.2-1",
            "v5/MQTT-3.1.3-1",
            "v5/MQTT-3.1.3-3",
            "v5/MQTT-3.1.3-4",
        ],
    ),
    row(
        PacketType::ConnAck,
        &[
            "v3.1.1/MQTT-2.2.2-1",
            "v3.1.1/MQTT-3.2.2-4",
            "v5/MQTT-2.1.3-1",
            "v5/MQTT-2.2.2-1",
            "v5/MQTT-1.5.5-1",
            "v5/MQTT-3.2.2-1",
            "v5/MQTT-3.2.2-6",
            "v5/MQTT-3.2.2-8",
        ],
    ),
    row(
        PacketType::Publish,
        &[
            "v3.1.1/MQTT-1.5.3-1",
            "v3.1.1/MQTT-1.5.3-2",
            "v3.1.1/MQTT-3.3.1-4",
            "v3.1.1/MQTT-3.3.2-1",
            "v3.1.1/MQTT-3.3.2-2",
            "v3.1.1/MQTT-4.7.1-1",
            "v3.1.1/MQTT-4.7.3-1",
            "v3.1.1/MQTT-4.7.3-2",
            "v5/MQTT-1.5.4-1",
            "v5/MQTT-1.5.4-2",
            "v5/MQTT-1.5.5-1",
            "v5/MQTT-2.2.2-1",
            "v5/MQTT-3.3.1-4",
            "v5/MQTT-3.3.2-1",
            "v5/MQTT-3.3.2-2",
            "v5/MQTT-4.7.0-1",
            "v5/MQTT-4.7.3-1",
            "v5/MQTT-4.7.3-2",
        ],
    ),
    row(PacketType::PubAck, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1", "v5/MQTT-3.4.2-1"]),
    row(PacketType::PubRec, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1", "v5/MQTT-3.5.2-1"]),
    row(
        PacketType::PubRel,
        &["v3.1.1/MQTT-2.2.2-1", "v3.1.1/MQTT-3.6.1-1", "v5/MQTT-2.1.3-1", "v5/MQTT-3.6.1-1", "v5/MQTT-3.6.2-1"],
    ),
    row(PacketType::PubComp, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1", "v5/MQTT-3.7.2-1"]),
    row(
        PacketType::Subscribe,
        &[
            "v3.1.1/MQTT-2.2.2-1",
            "v3.1.1/MQTT-2.3.1-1",
            "v3.1.1/MQTT-3.8.1-1",
            "v3.1.1/MQTT-3.8.3-1",
            "v3.1.1/MQTT-3.8.3-3",
            "v5/MQTT-2.1.3-1",
            "v5/MQTT-2.2.2-1",
            "v5/MQTT-1.5.5-1",
            "v5/MQTT-3.8.1-1",
            "v5/MQTT-3.8.3-1",
            "v5/MQTT-3.8.3-2",
        ],
    ),
    row(
        PacketType::SubAck,
        &["v3.1.1/MQTT-2.2.2-1", "v3.1.1/MQTT-3.9.3-2", "v5/MQTT-2.1.3-1", "v5/MQTT-2.2.2-1", "v5/MQTT-3.9.3-2"],
    ),
    row(
        PacketType::Unsubscribe,
        &[
            "v3.1.1/MQTT-2.2.2-1",
            "v3.1.1/MQTT-2.3.1-1",
            "v3.1.1/MQTT-3.10.1-1",
            "v3.1.1/MQTT-3.10.3-1",
            "v3.1.1/MQTT-3.10.3-2",
            "v5/MQTT-2.1.3-1",
            "v5/MQTT-2.2.2-1",
            "v5/MQTT-3.10.1-1",
            "v5/MQTT-3.10.3-1",
            "v5/MQTT-3.10.3-2",
        ],
    ),
    row(PacketType::UnsubAck, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1", "v5/MQTT-2.2.2-1", "v5/MQTT-3.11.3-2"]),
    row(PacketType::PingReq, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1"]),
    row(PacketType::PingResp, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1"]),
    row(PacketType::Disconnect, &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1", "v5/MQTT-3.14.1-1", "v5/MQTT-3.14.2-1"]),
    row(PacketType::Auth, &["v5/MQTT-2.1.3-1", "v5/MQTT-2.2.2-1", "v5/MQTT-3.15.1-1", "v5/MQTT-3.15.2-1"]),
];

/// What a CONNECT exercises, by what is in it.
const WITH_WILL: &[&str] = &[
    "v3.1.1/MQTT-3.1.2-9",
    "v3.1.1/MQTT-3.1.2-14",
    "v3.1.1/MQTT-3.1.3-10",
    "v5/MQTT-3.1.2-9",
    "v5/MQTT-3.1.2-12",
    "v5/MQTT-3.1.3-11",
];
const WITHOUT_WILL: &[&str] =
    &["v3.1.1/MQTT-3.1.2-11", "v3.1.1/MQTT-3.1.2-13", "v3.1.1/MQTT-3.1.2-15", "v5/MQTT-3.1.2-11", "v5/MQTT-3.1.2-13"];
const WITH_USER_NAME: &[&str] =
    &["v3.1.1/MQTT-3.1.2-19", "v3.1.1/MQTT-3.1.3-11", "v5/MQTT-3.1.2-17", "v5/MQTT-3.1.3-12"];
const WITHOUT_USER_NAME: &[&str] = &["v3.1.1/MQTT-3.1.2-18", "v5/MQTT-3.1.2-16"];
const WITH_PASSWORD: &[&str] = &["v3.1.1/MQTT-3.1.2-21", "v3.1.1/MQTT-3.1.2-22", "v5/MQTT-3.1.2-19"];
const WITHOUT_PASSWORD: &[&str] = &["v3.1.1/MQTT-3.1.2-20", "v5/MQTT-3.1.2-18"];
/// What a PUBLISH exercises, by what is in it.
const AT_QOS_0: &[&str] = &["v3.1.1/MQTT-3.3.1-2", "v3.1.1/MQTT-4.3.1-1", "v5/MQTT-3.3.1-2", "v5/MQTT-4.3.1-1"];
const ABOVE_QOS_0: &[&str] = &["v3.1.1/MQTT-2.3.1-1"];
const WITH_RESPONSE_TOPIC: &[&str] = &["v5/MQTT-3.3.2-13", "v5/MQTT-3.3.2-14"];
const WITH_CONTENT_TYPE: &[&str] = &["v5/MQTT-3.3.2-19"];
const WITH_ALIAS: &[&str] = &["v5/MQTT-3.3.2-8"];
const WITH_USER_PROPERTY: &[&str] = &["v5/MQTT-1.5.7-1"];
const SHARED: &[&str] = &["v5/MQTT-3.8.3-4"];

const CONDITIONAL: &[&[&str]] = &[
    WITH_WILL,
    WITHOUT_WILL,
    WITH_USER_NAME,
    WITHOUT_USER_NAME,
    WITH_PASSWORD,
    WITHOUT_PASSWORD,
    AT_QOS_0,
    ABOVE_QOS_0,
    WITH_RESPONSE_TOPIC,
    WITH_CONTENT_TYPE,
    WITH_ALIAS,
    WITH_USER_PROPERTY,
    SHARED,
];

/// Which packets a role sends.
fn sends(role: Role, packet: PacketType) -> bool {
    use PacketType::*;
    match packet {
        Connect | Subscribe | Unsubscribe | PingReq => role == Role::Client,
        ConnAck | SubAck | UnsubAck | PingResp => role == Role::Server,
        Publish | PubAck | PubRec | PubRel | PubComp | Disconnect | Auth => true,
    }
}

fn binds(role: Role, id: Id) -> bool {
    let statement = id.statement();
    match role {
        Role::Server => statement.applies_to != "client",
        Role::Client => statement.applies_to != "server",
    }
}

/// The statements that are watched here.
pub(super) fn watched(role: Role) -> Vec<Id> {
    let rows = ROWS.iter().filter(|row| sends(role, row.of));
    let always = rows.flat_map(|row| row.statements.iter().copied());
    let conditional = CONDITIONAL.iter().copied().filter(|names| {
        let of_connect = [WITH_WILL, WITHOUT_WILL, WITH_USER_NAME, WITHOUT_USER_NAME, WITH_PASSWORD, WITHOUT_PASSWORD];
        role == Role::Client || !(of_connect.contains(names) || *names == SHARED)
    });
    let names = always.chain(conditional.flatten().copied());
    names.filter_map(Id::named).filter(|id| binds(role, *id)).collect()
}

/// What a well-formed packet exercises.
pub(super) fn exercised(role: Role, version: Version, packet: &Packet) -> Vec<&'static str> {
    let rows = ROWS.iter().filter(|row| row.of == packet.packet_type());
    let mut names: Vec<&str> = rows.flat_map(|row| row.statements.iter().copied()).collect();
    match packet {
        Packet::Connect(connect) => {
            let (will, user, password) = (&connect.will, &connect.username, &connect.password);
            names.extend(if will.is_some() { WITH_WILL } else { WITHOUT_WILL });
            names.extend(if user.is_some() { WITH_USER_NAME } else { WITHOUT_USER_NAME });
            names.extend(if password.is_some() { WITH_PASSWORD } else { WITHOUT_PASSWORD });
        }
        Packet::Publish(publish) => of_publish(publish, &mut names),
        Packet::Subscribe(subscribe) => {
            let shared = |text: &str| text.starts_with("$share/");
            if subscribe.subscriptions.iter().any(|subscription| shared(subscription.filter.as_str())) {
                names.extend(SHARED);
            }
        }
        _ => {}
    }
    names.retain(|name| Id::named(name).is_some_and(|id| id.version() == version && binds(role, id)));
    names
}

fn of_publish(publish: &Publish, names: &mut Vec<&str>) {
    names.extend(if publish.qos == Qos::AtMostOnce { AT_QOS_0 } else { ABOVE_QOS_0 });
    for (property, _) in publish.properties.iter() {
        names.extend(match property {
            Property::ResponseTopic => WITH_RESPONSE_TOPIC,
            Property::ContentType => WITH_CONTENT_TYPE,
            Property::TopicAlias => WITH_ALIAS,
            Property::UserProperty => WITH_USER_PROPERTY,
            _ => &[],
        });
    }
}

/// The statements that a packet breaks that the decoder refuses.
pub(super) fn broken(role: Role, version: Version, fault: Fault, bytes: &Bytes) -> Vec<&'static str> {
    let packet = bytes.first().and_then(|first| PacketType::from_number(first >> 4));
    let more: &[&str] = match (fault, packet) {
        (Fault::FlagsReserved | Fault::PubRelFlags | Fault::SubscribeFlags | Fault::UnsubscribeFlags, _)
        | (Fault::DisconnectFlags | Fault::AuthFlags, _) => &["v3.1.1/MQTT-2.2.2-1", "v5/MQTT-2.1.3-1"],
        (Fault::DupAtQos0, _) => &["v3.1.1/MQTT-4.3.1-1", "v5/MQTT-4.3.1-1"],
        (Fault::TopicWildcard, _) => &["v3.1.1/MQTT-4.7.1-1", "v5/MQTT-4.7.0-1"],
        (Fault::TopicMissing, _) => &["v5/MQTT-4.7.3-1"],
        (Fault::NullCharacter, Some(PacketType::Publish)) => &["v3.1.1/MQTT-4.7.3-2", "v5/MQTT-4.7.3-2"],
        (Fault::NotUtf8, Some(PacketType::Publish)) => &["v3.1.1/MQTT-3.3.2-1", "v5/MQTT-3.3.2-1"],
        (Fault::CutOff | Fault::TrailingBytes, Some(PacketType::Connect)) => {
            &["v3.1.1/MQTT-3.1.3-1", "v5/MQTT-3.1.3-1"]
        }
        (Fault::CutOff | Fault::TrailingBytes, Some(_)) => &["v5/MQTT-2.2.2-1"],
        (Fault::NotUtf8, Some(PacketType::Subscribe)) => &["v3.1.1/MQTT-3.8.3-1", "v5/MQTT-3.8.3-1"],
        (Fault::NotUtf8, Some(PacketType::Unsubscribe)) => &["v3.1.1/MQTT-3.10.3-1", "v5/MQTT-3.10.3-1"],
        _ => &[],
    };
    let mut names = more.to_vec();
    let name = format!("{}/{}", super::statements::spelling(version), fault.statement(version));
    // The statement on errors of all kinds is for those that no other names.
    let is_named = version == Version::V5 && fault == Fault::TopicMissing;
    if let Some(id) = Id::named(&name).filter(|id| binds(role, *id) && !is_named) {
        names.push(id.name());
    }
    names
}

/// Every name that is used here.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.statements).chain(CONDITIONAL.iter().copied()).flatten().copied()
}
