//! Which command a packet identifier belongs to.
//!
//! rumqttc takes a request without saying which packet identifier it will get, and sends requests in their order. So the
//! next identifier that appears on a new packet is that of the oldest command which has none yet.

use std::collections::{BTreeMap, VecDeque};

use rumqttc::Outgoing;

#[derive(Default)]
pub struct Sent {
    waiting: VecDeque<u64>,
    commands: BTreeMap<u16, u64>,
    /// How many of those waiting will be dropped if the session is not there any more.
    lost: usize,
}

impl Sent {
    /// A command that will get an identifier was handed to rumqttc.
    pub fn took(&mut self, id: u64) {
        self.waiting.push_back(id);
    }

    pub fn left(&mut self, outgoing: &Outgoing) {
        if let Outgoing::Publish(packet @ 1..) | Outgoing::Subscribe(packet) | Outgoing::Unsubscribe(packet) = outgoing
            && !self.commands.contains_key(packet) // else it is sent again
            && let Some(id) = self.waiting.pop_front()
        {
            self.lost = self.lost.saturating_sub(1);
            self.commands.insert(*packet, id);
        }
    }

    /// The command whose exchange ends.
    pub fn done(&mut self, packet: u16) -> Option<u64> {
        self.commands.remove(&packet)
    }

    pub fn connection_ended(&mut self) {
        self.lost = self.waiting.len();
    }

    pub fn connected(&mut self, session_present: bool) {
        if !session_present {
            self.commands.clear();
            self.waiting.drain(..self.lost);
        }
        self.lost = 0;
    }
}
