//! MQTT 5.0.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, ConnectReturnCode, Filter, LastWill, LastWillProperties, Packet, PubAck, PubComp,
    PubRec, PubRecReason, PublishProperties, RetainForwardRule, SubscribeProperties, UnsubscribeProperties,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};

use crate::command::{self, Connect, No, Publish, Subscribe, Unsubscribe};
use crate::sent::Sent;
use crate::{Client, ROOM, say, watched};

struct V5 {
    client: AsyncClient,
    /// The event loop while there is no connection.
    idle: Arc<Mutex<Option<EventLoop>>>,
    sent: Arc<Mutex<Sent>>,
}

pub fn connect(options: &Connect) -> Result<Box<dyn Client>, No> {
    let (client, event_loop) = AsyncClient::new(mqtt_options(options)?, ROOM);
    let v5 = V5 { client, idle: Arc::default(), sent: Arc::default() };
    v5.run(event_loop);
    Ok(Box::new(v5))
}

fn mqtt_options(connect: &Connect) -> Result<MqttOptions, No> {
    let mut options = MqttOptions::new(&connect.client_id, &connect.host, connect.port);
    if let Some(seconds) = connect.keep_alive {
        options.set_keep_alive(Duration::from_secs(seconds.into()));
    }
    if let Some(clean) = connect.clean_start {
        options.set_clean_start(clean);
    }
    match (&connect.username, &connect.password) {
        (Some(username), Some(password)) => drop(options.set_credentials(username, password)),
        (None, None) => {}
        _ => return Err(No::Unsupported("one of username and password without the other")),
    }
    if let Some(will) = &connect.will {
        let properties = LastWillProperties {
            delay_interval: will.delay,
            payload_format_indicator: will.payload_is_text.map(u8::from),
            message_expiry_interval: will.message_expiry,
            content_type: will.content_type.clone(),
            response_topic: will.response_topic.clone(),
            correlation_data: will.correlation_data.as_ref().map(Bytes::from),
            user_properties: will.user_properties.clone(),
        };
        let (topic, qos) = (&will.topic, qos(will.qos()?));
        options.set_last_will(LastWill::new(topic, will.payload(), qos, will.retain, Some(properties)));
    }
    options.set_connect_properties(ConnectProperties {
        session_expiry_interval: connect.session_expiry,
        receive_maximum: connect.receive_maximum,
        max_packet_size: connect.maximum_packet_size,
        topic_alias_max: connect.topic_alias_maximum,
        request_response_info: connect.request_response_information.map(u8::from),
        request_problem_info: connect.request_problem_information.map(u8::from),
        user_properties: connect.user_properties.clone(),
        authentication_method: connect.authentication_method.clone(),
        authentication_data: connect.authentication_data.as_ref().map(Bytes::from),
    });
    Ok(options)
}

impl Client for V5 {
    fn reconnect(&mut self, clean_start: bool) -> Result<(), No> {
        let idle = self.idle.lock().expect("lock").take();
        let mut event_loop = idle.ok_or_else(|| No::Refused("still connected".into()))?;
        event_loop.options.set_clean_start(clean_start);
        self.run(event_loop);
        Ok(())
    }

    fn publish(&mut self, id: u64, message: &Publish) -> Result<(), No> {
        let qos = qos(message.qos()?);
        let properties = PublishProperties {
            payload_format_indicator: message.payload_is_text.map(u8::from),
            message_expiry_interval: message.message_expiry,
            topic_alias: message.topic_alias,
            response_topic: message.response_topic.clone(),
            correlation_data: message.correlation_data.as_ref().map(Bytes::from),
            user_properties: message.user_properties.clone(),
            subscription_identifiers: vec![],
            content_type: message.content_type.clone(),
        };
        let (topic, payload) = (&message.topic, message.payload());
        self.client.try_publish_with_properties(topic, qos, message.retain, payload, properties)?;
        if qos != QoS::AtMostOnce {
            self.sent.lock().expect("lock").took(id);
        }
        Ok(())
    }

    fn subscribe(&mut self, id: u64, subscribe: &Subscribe) -> Result<(), No> {
        let filters: Result<Vec<_>, No> = subscribe.filters.iter().map(filter).collect();
        let (identifier, user_properties) = (subscribe.subscription_identifier, subscribe.user_properties.clone());
        let properties = SubscribeProperties { id: identifier, user_properties };
        self.client.try_subscribe_many_with_properties(filters?, properties)?;
        self.sent.lock().expect("lock").took(id);
        Ok(())
    }

    fn unsubscribe(&mut self, id: u64, unsubscribe: &Unsubscribe) -> Result<(), No> {
        let properties = UnsubscribeProperties { user_properties: unsubscribe.user_properties.clone() };
        self.client.try_unsubscribe_with_properties(unsubscribe.filter()?, properties)?;
        self.sent.lock().expect("lock").took(id);
        Ok(())
    }

    fn disconnect(&mut self) -> Result<(), No> {
        Ok(self.client.try_disconnect()?)
    }
}

fn filter(one: &command::Filter) -> Result<Filter, No> {
    let retain_forward_rule = match one.retain_handling {
        0 => RetainForwardRule::OnEverySubscribe,
        1 => RetainForwardRule::OnNewSubscribe,
        2 => RetainForwardRule::Never,
        _ => return Err(No::Unsupported("a retain handling above 2")),
    };
    Ok(Filter {
        path: one.filter.clone(),
        qos: qos(one.qos()?),
        nolocal: one.no_local,
        preserve_retain: one.retain_as_published,
        retain_forward_rule,
    })
}

/// rumqttc has a type of its own per version.
fn qos(qos: rumqttc::QoS) -> QoS {
    match qos {
        rumqttc::QoS::AtMostOnce => QoS::AtMostOnce,
        rumqttc::QoS::AtLeastOnce => QoS::AtLeastOnce,
        rumqttc::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

impl V5 {
    /// Polls until the connection ends; one more poll would connect again.
    fn run(&self, mut event_loop: EventLoop) {
        let (idle, sent) = (self.idle.clone(), self.sent.clone());
        watched(async move {
            let mut ended = json!({"event": "disconnected"});
            let error = loop {
                match event_loop.poll().await {
                    Ok(event) => report(&event, &mut sent.lock().expect("lock"), &mut ended),
                    Err(error) => break error,
                }
            };
            let mut sent = sent.lock().expect("lock");
            // What arrived together with the end.
            event_loop.state.events.drain(..).for_each(|event| report(&event, &mut sent, &mut ended));
            match error {
                ConnectionError::ConnectionRefused(code) => say(&json!({"event": "refused", "reason": reason(code)})),
                error => say(&json!({"event": "error", "what": error.to_string()})),
            }
            sent.connection_ended();
            *idle.lock().expect("lock") = Some(event_loop);
            say(&ended);
        });
    }
}

fn report(event: &Event, sent: &mut Sent, ended: &mut Value) {
    let packet = match event {
        Event::Incoming(packet) => packet,
        Event::Outgoing(outgoing) => return sent.left(outgoing),
    };
    let line = match packet {
        Packet::ConnAck(connack) => {
            sent.connected(connack.session_present);
            json!({"event": "connected", "session_present": connack.session_present, "reason": reason(connack.code)})
        }
        Packet::Publish(publish) => json!({
            "event": "message", "topic": String::from_utf8_lossy(&publish.topic),
            "payload_hex": hex::encode(&publish.payload), "qos": publish.qos as u8, "retain": publish.retain,
            "dup": publish.dup, "properties": publish.properties.as_ref().map_or(json!({}), properties),
        }),
        Packet::PubAck(ack) => {
            let bare = PubAck { properties: None, ..ack.clone() };
            published(sent, ack.pkid, &octets(&Packet::PubAck(bare)))
        }
        Packet::PubComp(ack) => {
            let bare = PubComp { properties: None, ..ack.clone() };
            published(sent, ack.pkid, &octets(&Packet::PubComp(bare)))
        }
        // An error here ends the exchange.
        Packet::PubRec(ack) if !matches!(ack.reason, PubRecReason::Success | PubRecReason::NoMatchingSubscribers) => {
            let bare = PubRec { properties: None, ..ack.clone() };
            published(sent, ack.pkid, &octets(&Packet::PubRec(bare)))
        }
        Packet::SubAck(ack) => {
            let reasons = last(octets(packet), ack.return_codes.len());
            json!({"event": "subscribed", "of": sent.done(ack.pkid), "reasons": reasons})
        }
        Packet::UnsubAck(ack) => {
            let reasons = last(octets(packet), ack.reasons.len());
            json!({"event": "unsubscribed", "of": sent.done(ack.pkid), "reasons": reasons})
        }
        Packet::Disconnect(disconnect) => {
            ended["reason"] = json!(disconnect.reason_code as u8);
            return;
        }
        _ => return,
    };
    say(&line);
}

fn properties(of: &PublishProperties) -> Value {
    let mut fields = json!({});
    let mut tell = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields[field] = value;
        }
    };
    tell("content_type", of.content_type.as_ref().map(|value| json!(value)));
    tell("response_topic", of.response_topic.as_ref().map(|value| json!(value)));
    tell("correlation_data", of.correlation_data.as_ref().map(|value| json!(hex::encode(value))));
    tell("message_expiry", of.message_expiry_interval.map(|value| json!(value)));
    tell("user_properties", (!of.user_properties.is_empty()).then(|| json!(of.user_properties)));
    tell(
        "subscription_identifiers",
        (!of.subscription_identifiers.is_empty()).then(|| json!(of.subscription_identifiers)),
    );
    tell("payload_is_text", of.payload_format_indicator.map(|value| json!(value == 1)));
    fields
}

/// `bare` is the packet without properties: its reason, where it has one, is the fifth octet.
fn published(sent: &mut Sent, packet: u16, bare: &[u8]) -> Value {
    json!({"event": "published", "of": sent.done(packet), "reason": bare.get(4).unwrap_or(&0)})
}

fn reason(code: ConnectReturnCode) -> u8 {
    octets(&Packet::ConnAck(ConnAck { session_present: false, code, properties: None }))[3]
}

fn last(octets: BytesMut, count: usize) -> Vec<u8> {
    octets[octets.len() - count..].to_vec()
}

/// rumqttc tells reasons by name only; their numbers are taken from the packet as it would write it.
fn octets(packet: &Packet) -> BytesMut {
    let mut octets = BytesMut::new();
    packet.write(&mut octets, None).expect("rumqttc read it, so it can write it");
    octets
}
