//! What passed through the broker, in numbers: each costs an addition.

use crate::time::Time;

/// A number of things and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub number: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    /// One more, of so many bytes.
    #[inline]
    pub(super) fn add(&mut self, bytes: usize) {
        self.number += 1;
        self.bytes += bytes as u64;
    }
}

/// What passed over one connection, or over all: whole packets, and the bytes that carried them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From clients.
    pub received: Count,
    /// To clients.
    pub sent: Count,
}

/// What is counted of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkCounters {
    pub(super) traffic: Traffic,
    /// When it was opened.
    pub(super) since: Time,
}

impl LinkCounters {
    pub(super) fn new(since: Time) -> LinkCounters {
        LinkCounters { traffic: Traffic::default(), since }
    }
}

/// What is counted since the broker began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets of every kind.
    pub packets: Traffic,
    /// PUBLISH packets alone; their bytes are those of the payloads.
    pub publishes: Traffic,
    /// Messages that were for a session and that it does not get: its queue was full, or its client does not read and they
    /// were QoS 0.
    pub dropped: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Clients that are connected now.
    pub connected: u64,
    /// The most that were at one time.
    pub connected_maximum: u64,
    /// CONNECT packets that were accepted.
    pub accepted: u64,
    /// Connections that ended before they were accepted.
    pub refused: u64,
    /// Sessions that ended because nobody came back to them in time.
    pub expired: u64,
}

impl Counters {
    pub(super) fn client_connected(&mut self) {
        self.accepted += 1;
        self.connected += 1;
        self.connected_maximum = self.connected_maximum.max(self.connected);
    }
}
