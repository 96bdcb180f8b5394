//! Passwords held against hashes, on threads of their own: each takes some milliseconds, in which the broker's thread does
//! thousands of other things.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::control::Control;
use crate::broker::{Check, Input};
use crate::link::LinkId;

/// How many threads there are: more logins at once wait for each other, and leave processors to the broker.
const THREADS: usize = 2;
/// How many checks may wait. At some fifty a second each, whoever comes later would be too late.
const WAITING: usize = 1024;

/// The threads, which begin with the first check.
#[derive(Debug, Default)]
pub(super) struct Verifiers {
    checks: Option<SyncSender<(LinkId, Check)>>,
}

impl Verifiers {
    /// Has a password checked, and the broker told later; false if there are too many of them.
    pub(super) fn check(&mut self, link: LinkId, check: Check, control: &Control) -> bool {
        self.checks.get_or_insert_with(|| begin(control)).try_send((link, check)).is_ok()
    }
}

fn begin(control: &Control) -> SyncSender<(LinkId, Check)> {
    let (checks, waiting) = sync_channel(WAITING);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..THREADS {
        let (waiting, control) = (waiting.clone(), control.clone());
        thread::spawn(move || work(&waiting, &control));
    }
    checks
}

/// Ends with the broker: nobody sends any more, or nobody listens.
fn work(waiting: &Mutex<Receiver<(LinkId, Check)>>, control: &Control) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((link, check)) = next else { return };
        if !control.input(Input::Verified(link, check.verdict())) {
            return;
        }
    }
}
