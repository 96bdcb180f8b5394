//! The broker's configuration: what it says is known to editors, what is wrong with it is shown where it stands, and each
//! value tells where it came from.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use simrun::live::config::{Layers, schema};
use simrun::live::log::Level;

/// What is said of a configuration that is refused.
fn diagnosis(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broker.yaml");
    fs::write(&path, text).expect("written");
    let said = Layers::default().file(&path).expect_err(text).to_string();
    said.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn what_is_wrong_is_shown_where_it_stands() {
    for (text, place, words) in [
        ("listners: []\n", "broker.yaml:1:1", "did you mean `listeners`?"),
        ("limits:\n  conections: 5\n", "broker.yaml:2:3", "did you mean `connections`?"),
        ("limits:\n  packet_size: 5 apples\n", "broker.yaml:2:16", "write 1000, 64KiB"),
        ("limits: { connections: 0 }\n", "broker.yaml:1:24", "1 or more"),
        ("limits: { connect_timeout: 5 }\n", "broker.yaml:1:28", "write 5s"),
        ("listeners: [mqtt://127.0.0.1:1883, mqqts://127.0.0.1]\n", "broker.yaml:1:", "did you mean `mqtts`?"),
        ("listeners: [{ url: mqtt://127.0.0.1, tls: { certificate: a, key: b } }]\n", "broker.yaml:1:", "mqtts://"),
        (
            "users: { ada: lovelace }\nlisteners:\n  - { url: mqtt://127.0.0.1, users: [adda] }\n",
            "broker.yaml:3:",
            "did you mean `ada`?",
        ),
        ("access: [{ allow: publish, deny: all }]\n", "broker.yaml:1:", "either allows or denies"),
        ("access: [{ user: ada }]\n", "broker.yaml:1:", "either allows or denies"),
        ("access: [{ allow: publsh }]\n", "broker.yaml:1:", "did you mean `publish`?"),
        ("access: [{ deny: all, topic: \"light/#/on\" }]\n", "broker.yaml:1:30", "no topic filter"),
        ("users: { ada: \"\" }\n", "broker.yaml:1:15", "empty"),
        ("users: { ada: a, ada: b }\n", "broker.yaml:1:18", "twice"),
        ("profile: appollo\n", "broker.yaml:1:10", "did you mean `apollo`?"),
        ("anonymous: perhaps\n", "broker.yaml:1:12", "true or false"),
        ("web: 8080\n", "broker.yaml:1:6", "write 127.0.0.1:8080"),
        ("web: of\n", "broker.yaml:1:6", "no address"),
        ("log: jsn\n", "broker.yaml:1:6", "did you mean `json`?"),
        ("log_level: warning\n", "broker.yaml:1:12", "did you mean `warn`?"),
        ("sys_interval: 10\n", "broker.yaml:1:15", "write 10s"),
        ("", "broker.yaml", "empty"),
        ("- a\n", "broker.yaml", "not a configuration"),
    ] {
        let said = diagnosis(text);
        assert!(said.contains(place) && said.contains(words), "{text}\n{said}");
    }
}

#[test]
fn the_schema_takes_what_the_reader_takes_and_refuses_what_it_refuses() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let value = |text: &str| -> serde_json::Value { serde_yaml::from_str(text).expect("YAML") };
    let good = "
profile: apollo
listeners: [mqtt://127.0.0.1:0, { url: 'wss://[::1]:0', anonymous: true, users: [ada], tls: { certificate: a, key: b } }]
users: { ada: lovelace }
access: [{ allow: publish, user: ada, topic: light/# }, { deny: all }]
data: kept
web: off
log: json
log_level: off
sys_interval: 0s
ready_file: ready
tls_dev: true
limits: { connections: 5, packet_size: 64KiB, queued_bytes: 1000, connect_timeout: 5s, qos: 1, session_expiry: never }
";
    let errors: Vec<String> = validator.iter_errors(&value(good)).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broker.yaml");
    fs::write(&path, good).expect("written");
    let mut layers = Layers::default();
    layers.file(&path).unwrap_or_else(|diagnosis| panic!("{diagnosis}"));
    let settings = layers.settings().expect("it can be used");
    assert_eq!((settings.config.connections_maximum, settings.config.maximum_packet_size), (5, 65536));
    assert_eq!(settings.config.users.keys().collect::<Vec<_>>(), ["ada"], "the profile's user is gone");
    assert_eq!(settings.data, Some(folder.path().join("kept")), "as seen from the file");
    assert_eq!((settings.web, settings.log_level, settings.config.sys_interval), (None, Level::Off, None));
    for bad in [
        "listners: []",
        "limits: { conections: 5 }",
        "limits: { packet_size: 5 apples }",
        "limits: { connect_timeout: 5 }",
        "access: [{ allow: publsh }]",
        "profile: appollo",
        "log: jsn",
        "log_level: warning",
        "sys_interval: 10",
        "web: 8080",
    ] {
        assert!(!validator.is_valid(&value(bad)), "the schema accepts {bad}");
        diagnosis(bad);
    }
}

fn simrun(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(arguments).env_remove("SIMRUN_USERNAME").env_remove("SIMRUN_PASSWORD");
    command.output().expect("it runs")
}

#[test]
fn each_value_tells_where_it_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("broker.yaml");
    fs::write(&path, "# Ours.\nusers: { ada: lovelace }\nlimits:\n  connections: 7\n  qos: 1\n").expect("written");
    let name = path.display().to_string();
    let output = simrun(&["--real", "--config", &name, "--set", "limits.qos=0", "--print-config"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let line = |key: &str| said.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or_default();
    assert!(line("connections: 7").ends_with(&format!("# {name}:4")), "{said}");
    assert!(line("users: {\"ada\":\"…\"}").ends_with(&format!("# {name}:2")), "{said}");
    assert!(line("qos: 0").ends_with("# flag"), "{said}");
    assert!(line("packet_size: 8MiB").ends_with("# default"), "{said}");
    assert!(line("anonymous: false").ends_with("# default"), "{said}");
    assert!(!said.contains("lovelace"), "no password is shown");
    // What is printed can be read again.
    let printed = folder.path().join("printed.yaml");
    fs::write(&printed, said.replace('…', "x")).expect("written");
    Layers::default().file(&printed).unwrap_or_else(|diagnosis| panic!("{diagnosis}"));
}

/// The keys of a schema's object, those of `limits` with it before them.
fn keys_of_the_schema() -> BTreeSet<String> {
    let schema = schema();
    let names = |at: &str| {
        let properties = schema.pointer(at).and_then(|found| found.as_object()).expect("properties");
        properties.keys().cloned().collect::<Vec<_>>()
    };
    let limits = names("/definitions/Limits/properties").into_iter().map(|key| format!("limits.{key}"));
    names("/properties").into_iter().filter(|key| key != "limits").chain(limits).collect()
}

/// The keys that are printed, with what they are and where that came from.
fn printed(arguments: &[&str]) -> BTreeMap<String, (String, String)> {
    let output = simrun(&[&["--real", "--print-config"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let read = |line: &str| {
        let (said, origin) = line.rsplit_once("  # ")?;
        let (key, value) = said.trim().split_once(": ")?;
        let key = if line.starts_with(' ') { format!("limits.{key}") } else { key.to_owned() };
        Some((key, (value.trim().to_owned(), origin.to_owned())))
    };
    text.lines().filter_map(read).collect()
}

#[test]
fn keys_flags_and_what_is_printed_are_the_same() {
    let keys = keys_of_the_schema();
    let all = printed(&[]);
    assert_eq!(all.keys().cloned().collect::<BTreeSet<_>>(), keys, "--print-config and the schema");

    // A flag for each key: --set, with what was printed, and another one for most.
    for (key, (value, _)) in &all {
        if value != "null" {
            let set = printed(&["--set", &format!("{key}={value}")]);
            assert_eq!(set[key], (value.clone(), "flag".to_owned()), "--set {key}");
        }
    }
    let help = String::from_utf8(simrun(&["--help"]).stdout).expect("UTF-8");
    let (_, broker) = help.split_once("A broker on real sockets (--real):").expect("a heading");
    let flags = broker.lines().filter_map(|line| line.trim().strip_prefix("--"));
    let flags: BTreeSet<&str> = flags.filter_map(|line| line.split(' ').next()).collect();
    let of_no_key = ["real", "config", "set", "print-config", "speed"];
    let of_another_name = [
        ("listen", "listeners"),
        ("ws", "listeners"),
        ("tls-cert", "tls"),
        ("tls-key", "tls"),
        ("user", "users"),
        ("users", "users_file"),
    ];
    for flag in &flags {
        let own = flag.replace('-', "_");
        let key = of_another_name.iter().find(|(name, _)| name == flag).map_or(own.as_str(), |(_, key)| key);
        assert!(of_no_key.contains(flag) || keys.contains(key), "--{flag} is no key");
    }
    let has_flag =
        |key: &String| flags.contains(&*key.replace('_', "-")) || of_another_name.iter().any(|(_, other)| other == key);
    let by_set_alone: Vec<_> = keys.iter().filter(|key| !has_flag(key) && !key.starts_with("limits.")).collect();
    assert_eq!(by_set_alone, ["access"]);
}

#[test]
fn the_profiles_page_comes_with_the_profiles_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broker.yaml");
    let path = path.to_str().expect("UTF-8");
    let page = |file: &str, arguments: &[&str]| {
        fs::write(path, file).expect("written");
        let (page, origin) = printed(&[&["--config", path], arguments].concat()).remove("web").expect("a line");
        format!("{page} {origin}")
    };
    let profile = ["--profile", "apollo"];
    assert_eq!(page("limits: {}\n", &[]), "off default");
    assert_eq!(page("limits: {}\n", &profile), "127.0.0.1:61680 profile");
    assert_eq!(page("profile: apollo\n", &[]), "127.0.0.1:61680 profile");
    assert_eq!(page("profile: apollo\n", &["--ws", "127.0.0.1:0"]), "127.0.0.1:61680 profile");
    assert_eq!(page("profile: apollo\nlisteners: ['127.0.0.1:0']\n", &[]), "127.0.0.1:61680 profile");
    assert_eq!(page("profile: apollo\n", &["--listen", "127.0.0.1:0"]), "off default");
    assert_eq!(page("profile: apollo\nweb: off\n", &[]), format!("off {path}:2"));
    assert_eq!(page("profile: apollo\nweb: off\n", &["--web", "[::1]:0"]), "[::1]:0 flag");
}

#[test]
fn mistakes_on_the_command_line_are_said() {
    for (arguments, words) in [
        (&["--real", "--set", "limits.conections=5"][..], "did you mean `connections`?"),
        (&["--real", "--set", "limits"], "KEY=VALUE"),
        (&["--real", "--config", "nothing.yaml"], "there is no such file"),
        (&["--real", "--users", "nothing.users"], "nothing.users"),
        (&["--real", "--listen", "mqtts://127.0.0.1:0"], "--tls-dev"),
        (&["--real", "--listen", "mqqt://127.0.0.1:0"], "did you mean `mqtt`?"),
        (&["--real", "--listen", "mqtts://127.0.0.1:0", "--tls-cert", "no.pem", "--tls-key", "no.key"], "no.pem"),
        (&["--real", "--listen", "0.0.0.0:0"], "--anonymous"),
        (&["passwd", "users", "a:b"], "colon"),
    ] {
        let output = simrun(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{arguments:?}: {said}");
    }
}
