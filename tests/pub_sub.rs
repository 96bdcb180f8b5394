//! `simrun pub` and `simrun sub`, as a person or a script uses them, through a broker of ours on real sockets.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Other programs take real time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["SIMRUN_URL", "SIMRUN_USERNAME", "SIMRUN_PASSWORD"] {
        command.env_remove(name);
    }
    command
}

/// Killed at the end.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    /// Waits for its end: exit code, standard output, standard error.
    fn end(mut self) -> (i32, String, String) {
        let since = Instant::now();
        while self.0.try_wait().expect("it can be waited for").is_none() {
            assert!(since.elapsed() < PATIENCE, "it does not end");
            sleep(Duration::from_millis(5));
        }
        let code = self.0.wait().expect("ended").code().unwrap_or(-1);
        let text = |pipe: Option<&mut dyn Read>| {
            let mut bytes = Vec::new();
            pipe.expect("piped").read_to_end(&mut bytes).expect("read");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let out = text(self.0.stdout.as_mut().map(|pipe| pipe as &mut dyn Read));
        let err = text(self.0.stderr.as_mut().map(|pipe| pipe as &mut dyn Read));
        (code, out, err)
    }
}

struct Broker(#[allow(dead_code)] Process, String);

impl Broker {
    fn start(arguments: &[&str]) -> Broker {
        Broker::at("127.0.0.1:0", arguments)
    }

    fn at(listen: &str, arguments: &[&str]) -> Broker {
        let mut process = Process(simrun(&["--real", "--listen", listen]).args(arguments).spawn().expect("it starts"));
        let mut line = String::new();
        BufReader::new(process.0.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it prints");
        let (_, rest) = line.split_once("mqtt://").unwrap_or_else(|| panic!("it says where it listens: {line}"));
        let address = rest.split_whitespace().next().expect("an address").trim_end_matches([',', ';']);
        Broker(process, format!("mqtt://{address}"))
    }

    fn publish(&self, arguments: &[&str]) -> Output {
        simrun(&["pub", "--url", &self.1]).args(arguments).output().expect("it runs")
    }

    /// Publishes, and has to succeed without a word.
    fn published(&self, arguments: &[&str]) {
        let output = self.publish(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    /// A subscriber whose subscription stands.
    fn subscriber(&self, arguments: &[&str]) -> Process {
        let ready = scratch("ready");
        let file = ready.to_str().expect("UTF-8").to_owned();
        let child = simrun(&["sub", "--url", &self.1, "--ready-file", &file]).args(arguments).spawn();
        let mut process = Process(child.expect("it starts"));
        let since = Instant::now();
        while !ready.exists() {
            assert!(since.elapsed() < PATIENCE, "no subscription");
            assert!(process.0.try_wait().expect("waited").is_none(), "it ended: {:?}", process.end());
            sleep(Duration::from_millis(5));
        }
        fs::remove_file(ready).expect("removed");
        process
    }
}

/// A path of its own, where nothing is.
fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("simrun-pub-sub-{}-{number}-{name}", std::process::id()))
}

#[test]
fn the_tutorial_as_three_programs() {
    let broker = Broker::start(&["--profile", "apollo"]);
    for version in ["3.1.1", "5"] {
        let user = ["-u", "admin", "-P", "password", "-V", version];
        let hear = [&user[..], &["-t", "lightChange", "-q", "1", "-v", "-C", "5"]].concat();
        let (light, phone) = (broker.subscriber(&hear), broker.subscriber(&hear));
        let say = ["-t", "lightChange", "-q", "1", "-m", "现在天黑了", "--repeat", "5", "--delay", "10ms"];
        broker.published(&[&user[..], &say].concat());
        for (code, out, err) in [light.end(), phone.end()] {
            assert_eq!((code, out.as_str(), err.as_str()), (0, "lightChange 现在天黑了\n".repeat(5).as_str(), ""));
        }
    }
}

#[test]
fn what_is_in_a_file_comes_out_as_it_was() {
    let broker = Broker::start(&[]);
    let (from, to) = (scratch("from"), scratch("to"));
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    fs::write(&from, &bytes).expect("written");
    let subscriber = broker.subscriber(&["-t", "#", "-q", "2", "-C", "1", "--write", to.to_str().expect("UTF-8")]);
    broker.published(&["-t", "files", "-q", "2", "-f", from.to_str().expect("UTF-8")]);
    assert_eq!(subscriber.end().0, 0);
    assert!(fs::read(&to).expect("read") == bytes);
    fs::remove_file(from).expect("removed");
    fs::remove_file(to).expect("removed");
}

#[test]
fn a_directory_gets_a_file_for_each_message() {
    let broker = Broker::start(&[]);
    let directory = scratch("directory");
    fs::create_dir(&directory).expect("made");
    let path = directory.to_str().expect("UTF-8");
    let subscriber = broker.subscriber(&["-t", "#", "-C", "2", "--write", path, "-q", "1"]);
    broker.published(&["-t", "a/../../b", "-m", "one", "-q", "1"]);
    broker.published(&["-t", "c", "-m", "two", "-q", "1"]);
    let (first, second) = (format!("{path}/000001-a_______b"), format!("{path}/000002-c"));
    assert_eq!(subscriber.end().1, format!("{first}\n{second}\n"));
    assert_eq!(fs::read_to_string(first).expect("read") + &fs::read_to_string(second).expect("read"), "onetwo");
    fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn lines_and_the_whole_of_standard_input() {
    let broker = Broker::start(&[]);
    let lines: String = (0..5000).map(|n| format!("line {n}\n")).collect();
    let fed = |arguments: &[&str], text: &str| {
        let mut child = simrun(&["pub", "--url", &broker.1, "-t", "in", "-q", "1"]);
        let mut child = child.args(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
        let (code, _, err) = Process(child).end();
        assert_eq!((code, err.as_str()), (0, ""));
    };
    let subscriber = broker.subscriber(&["-t", "in", "-q", "1", "-C", "5001"]);
    fed(&["-l"], &lines);
    fed(&["-s"], "a\nb");
    assert_eq!(subscriber.end(), (0, lines + "a\nb\n", String::new()));
}

#[test]
fn json_tells_everything() {
    let broker = Broker::start(&[]);
    let subscriber = broker.subscriber(&["-t", "j/#", "--json", "-C", "2", "--subscription-identifier", "7"]);
    let output = broker.publish(&[
        "-t",
        "j/text",
        "-m",
        "灯",
        "--json",
        "--content-type",
        "text/plain",
        "--response-topic",
        "back",
        "--correlation-data",
        "42",
        "--user-property",
        "a=1",
        "--user-property",
        "a=2",
        "--utf8",
        "--expiry",
        "100",
    ]);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&line["topic"], &line["bytes"], &line["qos"]), (&"j/text".into(), &3.into(), &0.into()));
    let mut child =
        simrun(&["pub", "--url", &broker.1, "-t", "j/binary", "-s"]).stdin(Stdio::piped()).spawn().expect("it");
    child.stdin.take().expect("piped").write_all(&[0xFF, 0x00]).expect("it reads");
    assert_eq!(Process(child).end().0, 0);
    let (_, out, _) = subscriber.end();
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["payload"], &lines[0]["qos"]), (&"灯".into(), &0.into()));
    assert_eq!((&lines[0]["retain"], &lines[0]["dup"]), (&false.into(), &false.into()));
    assert_eq!(
        lines[0]["properties"],
        serde_json::json!({
            "payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "back",
            "correlation_data": "NDI=", "user_property": [["a", "1"], ["a", "2"]], "subscription_identifier": [7],
            "message_expiry_interval": 100,
        })
    );
    assert_eq!((&lines[1]["payload_base64"], &lines[1]["payload"]), (&"/wA=".into(), &serde_json::Value::Null));
}

#[test]
fn retained_messages_are_shown_and_removed() {
    let broker = Broker::start(&[]);
    broker.published(&["-t", "r", "-m", "kept", "-r", "-q", "1"]);
    let heard = |arguments: &[&str]| {
        let (code, out, _) = broker.subscriber(&[&["-t", "r", "-W", "300ms"], arguments].concat()).end();
        assert_eq!(code, 0);
        out
    };
    assert_eq!(heard(&["--retained-only"]), "kept\n");
    assert_eq!(heard(&["--retained", "never"]), "");
    broker.published(&["-t", "r", "-m", "", "-r", "-q", "1"]);
    assert_eq!(heard(&[]), "");
}

#[test]
fn exit_codes_and_what_is_said() {
    let broker = Broker::start(&["--user", "ada:lovelace"]);
    let url = broker.1.as_str();
    let unused = "mqtt://127.0.0.1:1";
    for (arguments, code, said) in [
        (vec!["pub", "--url", unused, "-t", "a", "-m", "b"], 3, "cannot be reached: Connection refused"),
        (vec!["sub", "--url", unused, "-t", "a"], 3, "cannot be reached: Connection refused"),
        (vec!["pub", "--url", url, "-t", "a", "-m", "b"], 1, "name a user with -u and -P"),
        (vec!["sub", "--url", url, "-t", "a", "-u", "ada", "-P", "x"], 1, "refuses the connection"),
        (vec!["pub", "--url", url, "-t", "a/#", "-m", "b"], 2, "--topic a/#: "),
        (vec!["sub", "--url", url, "-t", "a#"], 2, "--topic a#: "),
        (vec!["sub", "--url", url, "-t", "a", "-V", "3.1.1", "--no-local"], 2, "--no-local is not in MQTT 3.1.1"),
        (vec!["pub", "--url", url, "-t", "a", "-m", "b", "-V", "3.1.1", "--utf8"], 2, "is not in MQTT 3.1.1"),
        (vec!["pub", "--url", url, "-t", "a", "-f", "/nowhere"], 2, "/nowhere: No such file"),
        (vec!["pub", "--url", url, "-t", "a"], 2, "--message <MESSAGE>|--file <FILE>|--stdin|--lines"),
        (vec!["pub", "--url", "h:1", "-t", "a", "-m", "b"], 2, "it has no scheme"),
        (vec!["sub", "--url", url, "-t", "a", "-q", "3"], 2, "write 0, 1 or 2"),
        (vec!["sub", "--url", url, "-t", "a", "-W", "soon"], 2, "write a duration as"),
        (vec!["sub", "--url", url, "-t", "a", "--scram"], 2, "--scram needs a user and a password"),
    ] {
        let output = simrun(&arguments).output().expect("it runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_password_may_come_from_the_environment_the_address_or_scram() {
    let broker = Broker::start(&["--user", "ada:love@lace"]);
    let address = broker.1.trim_start_matches("mqtt://").to_owned();
    let say = ["pub", "-t", "a", "-m", "b"];
    let url = format!("mqtt://ada:love%40lace@{address}");
    assert!(simrun(&say).args(["--url", &url]).status().expect("it runs").success());
    let by_environment = |word: &str| {
        let mut command = simrun(&say);
        command.env("SIMRUN_URL", &broker.1).env("SIMRUN_USERNAME", "ada").env("SIMRUN_PASSWORD", word);
        command.status().expect("it runs").code()
    };
    assert_eq!((by_environment("love@lace"), by_environment("other")), (Some(0), Some(1)));
    let scram = |word: &str| broker.publish(&["-t", "a", "-m", "b", "-u", "ada", "-P", word, "--scram"]).status.code();
    assert_eq!((scram("love@lace"), scram("other")), (Some(0), Some(1)));
}

#[test]
fn waiting_ends() {
    let broker = Broker::start(&[]);
    assert_eq!(broker.subscriber(&["-t", "a", "-W", "50ms"]).end(), (0, String::new(), String::new()));
    assert_eq!(broker.subscriber(&["-t", "a", "-W", "50ms", "-C", "1"]).end().0, 1);
}

#[test]
fn ctrl_c_says_goodbye_and_a_kill_leaves_a_will() {
    let broker = Broker::start(&[]);
    let witness = broker.subscriber(&["-t", "last/+", "-v", "-C", "1"]);
    let with_will = |topic: &str| broker.subscriber(&["-t", "a", "--will-topic", topic, "--will-message", "gone"]);
    let polite = with_will("last/polite");
    polite.signal("-INT");
    assert_eq!(polite.end(), (0, String::new(), String::new()));
    with_will("last/killed").signal("-KILL");
    assert_eq!(witness.end().1, "last/killed gone\n");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let broker = Broker::start(&[]);
    let mut subscriber = broker.subscriber(&["-t", "a"]);
    drop(subscriber.0.stdout.take());
    subscriber.0.stdout = Some(Command::new("true").stdout(Stdio::piped()).spawn().expect("it").stdout.expect("piped"));
    broker.published(&["-t", "a", "-m", "b", "-q", "1"]);
    let (code, _, err) = subscriber.end();
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn a_subscriber_outlives_its_broker() {
    let broker = Broker::start(&[]);
    let address = broker.1.trim_start_matches("mqtt://").to_owned();
    let subscriber = broker.subscriber(&["-t", "a", "-q", "1", "-C", "1"]);
    drop(broker);
    let broker = Broker::at(&address, &[]);
    // It comes back within a second or so; what is published until then finds nobody.
    let since = Instant::now();
    let mut subscriber = subscriber;
    while subscriber.0.try_wait().expect("waited").is_none() {
        assert!(since.elapsed() < PATIENCE, "it does not come back");
        broker.published(&["-t", "a", "-m", "again", "-q", "1"]);
        sleep(Duration::from_millis(50));
    }
    let (code, out, err) = subscriber.end();
    assert_eq!((code, out.as_str()), (0, "again\n"));
    assert!(err.contains("connecting again"), "{err}");
}

#[test]
fn a_session_is_resumed() {
    let broker = Broker::start(&[]);
    for (version, first) in [("3.1.1", vec!["--resume"]), ("5", vec!["--session-expiry", "1h"])] {
        let id = format!("keeper{version}");
        let base = ["-t", "kept", "-q", "1", "-V", version, "-i", &id];
        let subscriber = broker.subscriber(&[&base[..], &first].concat());
        subscriber.signal("-INT");
        assert_eq!(subscriber.end().0, 0);
        broker.published(&["-t", "kept", "-m", "meanwhile", "-q", "1"]);
        let again = [&base[..], &["--resume", "-C", "1"]].concat();
        // What waited comes before the subscription is confirmed.
        let child = simrun(&["sub", "--url", &broker.1]).args(again).spawn().expect("it starts");
        assert_eq!(Process(child).end().1, "meanwhile\n", "{version}");
    }
}

#[test]
fn a_refused_subscription_is_told() {
    let (code, _, err) = {
        let broker = Broker::start(&[]);
        let child = simrun(&["sub", "--url", &broker.1, "-t", "$share/g/a", "--no-local"]).spawn();
        Process(child.expect("it starts")).end()
    };
    assert_eq!(code, 1);
    assert!(err.contains("shared subscription"), "{err}");
}

#[test]
fn completions_and_man_pages() {
    for (shell, mark) in [("bash", "complete -F _simrun"), ("zsh", "#compdef simrun"), ("fish", "complete -c simrun")] {
        let output = simrun(&["completions", shell]).output().expect("it runs");
        assert!(String::from_utf8_lossy(&output.stdout).contains(mark), "{shell}");
    }
    let directory = scratch("man");
    let path = directory.to_str().expect("UTF-8");
    assert!(simrun(&["man", path]).status().expect("it runs").success());
    for page in ["simrun.1", "simrun-pub.1", "simrun-sub.1", "simrun-conform.1"] {
        assert!(fs::read_to_string(directory.join(page)).expect(page).contains(".TH"), "{page}");
    }
    fs::remove_dir_all(directory).expect("removed");
}
