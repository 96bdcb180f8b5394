//! AUTH and enhanced authentication (5.0 sections 3.15 and 4.12).

use super::s3_4_acks::left_out_of;
use crate::codec::{Auth, Connect, Packet, Properties, Property, Reason, Text, Value};
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::setup::{PASSWORD, USER};
use crate::conform::verdict::{Failure, Otherwise, Outcome, Stop, ensure, same};
use crate::conform::wire::Wire;
use crate::scram::{Client, METHOD};

server_cases! {
    auth_without_a_reason_string with Scram: ["v5/MQTT-3.15.2-2"];
    auth_without_user_properties with Scram: ["v5/MQTT-3.15.2-3"];
    unknown_method: ["v5/MQTT-4.12.0-1"];
    challenge with Scram: ["v5/MQTT-4.12.0-2", "v5/MQTT-4.12.0-5", "v5/MQTT-3.15.1-1", "v5/MQTT-3.15.2-1"];
    wrong_proof with Scram: ["v5/MQTT-4.12.0-4", "v5/MQTT-3.14.0-1"];
    no_method_no_auth: ["v5/MQTT-4.12.0-6"];
    auth_without_method: ["v5/MQTT-4.12.0-7"];
    reauthentication_with_another_method with Scram: ["v5/MQTT-4.12.1-1"];
    failed_reauthentication with Scram: ["v5/MQTT-4.12.1-2"];
}

/// The properties of a step.
fn step(method: &'static str, data: Vec<u8>) -> Properties {
    Properties::new()
        .with(Property::AuthenticationMethod, Value::Text(Text::literal(method)))
        .with(Property::AuthenticationData, Value::Binary(data.into()))
}

/// The suite's side of an exchange with this password.
fn scram(password: &str) -> Client {
    Client::new(USER, password, "fyko+d2lbbFgONRv9qkxdawL".to_owned())
}

/// A CONNECT that begins an authentication.
fn connect(lab: &Lab, method: &'static str, data: Vec<u8>) -> Connect {
    Connect { username: None, password: None, properties: step(method, data), ..lab.connect("a") }
}

/// The server's AUTH, and the answer to its challenge.
async fn challenged(wire: &mut Wire, client: &mut Client) -> Result<(Auth, Vec<u8>), Stop> {
    let auth = wire.auth().await.setup()?;
    let challenge = auth.properties.authentication_data().unwrap_or_default();
    let answer = client.answer(&challenge);
    let answer =
        answer.map_err(|error| Stop::Setup(Failure::new("a challenge of SCRAM-SHA-256", error.to_string())))?;
    Ok((auth, answer))
}

/// A connection that SCRAM-SHA-256 has let in.
async fn admitted(lab: &Lab) -> Result<Wire, Stop> {
    let mut client = scram(PASSWORD);
    let mut wire = lab.open(connect(lab, METHOD, client.first())).await?;
    let (_, answer) = challenged(&mut wire, &mut client).await?;
    let auth = Auth { reason: Reason::ContinueAuthentication, properties: step(METHOD, answer) };
    wire.send(&Packet::Auth(auth)).await.setup()?;
    let connack = wire.connack().await.setup()?;
    same("CONNACK", connack.reason, Reason::Success).setup()?;
    Ok(wire)
}

/// AUTH has no reason string where the packet would be larger than the client takes.
async fn auth_without_a_reason_string(lab: &mut Lab) -> Outcome {
    left_out_of(lab, Property::ReasonString, asked).await
}

/// AUTH has no user properties where the packet would be larger than the client takes.
async fn auth_without_user_properties(lab: &mut Lab) -> Outcome {
    left_out_of(lab, Property::UserProperty, asked).await
}

/// The first AUTH to a client that begins an authentication.
async fn asked(lab: &Lab, connect: Connect) -> Result<Packet, Stop> {
    let first = step(METHOD, scram(PASSWORD).first());
    let properties = connect.properties.iter().fold(first, |all, (property, value)| all.with(property, value));
    let mut wire = lab.open(Connect { username: None, password: None, properties, ..connect }).await?;
    Ok(Packet::Auth(wire.auth().await?))
}

/// A method that the server does not know is refused: CONNACK with an error, or none, and the connection closed.
async fn unknown_method(lab: &mut Lab) -> Outcome {
    let mut wire = lab.open(connect(lab, "no-such", b"?".to_vec())).await?;
    refused(lab, &mut wire).await
}

async fn refused(lab: &Lab, wire: &mut Wire) -> Outcome {
    for packet in lab.closed(wire).await? {
        if let Packet::ConnAck(connack) = packet {
            ensure(connack.reason.is_error(), "CONNACK with an error", format!("CONNACK with {}", connack.reason))?;
        }
    }
    Ok(())
}

/// The server's challenge is an AUTH with code 0x18 and the method of CONNECT; so is the method in CONNACK.
async fn challenge(lab: &mut Lab) -> Outcome {
    let mut client = scram(PASSWORD);
    let mut wire = lab.open(connect(lab, METHOD, client.first())).await?;
    let (auth, answer) = challenged(&mut wire, &mut client).await?;
    same("AUTH", auth.reason, Reason::ContinueAuthentication)?;
    same("the method in AUTH", auth.properties.authentication_method().as_deref(), Some(METHOD))?;
    let answer = Auth { reason: Reason::ContinueAuthentication, properties: step(METHOD, answer) };
    wire.send(&Packet::Auth(answer)).await.setup()?;
    let connack = wire.connack().await.setup()?;
    same("the method in CONNACK", connack.properties.authentication_method().as_deref(), Some(METHOD))?;
    Ok(())
}

/// Who does not know the password is refused: no DISCONNECT before a CONNACK, and the connection closed.
async fn wrong_proof(lab: &mut Lab) -> Outcome {
    let mut client = scram("not the password");
    let mut wire = lab.open(connect(lab, METHOD, client.first())).await?;
    let (_, answer) = challenged(&mut wire, &mut client).await?;
    let answer = Auth { reason: Reason::ContinueAuthentication, properties: step(METHOD, answer) };
    wire.send(&Packet::Auth(answer)).await.setup()?;
    refused(lab, &mut wire).await
}

/// Where CONNECT names no method, no AUTH comes, and none is named in CONNACK. A rule looks; here there is something to see.
async fn no_method_no_auth(lab: &mut Lab) -> Outcome {
    let (mut wire, connack) = lab.join(lab.connect("a")).await?;
    wire.ping().await.setup()?;
    ensure(connack.properties.authentication_method().is_none(), "CONNACK without a method", "a method in CONNACK")?;
    Ok(())
}

/// AUTH on a connection whose CONNECT named no method ends it.
async fn auth_without_method(lab: &mut Lab) -> Outcome {
    let mut wire = lab.client("a").await?;
    let auth = Auth { reason: Reason::ReAuthenticate, properties: step(METHOD, b"n,,n=x,r=y".to_vec()) };
    wire.send(&Packet::Auth(auth)).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// Re-authentication with another method than CONNECT's ends the connection.
async fn reauthentication_with_another_method(lab: &mut Lab) -> Outcome {
    let mut wire = admitted(lab).await?;
    let auth = Auth { reason: Reason::ReAuthenticate, properties: step("another", b"?".to_vec()) };
    wire.send(&Packet::Auth(auth)).await.setup()?;
    lab.closed_if_checked(&mut wire).await?;
    Ok(())
}

/// Re-authentication that fails ends the connection.
async fn failed_reauthentication(lab: &mut Lab) -> Outcome {
    let mut wire = admitted(lab).await?;
    let mut client = scram("not the password");
    let auth = Auth { reason: Reason::ReAuthenticate, properties: step(METHOD, client.first()) };
    wire.send(&Packet::Auth(auth)).await.setup()?;
    let (_, answer) = challenged(&mut wire, &mut client).await?;
    let auth = Auth { reason: Reason::ContinueAuthentication, properties: step(METHOD, answer) };
    wire.send(&Packet::Auth(auth)).await.setup()?;
    lab.closed(&mut wire).await?;
    Ok(())
}
