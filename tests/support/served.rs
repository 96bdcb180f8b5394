//! `simrun --real` with its page as a process, and clients of a few lines for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use simrun::codec::*;

/// How long is waited for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker with a page; killed at the end.
pub struct Served {
    process: Child,
    pub mqtt: u16,
    pub ws: u16,
    pub web: u16,
    log: Receiver<String>,
}

impl Served {
    pub fn simrun(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A broker on free ports, with `more` arguments; its page stands where `more` says it.
    pub fn command(more: &[&str]) -> Command {
        let mut command = Served::simrun(&["--real", "--listen", "127.0.0.1:0", "--ws", "127.0.0.1:0"]);
        if !more.contains(&"--web") {
            command.args(["--web", "127.0.0.1:0"]);
        }
        command.args(more);
        command
    }

    pub fn start(more: &[&str]) -> Served {
        let mut process = Served::command(more).spawn().expect("it starts");
        let mut greeting = String::new();
        BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut greeting).expect("it prints");
        let port = |scheme: &str| {
            let (_, rest) = greeting.split_once(&format!("{scheme}://127.0.0.1:")).expect("it says where it listens");
            rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok()).expect("a port")
        };
        let (mqtt, ws, web) = (port("mqtt"), port("ws"), port("http"));
        let stderr = BufReader::new(process.stderr.take().expect("piped"));
        let (tell, log) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Served { process, mqtt, ws, web, log }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The lines of the log up to one with this word.
    pub fn log_until(&mut self, word: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.contains(word)) {
            let line = self.log.recv_timeout(PATIENCE);
            lines.push(line.unwrap_or_else(|_| panic!("no line with {word}: {lines:#?}")));
        }
        lines
    }

    /// A client of 5.0 that is connected, and its session with it only.
    pub fn connect(&self, client_id: &str) -> TcpStream {
        self.connect_as(client_id, None)
    }

    pub fn connect_as(&self, client_id: &str, user: Option<(&str, &str)>) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.mqtt)).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let connect = Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive: 60,
            client_id: text(client_id),
            username: user.map(|(user, _)| text(user)),
            password: user.map(|(_, password)| Bytes::copy_from_slice(password.as_bytes())),
            will: None,
            properties: Properties::new(),
        };
        send(&mut stream, &Packet::Connect(Box::new(connect)));
        assert!(matches!(receive(&mut stream), Packet::ConnAck(_)));
        stream
    }

    pub fn subscribe(&self, client: &mut TcpStream, filter: &str) {
        let subscription = Subscription { filter: text(filter), options: SubscriptionOptions::default() };
        let packet_identifier = PacketIdentifier::new(1).expect("it is not 0");
        let properties = Properties::new();
        send(
            client,
            &Packet::Subscribe(Subscribe { packet_identifier, properties, subscriptions: vec![subscription] }),
        );
        assert!(matches!(receive(client), Packet::SubAck(_)));
    }

    /// Publishes at QoS 0.
    pub fn publish(&self, client: &mut TcpStream, topic: &str, payload: &[u8], retain: bool) {
        let payload = Bytes::copy_from_slice(payload);
        send(client, &Packet::Publish(Publish { topic: text(topic), payload, retain, ..Publish::default() }));
    }

    /// Waits until all that the client sent was taken in.
    pub fn ping(&self, client: &mut TcpStream) {
        send(client, &Packet::PingReq);
        while !matches!(receive(client), Packet::PingResp) {}
    }

    /// The topic and payload of the next message that comes.
    pub fn next_publish(&self, client: &mut TcpStream) -> (String, Vec<u8>) {
        match receive(client) {
            Packet::Publish(publish) => (publish.topic.to_string(), publish.payload.to_vec()),
            other => panic!("not a PUBLISH: {other:?}"),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(text: &str) -> Text {
    Text::try_from(text).expect("MQTT can carry it")
}

fn send(stream: &mut TcpStream, packet: &Packet) {
    let frame = Frame::new(packet, Version::V5).expect("it can be written");
    stream.write_all(&frame.to_bytes()).expect("it reads");
}

/// The next packet, whose length takes one byte or two.
fn receive(stream: &mut TcpStream) -> Packet {
    let mut bytes = vec![0; 2];
    stream.read_exact(&mut bytes).expect("a packet");
    let mut length = usize::from(bytes[1] & 0x7F);
    if bytes[1] >= 0x80 {
        let mut more = [0];
        stream.read_exact(&mut more).expect("the rest of its length");
        bytes.extend(more);
        length += usize::from(more[0]) * 128;
    }
    let head = bytes.len();
    bytes.resize(head + length, 0);
    stream.read_exact(&mut bytes[head..]).expect("the rest of it");
    decode(Version::V5, &Bytes::from(bytes)).expect("it is valid")
}
