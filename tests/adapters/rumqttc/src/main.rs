//! rumqttc steered by lines of JSON: `../README.md` has the protocol.
//!
//! One thread runs it all, so what a command causes cannot be told before the command is answered.

mod command;
mod sent;
mod v4;
mod v5;

use std::io::{self, BufRead, Write};
use std::panic;
use std::thread;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use command::{Command, No, Publish, Subscribe, Unsubscribe};

/// Commands that may wait for the event loop; more are refused. Nothing here ever waits for room.
const ROOM: usize = 10_000;

/// What rumqttc's clients of the two versions have in common.
trait Client {
    fn reconnect(&mut self, clean_start: bool) -> Result<(), No>;
    fn publish(&mut self, id: u64, message: &Publish) -> Result<(), No>;
    fn subscribe(&mut self, id: u64, subscribe: &Subscribe) -> Result<(), No>;
    fn unsubscribe(&mut self, id: u64, unsubscribe: &Unsubscribe) -> Result<(), No>;
    fn disconnect(&mut self) -> Result<(), No>;
}

fn main() -> io::Result<()> {
    let lacks = [
        "websocket",
        "ping",
        "authentication_answer",
        "reauthenticate",
        "disconnect.reason",
        "disconnect.session_expiry",
        "disconnect.reason_string",
        "disconnect.user_properties",
    ];
    let client = "rumqttc 0.25.1"; // as pinned in Cargo.toml
    say(&json!({"event": "ready", "protocol": 1, "client": client, "versions": ["3.1.1", "5"], "lacks": lacks}));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(obey_all());
    Ok(())
}

async fn obey_all() {
    let (line, mut lines) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for read in io::stdin().lock().lines().map_while(Result::ok) {
            if line.send(read).is_err() {
                break;
            }
        }
    });
    let mut client: Option<Box<dyn Client>> = None;
    while let Some(line) = lines.recv().await {
        let command: Value = serde_json::from_str(&line).expect("a line of JSON");
        let id = command["id"].as_u64().expect("a numbered command");
        say(&match obey(&mut client, id, command) {
            Ok(()) => json!({"re": id, "ok": true}),
            Err(No::Refused(why)) => json!({"re": id, "refused": why}),
            Err(No::Unsupported(what)) => json!({"re": id, "unsupported": what}),
        });
    }
}

fn obey(client: &mut Option<Box<dyn Client>>, id: u64, command: Value) -> Result<(), No> {
    match command["do"].as_str() {
        Some("ping") => return Err(No::Unsupported("ping")),
        Some("reauthenticate") => return Err(No::Unsupported("reauthenticate")),
        _ => {}
    }
    match (serde_json::from_value(command)?, client) {
        (Command::Connect(options), client) => {
            *client = Some(guarded(|| match options.version.as_str() {
                "5" => v5::connect(&options),
                _ => v4::connect(&options),
            })?);
            Ok(())
        }
        (_, None) => Err(No::Refused("no client yet".into())),
        (Command::Reconnect { clean_start }, Some(client)) => client.reconnect(clean_start),
        (Command::Publish(message), Some(client)) => client.publish(id, &message),
        (Command::Subscribe(subscribe), Some(client)) => client.subscribe(id, &subscribe),
        (Command::Unsubscribe(unsubscribe), Some(client)) => client.unsubscribe(id, &unsubscribe),
        (Command::Disconnect(disconnect), Some(client)) => disconnect.is_plain().and_then(|()| client.disconnect()),
    }
}

/// rumqttc panics where options are misused.
fn guarded<T>(make: impl FnOnce() -> Result<T, No>) -> Result<T, No> {
    panic::catch_unwind(panic::AssertUnwindSafe(make)).unwrap_or_else(|panicked| {
        let said = panicked.downcast_ref::<&str>().map(ToString::to_string);
        let said = said.or_else(|| panicked.downcast_ref::<String>().cloned());
        Err(No::Refused(said.unwrap_or_else(|| "rumqttc panicked".into())))
    })
}

/// Runs the polling of an event loop beside the commands, and tells where rumqttc panics in it.
fn watched(polling: impl Future<Output = ()> + Send + 'static) {
    let polling = tokio::spawn(polling);
    tokio::spawn(async move {
        if let Err(panicked) = polling.await {
            say(&json!({"event": "error", "what": panicked.to_string()}));
            say(&json!({"event": "disconnected"}));
        }
    });
}

fn say(line: &Value) {
    let mut out = io::stdout().lock();
    // Where nobody reads any more, stdin ends too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
