//! CONNECT (section 3.1).

use crate::conform::bench::Bench;
use crate::conform::case::client_cases;
use crate::conform::verdict::Outcome;

client_cases! {
    connect_comes_first: ["v3.1.1/MQTT-3.1.0-1", "v5/MQTT-3.1.0-1"];
}

/// The first packet on a connection is CONNECT.
async fn connect_comes_first(bench: &mut Bench) -> Outcome {
    let order = bench.connect("a");
    bench.start(order).await?;
    let mut wire = bench.accept().await?;
    let first = wire.next("CONNECT as the first packet").await?;
    let is_connect = matches!(first, crate::codec::Packet::Connect(_));
    crate::conform::verdict::ensure(is_connect, "CONNECT as the first packet", first.packet_type().name())?;
    Ok(())
}
