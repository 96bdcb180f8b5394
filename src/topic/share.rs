//! Shared subscriptions (5.0 section 4.8.2).

use std::fmt;

use super::{TopicError, TopicFilter};
use crate::codec::Text;

/// Who a 5.0 subscription is for: the subscriber alone, or a group that shares the messages among its members.
///
/// In 3.1.1 there is only the first, and `$share/…` is a filter like any other: nothing is to be parsed there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The subscriber itself.
    Own(TopicFilter),
    /// A group.
    Shared(Share),
}

/// A shared subscription: `$share/name/filter` (5.0 section 4.8.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share {
    name: Text,
    filter: TopicFilter,
}

impl Target {
    /// The filter to match names with: the part after the share name, if there is one.
    pub fn filter(&self) -> &TopicFilter {
        match self {
            Target::Own(filter) | Target::Shared(Share { filter, .. }) => filter,
        }
    }
}

impl Share {
    /// What begins the filter of every shared subscription.
    pub const PREFIX: &'static str = "$share/";

    /// The group's name; two groups with one name and different filters are different groups.
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// The filter to match names with.
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }
}

impl TryFrom<TopicFilter> for Target {
    type Error = TopicError;

    fn try_from(filter: TopicFilter) -> Result<Target, TopicError> {
        let Some(rest) = filter.as_str().strip_prefix(Share::PREFIX) else {
            return Ok(Target::Own(filter));
        };
        let name = rest.split('/').next().unwrap_or_default();
        if name.is_empty() {
            return Err(TopicError::ShareNameEmpty);
        }
        if let Some(wildcard) = name.chars().find(|c| matches!(c, '+' | '#')) {
            return Err(TopicError::WildcardInShareName(wildcard));
        }
        let text = filter.text();
        let slash = Share::PREFIX.len() + name.len();
        if text.len() <= slash + 1 {
            return Err(TopicError::ShareFilterEmpty);
        }
        let name = text.slice(Share::PREFIX.len()..slash);
        let filter = TopicFilter::try_from(text.slice(slash + 1..text.len()))?;
        Ok(Target::Shared(Share { name, filter }))
    }
}

impl TryFrom<&str> for Target {
    type Error = TopicError;

    fn try_from(string: &str) -> Result<Target, TopicError> {
        Target::try_from(TopicFilter::try_from(string)?)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Own(filter) => fmt::Display::fmt(filter, f),
            Target::Shared(share) => fmt::Display::fmt(share, f),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Share::PREFIX, self.name, self.filter)
    }
}
