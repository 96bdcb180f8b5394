//! Our client on real sockets. Its owner waits for its events; everything else happens while it waits.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::{BoxedStream, Dialer, Url};
use crate::client::{Client, Config, Event, Input, Output};
use crate::link::{Cause, LinkId};
use crate::time::Time;

/// Above this many unsent bytes the owner is to wait before it publishes more.
const HIGH_WATER: usize = 1 << 20;
/// How much is read at once.
const READ_SIZE: usize = 64 * 1024;
/// How many pieces leave in one write.
const PIECES: usize = 64;
/// How long a server may take to read some of what is left when we close, and then to close too.
const LINGER: Duration = Duration::from_secs(5);

/// A client with its connection.
pub struct Driven {
    client: Client,
    url: Url,
    dialer: Dialer,
    start: Instant,
    line: Line,
    /// What the operating system, or TLS, said when the connection last ended in disorder.
    trouble: Option<String>,
    /// Connections that we have closed, and that carry what is left.
    farewells: JoinSet<()>,
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driven").field("url", &self.url).field("client", &self.client).finish_non_exhaustive()
    }
}

enum Line {
    None,
    Dialling(LinkId, Pin<Box<dyn Future<Output = io::Result<BoxedStream>> + Send>>),
    Open(LinkId, Carrier),
}

/// A connection that stands, and what is to be written to it.
struct Carrier {
    stream: BoxedStream,
    queue: VecDeque<Bytes>,
    unsent: usize,
    /// Something written may still be held back by TLS or the WebSocket.
    unflushed: bool,
    buffer: BytesMut,
}

/// What woke it up.
enum Happened {
    Dialled(io::Result<BoxedStream>),
    Received(Bytes),
    Moved,
    Ended(Cause, Option<io::Error>),
    Time,
}

impl Driven {
    /// A client that connects at once. Has to be called, and driven, within a tokio runtime.
    pub fn connect(config: Config, url: Url, dialer: Dialer) -> Driven {
        let mut driven = Driven {
            client: Client::new(config),
            url,
            dialer,
            start: Instant::now(),
            line: Line::None,
            trouble: None,
            farewells: JoinSet::new(),
        };
        driven.handle(Input::Connect);
        driven
    }

    /// The next event. Moves bytes and time on while it waits; dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.settle() {
                return event;
            }
            match self.happened().await {
                Happened::Dialled(dialled) => self.dialled(dialled),
                Happened::Received(bytes) => self.with_link(|link| Input::Received(link, bytes)),
                Happened::Moved => {}
                Happened::Ended(cause, error) => {
                    self.trouble = error.map(|error| error.to_string());
                    self.with_link(|link| Input::Closed(link, cause));
                    self.line = Line::None;
                }
                Happened::Time => self.handle(Input::Timeout),
            }
        }
    }

    /// The machine and the time, to ask something of it. What it wants done is done by the next [`Driven::next`].
    pub fn ask(&mut self) -> (&mut Client, Time) {
        let now = self.now();
        (&mut self.client, now)
    }

    /// Whether so much waits to be sent that nothing more is to be published now.
    pub fn is_congested(&self) -> bool {
        matches!(&self.line, Line::Open(_, carrier) if carrier.unsent > HIGH_WATER)
    }

    /// What the operating system said when the connection last ended in disorder.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Sends all that was given to be sent, and ends. A server that does not read it is not waited for for long.
    pub async fn finish(mut self) {
        while self.settle().is_some() {}
        self.part();
        while self.farewells.join_next().await.is_some() {}
    }

    fn now(&self) -> Time {
        Time::after(self.start.elapsed())
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.client.handle(now, input);
    }

    fn with_link(&mut self, input: impl FnOnce(LinkId) -> Input) {
        if let Line::Open(link, _) = self.line {
            self.handle(input(link));
        }
    }

    /// Does what the machine wants done, up to the next event.
    fn settle(&mut self) -> Option<Event> {
        while let Some(output) = self.client.poll() {
            match output {
                Output::Dial(link) => {
                    let (dialer, url) = (self.dialer.clone(), self.url.clone());
                    self.line = Line::Dialling(link, Box::pin(async move { dialer.dial(&url).await }));
                }
                Output::Send(link, frame) => match &mut self.line {
                    Line::Open(open, carrier) if *open == link => {
                        carrier.unsent += frame.len();
                        let pieces = [frame.head, frame.payload];
                        carrier.queue.extend(pieces.into_iter().filter(|piece| !piece.is_empty()));
                    }
                    _ => {}
                },
                Output::Close(..) => self.part(),
                Output::Event(event) => return Some(event),
            }
        }
        None
    }

    fn dialled(&mut self, dialled: io::Result<BoxedStream>) {
        let Line::Dialling(link, _) = self.line else { return };
        match dialled {
            Ok(stream) => {
                let (queue, buffer) = (VecDeque::new(), BytesMut::new());
                self.line = Line::Open(link, Carrier { stream, queue, unsent: 0, unflushed: false, buffer });
                self.handle(Input::Dialed(link));
            }
            Err(error) => {
                self.line = Line::None;
                self.handle(Input::DialFailed(link, Cause::Unreachable(error.to_string())));
            }
        }
    }

    /// Lets the connection, if there is one, end beside what else goes on.
    fn part(&mut self) {
        if let Line::Open(_, carrier) = std::mem::replace(&mut self.line, Line::None) {
            self.farewells.spawn(carrier.farewell());
        }
    }

    async fn happened(&mut self) -> Happened {
        while self.farewells.try_join_next().is_some() {}
        let due = self.client.next_timeout().map(|due| self.start + due.since_start());
        let time = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let moved = async {
            match &mut self.line {
                Line::None => pending().await,
                Line::Dialling(_, dialling) => Happened::Dialled(dialling.await),
                Line::Open(_, carrier) => carrier.moved().await,
            }
        };
        tokio::select! {
            biased;
            happened = moved => happened,
            () = time => Happened::Time,
        }
    }
}

impl Carrier {
    /// Moves some bytes one way or the other.
    async fn moved(&mut self) -> Happened {
        let Carrier { stream, queue, unsent, unflushed, buffer } = self;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let is_full = !queue.is_empty();
        tokio::select! {
            biased;
            read = async { buffer.reserve(READ_SIZE); reader.read_buf(buffer).await } => match read {
                Ok(0) => Happened::Ended(Cause::End, None),
                Ok(_) => Happened::Received(buffer.split().freeze()),
                Err(error) => Happened::Ended(Cause::Reset, Some(error)),
            },
            written = write_some(queue, unsent, unflushed, &mut writer), if is_full || *unflushed => match written {
                Ok(()) => Happened::Moved,
                Err(error) => Happened::Ended(Cause::Reset, Some(error)),
            },
        }
    }

    /// Carries what is left, then closes.
    async fn farewell(mut self) {
        let Carrier { stream, queue, unsent, unflushed, .. } = &mut self;
        while !queue.is_empty() || *unflushed {
            if !matches!(timeout(LINGER, write_some(queue, unsent, unflushed, stream)).await, Ok(Ok(()))) {
                return;
            }
        }
        // A connection closed with something unread would be reset, and with it what was sent last.
        let close = async {
            stream.shutdown().await?;
            let mut scrap = [0; 4096];
            while stream.read(&mut scrap).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(LINGER, close).await;
    }
}

/// One vectored write of what waits, or a flush of what was written. Nothing is lost if it is dropped before it ends.
async fn write_some(
    queue: &mut VecDeque<Bytes>,
    unsent: &mut usize,
    unflushed: &mut bool,
    writer: &mut (impl AsyncWriteExt + Unpin),
) -> io::Result<()> {
    if queue.is_empty() {
        writer.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    let pieces: Vec<IoSlice<'_>> = queue.iter().take(PIECES).map(|piece| IoSlice::new(piece)).collect();
    let mut written = writer.write_vectored(&pieces).await?;
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    *unflushed = true;
    *unsent -= written;
    while let Some(piece) = queue.front_mut() {
        if written < piece.len() {
            piece.advance(written);
            break;
        }
        written -= piece.len();
        queue.pop_front();
    }
    Ok(())
}
