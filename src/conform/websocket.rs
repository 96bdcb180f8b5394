//! The suite's own end of a WebSocket (RFC 6455), down to its frames: it sees how the other side frames what it sends, and
//! can frame what it sends itself in any way (section 6).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::relay::AnyStream;
use crate::live::websocket::MQTT;

/// The key of every request: what comes back tells that the server knows RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a client hides its payloads behind. Chance would add nothing here.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
/// The longest head of a request or an answer that is read, in bytes.
const HEAD_MAXIMUM: usize = 16 * 1024;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// The head of an HTTP request or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its first line.
    pub first: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Reads one; what came behind it is given back too.
    ///
    /// # Errors
    /// What came instead.
    pub async fn read(stream: &mut AnyStream) -> Result<(Head, Bytes), String> {
        let mut bytes = BytesMut::new();
        loop {
            if let Some(length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = bytes.split_to(length + 4);
                return Ok((Head::parse(&String::from_utf8_lossy(&head))?, bytes.freeze()));
            }
            if bytes.len() > HEAD_MAXIMUM {
                return Err(format!("{HEAD_MAXIMUM} bytes without the end of an HTTP head"));
            }
            match stream.read_buf(&mut bytes).await {
                Ok(1..) => {}
                _ if bytes.is_empty() => return Err("the connection was closed".to_owned()),
                _ => return Err(format!("the connection was closed within {:?}", String::from_utf8_lossy(&bytes))),
            }
            if !b"GETHTTP".contains(&bytes[0]) {
                return Err("bytes that are no HTTP".to_owned());
            }
        }
    }

    fn parse(text: &str) -> Result<Head, String> {
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let fields = lines.map(field).collect::<Option<_>>();
        Ok(Head { fields: fields.ok_or_else(|| format!("an HTTP head that is none: {text:?}"))?, first })
    }

    /// The elements of the list in a field, from all fields of that name.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter().filter(move |(of, _)| of.eq_ignore_ascii_case(name));
        fields.flat_map(|(_, value)| value.split(',')).map(str::trim)
    }

    /// Whether it upgrades the connection that [`request`] asked to upgrade.
    pub fn upgrades(&self) -> bool {
        self.first.split(' ').nth(1) == Some("101")
            && self.list("Sec-WebSocket-Accept").eq([derive_accept_key(KEY.as_bytes())])
    }
}

/// A client's request to upgrade the connection, offering these subprotocols.
pub fn request(host: &str, path: &str, offered: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n"
    )
}

/// A server's answer that upgrades the connection, to this request.
pub fn answer(request: &Head, protocol: &str) -> String {
    let accept = derive_accept_key(request.list("Sec-WebSocket-Key").next().unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
}

/// How what is written at once is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As one binary frame.
    Whole,
    /// As binary frames of at most so many bytes.
    Pieces(usize),
    /// As one binary message in fragments of at most so many bytes.
    Fragments(usize),
    /// As one text frame.
    Text,
}

/// What the frames of one connection are to be like and have been like, for both ends of a [`WebSocket`].
#[derive(Clone, Debug)]
pub struct Frames(Arc<Mutex<Framed>>);

#[derive(Debug)]
struct Framed {
    framing: Framing,
    /// Data frames that came.
    came: usize,
    /// The first of them that was not binary, by its opcode.
    not_binary: Option<u8>,
}

impl Frames {
    fn new(framing: Framing) -> Frames {
        Frames(Arc::new(Mutex::new(Framed { framing, came: 0, not_binary: None })))
    }

    /// From now on what is written leaves like this.
    pub fn set(&self, framing: Framing) {
        self.with(|framed| framed.framing = framing);
    }

    /// How many data frames came, and the opcode of the first that was not binary.
    pub fn seen(&self) -> (usize, Option<u8>) {
        self.with(|framed| (framed.came, framed.not_binary))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Framed) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The end of the WebSocket that the suite plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client's, which masks its frames.
    Client,
    /// The server's.
    Server,
}

/// The bytes within the frames of a WebSocket, as a stream.
pub struct WebSocket {
    stream: AnyStream,
    end: End,
    frames: Frames,
    /// What came and was not taken apart yet.
    raw: BytesMut,
    /// What came in a data frame and was not read yet.
    unread: Bytes,
    /// Frames that have not left yet.
    leaving: BytesMut,
    close_left: bool,
    close_came: bool,
}

impl WebSocket {
    /// The stream within an upgraded connection, behind whose head `rest` came.
    pub fn new(stream: AnyStream, rest: &[u8], end: End, framing: Framing) -> (WebSocket, Frames) {
        let frames = Frames::new(framing);
        let (raw, unread, leaving) = (BytesMut::from(rest), Bytes::new(), BytesMut::new());
        (
            WebSocket {
                stream,
                end,
                frames: frames.clone(),
                raw,
                unread,
                leaving,
                close_left: false,
                close_came: false,
            },
            frames,
        )
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let masked = if self.end == End::Client { MASKED } else { 0 };
        self.leaving.put_u8(first);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(length @ ..=125), _) => self.leaving.put_u8(masked | length),
            (_, Ok(length)) => {
                self.leaving.put_u8(masked | 126);
                self.leaving.put_u16(length);
            }
            _ => {
                self.leaving.put_u8(masked | 127);
                self.leaving.put_u64(payload.len() as u64);
            }
        }
        if self.end == End::Client {
            self.leaving.put_slice(&MASK);
            self.leaving.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            self.leaving.put_slice(payload);
        }
    }

    fn data(&mut self, payload: &[u8]) {
        match self.frames.with(|framed| framed.framing) {
            Framing::Whole => self.frame(FINAL | BINARY, payload),
            Framing::Text => self.frame(FINAL | TEXT, payload),
            Framing::Pieces(length) => payload.chunks(length).for_each(|piece| self.frame(FINAL | BINARY, piece)),
            Framing::Fragments(length) => {
                let last = payload.chunks(length).count().saturating_sub(1);
                for (place, piece) in payload.chunks(length).enumerate() {
                    let opcode = if place == 0 { BINARY } else { CONTINUATION };
                    self.frame(if place == last { FINAL | opcode } else { opcode }, piece);
                }
            }
        }
    }

    /// Takes the next frame that came whole, if there is one: its first byte and its payload.
    fn next(&mut self) -> Option<(u8, Bytes)> {
        let (first, second) = (*self.raw.first()?, *self.raw.get(1)?);
        let mut rest = &self.raw[2..];
        let length = match second & !MASKED {
            126 => u64::from(rest.try_get_u16().ok()?),
            127 => rest.try_get_u64().ok()?,
            length => u64::from(length),
        };
        let mask = if second & MASKED == 0 { [0; 4] } else { rest.try_get_u32().ok()?.to_be_bytes() };
        let length = usize::try_from(length).ok().filter(|length| rest.len() >= *length)?;
        let head = self.raw.len() - rest.len();
        self.raw.advance(head);
        let mut payload = self.raw.split_to(length);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Some((first, payload.freeze()))
    }

    fn take_in(&mut self, first: u8, payload: Bytes) {
        match first & 0xF {
            CLOSE => {
                self.close(&payload);
                self.close_came = true;
            }
            PING => self.frame(FINAL | PONG, &payload),
            PONG => {}
            opcode => {
                self.frames.with(|framed| {
                    framed.came += 1;
                    if ![BINARY, CONTINUATION].contains(&opcode) {
                        framed.not_binary.get_or_insert(opcode);
                    }
                });
                self.unread = payload;
            }
        }
    }

    fn close(&mut self, payload: &[u8]) {
        if !self.close_left {
            self.frame(FINAL | CLOSE, payload);
            self.close_left = true;
        }
    }

    fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.leaving.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.leaving))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.leaving.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            if let Some((first, payload)) = self.next() {
                self.take_in(first, payload);
                continue;
            }
            // Answers to pings and to the close leave as far as they can.
            if let Poll::Ready(left) = self.poll_leave(context)
                && !self.close_came
            {
                left?;
            }
            if self.close_came {
                return Poll::Ready(Ok(()));
            }
            let mut space = [0; 4096];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.raw.extend_from_slice(read.filled());
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_leave(context))?;
        self.data(bytes);
        // What does not leave now leaves with the flush.
        if let Poll::Ready(left) = self.poll_leave(context) {
            left?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_leave(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close(&[]);
        ready!(self.poll_leave(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// MQTT's byte stream within a connection that is upgraded here.
///
/// # Errors
/// If the server does not upgrade it.
pub async fn open(mut stream: AnyStream, host: &str, path: &str) -> io::Result<AnyStream> {
    send_head(&mut stream, &request(host, path, MQTT)).await?;
    let (head, rest) = Head::read(&mut stream).await.map_err(io::Error::other)?;
    if !head.upgrades() {
        return Err(io::Error::other(format!("no upgrade to WebSocket, but {:?}", head.first)));
    }
    Ok(Box::new(WebSocket::new(stream, &rest, End::Client, Framing::Whole).0))
}

/// Sends the head of a request or an answer.
///
/// # Errors
/// If the connection is gone.
pub async fn send_head(stream: &mut AnyStream, head: &str) -> io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}
