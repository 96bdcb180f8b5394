//! One connection, step by step.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{BenchError, Load};
use crate::codec::{
    Ack, AckKind, Connect, Disconnect, Packet, PacketIdentifier, PacketRef, Properties, Property, Publish, Qos, Reader,
    Reason, Subscribe, Subscription, SubscriptionOptions, Text, Value, Version, decode, encode,
};
use crate::live::dial::{BoxedStream, Url};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to close behind a DISCONNECT.
const LINGER: Duration = Duration::from_millis(200);
/// How many filters stand in one SUBSCRIBE, and retained messages are on their way at once.
const AT_ONCE: usize = 16;
/// How long a session lasts whose connection is gone, in seconds.
const LASTING: Value = Value::Four(60);
/// The largest packet that there can be.
const PACKET_MAXIMUM: u32 = 268_435_460;

/// A connection that the broker has accepted.
pub(super) struct Peer {
    pub(super) stream: BoxedStream,
    pub(super) reader: Reader,
    version: Version,
    qos: Qos,
    url: Url,
    /// How many QoS 1 and 2 messages the broker takes at once.
    pub(super) receive_maximum: u16,
}

/// A string that is known to be one for MQTT, as far as its maker took care.
pub(super) fn text(string: &str) -> Result<Text, BenchError> {
    Text::try_from(string).map_err(|error| BenchError::Refused(format!("{string:?}: {error}")))
}

impl Peer {
    /// Connects under an identifier of this run, to a new session that ends with the connection.
    pub(super) async fn join(load: &Load, id: &str) -> Result<Peer, BenchError> {
        Peer::connect(load, id, true).await
    }

    /// Connects under an identifier of this run. A session that lasts is ended by [`Peer::join`]; in 5.0 by its time, too.
    pub(super) async fn connect(load: &Load, id: &str, clean_start: bool) -> Result<Peer, BenchError> {
        let Load { url, version, .. } = load;
        let dialled = timeout(PATIENCE, load.dialer.dial(url)).await;
        let stream = match dialled {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.raw_os_error() == Some(24) => {
                let what = "this program may not have more connections: raise its limit with ulimit -n";
                return Err(BenchError::Refused(what.to_owned()));
            }
            Ok(Err(error)) => return Err(BenchError::Gone(format!("{url} cannot be reached: {error}"))),
            Err(_) => return Err(BenchError::Gone(format!("{url} cannot be reached: it takes too long"))),
        };
        let reader = Reader::new(PACKET_MAXIMUM);
        let (qos, url) = (load.qos, url.clone());
        let mut peer = Peer { stream, reader, version: *version, qos, url, receive_maximum: u16::MAX };
        let properties = match version {
            Version::V5 if !clean_start => Properties::new().with(Property::SessionExpiryInterval, LASTING),
            _ => Properties::new(),
        };
        let connect = Connect {
            version: *version,
            clean_start,
            // Longer than it runs; rumqttd closes the connection of who asks for none.
            keep_alive: u16::MAX,
            client_id: text(&format!("{}-{id}", load.name))?,
            will: None,
            username: load.url.username.as_deref().map(text).transpose()?,
            password: load.url.password.clone().map(Bytes::from),
            properties,
        };
        peer.send(&Packet::Connect(Box::new(connect))).await?;
        match peer.receive().await? {
            Packet::ConnAck(answer) if answer.reason == Reason::Success => {
                peer.receive_maximum = answer.properties.receive_maximum().unwrap_or(u16::MAX);
                Ok(peer)
            }
            Packet::ConnAck(answer) => Err(peer.refusal(&format!("the connection: {}", answer.reason))),
            other => Err(peer.refusal(&format!("the connection, with {}", other.packet_type()))),
        }
    }

    fn refusal(&self, what: &str) -> BenchError {
        BenchError::Refused(format!("{} refuses {what}", self.url))
    }

    fn gone(&self, why: impl std::fmt::Display) -> BenchError {
        BenchError::Gone(format!("{} is gone: {why}", self.url))
    }

    async fn send(&mut self, packet: &Packet) -> Result<(), BenchError> {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).map_err(|error| BenchError::Refused(error.to_string()))?;
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let written = write.await;
        written.map_err(|error| self.gone(error))
    }

    async fn receive(&mut self) -> Result<Packet, BenchError> {
        loop {
            match self.reader.next_frame() {
                Ok(Some(frame)) => return decode(self.version, &frame).map_err(|error| self.gone(error)),
                Ok(None) => self.read().await?,
                Err(error) => return Err(self.gone(error)),
            }
        }
    }

    async fn read(&mut self) -> Result<(), BenchError> {
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        match timeout(PATIENCE, self.stream.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => Err(self.gone("it closed the connection")),
            Ok(Ok(_)) => {
                self.reader.feed(buffer.freeze());
                Ok(())
            }
            Ok(Err(error)) => Err(self.gone(error)),
            Err(_) => Err(self.gone("it does not answer")),
        }
    }

    /// Subscribes to all of these.
    pub(super) async fn subscribe(&mut self, filters: &[String]) -> Result<(), BenchError> {
        for some in filters.chunks(AT_ONCE) {
            self.ask(some).await?;
            match self.receive().await? {
                Packet::SubAck(answer) if answer.reasons.iter().all(|reason| reason.code() < 0x80) => {}
                _ => return Err(self.refusal(&format!("the subscription to {} …", some[0]))),
            }
        }
        Ok(())
    }

    async fn ask(&mut self, filters: &[String]) -> Result<(), BenchError> {
        let options = SubscriptionOptions { qos: self.qos, ..SubscriptionOptions::default() };
        let subscriptions = filters.iter().map(|filter| Ok(Subscription { filter: text(filter)?, options }));
        let subscriptions = subscriptions.collect::<Result<_, BenchError>>()?;
        let packet_identifier = PacketIdentifier::MIN;
        self.send(&Packet::Subscribe(Subscribe { packet_identifier, properties: Properties::new(), subscriptions }))
            .await
    }

    /// Publishes a retained message to each topic, and waits until the broker has all of them.
    pub(super) async fn retain(&mut self, topics: &[String], payload: &[u8]) -> Result<(), BenchError> {
        let payload = Bytes::copy_from_slice(payload);
        for some in topics.chunks(AT_ONCE) {
            let mut bytes = Vec::new();
            for (topic, number) in some.iter().zip(1..) {
                let publish = Publish {
                    qos: Qos::AtLeastOnce,
                    retain: true,
                    topic: text(topic)?,
                    packet_identifier: PacketIdentifier::new(number),
                    payload: payload.clone(),
                    ..Publish::default()
                };
                let encoded = encode(&Packet::Publish(publish), self.version, &mut bytes);
                encoded.map_err(|error| BenchError::Refused(error.to_string()))?;
            }
            self.write(&bytes).await?;
            for _ in some {
                match self.receive().await? {
                    Packet::Ack(ack) if ack.reason.code() < 0x80 => {}
                    _ => return Err(self.refusal("a retained message")),
                }
            }
        }
        Ok(())
    }

    /// Subscribes, and reads so many retained messages; how many came before the broker fell silent.
    pub(super) async fn read_retained(&mut self, filter: &str, count: usize) -> Result<u64, BenchError> {
        self.ask(&[filter.to_owned()]).await?;
        let (mut heard, mut acks) = (0, Vec::new());
        while heard < count as u64 {
            loop {
                let packet = match self.reader.next_packet(self.version) {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => return Err(BenchError::Gone(format!("{} is gone: {error}", self.url))),
                };
                match packet {
                    PacketRef::Publish(publish) => {
                        heard += u64::from(publish.retain);
                        answer(publish.qos, publish.packet_identifier, self.version, &mut acks);
                    }
                    PacketRef::Ack(ack) if ack.kind == AckKind::PubRel => {
                        put_ack(AckKind::PubComp, ack.packet_identifier, self.version, &mut acks);
                    }
                    _ => {}
                }
            }
            if !acks.is_empty() {
                let bytes = std::mem::take(&mut acks);
                self.write(&bytes).await?;
            }
            if heard < count as u64 && self.read().await.is_err() {
                break;
            }
        }
        Ok(heard)
    }

    /// Says goodbye, and waits a moment for the broker to close: it is its end that then remembers the connection.
    pub(super) async fn leave(mut self) {
        if self.send(&Packet::Disconnect(Disconnect::new(Reason::Success))).await.is_ok() {
            let mut scrap = [0; 1024];
            let closed = async { while self.stream.read(&mut scrap).await.is_ok_and(|length| length > 0) {} };
            let _ = timeout(LINGER, closed).await;
        }
    }
}

/// Appends the answer to a PUBLISH, if it asks for one.
pub(super) fn answer(qos: Qos, id: Option<PacketIdentifier>, version: Version, out: &mut Vec<u8>) {
    match (qos, id) {
        (Qos::AtLeastOnce, Some(id)) => put_ack(AckKind::PubAck, id, version, out),
        (Qos::ExactlyOnce, Some(id)) => put_ack(AckKind::PubRec, id, version, out),
        _ => {}
    }
}

/// Appends an ack.
pub(super) fn put_ack(kind: AckKind, id: PacketIdentifier, version: Version, out: &mut Vec<u8>) {
    // An ack without reason and properties can always be written.
    let _ = encode(&Packet::Ack(Ack::new(kind, id, Reason::Success)), version, out);
}
