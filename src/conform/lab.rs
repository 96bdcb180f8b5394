//! What a case for brokers works with: connections to the target, names of its own, time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::abilities::Abilities;
use super::raw::RawConnect;
use super::relay::AnyStream;
use super::setup::Setup;
use super::target::Place;
use super::verdict::{Failure, Otherwise, Stop, ensure};
use super::websocket::{self, End, Frames, Framing, Head, WebSocket};
use super::wire::{Log, TOPICS, Wire, text};
use crate::codec::{ConnAck, Connect, Packet, Properties, Property, Publish, Qos, Text, Value, Version};
use crate::live::websocket::MQTT;
use crate::trace::{Name, Way};

/// The end of a case's client identifiers, after what makes them unlike those of other cases and runs.
const ANYONE: &str = "0";
/// What the message says that shows that nothing more comes before it.
const LAST: &[u8] = b"sentinel";

/// The laboratory of one case. Client identifiers and topics are the case's own, so that cases run side by side.
#[derive(Debug)]
pub struct Lab {
    place: Place,
    abilities: Rc<Abilities>,
    version: Version,
    log: Log,
    /// What all client identifiers begin with: letters and digits, at most 16 of them.
    prefix: String,
    patience: Duration,
    /// What is to be cleaned up.
    traces: RefCell<Traces>,
}

/// A way to break a CONNECT, and what it is called.
pub type Break = (&'static str, fn(&mut RawConnect));

/// What a case leaves at a broker.
#[derive(Debug, Default)]
struct Traces {
    client_ids: Vec<Text>,
    retained: Vec<Text>,
}

impl Lab {
    /// A laboratory at this place, for one case.
    pub fn new(place: Place, abilities: Rc<Abilities>, version: Version, prefix: String, log: Log) -> Lab {
        let patience = place.patience();
        Lab { place, abilities, version, log, prefix, patience, traces: RefCell::default() }
    }

    /// The version that the case runs in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it runs in 5.0.
    pub fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// What the broker says that it can do.
    pub fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// How long to wait for what must come.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How long to wait for what a timer brings about, once it is due: the target may look at its clock every few seconds
    /// only (mosquitto every five), and then has as long as for anything else.
    pub fn patience_with_timers(&self) -> Duration {
        Duration::from_secs(5) + self.patience
    }

    /// Lets time pass: simulated time costs nothing, real time passes beside other cases.
    pub async fn wait(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Stops the case if the target cannot be asked this.
    ///
    /// # Errors
    /// [`Stop::Skipped`].
    pub fn needs(&self, has: bool, what: &str) -> Result<(), Stop> {
        if has { Ok(()) } else { Err(Stop::Skipped(format!("the target has no {what}"))) }
    }

    /// Stops the case if the target does not serve this QoS.
    ///
    /// # Errors
    /// [`Stop::Skipped`].
    pub fn needs_qos(&self, qos: Qos) -> Result<(), Stop> {
        self.needs(self.abilities.maximum_qos >= qos, &qos.to_string())
    }

    // --- names --------------------------------------------------------------------------------------------------------

    /// A client identifier of the case's own: letters and digits, at most 23.
    pub fn client_id(&self, name: &str) -> Text {
        let id = text(&format!("{}{name}", self.prefix));
        self.remember(&id);
        id
    }

    /// Has the session of this client identifier cleaned up at the end.
    pub fn remember(&self, client_id: &Text) {
        let ids = &mut self.traces.borrow_mut().client_ids;
        if !client_id.is_empty() && !ids.contains(client_id) {
            ids.push(client_id.clone());
        }
    }

    /// A topic of the case's own; `name` may have levels and, for filters, wildcards.
    pub fn topic(&self, name: &str) -> String {
        format!("{TOPICS}{}/{name}", self.prefix)
    }

    // --- packets ------------------------------------------------------------------------------------------------------

    /// A CONNECT with a client identifier of the case's own, a clean start, one minute of keep alive, and user name and
    /// password if the set-up asks for them.
    pub fn connect(&self, name: &str) -> Connect {
        let credentials = self.place.credentials();
        Connect {
            version: self.version,
            clean_start: true,
            keep_alive: 60,
            client_id: self.client_id(name),
            will: None,
            username: credentials.map(|(user, _)| text(user)),
            password: credentials.map(|(_, password)| password.clone().into_bytes().into()),
            properties: Properties::new(),
        }
    }

    /// As [`Lab::connect`], for a session that outlives its connection: Clean Session 0, or Clean Start 0 with a session
    /// expiry interval of five minutes.
    pub fn connect_to_stay(&self, name: &str) -> Connect {
        let mut connect = self.connect(name);
        connect.clean_start = false;
        if self.is_v5() {
            connect.properties.push(Property::SessionExpiryInterval, Value::Four(300));
        }
        connect
    }

    /// A message on a topic of the case's own.
    pub fn publish(&self, topic: &str, payload: impl Into<Bytes>, qos: Qos) -> Publish {
        Publish { topic: text(&self.topic(topic)), payload: payload.into(), qos, ..Publish::default() }
    }

    /// As [`Lab::publish`], with RETAIN. Cleaned up at the end.
    pub fn retained(&self, topic: &str, payload: impl Into<Bytes>, qos: Qos) -> Publish {
        let publish = Publish { retain: true, ..self.publish(topic, payload, qos) };
        self.traces.borrow_mut().retained.push(publish.topic.clone());
        publish
    }

    // --- connections --------------------------------------------------------------------------------------------------

    /// A connection on which nothing has been sent. `name` is what it is called in reports.
    ///
    /// # Errors
    /// If the target cannot be reached.
    pub async fn dial(&self, name: &str) -> Result<Wire, Stop> {
        let unreachable = |why: String| Stop::Setup(Failure::new("a connection", why));
        let stream = match tokio::time::timeout(self.patience, self.place.dial()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable("no answer to the dial".to_owned())),
        };
        Ok(self.wire(name, stream))
    }

    fn wire(&self, name: &str, stream: AnyStream) -> Wire {
        let names: [Name; 2] = [name.into(), "target".into()];
        let [client, broker] = &names;
        let wire = Wire::new(&self.log, stream, self.version, Way::Up, [client, broker], self.patience);
        wire.hearing(self.topic(""))
    }

    /// Asks for an upgrade to WebSocket on a new connection, offering these subprotocols. Gives back the answer, the
    /// connection, and what came behind the answer.
    ///
    /// # Errors
    /// [`Stop::Setup`] if none comes, [`Stop::Skipped`] if the target has no WebSocket.
    pub async fn upgrade(&self, offered: &str) -> Result<(Head, AnyStream, Bytes), Stop> {
        let Some((dial, host, path)) = self.place.upgrade() else {
            return Err(Stop::Skipped("the target is not reached over WebSocket".to_owned()));
        };
        let asked = async {
            let mut stream = dial.await.map_err(|error| error.to_string())?;
            let request = websocket::request(host, path, offered);
            websocket::send_head(&mut stream, &request).await.map_err(|error| error.to_string())?;
            let (head, rest) = Head::read(&mut stream).await?;
            Ok((head, stream, rest))
        };
        let answer = tokio::time::timeout(self.patience, asked).await.unwrap_or_else(|_| Err("nothing".to_owned()));
        answer.map_err(|why: String| Stop::Setup(Failure::new("an answer to a request to upgrade", why)))
    }

    /// A connection over WebSocket, on which nothing has been sent yet, and its frames.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not come about.
    pub async fn websocket(&self, name: &str, framing: Framing) -> Result<(Wire, Frames), Stop> {
        let (head, stream, rest) = self.upgrade(MQTT).await?;
        ensure(head.upgrades(), "the upgrade to WebSocket", head.first).setup()?;
        let (stream, frames) = WebSocket::new(stream, &rest, End::Client, framing);
        Ok((self.wire(name, Box::new(stream)), frames))
    }

    /// Dials and sends this CONNECT. What comes back is the case's matter.
    ///
    /// # Errors
    /// If the target cannot be reached.
    pub async fn open(&self, connect: Connect) -> Result<Wire, Stop> {
        self.remember(&connect.client_id);
        let name = connect.client_id.as_str();
        let name = name.strip_prefix(&self.prefix).filter(|name| !name.is_empty()).unwrap_or("client").to_owned();
        let mut wire = self.dial(&name).await?;
        wire.send(&Packet::Connect(Box::new(connect))).await.setup()?;
        Ok(wire)
    }

    /// Dials, sends this CONNECT and takes the CONNACK, which must accept it.
    ///
    /// # Errors
    /// [`Stop::Setup`] if the client does not come in.
    pub async fn join(&self, connect: Connect) -> Result<(Wire, ConnAck), Stop> {
        let mut wire = self.open(connect).await?;
        let connack = wire.connack().await.setup()?;
        ensure(!connack.reason.is_error(), "CONNACK that accepts", format!("CONNACK with {}", connack.reason))
            .setup()?;
        if let Some(assigned) = connack.properties.assigned_client_identifier() {
            self.remember(&assigned);
        }
        Ok((wire, connack))
    }

    /// A client with a clean start that is connected.
    ///
    /// # Errors
    /// [`Stop::Setup`] if it does not come in.
    pub async fn client(&self, name: &str) -> Result<Wire, Stop> {
        Ok(self.join(self.connect(name)).await?.0)
    }

    /// A client with a clean start that is connected and subscribed to a topic filter of the case's own.
    ///
    /// # Errors
    /// [`Stop::Setup`] if that does not come about.
    pub async fn subscriber(&self, name: &str, filter: &str, qos: Qos) -> Result<Wire, Stop> {
        let mut wire = self.client(name).await?;
        wire.subscribe(self.topic(filter), qos).await.setup()?;
        Ok(wire)
    }

    /// A client whose session outlives its connection, subscribed to a topic filter of the case's own.
    ///
    /// # Errors
    /// [`Stop::Setup`] if that does not come about.
    pub async fn lasting_subscriber(&self, name: &str, filter: &str, qos: Qos) -> Result<Wire, Stop> {
        let (mut wire, _) = self.join(self.connect_to_stay(name)).await?;
        wire.subscribe(self.topic(filter), qos).await.setup()?;
        Ok(wire)
    }

    /// Takes up the session of a client that came with [`Lab::connect_to_stay`].
    ///
    /// # Errors
    /// [`Stop::Setup`] if there is no such session any more.
    pub async fn resume(&self, name: &str) -> Result<Wire, Stop> {
        let (mut wire, connack) = self.join(self.connect_to_stay(name)).await?;
        if !connack.session_present {
            // What a broker sends all the same is for the rules to see.
            wire.ping().await.setup()?;
        }
        ensure(connack.session_present, "CONNACK with Session Present 1", "CONNACK with Session Present 0").setup()?;
        Ok(wire)
    }

    /// What `to` got before a last message that `from` publishes now to this topic: what `from` sent before to the same
    /// topic at the same QoS would have come by then [MQTT-4.6.0-6].
    ///
    /// # Errors
    /// If the last message does not come.
    pub async fn heard(&self, to: &mut Wire, from: &mut Wire, topic: &str, qos: Qos) -> Result<Vec<Publish>, Stop> {
        from.publish(self.publish(topic, LAST, qos)).await.setup()?;
        let mut heard = to.messages_until(LAST).await?;
        heard.pop();
        Ok(heard)
    }

    // --- ends ---------------------------------------------------------------------------------------------------------

    /// Demands that the target closes this connection, while it still serves others. Gives back what came before.
    ///
    /// # Errors
    /// If it stays open, or if nobody is served any more.
    pub async fn closed(&self, wire: &mut Wire) -> Result<Vec<Packet>, Stop> {
        let before = wire.closed().await?;
        self.alive().await?;
        Ok(before)
    }

    /// As [`Lab::closed`], where 5.0 leaves open how thoroughly to check: there, what the target lets pass is advice.
    /// 3.1.1 demands it [MQTT-4.8.0-1].
    ///
    /// # Errors
    /// As [`Lab::closed`].
    pub async fn closed_if_checked(&self, wire: &mut Wire) -> Result<Vec<Packet>, Stop> {
        let closed = self.closed(wire).await;
        if self.is_v5() { closed.advisable() } else { closed }
    }

    /// Demands that the target turns away each of these CONNECTs: it closes, in 3.1.1 without a word, in 5.0 after a
    /// CONNACK that refuses or none [MQTT-3.1.4-1].
    ///
    /// # Errors
    /// If one of them gets another answer.
    pub async fn turns_away(&self, broken: &[Break]) -> Result<(), Stop> {
        for (what, break_it) in broken {
            let mut raw = RawConnect::of(&self.connect("a"));
            break_it(&mut raw);
            let mut wire = self.dial("a").await?;
            wire.send_bytes(raw.bytes()).await.setup()?;
            let before = self.closed(&mut wire).await.about(what)?;
            let allowed = match before.as_slice() {
                [] => true,
                [Packet::ConnAck(connack)] => self.is_v5() && connack.reason.is_error(),
                _ => false,
            };
            ensure(allowed, "the connection closed", format!("first {}", names(&before))).about(what)?;
        }
        Ok(())
    }

    /// Sees the target answer a good CONNECT on another connection: a dead target keeps nothing.
    ///
    /// # Errors
    /// If it does not.
    pub async fn alive(&self) -> Result<(), Stop> {
        let mut wire = self.client(ANYONE).await?;
        wire.ping().await.setup()?;
        wire.leave().await.setup()
    }

    /// Removes what the case has left: retained messages and sessions. What cannot be removed stays.
    pub async fn clean_up(&self) {
        let Traces { client_ids, retained } = self.traces.take();
        // Where nobody is let in any more, nothing can be removed.
        let Ok(mut wire) = self.client(ANYONE).await else { return };
        for topic in retained {
            let _ = wire.send_publish(Publish { topic, retain: true, ..Publish::default() }).await;
        }
        let _ = wire.ping().await;
        let _ = wire.leave().await;
        for client_id in client_ids {
            let connect = Connect { client_id, ..self.connect(ANYONE) };
            if let Ok((mut wire, _)) = self.join(connect).await {
                let _ = wire.leave().await;
            }
        }
    }

    /// The set-up that the case runs in.
    pub fn setup(&self) -> Setup {
        self.place.setup()
    }
}

/// The packets by name, for reports.
pub fn names(packets: &[Packet]) -> String {
    let names: Vec<&str> = packets.iter().map(|packet| packet.packet_type().name()).collect();
    names.join(", ")
}
