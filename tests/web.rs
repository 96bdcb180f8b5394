//! The page's server as a process: what it shows and does, whom it lets in, what it refuses that another site may have
//! sent, what it escapes, and what it writes into the log. The page itself is tested in `page`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Time is real here.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::served::Served;

/// An answer: its status, head and body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &&str| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.head.lines().find(of).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

fn dial(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn send(port: u16, request: &str) -> Answer {
    let mut stream = dial(port);
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn get(port: u16, path: &str, headers: &str) -> Answer {
    send(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{headers}\r\n"))
}

fn post(port: u16, path: &str, headers: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let length = body.len();
    send(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        ),
    )
}

const OURS: &str = "X-Simrun: 1\r\n";
/// `ada:lovelace`.
const ADA: &str = "Authorization: Basic YWRhOmxvdmVsYWNl\r\n";

/// Reads server-sent events until one holds `wanted`.
fn event_with(stream: &mut TcpStream, wanted: &str) -> String {
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    let ends = Instant::now() + Duration::from_secs(20);
    while Instant::now() < ends {
        let read = stream.read(&mut part).expect("the stream goes on");
        heard.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&heard);
        if let Some(line) = text.lines().find(|line| line.starts_with("data:") && line.contains(wanted)) {
            return line.to_owned();
        }
        assert!(read > 0, "the stream ended: {text}");
    }
    panic!("no event holds {wanted}: {}", String::from_utf8_lossy(&heard));
}

#[test]
fn clients_sessions_subscriptions_and_topics_as_json() {
    let broker = Served::start(&[]);
    let mut client = broker.connect("lamp <b>");
    broker.subscribe(&mut client, "rooms/+/light");
    broker.publish(&mut client, "rooms/hall/light", b"on", true);
    broker.ping(&mut client);
    let port = broker.web;
    let clients = get(port, "/api/clients?search=LAMP", "").json();
    assert_eq!(clients["items"][0]["client_id"], "lamp <b>");
    assert_eq!(clients["items"][0]["subscriptions"], 1);
    assert!(clients["items"][0]["bytes_received"].as_u64() > Some(30), "{clients}");
    assert_eq!(get(port, "/api/client?id=lamp%20%3Cb%3E", "").json()["session"]["connected"], true);
    assert_eq!(get(port, "/api/client?id=nobody", "").status, 404);
    assert_eq!(get(port, "/api/sessions", "").json()["items"][0]["queued"], 0);
    assert_eq!(get(port, "/api/subscriptions", "").json()["items"][0]["filter"], "rooms/+/light");
    let level = get(port, "/api/retained?below=rooms", "").json();
    assert_eq!((&level["items"][0]["level"], &level["items"][0]["below"]), (&json!("hall"), &json!(true)));
    assert_eq!(get(port, "/api/retained/message?topic=rooms/hall/light", "").json()["text"], "on");
    assert_eq!(get(port, "/api/overview", "").json()["connected"], 1);
    let metrics = get(port, "/metrics", "");
    assert!(metrics.body.contains("\nsimrun_clients_connected 1\n"), "{}", metrics.body);
    assert!(metrics.body.lines().all(|line| line.starts_with("# ") || line.split(' ').count() == 2));
    assert_eq!(get(port, "/healthz", "").body, "ok\n");
    assert_eq!(get(port, "/nothing", "").status, 404);
}

#[test]
fn the_operator_publishes_disconnects_ends_and_deletes() {
    let broker = Served::start(&[]);
    let port = broker.web;
    let mut client = broker.connect("x");
    broker.subscribe(&mut client, "a/#");
    let published = post(port, "/api/publish", OURS, &json!({"topic": "a/b", "payload": "hello", "retain": true}));
    assert_eq!((published.status, &published.json()["subscribers"]), (200, &json!(true)));
    assert_eq!(broker.next_publish(&mut client), ("a/b".to_owned(), b"hello".to_vec()));
    let coded = json!({"topic": "a/c", "base64": "AAEC", "qos": 1});
    assert_eq!(post(port, "/api/publish", OURS, &coded).status, 200);
    assert_eq!(broker.next_publish(&mut client), ("a/c".to_owned(), vec![0, 1, 2]));
    for (wrong, word) in [
        (json!({"topic": "a/#"}), "wildcard"),
        (json!({"topic": "$SYS/x"}), "$"),
        (json!({"topic": "a", "qos": 3}), "qos 3"),
        (json!({"topic": "a", "payload": "x", "base64": "AA=="}), "one is enough"),
        (json!({"topic": "a", "payloat": "x"}), "payloat"),
    ] {
        let answer = post(port, "/api/publish", OURS, &wrong);
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains(word)), "{}", answer.body);
    }
    assert_eq!(post(port, "/api/retained/delete", OURS, &json!({"topic": "a/b"})).status, 200);
    assert_eq!(post(port, "/api/retained/delete", OURS, &json!({"topic": "a/b"})).status, 404);
    assert_eq!(post(port, "/api/clients/disconnect", OURS, &json!({"client_id": "x"})).status, 200);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("closed in good order");
    assert_eq!((rest[0], rest[2]), (0xE0, 0x98), "DISCONNECT, administrative action");
    assert_eq!(post(port, "/api/clients/disconnect", OURS, &json!({"client_id": "x"})).status, 404);
    let _client = broker.connect("y");
    assert_eq!(post(port, "/api/sessions/end", OURS, &json!({"client_id": "y"})).status, 200);
    assert_eq!(get(port, "/api/sessions", "").json()["items"], json!([]));
}

#[test]
fn packets_and_messages_are_streamed_and_filtered() {
    let broker = Served::start(&[]);
    let port = broker.web;
    let mut client = broker.connect("watched");
    let open = |path: &str| {
        let mut stream = dial(port);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").expect("it reads");
        // Nothing is missed from here on.
        event_with(&mut stream, "\"missed\"");
        stream
    };
    let mut packets = open("/api/packets?types=PUBLISH&client=WATCH&topic=a/%23");
    let mut messages = open("/api/messages?filters=a/%2B%0Ac");
    broker.publish(&mut client, "b/1", b"not wanted", false);
    broker.publish(&mut client, "a/1", b"</script>", false);
    let packet = event_with(&mut packets, "PUBLISH");
    assert!(packet.contains("\"client\":\"watched\"") && packet.contains("\"topic\":\"a/1\""), "{packet}");
    assert!(!packet.contains("b/1") && !packet.contains("CONNECT"), "{packet}");
    let message = event_with(&mut messages, "a/1");
    assert!(message.contains("\"text\":\"</script>\"") && !message.contains("not wanted"), "{message}");
    assert_eq!(get(port, "/api/messages?filters=a%2F%23%2Fb", "").status, 422, "no topic filter");
    assert_eq!(get(port, "/api/packets?topic=a%23", "").status, 422, "no topic filter");
}

#[test]
fn streams_are_limited_and_their_places_come_back() {
    let broker = Served::start(&[]);
    let port = broker.web;
    let open = || {
        let mut stream = dial(port);
        write!(stream, "GET /api/packets HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("an answer");
        (stream, String::from_utf8_lossy(&status).into_owned())
    };
    let all: Vec<_> = (0..64).map(|_| open()).collect();
    assert!(all.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    assert_eq!(open().1, "HTTP/1.1 503");
    drop(all);
    let ends = Instant::now() + Duration::from_secs(10);
    while open().1 != "HTTP/1.1 200" {
        assert!(Instant::now() < ends, "their places come back");
    }
}

#[test]
fn browsers_are_told_what_to_refuse() {
    let broker = Served::start(&[]);
    for path in ["/", "/app.js", "/style.css", "/api/overview", "/metrics", "/healthz", "/nothing"] {
        let answer = get(broker.web, path, "");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert!(answer.header("access-control-allow-origin").is_none(), "no other site may read it");
    }
    let page = get(broker.web, "/", "").body;
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing comes from elsewhere");
    assert!(!page.contains("<script>") && !page.contains("style="), "nothing inline");
}

#[test]
fn what_another_site_may_have_sent_is_refused() {
    let broker = Served::start(&[]);
    let port = broker.web;
    let body = json!({"topic": "a", "payload": "x"});
    let publish = |headers: &str| post(port, "/api/publish", headers, &body).status;
    assert_eq!(publish(""), 403, "no header of ours");
    assert_eq!(publish(&format!("{OURS}Origin: http://evil.example\r\n")), 403);
    assert_eq!(publish(&format!("{OURS}Origin: null\r\n")), 403);
    assert_eq!(publish(&format!("{OURS}Sec-Fetch-Site: cross-site\r\n")), 403);
    assert_eq!(publish(&format!("{OURS}Origin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\n")), 200);
    // A name of another site that leads here: without users, nothing else would keep its pages out.
    let rebound = |path: &str, host: &str| {
        send(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).status
    };
    assert_eq!(rebound("/api/overview", "evil.example"), 421);
    assert_eq!(rebound("/", "evil.example:80"), 421);
    for host in ["localhost", "localhost:99", "127.0.0.1", "[::1]:80"] {
        assert_eq!(rebound("/api/overview", host), 200, "{host}");
    }
    let preflight = send(
        port,
        "OPTIONS /api/publish HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
         Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n",
    );
    assert!(preflight.status >= 400 && preflight.header("access-control-allow-origin").is_none());
}

#[test]
fn users_log_in_or_bring_their_password() {
    let broker = Served::start(&["--user", "ada:lovelace"]);
    let port = broker.web;
    for path in ["/api/overview", "/api/clients", "/api/packets", "/metrics"] {
        assert_eq!(get(port, path, "").status, 401, "{path}");
    }
    assert!(get(port, "/api/overview", "").header("www-authenticate").is_some(), "a browser may ask");
    assert!(get(port, "/api/overview", OURS).header("www-authenticate").is_none(), "the page asks itself");
    assert_eq!(get(port, "/api/overview", ADA).status, 200);
    assert_eq!(get(port, "/healthz", "").status, 200, "anyone may ask whether it is there");
    assert_eq!(get(port, "/api/hello", "").json()["login"], true);

    let refused = post(port, "/api/login", OURS, &json!({"user": "ada", "password": "byron"}));
    assert_eq!((refused.status, refused.header("set-cookie")), (401, None));
    let without = post(port, "/api/login", "", &json!({"user": "ada", "password": "lovelace"}));
    assert_eq!(without.status, 403, "another site logs nobody in");
    let accepted = post(port, "/api/login", OURS, &json!({"user": "ada", "password": "lovelace"}));
    let cookie = accepted.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = log_in(port, "ada", "lovelace");
    assert_eq!(get(port, "/api/hello", &cookie).json()["user"], "ada");
    assert_eq!(get(port, "/api/overview", &cookie).status, 200);
    assert_eq!(post(port, "/api/logout", &format!("{OURS}{cookie}"), &json!({})).status, 200);
    assert_eq!(get(port, "/api/overview", &cookie).status, 401, "the token is good for nothing any more");
}

/// The token of a new login, as a header.
fn log_in(port: u16, user: &str, password: &str) -> String {
    let accepted = post(port, "/api/login", OURS, &json!({"user": user, "password": password}));
    let cookie = accepted.header("set-cookie").expect("a cookie");
    format!("Cookie: other=1; {}\r\n", cookie.split(';').next().expect("its value"))
}

#[test]
fn who_is_no_user_any_more_is_logged_out() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let config = folder.path().join("broker.yaml").display().to_string();
    let write = |text: &str| std::fs::write(&config, text).expect("written");
    write("users: { ada: lovelace, grace: hopper }\n");
    let mut broker = Served::start(&["--config", &config]);
    let port = broker.web;
    let (ada, grace) = (log_in(port, "ada", "lovelace"), log_in(port, "grace", "hopper"));
    let mut reload = || {
        let pid = broker.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "HUP", &pid]).status().expect("kill runs").success());
        broker.log_until("read anew");
    };
    let mut stream = dial(port);
    write!(stream, "GET /api/packets HTTP/1.1\r\nHost: localhost\r\n{ada}\r\n").expect("it reads");
    event_with(&mut stream, "\"missed\"");

    write("users: { ada: lovelace, grace: hopper }\nlimits: { qos: 1 }\n");
    reload();
    assert_eq!(get(port, "/api/overview", &ada).status, 200, "nothing has changed for her");
    assert_eq!(get(port, "/api/overview", ADA).status, 200);

    write("users: { grace: hopper }\n");
    reload();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the stream ends");
    assert_eq!(get(port, "/api/overview", &ada).status, 401);
    assert_eq!(get(port, "/api/overview", ADA).status, 401, "nor is her password remembered");
    assert_eq!(get(port, "/api/overview", &grace).status, 401, "who is there still logs in once more");
    assert_eq!(get(port, "/api/overview", &log_in(port, "grace", "hopper")).status, 200);
}

#[test]
fn repeated_failures_are_slowed_down() {
    let broker = Served::start(&["--user", "ada:lovelace"]);
    let attempt = |password: &str| {
        let began = Instant::now();
        let answer = post(broker.web, "/api/login", OURS, &json!({"user": "ada", "password": password}));
        (answer.status, began.elapsed())
    };
    let times: Vec<_> = (0..4).map(|_| attempt("wrong")).collect();
    assert!(times.iter().all(|(status, _)| *status == 401));
    assert!(times[3].1 >= Duration::from_millis(900), "the fourth waits a second: {times:?}");
    assert_eq!(attempt("lovelace").0, 200);
    assert!(attempt("lovelace").1 < Duration::from_millis(900), "who was right waits no more");
}

#[test]
fn beyond_loopback_it_needs_users() {
    let output = Served::command(&["--web", "0.0.0.0:0"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--user"));
}

#[test]
fn requests_are_limited_in_size_and_a_slow_head_is_not_waited_for_by_others() {
    let broker = Served::start(&[]);
    let port = broker.web;
    let large = "x".repeat(3 * 1024 * 1024);
    let mut stream = dial(port);
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nX-Simrun: 1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        large.len()
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer before the body");
    assert_eq!(&answer, b"HTTP/1.1 413");
    let mut slow = dial(port);
    slow.write_all(b"GET / HTTP/1.1\r\nHos").expect("it reads");
    assert_eq!(get(port, "/", "").status, 200);
}

#[test]
fn the_health_check_tells_by_its_exit_code() {
    let broker = Served::start(&["--user", "ada:lovelace"]);
    let check = |target: &str| Served::simrun(&["healthcheck", target, "--timeout", "5"]).output().expect("it runs");
    for target in [format!("http://127.0.0.1:{}", broker.web), format!("mqtt://127.0.0.1:{}", broker.mqtt)] {
        assert_eq!(check(&target).status.code(), Some(0), "{target}");
    }
    let (web, mqtt) = (broker.web, broker.mqtt);
    drop(broker);
    for target in [format!("http://127.0.0.1:{web}/healthz"), format!("127.0.0.1:{mqtt}")] {
        let output = check(&target);
        assert_eq!(output.status.code(), Some(1), "{target}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&target));
    }
    assert_eq!(check("ftp://x").status.code(), Some(2));
}

#[test]
fn the_log_says_who_came_and_went_and_cannot_be_forged() {
    let mut broker = Served::start(&["--user", "ada:lovelace", "--log", "json", "--log-level", "debug"]);
    let mut client = broker.connect_as("x\n{\"message\":\"connected\"}\u{1b}[31m\u{202e}", Some(("ada", "lovelace")));
    broker.subscribe(&mut client, "a/#");
    broker.publish(&mut client, "a/b", b"the payload", false);
    let _ = broker.connect_as("intruder", Some(("ada", "secret guess")));
    drop(client);
    let lines = broker.log_until("disconnected");
    let all = lines.join("\n");
    let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("JSON, a line each")).collect();
    let of = |message: &str| {
        let found = parsed.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no {message}: {all}")).clone()
    };
    assert_eq!(of("listening")["level"], "INFO");
    let connected = of("connected");
    assert_eq!((&connected["user"], &connected["version"]), (&json!("ada"), &json!("5.0")));
    assert!(connected["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")));
    assert_eq!(parsed.iter().filter(|line| line["message"] == "connected").count(), 1, "none is forged: {all}");
    assert_eq!(of("subscribed")["filter"], "a/#");
    let refused = of("refused");
    assert_eq!(refused["client_id"], "intruder");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("0x86")), "{refused}");
    assert!(of("disconnected")["reason"].is_string());
    for secret in ["lovelace", "secret guess", "the payload"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[test]
fn a_readers_log_sends_a_terminal_nothing() {
    let mut broker = Served::start(&["--log", "human"]);
    drop(broker.connect("x\n2026-01-01 INFO connected\u{1b}[31m\u{9b}31m\u{202e}"));
    let lines = broker.log_until("disconnected");
    let all = lines.join("\n");
    assert_eq!(lines.iter().filter(|line| line.contains(" connected ")).count(), 1, "none is forged: {all}");
    assert!(!all.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{all:?}");
    assert!(all.contains("client_id="), "{all}");
}
