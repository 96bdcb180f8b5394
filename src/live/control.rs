//! The way from other threads to the one that owns the broker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::broker::{Arrival, Broker, Input, Peer};
use crate::drive::{Carried, Carrier, Reports, Stream};
use crate::link::LinkId;
use crate::time::Time;
use crate::trace::Event;

/// How many letters may wait before their senders wait.
const MAILBOX: usize = 1024;
/// How many events may wait for a watcher before it misses some.
const WATCH: usize = 4096;

/// What is run on the broker's thread.
type Question = Box<dyn FnOnce(&mut Broker, Time) + Send>;

/// What the broker's thread is told.
pub(super) enum Mail {
    /// A task has a connection; it gets what carries its bytes.
    Opened(Peer, Option<Arrival>, oneshot::Sender<Carrier<Control>>),
    /// Something happened on such a connection.
    Carried(LinkId, Carried),
    /// Something is asked of the broker.
    Ask(Question),
    /// Something happened to the broker.
    Input(Input),
    /// Somebody wants to see what happens.
    Watch(mpsc::Sender<Arc<Event>>),
}

/// The way to a running broker, for any thread.
#[derive(Clone, Debug)]
pub struct Control {
    mail: mpsc::Sender<Mail>,
    bell: Arc<Bell>,
}

/// The broker's end of it.
pub(super) struct Mailbox {
    pub(super) mail: mpsc::Receiver<Mail>,
    bell: Arc<Bell>,
}

/// How the broker is to end. It is no letter: letters wait while the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Every client is told first.
    InOrder = 1,
    AtOnce = 2,
}

/// Wakes the broker's thread.
#[derive(Debug)]
struct Bell {
    waker: mio::Waker,
    rung: AtomicBool,
    /// How many tasks carry connections.
    carrying: AtomicUsize,
    /// An [`Ending`], or 0.
    ending: AtomicU8,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It fails only if the thread is gone.
            let _ = self.waker.wake();
        }
    }
}

/// A way to a thread that `waker` wakes.
pub(super) fn control(waker: mio::Waker) -> (Control, Mailbox) {
    let (mail, letters) = mpsc::channel(MAILBOX);
    let bell =
        Arc::new(Bell { waker, rung: AtomicBool::new(false), carrying: AtomicUsize::new(0), ending: AtomicU8::new(0) });
    (Control { mail, bell: bell.clone() }, Mailbox { mail: letters, bell })
}

impl Control {
    /// Runs `ask` on the broker's thread, between two turns, and gives back what it returns. `None` if the broker has
    /// ended.
    pub async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut Broker, Time) -> T + Send + 'static) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let ask = Box::new(move |broker: &mut Broker, now| {
            // Nobody may want to know any more.
            let _ = tell.send(ask(broker, now));
        });
        if self.send(Mail::Ask(ask)).await { told.await.ok() } else { None }
    }

    /// Everything that happens from now on, as far as the watcher keeps up: who falls behind misses events.
    pub async fn watch(&self) -> mpsc::Receiver<Arc<Event>> {
        let (watcher, events) = mpsc::channel(WATCH);
        self.send(Mail::Watch(watcher)).await;
        events
    }

    /// Hands the broker a connection, and moves its bytes until it ends.
    pub async fn carry(&self, peer: Peer, arrival: Option<Arrival>, stream: impl Stream) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        self.send(Mail::Opened(peer, arrival, tell)).await;
        let carrier = told.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        self.bell.carrying.fetch_add(1, Ordering::AcqRel);
        let _carrying = Carrying(&self.bell);
        carrier.run(stream).await;
        Ok(())
    }

    /// Tells the broker's thread, from a thread that may wait; false where it is gone. Not for asynchronous code.
    pub fn input(&self, input: Input) -> bool {
        let sent = self.mail.blocking_send(Mail::Input(input)).is_ok();
        self.bell.ring();
        sent
    }

    /// Lets the broker's thread look around.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    /// Every client is told, and the broker ends.
    pub fn shut_down(&self) {
        self.end(Ending::InOrder);
    }

    /// The broker ends at once.
    pub fn stop(&self) {
        self.end(Ending::AtOnce);
    }

    fn end(&self, ending: Ending) {
        self.bell.ending.store(ending as u8, Ordering::Release);
        self.bell.ring();
    }

    async fn send(&self, mail: Mail) -> bool {
        let sent = self.mail.send(mail).await.is_ok();
        self.bell.ring();
        sent
    }
}

/// A task that carries a connection, for as long as it is there.
struct Carrying<'a>(&'a Bell);

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        self.0.carrying.fetch_sub(1, Ordering::AcqRel);
        self.0.ring();
    }
}

impl Reports for Control {
    async fn report(&self, link: LinkId, what: Carried) -> bool {
        self.send(Mail::Carried(link, what)).await
    }
}

impl Mailbox {
    /// To be called before the letters are read, or one that comes meanwhile would wait.
    pub(super) fn silence(&self) {
        self.bell.rung.store(false, Ordering::Release);
    }

    /// How the broker is to end, once it is to.
    pub(super) fn ending(&self) -> Option<Ending> {
        let told = self.bell.ending.load(Ordering::Acquire);
        [Ending::InOrder, Ending::AtOnce].into_iter().find(|ending| *ending as u8 == told)
    }

    /// How many tasks carry connections.
    pub(super) fn carrying(&self) -> usize {
        self.bell.carrying.load(Ordering::Acquire)
    }
}
