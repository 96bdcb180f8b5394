//! Real foreign clients talk to the broker on a real socket: the tutorial's three programs with paho-mqtt 1.6 and 2.x,
//! and exercises of each feature with paho-mqtt, aiomqtt, MQTT.js, rumqttc and mosquitto's clients, in 3.1.1 and 5.0,
//! over TCP, TLS and WebSocket. And the other way round: our clients at mosquitto.
//!
//! `tests/peers/install.sh` installs the clients; these tests call it. Where it cannot (no root, no network), they fail
//! under CI and say that nothing was tested elsewhere.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A broker of the tutorial's kind on ports of its own, with a certificate for this run, stopped at the end.
struct Broker {
    process: Child,
    greeting: String,
}

impl Broker {
    fn start() -> Broker {
        let listen = ["mqtt", "mqtts", "ws", "wss"].map(|scheme| format!("--listen={scheme}://127.0.0.1:0"));
        let mut process = Command::new(env!("CARGO_BIN_EXE_simrun"))
            .args(["--real", "--profile", "apollo", "--tls-dev"])
            .args(listen)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut greeting = String::new();
        while !greeting.contains("--tls-dev: ") {
            assert!(stdout.read_line(&mut greeting).expect("UTF-8") > 0, "it says where it listens: {greeting}");
        }
        // Somebody reads on, or the broker would wait for room in the pipe.
        std::thread::spawn(move || stdout.lines().for_each(drop));
        Broker { process, greeting }
    }

    fn port(&self, scheme: &str) -> String {
        let (_, rest) = self.greeting.split_once(&format!(" {scheme}://127.0.0.1:")).expect("an address");
        rest.chars().take_while(char::is_ascii_digit).collect()
    }

    /// Who signed its certificate.
    fn authority(&self) -> &str {
        let (_, file) = self.greeting.trim_end().rsplit_once(' ').expect("it ends with the file");
        file
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

/// Where an exercise finds the broker: over TCP, TLS, WebSocket, secure WebSocket.
fn tcp(broker: &Broker) -> Vec<String> {
    vec!["--port".to_owned(), broker.port("mqtt")]
}

fn tls(broker: &Broker) -> Vec<String> {
    ["--cafile", broker.authority(), "--port", &broker.port("mqtts")].map(str::to_owned).to_vec()
}

fn web_socket(broker: &Broker) -> Vec<String> {
    ["--ws", "--port", &broker.port("ws")].map(str::to_owned).to_vec()
}

fn secure_web_socket(broker: &Broker) -> Vec<String> {
    ["--ws", "--cafile", broker.authority(), "--port", &broker.port("wss")].map(str::to_owned).to_vec()
}

/// Runs an exercise, which prints a line a check and fails if one of them does.
fn exercise(program: impl Fn(&Path) -> Command, transport: fn(&Broker) -> Vec<String>, version: &str) {
    let Some(peers) = peers() else { return };
    let broker = Broker::start();
    passes(program(peers).args(transport(&broker)), version);
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

/// One test for each version and transport.
macro_rules! exercises {
    ($($client:ident: $program:expr, $($transport:ident)*;)*) => { $(mod $client {
        $(mod $transport {
            use crate::*;

            #[test]
            fn in_3_1_1() {
                exercise($program, crate::$transport, "3.1.1");
            }

            #[test]
            fn in_5() {
                exercise($program, crate::$transport, "5");
            }
        })*
    })* };
}

exercises! {
    paho_1: python("paho1", "exercise_paho.py"), tcp tls web_socket;
    paho_2: python("paho2", "exercise_paho.py"), tcp tls web_socket;
    aiomqtt: python("aiomqtt", "exercise_aiomqtt.py"), tcp tls web_socket;
    mqtt_js: node, tcp tls web_socket secure_web_socket;
    rumqttc_s: rumqttc, tcp tls web_socket;
    mosquitto_s: mosquitto, tcp tls;
}

/// The exercises do talk TLS: a broker whose certificate somebody else signed is none for them.
#[test]
fn a_certificate_that_somebody_else_signed_is_refused() {
    let Some(peers) = peers() else { return };
    let (broker, other) = (Broker::start(), Broker::start());
    let mut program = python("paho2", "exercise_paho.py")(peers);
    program.args(["--only", "qos0", "--cafile", other.authority(), "--port", &broker.port("mqtts")]);
    let output =
        program.args(["--user", "admin", "--password", "password", "--version", "5"]).output().expect("it runs");
    let said = text(&output);
    assert!(!output.status.success() && said.contains("certificate"), "{said}");
}

/// The tutorial itself: a light and a phone hear what the publisher says.
fn tutorial(venv: &'static str) {
    let Some(peers) = peers() else { return };
    let broker = Broker::start();
    let program = |name: &str, more: &[&str]| {
        let mut command = Command::new(peers.join(venv).join("bin/python"));
        command.arg(file("tutorial").join(name)).args(["127.0.0.1", &broker.port("mqtt")]).args(more);
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

/// mosquitto on a port of its own, stopped at the end.
struct Mosquitto(Child, String);

impl Mosquitto {
    fn start() -> Mosquitto {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let config = std::env::temp_dir().join(format!("simrun-interop-{}-{port}.conf", std::process::id()));
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n");
        std::fs::write(&config, text).expect("written");
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("mosquitto");
        command.env("PATH", path).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let broker = Mosquitto(command.spawn().expect("mosquitto starts"), format!("mqtt://127.0.0.1:{port}"));
        let mut tries = 0..500;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(tries.next().is_some(), "mosquitto does not listen");
            pause(std::time::Duration::from_millis(10));
        }
        std::fs::remove_file(config).expect("removed");
        broker
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[allow(clippy::disallowed_methods)] // Real programs take real time.
fn pause(span: std::time::Duration) {
    std::thread::sleep(span);
}

#[test]
fn our_clients_at_mosquitto() {
    if peers().is_none() {
        return;
    }
    let broker = Mosquitto::start();
    let simrun = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
        command.args(arguments).args(["--url", &broker.1]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let done = |child: Child| {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    for version in ["3.1.1", "5"] {
        for qos in ["0", "1", "2"] {
            let (ready, topic) = (std::env::temp_dir(), format!("{version}/{qos}"));
            let ready = ready.join(format!("simrun-interop-{}-{version}-{qos}", std::process::id()));
            let file = ready.to_str().expect("UTF-8").to_owned();
            let hear =
                ["sub", "-V", version, "-q", qos, "-t", &topic, "-v", "-C", "30", "-W", "60s", "--ready-file", &file];
            let subscriber = simrun(&hear);
            let mut tries = 0..1000;
            while !ready.exists() {
                assert!(tries.next().is_some(), "no subscription");
                pause(std::time::Duration::from_millis(10));
            }
            std::fs::remove_file(ready).expect("removed");
            done(simrun(&["pub", "-V", version, "-q", qos, "-t", &topic, "-m", "现在天黑了", "--repeat", "30"]));
            assert_eq!(done(subscriber), format!("{topic} 现在天黑了\n").repeat(30));
        }
        let kept = format!("kept/{version}");
        done(simrun(&["pub", "-V", version, "-t", &kept, "-q", "1", "-r", "-m", "kept"]));
        assert_eq!(done(simrun(&["sub", "-V", version, "-t", &kept, "-C", "1", "--retained-only"])), "kept\n");
    }
}
