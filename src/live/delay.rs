//! A real stream whose bytes arrive as late as a scenario's network says: what loopback lacks.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::sim::gate::End;
use crate::sim::stage::Shared;
use crate::trace::Way;

/// How many bytes are under way at most: who sends more waits, as with any window.
const WINDOW: usize = 1 << 20;
/// How much is read at once.
const READ_SIZE: usize = 8 * 1024;

/// The stream. What it writes is not delayed: the other end does that.
#[derive(Debug)]
pub(super) struct Delayed<S> {
    inner: S,
    end: End,
    stage: Shared,
    /// What has come, and when it is to arrive; the end of the stream is an empty piece.
    under_way: VecDeque<(Instant, Bytes)>,
    size: usize,
    ended: bool,
    sleep: Pin<Box<Sleep>>,
}

impl<S: Any + Send> Delayed<S> {
    pub(super) fn new(inner: S, end: End, stage: Shared) -> Delayed<S> {
        let sleep = Box::pin(sleep_until(Instant::now()));
        Delayed { inner, end, stage, under_way: VecDeque::new(), size: 0, ended: false, sleep }
    }

    /// When something that comes now is to arrive: never before what came earlier.
    fn arrival(&self) -> Instant {
        let mut stage = self.stage.lock();
        let (link, way) = match self.end {
            End::Client(link) => (Some(link), Way::Down),
            End::Broker(address) => (stage.link_at(address), Way::Up),
        };
        let travels = link.map(|link| stage.travels(link, way)).unwrap_or_default();
        let arrival = Instant::now() + stage.lasts(travels);
        self.under_way.back().map_or(arrival, |(last, _)| arrival.max(*last))
    }
}

impl<S: AsyncRead + Unpin + Any + Send> Delayed<S> {
    /// Takes what has come.
    fn take(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.ended && self.size < WINDOW {
            let mut piece = [0; READ_SIZE];
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.inner).poll_read(context, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(read) => read?,
            }
            let piece = Bytes::copy_from_slice(buffer.filled());
            self.ended = piece.is_empty();
            self.size += piece.len();
            self.under_way.push_back((self.arrival(), piece));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin + Any + Send> AsyncRead for Delayed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.take(context)?;
        let Some((arrival, _)) = self.under_way.front() else {
            // Nothing is under way, and after the end nothing will be.
            return if self.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let arrival = *arrival;
        if arrival > Instant::now() {
            self.sleep.as_mut().reset(arrival);
            ready!(self.sleep.as_mut().poll(context));
        }
        if let Some((_, piece)) = self.under_way.front_mut() {
            let len = piece.len().min(into.remaining());
            into.put_slice(&piece[..len]);
            piece.advance(len);
            if piece.is_empty() {
                self.under_way.pop_front();
            }
            self.size -= len;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin + Any + Send> AsyncWrite for Delayed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
