//! A real foreign client against our broker, in simulated time, under faults, held against rules and history.
//!
//! ```text
//! cargo run --example rumqttc
//! ```
//!
//! rumqttc 0.25 opens its sockets itself, and nothing lets a caller hand in a stream. Its protocol is a state machine of its
//! own, though, `MqttState`, and public; so are its packets. Here they run over a [`GuestStream`](simrun::sim::GuestStream): what is replaced is
//! the part of its `EventLoop` that opens the socket, with the same order of things (what `clean` gives back after a lost
//! connection is sent again if the broker has the session, and forgotten if not).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::Error;
use rumqttc::{Connect, Event, MqttState, Packet, QoS, Request, Subscribe};
use simrun::rules::Findings;
use simrun::scenario::parse;
use simrun::sim::{self, Guest, GuestStream, Guests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The largest packet that rumqttc takes here.
const LARGEST: usize = 64 * 1024;

/// What befalls it: `{fault}` is a step of the timeline, or nothing.
const STORY: &str = "
network: { latency: 5ms..20ms }
clients:
  lamp:   { version: 3.1.1, clean_start: false }
  switch: { version: '5', session_expiry: 1h, reconnect: 500ms }
timeline:
  - { at: 1s, publish: { from: switch, topic: light, payload: 'turn {n}', qos: 2, count: 20 } }
{fault}
ends: 20s
";

/// Runs the story with this fault: what rules and history say of it.
pub fn run(fault: &str, seed: u64) -> Findings {
    let text = STORY.replace("{fault}", fault);
    let scenario = parse("story.yaml", text.as_bytes()).unwrap_or_else(|diagnosis| panic!("{diagnosis}")).scenario;
    let run = sim::run_with(&scenario, seed, Guests::new().with("lamp", lamp));
    sim::watch(&scenario, &run.trace)
}

/// A lamp that listens, for ever, with rumqttc's state machine.
async fn lamp(guest: Guest) {
    let mut state = MqttState::new(10, false);
    let mut pending: VecDeque<Request> = VecDeque::new();
    loop {
        let _ = connection(&guest, &mut state, &mut pending).await;
        pending.extend(state.clean());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// One connection, until it is lost.
async fn connection(
    guest: &Guest,
    state: &mut MqttState,
    pending: &mut VecDeque<Request>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut stream = guest.dial().await?;
    let mut received = BytesMut::new();
    let connect = Connect { clean_session: false, ..Connect::new(guest.name()) };
    send(&mut stream, &Packet::Connect(connect)).await?;
    let Packet::ConnAck(connack) = packet(&mut stream, &mut received).await? else { return Err("no CONNACK".into()) };
    if !connack.session_present {
        pending.clear();
        pending.push_back(Request::Subscribe(Subscribe::new("light", QoS::ExactlyOnce)));
    }
    for request in pending.drain(..) {
        if let Some(packet) = state.handle_outgoing_packet(request)? {
            send(&mut stream, &packet).await?;
        }
    }
    loop {
        let incoming = tokio::select! {
            incoming = packet(&mut stream, &mut received) => incoming?,
            () = tokio::time::sleep(Duration::from_secs(5)) => {
                if let Some(ping) = state.handle_outgoing_packet(Request::PingReq(rumqttc::PingReq))? {
                    send(&mut stream, &ping).await?;
                }
                continue;
            }
        };
        let answer = state.handle_incoming_packet(incoming)?;
        // What rumqttc hands to its application.
        for event in state.events.drain(..) {
            if let Event::Incoming(Packet::Publish(message)) = event {
                guest.heard(&message.topic, &message.payload, message.qos as u8);
            }
        }
        if let Some(answer) = answer {
            send(&mut stream, &answer).await?;
        }
    }
}

async fn send(stream: &mut GuestStream, packet: &Packet) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, LARGEST).map_err(|error| format!("{error:?}"))?;
    Ok(stream.write_all(&bytes).await?)
}

async fn packet(
    stream: &mut GuestStream,
    received: &mut BytesMut,
) -> Result<Packet, Box<dyn std::error::Error + Send + Sync>> {
    loop {
        match Packet::read(received, LARGEST) {
            Ok(packet) => return Ok(packet),
            Err(Error::InsufficientBytes(_)) => {}
            Err(error) => return Err(format!("{error:?}").into()),
        }
        if stream.read_buf(received).await? == 0 {
            return Err("the broker closed the connection".into());
        }
    }
}

#[allow(clippy::print_stdout, dead_code)] // An example may; a test that shares this file has its own.
fn main() {
    let stories = [
        ("without a fault", String::new()),
        ("its connection is reset in the middle of an exchange", "  - { at: 1040ms, reset: lamp }".to_owned()),
        ("its link is dead for five seconds", "  - { at: 1040ms, cut: lamp }\n  - { at: 6s, heal: lamp }".to_owned()),
    ];
    for (what, fault) in stories {
        println!("rumqttc as a subscriber at QoS 2, {what}:");
        let findings = run(&fault, 1);
        let broken = findings.iter().filter_map(|(id, finding)| Some((id, finding.breaches.first()?)));
        println!("  {} statements were seen", findings.len());
        broken.for_each(|(id, breach)| println!("  ✗ {id}: {}", breach.why));
    }
}
