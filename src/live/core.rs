//! The thread that owns the broker: one loop, in turns. A turn takes in what has come on every connection, and then
//! sends on each what it has for it with one write. It reads and writes plain TCP itself; what other tasks carry (TLS,
//! WebSocket) comes as letters.
//!
//! What a message costs here is above all its share of system calls, so a turn reads much and writes once, and in steady
//! state nothing is armed anew: readiness is reported once for each change, and what is known to be ready is remembered.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::Clock;
use super::control::{Control, Ending, Mail, Mailbox, control};
use super::disk::{Disk, Opened, Told};
use super::log::{self, Level, say};
use super::outgoing::Outgoing;
use super::verify::Verifiers;
use super::witness::Witness;
use crate::broker::{Arrival, Broker, Config, Input, Output, Peer, Verdict};
use crate::codec::Frame;
use crate::drive::{Carried, Carrier, HIGH_WATER, LINGER, LOW_WATER, Line, cause_of};
use crate::link::{Cause, LinkId};
use crate::store::Mark;
use crate::time::Time;

/// How much is read from one connection in one turn.
const READ_SIZE: usize = 64 * 1024;
/// How large a buffer is made for reading. Packets are lent from it, so it lives until the last of them is sent.
const BUFFER_SIZE: usize = 256 * 1024;
/// With less room than this a new one is made.
const LEAST_ROOM: usize = 16 * 1024;
/// How many events one turn takes in.
const EVENTS: usize = 1024;
/// How many connections one turn accepts, lest those that are there wait.
const ACCEPTS: usize = 64;
/// How long to wait before accepting again after that failed: descriptors may have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How many letters one turn reads.
const LETTERS: usize = 1024;
/// How often the broker goes on in one turn with what it has divided into portions.
const TIMEOUTS: usize = 8;
/// How many empty buffers are kept.
const SPARE: usize = 1024;

/// With more outputs than this waiting for the disk, or more bytes, nothing more is taken in.
const HELD_BACK: usize = 1 << 16;
const HELD_BACK_BYTES: usize = 64 << 20;

/// The bits of a [`LinkId`] that say where the connection stands; those above count connections.
const PLACE_BITS: u32 = 24;

const BELL: Token = Token(0);
/// Tokens from here on are listeners.
const LISTENERS: usize = 1;
/// Tokens from here on are connections.
const CONNECTIONS: usize = 1024;

/// The loop and all it owns.
pub(super) struct Core {
    broker: Broker,
    clock: Clock,
    now: Time,
    poll: Poll,
    mailbox: Mailbox,
    control: Control,
    listeners: Vec<Listener>,
    connections: Slab<Connection>,
    /// How many connections there have been.
    opened: u64,
    /// What is read into. Its length is room.
    buffer: BytesMut,
    /// Connections with something to send.
    unsent: VecDeque<LinkId>,
    /// Connections with something to read.
    unread: Vec<LinkId>,
    /// Connections that we closed, until the other side does or they have had time enough; the first is due first.
    lingering: VecDeque<(Time, LinkId)>,
    /// Empty buffers, so that idle connections need none.
    #[allow(clippy::vec_box)] // The boxes are what is passed on.
    spare: Vec<Box<Outgoing>>,
    witness: Option<Witness>,
    disk: Option<Disk>,
    /// What the broker knows to be durable.
    stored: Mark,
    /// A letter that waits until the disk is not congested.
    held: Option<Mail>,
    /// What holds passwords against hashes.
    verifiers: Verifiers,
    /// When to end whatever is still open.
    ending: Option<Time>,
}

struct Listener {
    socket: TcpListener,
    /// Whether there may be connections to accept.
    ready: bool,
    /// Not to be tried again before.
    pause: Time,
}

struct Connection {
    link: LinkId,
    wire: Wire,
}

enum Wire {
    /// One that this loop reads and writes.
    Socket(Socket),
    /// One that a task carries.
    Carried(Line),
}

struct Socket {
    stream: TcpStream,
    /// What waits to be sent, if something does.
    outgoing: Option<Box<Outgoing>>,
    phase: Phase,
    /// It is among the unsent.
    to_send: bool,
    /// It is among the unread.
    to_read: bool,
    /// There may be something to read.
    readable: bool,
    /// The other side has ended it: it is to be read to its end.
    hung_up: bool,
    congested: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Bytes go both ways.
    Open,
    /// The broker is done with it: once all is sent it is closed, without waiting for the other side or after that.
    Closing { linger: bool },
    /// All is sent; the other side may close it.
    Lingering,
}

/// What came of reading once.
enum Reading {
    Some(Bytes),
    Nothing,
    Ended(Cause),
}

impl Core {
    /// A loop whose broker listens on these sockets.
    ///
    /// # Errors
    /// If the operating system gives us no way to wait for them.
    pub(super) fn new(
        config: Config,
        listeners: Vec<std::net::TcpListener>,
        clock: Clock,
        opened: Option<Opened>,
    ) -> io::Result<Core> {
        let poll = Poll::new()?;
        let (control, mailbox) = control(mio::Waker::new(poll.registry(), BELL)?);
        let mut ready = Vec::new();
        for (place, listener) in listeners.into_iter().enumerate() {
            listener.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(listener);
            poll.registry().register(&mut socket, Token(LISTENERS + place), Interest::READABLE)?;
            ready.push(Listener { socket, ready: false, pause: Time::ZERO });
        }
        let (restored, disk) = match opened {
            Some(mut opened) => {
                let bell = control.clone();
                let restored = std::mem::take(&mut opened.restored);
                let told = move |told| {
                    say_of_disk(&told);
                    bell.ring();
                };
                (restored, Some(opened.start(told)?))
            }
            None => Default::default(),
        };
        let now = clock.now();
        Ok(Core {
            broker: Broker::new(config, restored, now),
            clock,
            now,
            poll,
            mailbox,
            control,
            listeners: ready,
            connections: Slab::new(),
            opened: 0,
            buffer: BytesMut::new(),
            unsent: VecDeque::new(),
            unread: Vec::new(),
            lingering: VecDeque::new(),
            spare: Vec::new(),
            witness: None,
            disk,
            stored: Mark(0),
            held: None,
            verifiers: Verifiers::default(),
            ending: None,
        })
    }

    /// The way to it from other threads.
    pub(super) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until it is told to end.
    ///
    /// # Errors
    /// If the operating system does not let us wait any more.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        self.settle();
        loop {
            self.flush();
            if self.is_over() {
                return Ok(());
            }
            if self.disk.as_ref().is_some_and(Disk::has_failed) {
                return Err(io::Error::other("what it promises cannot be kept any more"));
            }
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.now = self.clock.now();
            if self.turn(&events).is_break() {
                return Ok(());
            }
        }
    }

    /// How long nothing needs to be done unless something comes; for ever if that is `None`.
    fn patience(&self) -> Option<Duration> {
        let waiting = self.listeners.iter().filter(|listener| listener.ready).map(|listener| listener.pause);
        let lingering = self.lingering.front().map(|(due, _)| *due);
        let due = waiting.chain(lingering).chain(self.broker.next_timeout()).chain(self.ending);
        let can_go_on = !self.unread.is_empty() || !self.mailbox.mail.is_empty();
        if can_go_on && !self.is_held_back() {
            return Some(Duration::ZERO);
        }
        due.min().map(|due| due.since(self.now))
    }

    /// Whether the disk has so much to do that nothing more is to be taken in. Its thread rings when that is over.
    fn is_held_back(&self) -> bool {
        let too_much = || self.broker.waiting() > HELD_BACK || self.broker.waiting_bytes() > HELD_BACK_BYTES;
        self.disk.as_ref().is_some_and(|disk| disk.is_congested() || too_much())
    }

    /// Tells the broker what has become durable.
    fn see_disk(&mut self) {
        let Some(disk) = &self.disk else { return };
        let stored = disk.stored();
        if stored > self.stored {
            self.stored = stored;
            self.handle(Input::Stored(stored));
        }
    }

    fn turn(&mut self, events: &Events) -> std::ops::ControlFlow<()> {
        for event in events {
            match event.token() {
                BELL => {}
                Token(place) if place < CONNECTIONS => self.listeners[place - LISTENERS].ready = true,
                Token(place) => self.ready(place - CONNECTIONS, event),
            }
        }
        self.mailbox.silence();
        match self.mailbox.ending() {
            None => {}
            Some(Ending::InOrder) => self.begin_to_end(),
            Some(Ending::AtOnce) => return std::ops::ControlFlow::Break(()),
        }
        self.see_disk();
        if !self.is_held_back() {
            for link in std::mem::take(&mut self.unread) {
                self.read(link);
            }
            self.accept();
        }
        for _ in 0..LETTERS {
            let Some(letter) = self.held.take().or_else(|| self.mailbox.mail.try_recv().ok()) else { break };
            match letter {
                Mail::Opened(..) | Mail::Carried(..) if self.is_held_back() => {
                    self.held = Some(letter);
                    break;
                }
                letter => self.letter(letter),
            }
        }
        self.end_lingering();
        for _ in 0..TIMEOUTS {
            if self.broker.next_timeout().is_none_or(|due| due > self.now) {
                break;
            }
            self.handle(Input::Timeout);
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Whether all is done that was to be done before the end.
    fn is_over(&self) -> bool {
        let Some(ending) = self.ending else { return false };
        ending <= self.now || (self.connections.is_empty() && self.mailbox.carrying() == 0)
    }

    fn letter(&mut self, letter: Mail) {
        match letter {
            Mail::Opened(peer, arrival, tell) => self.carried(peer, arrival, tell),
            Mail::Carried(link, what) => self.carried_to(link, what),
            Mail::Ask(ask) => {
                ask(&mut self.broker, self.now);
                self.settle();
            }
            Mail::Input(input) => self.handle(input),
            Mail::Watch(watcher) => {
                let witness = self.witness.get_or_insert_with(|| Witness::new(&self.broker, self.now));
                witness.add(watcher);
            }
        }
    }

    /// Every client is told, and what waits for it is sent, but not for ever: a disk may be full.
    fn begin_to_end(&mut self) {
        if self.ending.is_none() {
            self.listeners.clear();
            self.handle(Input::Shutdown);
            self.ending = Some(self.now + LINGER);
        }
    }

    // ---- the broker ----

    fn handle(&mut self, input: Input) {
        self.broker.handle(self.now, input);
        self.settle();
    }

    /// Does what the broker wants done.
    fn settle(&mut self) {
        while let Some(notice) = self.broker.poll_notice() {
            log::notice(notice);
        }
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send(link, frame) => self.send(link, &frame),
                Output::Close(link, cause) => self.close(link, &cause),
                Output::Store(changes, mark) => match &self.disk {
                    Some(disk) => disk.write(changes, mark),
                    None => self.broker.handle(self.now, Input::Stored(mark)),
                },
                Output::Verify(link, check) => {
                    if !self.verifiers.check(link, check, &self.control) {
                        self.broker.handle(self.now, Input::Verified(link, Verdict::Busy));
                    }
                }
                Output::Session(client_id, change) => {
                    if let Some(witness) = &mut self.witness {
                        witness.session(self.now, &client_id, change);
                    }
                }
            }
        }
        if self.witness.as_mut().is_some_and(|witness| !witness.tell()) {
            self.witness = None;
        }
    }

    fn send(&mut self, link: LinkId, frame: &Frame) {
        if let Some(witness) = &mut self.witness {
            witness.sent(self.now, link, frame);
        }
        let Some(connection) = standing(&mut self.connections, link) else { return };
        match &mut connection.wire {
            Wire::Carried(line) => {
                // A slow reader is not to hold on to what was read from others.
                let head = Bytes::copy_from_slice(&frame.head);
                if line.send(Frame { head, payload: frame.payload.clone() }) {
                    self.broker.handle(self.now, Input::Congested(link));
                }
            }
            Wire::Socket(socket) => {
                let spare = &mut self.spare;
                let outgoing = socket.outgoing.get_or_insert_with(|| spare.pop().unwrap_or_default());
                let waiting = outgoing.push(frame);
                if !socket.to_send {
                    socket.to_send = true;
                    self.unsent.push_back(link);
                }
                if waiting > HIGH_WATER && !socket.congested {
                    // The connection may have room; only what it does not take is too much.
                    let left = matches!(outgoing.write_to(&socket.stream), Ok(false)) && outgoing.len() > LOW_WATER;
                    if left {
                        socket.congested = true;
                        self.broker.handle(self.now, Input::Congested(link));
                    }
                }
            }
        }
    }

    // ---- connections of our own ----

    fn accept(&mut self) {
        for at in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                let listener = &mut self.listeners[at];
                if !listener.ready || listener.pause > self.now {
                    break;
                }
                match listener.socket.accept() {
                    Ok((stream, address)) => self.accepted(stream, Peer(address.to_string())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.ready = false,
                    // The other side gave up before we came to it.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => listener.pause = self.now + ACCEPT_PAUSE,
                }
            }
        }
    }

    fn accepted(&mut self, mut stream: TcpStream, peer: Peer) {
        let place = self.connections.vacant_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(CONNECTIONS + place), interest).is_err() {
            return;
        }
        self.opened(peer, None, |_| {
            Wire::Socket(Socket {
                stream,
                outgoing: None,
                phase: Phase::Open,
                to_send: false,
                to_read: false,
                readable: false,
                hung_up: false,
                congested: false,
            })
        });
    }

    fn opened(&mut self, peer: Peer, arrival: Option<Arrival>, wire: impl FnOnce(LinkId) -> Wire) {
        let place = self.connections.vacant_entry();
        self.opened += 1;
        let link = LinkId((self.opened << PLACE_BITS) | place.key() as u64);
        place.insert(Connection { link, wire: wire(link) });
        if let Some(witness) = &mut self.witness {
            witness.opened(self.now, link, &peer);
        }
        self.handle(match arrival {
            None => Input::Opened(link, peer),
            Some(arrival) => Input::Arrived(link, peer, arrival),
        });
    }

    fn socket(&mut self, link: LinkId) -> Option<&mut Socket> {
        let connection = standing(&mut self.connections, link)?;
        match &mut connection.wire {
            Wire::Socket(socket) => Some(socket),
            Wire::Carried(_) => None,
        }
    }

    /// Something changed about a socket.
    fn ready(&mut self, place: usize, event: &Event) {
        let Some(connection) = self.connections.get_mut(place) else { return };
        let (link, Wire::Socket(socket)) = (connection.link, &mut connection.wire) else { return };
        let hung_up = event.is_read_closed() || event.is_error();
        socket.hung_up |= hung_up;
        socket.readable |= event.is_readable() || hung_up;
        if event.is_writable() && socket.outgoing.is_some() && !socket.to_send {
            socket.to_send = true;
            self.unsent.push_back(link);
        }
        self.read_soon(link);
    }

    /// Has it read in this turn, or in the next one where this one has read.
    fn read_soon(&mut self, link: LinkId) {
        let Some(socket) = self.socket(link) else { return };
        if socket.readable && !socket.to_read {
            socket.to_read = true;
            self.unread.push(link);
        }
    }

    /// Reads once, and hands in what came.
    fn read(&mut self, link: LinkId) {
        if self.buffer.len() < LEAST_ROOM {
            self.buffer = BytesMut::zeroed(BUFFER_SIZE);
        }
        let Some(connection) = standing(&mut self.connections, link) else { return };
        let Wire::Socket(socket) = &mut connection.wire else { return };
        socket.to_read = false;
        // One that takes nothing is not heard either, until it does.
        if !socket.readable || socket.congested && !socket.hung_up {
            return;
        }
        let reading = socket.read(&mut self.buffer);
        let is_open = socket.phase == Phase::Open;
        if !matches!(reading, Reading::Ended(_)) {
            self.read_soon(link);
        }
        match reading {
            Reading::Nothing => {}
            // What still comes on a connection that the broker has closed concerns nobody.
            Reading::Some(_) if !is_open => {}
            Reading::Some(bytes) => {
                if let Some(witness) = &mut self.witness {
                    witness.received(self.now, link, &bytes);
                }
                self.handle(Input::Received(link, bytes));
            }
            Reading::Ended(cause) => self.ended(link, cause),
        }
    }

    /// The other side, or the network, ended it.
    fn ended(&mut self, link: LinkId, cause: Cause) {
        let Some(connection) = standing(&mut self.connections, link) else { return };
        let known = match &connection.wire {
            Wire::Socket(socket) => socket.phase == Phase::Open,
            Wire::Carried(_) => true,
        };
        self.forget(link);
        if known {
            if let Some(witness) = &mut self.witness {
                witness.closed(self.now, link, &cause);
            }
            self.handle(Input::Closed(link, cause));
        }
    }

    fn forget(&mut self, link: LinkId) {
        if let Wire::Socket(Socket { outgoing: Some(outgoing), .. }) = self.connections.remove(place(link)).wire {
            self.put_by(outgoing);
        }
    }

    fn put_by(&mut self, outgoing: Box<Outgoing>) {
        if outgoing.is_reusable() && self.spare.len() < SPARE {
            self.spare.push(outgoing);
        }
    }

    /// The broker closes it, once all is sent.
    fn close(&mut self, link: LinkId, cause: &Cause) {
        if let Some(witness) = &mut self.witness {
            witness.closed(self.now, link, cause);
        }
        let Some(connection) = standing(&mut self.connections, link) else { return };
        match &mut connection.wire {
            // Without its line the task sends what is left and ends.
            Wire::Carried(_) => drop(self.connections.remove(place(link))),
            Wire::Socket(socket) => {
                // A connection closed with something unread would be reset, and with it what was sent last. A client
                // that has said goodbye waits for nothing.
                socket.phase = Phase::Closing { linger: *cause != Cause::Asked };
                if !socket.to_send {
                    socket.to_send = true;
                    self.unsent.push_back(link);
                }
            }
        }
    }

    /// Sends on every connection what waits for it.
    fn flush(&mut self) {
        while let Some(link) = self.unsent.pop_front() {
            let Some(socket) = self.socket(link) else { continue };
            socket.to_send = false;
            match socket.write() {
                Ok(true) => {
                    let emptied = socket.outgoing.take();
                    let phase = socket.phase;
                    if let Some(emptied) = emptied {
                        self.put_by(emptied);
                    }
                    match phase {
                        Phase::Open | Phase::Lingering => self.relieve(link),
                        Phase::Closing { linger: false } => self.forget(link),
                        Phase::Closing { linger: true } => self.linger(link),
                    }
                }
                Ok(false) => self.relieve(link),
                Err(error) => self.ended(link, cause_of(&error)),
            }
        }
    }

    /// Tells the broker if what piled up was sent.
    fn relieve(&mut self, link: LinkId) {
        let Some(socket) = self.socket(link) else { return };
        let waiting = socket.outgoing.as_ref().map_or(0, |outgoing| outgoing.len());
        if socket.congested && waiting <= LOW_WATER {
            socket.congested = false;
            self.read_soon(link);
            self.handle(Input::Drained(link));
        }
    }

    fn linger(&mut self, link: LinkId) {
        let due = self.now + LINGER;
        let Some(socket) = self.socket(link) else { return };
        socket.phase = Phase::Lingering;
        if socket.stream.shutdown(Shutdown::Write).is_err() {
            return self.forget(link);
        }
        // What was not heard is still there.
        socket.congested = false;
        self.lingering.push_back((due, link));
        self.read_soon(link);
    }

    fn end_lingering(&mut self) {
        while let Some(&(due, link)) = self.lingering.front() {
            let gone = self.socket(link).is_none();
            if !gone && due > self.now {
                return;
            }
            self.lingering.pop_front();
            if !gone {
                self.forget(link);
            }
        }
    }

    // ---- connections that tasks carry ----

    fn carried(&mut self, peer: Peer, arrival: Option<Arrival>, tell: tokio::sync::oneshot::Sender<Carrier<Control>>) {
        if self.ending.is_some() {
            return;
        }
        let control = self.control.clone();
        self.opened(peer, arrival, |link| {
            let (line, carrier) = Carrier::new(link, control);
            // A task that is gone reports nothing; its connection ends for lack of a CONNECT.
            let _ = tell.send(carrier);
            Wire::Carried(line)
        });
    }

    fn carried_to(&mut self, link: LinkId, what: Carried) {
        let Some(connection) = standing(&mut self.connections, link) else { return };
        let Wire::Carried(line) = &mut connection.wire else { return };
        match what {
            Carried::Received(bytes) => {
                if let Some(witness) = &mut self.witness {
                    witness.received(self.now, link, &bytes);
                }
                self.handle(Input::Received(link, bytes));
            }
            Carried::Drained if line.drained() => self.handle(Input::Drained(link)),
            Carried::Drained => {}
            Carried::Ended(cause) => self.ended(link, cause),
        }
    }
}

impl Socket {
    /// Reads what there is, or as much as one turn takes, out of `buffer`.
    fn read(&mut self, buffer: &mut BytesMut) -> Reading {
        let most = buffer.len().min(READ_SIZE);
        loop {
            return match self.stream.read(&mut buffer[..most]) {
                Ok(0) => Reading::Ended(Cause::End),
                Ok(read) => {
                    // Less than was asked for is all there is; another event tells of more.
                    self.readable = read == most || self.hung_up;
                    Reading::Some(buffer.split_to(read).freeze())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    Reading::Nothing
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Reading::Ended(cause_of(&error)),
            };
        }
    }

    /// Writes what waits; whether that was all.
    fn write(&mut self) -> io::Result<bool> {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.write_to(&self.stream),
            None => Ok(true),
        }
    }
}

/// Says what the owner should know of the disk.
fn say_of_disk(told: &Told) {
    match told {
        Told::Stored(_) => {}
        Told::Failing(why) => {
            let words =
                format!("the disk cannot be written ({why}): nothing is acknowledged until it can be; make room");
            say(Level::Error, words, &[]);
        }
        Told::Recovered => say(Level::Warn, "the disk can be written again", &[]),
        Told::Failed(why) => say(Level::Error, format!("the disk failed: {why}"), &[]),
        Told::Unwritten => say(
            Level::Error,
            "the broker ends while the disk cannot be written: what it did not acknowledge is not kept",
            &[],
        ),
    }
}

/// The connection, if there still is one: its place may be another's by now.
fn standing(connections: &mut Slab<Connection>, link: LinkId) -> Option<&mut Connection> {
    connections.get_mut(place(link)).filter(|found| found.link == link)
}

/// Where a connection stands.
fn place(link: LinkId) -> usize {
    usize::try_from(link.0 & ((1 << PLACE_BITS) - 1)).unwrap_or(usize::MAX)
}
