//! WebSocket as transport (section 6).

use simrun::trace::Way;

use crate::mutants::tools::{Frame, frame_is_packet, frames, websocket};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the server sends text frames",
        breaks: &["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"],
        via: &["frames_of_the_server"],
        kind: Kind::Broker(|| {
            frames(|way, frame| {
                if way == Way::Down && frame.is_data() {
                    frame.set_opcode(Frame::TEXT);
                }
            })
        }),
    },
    Mutant {
        name: "the server takes text frames as well",
        breaks: &["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"],
        via: &["connect_in_a_text_frame"],
        kind: Kind::Broker(takes_text),
    },
    Mutant {
        name: "the server takes text frames as well, once a client is in",
        breaks: &["v3.1.1/MQTT-6.0.0-1", "v5/MQTT-6.0.0-1"],
        via: &["publish_in_a_text_frame"],
        kind: Kind::Broker(takes_text),
    },
    Mutant {
        name: "the server takes a frame for a packet: one that goes over several is lost",
        breaks: &["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"],
        via: &["packets_across_frames"],
        kind: Kind::Broker(|| frame_is_packet(Way::Up)),
    },
    Mutant {
        name: "the server takes a frame for a packet: what comes with others in one is lost",
        breaks: &["v3.1.1/MQTT-6.0.0-2", "v5/MQTT-6.0.0-2"],
        via: &["packets_in_one_frame"],
        kind: Kind::Broker(|| frame_is_packet(Way::Up)),
    },
    Mutant {
        name: "the server names no subprotocol",
        breaks: &["v3.1.1/MQTT-6.0.0-4", "v5/MQTT-6.0.0-4"],
        via: &[],
        kind: Kind::Broker(|| {
            websocket(
                |way, head| match way {
                    Way::Down => without_field(&head, "sec-websocket-protocol"),
                    Way::Up => head,
                },
                |_, frame| Some(frame),
            )
        }),
    },
    Mutant {
        name: "the server picks the first subprotocol, whatever it is",
        breaks: &["v3.1.1/MQTT-6.0.0-4", "v5/MQTT-6.0.0-4"],
        via: &[],
        kind: Kind::Broker(|| {
            let offers_x = std::sync::atomic::AtomicBool::new(false);
            websocket(
                move |way, head| {
                    use std::sync::atomic::Ordering::Relaxed;
                    if way == Way::Up && head.contains("x, mqtt") {
                        offers_x.store(true, Relaxed);
                    }
                    if way == Way::Down && offers_x.load(Relaxed) { head.replace(": mqtt", ": x") } else { head }
                },
                |_, frame| Some(frame),
            )
        }),
    },
];

fn takes_text() -> Box<dyn simrun::conform::relay::Tamper> {
    frames(|way, frame| {
        if way == Way::Up && frame.opcode() == Frame::TEXT {
            frame.set_opcode(Frame::BINARY);
        }
    })
}

/// A head without this field.
fn without_field(head: &str, name: &str) -> String {
    let lines = head.split_inclusive("\r\n");
    lines.filter(|line| !line.to_ascii_lowercase().starts_with(name)).collect()
}
