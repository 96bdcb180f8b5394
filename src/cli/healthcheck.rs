//! `simrun healthcheck`: whether a broker is there, for containers and scripts.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{FAILED, complain, wrong};
use crate::codec::{Connect, Frame, Packet, Properties, Text, Version};

/// What a health check is told.
#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// The broker (mqtt://HOST:PORT or HOST:PORT), which has to answer a CONNECT; or its page (http://HOST:PORT), which
    /// has to say that the broker answers
    #[arg(default_value = "mqtt://127.0.0.1:1883")]
    target: String,
    /// How long the answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

/// What is asked, and where.
enum Target<'a> {
    Broker(&'a str),
    Page(&'a str),
}

pub(super) fn healthcheck(arguments: &HealthcheckArguments) -> ExitCode {
    let target = match arguments.target.split_once("://") {
        None => Target::Broker(&arguments.target),
        Some(("mqtt" | "tcp", address)) => Target::Broker(address.trim_end_matches('/')),
        Some(("http", rest)) => Target::Page(rest.split('/').next().unwrap_or_default()),
        Some((scheme, _)) => {
            return wrong(format_args!(
                "error: {scheme}:// is not known here; write mqtt://HOST:PORT or http://HOST:PORT"
            ));
        }
    };
    let timeout = Duration::from_secs(arguments.timeout);
    let healthy = match target {
        Target::Broker(address) => broker(address, timeout),
        Target::Page(address) => page(address, timeout),
    };
    match healthy {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{}: {error}", arguments.target));
            ExitCode::from(FAILED)
        }
    }
}

fn dial(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "write HOST:PORT");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A broker that answers a CONNECT is there, also if it wants a password.
fn broker(address: &str, timeout: Duration) -> io::Result<()> {
    let mut stream = dial(address, timeout)?;
    let connect = Connect {
        version: Version::V3_1_1,
        clean_start: true,
        keep_alive: 10,
        client_id: Text::EMPTY,
        username: None,
        password: None,
        will: None,
        properties: Properties::new(),
    };
    let frame = Frame::new(&Packet::Connect(Box::new(connect)), Version::V3_1_1).map_err(io::Error::other)?;
    stream.write_all(&frame.to_bytes())?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer[..2] != [0x20, 2] {
        return Err(io::Error::other("it does not speak MQTT"));
    }
    // DISCONNECT. Whoever refused us has closed already.
    let _ = stream.write_all(&[0xE0, 0]);
    Ok(())
}

fn page(address: &str, timeout: Duration) -> io::Result<()> {
    let mut stream = dial(address, timeout)?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let said = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
    Err(io::Error::other(format!("{status} {said}")))
}
