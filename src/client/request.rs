//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

use super::session::Sent;
use super::{Client, Event, Refused, Token};
use crate::codec::{
    Frame, Packet, PacketIdentifier, Properties, Reason, SubAck, Subscribe, Subscription, SubscriptionOptions, Text,
    UnsubAck, Unsubscribe, Version,
};
use crate::flight::Awaited;
use crate::time::Time;
use crate::topic::{Share, Target, TopicFilter};

/// How many filters stand in one SUBSCRIBE of those that are made anew.
const FILTERS_AT_ONCE: usize = 64;

/// A SUBSCRIBE or UNSUBSCRIBE of the owner.
#[derive(Clone, Debug)]
pub(super) struct Request {
    token: Token,
    what: What,
    /// Whether the client asks by itself, because the session is new.
    anew: bool,
}

#[derive(Clone, Debug)]
enum What {
    Subscribe(Vec<Subscription>, Properties),
    Unsubscribe(Vec<Text>),
}

/// A subscription that a new session is to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    subscription: Subscription,
    properties: Properties,
}

impl From<(Subscription, Properties)> for Wanted {
    fn from((subscription, properties): (Subscription, Properties)) -> Wanted {
        Wanted { subscription, properties }
    }
}

impl Request {
    fn awaited(&self) -> Awaited {
        match self.what {
            What::Subscribe(..) => Awaited::SubAck,
            What::Unsubscribe(_) => Awaited::UnsubAck,
        }
    }

    fn packet(&self, packet_identifier: PacketIdentifier) -> Packet {
        match &self.what {
            What::Subscribe(subscriptions, properties) => Packet::Subscribe(Subscribe {
                packet_identifier,
                properties: properties.clone(),
                subscriptions: subscriptions.clone(),
            }),
            What::Unsubscribe(filters) => Packet::Unsubscribe(Unsubscribe {
                packet_identifier,
                properties: Properties::new(),
                filters: filters.clone(),
            }),
        }
    }

    fn len(&self) -> usize {
        match &self.what {
            What::Subscribe(subscriptions, _) => subscriptions.len(),
            What::Unsubscribe(filters) => filters.len(),
        }
    }

    fn answered(self, reasons: Vec<Reason>) -> Event {
        match self.what {
            What::Subscribe(..) => Event::Subscribed(self.token, reasons),
            What::Unsubscribe(_) => Event::Unsubscribed(self.token, reasons),
        }
    }
}

impl Client {
    /// Subscribes: now, or as soon as there is a connection, and again whenever the server has lost the session.
    ///
    /// # Errors
    /// If the standard, or the server that is connected, does not allow it.
    pub fn subscribe(
        &mut self,
        now: Time,
        subscriptions: Vec<Subscription>,
        properties: Properties,
    ) -> Result<Token, Refused> {
        self.catch_up(now);
        if self.config.version == Version::V3_1_1 && !properties.is_empty() {
            return Err(Refused::NotInThisVersion("properties"));
        }
        for subscription in &subscriptions {
            self.may_subscribe(subscription)?;
        }
        let server = self.connected().map(|link| link.server).unwrap_or_default();
        if !server.identifiers_available && properties.subscription_identifiers().next().is_some() {
            return Err(Refused::NotAvailable(Reason::SubscriptionIdentifiersNotSupported));
        }
        self.request(What::Subscribe(subscriptions, properties))
    }

    /// Ends subscriptions: now, or as soon as there is a connection.
    ///
    /// # Errors
    /// If the standard does not allow it.
    pub fn unsubscribe(&mut self, now: Time, filters: Vec<Text>) -> Result<Token, Refused> {
        self.catch_up(now);
        for filter in &filters {
            TopicFilter::try_from(filter.clone())?;
        }
        self.request(What::Unsubscribe(filters))
    }

    fn request(&mut self, what: What) -> Result<Token, Refused> {
        if self.requests.len() >= self.config.queue_maximum {
            return Err(Refused::QueueFull(self.requests.len()));
        }
        let mut request = Request { token: Token(0), what, anew: false };
        let frame = Frame::new(&request.packet(PacketIdentifier::MIN), self.config.version)?;
        let most = self.connected().map_or(usize::MAX, |link| link.server.maximum_packet_size);
        if frame.len() > most {
            return Err(Refused::TooLarge { len: frame.len(), most });
        }
        request.token = self.token();
        let token = request.token;
        self.requests.push_back(request);
        self.flush();
        Ok(token)
    }

    fn may_subscribe(&self, subscription: &Subscription) -> Result<(), Refused> {
        let filter = TopicFilter::try_from(subscription.filter.clone())?;
        let options = subscription.options;
        if self.config.version == Version::V3_1_1 {
            let plain = SubscriptionOptions { qos: options.qos, ..SubscriptionOptions::default() };
            return if options == plain { Ok(()) } else { Err(Refused::NotInThisVersion("subscription options")) };
        }
        let server = self.connected().map(|link| link.server).unwrap_or_default();
        let shared = filter.as_str().starts_with(Share::PREFIX);
        let target = Target::try_from(filter)?;
        if shared && options.no_local {
            return Err(Refused::SharedNoLocal);
        }
        if shared && !server.shared_available {
            return Err(Refused::NotAvailable(Reason::SharedSubscriptionsNotSupported));
        }
        if target.filter().is_wildcard() && !server.wildcard_available {
            return Err(Refused::NotAvailable(Reason::WildcardSubscriptionsNotSupported));
        }
        Ok(())
    }

    /// Asks for all subscriptions that the new session is to have, before all else. What was asked likewise for a session
    /// that is lost, and not answered, is among them.
    pub(super) fn subscribe_anew(&mut self) {
        self.requests.retain(|request| !request.anew);
        let mut groups: Vec<(Vec<Subscription>, Properties)> = Vec::new();
        for wanted in &self.wanted {
            match groups.last_mut() {
                Some((group, properties)) if *properties == wanted.properties && group.len() < FILTERS_AT_ONCE => {
                    group.push(wanted.subscription.clone());
                }
                _ => groups.push((vec![wanted.subscription.clone()], wanted.properties.clone())),
            }
        }
        let mut requests = Vec::new();
        for (subscriptions, properties) in groups {
            let what = What::Subscribe(subscriptions, properties);
            requests.push(Request { token: self.token(), what, anew: true });
        }
        requests.into_iter().rev().for_each(|request| self.requests.push_front(request));
    }

    /// Sends the next request that waits; false if there is none or no packet identifier is free.
    pub(super) fn send_request(&mut self) -> bool {
        let Some(request) = self.requests.pop_front() else { return false };
        let awaited = request.awaited();
        let Ok(id) = self.session.outbound.begin(awaited, Sent::Request(request.clone())) else {
            self.requests.push_front(request);
            return false;
        };
        if !self.send(&request.packet(id)) {
            self.session.outbound.finish(id, awaited);
            let reasons = vec![Reason::PacketTooLarge; request.len()];
            self.tell(request.answered(reasons));
        }
        true
    }

    pub(super) fn suback(&mut self, suback: SubAck) {
        self.answered(suback.packet_identifier, Awaited::SubAck, suback.reasons);
    }

    pub(super) fn unsuback(&mut self, unsuback: UnsubAck) {
        self.answered(unsuback.packet_identifier, Awaited::UnsubAck, unsuback.reasons);
    }

    fn answered(&mut self, id: PacketIdentifier, awaited: Awaited, reasons: Vec<Reason>) {
        let Some(Sent::Request(request)) = self.session.outbound.finish(id, awaited) else {
            return self.offend("SUBACK or UNSUBACK for what was not asked");
        };
        let silent = awaited == Awaited::UnsubAck && self.config.version == Version::V3_1_1;
        if !silent && reasons.len() != request.len() {
            // What the answer means cannot be told: the request goes out again on the next connection.
            self.requests.push_front(request);
            return self.offend("SUBACK or UNSUBACK with more or fewer reasons than filters"); // MQTT-3.8.4-6
        }
        self.remember(&request, &reasons);
        self.tell(request.answered(reasons));
    }

    /// Keeps in mind what a new session is to have.
    fn remember(&mut self, request: &Request, reasons: &[Reason]) {
        match &request.what {
            What::Subscribe(subscriptions, properties) => {
                for (subscription, _) in subscriptions.iter().zip(reasons).filter(|(_, reason)| !reason.is_error()) {
                    let wanted = Wanted { subscription: subscription.clone(), properties: properties.clone() };
                    match self.wanted.iter_mut().find(|known| known.subscription.filter == subscription.filter) {
                        Some(known) => *known = wanted,
                        None => self.wanted.push(wanted),
                    }
                }
            }
            What::Unsubscribe(filters) => {
                let refused = |at: usize| reasons.get(at).is_some_and(|reason| reason.is_error());
                for (_, filter) in filters.iter().enumerate().filter(|(at, _)| !refused(*at)) {
                    self.wanted.retain(|known| known.subscription.filter != *filter);
                }
            }
        }
    }
}
