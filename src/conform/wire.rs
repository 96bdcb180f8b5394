//! The suite's end of one connection. Packets that come are kept until a case asks for them, so that none is lost by
//! coming early, and how the stream is cut into segments does not matter.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::relay::AnyStream;
use super::verdict::{Failure, Stop};
use crate::codec::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, PacketIdentifier, Properties, Publish, Qos, Reader,
    Reason, SubAck, Subscribe, Subscription, SubscriptionOptions, Text, UnsubAck, Unsubscribe, Version, decode, encode,
};
use crate::link::{Cause, LinkId};
use crate::time::Time;
use crate::trace::{Event, Name, Recorder, Way, describe};

/// What a case sees and does, for its report and for the rules. Shared by all its connections.
#[derive(Clone, Debug)]
pub struct Log {
    recorder: Rc<RefCell<Recorder>>,
    start: Instant,
    links: Rc<RefCell<u64>>,
}

impl Log {
    /// Nothing has happened yet.
    #[allow(clippy::new_without_default, clippy::disallowed_methods)] // Simulated where tokio's clock is paused.
    pub fn new() -> Log {
        Log { recorder: Rc::default(), start: Instant::now(), links: Rc::default() }
    }

    /// What happened so far, taken out.
    pub fn take(&self) -> Vec<Event> {
        self.recorder.borrow_mut().take()
    }

    /// Only this has happened, and what comes after it.
    pub fn put_back(&self, trace: Vec<Event>) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.take();
        trace.into_iter().for_each(|event| recorder.note(event.time, event.what));
    }

    /// How long it has been kept.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn now(&self) -> Time {
        Time::after(self.elapsed())
    }

    fn dialled(&self, client: &Name, broker: &Name) -> LinkId {
        let mut links = self.links.borrow_mut();
        *links += 1;
        let link = LinkId(*links);
        self.recorder.borrow_mut().dialled(link, client, broker);
        self.recorder.borrow_mut().opened(self.now(), link);
        link
    }

    fn left(&self, link: LinkId, way: Way, bytes: Bytes) {
        self.recorder.borrow_mut().left(self.now(), link, way, bytes);
    }

    fn arrived(&self, link: LinkId, way: Way, bytes: Bytes) {
        self.recorder.borrow_mut().arrived(self.now(), link, way, bytes);
    }

    fn closed(&self, link: LinkId, way: Way, cause: Cause) {
        self.recorder.borrow_mut().closed(self.now(), link, way, cause);
    }
}

/// So many packets are named that came instead of what was expected.
const SHOWN_PACKETS: usize = 5;
/// What the topics of all cases begin with; a level of the case's own follows.
pub(super) const TOPICS: &str = "simrun/";
/// How long the other side may still take to close after it has answered what came later.
const GRACE: Duration = Duration::from_secs(1);

/// One connection, seen from the suite.
pub struct Wire {
    log: Log,
    link: LinkId,
    /// The way in which the suite sends: up where it plays the client.
    way: Way,
    version: Version,
    stream: AnyStream,
    reader: Reader,
    /// What came and was not asked for yet.
    inbox: VecDeque<Packet>,
    /// What the topics of this case begin with, where others run beside it.
    topics: Option<String>,
    /// Whether what is no packet is passed over.
    hears_all: bool,
    /// What it ended with.
    end: Option<End>,
    patience: Duration,
    last_identifier: u16,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The other side closed it.
    Closed,
    /// Bytes came that are no packet.
    Garbage { what: String, frame: Bytes },
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the suite's end of {}", self.link)
    }
}

impl Wire {
    /// A new connection between these two; `way` is the one in which the suite sends.
    pub fn new(
        log: &Log,
        stream: AnyStream,
        version: Version,
        way: Way,
        names: [&Name; 2],
        patience: Duration,
    ) -> Wire {
        let [client, broker] = names;
        Wire {
            log: log.clone(),
            link: log.dialled(client, broker),
            way,
            version,
            stream,
            reader: Reader::new(u32::MAX),
            inbox: VecDeque::new(),
            topics: None,
            hears_all: false,
            end: None,
            patience,
            last_identifier: 0,
        }
    }

    /// The same for a case whose topics begin like this: messages of other cases are not heard.
    pub(super) fn hearing(self, topics: String) -> Wire {
        Wire { topics: Some(topics), ..self }
    }

    /// From now on it hears what all cases publish, those too that publish what is no packet: a broker that passes it on is
    /// told of there.
    pub(super) fn hear_all(&mut self) {
        self.hears_all = true;
    }

    /// The protocol version that it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The name of the connection in the log.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// From now on it waits so long for what must come.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    // --- what is sent -------------------------------------------------------------------------------------------------

    /// Sends a packet.
    ///
    /// # Errors
    /// If the connection is gone.
    ///
    /// # Panics
    /// If the standard forbids the packet: those are sent as bytes.
    pub async fn send(&mut self, packet: &Packet) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        #[allow(clippy::expect_used)]
        encode(packet, self.version, &mut bytes).expect("cases send as bytes what the standard forbids");
        self.send_bytes(bytes).await
    }

    /// Sends bytes that need not be a packet; one call is one packet for the log.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), Failure> {
        let bytes = bytes.into();
        self.log.left(self.link, self.way, bytes.clone());
        self.write(&bytes).await
    }

    /// Sends the bytes of one packet in segments of one byte, two, four and so on.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_in_segments(&mut self, packet: impl Into<Bytes>) -> Result<(), Failure> {
        let mut packet = packet.into();
        self.log.left(self.link, self.way, packet.clone());
        let mut len = 1;
        while !packet.is_empty() {
            let segment = packet.split_to(len.min(packet.len()));
            self.write(&segment).await?;
            len *= 2;
        }
        Ok(())
    }

    /// Sends the bytes of several packets in one segment.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_together(&mut self, packets: &[Vec<u8>]) -> Result<(), Failure> {
        for packet in packets {
            self.log.left(self.link, self.way, packet.clone().into());
        }
        self.write(&packets.concat()).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|_| Failure::new("a connection that stands", "the other side had closed it"))
    }

    /// What came that is no packet, if anything did, in words.
    pub fn garbage(&self) -> Option<&str> {
        match &self.end {
            Some(End::Garbage { what, .. }) => Some(what),
            _ => None,
        }
    }

    /// For a packet that must have one of its codes: with another one it is no packet, and that is a failure. That none came
    /// belongs to the set-up.
    ///
    /// # Errors
    /// [`Stop::Failed`] after garbage, else [`Stop::Setup`].
    pub fn or_garbage<T>(&self, came: Result<T, Failure>) -> Result<T, Stop> {
        came.map_err(if self.garbage().is_some() { Stop::Failed } else { Stop::Setup })
    }

    /// The CONNACK of 5.0 that refuses, if that is what came in place of a packet of this version.
    pub fn refusal_of_5_0(&self) -> Option<ConnAck> {
        let Some(End::Garbage { frame, .. }) = &self.end else { return None };
        match decode(Version::V5, frame) {
            Ok(Packet::ConnAck(connack)) if connack.reason.is_error() => Some(connack),
            _ => None,
        }
    }

    /// Sends a packet byte by byte.
    ///
    /// # Errors
    /// If the connection is gone.
    ///
    /// # Panics
    /// If the standard forbids the packet.
    pub async fn send_byte_by_byte(&mut self, packet: &Packet) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        #[allow(clippy::expect_used)]
        encode(packet, self.version, &mut bytes).expect("cases send as bytes what the standard forbids");
        self.log.left(self.link, self.way, bytes.clone().into());
        for byte in bytes {
            let sent = async {
                self.stream.write_all(&[byte]).await?;
                self.stream.flush().await
            };
            sent.await.map_err(|_| Failure::new("a connection that stands", "the other side had closed it"))?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Sends bytes that the other side need not take: it may have closed already.
    pub async fn try_send_bytes(&mut self, bytes: impl Into<Bytes>) {
        let _ = self.send_bytes(bytes).await;
    }

    /// Sends a packet that the other side need not take: it may have closed already.
    ///
    /// # Panics
    /// If the standard forbids the packet.
    pub async fn try_send(&mut self, packet: &Packet) {
        let _ = self.send(packet).await;
    }

    /// A packet identifier that was not used on this connection yet.
    pub fn fresh_identifier(&mut self) -> PacketIdentifier {
        self.last_identifier += 1;
        PacketIdentifier::new(self.last_identifier).unwrap_or(PacketIdentifier::MIN)
    }

    /// Sends a PUBLISH; from QoS 1 on with a fresh packet identifier if it has none, which is given back.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_publish(&mut self, mut publish: Publish) -> Result<Option<PacketIdentifier>, Failure> {
        if publish.qos > Qos::AtMostOnce && publish.packet_identifier.is_none() {
            publish.packet_identifier = Some(self.fresh_identifier());
        }
        let identifier = publish.packet_identifier;
        self.send(&Packet::Publish(publish)).await?;
        Ok(identifier)
    }

    /// Sends a PUBLISH and sees it through: PUBACK, or PUBREC, PUBREL and PUBCOMP. Gives back the reason code of the
    /// first answer.
    ///
    /// # Errors
    /// If the exchange does not come to its end.
    pub async fn publish(&mut self, publish: Publish) -> Result<Reason, Failure> {
        let qos = publish.qos;
        let Some(identifier) = self.send_publish(publish).await? else { return Ok(Reason::Success) };
        match qos {
            Qos::AtMostOnce => Ok(Reason::Success),
            Qos::AtLeastOnce => Ok(self.ack(AckKind::PubAck, identifier).await?.reason),
            Qos::ExactlyOnce => {
                let reason = self.ack(AckKind::PubRec, identifier).await?.reason;
                if !reason.is_error() {
                    self.send_ack(AckKind::PubRel, identifier).await?;
                    self.ack(AckKind::PubComp, identifier).await?;
                }
                Ok(reason)
            }
        }
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP with reason code 0.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_ack(&mut self, kind: AckKind, identifier: PacketIdentifier) -> Result<(), Failure> {
        self.send_ack_with(kind, identifier, Reason::Success).await
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP with this reason code (5.0).
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_ack_with(
        &mut self,
        kind: AckKind,
        identifier: PacketIdentifier,
        reason: Reason,
    ) -> Result<(), Failure> {
        self.send(&Packet::Ack(Ack::new(kind, identifier, reason))).await
    }

    /// Subscribes to one filter and takes its SUBACK.
    ///
    /// # Errors
    /// If no SUBACK comes, or it refuses.
    pub async fn subscribe(&mut self, filter: impl AsRef<str>, qos: Qos) -> Result<(), Failure> {
        self.subscribe_with(filter, SubscriptionOptions { qos, ..SubscriptionOptions::default() }).await
    }

    /// Subscribes to one filter with these options and takes its SUBACK.
    ///
    /// # Errors
    /// If no SUBACK comes, or it refuses.
    pub async fn subscribe_with(
        &mut self,
        filter: impl AsRef<str>,
        options: SubscriptionOptions,
    ) -> Result<(), Failure> {
        let suback = self.ask(&[(filter.as_ref(), options)], Properties::new()).await?;
        match suback.reasons.as_slice() {
            [reason] if !reason.is_error() => Ok(()),
            reasons => Err(Failure::new("a SUBACK that grants the subscription", words(reasons))),
        }
    }

    /// Sends a SUBSCRIBE and takes its SUBACK, whatever it says.
    ///
    /// # Errors
    /// If no SUBACK comes.
    pub async fn ask(
        &mut self,
        filters: &[(&str, SubscriptionOptions)],
        properties: Properties,
    ) -> Result<SubAck, Failure> {
        let packet_identifier = self.fresh_identifier();
        let subscriptions =
            filters.iter().map(|(filter, options)| Subscription { filter: text(filter), options: *options }).collect();
        self.send(&Packet::Subscribe(Subscribe { packet_identifier, properties, subscriptions })).await?;
        self.suback(packet_identifier).await
    }

    /// Sends an UNSUBSCRIBE and takes its UNSUBACK.
    ///
    /// # Errors
    /// If no UNSUBACK comes.
    pub async fn unsubscribe(&mut self, filters: &[&str]) -> Result<UnsubAck, Failure> {
        let packet_identifier = self.fresh_identifier();
        let filters = filters.iter().map(|filter| text(filter)).collect();
        let properties = Properties::new();
        self.send(&Packet::Unsubscribe(Unsubscribe { packet_identifier, properties, filters })).await?;
        self.unsuback(packet_identifier).await
    }

    /// Sends PINGREQ and takes PINGRESP: whatever was answered before it is here now.
    ///
    /// # Errors
    /// If none comes.
    pub async fn ping(&mut self) -> Result<(), Failure> {
        self.send(&Packet::PingReq).await?;
        self.pingresp().await
    }

    /// Leaves in good order: DISCONNECT with this reason code, and waits for the other side to close.
    ///
    /// # Errors
    /// If the connection is gone, or is not closed.
    pub async fn leave_with(&mut self, disconnect: Disconnect) -> Result<(), Failure> {
        self.send(&Packet::Disconnect(disconnect)).await?;
        // Whether it closes is a statement of its own; here it only shows that the DISCONNECT has been read.
        self.drop_end().await;
        Ok(())
    }

    /// Leaves in good order: DISCONNECT, and waits for the other side to close.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn leave(&mut self) -> Result<(), Failure> {
        self.leave_with(Disconnect::new(Reason::Success)).await
    }

    /// Ends the connection without a DISCONNECT, and waits until the other side has seen it.
    pub async fn cut(mut self) {
        self.drop_end().await;
    }

    async fn drop_end(&mut self) {
        let _ = self.stream.shutdown().await;
        self.log.closed(self.link, self.way, Cause::Asked);
        let until = deadline(self.patience.min(Duration::from_secs(2)));
        while self.end.is_none() && self.read_until(until).await {}
    }

    // --- what comes ---------------------------------------------------------------------------------------------------

    /// The first packet that `wanted` takes, now or within the patience; others are kept for later. `expected` says in
    /// words what it waits for.
    ///
    /// # Errors
    /// If none comes.
    pub async fn expect<T>(
        &mut self,
        expected: &str,
        mut wanted: impl FnMut(&Packet) -> Option<T>,
    ) -> Result<T, Failure> {
        let until = deadline(self.patience);
        let mut looked_at = 0;
        loop {
            while looked_at < self.inbox.len() {
                if let Some(found) = wanted(&self.inbox[looked_at]) {
                    self.inbox.remove(looked_at);
                    return Ok(found);
                }
                looked_at += 1;
            }
            if self.end.is_some() || !self.read_until(until).await {
                return Err(Failure::new(expected, self.instead()));
            }
        }
    }

    /// The next packet, whatever it is.
    ///
    /// # Errors
    /// If none comes.
    pub async fn next(&mut self, expected: &str) -> Result<Packet, Failure> {
        self.expect(expected, |packet| Some(packet.clone())).await
    }

    /// All packets that come before the first that is wanted, which is taken out too, or before the other side closes.
    ///
    /// # Errors
    /// If bytes come that are no packet. [`Stop::Setup`] if neither comes.
    pub(super) async fn until(&mut self, what: &str, wanted: impl Fn(&Packet) -> bool) -> Result<Vec<Packet>, Stop> {
        let until = deadline(self.patience);
        loop {
            if let Some(place) = self.inbox.iter().position(&wanted) {
                let before = self.inbox.drain(..place).collect();
                self.inbox.pop_front();
                return Ok(before);
            }
            if self.end.is_none() && self.read_until(until).await {
                continue;
            }
            return match self.end {
                Some(End::Closed) => Ok(self.rest()),
                Some(End::Garbage { .. }) => Err(Failure::new("packets", self.instead()).into()),
                None => Err(Stop::Setup(Failure::new(what, self.instead()))),
            };
        }
    }

    /// The next CONNACK.
    ///
    /// # Errors
    /// If none comes.
    pub async fn connack(&mut self) -> Result<ConnAck, Failure> {
        self.expect("CONNACK", |packet| match packet {
            Packet::ConnAck(connack) => Some(connack.clone()),
            _ => None,
        })
        .await
    }

    /// The next CONNECT (where the suite plays the broker). From then on the version is the one it asks for.
    ///
    /// # Errors
    /// If none comes.
    pub async fn connect(&mut self) -> Result<Connect, Failure> {
        let connect = self
            .expect("CONNECT", |packet| match packet {
                Packet::Connect(connect) => Some(connect.as_ref().clone()),
                _ => None,
            })
            .await?;
        self.version = connect.version;
        Ok(connect)
    }

    /// The next PUBLISH. It is not acknowledged: see [`Wire::settle`].
    ///
    /// # Errors
    /// If none comes.
    pub async fn message(&mut self) -> Result<Publish, Failure> {
        self.expect("PUBLISH", |packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    /// The next PUBLISH with this payload, whatever else comes; it and all PUBLISH before it are acknowledged.
    /// Gives back all of them in order, this one last: what was to be fenced off lies before it.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn messages_until(&mut self, payload: &[u8]) -> Result<Vec<Publish>, Failure> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().await.map_err(|failure| {
                let expected = format!("PUBLISH with payload {:?}", String::from_utf8_lossy(payload));
                Failure::new(expected, failure.actual)
            })?;
            self.settle(&message).await?;
            let last = message.payload == payload;
            messages.push(message);
            if last {
                return Ok(messages);
            }
        }
    }

    /// The next PUBLISH, acknowledged in full.
    ///
    /// # Errors
    /// If none comes.
    pub async fn take_message(&mut self) -> Result<Publish, Failure> {
        let message = self.message().await?;
        self.settle(&message).await?;
        Ok(message)
    }

    /// Acknowledges a PUBLISH in full: PUBACK, or PUBREC and, after PUBREL, PUBCOMP.
    ///
    /// # Errors
    /// If the exchange does not come to its end.
    pub async fn settle(&mut self, publish: &Publish) -> Result<(), Failure> {
        let Some(identifier) = publish.packet_identifier else { return Ok(()) };
        if publish.qos == Qos::AtLeastOnce {
            return self.send_ack(AckKind::PubAck, identifier).await;
        }
        self.send_ack(AckKind::PubRec, identifier).await?;
        self.ack(AckKind::PubRel, identifier).await?;
        self.send_ack(AckKind::PubComp, identifier).await
    }

    /// The next PUBACK, PUBREC, PUBREL or PUBCOMP for this packet identifier.
    ///
    /// # Errors
    /// If none comes.
    pub async fn ack(&mut self, kind: AckKind, identifier: PacketIdentifier) -> Result<Ack, Failure> {
        self.expect(&format!("{} for packet identifier {identifier}", kind.packet_type()), |packet| match packet {
            Packet::Ack(ack) if ack.kind == kind && ack.packet_identifier == identifier => Some(ack.clone()),
            _ => None,
        })
        .await
    }

    /// The SUBACK for this packet identifier.
    ///
    /// # Errors
    /// If none comes.
    pub async fn suback(&mut self, identifier: PacketIdentifier) -> Result<SubAck, Failure> {
        self.expect(&format!("SUBACK for packet identifier {identifier}"), |packet| match packet {
            Packet::SubAck(suback) if suback.packet_identifier == identifier => Some(suback.clone()),
            _ => None,
        })
        .await
    }

    /// The UNSUBACK for this packet identifier.
    ///
    /// # Errors
    /// If none comes.
    pub async fn unsuback(&mut self, identifier: PacketIdentifier) -> Result<UnsubAck, Failure> {
        self.expect(&format!("UNSUBACK for packet identifier {identifier}"), |packet| match packet {
            Packet::UnsubAck(unsuback) if unsuback.packet_identifier == identifier => Some(unsuback.clone()),
            _ => None,
        })
        .await
    }

    /// The next SUBSCRIBE (where the suite plays the broker). It is not answered: see [`Wire::grant`].
    ///
    /// # Errors
    /// If none comes.
    pub async fn subscribing(&mut self) -> Result<Subscribe, Failure> {
        self.expect("SUBSCRIBE", |packet| match packet {
            Packet::Subscribe(subscribe) => Some(subscribe.clone()),
            _ => None,
        })
        .await
    }

    /// Answers a SUBSCRIBE with the QoS that it asks for.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn grant(&mut self, subscribe: &Subscribe) -> Result<(), Failure> {
        let granted = |subscription: &Subscription| match subscription.options.qos {
            Qos::AtMostOnce => Reason::Success,
            Qos::AtLeastOnce => Reason::GrantedQos1,
            Qos::ExactlyOnce => Reason::GrantedQos2,
        };
        let reasons = subscribe.subscriptions.iter().map(granted).collect();
        let packet_identifier = subscribe.packet_identifier;
        self.send(&Packet::SubAck(SubAck { packet_identifier, properties: Properties::new(), reasons })).await
    }

    /// The next UNSUBSCRIBE (where the suite plays the broker).
    ///
    /// # Errors
    /// If none comes.
    pub async fn unsubscribing(&mut self) -> Result<Unsubscribe, Failure> {
        self.expect("UNSUBSCRIBE", |packet| match packet {
            Packet::Unsubscribe(unsubscribe) => Some(unsubscribe.clone()),
            _ => None,
        })
        .await
    }

    /// Answers an UNSUBSCRIBE.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn end(&mut self, unsubscribe: &Unsubscribe) -> Result<(), Failure> {
        let count = if self.version == Version::V5 { unsubscribe.filters.len() } else { 0 };
        let (packet_identifier, reasons) = (unsubscribe.packet_identifier, vec![Reason::Success; count]);
        self.send(&Packet::UnsubAck(UnsubAck { packet_identifier, properties: Properties::new(), reasons })).await
    }

    /// All packets that come before the first that is wanted, or before the other side closes, or before it says no more
    /// for as long as this side is patient. Messages are acknowledged as they come: some clients send one at a time.
    ///
    /// # Errors
    /// If bytes come that are no packet.
    pub(super) async fn settling_until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<Vec<Packet>, Stop> {
        let (mut before, mut received) = (Vec::new(), Vec::new());
        loop {
            let packet = match self.next("a further packet").await {
                Ok(packet) => packet,
                Err(failure) if self.is_garbled() => return Err(failure.into()),
                Err(_) => return Ok(before),
            };
            if wanted(&packet) {
                return Ok(before);
            }
            // An end that is gone is seen by whoever reads.
            match &packet {
                Packet::Publish(Publish { qos: Qos::AtLeastOnce, packet_identifier: Some(id), .. }) => {
                    let _ = self.send_ack(AckKind::PubAck, *id).await;
                }
                Packet::Publish(Publish { qos: Qos::ExactlyOnce, packet_identifier: Some(id), .. }) => {
                    received.push(*id);
                    let _ = self.send_ack(AckKind::PubRec, *id).await;
                }
                Packet::Ack(ack) if ack.kind == AckKind::PubRel => {
                    let _ = self.send_ack(AckKind::PubComp, ack.packet_identifier).await;
                    if received.contains(&ack.packet_identifier) {
                        continue;
                    }
                }
                _ => {}
            }
            before.push(packet);
        }
    }

    /// The next PINGRESP.
    ///
    /// # Errors
    /// If none comes.
    pub async fn pingresp(&mut self) -> Result<(), Failure> {
        self.expect("PINGRESP", |packet| matches!(packet, Packet::PingResp).then_some(())).await
    }

    /// The next AUTH (5.0).
    ///
    /// # Errors
    /// If none comes.
    pub async fn auth(&mut self) -> Result<Auth, Failure> {
        self.expect("AUTH", |packet| match packet {
            Packet::Auth(auth) => Some(auth.clone()),
            _ => None,
        })
        .await
    }

    /// The next DISCONNECT.
    ///
    /// # Errors
    /// If none comes.
    pub async fn disconnect(&mut self) -> Result<Disconnect, Failure> {
        self.expect("DISCONNECT", |packet| match packet {
            Packet::Disconnect(disconnect) => Some(disconnect.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the other side closes the connection (not much longer once it has answered a PINGREQ), and gives back all packets that came before and were not asked
    /// for. To be used through `Lab::closed` and `Bench::closed`, which see that the target is alive.
    ///
    /// # Errors
    /// If it stays open.
    pub(super) async fn closed(&mut self) -> Result<Vec<Packet>, Failure> {
        let mut until = deadline(self.patience);
        while self.end.is_none() {
            if !self.read_until(until).await {
                return Err(Failure::new("the connection closed", self.instead()));
            }
            if matches!(self.inbox.back(), Some(Packet::PingResp)) {
                until = until.min(deadline(GRACE));
            }
        }
        Ok(self.inbox.drain(..).collect())
    }

    /// What has come so far and was not asked for, taken out.
    pub fn rest(&mut self) -> Vec<Packet> {
        self.inbox.drain(..).collect()
    }

    /// Reads whatever comes for a while, so that it can be looked at with [`Wire::rest`]. Where something must not come,
    /// fence instead; this is for what time alone shows.
    pub async fn listen(&mut self, span: Duration) {
        let until = deadline(span);
        while self.end.is_none() && self.read_until(until).await {}
        if self.end.is_some() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Whether the other side has closed the connection, for all that was read.
    pub fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// Whether bytes have come that are no packet.
    pub fn is_garbled(&self) -> bool {
        matches!(self.end, Some(End::Garbage { .. }))
    }

    /// Reads once; false if nothing came by then.
    async fn read_until(&mut self, until: Instant) -> bool {
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        match timeout_at(until, self.stream.read_buf(&mut buffer)).await {
            Err(_) => false,
            Ok(Ok(1..)) => {
                self.arrived(buffer.freeze());
                true
            }
            Ok(Ok(0) | Err(_)) => {
                self.log.closed(self.link, self.way.back(), Cause::End);
                self.end = Some(End::Closed);
                true
            }
        }
    }

    fn arrived(&mut self, bytes: Bytes) {
        self.log.arrived(self.link, self.way.back(), bytes.clone());
        self.reader.feed(bytes);
        loop {
            let (frame, packet) = match self.reader.next_frame() {
                Ok(Some(frame)) => (frame.clone(), decode(self.version, &frame)),
                Ok(None) => return,
                Err(malformed) => (Bytes::new(), Err(malformed)),
            };
            match packet {
                Ok(packet) if self.is_astray(&packet) => {}
                Ok(packet) => self.inbox.push_back(packet),
                Err(_) if self.hears_all && !frame.is_empty() => {}
                Err(malformed) => {
                    self.end = Some(End::Garbage { what: malformed.fault.words().to_owned(), frame });
                    return;
                }
            }
        }
    }

    /// Whether it is a message of another case: a broker that sends it breaks a statement, which a rule sees, and does not
    /// disturb this case.
    fn is_astray(&self, packet: &Packet) -> bool {
        let (Packet::Publish(publish), Some(own)) = (packet, &self.topics) else { return false };
        let topic = publish.topic.as_str();
        topic.starts_with(TOPICS) && topic.matches('/').count() > 1 && !topic.starts_with(own.as_str())
    }

    /// What there is instead of what was expected, in words.
    fn instead(&self) -> String {
        let mut words: Vec<String> = self.inbox.iter().take(SHOWN_PACKETS).map(describe).collect();
        if let more @ 1.. = self.inbox.len() - words.len() {
            words.push(format!("{more} more packets"));
        }
        let words = words.join(", then ");
        let end = match &self.end {
            Some(End::Closed) => "the connection was closed".to_owned(),
            Some(End::Garbage { what, .. }) => format!("bytes that are no packet: {what}"),
            None => format!("nothing in {:?}, and the connection stays open", self.patience),
        };
        match words.is_empty() {
            true => end,
            false => format!("{words}; then {end}"),
        }
    }
}

/// A filter or topic of a case. What MQTT cannot carry is sent as bytes, never through here.
///
/// # Panics
/// If MQTT cannot carry it.
#[allow(clippy::expect_used)]
pub fn text(string: &str) -> Text {
    Text::try_from(string.to_owned()).expect("cases send as bytes what MQTT cannot carry")
}

/// The packet identifier with this number; 1 for 0.
pub fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MIN)
}

/// A packet by hand: its first byte, the remaining length, and what follows as it is.
pub fn by_hand(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 0x80).unwrap_or_default();
        left /= 0x80;
        packet.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            packet.extend_from_slice(body);
            return packet;
        }
    }
}

/// A field by hand: its length in two bytes, and what it holds as it is.
pub fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

fn words(reasons: &[Reason]) -> String {
    let reasons: Vec<String> = reasons.iter().map(Reason::to_string).collect();
    format!("a SUBACK with {}", reasons.join(", "))
}

#[allow(clippy::disallowed_methods)] // Simulated where tokio's clock is paused.
fn deadline(span: Duration) -> Instant {
    Instant::now() + span
}
