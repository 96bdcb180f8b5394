//! Bytes to packets and back, for MQTT 3.1.1 and 5.0.
//!
//! | file | what |
//! |---|---|
//! | `packet` | the packets, shaped as in 5.0 |
//! | `property`, `reason`, `fault` | three tables: properties, reason codes, what can be wrong |
//! | `reader` | a stream cut into packets |
//! | `read`, `write` | one packet from its bytes, and back |
//! | `frame` | one packet ready to be sent |
//! | `text`, `wire` | the data types |

mod fault;
mod frame;
mod packet;
mod property;
mod read;
mod reader;
mod reason;
mod text;
mod wire;
mod write;

pub use fault::{Fault, Malformed};
pub use frame::Frame;
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, PacketIdentifier, PacketType, Publish, Qos,
    RetainHandling, SubAck, Subscribe, Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{Place, Properties, Property, Value};
pub use read::decode;
pub use reader::Reader;
pub use reason::Reason;
pub use text::{MAX_FIELD_LEN, Text, TextError};
pub use write::{Unencodable, encode};
