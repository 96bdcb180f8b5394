//! The codec: what is written is read, whatever is read is a packet or an error, and cuts in the stream do not matter.

mod any;
mod chunks;
mod encoder;
mod lengths;
mod refused;
mod round_trip;
mod wire;
