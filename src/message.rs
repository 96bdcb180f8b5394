//! An application message on its way from a publisher to subscribers.

use std::time::Duration;

use bytes::Bytes;

use crate::codec::{Properties, PropertiesRef, Property, Publish, PublishRef, Qos, Text};
use crate::time::Time;

/// An application message as a broker keeps it and a client's owner hears it (section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The topic name.
    pub topic: Text,
    /// What it says.
    pub payload: Bytes,
    /// How surely it is delivered.
    pub qos: Qos,
    /// The RETAIN flag.
    pub retain: bool,
    /// The properties that travel with it: neither topic alias nor subscription identifiers nor expiry.
    pub properties: Properties,
    /// The moment after which it is not delivered any more (Message Expiry Interval, 5.0 section 3.3.2.3.3).
    pub expires: Option<Time>,
}

impl Message {
    /// The message in a PUBLISH that came at `now` on `topic` (its own, or what its alias stands for).
    pub fn from_publish(publish: &Publish, topic: Text, now: Time) -> Message {
        let expiry = publish.properties.message_expiry_interval();
        Message {
            topic,
            payload: publish.payload.clone(),
            qos: publish.qos,
            retain: publish.retain,
            properties: travelling(publish.properties.borrowed()),
            expires: expiry.map(|seconds| now + Duration::from_secs(seconds.into())),
        }
    }

    /// The message in a PUBLISH that came at `now` on `topic` (its own, or what its alias stands for); the payload is a
    /// share of the buffer that it came in.
    pub fn received(publish: &PublishRef<'_>, topic: Text, now: Time) -> Message {
        let expiry = publish.properties.message_expiry_interval();
        Message {
            topic,
            payload: publish.shared_payload(),
            qos: publish.qos,
            retain: publish.retain,
            properties: travelling(publish.properties),
            expires: expiry.map(|seconds| now + Duration::from_secs(seconds.into())),
        }
    }

    /// Whether its time is over at `now`.
    pub fn expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What is left of its expiry interval at `now`, in whole seconds, rounded up so that a message still to be
    /// delivered never says 0.
    pub fn expiry_left(&self, now: Time) -> Option<u32> {
        let left = self.expires?.since(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The same message in buffers of its own, for keeping long: it does not hold on to the large buffer that it was
    /// received in. A payload that fills such a buffer is shared as it is, and so is the topic name, which is no part of
    /// that buffer: whoever received the message sees to that.
    #[must_use]
    pub fn detached(self) -> Message {
        const WORTH_SHARING: usize = 16 * 1024;
        let payload =
            if self.payload.len() >= WORTH_SHARING { self.payload } else { Bytes::copy_from_slice(&self.payload) };
        let properties = if self.properties.is_empty() { self.properties } else { self.properties.detached() };
        Message { payload, properties, ..self }
    }

    /// The same message, for keeping long and sending often: topic name and payload, which are sent together, lie together.
    #[must_use]
    pub fn compact(&self) -> Message {
        let (topic, payload) = self.topic.detached_with(&self.payload);
        Message { topic, payload, properties: self.properties.detached(), ..*self }
    }

    /// About how many bytes of memory it holds.
    pub fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + size_of::<Message>()
    }
}

/// The properties of a PUBLISH or will without those that concern one connection or one moment only.
pub fn travelling(properties: PropertiesRef<'_>) -> Properties {
    if properties.is_empty() {
        return Properties::default();
    }
    properties.without(&[
        Property::TopicAlias,
        Property::SubscriptionIdentifier,
        Property::MessageExpiryInterval,
        Property::WillDelayInterval,
    ])
}
