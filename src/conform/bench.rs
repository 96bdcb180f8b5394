//! What a case for clients works with: the suite is the broker, the client is steered.

use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::relay::AnyStream;
use super::steered::Steered;
use super::steered::protocol::{
    Answer, ConnectOrder, DisconnectOrder, Event, FilterOrder, MessageEvent, Order, PublishOrder, SubscribeOrder,
    spelling,
};
use super::verdict::{Failure, Otherwise, Stop};
use super::websocket::{self, End, Frames, Framing, Head, WebSocket};
use super::wire::{Log, Wire};
use crate::codec::{AckKind, ConnAck, Connect, Packet, PacketIdentifier, Properties, Publish, Qos, Reason, Version};
use crate::live::websocket::MQTT;
use crate::trace::{Name, Way};

/// Topic and payload of a message that fences off what came before.
const SENTINEL: &str = "sentinel";
/// The topic of a message that is sent only for its PUBACK.
const FENCE: &str = "fence";
/// Its packet identifier, which no case uses.
const FENCE_IDENTIFIER: PacketIdentifier = PacketIdentifier::new(0xFEDC).unwrap();

/// Where the client's connections come in.
#[derive(Debug)]
pub enum Door {
    /// Streams in memory.
    Memory(mpsc::UnboundedReceiver<AnyStream>),
    /// A socket.
    Socket(TcpListener),
}

impl Door {
    async fn next(&mut self) -> Option<AnyStream> {
        match self {
            Door::Memory(streams) => streams.recv().await,
            Door::Socket(listener) => {
                let (stream, _) = listener.accept().await.ok()?;
                // Packets are small and the client waits for them.
                let _ = stream.set_nodelay(true);
                Some(Box::new(stream))
            }
        }
    }

    /// Host and port that a client is told to dial.
    fn address(&self) -> (String, u16) {
        let port = match self {
            Door::Memory(_) => None,
            Door::Socket(listener) => listener.local_addr().ok(),
        };
        ("127.0.0.1".to_owned(), port.map_or(1883, |address| address.port()))
    }
}

/// The bench of one case.
#[derive(Debug)]
pub struct Bench {
    client: Steered,
    door: Door,
    version: Version,
    log: Log,
    patience: Duration,
}

impl Bench {
    /// A bench for one case.
    pub fn new(client: Steered, door: Door, version: Version, log: Log, patience: Duration) -> Bench {
        Bench { client, door, version, log, patience }
    }

    /// The version that the case runs in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it runs in 5.0.
    pub fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// How long to wait for what must come.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How long the case has been running.
    pub fn elapsed(&self) -> Duration {
        self.log.elapsed()
    }

    /// Lets time pass.
    pub async fn wait(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Stops the case if the client says that it lacks this command or field.
    ///
    /// # Errors
    /// [`Stop::Skipped`].
    pub fn needs(&self, feature: &str) -> Result<(), Stop> {
        if self.client.ready().lacks.iter().any(|lack| lack == feature) {
            return Err(Stop::Skipped(format!("the client has no {feature}")));
        }
        Ok(())
    }

    // --- orders -------------------------------------------------------------------------------------------------------

    /// The order to connect: a client identifier, a clean start, one minute of keep alive.
    pub fn connect(&self, client_id: &str) -> ConnectOrder {
        ConnectOrder {
            version: spelling(self.version).to_owned(),
            client_id: client_id.to_owned(),
            clean_start: Some(true),
            keep_alive: Some(60),
            ..ConnectOrder::default()
        }
    }

    /// As [`Bench::connect`], for a session that outlives its connection.
    pub fn connect_to_stay(&self, client_id: &str) -> ConnectOrder {
        let session_expiry = self.is_v5().then_some(300);
        ConnectOrder { clean_start: Some(false), session_expiry, ..self.connect(client_id) }
    }

    /// The order to publish a text.
    pub fn publish(&self, topic: &str, payload: &str, qos: u8) -> PublishOrder {
        PublishOrder { topic: topic.to_owned(), payload: Some(payload.to_owned()), qos, ..PublishOrder::default() }
    }

    /// Gives an order and takes the answer: whether the library does it, or refuses. Gives back the order's number.
    ///
    /// # Errors
    /// [`Stop::Skipped`] if the library cannot.
    pub async fn order(&mut self, order: Order) -> Result<(u64, Result<(), String>), Stop> {
        let id = self.client.order(order)?;
        match self.client.answer(id, self.patience).await? {
            Answer::Ok => Ok((id, Ok(()))),
            Answer::Refused(why) => Ok((id, Err(why))),
            Answer::Unsupported(what) => Err(Stop::Skipped(format!("the client has no {what}"))),
        }
    }

    /// Gives an order that the library has to take.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it refuses.
    pub async fn must(&mut self, order: Order) -> Result<u64, Stop> {
        let (id, answer) = self.order(order).await?;
        answer.map(|()| id).map_err(|why| Stop::Setup(Failure::new("a client that does as it is told", why)))
    }

    /// Lets the client connect; it is not waited for.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn start(&mut self, mut order: ConnectOrder) -> Result<u64, Stop> {
        (order.host, order.port) = self.door.address();
        self.must(Order::Connect(Box::new(order))).await
    }

    /// Lets the client publish.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it refuses.
    pub async fn say(&mut self, order: PublishOrder) -> Result<u64, Stop> {
        self.must(Order::Publish(Box::new(order))).await
    }

    /// Lets the client subscribe to one filter.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it refuses.
    pub async fn ask(&mut self, filter: &str, qos: u8) -> Result<u64, Stop> {
        let filters = vec![FilterOrder { filter: filter.to_owned(), qos, ..FilterOrder::default() }];
        self.must(Order::Subscribe(SubscribeOrder { filters, ..SubscribeOrder::default() })).await
    }

    /// Gives an order that the library need not take, if what it asks for is against the standard. Gives back what the
    /// client sent from then on until it had sent a later message of its application, or closed.
    ///
    /// # Errors
    /// If what it sends is no packet.
    pub async fn offer(&mut self, wire: &mut Wire, order: Order) -> Result<Vec<Packet>, Stop> {
        // What the library refuses, it must not send either.
        let _ = self.order(order).await?;
        self.until_sentinel(wire).await
    }

    /// Has the application publish a last message: gives back what the client sent before it, or before it closed, or
    /// was stuck. Messages are acknowledged.
    ///
    /// # Errors
    /// If what it sends is no packet.
    pub async fn until_sentinel(&mut self, wire: &mut Wire) -> Result<Vec<Packet>, Stop> {
        let sentinel = self.publish(SENTINEL, SENTINEL, 0);
        // A client that is offended by the order before may have closed.
        let _ = self.order(Order::Publish(Box::new(sentinel))).await?;
        let is_sentinel = |packet: &Packet| matches!(packet, Packet::Publish(publish) if publish.payload == SENTINEL);
        wire.settling_until(is_sentinel).await
    }

    /// Sees to it that the client has dealt with all that it was sent: it acknowledges one more message. Gives back what
    /// it sent before that and was not asked for.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not acknowledge.
    pub async fn dealt_with(&self, wire: &mut Wire) -> Result<Vec<Packet>, Stop> {
        let packet_identifier = Some(FENCE_IDENTIFIER);
        let (topic, qos) = (super::wire::text(FENCE), Qos::AtLeastOnce);
        wire.send_publish(Publish { topic, qos, packet_identifier, ..Publish::default() }).await.setup()?;
        let is_fence = |packet: &Packet| matches!(packet, Packet::Ack(ack) if ack.packet_identifier == FENCE_IDENTIFIER && ack.kind == AckKind::PubAck);
        wire.until("PUBACK for one more message", is_fence).await
    }

    /// Lets the client disconnect in good order.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it refuses.
    pub async fn leave(&mut self) -> Result<u64, Stop> {
        self.must(Order::Disconnect(DisconnectOrder::default())).await
    }

    // --- connections --------------------------------------------------------------------------------------------------

    /// The client's next connection, on which nothing has been read.
    ///
    /// # Errors
    /// If none comes.
    pub async fn accept(&mut self) -> Result<Wire, Failure> {
        let stream = self.connection().await?;
        Ok(self.wire(stream))
    }

    async fn connection(&mut self) -> Result<AnyStream, Failure> {
        let none = || Failure::new("a connection from the client", "none");
        tokio::time::timeout(self.patience, self.door.next()).await.ok().flatten().ok_or_else(none)
    }

    fn wire(&self, stream: AnyStream) -> Wire {
        let names: [Name; 2] = ["client".into(), "suite".into()];
        let [client, broker] = &names;
        Wire::new(&self.log, stream, self.version, Way::Down, [client, broker], self.patience)
    }

    /// Lets the client connect over WebSocket and takes its request to upgrade the connection.
    ///
    /// # Errors
    /// [`Stop::Skipped`] if the client has no WebSocket, [`Stop::Setup`] if no request comes.
    pub async fn upgrading(&mut self, order: ConnectOrder) -> Result<(Head, AnyStream, Bytes), Stop> {
        self.needs("websocket")?;
        self.start(ConnectOrder { websocket: Some("/mqtt".to_owned()), ..order }).await?;
        let mut stream = self.connection().await.setup()?;
        let head = tokio::time::timeout(self.patience, Head::read(&mut stream)).await;
        let head = head.unwrap_or_else(|_| Err("nothing".to_owned()));
        let (head, rest) = head.map_err(|why| Stop::Setup(Failure::new("a request to upgrade to WebSocket", why)))?;
        Ok((head, stream, rest))
    }

    /// Lets the client connect over WebSocket, and takes its CONNECT. What the suite sends is framed like this.
    ///
    /// # Errors
    /// [`Stop::Skipped`] if the client has no WebSocket, [`Stop::Setup`] if no CONNECT comes.
    pub async fn dialled_over_websocket(
        &mut self,
        order: ConnectOrder,
        framing: Framing,
    ) -> Result<(Wire, Frames), Stop> {
        let (request, mut stream, rest) = self.upgrading(order).await?;
        let answer = websocket::answer(&request, MQTT);
        let sent = websocket::send_head(&mut stream, &answer).await;
        sent.map_err(|error| Stop::Setup(Failure::new("a connection that stands", error.to_string())))?;
        let (stream, frames) = WebSocket::new(stream, &rest, End::Server, framing);
        let mut wire = self.wire(Box::new(stream));
        wire.connect().await.setup()?;
        Ok((wire, frames))
    }

    /// Lets the client connect, accepts it and takes its CONNECT. What answers is the case's matter.
    ///
    /// # Errors
    /// [`Stop::Setup`] if no CONNECT comes.
    pub async fn dialled(&mut self, order: ConnectOrder) -> Result<(Wire, Connect), Stop> {
        self.start(order).await?;
        self.connecting().await
    }

    /// Lets the client connect with what the library need not take. Gives back its CONNECT, if it sends one.
    ///
    /// # Errors
    /// If what it sends is no packet.
    pub async fn may_connect(&mut self, mut order: ConnectOrder) -> Result<Option<(Wire, Connect)>, Stop> {
        (order.host, order.port) = self.door.address();
        let (_, answer) = self.order(Order::Connect(Box::new(order))).await?;
        if answer.is_err() {
            return Ok(None);
        }
        let Ok(mut wire) = self.accept().await else { return Ok(None) };
        match wire.connect().await {
            Ok(connect) => Ok(Some((wire, connect))),
            Err(failure) if wire.is_garbled() => Err(failure.into()),
            Err(_) => Ok(None),
        }
    }

    /// Accepts the client's next connection and takes its CONNECT.
    ///
    /// # Errors
    /// [`Stop::Setup`] if none comes.
    pub async fn connecting(&mut self) -> Result<(Wire, Connect), Stop> {
        let mut wire = self.accept().await.setup()?;
        let connect = wire.connect().await.setup()?;
        Ok((wire, connect))
    }

    /// Lets the client connect and accepts it with a plain CONNACK.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not come in.
    pub async fn welcome(&mut self, order: ConnectOrder) -> Result<Wire, Stop> {
        self.welcome_with(order, false, Properties::new()).await
    }

    /// Lets the client connect and accepts it with this CONNACK.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not come in.
    pub async fn welcome_with(
        &mut self,
        order: ConnectOrder,
        session_present: bool,
        properties: Properties,
    ) -> Result<Wire, Stop> {
        let (mut wire, _) = self.dialled(order).await?;
        self.accepted(&mut wire, session_present, properties).await?;
        Ok(wire)
    }

    /// As [`Bench::welcome`]; the client subscribes to everything, so that whatever the suite sends is its business.
    ///
    /// # Errors
    /// [`Stop::Setup`] if that does not come about.
    pub async fn subscriber(&mut self, order: ConnectOrder) -> Result<Wire, Stop> {
        let mut wire = self.welcome(order).await?;
        self.subscribe_to_all(&mut wire).await?;
        Ok(wire)
    }

    /// Lets the client subscribe to everything, and grants it.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not ask.
    pub async fn subscribe_to_all(&mut self, wire: &mut Wire) -> Result<(), Stop> {
        self.ask("#", 2).await?;
        let subscribe = wire.subscribing().await.setup()?;
        wire.grant(&subscribe).await.setup()?;
        let told = |event: &Event| matches!(event, Event::Subscribed { .. }).then_some(());
        self.client.event("the SUBACK", self.patience, told).await.setup()
    }

    /// Cuts the connection, lets the client connect again to resume its session, and accepts it.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not come in.
    pub async fn resume(&mut self, wire: Wire, session_present: bool) -> Result<Wire, Stop> {
        self.cut(wire).await?;
        self.welcome_back(session_present).await
    }

    /// Cuts the connection and waits until the application knows.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it is not told.
    pub async fn cut(&mut self, wire: Wire) -> Result<(), Stop> {
        wire.cut().await;
        self.parted().await
    }

    /// Waits until the application knows that the connection has ended.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it is not told.
    pub async fn parted(&mut self) -> Result<(), Stop> {
        let ended = |event: &Event| matches!(event, Event::Disconnected { .. }).then_some(());
        self.client.event("the end of the connection", self.patience, ended).await.setup()
    }

    /// Lets the client connect again after its connection has ended, to resume its session, and accepts it.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not come in.
    pub async fn welcome_back(&mut self, session_present: bool) -> Result<Wire, Stop> {
        self.must(Order::Reconnect { clean_start: None }).await?;
        let (mut wire, _) = self.connecting().await?;
        self.accepted(&mut wire, session_present, Properties::new()).await?;
        Ok(wire)
    }

    /// Sends a CONNACK that accepts, and waits until the application knows.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it is not told.
    pub async fn accepted(
        &mut self,
        wire: &mut Wire,
        session_present: bool,
        properties: Properties,
    ) -> Result<(), Stop> {
        let connack = ConnAck { session_present, reason: Reason::Success, properties };
        wire.send(&Packet::ConnAck(connack)).await.setup()?;
        let connected = |event: &Event| matches!(event, Event::Connected { .. }).then_some(());
        self.client.event("the CONNACK", self.patience, connected).await.setup()
    }

    /// Demands that the client closes this connection. Gives back what came before.
    ///
    /// # Errors
    /// If it stays open.
    pub async fn closed(&self, wire: &mut Wire) -> Result<Vec<Packet>, Failure> {
        wire.closed().await
    }

    /// As [`Bench::closed`], where 5.0 leaves open how thoroughly to check, and asks a client only to close if it can:
    /// there, what the client lets pass is advice. 3.1.1 demands it [MQTT-4.8.0-1].
    ///
    /// # Errors
    /// If it stays open.
    pub async fn closed_if_checked(&self, wire: &mut Wire) -> Result<Vec<Packet>, Stop> {
        let closed = self.closed(wire).await;
        if self.is_v5() { closed.advisable() } else { Ok(closed?) }
    }

    // --- what the application is told ---------------------------------------------------------------------------------

    /// The next event that `wanted` takes; `expected` says in words what is waited for.
    ///
    /// # Errors
    /// If none comes.
    pub async fn event<T>(&mut self, expected: &str, wanted: impl FnMut(&Event) -> Option<T>) -> Result<T, Failure> {
        self.client.event(expected, self.patience, wanted).await
    }

    /// The next message that the application is told of.
    ///
    /// # Errors
    /// If none comes.
    pub async fn message(&mut self) -> Result<MessageEvent, Failure> {
        self.event("a message", |event| match event {
            Event::Message(message) => Some(message.as_ref().clone()),
            _ => None,
        })
        .await
    }

    /// All messages that the application was told of and that were not asked for, once it has been told of one more.
    ///
    /// # Errors
    /// If it is not told of that.
    pub async fn messages(&mut self, wire: &mut Wire) -> Result<Vec<MessageEvent>, Failure> {
        let topic = super::wire::text(SENTINEL);
        wire.send_publish(Publish { topic, payload: SENTINEL.into(), ..Publish::default() }).await?;
        let mut messages = Vec::new();
        loop {
            let message = self.message().await?;
            match message.topic.as_str() {
                SENTINEL => return Ok(messages),
                FENCE => {}
                _ => messages.push(message),
            }
        }
    }

    /// Events that nobody asked for yet, taken out.
    pub fn rest(&mut self) -> Vec<Event> {
        self.client.rest()
    }
}
