//! The task of one connection: moves bytes both ways between a stream and a loop elsewhere.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::Stream;
use crate::codec::Frame;
use crate::link::{Cause, LinkId};

/// Above this many unsent bytes a connection counts as congested: it is not read from, and gets only what it must.
pub(crate) const HIGH_WATER: usize = 1 << 20;
/// Below this many it counts as drained.
pub(crate) const LOW_WATER: usize = 1 << 18;
/// How long a connection that we close may take to carry what was still to be sent, and to be closed by the other side.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How much is read at once.
const READ_SIZE: usize = 64 * 1024;

/// What a connection's task tells the loop.
#[derive(Debug)]
pub(crate) enum Carried {
    Received(Bytes),
    Ended(Cause),
    Drained,
}

/// The way to the loop.
pub(crate) trait Reports: Send {
    /// Tells it; false where it is gone.
    fn report(&self, link: LinkId, what: Carried) -> impl Future<Output = bool> + Send;
}

/// The loop's end of a connection. Without it the task sends what is left and ends.
#[derive(Debug)]
pub(crate) struct Line {
    outgoing: mpsc::UnboundedSender<Frame>,
    unsent: Arc<AtomicUsize>,
    congested: bool,
}

impl Line {
    /// Hands over a packet to be sent; whether the connection has become congested by it.
    pub(crate) fn send(&mut self, frame: Frame) -> bool {
        let unsent = self.unsent.fetch_add(frame.len(), Ordering::Relaxed) + frame.len();
        // A task that is gone reports the end of its connection.
        let _ = self.outgoing.send(frame);
        unsent > HIGH_WATER && !std::mem::replace(&mut self.congested, true)
    }

    /// Takes note of [`Carried::Drained`]; whether the connection was congested until now.
    pub(crate) fn drained(&mut self) -> bool {
        std::mem::take(&mut self.congested)
    }
}

/// The task of one connection: moves bytes both ways.
pub(crate) struct Carrier<R> {
    link: LinkId,
    frames: mpsc::UnboundedReceiver<Frame>,
    unsent: Arc<AtomicUsize>,
    reports: R,
    /// What is to be written.
    queue: VecDeque<Bytes>,
}

impl<R: Reports> Carrier<R> {
    /// A task, to be [run](Carrier::run), and the loop's end of it.
    pub(crate) fn new(link: LinkId, reports: R) -> (Line, Carrier<R>) {
        let (outgoing, frames) = mpsc::unbounded_channel();
        let unsent = Arc::new(AtomicUsize::new(0));
        let line = Line { outgoing, unsent: unsent.clone(), congested: false };
        (line, Carrier { link, frames, unsent, reports, queue: VecDeque::new() })
    }

    /// Moves bytes until the connection ends, or the loop lets go of its end.
    pub(crate) async fn run(mut self, stream: impl Stream) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        match self.carry(&mut reader, &mut writer).await {
            Some(cause) => drop(self.tell(Carried::Ended(cause)).await),
            None => {
                // We close: first everything goes out, then the other side may close too. A connection closed with
                // something unread would be reset, and with it what was sent last.
                let goodbye = async {
                    while !self.queue.is_empty() {
                        self.write(&mut writer).await?;
                    }
                    writer.shutdown().await?;
                    let mut scrap = [0; 4096];
                    while reader.read(&mut scrap).await? > 0 {}
                    io::Result::Ok(())
                };
                let _ = tokio::time::timeout(LINGER, goodbye).await;
            }
        }
    }

    async fn tell(&self, what: Carried) -> bool {
        self.reports.report(self.link, what).await
    }

    /// Moves bytes until the connection ends, for the cause given back, or until it is to be closed (`None`).
    async fn carry(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Option<Cause> {
        let mut buffer = BytesMut::new();
        loop {
            let crowded = self.unsent.load(Ordering::Relaxed) > HIGH_WATER;
            // The reader is polled in every state but one that writes anyway, or a reset would go unseen.
            tokio::select! {
                biased;
                frame = self.frames.recv() => match frame {
                    Some(frame) => self.enqueue(frame),
                    None => return None,
                },
                written = Self::write_queue(&mut self.queue, writer), if !self.queue.is_empty() => match written {
                    Ok(len) => self.written(len).await,
                    Err(error) => return Some(cause_of(&error)),
                },
                read = read_some(reader, &mut buffer), if !crowded => match read {
                    Ok(0) => return Some(Cause::End),
                    Ok(_) => {
                        let bytes = buffer.split().freeze();
                        if !self.tell(Carried::Received(bytes)).await {
                            return None;
                        }
                    }
                    Err(error) => return Some(cause_of(&error)),
                },
            }
        }
    }

    /// Takes all frames that wait, so that they leave together.
    fn enqueue(&mut self, frame: Frame) {
        let mut next = Some(frame);
        while let Some(frame) = next {
            self.queue.push_back(frame.head);
            if !frame.payload.is_empty() {
                self.queue.push_back(frame.payload);
            }
            next = self.frames.try_recv().ok();
        }
    }

    async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let len = Self::write_queue(&mut self.queue, writer).await?;
        self.unsent.fetch_sub(len, Ordering::Relaxed);
        Ok(())
    }

    async fn written(&mut self, len: usize) {
        let before = self.unsent.fetch_sub(len, Ordering::Relaxed);
        if before > LOW_WATER && before - len <= LOW_WATER {
            // Nobody to tell: the driver is gone.
            self.tell(Carried::Drained).await;
        }
    }

    /// One vectored write of what waits. Nothing is lost if it is dropped before it ends.
    async fn write_queue(queue: &mut VecDeque<Bytes>, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<usize> {
        const PIECES: usize = 64;
        let pieces: Vec<IoSlice<'_>> = queue.iter().take(PIECES).map(|piece| IoSlice::new(piece)).collect();
        let len = writer.write_vectored(&pieces).await?;
        if len == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut left = len;
        while let Some(piece) = queue.front_mut() {
            if left < piece.len() {
                piece.advance(left);
                break;
            }
            left -= piece.len();
            queue.pop_front();
        }
        Ok(len)
    }
}

/// Reads what there is.
async fn read_some(reader: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<usize> {
    buffer.reserve(READ_SIZE);
    reader.read_buf(buffer).await
}

/// Why a connection ended on which reading or writing failed.
pub(crate) fn cause_of(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Cause::End,
        _ => Cause::Reset,
    }
}
