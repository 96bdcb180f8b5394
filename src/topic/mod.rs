//! Topic names and filters, what matches what, and the two collections that a broker matches with:
//! [`Index`] finds the subscriptions for a name, [`Tree`] finds the names for a subscription.
//!
//! Both answer in an order that follows from what they hold alone, not from how it came in or from any hash.

mod error;
mod filter;
mod index;
mod name;
mod share;
mod tree;

pub use error::TopicError;
pub use filter::{Level, TopicFilter};
pub use index::Index;
pub use name::TopicName;
pub use share::{Share, Target};
pub use tree::Tree;
