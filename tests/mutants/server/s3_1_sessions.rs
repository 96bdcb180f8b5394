//! Sessions, as CONNECT begins and resumes them (section 3.1).

use simrun::codec::{Packet, Property, Publish, Text, Version};
use simrun::conform::relay::{Onward, Tamper};
use simrun::trace::Way;

use crate::mutants::tools::{alter, without};
use crate::mutants::{Kind, Mutant};

/// Says that there is a session, or that there is none, whatever there is.
fn session_present(present: bool) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let Packet::ConnAck(connack) = &mut packet
            && !connack.reason.is_error()
        {
            connack.session_present = present;
        }
        onward.packet(version, way, &packet);
    })
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "every start is a clean one",
        breaks: &[
            "v3.1.1/MQTT-3.1.2-4",
            "v3.1.1/MQTT-3.1.2-5",
            "v3.1.1/MQTT-3.1.4-3",
            "v3.1.1/MQTT-3.2.2-2",
            "v5/MQTT-3.1.2-5",
            "v5/MQTT-3.1.2-6",
            "v5/MQTT-3.1.2-23",
            "v5/MQTT-3.1.4-4",
            "v5/MQTT-3.2.2-3",
        ],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let Packet::Connect(connect) = &mut packet {
                    connect.clean_start = true;
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "sessions end with their connections",
        breaks: &["v5/MQTT-3.1.2-5", "v5/MQTT-3.1.2-6", "v5/MQTT-3.1.2-23", "v5/MQTT-3.1.4-4", "v5/MQTT-3.2.2-3"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let Packet::Connect(connect) = &mut packet {
                    connect.properties = without(&connect.properties, Property::SessionExpiryInterval);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "messages do not wait for anybody",
        breaks: &["v3.1.1/MQTT-3.1.2-5"],
        via: &[],
        kind: Kind::BrokerSettings(|config| config.queue_maximum = 0),
    },
    Mutant {
        name: "no start is a clean one",
        breaks: &[
            "v3.1.1/MQTT-3.1.2-6",
            "v3.1.1/MQTT-3.1.4-3",
            "v3.1.1/MQTT-3.2.2-1",
            "v5/MQTT-3.1.2-4",
            "v5/MQTT-3.1.4-4",
            "v5/MQTT-3.2.2-2",
        ],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let Packet::Connect(connect) = &mut packet {
                    connect.clean_start = connect.client_id.is_empty();
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "Session Present is always 1",
        breaks: &[
            "v3.1.1/MQTT-3.2.2-1",
            "v3.1.1/MQTT-3.2.2-3",
            "v5/MQTT-3.1.2-6",
            "v5/MQTT-3.2.2-2",
            "v5/MQTT-3.2.2-3",
        ],
        via: &[],
        kind: Kind::Broker(|| session_present(true)),
    },
    Mutant {
        name: "Session Present is always 0",
        breaks: &["v3.1.1/MQTT-3.2.2-2", "v5/MQTT-3.2.2-3"],
        via: &[],
        kind: Kind::Broker(|| session_present(false)),
    },
    Mutant {
        name: "retained messages go with the session of who sent them",
        breaks: &["v3.1.1/MQTT-3.1.2-7"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut retained: Option<Text> = None;
            alter(move |version, way, packet, onward| {
                match &packet {
                    Packet::Publish(publish) if way == Way::Up && publish.retain => {
                        retained = Some(publish.topic.clone());
                    }
                    Packet::Disconnect(_) if way == Way::Up => forget(version, retained.take(), onward),
                    _ => {}
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "all clients share one session",
        breaks: &["v3.1.1/MQTT-3.1.3-2", "v5/MQTT-3.1.3-2"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let Packet::Connect(connect) = &mut packet
                    && !connect.clean_start
                {
                    connect.client_id = Text::literal("everybody");
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
];

fn forget(version: Version, topic: Option<Text>, onward: &mut Onward) {
    if let Some(topic) = topic {
        onward.packet(version, Way::Up, &Packet::Publish(Publish { topic, retain: true, ..Publish::default() }));
    }
}
