//! Clients that are checked, steered through the line protocol: ours in this process, or a command.

mod adapter;
pub mod command;
mod ours;
pub mod protocol;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

pub use adapter::speak;
pub use ours::{Dial, hex, ours};
use protocol::{Answer, Command, ConnectOrder, Event, Order, Ready, Said};

use super::relay::AnyStream;
use super::verdict::{Failure, Stop};
use crate::live::websocket;

/// Our client's byte stream within a new connection: over WebSocket, if that is what the order says.
///
/// # Errors
/// If the server does not upgrade the connection.
pub async fn within(stream: AnyStream, order: &ConnectOrder) -> std::io::Result<AnyStream> {
    let Some(path) = &order.websocket else { return Ok(stream) };
    let host = format!("{}:{}", order.host, order.port);
    let (stream, _) = websocket::connect(stream, &host, path, &[websocket::MQTT], PACKET_MAXIMUM).await?;
    Ok(Box::new(stream))
}

/// The largest packet that our client takes over WebSocket, in bytes.
const PACKET_MAXIMUM: u32 = 1 << 20;

/// A client that does what it is told.
#[derive(Debug)]
pub struct Steered {
    ready: Ready,
    orders: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said>,
    last_id: u64,
    answers: Vec<(u64, Answer)>,
    events: RefCell<VecDeque<Event>>,
}

impl Steered {
    /// A client at the other ends of these channels, which has said that it is ready.
    pub fn new(ready: Ready, orders: mpsc::UnboundedSender<Command>, said: mpsc::UnboundedReceiver<Said>) -> Steered {
        Steered { ready, orders, said, last_id: 0, answers: Vec::new(), events: RefCell::default() }
    }

    /// What it is, and what it cannot do.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Gives an order; its number is that of the answer and of the events that belong to it.
    ///
    /// # Errors
    /// If the client is gone.
    pub fn order(&mut self, order: Order) -> Result<u64, Stop> {
        self.last_id += 1;
        let command = Command { id: self.last_id, order };
        match self.orders.send(command) {
            Ok(()) => Ok(self.last_id),
            Err(_) => Err(Stop::Setup(Failure::new("a client that takes orders", "it has ended"))),
        }
    }

    /// The answer to an order.
    ///
    /// # Errors
    /// If none comes.
    pub async fn answer(&mut self, id: u64, patience: Duration) -> Result<Answer, Stop> {
        loop {
            if let Some(place) = self.answers.iter().position(|(of, _)| *of == id) {
                return Ok(self.answers.swap_remove(place).1);
            }
            if !self.listen(patience).await {
                let expected = format!("an answer to order {id}");
                return Err(Stop::Setup(Failure::new(expected, format!("none within {patience:?}"))));
            }
        }
    }

    /// The next event that `wanted` takes; others are kept.
    ///
    /// # Errors
    /// If none comes. `expected` says in words what was waited for.
    pub async fn event<T>(
        &mut self,
        expected: &str,
        patience: Duration,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut looked_at = 0;
        loop {
            {
                let mut events = self.events.borrow_mut();
                while looked_at < events.len() {
                    if let Some(found) = wanted(&events[looked_at]) {
                        events.remove(looked_at);
                        return Ok(found);
                    }
                    looked_at += 1;
                }
            }
            if !self.listen(patience).await {
                let instead: Vec<String> = self.events.borrow().iter().map(|event| format!("{event:?}")).collect();
                let instead = if instead.is_empty() { "nothing".to_owned() } else { instead.join(", then ") };
                return Err(Failure::new(format!("the application told of {expected}"), instead));
            }
        }
    }

    /// Events that nobody asked for yet, taken out.
    pub fn rest(&mut self) -> Vec<Event> {
        while let Ok(said) = self.said.try_recv() {
            self.heard(said);
        }
        self.events.borrow_mut().drain(..).collect()
    }

    async fn listen(&mut self, patience: Duration) -> bool {
        match timeout(patience, self.said.recv()).await {
            Ok(Some(said)) => {
                self.heard(said);
                true
            }
            _ => false,
        }
    }

    fn heard(&mut self, said: Said) {
        match said {
            Said::Answer(id, answer) => self.answers.push((id, answer)),
            Said::Event(event) => self.events.borrow_mut().push_back(event),
        }
    }
}
