//! AUTH (5.0 sections 3.15 and 4.12). The method is SCRAM-SHA-256: what the suite asks can be answered by a client that
//! knows it, and by one that sends what its application gives it.

use super::{bytes, lacks};
use crate::codec::{Auth, Packet, PacketType, Properties, Property, Reason, Text, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::setup::{PASSWORD, USER};
use crate::conform::steered::hex;
use crate::conform::steered::protocol::{ConnectOrder, Order};
use crate::conform::verdict::{Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::Wire;
use crate::scram::{METHOD, Server, Verifier};

client_cases! {
    auth_alone_before_connack: ["v5/MQTT-3.1.2-30"];
    auth_flags: ["v5/MQTT-3.15.1-1"];
    wrong_auth_flags_end_the_connection: ["v5/MQTT-3.15.1-1"];
    auth_codes: ["v5/MQTT-3.15.2-1"];
    auth_reason_string_fits: ["v5/MQTT-3.15.2-2"];
    auth_user_properties_fit: ["v5/MQTT-3.15.2-3"];
    challenge_is_answered: ["v5/MQTT-4.12.0-3"];
    method_is_repeated: ["v5/MQTT-4.12.0-5"];
    no_auth_without_method: ["v5/MQTT-4.12.0-7"];
    method_stays: ["v5/MQTT-4.12.1-1"];
    failed_reauthentication_ends_the_connection: ["v5/MQTT-4.12.1-2"];
}

/// What a client sends that knows no SCRAM.
const FIRST: &[u8] = b"n,,n=conform,r=fyko+d2lbbFgONRv9qkxdawL";
const ANSWER: &[u8] = b"c=biws,r=fyko+d2lbbFgONRv9qkxdawLsuite,p=AAAA";

/// The order to connect with SCRAM-SHA-256.
fn authenticating(bench: &Bench) -> Result<ConnectOrder, Stop> {
    bench.needs("authentication_method")?;
    bench.needs("authentication_answer")?;
    Ok(ConnectOrder {
        username: Some(USER.to_owned()),
        password: Some(PASSWORD.to_owned()),
        authentication_method: Some(METHOD.to_owned()),
        authentication_data: Some(hex(FIRST)),
        authentication_answer: Some(hex(ANSWER)),
        ..bench.connect("a")
    })
}

/// AUTH with this method and these data.
fn auth(method: &'static str, reason: Reason, data: Vec<u8>) -> Packet {
    let properties = Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(Text::literal(method)))
        .with(Property::AuthenticationData, Value::Binary(data.into()));
    Packet::Auth(Auth { reason, properties })
}

/// The server's side of an exchange that begins with what these properties hold, and its challenge.
fn begin(properties: &Properties) -> Result<(Server, Vec<u8>), Stop> {
    let first = properties.authentication_data().unwrap_or_default();
    let verifier = |_: &str| Verifier::new(PASSWORD, b"a salt", 4096);
    let exchange = Server::begin(&first, "suite", verifier);
    exchange.map_err(|error| Stop::Skipped(format!("the client's authentication data are no SCRAM: {error}")))
}

/// What ends an exchange. A client that only sends what it was given does not look at it.
fn end(server: &Server, answer: &Auth) -> Vec<u8> {
    let proof = answer.properties.authentication_data().unwrap_or_default();
    server.finish(&proof).unwrap_or_else(|_| b"v=AAAA".to_vec())
}

/// The client has sent CONNECT and got the challenge.
async fn challenged(bench: &mut Bench) -> Result<(Wire, Server), Stop> {
    let (mut wire, connect) = bench.dialled(authenticating(bench)?).await?;
    let (server, challenge) = begin(&connect.properties)?;
    wire.send(&auth(METHOD, Reason::ContinueAuthentication, challenge)).await.setup()?;
    Ok((wire, server))
}

/// The client has come in; gives back its answer to the challenge too.
async fn authenticated(bench: &mut Bench) -> Result<(Wire, Auth), Stop> {
    let (mut wire, server) = challenged(bench).await?;
    let answer = wire.auth().await?;
    accept(bench, &mut wire, &server, &answer).await?;
    Ok((wire, answer))
}

async fn accept(bench: &mut Bench, wire: &mut Wire, server: &Server, answer: &Auth) -> Result<(), Stop> {
    let properties = Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(Text::literal(METHOD)))
        .with(Property::AuthenticationData, Value::Binary(end(server, answer).into()));
    bench.accepted(wire, false, properties).await
}

/// Before CONNACK nothing but AUTH and DISCONNECT comes, whatever the application wants.
async fn auth_alone_before_connack(bench: &mut Bench) -> Outcome {
    let (mut wire, connect) = bench.dialled(authenticating(bench)?).await?;
    // The library may refuse it at this time.
    let _ = bench.order(Order::Publish(Box::new(bench.publish("a", "x", 1)))).await?;
    let (server, challenge) = begin(&connect.properties)?;
    wire.send(&auth(METHOD, Reason::ContinueAuthentication, challenge)).await.setup()?;
    let answer = wire.auth().await.setup()?;
    let early = wire.rest();
    let allowed = |packet: &Packet| matches!(packet, Packet::Auth(_) | Packet::Disconnect(_));
    lacks("anything but AUTH and DISCONNECT before CONNACK", &early, |packet| !allowed(packet))?;
    accept(bench, &mut wire, &server, &answer).await
}

/// AUTH comes with the flags 0000: the suite takes no others.
async fn auth_flags(bench: &mut Bench) -> Outcome {
    authenticated(bench).await?;
    Ok(())
}

/// AUTH with other flags ends the connection.
async fn wrong_auth_flags_end_the_connection(bench: &mut Bench) -> Outcome {
    let (mut wire, _) = bench.dialled(authenticating(bench)?).await?;
    wire.send_bytes(bytes("f100")).await.setup()?;
    bench.closed(&mut wire).await?;
    Ok(())
}

/// AUTH has reason code 0x18, and 0x19 to begin anew.
async fn auth_codes(bench: &mut Bench) -> Outcome {
    let (mut wire, answer) = authenticated(bench).await?;
    same("reason code", answer.reason, Reason::ContinueAuthentication)?;
    if bench.needs("reauthenticate").is_ok() {
        bench.must(Order::Reauthenticate { authentication_data: Some(hex(FIRST)) }).await?;
        same("reason code", wire.auth().await?.reason, Reason::ReAuthenticate)?;
    }
    Ok(())
}

/// No reason string where the server takes no packet of that size. Clients seldom send any: then nothing is shown.
async fn auth_reason_string_fits(bench: &mut Bench) -> Outcome {
    fits(bench, Property::ReasonString).await
}

/// The same for user properties.
async fn auth_user_properties_fit(bench: &mut Bench) -> Outcome {
    fits(bench, Property::UserProperty).await
}

/// Begins anew with a server that takes packets only as large as what has to be in that AUTH.
async fn fits(bench: &mut Bench, property: Property) -> Outcome {
    bench.needs("reauthenticate")?;
    let has = |auth: &Auth| auth.properties.iter().any(|(found, _)| found == property);
    let (mut wire, _) = authenticated(bench).await?;
    bench.must(Order::Reauthenticate { authentication_data: Some(hex(FIRST)) }).await?;
    let first = wire.auth().await.setup()?;
    if !has(&first) {
        return Err(Stop::never_has(PacketType::Auth, property));
    }
    bench.cut(wire).await?;
    let others = first.properties.iter().filter(|(found, _)| *found != property);
    let most = others.fold(Properties::new(), |others, (property, value)| others.with(property, value)).len() + 4;
    let (mut wire, server) = challenged(bench).await?;
    let answer = wire.auth().await.setup()?;
    let properties = Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(Text::literal(METHOD)))
        .with(Property::AuthenticationData, Value::Binary(end(&server, &answer).into()))
        .with(Property::MaximumPacketSize, Value::Four(u32::try_from(most).unwrap_or(u32::MAX)));
    bench.accepted(&mut wire, false, properties).await?;
    bench.must(Order::Reauthenticate { authentication_data: Some(hex(FIRST)) }).await?;
    ensure(!has(&wire.auth().await.setup()?), "no property that there is no room for", property.name())?;
    Ok(())
}

/// A challenge is answered by AUTH with 0x18.
async fn challenge_is_answered(bench: &mut Bench) -> Outcome {
    let (mut wire, _) = challenged(bench).await?;
    same("reason code", wire.auth().await?.reason, Reason::ContinueAuthentication)?;
    Ok(())
}

/// AUTH has the method of CONNECT.
async fn method_is_repeated(bench: &mut Bench) -> Outcome {
    let (mut wire, _) = challenged(bench).await?;
    same("method", wire.auth().await?.properties.authentication_method().as_deref(), Some(METHOD))?;
    Ok(())
}

/// Without a method in CONNECT no AUTH comes: not when the application wants to authenticate again, and not in answer to
/// the server's.
async fn no_auth_without_method(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    if bench.needs("reauthenticate").is_ok() {
        let order = Order::Reauthenticate { authentication_data: Some(hex(FIRST)) };
        let sent = bench.offer(&mut wire, order).await?;
        lacks("AUTH without a method", &sent, |packet| matches!(packet, Packet::Auth(_)))?;
    }
    wire.try_send(&auth(METHOD, Reason::ContinueAuthentication, b"challenge".to_vec())).await;
    let sent = bench.until_sentinel(&mut wire).await?;
    lacks("AUTH without a method", &sent, |packet| matches!(packet, Packet::Auth(_)))?;
    Ok(())
}

/// Authenticating again has the method of CONNECT.
async fn method_stays(bench: &mut Bench) -> Outcome {
    bench.needs("reauthenticate")?;
    let (mut wire, _) = authenticated(bench).await?;
    bench.must(Order::Reauthenticate { authentication_data: Some(hex(FIRST)) }).await?;
    same("method", wire.auth().await?.properties.authentication_method().as_deref(), Some(METHOD))?;
    Ok(())
}

/// An answer that is not acceptable (another method) ends the connection.
async fn failed_reauthentication_ends_the_connection(bench: &mut Bench) -> Outcome {
    bench.needs("reauthenticate")?;
    let (mut wire, _) = authenticated(bench).await?;
    bench.must(Order::Reauthenticate { authentication_data: Some(hex(FIRST)) }).await?;
    wire.auth().await.setup()?;
    wire.send(&auth("another", Reason::ContinueAuthentication, b"challenge".to_vec())).await.setup()?;
    bench.closed(&mut wire).await?;
    Ok(())
}
