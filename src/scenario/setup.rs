//! From what a scenario says to what the machines are made with.

use std::time::Duration;

use bytes::Bytes;

use super::{Action, Broker, Client, Names, Profile, PublishStep, Scenario, SubscribeOptions, Will};
use crate::broker;
use crate::codec::{
    self, Disconnect, Properties, Property, Publish, Reason, RetainHandling, Subscription, SubscriptionOptions, Text,
    Value,
};
use crate::time::Time;
use crate::trace::Name;

/// The broker's name in every scenario.
pub const BROKER: &str = "broker";

/// The clients of a scenario, those with a `count` one by one, in order.
pub fn cast(scenario: &Scenario) -> Vec<(Name, Client)> {
    let mut cast = Vec::new();
    for (name, client) in scenario.clients.iter() {
        match client.count {
            None => cast.push((Name::from(name), client.clone())),
            Some(count) => {
                cast.extend((1..=count).map(|number| (Name::from(format!("{name}-{number}")), client.clone())));
            }
        }
    }
    cast
}

/// Whether `name` of a scenario means the client called `member`: itself, or the group it is one of.
pub fn means(scenario: &Scenario, name: &str, member: &str) -> bool {
    name == member
        || member.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).is_some_and(|number| {
            scenario.clients.get(name).and_then(|client| client.count).is_some() && number.parse::<u32>().is_ok()
        })
}

/// Whether one of the names means the client called `member`.
pub fn names_mean(scenario: &Scenario, names: &Names, member: &str) -> bool {
    names.0.iter().any(|name| means(scenario, name, member))
}

/// The last moment that the timeline speaks of.
pub fn timeline_end(scenario: &Scenario) -> Time {
    Time::after(scenario.timeline.iter().map(|step| step.time().0).max().unwrap_or_default())
}

/// Something that the timeline has a client do.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Deed {
    Publish(PublishStep, u32),
    Subscribe(Vec<(String, SubscribeOptions)>),
    Unsubscribe(Vec<String>),
    Connect,
    Disconnect(Disconnect),
    Send(Bytes),
}

/// What the timeline has the client called `member` do, in the order of time.
pub fn agenda(scenario: &Scenario, member: &str) -> Vec<(Time, Deed)> {
    let mut agenda = Vec::new();
    for step in &scenario.timeline {
        let deed = match step.action() {
            Some(Action::Publish(publish)) if means(scenario, &publish.from, member) => {
                Deed::Publish(publish.message(), publish.count.unwrap_or(1))
            }
            Some(Action::Subscribe(subscribe)) if means(scenario, &subscribe.client, member) => {
                let filters = subscribe.filters.iter();
                Deed::Subscribe(filters.map(|(filter, options)| (filter.to_owned(), *options)).collect())
            }
            Some(Action::Unsubscribe(unsubscribe)) if means(scenario, &unsubscribe.client, member) => {
                Deed::Unsubscribe(unsubscribe.filters.0.clone())
            }
            Some(Action::Connect(names)) if names_mean(scenario, names, member) => Deed::Connect,
            Some(Action::Disconnect(disconnect)) if names_mean(scenario, &disconnect.clients, member) => {
                let reason = disconnect.reason.map(|reason| reason.0);
                Deed::Disconnect(goodbye(reason, disconnect.session_expiry.map(|expiry| expiry.0)))
            }
            Some(Action::Send(send)) if means(scenario, &send.from, member) => Deed::Send(send.hex.0.clone()),
            _ => continue,
        };
        agenda.push((Time::after(step.time().0), deed));
    }
    agenda
}

/// A DISCONNECT.
pub fn goodbye(reason: Option<Reason>, session_expiry: Option<u32>) -> Disconnect {
    let mut goodbye = Disconnect::new(reason.unwrap_or(Reason::Success));
    if let Some(seconds) = session_expiry {
        goodbye.properties.push(Property::SessionExpiryInterval, Value::Four(seconds));
    }
    goodbye
}

/// A string of the scenario as MQTT carries it. What it cannot carry was refused when the scenario was read; were it
/// not, it is left empty here.
pub fn text(string: &str) -> Text {
    Text::try_from(string).unwrap_or_default()
}

/// The PUBLISH that a step asks for, the `n`th time.
pub fn message(step: &PublishStep, n: u32) -> Publish {
    let mut properties = Properties::default();
    if let Some(indicator) = step.payload_format_indicator {
        properties.push(Property::PayloadFormatIndicator, Value::Byte(indicator));
    }
    if let Some(expiry) = step.message_expiry_interval {
        properties.push(Property::MessageExpiryInterval, Value::Four(expiry.0));
    }
    if let Some(content_type) = &step.content_type {
        properties.push(Property::ContentType, Value::Text(text(content_type)));
    }
    if let Some(topic) = &step.response_topic {
        properties.push(Property::ResponseTopic, Value::Text(text(topic)));
    }
    if let Some(data) = &step.correlation_data {
        properties.push(Property::CorrelationData, Value::Binary(Bytes::copy_from_slice(data.as_bytes())));
    }
    if let Some(alias) = step.topic_alias {
        properties.push(Property::TopicAlias, Value::Two(alias));
    }
    push_user_properties(&mut properties, step.user_properties.iter());
    let payload = match (&step.hex, step.size, &step.payload) {
        (Some(hex), _, _) => hex.0.clone(),
        (None, Some(size), _) => Bytes::from(vec![b'x'; size as usize]),
        (None, None, Some(payload)) => Bytes::from(payload.replace("{n}", &n.to_string())),
        (None, None, None) => Bytes::new(),
    };
    Publish {
        qos: step.qos.0,
        retain: step.retain,
        topic: text(&step.topic),
        properties,
        payload,
        ..Publish::default()
    }
}

/// Appends user properties.
pub fn push_user_properties<'a>(properties: &mut Properties, pairs: impl Iterator<Item = (&'a str, &'a String)>) {
    for (key, value) in pairs {
        properties.push(Property::UserProperty, Value::Pair(text(key), text(value)));
    }
}

/// Filters and options as SUBSCRIBE packets carry them: one list for each subscription identifier.
pub fn subscriptions<'a>(
    filters: impl Iterator<Item = (&'a str, &'a SubscribeOptions)>,
) -> Vec<(Vec<Subscription>, Properties)> {
    let mut lists: Vec<(Option<u32>, Vec<Subscription>)> = Vec::new();
    for (filter, options) in filters {
        let subscription = Subscription {
            filter: text(filter),
            options: SubscriptionOptions {
                qos: options.qos.0,
                no_local: options.no_local,
                retain_as_published: options.retain_as_published,
                retain_handling: RetainHandling::from_number(options.retain_handling).unwrap_or_default(),
            },
        };
        match lists.iter_mut().find(|(identifier, _)| *identifier == options.subscription_identifier) {
            Some((_, list)) => list.push(subscription),
            None => lists.push((options.subscription_identifier, vec![subscription])),
        }
    }
    let with_properties = |(identifier, list): (Option<u32>, Vec<Subscription>)| {
        let mut properties = Properties::default();
        if let Some(identifier) = identifier {
            properties.push(Property::SubscriptionIdentifier, Value::Variable(identifier));
        }
        (list, properties)
    };
    lists.into_iter().map(with_properties).collect()
}

/// The will of a CONNECT.
pub fn will(will: &Will) -> codec::Will {
    let mut properties = Properties::default();
    if let Some(delay) = will.delay {
        properties.push(Property::WillDelayInterval, Value::Four(delay.0));
    }
    if let Some(expiry) = will.message_expiry_interval {
        properties.push(Property::MessageExpiryInterval, Value::Four(expiry.0));
    }
    let payload = match &will.hex {
        Some(hex) => hex.0.clone(),
        None => Bytes::copy_from_slice(will.payload.as_bytes()),
    };
    codec::Will { qos: will.qos.0, retain: will.retain, topic: text(&will.topic), payload, properties }
}

/// The broker's port.
pub fn port(broker: &Broker) -> u16 {
    let default = match broker.profile {
        Some(Profile::Apollo) => 61613,
        None => 1883,
    };
    broker.port.unwrap_or(default)
}

/// The broker's configuration.
pub fn broker(broker: &Broker, seed: u64) -> broker::Config {
    let base = match broker.profile {
        Some(Profile::Apollo) => broker::Config::apollo(),
        None => broker::Config::default(),
    };
    let users = match &broker.users {
        Some(users) => users.iter().map(|(user, password)| (user.to_owned(), password.clone().into())).collect(),
        None => base.users.clone(),
    };
    let wide = |number: Option<u32>, default: usize| number.map_or(default, |number| number as usize);
    let span = |span: Option<super::Span>, default: Duration| span.map_or(default, |span| span.0);
    broker::Config {
        seed,
        anonymous: broker.anonymous.unwrap_or(users.is_empty()),
        users,
        durable: broker.disk,
        trace: true,
        connect_timeout: span(broker.connect_timeout, base.connect_timeout),
        server_keep_alive: broker.server_keep_alive.map(|keep_alive| u16::try_from(keep_alive.0).unwrap_or(u16::MAX)),
        session_expiry_maximum: broker.session_expiry_maximum.map_or(base.session_expiry_maximum, |expiry| expiry.0),
        receive_maximum: broker.receive_maximum.unwrap_or(base.receive_maximum),
        maximum_qos: broker.maximum_qos.map_or(base.maximum_qos, |qos| qos.0),
        retain_available: broker.retain_available.unwrap_or(base.retain_available),
        maximum_packet_size: broker.maximum_packet_size.unwrap_or(base.maximum_packet_size),
        topic_alias_maximum: broker.topic_alias_maximum.unwrap_or(base.topic_alias_maximum),
        wildcard_available: broker.wildcard_subscription_available.unwrap_or(base.wildcard_available),
        subscription_identifier_available: broker
            .subscription_identifier_available
            .unwrap_or(base.subscription_identifier_available),
        shared_available: broker.shared_subscription_available.unwrap_or(base.shared_available),
        connections_maximum: wide(broker.connections_maximum, base.connections_maximum),
        queue_maximum: wide(broker.queue_maximum, base.queue_maximum),
        response_information: broker.response_information.clone(),
        ..base
    }
}
