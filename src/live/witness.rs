//! What happens on a running broker, as events, for those who watch. Where nobody does, there is none of this.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::broker::{Broker, Peer, SessionChange};
use crate::codec::Frame;
use crate::link::{Cause, LinkId};
use crate::time::Time;
use crate::trace::{Event, Name, Recorder, Way, What};

/// Makes events, and tells those who watch.
pub(super) struct Witness {
    recorder: Recorder,
    broker: Name,
    watchers: Vec<Sender<Arc<Event>>>,
}

impl Witness {
    /// Begins to watch; what is connected already is known from now on.
    pub(super) fn new(broker: &Broker, now: Time) -> Witness {
        let mut witness = Witness { recorder: Recorder::new(), broker: "broker".into(), watchers: Vec::new() };
        for (link, peer, version, begun) in broker.standing() {
            witness.recorder.overhear(now, link, &peer.0.as_str().into(), &witness.broker);
            witness.recorder.joined(link, version, begun);
        }
        // That they are there is no news.
        witness.recorder.take();
        witness
    }

    pub(super) fn add(&mut self, watcher: Sender<Arc<Event>>) {
        self.watchers.push(watcher);
    }

    /// Tells what has happened; false where nobody watches any more.
    pub(super) fn tell(&mut self) -> bool {
        for event in self.recorder.take().into_iter().map(Arc::new) {
            // Who falls behind misses it.
            let still_there =
                |watcher: &Sender<_>| !matches!(watcher.try_send(event.clone()), Err(TrySendError::Closed(_)));
            self.watchers.retain(still_there);
        }
        self.watchers.retain(|watcher| !watcher.is_closed());
        !self.watchers.is_empty()
    }

    pub(super) fn opened(&mut self, now: Time, link: LinkId, peer: &Peer) {
        self.recorder.overhear(now, link, &peer.0.as_str().into(), &self.broker);
    }

    pub(super) fn received(&mut self, now: Time, link: LinkId, bytes: &Bytes) {
        self.recorder.overheard(now, link, Way::Up, bytes.clone());
    }

    pub(super) fn sent(&mut self, now: Time, link: LinkId, frame: &Frame) {
        self.recorder.left(now, link, Way::Down, frame.to_bytes());
    }

    /// The connection is over, whoever ended it.
    pub(super) fn closed(&mut self, now: Time, link: LinkId, cause: &Cause) {
        self.recorder.closed(now, link, Way::Down, cause.clone());
    }

    pub(super) fn session(&mut self, now: Time, client_id: &str, change: SessionChange) {
        self.recorder.note(now, What::Session { client_id: client_id.to_owned(), change });
    }
}
