//! `simrun --real`: a broker on a real port.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use super::{Profile, RealArguments, say, wrong};
use crate::broker::Config;
use crate::live;

/// The port that MQTT has by registration, and the one that Apollo uses.
const MQTT_PORT: u16 = 1883;
const APOLLO_PORT: u16 = 61613;

/// Serves until it is told to stop.
pub(super) fn serve(arguments: &RealArguments) -> ExitCode {
    let (mut config, port) = match arguments.profile {
        Some(Profile::Apollo) => (Config::apollo(), APOLLO_PORT),
        None => (Config::default(), MQTT_PORT),
    };
    for user in &arguments.user {
        let Some((name, password)) = user.split_once(':') else {
            return wrong(format_args!("error: --user {user}: there is no colon; write --user NAME:PASSWORD"));
        };
        config.users.insert(name.to_owned(), password.to_owned());
        config.anonymous = false;
    }
    let address = arguments.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if !address.ip().is_loopback() && config.anonymous {
        return wrong(format_args!(
            "error: {address} can be reached from other machines, and anyone could connect; add --user NAME:PASSWORD, or \
             listen on 127.0.0.1"
        ));
    }
    let greeting = |local: SocketAddr| say(&greeting(local, &config));
    match live::serve(config.clone(), address, greeting) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => wrong(format_args!("error: {error}")),
    }
}

/// What is listening, and how to reach it.
fn greeting(local: SocketAddr, config: &Config) -> String {
    let who = match config.users.keys().next() {
        Some(user) => format!(" -u {user} -P …"),
        None => String::new(),
    };
    let access = match config.users.len() {
        0 => "anyone who reaches it may connect, without a password".to_owned(),
        1 => format!("user {}", config.users.keys().next().map_or("", String::as_str)),
        n => format!("{n} users"),
    };
    let (host, port) = (local.ip(), local.port());
    format!(
        "simrun: listening on mqtt://{local} (MQTT 3.1.1 and 5.0; {access}); Ctrl-C stops it\n\
         \x20 mosquitto_sub -h {host} -p {port}{who} -t '#' -v\n\
         \x20 mosquitto_pub -h {host} -p {port}{who} -t hello -m world\n"
    )
}
