//! What a machine and its host agree on about a connection.

use std::fmt;

use crate::codec::{Malformed, Reason};

/// Names one connection. Chosen by the host, never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The other side closed the stream in good order.
    End,
    /// The connection was reset.
    Reset,
    /// It could not be made, and why.
    Unreachable(String),
    /// The other side sent bytes that are no packet.
    Malformed(Malformed),
    /// The other side sent a packet that it must not send now; what was wrong, and the reason code for it.
    Protocol(Reason, &'static str),
    /// Nothing came for one and a half times the keep alive.
    KeepAlive,
    /// The same client identifier connected anew.
    TakenOver,
    /// The owner, or the other side's DISCONNECT, asked for it.
    Asked,
    /// The connection was refused with this reason.
    Refused(Reason),
    /// This side is shutting down.
    ShuttingDown,
    /// No CONNECT came in time.
    ConnectTimeout,
    /// The other side does not read what it asked for.
    Congested,
    /// The operator wants it ended.
    Administrative,
}

impl Cause {
    /// The reason code that tells the other side of it in a 5.0 DISCONNECT, if it is to be told.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Cause::Malformed(malformed) => Some(malformed.reason),
            Cause::Protocol(reason, _) | Cause::Refused(reason) => Some(*reason),
            Cause::KeepAlive => Some(Reason::KeepAliveTimeout),
            Cause::TakenOver => Some(Reason::SessionTakenOver),
            Cause::ShuttingDown => Some(Reason::ServerShuttingDown),
            Cause::Congested => Some(Reason::QuotaExceeded),
            Cause::Administrative => Some(Reason::AdministrativeAction),
            Cause::End | Cause::Reset | Cause::Unreachable(_) | Cause::Asked | Cause::ConnectTimeout => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::End => f.write_str("the other side closed the connection"),
            Cause::Reset => f.write_str("connection reset"),
            Cause::Unreachable(why) => write!(f, "cannot connect: {why}"),
            Cause::Malformed(malformed) => write!(f, "malformed packet: {}", malformed.fault.words()),
            Cause::Protocol(reason, what) => write!(f, "{what} ({reason})"),
            Cause::KeepAlive => f.write_str("keep alive timeout"),
            Cause::TakenOver => f.write_str("session taken over"),
            Cause::Asked => f.write_str("closed as asked"),
            Cause::Refused(reason) => write!(f, "refused: {reason}"),
            Cause::ShuttingDown => f.write_str("shutting down"),
            Cause::ConnectTimeout => f.write_str("no CONNECT in time"),
            Cause::Congested => f.write_str("the other side does not read"),
            Cause::Administrative => f.write_str("ended by the operator"),
        }
    }
}
