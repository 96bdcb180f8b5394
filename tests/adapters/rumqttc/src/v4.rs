//! MQTT 3.1.1.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Packet, SubscribeFilter, SubscribeReasonCode,
};
use serde_json::json;

use crate::command::{Connect, No, Publish, Subscribe, Unsubscribe};
use crate::sent::Sent;
use crate::{Client, ROOM, say, watched};

struct V4 {
    client: AsyncClient,
    /// The event loop while there is no connection.
    idle: Arc<Mutex<Option<EventLoop>>>,
    sent: Arc<Mutex<Sent>>,
}

pub fn connect(options: &Connect) -> Result<Box<dyn Client>, No> {
    let (client, event_loop) = AsyncClient::new(mqtt_options(options)?, ROOM);
    let v4 = V4 { client, idle: Arc::default(), sent: Arc::default() };
    v4.run(event_loop);
    Ok(Box::new(v4))
}

fn mqtt_options(connect: &Connect) -> Result<MqttOptions, No> {
    let mut options = MqttOptions::new(&connect.client_id, &connect.host, connect.port);
    if let Some(seconds) = connect.keep_alive {
        options.set_keep_alive(Duration::from_secs(seconds.into()));
    }
    if let Some(clean) = connect.clean_start {
        options.set_clean_session(clean);
    }
    match (&connect.username, &connect.password) {
        (Some(username), Some(password)) => drop(options.set_credentials(username, password)),
        (None, None) => {}
        _ => return Err(No::Unsupported("one of username and password without the other")),
    }
    if let Some(will) = &connect.will {
        options.set_last_will(LastWill::new(&will.topic, will.payload(), will.qos()?, will.retain));
    }
    Ok(options)
}

impl Client for V4 {
    fn reconnect(&mut self, clean_start: bool) -> Result<(), No> {
        let idle = self.idle.lock().expect("lock").take();
        let mut event_loop = idle.ok_or_else(|| No::Refused("still connected".into()))?;
        event_loop.mqtt_options.set_clean_session(clean_start);
        self.run(event_loop);
        Ok(())
    }

    fn publish(&mut self, id: u64, message: &Publish) -> Result<(), No> {
        let qos = message.qos()?;
        self.client.try_publish(&message.topic, qos, message.retain, message.payload())?;
        if qos != rumqttc::QoS::AtMostOnce {
            self.sent.lock().expect("lock").took(id);
        }
        Ok(())
    }

    fn subscribe(&mut self, id: u64, subscribe: &Subscribe) -> Result<(), No> {
        let filters: Result<Vec<_>, No> =
            subscribe.filters.iter().map(|one| Ok(SubscribeFilter::new(one.filter.clone(), one.qos()?))).collect();
        self.client.try_subscribe_many(filters?)?;
        self.sent.lock().expect("lock").took(id);
        Ok(())
    }

    fn unsubscribe(&mut self, id: u64, unsubscribe: &Unsubscribe) -> Result<(), No> {
        self.client.try_unsubscribe(unsubscribe.filter()?)?;
        self.sent.lock().expect("lock").took(id);
        Ok(())
    }

    fn disconnect(&mut self) -> Result<(), No> {
        Ok(self.client.try_disconnect()?)
    }
}

impl V4 {
    /// Polls until the connection ends; one more poll would connect again.
    fn run(&self, mut event_loop: EventLoop) {
        let (idle, sent) = (self.idle.clone(), self.sent.clone());
        watched(async move {
            let error = loop {
                match event_loop.poll().await {
                    Ok(event) => report(&event, &mut sent.lock().expect("lock")),
                    Err(error) => break error,
                }
            };
            let mut sent = sent.lock().expect("lock");
            // What arrived together with the end.
            event_loop.state.events.drain(..).for_each(|event| report(&event, &mut sent));
            match error {
                ConnectionError::ConnectionRefused(code) => say(&json!({"event": "refused", "reason": code as u8})),
                error => say(&json!({"event": "error", "what": error.to_string()})),
            }
            sent.connection_ended();
            *idle.lock().expect("lock") = Some(event_loop);
            say(&json!({"event": "disconnected"}));
        });
    }
}

fn report(event: &Event, sent: &mut Sent) {
    let packet = match event {
        Event::Incoming(packet) => packet,
        Event::Outgoing(outgoing) => return sent.left(outgoing),
    };
    let line = match packet {
        Packet::ConnAck(connack) => {
            sent.connected(connack.session_present);
            json!({"event": "connected", "session_present": connack.session_present, "reason": 0})
        }
        Packet::Publish(publish) => json!({
            "event": "message", "topic": publish.topic, "payload_hex": hex::encode(&publish.payload),
            "qos": publish.qos as u8, "retain": publish.retain, "dup": publish.dup, "properties": {},
        }),
        Packet::PubAck(puback) => published(sent.done(puback.pkid)),
        Packet::PubComp(pubcomp) => published(sent.done(pubcomp.pkid)),
        Packet::SubAck(suback) => {
            let reasons: Vec<u8> = suback.return_codes.iter().map(return_code).collect();
            json!({"event": "subscribed", "of": sent.done(suback.pkid), "reasons": reasons})
        }
        Packet::UnsubAck(unsuback) => {
            json!({"event": "unsubscribed", "of": sent.done(unsuback.pkid), "reasons": []})
        }
        _ => return,
    };
    say(&line);
}

fn published(id: Option<u64>) -> serde_json::Value {
    json!({"event": "published", "of": id, "reason": 0})
}

fn return_code(code: &SubscribeReasonCode) -> u8 {
    match code {
        SubscribeReasonCode::Success(qos) => *qos as u8,
        SubscribeReasonCode::Failure => 0x80,
    }
}
