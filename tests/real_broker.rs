//! `simrun --real` as a process: what it prints, how it ends, what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A broker and its port; killed at the end if the test has not ended it.
struct Broker(Child, u16);

impl Broker {
    fn start(more: &[&str]) -> Broker {
        let mut process = simrun(&["--real", "--listen", "127.0.0.1:0"]).args(more).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it prints");
        let (_, rest) = line.split_once("127.0.0.1:").expect("it says where it listens");
        let port = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|port| port.parse().ok());
        Broker(process, port.expect("a port"))
    }

    fn connect(&self, packet: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).expect("it accepts");
        stream.write_all(packet).expect("it reads");
        stream
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CONNECT_5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01x";
const CONNECT_3_1_1: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01y";

#[test]
fn a_signal_ends_it_in_good_order_and_clients_are_told() {
    for signal in ["INT", "TERM"] {
        let mut broker = Broker::start(&[]);
        let mut new = broker.connect(CONNECT_5);
        let mut old = broker.connect(CONNECT_3_1_1);
        let mut head = [0; 2];
        for stream in [&mut new, &mut old] {
            stream.read_exact(&mut head).expect("CONNACK");
            assert_eq!(head[0], 0x20);
            let mut rest = vec![0; head[1].into()];
            stream.read_exact(&mut rest).expect("the rest of it");
        }
        broker.signal(signal);
        let (mut told, mut closed) = (Vec::new(), Vec::new());
        new.read_to_end(&mut told).expect("closed in good order");
        old.read_to_end(&mut closed).expect("closed in good order");
        assert_eq!((told[0], told[2]), (0xE0, 0x8B), "DISCONNECT, server shutting down");
        assert!(closed.is_empty(), "3.1.1 has no such packet");
        drop((new, old));
        assert_eq!(broker.0.wait().expect("it ends").code(), Some(0), "after SIG{signal}");
    }
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_2() {
    let broker = Broker::start(&[]);
    let address = format!("127.0.0.1:{}", broker.1);
    let output = simrun(&["--real", "--listen", &address]).output().expect("it runs");
    let said = complaint(&output);
    assert!(said.contains(&address) && said.contains("in use") && said.lines().count() == 1, "{said}");
}

#[test]
fn mistakes_are_said_and_nothing_is_served() {
    for (arguments, word) in [
        (&["--real", "--user", "nobody"][..], "NAME:PASSWORD"),
        (&["--real", "--listen", "0.0.0.0:0"], "--user"),
        (&["--real", "--listen", "nowhere"], "nowhere"),
        (&["--real", "--profile", "apolo"], "apollo"),
        (&["--profile", "apollo"], "--real"),
    ] {
        let said = complaint(&simrun(arguments).output().expect("it runs"));
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn passwords_are_asked_for_once_there_are_users() {
    let broker = Broker::start(&["--user", "ada:lovelace"]);
    let mut answer = Vec::new();
    broker.connect(CONNECT_3_1_1).read_to_end(&mut answer).expect("refused and closed");
    assert_eq!(answer, [0x20, 2, 0, 4]);
    let with_password = b"\x10\x1c\0\x04MQTT\x04\xc2\0\0\0\x01y\0\x03ada\0\x08lovelace";
    let mut stream = broker.connect(with_password);
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("CONNACK");
    assert_eq!(answer, [0x20, 2, 0, 0]);
}

#[test]
fn bytes_that_are_no_packet_cost_only_their_sender_the_connection() {
    let broker = Broker::start(&[]);
    let mut polite = broker.connect(CONNECT_3_1_1);
    let mut answer = [0; 4];
    polite.read_exact(&mut answer).expect("CONNACK");
    for rude in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x10\xff\xff\xff\xff\x7f", b"\xf0\0", b"\x10\xff\xff\xff\x7f"] {
        let mut rest = Vec::new();
        // A reset is as good an answer as an end.
        let _ = broker.connect(rude).read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
    polite.write_all(&[0xC0, 0]).expect("still connected");
    let mut pong = [0; 2];
    polite.read_exact(&mut pong).expect("PINGRESP");
    assert_eq!(pong, [0xD0, 0]);
}

/// A client without a keep alive whose machine vanishes is noticed by the operating system, which is told to ask after two
/// minutes of silence. Seen in the kernel's table of connections.
#[cfg(target_os = "linux")]
#[test]
#[allow(clippy::disallowed_types, clippy::disallowed_methods)] // Time is real here.
fn a_machine_that_has_vanished_is_asked_whether_it_is_there() {
    use std::time::{Duration, Instant};
    let broker = Broker::start(&["--ws", "127.0.0.1:0"]);
    let mut stream = broker.connect(CONNECT_3_1_1);
    stream.read_exact(&mut [0; 4]).expect("CONNACK");
    let client = format!(":{:04X}", stream.local_addr().expect("an address").port());
    let server = format!(":{:04X}", broker.1);
    let ends = Instant::now() + Duration::from_secs(10);
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
        let of_server = table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields[1].ends_with(&server) && fields[2].ends_with(&client)).then(|| fields[5].to_owned())
        });
        // Which timer runs, 2 is that of keepalive, and for how many hundredths of a second.
        let (timer, left) = of_server.as_deref().and_then(|timer| timer.split_once(':')).expect("the connection");
        let left = u64::from_str_radix(left, 16).expect("a number");
        if timer == "02" && (1..=12_000).contains(&left) {
            return;
        }
        // Until what was sent is acknowledged, another one runs.
        assert!(Instant::now() < ends, "timer {timer}, {left}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
