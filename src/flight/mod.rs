//! QoS 1 and 2 in both directions: packet identifier → what is awaited, and the quotas of flow control
//! (sections 2.2.1, 4.3, 4.4 and 4.9).
//!
//! Each side of a connection holds one [`Outbound`] and one [`Inbound`]. They never share an identifier: the two
//! directions number their exchanges independently.

mod by_identifier;
mod inbound;
mod outbound;

pub use inbound::{Inbound, Receipt};
pub use outbound::{Awaited, Outbound, Unexpected};
