//! `--data DIR` as its user meets it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Real processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use simrun::codec::Text;
use simrun::live::disk::{Disk, DiskError, Told};
use simrun::message::Message;
use simrun::store::{Change, Key, Mark, Restored, Value};

/// A directory that is not there yet, and not any more afterwards.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("simrun-disk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("simrun.redb")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn broker(directory: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simrun"));
    command.args(["--real", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data"]).arg(directory);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Waits until it serves.
fn ready(broker: &mut Child) {
    let mut line = String::new();
    BufReader::new(broker.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it prints");
    assert!(line.contains("listening"), "{line}");
}

/// Ends it at once; what it complained about.
fn complaint(mut broker: Child) -> String {
    let _ = broker.kill();
    let mut complaint = String::new();
    broker.stderr.take().expect("piped").read_to_string(&mut complaint).expect("text");
    let _ = broker.wait();
    complaint
}

fn retained(topic: &'static str) -> Vec<Change> {
    let topic = Text::literal(topic);
    let message = Message { topic: topic.clone(), payload: "kept".into(), ..Message::default() };
    vec![Change::new(Key::Retained(topic), Some(Value::Retained(Box::new(message))))]
}

fn write(directory: &Directory, changes: Vec<Change>) {
    let (tell, told) = std::sync::mpsc::channel();
    let disk = Disk::open(&directory.0).unwrap().start(move |what| drop(tell.send(what))).unwrap();
    disk.write(changes, Mark(1));
    assert_eq!(told.recv().unwrap(), Told::Stored(Mark(1)));
}

#[test]
fn what_was_written_is_there_and_time_goes_on() {
    let directory = Directory::new("time");
    let first = Disk::open(&directory.0).unwrap();
    assert!(first.restored.is_empty() && first.remarks.is_empty());
    drop(first);
    write(&directory, retained("a"));
    std::thread::sleep(std::time::Duration::from_millis(20));
    let again = Disk::open(&directory.0).unwrap();
    let mut expected = Restored::default();
    retained("a").into_iter().for_each(|change| expected.apply(change));
    assert_eq!(again.restored, expected);
    assert!(again.now.since_start() >= std::time::Duration::from_millis(20), "{}", again.now);
}

#[test]
fn two_brokers_do_not_share_a_directory() {
    let directory = Directory::new("shared");
    let mut first = broker(&directory.0);
    ready(&mut first);
    let second = broker(&directory.0).wait_with_output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(said.contains("is in use by another broker") && said.contains("--data"), "{said}");
    assert!(matches!(Disk::open(&directory.0), Err(DiskError::InUse(_))));
    assert_eq!(complaint(first), "");
    assert!(Disk::open(&directory.0).is_ok(), "the lock goes with the process");
}

#[test]
fn a_damaged_store_is_set_aside_and_its_owner_is_told() {
    let directory = Directory::new("damaged");
    write(&directory, retained("lost"));
    let mut bytes = std::fs::read(directory.store()).unwrap();
    let len = bytes.len();
    bytes[4096..len].iter_mut().for_each(|byte| *byte ^= 0x55);
    std::fs::write(directory.store(), &bytes).unwrap();

    let mut broker = broker(&directory.0);
    ready(&mut broker);
    let said = complaint(broker);
    let aside = directory.0.join("simrun.redb.damaged-1");
    for words in ["is damaged", "set aside", aside.to_str().unwrap(), "retained messages in it are lost"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(std::fs::read(aside).unwrap(), bytes, "nothing of it is thrown away");
    let opened = Disk::open(&directory.0).unwrap();
    assert!(opened.restored.is_empty() && opened.remarks.is_empty(), "the new one is sound");
}

#[test]
fn what_is_no_directory_is_an_error() {
    let directory = Directory::new("file");
    std::fs::write(&directory.0, "a file").unwrap();
    let output = broker(&directory.0).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot make") && said.contains(directory.0.to_str().unwrap()), "{said}");
    std::fs::remove_file(&directory.0).unwrap();
}

/// A disk that is full: no file of the broker's may grow beyond so many KiB.
fn full_at(kib: u32, directory: &Path) -> Child {
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f $1; shift; exec \"$@\"", "bash", &kib.to_string()]);
    command.args([env!("CARGO_BIN_EXE_simrun"), "--real", "--listen", "127.0.0.1:0", "--ws", "127.0.0.1:0"]);
    command.args(["--log-level", "warn", "--data"]).arg(directory);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn a_full_disk_does_not_keep_it_from_ending() {
    let directory = Directory::new("full");
    let mut broker = full_at(4096, &directory.0);
    let mut line = String::new();
    BufReader::new(broker.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = |scheme: &str| -> u16 {
        let (_, rest) = line.split_once(&format!("{scheme}://127.0.0.1:")).unwrap();
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let mut client = TcpStream::connect(("127.0.0.1", port("mqtt"))).unwrap();
    client.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01x").unwrap();
    // A retained message of a mebibyte, again and again, each under a topic of its own.
    let mut log = BufReader::new(broker.stderr.take().unwrap());
    std::thread::spawn(move || {
        for number in 0..16_u8 {
            let message = [&[0x33, 0x85, 0x80, 0x40, 0, 1, b'a' + number, 0, 1][..], &vec![7; 1 << 20]].concat();
            client.write_all(&message)?;
        }
        // The connection stays.
        client.read_to_end(&mut Vec::new())
    });
    let mut said = String::new();
    log.read_line(&mut said).unwrap();
    assert!(said.contains("the disk cannot be written") && said.contains("make room"), "{said}");
    // A connection that tasks carry waits to be taken in, and what comes behind it with it.
    let mut waits = TcpStream::connect(("127.0.0.1", port("ws"))).unwrap();
    waits.write_all(b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    waits.read_exact(&mut answer).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));

    let begun = std::time::Instant::now();
    assert!(Command::new("kill").arg(broker.id().to_string()).status().unwrap().success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(broker.wait().unwrap().code(), Some(0), "{rest}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(rest.contains("what it did not acknowledge is not kept"), "{rest}");
    assert!(Disk::open(&directory.0).is_ok(), "it is sound");
}
