//! DISCONNECT (section 3.14).

use super::{bytes, lacks};
use crate::codec::{Disconnect, Packet, Properties, Property, Reason, Value};
use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::steered::protocol::{DisconnectOrder, Order};
use crate::conform::verdict::{Failure, Otherwise, Outcome, same};
use crate::trace::describe;

client_cases! {
    reserved_flags_are_answered: ["v5/MQTT-3.14.1-1"];
    disconnect_codes: ["v5/MQTT-3.14.2-1"];
    disconnect_reason_string_fits: ["v5/MQTT-3.14.2-3"];
    disconnect_user_properties_fit: ["v5/MQTT-3.14.2-4"];
    nothing_after_disconnect: ["v3.1.1/MQTT-3.14.4-2", "v5/MQTT-3.14.4-1"];
    closes_after_disconnect: ["v3.1.1/MQTT-3.14.4-1", "v5/MQTT-3.14.4-2"];
}

/// A DISCONNECT with reserved flags set ends the connection, after DISCONNECT with 0x81.
async fn reserved_flags_are_answered(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    wire.send_bytes(bytes("e100")).await.setup()?;
    let before = bench.closed(&mut wire).await?;
    let code = before.iter().find_map(|packet| match packet {
        Packet::Disconnect(disconnect) => Some(disconnect.reason),
        _ => None,
    });
    // Clients need only close (section 4.13.1).
    let Some(code) = code else {
        return Err(Failure::new("DISCONNECT with 0x81 before the close", "the close alone")).advisable();
    };
    same("reason code", code, Reason::MalformedPacket)?;
    Ok(())
}

/// The reason codes for clients arrive. One that only servers use is better refused by the library, or not sent.
async fn disconnect_codes(bench: &mut Bench) -> Outcome {
    bench.needs("disconnect.reason")?;
    for reason in [Reason::Success, Reason::DisconnectWithWill] {
        let mut wire = bench.welcome(bench.connect("a")).await?;
        let order = DisconnectOrder { reason: Some(reason.code()), ..DisconnectOrder::default() };
        bench.must(Order::Disconnect(order)).await?;
        same("reason code", wire.disconnect().await?.reason, reason)?;
        bench.cut(wire).await?;
    }
    let mut wire = bench.welcome(bench.connect("a")).await?;
    let order = DisconnectOrder { reason: Some(Reason::ServerBusy.code()), ..DisconnectOrder::default() };
    let sent = bench.offer(&mut wire, Order::Disconnect(order)).await?;
    // Who uses which code is said in the table, not in the statement.
    lacks("a reason code that only servers use", &sent, |packet| match packet {
        Packet::Disconnect(disconnect) => disconnect.reason == Reason::ServerBusy,
        _ => false,
    })
    .advisable()
}

/// A reason string that the server's maximum packet size has no room for is left out.
async fn disconnect_reason_string_fits(bench: &mut Bench) -> Outcome {
    bench.needs("disconnect.reason_string")?;
    let order = DisconnectOrder { reason_string: Some("x".repeat(100)), ..DisconnectOrder::default() };
    leaves_out(bench, order, Property::ReasonString).await
}

/// The same for user properties.
async fn disconnect_user_properties_fit(bench: &mut Bench) -> Outcome {
    bench.needs("disconnect.user_properties")?;
    let user_properties = vec![("k".to_owned(), "x".repeat(100))];
    leaves_out(bench, DisconnectOrder { user_properties, ..DisconnectOrder::default() }, Property::UserProperty).await
}

async fn leaves_out(bench: &mut Bench, order: DisconnectOrder, property: Property) -> Outcome {
    let properties = Properties::new().with(Property::MaximumPacketSize, Value::Four(50));
    let mut wire = bench.welcome_with(bench.connect("a"), false, properties).await?;
    let sent = bench.offer(&mut wire, Order::Disconnect(order)).await?;
    let has = |properties: &Properties| properties.iter().any(|(found, _)| found == property);
    lacks("a property that there is no room for", &sent, |packet| match packet {
        Packet::Disconnect(Disconnect { properties, .. }) => has(properties),
        _ => false,
    })?;
    Ok(())
}

/// With much under way nothing follows DISCONNECT.
async fn nothing_after_disconnect(bench: &mut Bench) -> Outcome {
    let mut wire = bench.subscriber(bench.connect("a")).await?;
    for qos in [1, 2, 1, 2] {
        bench.say(bench.publish("a", "x", qos)).await?;
    }
    bench.leave().await?;
    let is_disconnect = |packet: &Packet| matches!(packet, Packet::Disconnect(_));
    wire.settling_until(is_disconnect).await?;
    // Whether it closes is another statement.
    let after = bench.closed(&mut wire).await.unwrap_or_else(|_| wire.rest());
    after.first().map_or(Ok(()), |packet| Err(Failure::new("nothing after DISCONNECT", describe(packet)).into()))
}

/// The client closes after DISCONNECT, although the server leaves the connection open.
async fn closes_after_disconnect(bench: &mut Bench) -> Outcome {
    let mut wire = bench.welcome(bench.connect("a")).await?;
    bench.leave().await?;
    wire.disconnect().await.setup()?;
    bench.closed(&mut wire).await?;
    Ok(())
}
