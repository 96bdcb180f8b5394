//! Something between the two ends of a connection that may change what passes: it cuts the stream into other segments, or
//! tampers with packets, to see that the suite does not mind the one and catches the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::codec::{Packet, Reader, Version, decode};
use crate::drive::Stream;
use crate::trace::Way;

/// A byte stream of any kind.
pub type AnyStream = Box<dyn Stream>;

/// Tampers with what passes over one connection.
pub trait Tamper: Send {
    /// A whole packet is on its way, or bytes that are none. What goes on is what is put into `onward`.
    fn passes(&mut self, version: Version, way: Way, bytes: Bytes, onward: &mut Onward);

    /// Whether it wants bytes as they come, not packet by packet: for streams that hold something else than MQTT.
    fn takes_bytes(&self) -> bool {
        false
    }

    /// The side that sends `way` has closed its end.
    fn ends(&mut self, way: Way, onward: &mut Onward) {
        onward.end(way);
    }
}

/// Makes a [`Tamper`] for each connection; what connections share is in the closure.
pub type Tampering = Arc<dyn Fn() -> Box<dyn Tamper> + Send + Sync>;

/// What goes on.
#[derive(Debug, Default)]
pub struct Onward {
    acts: Vec<(Duration, Act)>,
}

#[derive(Clone, Debug)]
enum Act {
    Send(Way, Bytes),
    End(Way),
}

impl Onward {
    /// Sends bytes on.
    pub fn send(&mut self, way: Way, bytes: Bytes) {
        self.later(Duration::ZERO, way, bytes);
    }

    /// Sends a packet on. One that cannot be encoded is dropped.
    pub fn packet(&mut self, version: Version, way: Way, packet: &Packet) {
        let mut bytes = Vec::new();
        if crate::codec::encode(packet, version, &mut bytes).is_ok() {
            self.send(way, bytes.into());
        }
    }

    /// Sends bytes after a while.
    pub fn later(&mut self, wait: Duration, way: Way, bytes: Bytes) {
        self.acts.push((wait, Act::Send(way, bytes)));
    }

    /// Closes the end that `way` arrives at.
    pub fn end(&mut self, way: Way) {
        self.acts.push((Duration::ZERO, Act::End(way)));
    }
}

/// How the relay cuts the stream into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segments {
    /// As they come.
    Alike,
    /// One byte each; of a long write the first two thousand only.
    Bytes,
    /// As few as can be: what comes within two milliseconds leaves together.
    Merged,
}

/// Puts a relay before `far`: what is given back is the near end.
pub fn before(far: AnyStream, tamper: Option<Box<dyn Tamper>>, segments: Segments) -> AnyStream {
    let (near, middle) = tokio::io::duplex(1 << 20);
    tokio::spawn(carry(Box::new(middle), far, tamper, segments));
    Box::new(near)
}

enum Came {
    Bytes(Way, Bytes),
    End(Way),
}

async fn carry(near: AnyStream, far: AnyStream, mut tamper: Option<Box<dyn Tamper>>, segments: Segments) {
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    tokio::spawn(read(near_read, Way::Up, arrivals.clone()));
    tokio::spawn(read(far_read, Way::Down, arrivals));
    let writers = [write(far_write, segments), write(near_write, segments)];
    let mut packets = [Reader::new(u32::MAX), Reader::new(u32::MAX)];
    let mut garbage = [tamper.as_ref().is_some_and(|tamper| tamper.takes_bytes()); 2];
    let mut version = Version::V5;
    while let Some(came) = arrived.recv().await {
        let mut onward = Onward::default();
        match (came, tamper.as_deref_mut()) {
            (Came::End(way), None) => onward.end(way),
            (Came::End(way), Some(tamper)) => tamper.ends(way, &mut onward),
            (Came::Bytes(way, bytes), None) => onward.send(way, bytes),
            (Came::Bytes(way, bytes), Some(tamper)) if garbage[way as usize] => {
                tamper.passes(version, way, bytes, &mut onward);
            }
            (Came::Bytes(way, bytes), Some(tamper)) => {
                packets[way as usize].feed(bytes);
                loop {
                    match packets[way as usize].next_frame() {
                        Ok(Some(frame)) => {
                            if let Ok(Packet::Connect(connect)) = decode(version, &frame) {
                                version = connect.version;
                            }
                            tamper.passes(version, way, frame, &mut onward);
                        }
                        Ok(None) => break,
                        Err(_) => {
                            garbage[way as usize] = true;
                            let rest = packets[way as usize].rest();
                            tamper.passes(version, way, rest, &mut onward);
                            break;
                        }
                    }
                }
            }
        }
        for (wait, act) in onward.acts {
            let (writer, bytes) = match act {
                Act::Send(way, bytes) => (&writers[way as usize], Some(bytes)),
                Act::End(way) => (&writers[way as usize], None),
            };
            if wait.is_zero() {
                // An end that is gone is told by its reader.
                let _ = writer.send(bytes);
            } else {
                let writer = writer.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let _ = writer.send(bytes);
                });
            }
        }
    }
}

async fn read(mut from: impl tokio::io::AsyncRead + Unpin, way: Way, to: mpsc::UnboundedSender<Came>) {
    let mut buffer = bytes::BytesMut::new();
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        if to.send(Came::Bytes(way, buffer.split().freeze())).is_err() {
            return;
        }
    }
    let _ = to.send(Came::End(way));
}

/// Starts to write what is sent to the sender that is given back; `None` closes.
fn write(
    mut to: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
    segments: Segments,
) -> mpsc::UnboundedSender<Option<Bytes>> {
    let (sender, mut waiting) = mpsc::unbounded_channel::<Option<Bytes>>();
    tokio::spawn(async move {
        while let Some(Some(bytes)) = waiting.recv().await {
            let written = match segments {
                Segments::Alike => to.write_all(&bytes).await,
                Segments::Bytes => write_bytes(&mut to, &bytes).await,
                Segments::Merged => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    let mut all = bytes.to_vec();
                    let mut ended = false;
                    while let Ok(more) = waiting.try_recv() {
                        match more {
                            Some(more) => all.extend_from_slice(&more),
                            None => ended = true,
                        }
                    }
                    let written = to.write_all(&all).await;
                    if ended { Err(std::io::ErrorKind::BrokenPipe.into()) } else { written }
                }
            };
            if written.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    });
    sender
}

/// How much of one write goes out in single bytes: every packet but the largest, which would take seconds.
const SINGLE_BYTES: usize = 2048;

async fn write_bytes(to: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    let (single, rest) = bytes.split_at(bytes.len().min(SINGLE_BYTES));
    for piece in single.chunks(1).chain(rest.chunks(SINGLE_BYTES)) {
        to.write_all(piece).await?;
        to.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
