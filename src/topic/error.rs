//! What can be wrong with a topic.

use thiserror::Error;

use crate::codec::TextError;

/// Why a string is not a topic name, or not a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// MQTT cannot carry the string at all.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Names and filters have at least one character (section 4.7.3).
    #[error("the topic is empty")]
    Empty,
    /// Wildcards belong to filters (3.1.1 section 4.7.1, 5.0 section 4.7).
    #[error("a topic name contains the wildcard '{0}'")]
    WildcardInName(char),
    /// A `+` or a `#` shares its level with other characters (section 4.7.1).
    #[error("the wildcard '{0}' does not fill its level")]
    WildcardNotAlone(char),
    /// Levels follow a `#` (section 4.7.1.2).
    #[error("the wildcard '#' is not the last level")]
    MultiNotLast,
    /// `$share/` is followed by no name (5.0 section 4.8.2).
    #[error("the share name is empty")]
    ShareNameEmpty,
    /// The share name is a wildcard (5.0 section 4.8.2).
    #[error("the share name contains the wildcard '{0}'")]
    WildcardInShareName(char),
    /// The share name is followed by no filter (5.0 section 4.8.2).
    #[error("no topic filter follows the share name")]
    ShareFilterEmpty,
}
