//! Topic names: what a message is published to.

use std::fmt;

use super::TopicError;
use crate::codec::Text;

/// A topic name: at least one character, no wildcards (3.1.1 and 5.0 section 4.7).
///
/// Names are compared exactly as they were sent: no folding of case, no normalisation (MQTT-4.7.3-4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Text);

impl TopicName {
    /// The levels between the slashes: at least one, and any of them may be empty (section 4.7.1.1).
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.as_str().split('/')
    }

    /// Whether the name begins with `$`, and so is hidden from filters that begin with a wildcard (section 4.7.2).
    pub fn is_reserved(&self) -> bool {
        self.0.as_bytes().starts_with(b"$")
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name, as a packet carries it.
    pub fn text(&self) -> &Text {
        &self.0
    }

    /// The same name in the buffer of `text`, which says the same.
    pub(crate) fn sharing(&self, text: &Text) -> TopicName {
        debug_assert_eq!(self.0, *text);
        TopicName(text.clone())
    }

    /// A copy in a buffer of its own, for keeping: see [`Text::detached`].
    pub fn detached(&self) -> TopicName {
        TopicName(self.0.detached())
    }
}

impl TryFrom<Text> for TopicName {
    type Error = TopicError;

    fn try_from(text: Text) -> Result<TopicName, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        match text.chars().find(|c| matches!(c, '+' | '#')) {
            Some(wildcard) => Err(TopicError::WildcardInName(wildcard)),
            None => Ok(TopicName(text)),
        }
    }
}

impl TryFrom<&str> for TopicName {
    type Error = TopicError;

    fn try_from(string: &str) -> Result<TopicName, TopicError> {
        TopicName::try_from(Text::try_from(string)?)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
