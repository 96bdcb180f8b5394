//! A stream through which faults act: it passes bytes on, holds them, loses them, or ends.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::stage::{Reading, Shared, Writing};
use crate::link::LinkId;
use crate::trace::Way;

/// How much a slow reader takes at once, in milliseconds of its rate.
const SLOW_READ: Duration = Duration::from_millis(100);

/// Which connection, as this end knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Client(LinkId),
    /// The broker's end: it knows the address of the client's.
    Broker(SocketAddr),
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Gate<S: Any + Send> {
    /// Gone only while it is dropped.
    inner: Option<S>,
    end: End,
    /// The connection's name, once it is known.
    link: Option<LinkId>,
    stage: Shared,
    /// How many bytes in a second are read at most, and until when nothing is.
    slow: Option<(u32, Option<Pin<Box<Sleep>>>)>,
}

impl<S: Any + Send> Gate<S> {
    pub(crate) fn new(inner: S, end: End, stage: Shared, reads: Option<u32>) -> Gate<S> {
        Gate { inner: Some(inner), end, link: None, stage, slow: reads.map(|reads| (reads, None)) }
    }

    /// The connection, once it has a name.
    fn link(&mut self) -> Option<LinkId> {
        self.link = self.link.or_else(|| match self.end {
            End::Client(link) => Some(link),
            End::Broker(address) => self.stage.lock().link_at(address),
        });
        self.link
    }

    /// Which way this end sends.
    const fn sends(&self) -> Way {
        match self.end {
            End::Client(_) => Way::Up,
            End::Broker(_) => Way::Down,
        }
    }

    fn reading(&mut self, waker: &std::task::Waker) -> Reading {
        let link = self.link();
        let mut stage = self.stage.lock();
        stage.wake_at_fault(waker);
        link.map_or(Reading::Pass(None), |link| stage.reading(link, self.sends().back()))
    }

    fn writing(&mut self) -> Writing {
        let link = self.link();
        link.map_or(Writing::Pass, |link| self.stage.lock().writing(link, self.sends()))
    }

    /// How much may be read now by one that reads slowly.
    fn allowance(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        let Some((reads, pause)) = &mut self.slow else { return Poll::Ready(None) };
        if *reads == 0 {
            return Poll::Pending;
        }
        if let Some(sleep) = pause {
            ready!(sleep.as_mut().poll(context));
            *pause = None;
        }
        let bytes = u64::from(*reads) * u64::try_from(SLOW_READ.as_millis()).unwrap_or(1) / 1000;
        Poll::Ready(usize::try_from(bytes.max(1)).ok())
    }

    /// A slow reader has read: it rests as long as that much takes.
    fn rest(&mut self, bytes: usize) {
        if let Some((reads, pause)) = &mut self.slow
            && bytes > 0
        {
            let span = Duration::from_secs_f64(bytes as f64 / f64::from((*reads).max(1)));
            let span = self.stage.lock().lasts(span);
            *pause = Some(Box::pin(tokio::time::sleep(span)));
        }
    }
}

impl<S: AsyncRead + Unpin + Any + Send> AsyncRead for Gate<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = match self.reading(context.waker()) {
            Reading::Pass(most) => most,
            Reading::Wait => return Poll::Pending,
            Reading::End => return Poll::Ready(Ok(())),
            Reading::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Reading::Lose => return self.lose(context),
        };
        let slow = ready!(self.allowance(context));
        let most = [most, slow].into_iter().flatten().min();
        let Some(inner) = &mut self.inner else { return Poll::Ready(Ok(())) };
        let Some(most) = most else { return Pin::new(inner).poll_read(context, into) };
        let mut piece = vec![0; most.min(into.remaining())];
        let mut piece = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(inner).poll_read(context, &mut piece));
        into.put_slice(piece.filled());
        self.rest(piece.filled().len());
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + Unpin + Any + Send> Gate<S> {
    /// Reads and forgets whatever comes; even the end of the stream is not seen.
    fn lose(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(inner) = &mut self.inner else { return Poll::Pending };
        let mut scrap = [0; 4096];
        loop {
            let mut scrap = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut *inner).poll_read(context, &mut scrap)) {
                Ok(()) if !scrap.filled().is_empty() => {}
                _ => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin + Any + Send> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.writing() {
            Writing::Lose => Poll::Ready(Ok(bytes.len())),
            Writing::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Writing::Pass => match &mut self.inner {
                Some(inner) => Pin::new(inner).poll_write(context, bytes),
                None => Poll::Ready(Ok(bytes.len())),
            },
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (self.writing(), &mut self.inner) {
            (Writing::Pass, Some(inner)) => Pin::new(inner).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Any + Send> Drop for Gate<S> {
    fn drop(&mut self) {
        let sends = self.sends();
        if let (Some(link), Some(inner)) = (self.link(), self.inner.take()) {
            self.stage.lock().bury(link, sends, Box::new(inner));
        }
    }
}
