//! The broker of the crate `mqtt5`: `mqtt5 PORT WEBSOCKET_PORT`. Its defaults are kept, but for addresses, for who may
//! connect (anybody) and for where sessions and retained messages are kept (in memory).

use std::env;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use mqtt5::broker::config::{StorageBackend, StorageConfig, WebSocketConfig};
use mqtt5::broker::{BrokerConfig, MqttBroker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = |n| -> Result<SocketAddr, Box<dyn Error>> {
        let port = env::args().nth(n).ok_or("usage: mqtt5 PORT WEBSOCKET_PORT")?;
        Ok((Ipv4Addr::LOCALHOST, port.parse::<u16>()?).into())
    };
    let mut config = BrokerConfig::new()
        .with_bind_address(address(1)?)
        .with_websocket(WebSocketConfig::new().with_bind_addresses(vec![address(2)?]))
        .with_storage(StorageConfig::new().with_backend(StorageBackend::Memory));
    config.auth_config.allow_anonymous = true;
    MqttBroker::with_config(config).await?.run().await?;
    Ok(())
}
