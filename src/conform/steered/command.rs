//! A client that a command starts: an adapter that speaks the line protocol on its stdin and stdout. One process a case;
//! it ends with the case.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Steered;
use super::protocol::{Command, PROTOCOL, Ready, Said};

/// How long a process may take to say that it is ready: interpreters are slow to start on a busy machine.
const START: Duration = Duration::from_secs(30);
/// How long a process may take to end once its stdin has, before it is killed.
const END: Duration = Duration::from_millis(500);
/// How many lines of stderr are kept.
const LINES_KEPT: usize = 20;

/// The process of one client. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    writer: JoinHandle<()>,
    fate: Rc<RefCell<Option<Fate>>>,
    stderr: Rc<RefCell<VecDeque<String>>>,
}

/// What went wrong with a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ended before it was told to: how, and what it last said on stderr.
    Died(String),
    /// It said what is no line of the protocol.
    Nonsense(String),
}

/// Starts a client with this command line, as a shell would.
///
/// # Errors
/// If it does not start, or does not say that it is ready.
pub async fn start(command: &str) -> Result<(Steered, Process), String> {
    let mut child = tokio::process::Command::new("sh")
        .arg("-c")
        // So that the process that is known, and killed, is the client itself.
        .arg(format!("exec {command}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let (Some(stdin), Some(stdout), Some(error)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("it has no stdin, stdout or stderr".to_owned());
    };
    let (orders, commands) = mpsc::unbounded_channel();
    let (say, said) = mpsc::unbounded_channel();
    let (first, ready) = oneshot::channel();
    let (fate, stderr) = (Rc::default(), Rc::default());
    let writer = tokio::task::spawn_local(write(stdin, commands));
    tokio::task::spawn_local(keep(error, Rc::clone(&stderr)));
    tokio::task::spawn_local(read(stdout, first, say, Rc::clone(&fate)));
    let mut process = Process { child, writer, fate, stderr };
    match timeout(START, ready).await {
        Ok(Ok(ready)) => Ok((Steered::new(ready, orders, said), process)),
        Ok(Err(_)) => Err(process.fate().await.map_or_else(|| "it says nothing".to_owned(), Fate::words)),
        Err(_) => Err(format!("it did not say within {START:?} that it is ready")),
    }
}

impl Fate {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Fate::Died(how) => format!("it ended: {how}"),
            Fate::Nonsense(line) => format!("it said what is no line of the protocol: {line}"),
        }
    }
}

impl Process {
    /// What went wrong with it so far.
    pub async fn fate(&mut self) -> Option<Fate> {
        let fate = self.fate.borrow().clone();
        if let Some(Fate::Died(_)) = fate {
            let status = timeout(END, self.child.wait()).await;
            let how = status.ok().and_then(Result::ok).map_or("it closed its stdout".to_owned(), |end| end.to_string());
            let last: Vec<String> = self.stderr.borrow().iter().cloned().collect();
            let last = last.join("\n");
            return Some(Fate::Died(if last.is_empty() { how } else { format!("{how}; on stderr:\n{last}") }));
        }
        fate
    }

    /// Ends it: by the end of its stdin, or else by force.
    pub async fn end(mut self) {
        self.writer.abort();
        if timeout(END, self.child.wait()).await.is_err() {
            // It has ended meanwhile, or is killed now.
            let _ = self.child.kill().await;
        }
    }
}

async fn write(mut stdin: ChildStdin, mut commands: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        let Ok(mut line) = serde_json::to_vec(&command) else { return };
        line.push(b'\n');
        // A process that reads no more has died: its stdout tells.
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

async fn read(
    stdout: impl AsyncRead + Unpin,
    ready: oneshot::Sender<Ready>,
    say: mpsc::UnboundedSender<Said>,
    fate: Rc<RefCell<Option<Fate>>>,
) {
    let mut lines = BufReader::new(stdout).lines();
    let mut ready = Some(ready);
    while let Ok(Some(line)) = lines.next_line().await {
        let understood = match ready.take() {
            Some(first) => match serde_json::from_str::<Ready>(&line) {
                Ok(words) if words.protocol == PROTOCOL => first.send(words).is_ok(),
                _ => false,
            },
            None => Said::read(&line).is_ok_and(|said| say.send(said).is_ok()),
        };
        if !understood {
            // If the suite is gone, nobody looks at this.
            *fate.borrow_mut() = Some(Fate::Nonsense(line));
            return;
        }
    }
    *fate.borrow_mut() = Some(Fate::Died(String::new()));
}

async fn keep(stderr: impl AsyncRead + Unpin, kept: Rc<RefCell<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut kept = kept.borrow_mut();
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}
