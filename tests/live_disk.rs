//! `--data DIR` as its user meets it.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Real processes.

use std::io::{BufRead, BufReader, Read};
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
    command.args(["--real", "--listen", "127.0.0.1:0", "--data"]).arg(directory);
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
    vec![Change { key: Key::Retained(topic), value: Some(Value::Retained(message)) }]
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
