//! MQTT over WebSocket on real sockets: the upgrade, frames of every kind, what is refused. What a foreign client makes
//! of it is in `interop`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker that listens for WebSocket at this port; killed at the end.
struct Broker(Child, u16);

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(["--real", "--listen", "127.0.0.1:0"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Broker {
    fn start() -> Broker {
        let mut process = simrun(&["--ws", "127.0.0.1:0"]).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it prints");
        let (_, rest) = line.split_once("ws://127.0.0.1:").expect("it says where it listens");
        let port = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok());
        Broker(process, port.expect("a port"))
    }

    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.1)).expect("it accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }

    /// The head of the answer to a request, and the connection.
    fn ask(&self, request: &str) -> (String, TcpStream) {
        let mut stream = self.dial();
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("an answer") == 1 {
            head.push(byte[0]);
        }
        (String::from_utf8(head).expect("HTTP"), stream)
    }

    /// An upgraded connection.
    fn upgraded(&self) -> TcpStream {
        let (answer, stream) = self.ask(&upgrade("/mqtt", "mqtt"));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        stream
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn upgrade(path: &str, protocols: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocols}\r\n\r\n"
    )
}

/// A masked frame; `head` is its first byte: FIN and opcode.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let length = u8::try_from(payload.len()).expect("a short frame");
    assert!(length < 126);
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [head, 0x80 | length].into_iter().chain(MASK).chain(masked).collect()
}

/// The next frame's first byte and payload.
fn next_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut payload = vec![0; head[1].into()];
    stream.read_exact(&mut payload).expect("its payload");
    (head[0], payload)
}

const CONNECT: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01y";
const CONNACK: &[u8] = &[0x20, 2, 0, 0];
const BINARY: u8 = 0x82;

fn is_over(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset is as good an end; a timeout is none.
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn the_answer_names_the_subprotocol_of_mqtt() {
    let broker = Broker::start();
    for (path, offered, picked) in [
        ("/mqtt", "mqtt", "mqtt"),
        ("/", "x, mqtt", "mqtt"),
        ("/mqtt?token=1", "mqttv3.1", "mqttv3.1"),
        ("/mqtt", "mqttv3.1,mqtt", "mqtt"),
    ] {
        let (answer, _) = broker.ask(&upgrade(path, offered));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{path} {offered}: {answer}");
        assert!(answer.contains(&format!("sec-websocket-protocol: {picked}\r\n")), "{path} {offered}: {answer}");
        assert!(answer.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    }
}

#[test]
fn what_is_no_upgrade_to_mqtt_gets_an_http_error() {
    let broker = Broker::start();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(20_000));
    for (request, status) in [
        (upgrade("/mqtt", "chat"), "400 Bad Request"),
        (upgrade("/mqtt", "chat").replace("Sec-WebSocket-Protocol: chat\r\n", ""), "400 Bad Request"),
        (upgrade("/elsewhere", "mqtt"), "404 Not Found"),
        ("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "426 Upgrade Required"),
        (upgrade("/", "mqtt").replace(": 13", ": 7"), "426 Upgrade Required"),
        ("POST / HTTP/1.1\r\n\r\n".to_owned(), "400 Bad Request"),
        (String::from_utf8(CONNECT.to_vec()).expect("ASCII"), "400 Bad Request"),
        (long, "431 Request Header Fields Too Large"),
    ] {
        let (answer, stream) = broker.ask(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(is_over(stream), "{request}");
    }
}

#[test]
fn frames_and_packets_begin_and_end_apart() {
    let broker = Broker::start();
    let mut stream = broker.upgraded();
    for byte in CONNECT {
        stream.write_all(&frame(BINARY, &[*byte])).expect("it reads");
    }
    assert_eq!(next_frame(&mut stream), (BINARY, CONNACK.to_vec()));
    // One message in fragments, with a ping between them.
    stream.write_all(&frame(0x02, &[0xC0])).expect("it reads");
    stream.write_all(&frame(0x89, b"there?")).expect("it reads");
    assert_eq!(next_frame(&mut stream), (0x8A, b"there?".to_vec()), "the pong");
    stream.write_all(&frame(0x80, &[0x00])).expect("it reads");
    assert_eq!(next_frame(&mut stream), (BINARY, vec![0xD0, 0]));
    // Several packets in one frame.
    stream.write_all(&frame(BINARY, &[0xC0, 0, 0xC0, 0, 0xC0, 0])).expect("it reads");
    let mut answers = Vec::new();
    while answers.len() < 6 {
        let (head, payload) = next_frame(&mut stream);
        assert_eq!(head, BINARY);
        answers.extend(payload);
    }
    assert_eq!(answers, [0xD0, 0, 0xD0, 0, 0xD0, 0]);
    // The close is answered, and the server closes.
    stream.write_all(&frame(0x88, &[])).expect("it reads");
    assert_eq!(next_frame(&mut stream).0, 0x88);
    assert!(is_over(stream));
}

#[test]
fn disconnect_closes_in_good_order() {
    let broker = Broker::start();
    let mut stream = broker.upgraded();
    stream.write_all(&frame(BINARY, CONNECT)).expect("it reads");
    assert_eq!(next_frame(&mut stream), (BINARY, CONNACK.to_vec()));
    stream.write_all(&frame(BINARY, &[0xE0, 0])).expect("it reads");
    assert_eq!(next_frame(&mut stream).0, 0x88, "a close frame");
    stream.write_all(&frame(0x88, &[])).expect("it reads");
    assert!(is_over(stream));
}

#[test]
fn what_mqtt_does_not_come_in_ends_the_connection() {
    let broker = Broker::start();
    let mut polite = broker.upgraded();
    polite.write_all(&frame(BINARY, CONNECT)).expect("it reads");
    assert_eq!(next_frame(&mut polite), (BINARY, CONNACK.to_vec()));
    let unmasked = [&[BINARY, 14], CONNECT].concat();
    let huge = [&[BINARY, 0xFF][..], &u64::to_be_bytes(1 << 40), &[0; 4]].concat();
    for (what, bytes, code) in [
        ("a text frame", frame(0x81, CONNECT), 1003_u16),
        ("a text frame that is no text", frame(0x81, &[0xC0, 0]), 1003),
        ("an unknown kind of frame", frame(0x83, CONNECT), 1002),
        ("a frame without a mask", unmasked, 1002),
        ("a frame of a tebibyte", huge, 1009),
    ] {
        let mut stream = broker.upgraded();
        stream.write_all(&bytes).expect("it reads");
        let (head, why) = next_frame(&mut stream);
        assert_eq!((head, &why[..2]), (0x88, &code.to_be_bytes()[..]), "{what}: {}", String::from_utf8_lossy(&why));
        assert!(is_over(stream), "{what}");
    }
    polite.write_all(&frame(BINARY, &[0xC0, 0])).expect("still connected");
    assert_eq!(next_frame(&mut polite), (BINARY, vec![0xD0, 0]));
}

#[test]
fn who_does_not_ask_for_an_upgrade_in_time_is_cut() {
    let broker = Broker::start();
    let (silent, mut slow) = (broker.dial(), broker.dial());
    slow.write_all(b"GET /mqtt HT").expect("it reads");
    let begun = broker.upgraded();
    drop(begun);
    assert!(is_over(silent) && is_over(slow));
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = simrun(&["--ws", &address]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&address) && said.contains("--ws") && said.lines().count() == 1, "{said}");
    let open = simrun(&["--ws", "0.0.0.0:0"]).output().expect("it runs");
    assert_eq!(open.status.code(), Some(2), "open to strangers without users");
}
