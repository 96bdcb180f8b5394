//! AUTH (5.0 sections 3.15 and 4.12).

use simrun::codec::{Auth, Packet, Properties, Property, Publish, Reason, Text, Value};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use super::{client, is_publish};
use crate::mutants::Mutant;
use crate::mutants::tools::{ahead_of, alter, encoded, patch, swallow};

pub const MUTANTS: &[Mutant] = &[
    client("a message comes before CONNACK", &["v5/MQTT-3.1.2-30"], || {
        ahead_of(
            |packet| matches!(packet, Packet::Auth(_)),
            |version| encoded(version, &Packet::Publish(Publish { topic: Text::literal("a"), ..Publish::default() })),
        )
    }),
    client("AUTH has flags set", &["v5/MQTT-3.15.1-1"], || {
        patch(Way::Up, |_, bytes| {
            if bytes[0] == 0xf0 {
                bytes[0] = 0xf1;
            }
        })
    }),
    client("a challenge is answered by a beginning", &["v5/MQTT-3.15.2-1", "v5/MQTT-4.12.0-3"], || {
        auths(|auth| auth.reason = Reason::ReAuthenticate)
    }),
    client("AUTH has properties whatever the server takes", &["v5/MQTT-3.15.2-2", "v5/MQTT-3.15.2-3"], || {
        auths(|auth| {
            auth.properties.push(Property::ReasonString, Value::Text(Text::literal("let me in")));
            auth.properties.push(Property::UserProperty, Value::Pair(Text::literal("k"), Text::literal("v")));
        })
    }),
    client("AUTH has another method", &["v5/MQTT-4.12.0-5"], || auths(|auth| auth.properties = method("another"))),
    client("authenticating again has another method", &["v5/MQTT-4.12.1-1"], || {
        auths(|auth| {
            if auth.reason == Reason::ReAuthenticate {
                auth.properties = method("another");
            }
        })
    }),
    client("AUTH comes although CONNECT had no method", &["v5/MQTT-4.12.0-7"], || {
        ahead_of(is_publish, |version| {
            let auth = Auth { reason: Reason::ContinueAuthentication, properties: method("any") };
            encoded(version, &Packet::Auth(auth))
        })
    }),
    client("AUTH with another method is ignored", &["v5/MQTT-4.12.1-2"], || {
        swallow(Way::Down, |_, packet| match packet {
            Packet::Auth(auth) => auth.properties.authentication_method().as_deref() == Some("another"),
            _ => false,
        })
    }),
];

fn method(name: &'static str) -> Properties {
    Properties::new().with(Property::AuthenticationMethod, Value::Text(Text::literal(name)))
}

/// Changes each AUTH of the client.
fn auths(change: fn(&mut Auth)) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let (Way::Up, Packet::Auth(auth)) = (way, &mut packet) {
            change(auth);
        }
        onward.packet(version, way, &packet);
    })
}
