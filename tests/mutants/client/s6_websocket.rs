//! WebSocket as transport (section 6).

use simrun::trace::Way;

use crate::mutants::tools::{Frame, frame_is_packet, frames, websocket};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the client sends text frames",
        breaks: &["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"],
        via: &["frames_of_the_client"],
        kind: Kind::Client(|| {
            frames(|way, frame| {
                if way == Way::Up && frame.is_data() {
                    frame.set_opcode(Frame::TEXT);
                }
            })
        }),
    },
    Mutant {
        name: "the client takes text frames as well",
        breaks: &["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"],
        via: &["connack_in_a_text_frame"],
        kind: Kind::Client(|| {
            frames(|way, frame| {
                if way == Way::Down && frame.opcode() == Frame::TEXT {
                    frame.set_opcode(Frame::BINARY);
                }
            })
        }),
    },
    Mutant {
        name: "the client takes a frame for a packet: one that goes over several is lost",
        breaks: &["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"],
        via: &["packets_are_put_together"],
        kind: Kind::Client(|| frame_is_packet(Way::Down)),
    },
    Mutant {
        name: "the client takes a frame for a packet: what comes with others in one is lost",
        breaks: &["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"],
        via: &["packets_are_taken_apart"],
        kind: Kind::Client(|| frame_is_packet(Way::Down)),
    },
    Mutant {
        name: "the client offers another subprotocol",
        breaks: &["v3.1.1/MQTT-6.0.0-3", "v5/MQTT-6.0.0-3"],
        via: &[],
        kind: Kind::Client(|| {
            websocket(
                |way, head| if way == Way::Up { head.replace(": mqtt", ": mqttv9") } else { head },
                |_, frame| Some(frame),
            )
        }),
    },
];
