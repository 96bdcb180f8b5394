//! Access and TLS of a real broker process: users from files, certificates, SIGHUP, the ready file, the service manager.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, version};

fn simrun(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command.env_remove("SIMRUN_USERNAME").env_remove("SIMRUN_PASSWORD");
    command
}

/// A broker, what it printed and what it says later; killed at the end.
struct Broker {
    process: Child,
    greeting: Vec<String>,
    stderr: BufReader<ChildStderr>,
}

impl Broker {
    fn start(arguments: &[&str], lines: usize) -> Broker {
        Broker::spawn(simrun(&["--real"]).args(arguments), lines)
    }

    fn spawn(command: &mut Command, lines: usize) -> Broker {
        let mut process = command.spawn().expect("it starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let stderr = BufReader::new(process.stderr.take().expect("piped"));
        let greeting = stdout.lines().take(lines).map(|line| line.expect("text")).collect();
        Broker { process, greeting, stderr }
    }

    /// The ports in its first line, in order.
    fn ports(&self) -> Vec<u16> {
        let urls = self.greeting[0].split("://").skip(1);
        let port = |url: &str| {
            let (_, port) = url.split([' ', '/']).next()?.rsplit_once(':')?;
            port.parse().ok()
        };
        urls.filter_map(port).collect()
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Sends SIGHUP; what it says of that in its log.
    fn reload(&mut self) -> String {
        self.signal("HUP");
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).expect("text") > 0, "it says nothing of it");
            if line.contains("read anew") || line.contains("nothing is changed") {
                return line;
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hello(user: Option<(&str, &str)>) -> Vec<u8> {
    // No two have one client identifier, or one would take the other's place.
    static CLIENTS: AtomicU8 = AtomicU8::new(b'!');
    let mut body = b"\0\x04MQTT\x04\x02\0\0\0\x01".to_vec();
    body.push(CLIENTS.fetch_add(1, Ordering::Relaxed));
    if let Some((name, password)) = user {
        body[7] |= 0xC0;
        for part in [name, password] {
            body.extend(u16::try_from(part.len()).expect("short").to_be_bytes());
            body.extend(part.bytes());
        }
    }
    let length = u8::try_from(body.len()).expect("short");
    [&[0x10, length][..], &body].concat()
}

/// The return code of the CONNACK, or nothing if there is none.
fn answer(mut stream: impl Read + Write, packet: &[u8]) -> Option<u8> {
    stream.write_all(packet).ok()?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).ok()?;
    (connack[0] == 0x20).then_some(connack[3])
}

fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

fn as_user(port: u16, user: &str, password: &str) -> Option<u8> {
    answer(tcp(port), &hello(Some((user, password))))
}

fn passwd(arguments: &[&str], password: &str) -> Output {
    let mut process = simrun(&["passwd"]).args(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
    // It may end without reading.
    let _ = process.stdin.take().expect("piped").write_all(password.as_bytes());
    process.wait_with_output().expect("it ends")
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// Both from mosquitto_passwd 2.0, of the password lovelace.
const OF_MOSQUITTO: &str = "\
byron:$7$101$tfki9jXuoue7zzY3$5fPwVam5IlmsUZ7BVwDbTOUDMmcwVm/vhHFr3pPX3Y57JTl5zQt0UFaS9u0UWH6x+krJ1spftecLryHMe40COQ==
old:$6$1gbA/UCnUGgGuZkJ$AWNhDg+BMvsCceBvhRBp3EeDKHRC1D8Tkyo0XVYWG3WcLMEpFD+b/r1M/CHyLZO/fdQkDSOvb6YoiWp5Ia193A==
";

#[test]
fn a_file_of_users_is_served_and_read_anew_and_a_broken_one_changes_nothing() {
    let folder = TempDir::new().expect("a folder");
    let users = path(&folder, "users");
    fs::write(&users, OF_MOSQUITTO).expect("written");
    let output = passwd(&[&users, "ada"], "countess\n");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::metadata(&users).expect("there").permissions().mode() & 0o777, 0o600);
    let mut broker = Broker::start(&["--listen", "127.0.0.1:0", "--users", &users], 1);
    let port = broker.ports()[0];
    for (user, password, code) in [
        ("ada", "countess", 0),
        ("byron", "lovelace", 0),
        ("old", "lovelace", 0),
        ("ada", "lovelace", 4),
        ("nobody", "countess", 4),
    ] {
        assert_eq!(as_user(port, user, password), Some(code), "{user}");
    }
    assert_eq!(answer(tcp(port), &hello(None)), Some(4), "nobody without a name");
    let mut stays = tcp(port);
    assert_eq!(answer(&mut stays, &hello(Some(("ada", "countess")))), Some(0));

    assert!(passwd(&[&users, "grace"], "hopper").status.success());
    assert!(passwd(&["-D", &users, "ada"], "").status.success());
    assert_eq!(passwd(&["-D", &users, "ada"], "").status.code(), Some(2), "she is gone");
    assert_eq!(as_user(port, "grace", "hopper"), Some(4), "not read yet");
    let said = broker.reload();
    assert!(said.contains("read anew") && said.contains("3 users"), "{said}");
    assert_eq!(as_user(port, "grace", "hopper"), Some(0));

    let whole = fs::read_to_string(&users).expect("text");
    fs::write(&users, format!("{whole}hamilton margaret\n")).expect("written");
    let said = broker.reload();
    assert!(said.contains("users:4") && !said.contains("margaret"), "{said}");
    assert_eq!(as_user(port, "grace", "hopper"), Some(0), "the old ones hold");
    stays.write_all(b"\xc0\0").expect("still there");
    let mut pong = [0; 2];
    stays.read_exact(&mut pong).expect("PINGRESP");
    assert_eq!(pong, [0xd0, 0], "nobody was dropped");
}

#[test]
fn limits_are_read_anew_and_what_counts_at_the_start_alone_is_said() {
    let folder = TempDir::new().expect("a folder");
    let config = path(&folder, "broker.yaml");
    fs::write(&config, "listeners: ['127.0.0.1:0']\nweb: 127.0.0.1:0\n").expect("written");
    let mut broker = Broker::start(&["--config", &config], 1);
    let ports = broker.ports();
    let mut stays = tcp(ports[0]);
    assert_eq!(answer(&mut stays, &hello(None)), Some(0));
    assert_eq!(answer(tcp(ports[0]), &hello(None)), Some(0));
    let page = || {
        let mut stream = tcp(ports[1]);
        stream.write_all(b"GET /api/overview HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer.split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(page().as_deref(), Some("200"), "nobody is asked");

    let changed = "listeners: ['127.0.0.1:0', '[::1]:0']\nweb: 127.0.0.1:0\nlog_level: debug\nusers: { ada: lovelace }\n\
                   limits: { connections: 2, qos: 1 }\n";
    fs::write(&config, changed).expect("written");
    assert!(broker.reload().contains("limits"));
    let mut said = String::new();
    broker.stderr.read_line(&mut said).expect("text");
    assert!(said.contains("listeners, log_level, limits.qos changed, which counts from the next start on"), "{said}");
    assert_eq!(page().as_deref(), Some("401"), "users are asked for their password now");
    let mut second = tcp(ports[0]);
    assert_eq!(answer(&mut second, &hello(Some(("ada", "lovelace")))), Some(0));
    assert_eq!(answer(tcp(ports[0]), &hello(Some(("ada", "lovelace")))), None, "a third is one too many");
}

#[test]
fn strangers_are_not_let_in_by_reading_anew() {
    let folder = TempDir::new().expect("a folder");
    let config = path(&folder, "broker.yaml");
    fs::write(&config, "listeners: ['0.0.0.0:0']\nusers: { ada: lovelace }\n").expect("written");
    let mut broker = Broker::start(&["--config", &config], 1);
    fs::write(&config, "listeners: ['0.0.0.0:0']\n").expect("written");
    let said = broker.reload();
    assert!(said.contains("anyone could connect") && said.contains("nothing is changed"), "{said}");
    assert_eq!(answer(tcp(broker.ports()[0]), &hello(None)), Some(4));
}

#[test]
fn a_file_that_everyone_can_read_is_warned_of() {
    let folder = TempDir::new().expect("a folder");
    let users = path(&folder, "users");
    fs::write(&users, OF_MOSQUITTO).expect("written");
    fs::set_permissions(&users, fs::Permissions::from_mode(0o644)).expect("changed");
    let mut broker = Broker::start(&["--listen", "127.0.0.1:0", "--users", &users], 1);
    let mut line = String::new();
    broker.stderr.read_line(&mut line).expect("a warning");
    assert!(line.starts_with("warning: ") && line.contains("chmod"), "{line}");
}

#[test]
fn the_environment_names_a_user() {
    let mut command = simrun(&["--real", "--listen", "127.0.0.1:0"]);
    let broker = Broker::spawn(command.env("SIMRUN_USERNAME", "ada").env("SIMRUN_PASSWORD", "lovelace"), 1);
    let port = broker.ports()[0];
    assert_eq!(as_user(port, "ada", "lovelace"), Some(0));
    assert_eq!(answer(tcp(port), &hello(None)), Some(4));
}

#[test]
fn whoever_waits_for_it_is_told_when_it_is_ready() {
    let folder = TempDir::new().expect("a folder");
    let (ready, socket) = (path(&folder, "ready"), path(&folder, "notify"));
    let listens = UnixDatagram::bind(&socket).expect("bound");
    listens.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut command = simrun(&["--real", "--listen", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--ready-file", &ready]);
    let mut broker = Broker::spawn(command.env("NOTIFY_SOCKET", &socket), 1);
    let mut told = [0; 64];
    let length = listens.recv(&mut told).expect("it tells");
    assert_eq!(&told[..length], b"READY=1");
    let [tcp, web_socket] = broker.ports()[..] else { panic!("{:?}", broker.greeting) };
    let expected = format!("mqtt://127.0.0.1:{tcp}\nws://127.0.0.1:{web_socket}/mqtt\n");
    assert_eq!(fs::read_to_string(&ready).expect("it is there"), expected);
    broker.signal("TERM");
    assert_eq!(broker.process.wait().expect("it ends").code(), Some(0));
    let length = listens.recv(&mut told).expect("it tells");
    assert_eq!(&told[..length], b"STOPPING=1");
    assert!(!Path::new(&ready).exists(), "it goes with the broker");
}

/// An authority, and what it has signed: PEM texts.
struct Authority {
    params: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority { params: rcgen::Issuer::new(params, key), pem }
    }

    /// A certificate and its key for this name.
    fn signs(&self, name: &str) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.params).expect("signed").pem(), key.serialize_pem())
    }
}

/// A connection with TLS to a broker that this authority has signed.
fn secure(
    port: u16,
    authority: &str,
    identity: Option<&(String, String)>,
    versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![certificate], key).expect("they go together")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), tcp(port))
}

const ANY: &[&tokio_rustls::rustls::SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[test]
fn a_throw_away_certificate_serves_both_versions_of_tls() {
    let broker = Broker::start(&["--listen", "mqtts://127.0.0.1:0", "--tls-dev"], 4);
    let authority = broker.greeting[3].rsplit_once(' ').expect("a file").1;
    let pem = fs::read_to_string(authority).expect("the authority's file");
    for versions in [&[&version::TLS13][..], &[&version::TLS12]] {
        assert_eq!(answer(secure(broker.ports()[0], &pem, None, versions), &hello(None)), Some(0));
    }
    assert_eq!(answer(tcp(broker.ports()[0]), &hello(None)), None, "without TLS there is no answer");
    let copied =
        broker.greeting[1].contains(&format!("--url mqtts://127.0.0.1:{} --cafile {authority}", broker.ports()[0]));
    assert!(copied, "{:?}", broker.greeting);
}

#[test]
fn certificates_of_clients_name_users_and_each_listener_has_rules_of_its_own() {
    let (folder, authority, stranger) = (TempDir::new().expect("a folder"), Authority::new(), Authority::new());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    let (certificate, key) = authority.signs("broker");
    write("server.pem", &certificate);
    write("server.key", &key);
    write("ca.pem", &authority.pem);
    let tls = "certificate: server.pem, key: server.key";
    write(
        "broker.yaml",
        &format!(
            "users: {{ ada: lovelace, grace: hopper }}
listeners:
  - {{ url: mqtts://127.0.0.1:0, tls: {{ {tls}, client_authorities: ca.pem, user_from_certificate: true }} }}
  - {{ url: mqtts://127.0.0.1:0, users: [ada] }}
  - {{ url: mqtt://127.0.0.1:0, anonymous: true }}
  - mqtt://127.0.0.1:0
tls: {{ {tls} }}
"
        ),
    );
    let mut broker = Broker::start(&["--config", &path(&folder, "broker.yaml")], 1);
    let [with_certificate, for_ada, open, plain] = broker.ports()[..] else { panic!("{:?}", broker.greeting) };
    let lamp = authority.signs("lamp");
    assert_eq!(answer(secure(with_certificate, &authority.pem, Some(&lamp), ANY), &hello(None)), Some(0));
    assert_eq!(answer(secure(with_certificate, &authority.pem, None, ANY), &hello(None)), None, "none is shown");
    let forged = stranger.signs("lamp");
    assert_eq!(
        answer(secure(with_certificate, &authority.pem, Some(&forged), ANY), &hello(None)),
        None,
        "a forged one"
    );
    for (user, password, code) in [("ada", "lovelace", 0), ("grace", "hopper", 4)] {
        let hello = hello(Some((user, password)));
        assert_eq!(answer(secure(for_ada, &authority.pem, None, ANY), &hello), Some(code), "{user}");
        assert_eq!(answer(tcp(plain), &hello), Some(0), "{user}");
    }
    assert_eq!(answer(tcp(open), &hello(None)), Some(0));
    assert_eq!(answer(tcp(plain), &hello(None)), Some(4));

    // A new certificate is taken up without a restart, a broken one is not.
    write("server.key", "none");
    let said = broker.reload();
    assert!(said.contains("server.key") && said.contains("no private key"), "{said}");
    let ada = hello(Some(("ada", "lovelace")));
    assert_eq!(answer(secure(for_ada, &authority.pem, None, ANY), &ada), Some(0));
    let (certificate, key) = stranger.signs("broker");
    write("server.pem", &certificate);
    write("server.key", &key);
    let said = broker.reload();
    assert!(said.contains("read anew"), "{said}");
    assert_eq!(answer(secure(for_ada, &stranger.pem, None, ANY), &ada), Some(0));
    assert_eq!(answer(secure(for_ada, &authority.pem, None, ANY), &ada), None, "the old one is gone");
}

#[test]
fn files_that_do_not_go_together_are_refused() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    let (certificate, key) = authority.signs("broker");
    write("server.pem", &certificate);
    write("server.key", &key);
    write("other.key", &authority.signs("other").1);
    for (certificate, key, words) in [
        ("server.pem", "other.key", "does not go with the certificate"),
        ("server.key", "server.key", "no certificate"),
        ("server.pem", "server.pem", "no private key"),
        ("none.pem", "server.key", "none.pem"),
    ] {
        let (certificate, key) = (path(&folder, certificate), path(&folder, key));
        let arguments = ["--real", "--listen", "mqtts://127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let output = simrun(&arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_listener_on_ipv6_serves() {
    // A machine without IPv6 cannot show it.
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let broker = Broker::start(&["--listen", "[::1]:0"], 1);
    let stream = TcpStream::connect(("::1", broker.ports()[0])).expect("it accepts");
    assert_eq!(answer(stream, &hello(None)), Some(0));
}
