//! Real foreign clients talk to the broker on a real socket: the tutorial's three programs with paho-mqtt 1.6 and 2.x,
//! and exercises of each feature with paho-mqtt, MQTT.js, rumqttc and mosquitto's clients, in 3.1.1 and 5.0.
//!
//! `tests/peers/install.sh` installs the clients; these tests call it. Where it cannot (no root, no network), they fail
//! under CI and say that nothing was tested elsewhere.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A broker of the tutorial's kind on a port of its own, stopped at the end.
struct Broker {
    process: Child,
    port: String,
    web_socket_port: String,
}

impl Broker {
    fn start() -> Broker {
        let mut process = Command::new(env!("CARGO_BIN_EXE_simrun"))
            .args(["--real", "--profile", "apollo", "--listen", "127.0.0.1:0", "--ws", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("the broker prints UTF-8"));
        let greeting = lines.find(|line| line.contains("://")).expect("the broker says where it listens");
        let port = |scheme: &str| {
            let (_, rest) = greeting.split_once(scheme).expect("an address");
            rest.chars().take_while(char::is_ascii_digit).collect::<String>()
        };
        let (port, web_socket_port) = (port("mqtt://127.0.0.1:"), port("ws://127.0.0.1:"));
        // Somebody reads on, or the broker would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Broker { process, port, web_socket_port }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the foreign clients are; `None`, and said so, where they cannot be installed and nobody insists.
fn peers() -> Option<&'static Path> {
    static PEERS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        let output = Command::new("bash").arg(file("install.sh")).output().expect("bash runs");
        if output.status.success() {
            let root = std::env::var_os("SIMRUN_PEERS").map(PathBuf::from);
            return Some(root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")));
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "the foreign clients cannot be installed:\n{why}");
        #[allow(clippy::print_stderr)] // A test that tested nothing says so.
        {
            eprintln!("NOT TESTED, the foreign clients cannot be installed:\n{why}");
        }
        None
    };
    PEERS.get_or_init(install).as_deref()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// Runs an exercise, which prints a line a check and fails if one of them does.
fn exercise(program: impl Fn(&Path) -> Command, version: &str) {
    let Some(peers) = peers() else { return };
    let broker = Broker::start();
    passes(program(peers).args(["--port", &broker.port]), version);
}

/// As [`exercise`], over WebSocket.
fn exercise_over_web_socket(program: impl Fn(&Path) -> Command, version: &str) {
    let Some(peers) = peers() else { return };
    let broker = Broker::start();
    passes(program(peers).args(["--ws", "--port", &broker.web_socket_port]), version);
}

fn passes(program: &mut Command, version: &str) {
    let output = program
        .args(["--user", "admin", "--password", "password", "--version", version])
        .output()
        .expect("the exercise runs");
    let said = text(&output);
    assert!(output.status.success(), "in {version}:\n{said}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 5, "hardly anything was checked:\n{said}");
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn python(venv: &'static str, script: &'static str) -> impl Fn(&Path) -> Command {
    move |peers| {
        let mut command = Command::new(peers.join(venv).join("bin/python"));
        command.arg(file(script));
        command
    }
}

fn node(peers: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg(file("exercise_mqttjs.mjs")).env("SIMRUN_PEERS", peers);
    command
}

fn rumqttc(peers: &Path) -> Command {
    Command::new(peers.join("rumqttc/debug/exercise-rumqttc"))
}

fn mosquitto(_: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(file("exercise_mosquitto.sh"));
    command
}

#[test]
fn paho_1_in_3_1_1() {
    exercise(python("paho1", "exercise_paho.py"), "3.1.1");
}

#[test]
fn paho_1_in_5() {
    exercise(python("paho1", "exercise_paho.py"), "5");
}

#[test]
fn paho_2_in_3_1_1() {
    exercise(python("paho2", "exercise_paho.py"), "3.1.1");
}

#[test]
fn paho_2_in_5() {
    exercise(python("paho2", "exercise_paho.py"), "5");
}

#[test]
fn mqtt_js_in_3_1_1() {
    exercise(node, "3.1.1");
}

#[test]
fn mqtt_js_in_5() {
    exercise(node, "5");
}

#[test]
fn mqtt_js_over_web_socket_in_3_1_1() {
    exercise_over_web_socket(node, "3.1.1");
}

#[test]
fn mqtt_js_over_web_socket_in_5() {
    exercise_over_web_socket(node, "5");
}

#[test]
fn rumqttc_in_3_1_1() {
    exercise(rumqttc, "3.1.1");
}

#[test]
fn rumqttc_in_5() {
    exercise(rumqttc, "5");
}

#[test]
fn mosquitto_s_clients_in_3_1_1() {
    exercise(mosquitto, "3.1.1");
}

#[test]
fn mosquitto_s_clients_in_5() {
    exercise(mosquitto, "5");
}

/// The tutorial itself: a light and a phone hear what the publisher says.
fn tutorial(venv: &'static str) {
    let Some(peers) = peers() else { return };
    let broker = Broker::start();
    let program = |name: &str, more: &[&str]| {
        let mut command = Command::new(peers.join(venv).join("bin/python"));
        command.arg(file("tutorial").join(name)).args(["127.0.0.1", &broker.port]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python runs")
    };
    let light = program("light.py", &["--count", "3", "--timeout", "30"]);
    let phone = program("phone.py", &["--count", "3", "--timeout", "30"]);
    #[allow(clippy::disallowed_methods)] // Real programs take real time to connect.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let publisher = program("publisher.py", &["--count", "3", "--interval", "0.2"]);
    let [publisher, light, phone] =
        [publisher, light, phone].map(|child| child.wait_with_output().expect("the program ends"));
    for (output, line) in [
        (&publisher, "已发送3条消息"),
        (&light, "现在天黑了,回调消息:收到收到!我已经接收到发布者的消息,并且打开了光传感器"),
        (&phone, "现在天黑了,回调消息:收到收到!我已经接收到发布者的消息并给用户反馈手电筒已经打开"),
    ] {
        let said = text(output);
        assert!(output.status.success() && said.contains(line), "{said}");
    }
}

#[test]
fn the_tutorial_with_paho_1() {
    tutorial("paho1");
}

#[test]
fn the_tutorial_with_paho_2() {
    tutorial("paho2");
}
