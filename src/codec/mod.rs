//! Bytes to packets and back, for MQTT 3.1.1 and 5.0.
//!
//! The version is an argument of reader and writer. Packets are shaped as in 5.0; what 3.1.1 has no place for is empty
//! in packets read from it and left out of packets written for it. Reading is strict: what a standard calls malformed
//! or a protocol error, and what a single packet shows, is refused with the statement that it breaks. It copies neither
//! topics nor payloads: a [`Reader`] lends each packet where it lies ([`PacketRef`]).

mod fault;
mod frame;
mod packet;
mod packet_ref;
mod properties;
mod property;
mod property_wire;
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
pub use packet_ref::{AckRef, ConnectRef, PacketRef, PublishRef, SubscribeRef, SubscriptionRef, WillRef};
pub use properties::{Properties, PropertiesRef};
pub use property::{Place, Property, Value};
pub use read::decode;
pub use reader::Reader;
pub use reason::Reason;
pub use text::{MAX_FIELD_LEN, Text, TextError, TextRef};
pub use write::{PublishParts, Unencodable, encode};
