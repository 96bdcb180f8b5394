//! What happened in a run, in order: everything else either makes a trace or reads one.

mod describe;
pub mod jsonl;
mod recorder;

pub use describe::{Quoted, describe, describe_bytes};
pub use recorder::{Recorder, Way};

use std::sync::Arc;

use bytes::Bytes;

use crate::broker::SessionChange;
use crate::codec::{Publish, Version};
use crate::link::{Cause, LinkId};
use crate::message::Message;
use crate::time::Time;

/// The name of a client or broker of the scenario.
pub type Name = Arc<str>;

/// Something that happened, and when. A trace is a list of these in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Time,
    /// What.
    pub what: What,
}

/// What can happen in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection was made.
    Opened {
        /// Its name.
        link: LinkId,
        /// Who dialled.
        client: Name,
        /// Who was dialled.
        broker: Name,
    },
    /// A client dialled and got no connection.
    Unreachable {
        /// What the connection would have been.
        link: LinkId,
        /// Who dialled.
        client: Name,
        /// Why not.
        why: String,
    },
    /// One side of a connection is done with it: it closed it, or was told that it is gone.
    Closed {
        /// The connection.
        link: LinkId,
        /// Which side.
        at: Name,
        /// Why.
        cause: Cause,
    },
    /// One packet was handed to the network.
    Left(Transfer),
    /// The last byte of one packet reached the other side.
    Arrived(Transfer),
    /// A fault of the network or of a machine began or ended.
    Fault {
        /// The scenario's word for it, as `cut`.
        word: &'static str,
        /// Whom it befell; empty where it is everybody.
        names: Vec<Name>,
        /// Whether it began; `false` where it ended.
        began: bool,
    },
    /// An application was handed a message.
    Told {
        /// The client it runs on.
        client: Name,
        /// The message.
        message: Message,
    },
    /// An application gave its client a message to publish.
    Said {
        /// The client it runs on.
        client: Name,
        /// The message.
        publish: Publish,
    },
    /// An application printed a line.
    Printed {
        /// The client it runs on.
        client: Name,
        /// The line, without its end.
        line: String,
    },
    /// A broker's session changed.
    Session {
        /// Whose it is.
        client_id: String,
        /// How it changed.
        change: SessionChange,
    },
    /// An application asked something of its client that the client refused to do.
    Misused {
        /// The client.
        client: Name,
        /// Why it refused.
        why: String,
    },
}

/// One packet on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The connection.
    pub link: LinkId,
    /// Who sent it.
    pub from: Name,
    /// Who gets it.
    pub to: Name,
    /// The protocol version of the connection.
    pub version: Version,
    /// The whole packet; or bytes that are none, as they came.
    pub bytes: Bytes,
}

/// How many packets left in a run.
pub fn packets(trace: &[Event]) -> usize {
    trace.iter().filter(|event| matches!(event.what, What::Left(_))).count()
}
