//! Subscriptions come and go (sections 3.8 to 3.11).

use super::notice::{Limit, Noticed, Notices};
use super::session::{SessionKey, Subscribed, target};
use super::shared::GroupKey;
use super::{Broker, Subscriber as Who};
use crate::codec::{
    Packet, Qos, Reason, RetainHandling, SubAck, SubscribeRef, SubscriptionOptions, SubscriptionRef, Text, UnsubAck,
    Unsubscribe, Version,
};
use crate::link::{Cause, LinkId};
use crate::topic::Target;

/// Whom the subscription index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subscriber {
    Session(SessionKey),
    Group(GroupKey),
}

/// How a subscriber wants its messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<u32>,
}

impl Broker {
    pub(super) fn subscribe(&mut self, id: LinkId, session: SessionKey, subscribe: &SubscribeRef<'_>) {
        let Some(version) = self.links.get(&id).map(|link| link.version) else { return };
        let mut targets = Vec::with_capacity(subscribe.subscriptions().len());
        for subscription in subscribe.subscriptions() {
            let target = target(subscription.filter.detached(), version == Version::V5);
            let shared = matches!(target, Ok(Target::Shared(_)));
            if shared && subscription.options.no_local {
                return self.offend(id, "No Local on a shared subscription"); // 5.0, 3.8.3-4
            }
            if let (Err(_), Version::V3_1_1) = (&target, version) {
                return self.offend(id, "the topic filter is not valid"); // 3.1.1, 4.7.1-2, -3; 4.8.0-1
            }
            targets.push(target);
        }
        let identifier = subscribe.properties.subscription_identifiers().next();
        if identifier.is_some() && !self.config.subscription_identifier_available {
            let what = "subscription identifiers are not available";
            return self.close(id, Cause::Protocol(Reason::SubscriptionIdentifiersNotSupported, what));
        }
        let mut reasons = Vec::with_capacity(targets.len());
        let mut retained = Vec::new();
        for (target, subscription) in targets.into_iter().zip(subscribe.subscriptions()) {
            let granted = target.map_err(|_| Reason::TopicFilterInvalid).and_then(|target| {
                let handling = subscription.options.retain_handling;
                let (subscribed, is_new) = self.grant(session, &target, subscription, identifier)?;
                let wanted = match handling {
                    RetainHandling::Send => true,
                    RetainHandling::SendIfNew => is_new,
                    RetainHandling::DoNotSend => false,
                };
                let qos = subscribed.options.qos;
                if let (true, Target::Own(filter)) = (wanted, target) {
                    // A shared one gets none (4.8.2).
                    retained.push((filter, subscribed));
                }
                Ok(qos)
            });
            self.note_of(session, Notices::All, || Noticed::Subscribed(subscription.filter.detached(), granted));
            reasons.push(match (granted, version) {
                (Ok(Qos::AtMostOnce), _) => Reason::Success,
                (Ok(Qos::AtLeastOnce), _) => Reason::GrantedQos1,
                (Ok(Qos::ExactlyOnce), _) => Reason::GrantedQos2,
                (Err(_), Version::V3_1_1) => Reason::UnspecifiedError,
                (Err(reason), Version::V5) => reason,
            });
        }
        let packet_identifier = subscribe.packet_identifier;
        let refused = reasons.iter().find(|reason| reason.is_error());
        let words = refused.and_then(|reason| self.words_for(id, *reason));
        self.send_explained(id, words, |properties| {
            Packet::SubAck(SubAck { packet_identifier, properties, reasons: reasons.clone() })
        });
        for (filter, subscribed) in retained {
            self.send_retained(session, filter, subscribed);
        }
    }

    /// Makes or changes one subscription; what was made, and whether it is new.
    fn grant(
        &mut self,
        key: SessionKey,
        target: &Target,
        asked: SubscriptionRef<'_>,
        identifier: Option<u32>,
    ) -> Result<(Subscribed, bool), Reason> {
        let config = &self.config;
        if target.filter().is_wildcard() && !config.wildcard_available {
            return Err(Reason::WildcardSubscriptionsNotSupported);
        }
        if matches!(target, Target::Shared(_)) && !config.shared_available {
            return Err(Reason::SharedSubscriptionsNotSupported);
        }
        if target.filter().depth() > config.filter_levels_maximum {
            return Err(Reason::QuotaExceeded);
        }
        if !self.may_subscribe(key, target.filter()) {
            return Err(Reason::NotAuthorized);
        }
        let subscriptions = &self.sessions[key].subscriptions;
        if subscriptions.len() >= config.subscriptions_maximum && !subscriptions.contains(asked.filter.as_bytes()) {
            self.note_limit(Limit::Subscriptions, Some(key));
            return Err(Reason::QuotaExceeded);
        }
        let options = SubscriptionOptions { qos: asked.options.qos.min(config.maximum_qos), ..asked.options };
        let shared = matches!(target, Target::Shared(_));
        let subscribed = Subscribed { options, identifier, shared };
        // A share of the target's would cost more memory for as long as the session lives.
        let is_new = self.add_subscription(key, asked.filter.detached(), target, subscribed);
        Ok((subscribed, is_new))
    }

    /// Puts a subscription into its session and into the index; whether it is new.
    pub(super) fn add_subscription(
        &mut self,
        key: SessionKey,
        filter: Text,
        target: &Target,
        subscribed: Subscribed,
    ) -> bool {
        let wanted = Wanted { options: subscribed.options, identifier: subscribed.identifier };
        match target {
            Target::Own(own) => drop(self.subscriptions.insert(own, Who::Session(key), wanted)),
            Target::Shared(share) => {
                let (group, is_new) = self.groups.join(share, key, wanted);
                if is_new {
                    self.subscriptions.insert(share.filter(), Who::Group(group), Wanted::default());
                }
            }
        }
        self.store_subscription(key, &filter, Some(&subscribed));
        self.sessions[key].subscriptions.insert(filter, subscribed).is_none()
    }

    /// Ends one subscription; whether there was one. What is queued already is still delivered (3.10.4-3).
    pub(super) fn remove_subscription(&mut self, key: SessionKey, filter: &Text) -> bool {
        let Some(subscribed) = self.sessions[key].subscriptions.remove(filter) else { return false };
        self.replays.cancel(key, filter);
        let Ok(target) = target(filter.clone(), subscribed.shared) else { return false };
        match &target {
            Target::Own(own) => drop(self.subscriptions.remove(own, &Who::Session(key))),
            Target::Shared(share) => {
                if let Some(group) = self.groups.leave(share, key) {
                    self.subscriptions.remove(share.filter(), &Who::Group(group));
                }
            }
        }
        self.store_subscription(key, filter, None);
        true
    }

    pub(super) fn unsubscribe(&mut self, id: LinkId, session: SessionKey, unsubscribe: Unsubscribe) {
        let Some(version) = self.links.get(&id).map(|link| link.version) else { return };
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let valid = target(filter.clone(), version == Version::V5).is_ok();
            if !valid && version == Version::V3_1_1 {
                return self.offend(id, "the topic filter is not valid");
            }
            self.note_of(session, Notices::All, || Noticed::Unsubscribed(filter.clone()));
            reasons.push(match (valid, self.remove_subscription(session, filter)) {
                (false, _) => Reason::TopicFilterInvalid,
                (true, true) => Reason::Success,
                (true, false) => Reason::NoSubscriptionExisted,
            });
        }
        if version == Version::V3_1_1 {
            reasons.clear();
        }
        let packet_identifier = unsubscribe.packet_identifier;
        let refused = reasons.iter().find(|reason| reason.is_error());
        let words = refused.and_then(|reason| self.words_for(id, *reason));
        self.send_explained(id, words, |properties| {
            Packet::UnsubAck(UnsubAck { packet_identifier, properties, reasons: reasons.clone() })
        });
    }
}
