//! What a client may publish and subscribe to. The standard leaves this to the server (5.0 section 5.4.2) and says how it
//! answers: 0x87 in PUBACK, PUBREC and SUBACK; 3.1.1 has a failure in SUBACK only.

use super::Broker;
use super::session::SessionKey;
use crate::topic::{TopicFilter, TopicName};

/// One access rule. What is left out (`None`) applies to anyone, or anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// The user that it is for.
    pub user: Option<String>,
    /// The client identifier that it is for.
    pub client_id: Option<String>,
    /// What it is about.
    pub action: Option<Action>,
    /// The topics that it is about. Left out, they are all topics, also those that begin with `$`.
    pub filter: Option<TopicFilter>,
    /// Whether it allows or denies.
    pub allow: bool,
}

/// What an access rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publishing to a topic, wills included.
    Publish,
    /// Subscribing to a topic, and getting its messages.
    Subscribe,
}

impl Broker {
    /// Whether a client may publish to this topic: the first rule that applies decides; without one it may.
    pub(super) fn may_publish(&self, session: SessionKey, topic: &TopicName) -> bool {
        self.may(session, Action::Publish, |filter| filter.matches(topic))
    }

    /// Whether a client may get messages of this topic. It is asked for each message, because a filter with wildcards may
    /// match more than its subscriber may see.
    pub(super) fn may_hear(&self, session: SessionKey, topic: &TopicName) -> bool {
        self.may(session, Action::Subscribe, |filter| filter.matches(topic))
    }

    /// Whether a client may subscribe to this filter: the first rule that is about all of it decides.
    pub(super) fn may_subscribe(&self, session: SessionKey, asked: &TopicFilter) -> bool {
        self.may(session, Action::Subscribe, |filter| filter.covers(asked))
    }

    fn may(&self, session: SessionKey, action: Action, about: impl Fn(&TopicFilter) -> bool) -> bool {
        if self.config.access.is_empty() {
            return true;
        }
        let session = &self.sessions[session];
        let username = session.username.as_ref().map(|name| name.as_str());
        let decides = |rule: &&AccessRule| {
            rule.user.as_deref().is_none_or(|user| Some(user) == username)
                && rule.client_id.as_deref().is_none_or(|client_id| client_id == &*session.client_id)
                && rule.action.is_none_or(|of| of == action)
                && rule.filter.as_ref().is_none_or(&about)
        };
        self.config.access.iter().find(decides).is_none_or(|rule| rule.allow)
    }
}
