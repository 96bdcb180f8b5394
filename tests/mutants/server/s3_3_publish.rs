//! PUBLISH (section 3.3).

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use simrun::codec::{Fault, Packet, Properties, Property, Publish, Qos, RetainHandling, Subscribe, Text, Value};
use simrun::conform::relay::Tamper;
use simrun::trace::Way;

use crate::mutants::tools::{alter, change, overlooks, patch, swallow};
use crate::mutants::{Kind, Mutant};

pub const MUTANTS: &[Mutant] = &[
    // --- the flags
    Mutant {
        name: "repeats have DUP 0",
        breaks: &["v3.1.1/MQTT-3.3.1-1", "v5/MQTT-3.3.1-1"],
        via: &[],
        kind: Kind::Broker(|| delivered(|publish| publish.dup = false)),
    },
    Mutant {
        name: "DUP is set at QoS 0",
        breaks: &["v3.1.1/MQTT-3.3.1-2", "v5/MQTT-3.3.1-2"],
        via: &[],
        kind: Kind::Broker(|| {
            patch(Way::Down, |_, bytes| {
                if bytes[0] & 0xf6 == 0x30 {
                    bytes[0] |= 0b1000;
                }
            })
        }),
    },
    Mutant {
        name: "DUP is set on first copies",
        breaks: &["v3.1.1/MQTT-3.3.1-3", "v5/MQTT-3.3.1-3"],
        via: &[],
        kind: Kind::Broker(|| delivered(|publish| publish.dup = publish.qos > Qos::AtMostOnce)),
    },
    Mutant {
        name: "a PUBLISH with both QoS bits is overlooked",
        breaks: &["v3.1.1/MQTT-3.3.1-4", "v5/MQTT-3.3.1-4"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::Qos3)),
    },
    // --- retained messages
    Mutant {
        name: "retained messages come at QoS 0",
        breaks: &["v3.1.1/MQTT-3.3.1-5", "v3.1.1/MQTT-3.3.1-6", "v5/MQTT-3.3.1-5"],
        via: &[],
        kind: Kind::Broker(|| {
            delivered(|publish| {
                if publish.retain {
                    publish.qos = Qos::AtMostOnce;
                    publish.packet_identifier = None;
                }
            })
        }),
    },
    Mutant {
        name: "a topic's first retained message is not displaced",
        breaks: &["v3.1.1/MQTT-3.3.1-6", "v3.1.1/MQTT-3.3.1-7", "v5/MQTT-3.3.1-5"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut known = Vec::new();
            published(move |publish| {
                if publish.retain && !known.contains(&publish.topic) {
                    known.push(publish.topic.clone());
                } else {
                    publish.retain = false;
                }
            })
        }),
    },
    Mutant {
        name: "RETAIN is never set",
        breaks: &["v3.1.1/MQTT-3.3.1-8", "v5/MQTT-3.3.1-13"],
        via: &[],
        kind: Kind::Broker(|| delivered(|publish| publish.retain = false)),
    },
    Mutant {
        name: "RETAIN is always set",
        breaks: &["v3.1.1/MQTT-3.3.1-9", "v5/MQTT-3.3.1-12"],
        via: &[],
        kind: Kind::Broker(|| delivered(|publish| publish.retain = true)),
    },
    Mutant {
        name: "empty messages are not forwarded",
        breaks: &["v3.1.1/MQTT-3.3.1-10", "v5/MQTT-3.3.1-6"],
        via: &["empty_is_forwarded"],
        kind: Kind::Broker(|| {
            swallow(Way::Down, |_, packet| matches!(packet, Packet::Publish(publish) if publish.payload.is_empty()))
        }),
    },
    Mutant {
        name: "an empty message does not erase the retained one",
        breaks: &["v3.1.1/MQTT-3.3.1-10", "v5/MQTT-3.3.1-6"],
        via: &["empty_erases"],
        kind: Kind::Broker(|| published(|publish| publish.retain &= !publish.payload.is_empty())),
    },
    Mutant {
        name: "an empty message is retained like any other",
        breaks: &["v3.1.1/MQTT-3.3.1-11", "v5/MQTT-3.3.1-7"],
        via: &["empty_is_not_kept"],
        kind: Kind::Broker(|| {
            published(|publish| {
                if publish.payload.is_empty() {
                    publish.payload = Bytes::from_static(b"nothing");
                }
            })
        }),
    },
    Mutant {
        name: "every message is retained",
        breaks: &["v3.1.1/MQTT-3.3.1-12", "v5/MQTT-3.3.1-8"],
        via: &["without_retain_nothing_is_kept"],
        kind: Kind::Broker(|| published(|publish| publish.retain = true)),
    },
    Mutant {
        name: "every message displaces the retained one",
        breaks: &["v3.1.1/MQTT-3.3.1-12", "v5/MQTT-3.3.1-8"],
        via: &["without_retain_nothing_is_erased"],
        kind: Kind::Broker(|| published(|publish| publish.retain = true)),
    },
    Mutant {
        name: "Retain Handling 0 is taken for 1",
        breaks: &["v5/MQTT-3.3.1-9"],
        via: &[],
        kind: Kind::Broker(|| takes_for(RetainHandling::Send, RetainHandling::SendIfNew)),
    },
    Mutant {
        name: "Retain Handling 1 is taken for 0",
        breaks: &["v5/MQTT-3.3.1-10"],
        via: &["retain_handling_1"],
        kind: Kind::Broker(|| takes_for(RetainHandling::SendIfNew, RetainHandling::Send)),
    },
    Mutant {
        name: "Retain Handling 1 is taken for 2",
        breaks: &["v5/MQTT-3.3.1-10"],
        via: &["retain_handling_1_after_unsubscribe"],
        kind: Kind::Broker(|| takes_for(RetainHandling::SendIfNew, RetainHandling::DoNotSend)),
    },
    Mutant {
        name: "Retain Handling 2 is taken for 0",
        breaks: &["v5/MQTT-3.3.1-11"],
        via: &[],
        kind: Kind::Broker(|| takes_for(RetainHandling::DoNotSend, RetainHandling::Send)),
    },
    Mutant {
        name: "Retain As Published is overlooked",
        breaks: &["v5/MQTT-3.3.1-13"],
        via: &[],
        kind: Kind::Broker(|| {
            asked(|subscribe| {
                subscribe.subscriptions.iter_mut().for_each(|asked| asked.options.retain_as_published = false);
            })
        }),
    },
    // --- the topic name
    Mutant {
        name: "a PUBLISH that is not well-formed is overlooked",
        breaks: &["v3.1.1/MQTT-3.3.2-1", "v5/MQTT-3.3.2-1", "v5/MQTT-3.3.2-13", "v5/MQTT-3.3.2-19"],
        via: &[],
        kind: Kind::Broker(|| {
            overlooks(|first, fault| first >> 4 == 3 && matches!(fault, Fault::NotUtf8 | Fault::CutOff))
        }),
    },
    Mutant {
        name: "wildcards in a topic name are overlooked",
        breaks: &["v3.1.1/MQTT-3.3.2-2", "v5/MQTT-3.3.2-2"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::TopicWildcard)),
    },
    Mutant {
        name: "a filter's last level matches everything",
        breaks: &["v3.1.1/MQTT-3.3.2-3", "v5/MQTT-3.3.2-3"],
        via: &[],
        kind: Kind::Broker(|| {
            asked(|subscribe| {
                for asked in &mut subscribe.subscriptions {
                    let (before, _) = asked.filter.rsplit_once('/').expect("filters of cases have levels");
                    asked.filter = Text::try_from(format!("{before}/#")).expect("a filter");
                }
            })
        }),
    },
    // --- the properties
    Mutant {
        name: "Payload Format Indicator is not passed on",
        breaks: &["v5/MQTT-3.3.2-4"],
        via: &[],
        kind: Kind::Broker(|| loses(Property::PayloadFormatIndicator)),
    },
    Mutant {
        name: "messages do not expire",
        breaks: &["v5/MQTT-3.3.2-5", "v5/MQTT-3.3.2-6"],
        via: &[],
        kind: Kind::Broker(|| {
            published(|publish| {
                publish.properties = publish.properties.borrowed().without(&[Property::MessageExpiryInterval]);
            })
        }),
    },
    Mutant {
        name: "the expiry interval is passed on as it came",
        breaks: &["v5/MQTT-3.3.2-6"],
        via: &[],
        kind: Kind::Broker(|| {
            delivered(|publish| {
                if publish.properties.message_expiry_interval().is_some() {
                    let others = publish.properties.borrowed().without(&[Property::MessageExpiryInterval]);
                    publish.properties = others.with(Property::MessageExpiryInterval, Value::Four(60));
                }
            })
        }),
    },
    Mutant {
        name: "aliases are remembered beyond the connection",
        breaks: &["v5/MQTT-3.3.2-7"],
        via: &[],
        kind: Kind::Broker(remembers_aliases),
    },
    Mutant {
        name: "a PUBLISH with alias 0 is overlooked",
        breaks: &["v5/MQTT-3.3.2-8"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::TopicAliasZero)),
    },
    Mutant {
        name: "a PUBLISH with too high an alias is overlooked",
        breaks: &["v5/MQTT-3.3.2-9"],
        via: &[],
        kind: Kind::Broker(|| {
            swallow(
                Way::Up,
                |_, packet| matches!(packet, Packet::Publish(publish) if publish.properties.topic_alias() > Some(64)),
            )
        }),
    },
    Mutant {
        name: "more aliases are used than the client allows",
        breaks: &["v5/MQTT-3.3.2-11"],
        via: &[],
        kind: Kind::Broker(|| connects_with(Property::TopicAliasMaximum, Some(Value::Two(16)))),
    },
    Mutant {
        name: "more aliases are announced than taken",
        breaks: &["v5/MQTT-3.3.2-12"],
        via: &[],
        kind: Kind::Broker(|| announces(Property::TopicAliasMaximum, 100)),
    },
    Mutant {
        name: "wildcards in a response topic are overlooked",
        breaks: &["v5/MQTT-3.3.2-14"],
        via: &[],
        kind: Kind::Broker(|| overlooks(|_, fault| fault == Fault::ResponseTopicWildcard)),
    },
    Mutant {
        name: "Response Topic is not passed on",
        breaks: &["v5/MQTT-3.3.2-15"],
        via: &[],
        kind: Kind::Broker(|| loses(Property::ResponseTopic)),
    },
    Mutant {
        name: "Correlation Data is not passed on",
        breaks: &["v5/MQTT-3.3.2-16"],
        via: &[],
        kind: Kind::Broker(|| loses(Property::CorrelationData)),
    },
    Mutant {
        name: "user properties are not passed on",
        breaks: &["v5/MQTT-3.3.2-17", "v5/MQTT-3.3.2-18"],
        via: &[],
        kind: Kind::Broker(|| loses(Property::UserProperty)),
    },
    Mutant {
        name: "user properties are passed on in another order",
        breaks: &["v5/MQTT-3.3.2-17", "v5/MQTT-3.3.2-18"],
        via: &[],
        kind: Kind::Broker(|| {
            delivered(|publish| {
                let mut all: Vec<_> = publish.properties.iter().collect();
                all.reverse();
                publish.properties = all
                    .into_iter()
                    .fold(Properties::new(), |properties, (property, value)| properties.with(property, value));
            })
        }),
    },
    Mutant {
        name: "Content Type is not passed on",
        breaks: &["v5/MQTT-3.3.2-20"],
        via: &[],
        kind: Kind::Broker(|| loses(Property::ContentType)),
    },
    // --- what comes of it
    Mutant {
        name: "PUBACK has another packet identifier",
        breaks: &["v3.1.1/MQTT-3.3.4-1", "v5/MQTT-3.3.4-1"],
        via: &[],
        kind: Kind::Broker(|| {
            change(Way::Down, |_, packet| {
                if let Packet::Ack(ack) = packet {
                    ack.packet_identifier = ack.packet_identifier.saturating_add(1);
                }
            })
        }),
    },
    Mutant {
        name: "subscriptions are granted QoS 2 and served at QoS 1",
        breaks: &["v3.1.1/MQTT-3.3.5-1", "v5/MQTT-3.3.4-2"],
        via: &[],
        kind: Kind::Broker(|| delivered(|publish| publish.qos = publish.qos.min(Qos::AtLeastOnce))),
    },
    Mutant {
        name: "access rules are not enforced",
        breaks: &["v3.1.1/MQTT-3.3.5-2"],
        via: &[],
        kind: Kind::BrokerSettings(|config| config.access.clear()),
    },
    Mutant {
        name: "one copy lists one subscription identifier",
        breaks: &["v5/MQTT-3.3.4-3", "v5/MQTT-3.3.4-4"],
        via: &[],
        kind: Kind::Broker(|| {
            delivered(|publish| {
                let first = publish.properties.subscription_identifiers().next();
                if let Some(first) = first {
                    let others = publish.properties.borrowed().without(&[Property::SubscriptionIdentifier]);
                    publish.properties = others.with(Property::SubscriptionIdentifier, Value::Variable(first));
                }
            })
        }),
    },
    Mutant {
        name: "each of several copies lists all subscription identifiers",
        breaks: &["v5/MQTT-3.3.4-5"],
        via: &[],
        kind: Kind::Broker(|| {
            alter(|version, way, packet, onward| {
                if matches!(&packet, Packet::Publish(publish) if way == Way::Down && publish.qos == Qos::AtMostOnce) {
                    onward.packet(version, way, &packet);
                }
                onward.packet(version, way, &packet);
            })
        }),
    },
    Mutant {
        name: "a client's PUBLISH with a subscription identifier is overlooked",
        breaks: &["v5/MQTT-3.3.4-6"],
        via: &[],
        kind: Kind::Broker(|| {
            swallow(
                Way::Up,
                |_, packet| matches!(packet, Packet::Publish(publish) if publish.properties.subscription_identifiers().next().is_some()),
            )
        }),
    },
    Mutant {
        name: "more unfinished messages are taken than announced",
        breaks: &["v5/MQTT-3.3.4-7"],
        via: &[],
        kind: Kind::Broker(|| announces(Property::ReceiveMaximum, 10)),
    },
    Mutant {
        name: "the client's Receive Maximum is overlooked",
        breaks: &["v5/MQTT-3.3.4-9"],
        via: &[],
        kind: Kind::Broker(|| connects_with(Property::ReceiveMaximum, None)),
    },
    Mutant {
        name: "an unfinished message holds back everything",
        breaks: &["v5/MQTT-3.3.4-10"],
        via: &[],
        kind: Kind::Broker(|| {
            let mut unfinished = false;
            alter(move |version, way, packet, onward| {
                if !(unfinished && way == Way::Down) {
                    onward.packet(version, way, &packet);
                }
                unfinished |=
                    matches!(&packet, Packet::Publish(publish) if way == Way::Down && publish.qos > Qos::AtMostOnce);
            })
        }),
    },
];

/// Changes what the broker delivers.
fn delivered(mut change_it: impl FnMut(&mut Publish) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::Publish(publish) = packet {
            change_it(publish);
        }
    })
}

/// Changes what is published before the broker sees it.
fn published(mut change_it: impl FnMut(&mut Publish) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Up, move |_, packet| {
        if let Packet::Publish(publish) = packet {
            change_it(publish);
        }
    })
}

/// Changes what is asked for before the broker sees it.
fn asked(mut change_it: impl FnMut(&mut Subscribe) + Send + 'static) -> Box<dyn Tamper> {
    change(Way::Up, move |_, packet| {
        if let Packet::Subscribe(subscribe) = packet {
            change_it(subscribe);
        }
    })
}

/// Loses a property on the way to subscribers.
fn loses(property: Property) -> Box<dyn Tamper> {
    delivered(move |publish| publish.properties = publish.properties.borrowed().without(&[property]))
}

/// Takes one Retain Handling for another.
fn takes_for(one: RetainHandling, other: RetainHandling) -> Box<dyn Tamper> {
    asked(move |subscribe| {
        for asked in &mut subscribe.subscriptions {
            if asked.options.retain_handling == one {
                asked.options.retain_handling = other;
            }
        }
    })
}

/// Has the broker believe that CONNECT gave this value of a property, or none.
fn connects_with(property: Property, value: Option<Value>) -> Box<dyn Tamper> {
    change(Way::Up, move |_, packet| {
        if let Packet::Connect(connect) = packet {
            connect.properties = connect.properties.borrowed().without(&[property]);
            if let Some(value) = &value {
                connect.properties.push(property, value.clone());
            }
        }
    })
}

/// Has the client believe that the broker announced this.
fn announces(property: Property, number: u16) -> Box<dyn Tamper> {
    change(Way::Down, move |_, packet| {
        if let Packet::ConnAck(connack) = packet {
            connack.properties = connack.properties.borrowed().without(&[property]).with(property, Value::Two(number));
        }
    })
}

/// Fills in the topics of aliases that were set on earlier connections.
fn remembers_aliases() -> Box<dyn Tamper> {
    thread_local! {
        static ALIASES: RefCell<BTreeMap<u16, Text>> = RefCell::default();
    }
    published(|publish| {
        let Some(alias) = publish.properties.topic_alias() else { return };
        ALIASES.with_borrow_mut(|aliases| {
            if publish.topic.is_empty() {
                publish.topic = aliases.get(&alias).cloned().unwrap_or_default();
            } else {
                aliases.insert(alias, publish.topic.clone());
            }
        });
    })
}
