//! One client of either version, whose calls wait for their answers.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes as old;
use rumqttc::v5;
use rumqttc::v5::mqttbytes as new;
pub use rumqttc::v5::mqttbytes::v5::{PublishProperties, RetainForwardRule, SubscribeProperties};
use tokio::time::{Instant, timeout_at};

use crate::{Broker, Outcome, expect, short};

/// For whatever must come.
const PATIENCE: Duration = Duration::from_secs(10);
const PACKET_SIZE: u32 = 4 * 1024 * 1024;

/// How a client differs from the usual: a clean one, with the right password.
#[derive(Clone)]
pub struct Options {
    pub clean: bool,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Topic and payload, at QoS 1.
    pub will: Option<(String, String)>,
    /// QoS 1 messages are acknowledged by [`Peer::acknowledge`] only.
    pub hold_acks: bool,
    pub session_expiry: Option<u32>,
    pub receive_maximum: Option<u16>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clean: true,
            user: None,
            password: None,
            will: None,
            hold_acks: false,
            session_expiry: None,
            receive_maximum: None,
        }
    }
}

pub struct Peer {
    loop_: Loop,
    heard: VecDeque<Heard>,
    /// Why there is no connection; polled all the same, rumqttc would make a new one.
    ended: Option<String>,
}

/// rumqttc's two clients. Nothing happens but when their loop is polled.
enum Loop {
    Old(rumqttc::AsyncClient, Box<rumqttc::EventLoop>),
    New(v5::AsyncClient, Box<v5::EventLoop>),
}

/// What a client was told.
#[derive(Debug)]
enum Heard {
    Connected(Connected),
    Subscribed(Vec<u8>),
    Unsubscribed,
    /// A message of ours was written.
    Written,
    /// A message of ours was acknowledged, in whole.
    Acknowledged,
    Left,
    Message(Message),
}

#[derive(Clone, Debug, Default)]
pub struct Connected {
    pub session_present: bool,
    pub client_id: Option<String>,
    pub topic_alias_maximum: u16,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub packet_identifier: u16,
    pub properties: PublishProperties,
}

/// What a subscription asks for beyond its filter and QoS (5.0).
#[derive(Clone, Default)]
pub struct Wanted {
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainForwardRule,
    pub identifier: Option<usize>,
}

impl Peer {
    pub fn new(broker: &Broker, client_id: &str, options: Options) -> Peer {
        let loop_ =
            if broker.v5 { Loop::new(broker, client_id, options) } else { Loop::old(broker, client_id, options) };
        Peer { loop_, heard: VecDeque::new(), ended: None }
    }

    pub async fn connect(&mut self) -> Outcome<Connected> {
        self.ended = None;
        let connected = |heard: &Heard| match heard {
            Heard::Connected(connected) => Some(connected.clone()),
            _ => None,
        };
        self.until("CONNACK", connected).await
    }

    /// Why the broker does not take this client.
    pub async fn refused(&mut self) -> Outcome<String> {
        match self.connect().await {
            Ok(_) => Err("the broker takes the client".to_owned()),
            Err(_) => self.ended.clone().ok_or("no answer".to_owned()),
        }
    }

    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> Outcome {
        self.subscribe_with(filter, qos, Wanted::default()).await
    }

    pub async fn subscribe_with(&mut self, filter: &str, qos: u8, wanted: Wanted) -> Outcome {
        match &self.loop_ {
            Loop::Old(client, _) => client.subscribe(filter, old_qos(qos)).await.map_err(|error| error.to_string())?,
            Loop::New(client, _) => {
                let filter = new::v5::Filter {
                    nolocal: wanted.no_local,
                    preserve_retain: wanted.retain_as_published,
                    retain_forward_rule: wanted.retain_handling,
                    ..new::v5::Filter::new(filter, new_qos(qos))
                };
                let asked = match wanted.identifier {
                    None => client.subscribe_many([filter]).await,
                    id => {
                        let properties = SubscribeProperties { id, user_properties: Vec::new() };
                        client.subscribe_many_with_properties([filter], properties).await
                    }
                };
                asked.map_err(|error| error.to_string())?;
            }
        }
        let codes = |heard: &Heard| match heard {
            Heard::Subscribed(codes) => Some(codes.clone()),
            _ => None,
        };
        let codes = self.until("SUBACK", codes).await?;
        expect(&format!("SUBACK for {filter}"), codes, vec![qos])
    }

    pub async fn unsubscribe(&mut self, filter: &str) -> Outcome {
        match &self.loop_ {
            Loop::Old(client, _) => client.unsubscribe(filter).await.map_err(|error| error.to_string())?,
            Loop::New(client, _) => client.unsubscribe(filter).await.map_err(|error| error.to_string())?,
        }
        self.until("UNSUBACK", |heard| matches!(heard, Heard::Unsubscribed).then_some(())).await
    }

    /// Returns when the message is acknowledged (QoS 0: written).
    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8) -> Outcome {
        self.send(topic, payload, qos, false, None).await
    }

    /// The same with properties (5.0).
    pub async fn publish_with(&mut self, topic: &str, payload: &[u8], qos: u8, with: PublishProperties) -> Outcome {
        self.send(topic, payload, qos, false, Some(with)).await
    }

    pub async fn retain(&mut self, topic: &str, payload: &[u8]) -> Outcome {
        self.send(topic, payload, 1, true, None).await
    }

    async fn send(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        retain: bool,
        properties: Option<PublishProperties>,
    ) -> Outcome {
        let bytes = payload.to_vec();
        match &self.loop_ {
            Loop::Old(client, _) => {
                client.publish(topic, old_qos(qos), retain, bytes).await.map_err(|error| error.to_string())?;
            }
            Loop::New(client, _) => {
                let sent = match properties {
                    None => client.publish(topic, new_qos(qos), retain, bytes).await,
                    Some(with) => client.publish_with_properties(topic, new_qos(qos), retain, bytes, with).await,
                };
                sent.map_err(|error| error.to_string())?;
            }
        }
        self.until("PUBLISH, written", |heard| matches!(heard, Heard::Written).then_some(())).await?;
        if qos == 0 {
            return Ok(());
        }
        let what = format!("acknowledgement of {} at QoS {qos} to {topic}", short(&payload));
        self.until(&what, |heard| matches!(heard, Heard::Acknowledged).then_some(())).await
    }

    pub async fn next(&mut self) -> Outcome<Message> {
        let message = |heard: &Heard| match heard {
            Heard::Message(message) => Some(message.clone()),
            _ => None,
        };
        self.until("a message", message).await
    }

    pub async fn next_payloads(&mut self, count: usize) -> Outcome<Vec<Bytes>> {
        let mut payloads = Vec::new();
        for _ in 0..count {
            payloads.push(self.next().await?.payload);
        }
        Ok(payloads)
    }

    /// The next message is this one.
    pub async fn hears(&mut self, topic: &str, payload: &[u8]) -> Outcome<Message> {
        let message = self.next().await.map_err(|why| format!("{} on {topic}: {why}", short(&payload)))?;
        expect("topic", message.topic.as_str(), topic)?;
        expect(&format!("payload on {topic}"), &message.payload[..], payload)?;
        Ok(message)
    }

    /// The next message is this one, with this QoS and retain flag.
    pub async fn hears_as(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) -> Outcome<Message> {
        let message = self.hears(topic, payload).await?;
        expect(&format!("QoS on {topic}"), message.qos, qos)?;
        expect(&format!("retain flag on {topic}"), message.retain, retain)?;
        Ok(message)
    }

    /// Fence: the next message that this client gets is the one that the sender sends now.
    pub async fn hears_nothing_before(&mut self, sender: &mut Peer, topic: &str, qos: u8) -> Outcome {
        sender.publish(topic, b"fence", qos).await?;
        self.hears(topic, b"fence").await.map(drop)
    }

    /// Acknowledges a message that was held back.
    pub async fn acknowledge(&mut self, message: &Message) -> Outcome {
        match &self.loop_ {
            Loop::Old(client, _) => {
                let publish = rumqttc::Publish::new(message.topic.as_str(), old_qos(1), "");
                let publish = rumqttc::Publish { pkid: message.packet_identifier, ..publish };
                client.ack(&publish).await.map_err(|error| error.to_string())
            }
            Loop::New(client, _) => {
                let publish = new::v5::Publish {
                    pkid: message.packet_identifier,
                    qos: new_qos(1),
                    ..new::v5::Publish::default()
                };
                client.ack(&publish).await.map_err(|error| error.to_string())
            }
        }
    }

    /// How many messages have come that nobody looked at.
    pub fn waiting(&self) -> usize {
        self.heard.iter().filter(|heard| matches!(heard, Heard::Message(_))).count()
    }

    /// Waits until the broker ends the connection, and says why as far as rumqttc does.
    pub async fn closed(&mut self) -> Outcome<String> {
        match self.until("the end of the connection", |_| None::<()>).await {
            Err(_) if self.ended.is_some() => Ok(self.ended.clone().unwrap_or_default()),
            _ => Err("the connection stays open".to_owned()),
        }
    }

    pub async fn disconnect(mut self) -> Outcome {
        match &self.loop_ {
            Loop::Old(client, _) => client.disconnect().await.map_err(|error| error.to_string())?,
            Loop::New(client, _) => client.disconnect().await.map_err(|error| error.to_string())?,
        }
        self.until("DISCONNECT, written", |heard| matches!(heard, Heard::Left).then_some(())).await
    }

    /// The link ends without DISCONNECT.
    pub fn drop_link(self) {}

    /// The first of what was or will be heard that `pick` picks.
    async fn until<T>(&mut self, what: &str, pick: impl Fn(&Heard) -> Option<T>) -> Outcome<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((at, picked)) = self.heard.iter().enumerate().find_map(|(at, heard)| Some((at, pick(heard)?))) {
                self.heard.remove(at);
                return Ok(picked);
            }
            if let Some(why) = &self.ended {
                return Err(format!("{what} did not come: {why}"));
            }
            match timeout_at(deadline, self.loop_.poll()).await {
                Ok(Ok(heard)) => self.heard.extend(heard),
                Ok(Err(why)) => self.ended = Some(why),
                Err(_) => return Err(format!("{what} did not come")),
            }
        }
    }
}

impl Loop {
    fn old(broker: &Broker, client_id: &str, options: Options) -> Loop {
        let mut set = rumqttc::MqttOptions::new(client_id, broker.address(), broker.port);
        set.set_transport(broker.transport());
        let user = options.user.unwrap_or_else(|| broker.user.clone());
        set.set_credentials(user, options.password.unwrap_or_else(|| broker.password.clone()));
        set.set_clean_session(options.clean).set_manual_acks(options.hold_acks);
        set.set_max_packet_size(PACKET_SIZE as usize, PACKET_SIZE as usize);
        if let Some((topic, payload)) = options.will {
            set.set_last_will(rumqttc::LastWill::new(topic, payload, old_qos(1), false));
        }
        let (client, event_loop) = rumqttc::AsyncClient::new(set, 10);
        Loop::Old(client, Box::new(event_loop))
    }

    fn new(broker: &Broker, client_id: &str, options: Options) -> Loop {
        let mut set = v5::MqttOptions::new(client_id, broker.address(), broker.port);
        set.set_transport(broker.transport());
        let user = options.user.unwrap_or_else(|| broker.user.clone());
        set.set_credentials(user, options.password.unwrap_or_else(|| broker.password.clone()));
        set.set_clean_start(options.clean).set_manual_acks(options.hold_acks);
        let mut properties = new::v5::ConnectProperties::new();
        properties.max_packet_size = Some(PACKET_SIZE);
        properties.session_expiry_interval = options.session_expiry;
        properties.receive_maximum = options.receive_maximum;
        set.set_connect_properties(properties);
        if let Some((topic, payload)) = options.will {
            set.set_last_will(new::v5::LastWill::new(topic, payload, new_qos(1), false, None));
        }
        let (client, event_loop) = v5::AsyncClient::new(set, 10);
        Loop::New(client, Box::new(event_loop))
    }

    /// The next thing that happens, if it means anything to us; why the connection ended.
    async fn poll(&mut self) -> Result<Option<Heard>, String> {
        match self {
            Loop::Old(_, event_loop) => match event_loop.poll().await {
                Ok(rumqttc::Event::Incoming(packet)) => Ok(heard_old(packet)),
                Ok(rumqttc::Event::Outgoing(outgoing)) => Ok(written(&outgoing)),
                Err(rumqttc::ConnectionError::ConnectionRefused(code)) => Err(format!("refused: {code:?}")),
                Err(error) => Err(error.to_string()),
            },
            Loop::New(_, event_loop) => match event_loop.poll().await {
                Ok(v5::Event::Incoming(packet)) => Ok(heard_new(packet)),
                Ok(v5::Event::Outgoing(outgoing)) => Ok(written(&outgoing)),
                Err(v5::ConnectionError::ConnectionRefused(code)) => Err(format!("refused: {code:?}")),
                Err(v5::ConnectionError::MqttState(v5::StateError::ServerDisconnect { reason_code, .. })) => {
                    Err(format!("DISCONNECT: {reason_code:?}"))
                }
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

fn written(outgoing: &rumqttc::Outgoing) -> Option<Heard> {
    match outgoing {
        rumqttc::Outgoing::Publish(_) => Some(Heard::Written),
        rumqttc::Outgoing::Disconnect => Some(Heard::Left),
        _ => None,
    }
}

fn heard_old(packet: rumqttc::Packet) -> Option<Heard> {
    use rumqttc::{Packet, SubscribeReasonCode};
    Some(match packet {
        Packet::ConnAck(connack) => {
            Heard::Connected(Connected { session_present: connack.session_present, ..Connected::default() })
        }
        Packet::SubAck(suback) => {
            let code = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                SubscribeReasonCode::Failure => 0x80,
            };
            Heard::Subscribed(suback.return_codes.iter().map(code).collect())
        }
        Packet::UnsubAck(_) => Heard::Unsubscribed,
        Packet::PubAck(_) | Packet::PubComp(_) => Heard::Acknowledged,
        Packet::Publish(publish) => Heard::Message(Message {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos as u8,
            retain: publish.retain,
            dup: publish.dup,
            packet_identifier: publish.pkid,
            properties: PublishProperties::default(),
        }),
        _ => return None,
    })
}

fn heard_new(packet: new::v5::Packet) -> Option<Heard> {
    use new::v5::{Packet, SubscribeReasonCode};
    Some(match packet {
        Packet::ConnAck(connack) => {
            let properties = connack.properties;
            Heard::Connected(Connected {
                session_present: connack.session_present,
                client_id: properties.as_ref().and_then(|given| given.assigned_client_identifier.clone()),
                topic_alias_maximum: properties.and_then(|given| given.topic_alias_max).unwrap_or_default(),
            })
        }
        Packet::SubAck(suback) => {
            let code = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                _ => 0x80,
            };
            Heard::Subscribed(suback.return_codes.iter().map(code).collect())
        }
        Packet::UnsubAck(_) => Heard::Unsubscribed,
        Packet::PubAck(_) | Packet::PubComp(_) => Heard::Acknowledged,
        Packet::Publish(publish) => Heard::Message(Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            qos: publish.qos as u8,
            retain: publish.retain,
            dup: publish.dup,
            packet_identifier: publish.pkid,
            properties: publish.properties.unwrap_or_default(),
        }),
        _ => return None,
    })
}

fn old_qos(qos: u8) -> rumqttc::QoS {
    old::qos(qos).expect("0, 1 or 2")
}

fn new_qos(qos: u8) -> new::QoS {
    new::qos(qos).expect("0, 1 or 2")
}
