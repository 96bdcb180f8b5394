//! Errors (3.1.1 section 4.8, 5.0 section 4.13).

use crate::codec::Packet;
use crate::conform::case::server_cases;
use crate::conform::lab::Lab;
use crate::conform::verdict::{Otherwise, Outcome, Stop};

server_cases! {
    violations_end_the_connection: ["v3.1.1/MQTT-4.8.0-1"];
    errors_end_the_connection: ["v5/MQTT-4.13.1-1", "v5/MQTT-4.13.2-1"];
}

/// What no client may send, in 3.1.1, in hexadecimal digits.
const VIOLATIONS: &[(&str, &str)] = &[
    ("packet type 0", "00 00"),
    ("packet type 15", "f0 00"),
    ("CONNACK from a client", "20 02 00 00"),
    ("SUBACK from a client", "90 03 00 01 00"),
    ("UNSUBACK from a client", "b0 02 00 01"),
    ("PINGRESP from a client", "d0 00"),
    ("a remaining length of five bytes", "30 80 80 80 80 01"),
    ("PUBLISH at QoS 3", "36 05 00 01 61 00 01"),
    ("PUBLISH without a topic", "30 00"),
    ("PUBLISH with an empty topic", "30 02 00 00"),
    ("PUBLISH whose topic is cut off", "30 03 00 05 61"),
    ("PUBACK cut off", "40 01 00"),
    ("SUBSCRIBE without a filter", "82 02 00 01"),
    ("UNSUBSCRIBE without a filter", "a2 02 00 01"),
    ("PINGREQ with a payload", "c0 01 00"),
];

/// What no client may send, in 5.0: malformed packets and Protocol Errors that have a reason code.
const ERRORS: &[(&str, &str)] = &[
    ("packet type 0", "00 00"),
    ("CONNACK from a client", "20 03 00 00 00"),
    ("SUBACK from a client", "90 04 00 01 00 00"),
    ("UNSUBACK from a client", "b0 04 00 01 00 00"),
    ("PINGRESP from a client", "d0 00"),
    ("a remaining length of five bytes", "30 80 80 80 80 01"),
    ("PUBLISH at QoS 3", "36 06 00 01 61 00 01 00"),
    ("PUBLISH without a topic", "30 00"),
    ("PUBLISH without topic and topic alias", "30 03 00 00 00"),
    ("PUBLISH whose properties are cut off", "30 04 00 01 61 05"),
    ("a property that there is not", "30 06 00 01 61 02 7f 00"),
    ("a property of another packet (Receive Maximum in PUBLISH)", "30 07 00 01 61 03 21 00 05"),
    ("a property twice (Message Expiry Interval)", "30 0e 00 01 61 0a 02 00 00 00 05 02 00 00 00 05"),
    ("Payload Format Indicator 2", "30 06 00 01 61 02 01 02"),
    ("Topic Alias 0", "30 07 00 01 61 03 23 00 00"),
    ("PUBACK with a reason code that there is not", "40 03 00 01 7f"),
    ("SUBSCRIBE without a filter", "82 03 00 01 00"),
    ("Retain Handling 3", "82 07 00 01 00 00 01 61 30"),
    ("Subscription Identifier 0", "82 09 00 01 02 0b 00 00 01 61 00"),
    ("Subscription Identifier twice", "82 0b 00 01 04 0b 01 0b 02 00 01 61 00"),
    ("UNSUBSCRIBE without a filter", "a2 03 00 01 00"),
    ("DISCONNECT with a reason code that there is not", "e0 01 7f"),
    ("Session Expiry Interval twice in DISCONNECT", "e0 0c 00 0a 11 00 00 00 01 11 00 00 00 01"),
    ("AUTH without a method", "f0 02 19 00"),
];

/// Each of these ends its connection, and no other.
async fn violations_end_the_connection(lab: &mut Lab) -> Outcome {
    ends_the_connection(lab, VIOLATIONS).await
}

/// Each of these ends its connection, and no other. How thoroughly a server checks is left to it.
async fn errors_end_the_connection(lab: &mut Lab) -> Outcome {
    ends_the_connection(lab, ERRORS).await
}

async fn ends_the_connection(lab: &Lab, rows: &[(&str, &str)]) -> Outcome {
    let mut bystander = lab.client("b").await?;
    let mut tolerated = Ok(());
    for (what, packet) in rows {
        let mut wire = lab.client("a").await?;
        wire.send_bytes(bytes(packet)).await.setup()?;
        // Whoever answers this has passed over what came before it.
        wire.try_send(&Packet::PingReq).await;
        match lab.closed_if_checked(&mut wire).await {
            Ok(_) => {}
            Err(Stop::Advice(mut failure)) => {
                failure.expected = format!("{what}: {}", failure.expected);
                tolerated = Err(Stop::Advice(failure));
            }
            Err(Stop::Failed(mut failure)) => {
                failure.expected = format!("{what}: {}", failure.expected);
                return Err(Stop::Failed(failure));
            }
            Err(other) => return Err(other),
        }
    }
    bystander.ping().await?;
    tolerated
}

/// Bytes of hexadecimal digits in pairs.
fn bytes(pairs: &str) -> Vec<u8> {
    pairs.split(' ').filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
