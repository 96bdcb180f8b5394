//! What waits for the host: packets and changes, and which must wait for which.
//!
//! What a turn says waits until what it stores is durable: nobody hears of what a crash could undo. One thing may leave
//! before: a PUBLISH at QoS 1 whose sender has not been acknowledged, see [`Outbox::push_ahead`].

use std::collections::VecDeque;

use super::Output;
use crate::codec::Frame;
use crate::link::LinkId;
use crate::store::{Change, Mark};

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What waits for the disk, in order, and the mark that must be durable before.
    waiting: VecDeque<(Mark, Output)>,
    /// How many bytes of packets are among that.
    bytes: usize,
    /// What need not wait.
    ahead: VecDeque<Output>,
    /// What is said now has no sender who would say it again: all of it waits.
    pub(super) strict: bool,
    /// What this turn stores.
    changes: Vec<Change>,
    /// What earlier ones did, on its way to the host. It does not wait for what waits for it.
    batches: VecDeque<(Vec<Change>, Mark)>,
    /// The mark of the last of them.
    last: Mark,
    /// What is durable.
    stored: Mark,
}

impl Outbox {
    /// Has a change stored with this turn.
    pub(super) fn store(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Hands this turn's changes to the host in one batch.
    pub(super) fn commit(&mut self) {
        if !self.changes.is_empty() {
            self.last = self.mark();
            self.batches.push_back((std::mem::take(&mut self.changes), self.last));
        }
    }

    /// All up to this mark is durable.
    pub(super) fn stored(&mut self, mark: Mark) {
        self.stored = self.stored.max(mark);
    }

    /// Up to which mark all must be durable before what is said now may be heard.
    pub(super) fn mark(&self) -> Mark {
        if self.changes.is_empty() { self.last } else { Mark(self.last.0 + 1) }
    }

    /// Whether all up to this mark is durable.
    pub(super) fn has_stored(&self, mark: Mark) -> bool {
        mark <= self.stored
    }

    /// Queues an output behind all that was stored and queued before.
    pub(super) fn push(&mut self, output: Output) {
        if let Output::Send(_, frame) = &output {
            self.bytes += frame.len();
        }
        self.waiting.push_back((self.mark(), output));
    }

    /// Queues a PUBLISH that may leave before what it tells of is stored, and even if that never is: its sender is
    /// acknowledged only after that, and otherwise sends it again. What a client takes at once thus spares the disk the
    /// writing. It does not overtake what need not wait.
    pub(super) fn push_ahead(&mut self, output: Output) {
        if self.has_stored(self.mark()) {
            self.push(output);
        } else {
            self.ahead.push_back(output);
        }
    }

    /// The next output, if one need not wait.
    pub(super) fn pop(&mut self) -> Option<Output> {
        if self.waiting.front().is_none_or(|(mark, _)| !self.has_stored(*mark)) {
            let store = |(changes, mark)| Output::Store(changes, mark);
            return self.ahead.pop_front().or_else(|| self.batches.pop_front().map(store));
        }
        let (_, output) = self.waiting.pop_front()?;
        if let Output::Send(_, frame) = &output {
            self.bytes -= frame.len();
        }
        Some(output)
    }

    /// Takes out the packets that wait and are for this connection.
    pub(super) fn take(&mut self, link: LinkId) -> Vec<Frame> {
        let mut taken = Vec::new();
        self.waiting.retain(|(_, output)| match output {
            Output::Send(to, frame) if *to == link => {
                taken.push(frame.clone());
                false
            }
            _ => true,
        });
        self.bytes -= taken.iter().map(Frame::len).sum::<usize>();
        taken
    }

    /// How many outputs wait for the disk.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many bytes of packets wait for it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
