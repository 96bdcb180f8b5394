//! rumqttd as its own program runs it, from a configuration on stdin.

use std::io::{Error, read_to_string, stdin};

use rumqttd::{Broker, Config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config: Config = toml::from_str(&read_to_string(stdin())?)?;
    Broker::new(config).start()?;
    // It returns when all its listeners have failed, and says why only to a log.
    Err(Error::other("rumqttd stopped by itself (port in use?)").into())
}
