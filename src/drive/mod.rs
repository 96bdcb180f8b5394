//! One loop: a machine and its byte streams. The only place that waits; the same for real sockets and for turmoil's.
//!
//! [`drive`] owns the machine and hands it whatever happens, one thing at a time. Each connection has a task of its own
//! that moves bytes: what it reads is handed in as it comes, what is to be sent leaves in as few writes as it can.
//! Back-pressure is per connection: while too much waits to be sent, nothing more is read from it, and the machine is
//! told ([`Input::Congested`]), so that a slow reader costs only itself.

mod carrier;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::broker::Peer;
use crate::codec::Frame;
use crate::link::{Cause, LinkId};
use crate::machine::{Input, Machine, Output};
use crate::store::Change;
use crate::time::Time;
use crate::trace::What;

pub(crate) use carrier::{Carried, Carrier, HIGH_WATER, LINGER, LOW_WATER, Line, Reports, cause_of};

/// How many reports may wait for the machine before connections wait for it.
const INBOX: usize = 1024;

/// A byte stream to another host.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// The world around a machine: what differs between real sockets and simulated ones.
pub trait Net {
    /// Its byte streams.
    type Stream: Stream;

    /// The time since the run began.
    fn now(&self) -> Time;

    /// How long to wait for a span of the run to pass. Longer or shorter only where a run's time goes at another pace.
    fn lasts(&self, span: Duration) -> Duration {
        span
    }

    /// Begins a connection to the server. Used by clients only.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// What comes from outside: a connection, or a wish of the owner; for ever where nothing comes. Dropping the future
    /// loses nothing.
    fn next(&mut self) -> impl Future<Output = External<Self::Stream>>;

    /// Makes changes durable, all or none, before it returns.
    fn store(&mut self, changes: Vec<Change>) -> impl Future<Output = ()>;

    /// The machine has nothing to do for now.
    fn settled(&mut self, _machine: &Machine) {}

    /// Is told of everything, for a trace.
    fn saw(&mut self, now: Time, machine: &Machine, seen: Seen<'_>);
}

/// What comes to a driven machine from outside.
#[derive(Debug)]
pub enum External<S> {
    /// Somebody dialled.
    Accepted(S, Peer),
    /// Tell the other sides, close every connection and end.
    Shutdown,
    /// End at once; the other sides see the end of the stream.
    Stop,
}

/// What a driven machine did or met.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Seen<'a> {
    Opened(LinkId),
    DialFailed(LinkId, &'a str),
    Received(LinkId, &'a Bytes),
    Sent(LinkId, &'a Frame),
    /// The other side, or the network, ended it.
    Ended(LinkId, &'a Cause),
    /// The machine ended it.
    Closed(LinkId, &'a Cause),
    Note(What),
}

/// What a task tells the loop.
enum Report<S> {
    Dialed(LinkId, io::Result<S>),
    Carried(LinkId, Carried),
}

impl<S: Send> Reports for mpsc::Sender<Report<S>> {
    async fn report(&self, link: LinkId, what: Carried) -> bool {
        self.send(Report::Carried(link, what)).await.is_ok()
    }
}

/// What the loop woke up for.
enum Happened<S> {
    External(External<S>),
    Report(Report<S>),
    Time,
}

/// Runs a machine until its owner wants it to end.
pub async fn drive<N: Net>(machine: Machine, net: N) -> Machine {
    let (reports, mut inbox) = mpsc::channel(INBOX);
    let mut driver = Driver { machine, net, lines: BTreeMap::new(), tasks: JoinSet::new(), reports, next_link: 1 };
    driver.machine.handle(driver.net.now(), Input::Timeout);
    loop {
        driver.settle().await;
        driver.net.settled(&driver.machine);
        match driver.happened(&mut inbox).await {
            Happened::Report(report) => driver.report(report),
            Happened::Time => driver.handle(Input::Timeout),
            Happened::External(External::Accepted(stream, peer)) => driver.accepted(stream, peer),
            Happened::External(External::Shutdown) => return driver.shutdown(inbox).await,
            Happened::External(External::Stop) => return driver.machine,
        }
    }
}

struct Driver<N: Net> {
    machine: Machine,
    net: N,
    lines: BTreeMap<LinkId, Line>,
    /// Tasks of connections and dials. Whatever is left of them ends with the driver.
    tasks: JoinSet<()>,
    reports: mpsc::Sender<Report<N::Stream>>,
    next_link: u64,
}

impl<N: Net> Driver<N> {
    /// Waits for whatever is next. What has come is taken in the order of the list, or one seed would not be one run.
    async fn happened(&mut self, inbox: &mut mpsc::Receiver<Report<N::Stream>>) -> Happened<N::Stream> {
        while self.tasks.try_join_next().is_some() {}
        let due = self.machine.next_timeout().map(|due| self.net.lasts(due.since(self.net.now())));
        let time = async {
            match due {
                Some(span) => tokio::time::sleep(span).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(report) = inbox.recv() => Happened::Report(report),
            external = self.net.next() => Happened::External(external),
            () = time => Happened::Time,
        }
    }

    fn handle(&mut self, input: Input) {
        self.machine.handle(self.net.now(), input);
    }

    fn saw(&mut self, seen: Seen<'_>) {
        let now = self.net.now();
        self.net.saw(now, &self.machine, seen);
    }

    /// Does what the machine wants done.
    async fn settle(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Dial(link) => self.dial(link),
                Output::Send(link, frame) => self.send(link, frame),
                Output::Close(link, cause) => {
                    self.saw(Seen::Closed(link, &cause));
                    // Without its sender the task sends what is left and ends.
                    self.lines.remove(&link);
                }
                Output::Store(changes, mark) => {
                    self.net.store(changes).await;
                    self.handle(Input::Stored(mark));
                }
                Output::Note(what) => self.saw(Seen::Note(what)),
            }
        }
    }

    fn dial(&mut self, link: LinkId) {
        let (dialing, reports) = (self.net.dial(), self.reports.clone());
        self.tasks.spawn(async move {
            let stream = dialing.await;
            // Nobody to tell: the driver is gone.
            let _ = reports.send(Report::Dialed(link, stream)).await;
        });
    }

    fn accepted(&mut self, stream: N::Stream, peer: Peer) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.add_line(link, stream);
        self.saw(Seen::Opened(link));
        self.handle(Input::Opened(link, peer));
    }

    fn add_line(&mut self, link: LinkId, stream: N::Stream) {
        let (line, carrier) = Carrier::new(link, self.reports.clone());
        self.tasks.spawn(carrier.run(stream));
        self.lines.insert(link, line);
    }

    fn send(&mut self, link: LinkId, frame: Frame) {
        self.saw(Seen::Sent(link, &frame));
        if self.lines.get_mut(&link).is_some_and(|line| line.send(frame)) {
            self.handle(Input::Congested(link));
        }
    }

    fn report(&mut self, report: Report<N::Stream>) {
        match report {
            Report::Dialed(link, Ok(stream)) => {
                self.add_line(link, stream);
                self.saw(Seen::Opened(link));
                self.handle(Input::Dialed(link));
            }
            Report::Dialed(link, Err(error)) => {
                let why = error.to_string();
                self.saw(Seen::DialFailed(link, &why));
                self.handle(Input::DialFailed(link, why));
            }
            // What still comes on a connection that the machine has closed concerns nobody.
            Report::Carried(link, Carried::Received(bytes)) if self.lines.contains_key(&link) => {
                self.saw(Seen::Received(link, &bytes));
                self.handle(Input::Received(link, bytes));
            }
            Report::Carried(link, Carried::Ended(cause)) if self.lines.remove(&link).is_some() => {
                self.saw(Seen::Ended(link, &cause));
                self.handle(Input::Closed(link, cause));
            }
            Report::Carried(link, Carried::Drained) => {
                if self.lines.get_mut(&link).is_some_and(Line::drained) {
                    self.handle(Input::Drained(link));
                }
            }
            Report::Carried(..) => {}
        }
    }

    /// Lets the machine say goodbye, and every connection carry what is left to be sent.
    async fn shutdown(mut self, inbox: mpsc::Receiver<Report<N::Stream>>) -> Machine {
        drop(inbox);
        self.handle(Input::Shutdown);
        self.settle().await;
        self.lines.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // A side that neither reads nor closes does not keep us.
        let _ = tokio::time::timeout(LINGER, all).await;
        self.machine
    }
}
