//! Where clients come in: addresses, what carries MQTT there, TLS, and what is asked of those who come.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::control::Control;
use super::dial::BoxedStream;
use super::tls::Tls;
use super::{LiveError, accept, websocket};
use crate::broker::{Arrival, Door, Peer};
use crate::codec::Text;

/// How many connections of one listener may be shaking hands at once; others wait to be accepted.
const HANDSHAKES: usize = 4096;

/// After how long without a byte the other side is asked whether it is there, how often, and after how many questions
/// without an answer the connection is over: within three minutes.
const STILL_THERE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(120)).with_interval(Duration::from_secs(20)).with_retries(3);

/// What carries MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// WebSocket.
    WebSocket,
    /// No MQTT: the page to look at the broker with.
    Page,
}

/// Where to listen, and for what.
#[derive(Clone, Debug)]
pub struct Listen {
    /// For what.
    pub transport: Transport,
    /// Where. Port 0 is any that is free.
    pub address: SocketAddr,
    /// TLS beneath it.
    pub tls: Option<Tls>,
    /// What is asked of those who come by it, where that is not what is asked of everyone.
    pub door: Option<Arc<Door>>,
}

impl Listen {
    /// Without TLS and rules of its own.
    pub fn new(transport: Transport, address: SocketAddr) -> Listen {
        Listen { transport, address, tls: None, door: None }
    }

    /// The scheme of its addresses.
    pub const fn scheme(&self) -> &'static str {
        match (self.transport, &self.tls) {
            (Transport::Tcp, None) => "mqtt",
            (Transport::Tcp, Some(_)) => "mqtts",
            (Transport::WebSocket, None) => "ws",
            (Transport::WebSocket, Some(_)) => "wss",
            (Transport::Page, _) => "http",
        }
    }

    /// Its address as clients write it.
    pub fn url(&self) -> String {
        let path = match self.transport {
            Transport::Tcp => "",
            Transport::WebSocket => "/mqtt",
            Transport::Page => "/",
        };
        format!("{}://{}{path}", self.scheme(), self.address)
    }

    /// What says on the command line where it listens.
    pub(super) const fn option(&self) -> &'static str {
        match (self.transport, &self.tls) {
            (Transport::WebSocket, None) => "--ws",
            (Transport::Page, _) => "--web",
            _ => "--listen",
        }
    }

    /// Whether the broker's own loop can serve it: the rest comes through tasks.
    pub(super) fn is_plain(&self) -> bool {
        self.transport == Transport::Tcp && self.tls.is_none() && self.door.is_none()
    }

    /// Makes a socket that listens. Connections inherit that small packets leave at once, and that the other side is asked
    /// whether it is there: nobody else would notice that a client without a keep alive has vanished with its machine.
    pub(super) fn bind(&self) -> Result<std::net::TcpListener, LiveError> {
        const BACKLOG: i32 = 4096;
        let bound = || {
            let socket = Socket::new(Domain::for_address(self.address), socket2::Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_keepalive(&STILL_THERE)?;
            socket.bind(&self.address.into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket.into())
        };
        bound().map_err(|error| super::refused(self, error))
    }

    /// Shakes hands, as far as there is something to shake; the stream, and the user that a certificate names.
    async fn prepare(&self, stream: TcpStream, packet_maximum: u32) -> io::Result<(BoxedStream, Option<Text>)> {
        let (stream, user): (BoxedStream, _) = match &self.tls {
            None => (Box::new(stream), None),
            Some(tls) => {
                let (stream, user) = tls.accept(stream).await?;
                (Box::new(stream), user)
            }
        };
        match self.transport {
            Transport::Tcp | Transport::Page => Ok((stream, user)),
            Transport::WebSocket => Ok((Box::new(websocket::accept(stream, packet_maximum).await?), user)),
        }
    }

    /// Accepts connections, and carries their bytes to and from the broker.
    pub(super) async fn carry_all(self, listener: TcpListener, packet_maximum: u32, control: Control) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
            let (_, stream, address) = accept(std::slice::from_ref(&listener)).await;
            let (listen, control) = (self.clone(), control.clone());
            tokio::spawn(async move {
                let prepared = listen.prepare(stream, packet_maximum).await;
                drop(permit);
                // A client that wanted something else has been told.
                let Ok((stream, user)) = prepared else { return };
                let own = listen.door.is_some() || user.is_some();
                let arrival = own.then(|| Arrival { door: listen.door.unwrap_or_default(), user });
                // It fails if the broker has ended.
                let _ = control.carry(Peer(address.to_string()), arrival, stream).await;
            });
        }
    }
}
