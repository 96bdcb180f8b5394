//! What a case for clients works with: the suite is the broker, the client is steered.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::relay::AnyStream;
use super::steered::Steered;
use super::steered::protocol::{
    Answer, ConnectOrder, DisconnectOrder, Event, FilterOrder, MessageEvent, Order, PublishOrder, SubscribeOrder,
};
use super::verdict::{Failure, Otherwise, Stop};
use super::wire::{Log, Wire};
use crate::codec::{ConnAck, Connect, Packet, Properties, Reason, Version};
use crate::trace::{Name, Way};

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
    connections: usize,
}

impl Bench {
    /// A bench for one case.
    pub fn new(client: Steered, door: Door, version: Version, log: Log, patience: Duration) -> Bench {
        Bench { client, door, version, log, patience, connections: 0 }
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
            version: if self.is_v5() { "5".to_owned() } else { "3.1.1".to_owned() },
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
        let none = || Failure::new("a connection from the client", "none");
        let stream = tokio::time::timeout(self.patience, self.door.next()).await.ok().flatten().ok_or_else(none)?;
        self.connections += 1;
        let names: [Name; 2] = ["client".into(), "suite".into()];
        let [client, broker] = &names;
        Ok(Wire::new(&self.log, stream, self.version, Way::Down, [client, broker], self.patience))
    }

    /// Lets the client connect, accepts it and takes its CONNECT. What answers is the case's matter.
    ///
    /// # Errors
    /// [`Stop::Setup`] if no CONNECT comes.
    pub async fn dialled(&mut self, order: ConnectOrder) -> Result<(Wire, Connect), Stop> {
        self.start(order).await?;
        self.connecting().await
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

    /// Lets the client connect again to resume its session, and accepts it.
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

    /// Events that nobody asked for yet, taken out.
    pub fn rest(&mut self) -> Vec<Event> {
        self.client.rest()
    }
}
