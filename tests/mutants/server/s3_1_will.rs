//! The will (section 3.1).

use simrun::codec::{Connect, Packet, Property, Qos, Reason, Text, Value, Will};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{alter, without};
use crate::mutants::{Kind, Mutant};

/// A broker that understands other wills than were sent.
fn misread(change: impl Fn(&mut Will) + Send + 'static) -> Box<dyn Tamper> {
    connects(move |connect| {
        if let Some(will) = &mut connect.will {
            change(will);
        }
    })
}

fn connects(change: impl Fn(&mut Connect) + Send + 'static) -> Box<dyn Tamper> {
    alter(move |version, way, mut packet, onward| {
        if let Packet::Connect(connect) = &mut packet {
            change(connect);
        }
        onward.packet(version, way, &packet);
    })
}

/// Takes DISCONNECTs with this reason code for the end of the connection and nothing more.
fn disconnect_is_a_cut(reason: Reason) -> Box<dyn Tamper> {
    alter(move |version, way, packet, onward| match &packet {
        Packet::Disconnect(disconnect) if way == Way::Up && disconnect.reason == reason => onward.end(Way::Up),
        _ => onward.packet(version, way, &packet),
    })
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "wills are forgotten",
        breaks: &["v3.1.1/MQTT-3.1.2-8", "v3.1.1/MQTT-3.1.2-9", "v5/MQTT-3.1.2-7", "v5/MQTT-3.1.2-8"],
        via: &[],
        kind: Kind::Broker(|| connects(|connect| connect.will = None)),
    },
    Mutant {
        name: "DISCONNECT does not remove the will",
        breaks: &["v3.1.1/MQTT-3.1.2-10", "v5/MQTT-3.1.2-8", "v5/MQTT-3.1.2-10"],
        via: &[],
        kind: Kind::Broker(|| disconnect_is_a_cut(Reason::Success)),
    },
    Mutant {
        name: "every DISCONNECT removes the will",
        breaks: &["v5/MQTT-3.1.2-8"],
        via: &["will_asked_for_in_disconnect"],
        kind: Kind::Broker(|| {
            alter(|version, way, mut packet, onward| {
                if let (Way::Up, Packet::Disconnect(disconnect)) = (way, &mut packet) {
                    disconnect.reason = Reason::Success;
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a client identifier keeps its will",
        breaks: &["v3.1.1/MQTT-3.1.2-10", "v3.1.1/MQTT-3.1.2-12", "v5/MQTT-3.1.2-10"],
        via: &[],
        kind: Kind::Broker(|| {
            connects(|connect| {
                // The client `a` of a case has its will on the topic `will` of that case.
                if let (None, Some(case)) = (&connect.will, connect.client_id.strip_suffix('a')) {
                    let topic = Text::try_from(format!("simrun/{case}/will")).expect("a topic name");
                    connect.will = Some(Will { topic, payload: "gone".into(), ..Will::default() });
                }
            })
        }),
    },
    Mutant {
        name: "all wills have QoS 0",
        breaks: &["v3.1.1/MQTT-3.1.2-9", "v3.1.1/MQTT-3.1.2-14", "v5/MQTT-3.1.2-12"],
        via: &["will_qos"],
        kind: Kind::Broker(|| misread(|will| will.qos = Qos::AtMostOnce)),
    },
    Mutant {
        name: "all wills are retained",
        breaks: &["v3.1.1/MQTT-3.1.2-16", "v5/MQTT-3.1.2-14"],
        via: &[],
        kind: Kind::Broker(|| misread(|will| will.retain = true)),
    },
    Mutant {
        name: "no will is retained",
        breaks: &["v3.1.1/MQTT-3.1.2-9", "v3.1.1/MQTT-3.1.2-17", "v5/MQTT-3.1.2-15"],
        via: &["will_retained"],
        kind: Kind::Broker(|| misread(|will| will.retain = false)),
    },
    Mutant {
        name: "wills do not wait",
        breaks: &["v5/MQTT-3.1.2-8", "v5/MQTT-3.1.3-9"],
        via: &["will_after_its_delay", "return_before_the_delay"],
        kind: Kind::Broker(|| misread(|will| will.properties = without(&will.properties, Property::WillDelayInterval))),
    },
    Mutant {
        name: "a will outlives its session",
        breaks: &["v5/MQTT-3.1.2-8"],
        via: &["will_at_the_end_of_the_session"],
        kind: Kind::Broker(|| {
            connects(|connect| {
                if connect.will.is_some() && connect.properties.session_expiry_interval().is_some() {
                    let others = without(&connect.properties, Property::SessionExpiryInterval);
                    connect.properties = others.with(Property::SessionExpiryInterval, Value::Four(1000));
                }
            })
        }),
    },
    Mutant {
        name: "user properties of a will come in another order",
        breaks: &["v5/MQTT-3.1.3-10"],
        via: &[],
        kind: Kind::Broker(|| {
            misread(|will| {
                let mut pairs: Vec<_> = will.properties.user_properties().collect();
                pairs.sort();
                will.properties = without(&will.properties, Property::UserProperty);
                for (name, value) in pairs {
                    will.properties.push(Property::UserProperty, Value::Pair(name, value));
                }
            })
        }),
    },
];
