//! `simrun conform` as its users call it: exit codes, and what it says where there is nothing to check, where somebody
//! wants it to stop, and where its results do not find their place.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn conform(arguments: &[&str]) -> Output {
    simrun(&["conform"]).args(arguments).output().expect("it runs")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Demands that it ends with this code after one line on stderr that has all of these words, and says nothing else.
fn one_finding(output: &Output, code: i32, words: &[&str]) {
    let errors = said(&output.stderr);
    assert_eq!((output.status.code(), said(&output.stdout).as_str()), (Some(code), ""), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "{words:?} in {errors}");
}

/// Something that listens and is no broker: it does this with each connection, for as long as the test runs.
fn listener(with: fn(std::net::TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || listener.incoming().flatten().for_each(with));
    address
}

#[test]
fn a_port_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let target = format!("mqtt://{free}");
    one_finding(&conform(&["--target", &target]), 3, &[&target, "cannot be reached", "refused"]);
}

#[test]
fn an_http_server() {
    let address = listener(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let page = [b'.'; 200];
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 200\r\n\r\n");
        let _ = stream.write_all(&page);
    });
    let target = format!("mqtt://{address}");
    one_finding(&conform(&["--target", &target]), 3, &[&target, "no packet", "is it an MQTT broker"]);
    let target = format!("ws://{address}/mqtt");
    one_finding(&conform(&["--target", &target]), 3, &[&target, "400 Bad Request"]);
}

#[test]
fn a_port_that_says_nothing() {
    // Connections stay open.
    let address = listener(std::mem::forget);
    let target = format!("mqtt://{address}");
    one_finding(&conform(&["--target", &target, "--patience", "1"]), 3, &[&target, "nothing in 1s"]);
}

/// Our broker as a process, killed at the end.
struct Broker(Child, String);

impl Broker {
    fn start() -> Broker {
        let mut process =
            simrun(&["--real", "--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("mqtt://")).expect("the broker says where it listens");
        let address = line.split_whitespace().find(|word| word.starts_with("mqtt://")).expect("an address").to_owned();
        // Somebody reads on, or the broker would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Broker(process, address)
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.end();
    }
}

/// A run of everything, one case after another: it is in the middle for a long time.
#[allow(clippy::disallowed_methods)] // Real programs take real time.
fn under_way(broker: &Broker) -> Child {
    let run = simrun(&["conform", "--side-by-side", "1", "--target", &broker.1]).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(500));
    run
}

#[test]
fn a_broker_that_dies_in_the_middle() {
    let mut broker = Broker::start();
    let run = under_way(&broker);
    broker.end();
    let output = run.wait_with_output().expect("it ends");
    let said = said(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(said.matches("DIED").count(), 1, "{said}");
    assert!(said.contains("no profile says how to start it again"), "{said}");
    assert!(said.contains(" 0 broken"), "{said}");
}

/// The first signal lets the cases under way come to their end and tidy up behind themselves; what was found is told.
#[test]
fn an_interruption() {
    let broker = Broker::start();
    let run = under_way(&broker);
    let killed = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let output = run.wait_with_output().expect("it ends");
    let (told, errors) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{told}\n{errors}");
    assert!(errors.contains("interrupted"), "{errors}");
    assert!(told.contains("skipped: the run was interrupted"), "{told}");
}

#[test]
fn a_reader_that_goes_away() {
    let mut list = simrun(&["conform", "--list"]).spawn().expect("it starts");
    drop(list.stdout.take());
    let output = list.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), said(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn what_cannot_be_written_is_refused_before_the_run() {
    // Nobody is there: had the run begun, the exit code were 3.
    let nobody = ["--target", "mqtt://127.0.0.1:1"];
    for (file, why) in [
        ("/nowhere/report.json", "there is no folder /nowhere"),
        (env!("CARGO_TARGET_TMPDIR"), "the ending says no known form"),
        ("report.pdf", "the ending says no known form"),
    ] {
        one_finding(&conform(&[nobody[0], nobody[1], "-o", file]), 2, &[file, why]);
    }
}

#[test]
fn a_selection_with_a_slip() {
    for (word, meant) in [("v5/MQTT-4.33-1", "v5/MQTT-4.3.3-1"), ("will_qso", "will_qos"), ("v5/will_qso", "will_qos")]
    {
        one_finding(&conform(&[word]), 2, &[word, &format!("did you mean {meant}?")]);
    }
}

/// On our own broker and client, which break nothing: a baseline says so of what it lists.
#[test]
fn a_baseline_that_lists_what_is_kept() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("conform_command_baseline.txt");
    std::fs::write(&file, "# known\nv5/MQTT-3.1.0-1  # no longer\n").expect("a file");
    let output = conform(&["v5/3.1.0", "--baseline", file.to_str().expect("a path")]);
    let told = said(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("baseline: 1 known, 0 new, 1 mended"), "{told}");
    assert!(told.contains("to be struck from the baseline: v5/MQTT-3.1.0-1"), "{told}");
    std::fs::write(&file, "v5/MQTT-99\n").expect("a file");
    one_finding(&conform(&["--baseline", file.to_str().expect("a path")]), 2, &[":1:", "v5/MQTT-99", "no statement"]);
}
