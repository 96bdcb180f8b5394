//! MQTT over WebSocket (MQTT 3.1.1 and 5.0, section 6): a byte stream in the binary frames of another stream.
//!
//! Where a frame begins and ends means nothing [MQTT-6.0.0-2]: what is written at once leaves as one frame, what comes is
//! handed on as it comes. A data frame that is not binary ends the connection [MQTT-6.0.0-1].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{StatusCode, Uri};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::drive::Stream;

/// The subprotocol of MQTT [MQTT-6.0.0-3], [MQTT-6.0.0-4].
pub const MQTT: &str = "mqtt";
/// The subprotocols that a server takes, the better one first; the other is MQTT 3.1's, which old clients still offer.
const PROTOCOLS: [&str; 2] = [MQTT, "mqttv3.1"];
/// Where a server is found: the path that clients have by default, and none.
const PATHS: [&str; 2] = ["/mqtt", "/"];
/// How long the upgrade may take.
const UPGRADE_TIME: Duration = Duration::from_secs(10);
/// How long the request for it may be, in bytes.
const HEAD_MAXIMUM: usize = 8 * 1024;
/// A frame may hold several packets: so much more than the largest of them, in bytes.
const SLACK: usize = 64 * 1024;
/// The largest frame that we send: what is copied at once, in bytes.
const FRAME_MAXIMUM: usize = 64 * 1024;
/// Held for each connection from the beginning, in bytes.
const READ_BUFFER: usize = 4 * 1024;

/// The byte stream.
#[derive(Debug)]
pub struct WebSocket<S> {
    frames: WebSocketStream<S>,
    /// What came and was not read yet.
    unread: Bytes,
    /// Something written has not left, and its writer does not wait for that.
    unflushed: bool,
}

/// Upgrades a connection that a client has made. Frames of more than `packet_maximum` bytes and some slack are refused.
///
/// # Errors
/// If the client wants something else, or takes too long; it has been told.
pub async fn accept<S: Stream>(stream: S, packet_maximum: u32) -> io::Result<WebSocket<S>> {
    let upgraded = async { Upgrade::read(stream).await?.accept(packet_maximum).await };
    timeout(UPGRADE_TIME, upgraded).await?
}

/// Upgrades a connection to a server, offering these subprotocols, of which the server has to pick one. `host` is what
/// the server is called in the request, with its port; `path` begins with a slash.
///
/// # Errors
/// If the server does not upgrade it as asked, with its answer, or takes too long.
pub async fn connect<S: Stream>(
    stream: S,
    host: &str,
    path: &str,
    offered: &[&str],
    packet_maximum: u32,
) -> io::Result<(WebSocket<S>, Option<String>)> {
    let uri: Uri = format!("ws://{host}{path}").parse().map_err(io::Error::other)?;
    let request = ClientRequestBuilder::new(uri);
    let request = offered.iter().fold(request, |request, protocol| request.with_sub_protocol(*protocol));
    let upgrading = client_async_with_config(request, stream, Some(config(packet_maximum)));
    let (frames, answer) = timeout(UPGRADE_TIME, upgrading).await?.map_err(io_error)?;
    let picked = answer.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    Ok((WebSocket::over(frames), picked.map(str::to_owned)))
}

/// A client's request to upgrade its connection.
#[derive(Debug)]
pub struct Upgrade<S> {
    stream: S,
    request: Request,
    /// What came behind the request.
    rest: Vec<u8>,
}

impl<S: Stream> Upgrade<S> {
    /// Reads the request.
    ///
    /// # Errors
    /// If it is none; the client has been told.
    pub async fn read(mut stream: S) -> io::Result<Upgrade<S>> {
        let mut head = Vec::with_capacity(1024);
        loop {
            match Request::try_parse(&head) {
                Ok(Some((length, request))) => return Ok(Upgrade { stream, request, rest: head.split_off(length) }),
                Ok(None) if head.len() > HEAD_MAXIMUM => {
                    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                    return Err(refuse(stream, status, "the request is too long").await);
                }
                Ok(None) => {
                    if stream.read_buf(&mut head).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(refuse(stream, StatusCode::BAD_REQUEST, &error.to_string()).await),
            }
        }
    }

    /// The subprotocols that the client offers.
    pub fn offered(&self) -> Vec<&str> {
        let headers = self.request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        headers.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).map(str::trim).collect()
    }

    /// Upgrades the connection, if it is to be one for MQTT.
    ///
    /// # Errors
    /// If not; the client has been told.
    pub async fn accept(mut self, packet_maximum: u32) -> io::Result<WebSocket<S>> {
        let mut answer = match create_response(&self.request) {
            Ok(answer) => answer,
            Err(why) => {
                let why = format!("this is MQTT over WebSocket: {why}");
                return Err(refuse(self.stream, StatusCode::UPGRADE_REQUIRED, &why).await);
            }
        };
        if !PATHS.contains(&self.request.uri().path()) {
            return Err(refuse(self.stream, StatusCode::NOT_FOUND, "MQTT is at /mqtt").await);
        }
        let offered = self.offered();
        let Some(protocol) = PROTOCOLS.into_iter().find(|protocol| offered.contains(protocol)) else {
            let why = "no subprotocol of MQTT is offered; offer Sec-WebSocket-Protocol: mqtt";
            return Err(refuse(self.stream, StatusCode::BAD_REQUEST, why).await);
        };
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        let mut head = Vec::new();
        write_response(&mut head, &answer).map_err(io_error)?;
        self.stream.write_all(&head).await?;
        let config = Some(config(packet_maximum));
        Ok(WebSocket::over(WebSocketStream::from_partially_read(self.stream, self.rest, Role::Server, config).await))
    }
}

/// Answers a request with an HTTP error, and closes.
async fn refuse<S: Stream>(mut stream: S, status: StatusCode, why: &str) -> io::Error {
    let answer = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{why}\n",
        why.len() + 1
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A connection closed with something unread would be reset, and with it the answer.
        let mut scrap = [0; 1024];
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    match told.await {
        Ok(()) => io::Error::new(io::ErrorKind::InvalidData, why.to_owned()),
        Err(error) => error,
    }
}

fn config(packet_maximum: u32) -> WebSocketConfig {
    let most = usize::try_from(packet_maximum).unwrap_or(usize::MAX).saturating_add(SLACK);
    let limited = WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
    limited.read_buffer_size(READ_BUFFER).write_buffer_size(0)
}

impl<S: Stream> WebSocket<S> {
    fn over(frames: WebSocketStream<S>) -> WebSocket<S> {
        WebSocket { frames, unread: Bytes::new(), unflushed: false }
    }

    fn frames(&mut self) -> Pin<&mut WebSocketStream<S>> {
        Pin::new(&mut self.frames)
    }

    /// Sends as one frame what these hold, or the beginning of it.
    fn send(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // What was taken before leaves first: no more than one frame waits. From here on its writer sees to it.
        self.unflushed = false;
        ready!(self.frames().poll_flush(context)).map_err(io_error)?;
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(FRAME_MAXIMUM);
        let mut frame = BytesMut::with_capacity(length);
        for piece in pieces {
            frame.extend_from_slice(&piece[..piece.len().min(length - frame.len())]);
        }
        self.frames().start_send(Message::Binary(frame.freeze())).map_err(io_error)?;
        match self.frames().poll_flush(context) {
            Poll::Ready(flushed) => flushed.map_err(io_error)?,
            Poll::Pending => self.unflushed = true,
        }
        Poll::Ready(Ok(length))
    }

    /// Tells the other side what was wrong with a frame of it; the error says the same.
    fn refuse(&mut self, context: &mut Context<'_>, code: CloseCode, why: String) -> io::Error {
        let close = CloseFrame { code, reason: why.clone().into() };
        // It may be gone already, or not read.
        if self.frames().start_send(Message::Close(Some(close))).is_ok() {
            let _ = self.frames().poll_flush(context);
        }
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

impl<S: Stream> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed
            && let Poll::Ready(flushed) = self.frames().poll_flush(context)
        {
            self.unflushed = false;
            flushed.map_err(io_error)?;
        }
        while self.unread.is_empty() {
            let Some(message) = ready!(self.frames().poll_next(context)) else { return Poll::Ready(Ok(())) };
            match message {
                Ok(Message::Binary(data)) => self.unread = data,
                Ok(Message::Text(_)) | Err(Error::Utf8(_)) => {
                    let why = "MQTT comes in binary frames".to_owned();
                    return Poll::Ready(Err(self.refuse(context, CloseCode::Unsupported, why)));
                }
                // Pings and the close have been answered.
                Ok(_) => {}
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Poll::Ready(Ok(())),
                Err(Error::Capacity(error)) => {
                    return Poll::Ready(Err(self.refuse(context, CloseCode::Size, error.to_string())));
                }
                Err(Error::Protocol(error)) => {
                    return Poll::Ready(Err(self.refuse(context, CloseCode::Protocol, error.to_string())));
                }
                Err(error) => return Poll::Ready(Err(io_error(error))),
            }
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.send(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.send(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unflushed = false;
        self.frames().poll_flush(context).map_err(io_error)
    }

    /// Says that nothing more comes; the other side answers and the server closes (RFC 6455, section 7).
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unflushed = false;
        self.frames().poll_close(context).map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        Error::Http(answer) => io::Error::other(format!("the upgrade is answered with {}", answer.status())),
        error => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}
