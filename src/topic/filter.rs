//! Topic filters: what a subscription asks for.

use std::fmt;

use super::{TopicError, TopicName};
use crate::codec::Text;

/// A topic filter: levels that are literal or wildcards (3.1.1 and 5.0 section 4.7).
///
/// A shared subscription's filter, `$share/name/filter`, is one too: see [`Target`](super::Target).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Text);

/// One level of a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level<'a> {
    /// Matches a level that is the same string; it may be empty.
    Literal(&'a str),
    /// `+`: matches any one level (section 4.7.1.3).
    Single,
    /// `#`, always the last level: matches any number of levels, also none (section 4.7.1.2).
    Multi,
}

impl TopicFilter {
    /// Whether a message published to `name` is for this filter (sections 4.7.1 and 4.7.2).
    pub fn matches(&self, name: &TopicName) -> bool {
        if name.is_reserved() && self.begins_with_wildcard() {
            return false;
        }
        let mut names = name.levels();
        for level in self.levels() {
            match (level, names.next()) {
                (Level::Multi, _) => return true,
                (Level::Single, Some(_)) => {}
                (Level::Literal(literal), Some(name)) if literal == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// Whether this filter matches all that another matches. Judged level by level: of `+/#`, which happens to match
    /// all that `#` does, it is not said.
    pub fn covers(&self, other: &TopicFilter) -> bool {
        if other.0.as_bytes().starts_with(b"$") && self.begins_with_wildcard() {
            return false;
        }
        let mut others = other.levels();
        for level in self.levels() {
            match (level, others.next()) {
                (Level::Multi, _) => return true,
                (Level::Single, Some(Level::Literal(_) | Level::Single)) => {}
                (Level::Literal(literal), Some(Level::Literal(other))) if literal == other => {}
                _ => return false,
            }
        }
        others.next().is_none()
    }

    /// The levels between the slashes: at least one.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = Level<'_>> + Clone {
        self.0.as_str().split('/').map(|level| match level {
            "+" => Level::Single,
            "#" => Level::Multi,
            literal => Level::Literal(literal),
        })
    }

    /// How many levels there are: something to limit, for every level costs memory where the filter is kept.
    pub fn depth(&self) -> usize {
        self.0.as_bytes().iter().filter(|&&byte| byte == b'/').count() + 1
    }

    /// Whether any level is a wildcard.
    pub fn is_wildcard(&self) -> bool {
        self.0.as_bytes().iter().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// Whether the first level is a wildcard: then names that begin with `$` do not match (section 4.7.2).
    pub fn begins_with_wildcard(&self) -> bool {
        matches!(self.0.as_bytes().first(), Some(b'+' | b'#'))
    }

    /// The filter.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The filter, as a packet carries it.
    pub fn text(&self) -> &Text {
        &self.0
    }

    /// A copy in a buffer of its own, for keeping: see [`Text::detached`].
    pub fn detached(&self) -> TopicFilter {
        TopicFilter(self.0.detached())
    }
}

impl TryFrom<Text> for TopicFilter {
    type Error = TopicError;

    fn try_from(text: Text) -> Result<TopicFilter, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            match level.chars().find(|c| matches!(c, '+' | '#')) {
                Some(wildcard) if level.len() > 1 => return Err(TopicError::WildcardNotAlone(wildcard)),
                Some('#') if levels.peek().is_some() => return Err(TopicError::MultiNotLast),
                _ => {}
            }
        }
        Ok(TopicFilter(text))
    }
}

impl TryFrom<&str> for TopicFilter {
    type Error = TopicError;

    fn try_from(string: &str) -> Result<TopicFilter, TopicError> {
        TopicFilter::try_from(Text::try_from(string)?)
    }
}

/// Every name is also the filter that matches it alone.
impl From<TopicName> for TopicFilter {
    fn from(name: TopicName) -> TopicFilter {
        TopicFilter(name.text().clone())
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
