//! Our own client as an adapter: the line protocol on stdin and stdout, the suite over TCP.

use std::io::{self, BufRead, Write};
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::ours::pilot;
use super::protocol::{Command, ConnectOrder, Said};
use super::within;
use crate::conform::target::Dialling;

/// Does what stdin says, and says on stdout what comes of it, until stdin ends.
///
/// # Errors
/// If stdout cannot be written to, or a line of stdin is no command.
pub fn speak() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (ready, orders, mut said) = pilot(Rc::new(|order: &ConnectOrder| dial(order.clone())));
        say(&serde_json::to_string(&ready)?)?;
        let mut commands = commands();
        loop {
            tokio::select! {
                biased;
                Some(said) = said.recv() => say(&Said::write(&said)?)?,
                command = commands.recv() => match command {
                    None => return Ok(()),
                    Some(line) => {
                        let command: Command = serde_json::from_str(&line)?;
                        // It lives as long as this does.
                        let _ = orders.send(command);
                    }
                },
            }
        }
    })
}

fn dial(order: ConnectOrder) -> Dialling {
    Box::pin(async move {
        let stream = TcpStream::connect((order.host.as_str(), order.port)).await?;
        stream.set_nodelay(true)?;
        within(Box::new(stream), &order).await
    })
}

/// The lines of stdin. They are read by a thread of its own, which ends with the process.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (lines, commands) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    commands
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
