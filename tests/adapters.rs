//! The shipped adapters of `simrun conform --client` keep to the line protocol of `tests/adapters/README.md`, in both
//! versions, against our broker; and the exercise that says so notices each falsification.
//!
//! `tests/adapters/install.sh` installs their libraries; these tests call it. Where it cannot (no root, no network), they
//! fail under CI and say that nothing was tested elsewhere.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// A broker on a port of its own, stopped at the end.
struct Broker {
    process: Child,
    port: String,
}

impl Broker {
    fn start() -> Broker {
        let mut process = Command::new(env!("CARGO_BIN_EXE_simrun"))
            .args(["--real", "--listen", "127.0.0.1:0", "--user", "admin:password"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("the broker prints UTF-8"));
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once("127.0.0.1:")?;
            Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        });
        // Somebody reads on, or the broker would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Broker { process, port: port.expect("the broker says where it listens") }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the adapters can be run; it is said where they cannot and nobody insists.
fn installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        let output = Command::new("bash").arg(file("install.sh")).output().expect("bash runs");
        let why = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            assert!(std::env::var_os("CI").is_none(), "the adapters cannot be installed:\n{why}");
            #[allow(clippy::print_stderr)] // A test that tested nothing says so.
            {
                eprintln!("NOT TESTED, the adapters cannot be installed:\n{why}");
            }
        }
        output.status.success()
    })
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adapters").join(name)
}

/// Runs the exercise, which prints a line a check and fails if one of them does.
fn exercise(adapter: &str, more: &[&str]) {
    if !installed() {
        return;
    }
    for (version, checks) in [("3.1.1", 17), ("5", 24)] {
        let broker = Broker::start();
        let output = Command::new("python3")
            .arg(file("exercise.py"))
            .args(["--port", &broker.port, "--user", "admin", "--password", "password", "--version", version])
            .args(more)
            .arg("--")
            .args([Path::new("bash"), &file("start.sh"), Path::new(adapter)])
            .output()
            .expect("the exercise runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{adapter} in {version}:\n{said}\n{errors}");
        assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), checks, "checks:\n{said}");
    }
}

#[test]
fn paho_1() {
    exercise("paho1", &[]);
}

#[test]
fn paho_2() {
    exercise("paho2", &[]);
}

#[test]
fn mqtt_js() {
    exercise("mqttjs", &[]);
}

#[test]
fn rumqttc() {
    exercise("rumqttc", &[]);
}

#[test]
fn what_is_falsified_is_noticed() {
    exercise("paho2", &["--spoil"]);
}
