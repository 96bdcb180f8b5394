//! A scenario on real sockets, in real time: its broker listens, its clients dial it, its faults befall them. The broker
//! is open to anyone else.
//!
//! Both ends of a scenario's connection are ours, so every fault means what it means in simulated time. Strangers are
//! spared: of the faults they only see that the broker is killed or its power fails, and either is the end of the stream
//! to them.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::delay::Delayed;
use super::{Clock, Listen, LiveError, Signals, Transport, accept, chance, listen};
use crate::link::LinkId;
use crate::scenario::Scenario;
use crate::sim;
use crate::sim::ending::Ending;
use crate::sim::faults::{Fault, faults};
use crate::sim::gate::End;
use crate::sim::play::{Play, World, live, serve};
use crate::sim::stage::Shared;
use crate::time::Time;
use crate::trace::Event;

/// How often it is looked for events and for the end of the run, in real time.
const GLANCE: Duration = Duration::from_millis(10);
/// How long the run goes on at most after its timeline and its programs, however busy strangers keep it.
const RESTLESS: Duration = Duration::from_secs(30);

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Where its broker listens.
    pub address: SocketAddr,
    /// What its clients and its network draw from.
    pub seed: u64,
    /// How many of its seconds pass in a real one.
    pub speed: f64,
}

/// What a run left behind.
#[derive(Clone, Debug)]
pub struct Played {
    /// Everything that happened, in order.
    pub trace: Vec<Event>,
    /// When it was over.
    pub ended: Time,
    /// How many packets were sent.
    pub packets: u64,
    /// A signal ended it early.
    pub interrupted: bool,
}

/// Runs a checked scenario. `ready` is called with the address in use, once clients can connect; `watch` with each event
/// as it happens. At SIGINT or SIGTERM the broker tells every client that it is shutting down, and the run is over; a
/// second signal does not wait for them.
///
/// # Errors
/// If the address cannot be listened on.
pub fn play(
    scenario: &Scenario,
    terms: Terms,
    ready: impl FnOnce(SocketAddr),
    watch: impl FnMut(&Event),
) -> Result<Played, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen(Listen::new(Transport::Tcp, terms.address)).await?;
        let address = listener.local_addr()?;
        let mut signals = Signals::new()?;
        ready(address);

        let names = sim::names(scenario);
        let stage = Shared::new(terms.seed, names.clone(), &scenario.network, terms.speed);
        let clock = Clock::start(terms.speed);
        let sockets = Sockets { stage: stage.clone(), clock, address, first: Mutex::new(Some(listener)) };
        let play = Play::new(scenario, terms.seed, Some(chance()), &stage, sockets);
        let mut broker = tokio::spawn(serve(play.clone()));
        let mut clients = JoinSet::new();
        for place in 1..names.len() {
            clients.spawn(live(play.clone(), place));
        }

        let ending = Ending::of(scenario).within(RESTLESS);
        let faults = faults(scenario, &names).into();
        let mut director = Director { stage: stage.clone(), clock, faults, ending, trace: Vec::new(), watch };
        let interrupted = director.direct(&mut signals).await;
        let (ended, packets) = (clock.now(), stage.lock().recorder.packets());
        let mut played = Played { trace: Vec::new(), ended, packets, interrupted };
        if !interrupted {
            // What is said in farewell is no part of the scenario.
            clients.abort_all();
            played.trace = std::mem::take(&mut director.trace);
        }
        stage.lock().close();
        tokio::select! {
            biased;
            _ = &mut broker => {}
            () = signals.next() => broker.abort(),
        }
        if interrupted {
            director.glance();
            (played.trace, played.packets) = (director.trace, stage.lock().recorder.packets());
        }
        Ok(played)
    })
}

/// Lets the faults happen, and watches for the end.
struct Director<W> {
    stage: Shared,
    clock: Clock,
    faults: VecDeque<Fault>,
    ending: Ending,
    trace: Vec<Event>,
    watch: W,
}

impl<W: FnMut(&Event)> Director<W> {
    /// Until the run is over; whether that was because of a signal.
    async fn direct(&mut self, signals: &mut Signals) -> bool {
        loop {
            let now = self.clock.now();
            while self.faults.front().is_some_and(|fault| fault.at <= now) {
                let Some(fault) = self.faults.pop_front() else { break };
                let mut stage = self.stage.lock();
                stage.recorder.note(now, fault.what());
                stage.befall(now, &fault.blow);
            }
            self.glance();
            let doing = self.stage.lock().doing();
            if doing.busy || doing.waiting {
                self.ending.goes_on(now);
            }
            if self.ending.moment(doing.busy, doing.waiting).is_some_and(|end| end <= now) {
                return false;
            }
            let next = self.faults.front().map(|fault| self.stage.lock().lasts(fault.at.since(now)));
            tokio::select! {
                biased;
                () = signals.next() => return true,
                () = tokio::time::sleep(next.map_or(GLANCE, |next| next.min(GLANCE))) => {}
            }
        }
    }

    /// Takes in what has happened.
    fn glance(&mut self) {
        for event in self.stage.lock().recorder.take() {
            self.ending.saw(&event);
            (self.watch)(&event);
            self.trace.push(event);
        }
    }
}

/// Real sockets.
#[derive(Debug)]
struct Sockets {
    stage: Shared,
    clock: Clock,
    address: SocketAddr,
    /// What the broker listens on in its first life.
    first: Mutex<Option<TcpListener>>,
}

impl Sockets {
    /// Where clients on this machine reach the broker.
    fn dialled(&self) -> SocketAddr {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback);
        }
        address
    }
}

impl World for Sockets {
    type Stream = Delayed<TcpStream>;
    type Listener = TcpListener;

    fn now(&self) -> Time {
        self.clock.now()
    }

    /// Another program may have taken the port while the broker was dead: then it waits for it.
    async fn listen(&self) -> io::Result<TcpListener> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = first {
            return Ok(listener);
        }
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => return Ok(listener),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> (Delayed<TcpStream>, SocketAddr) {
        let (_, stream, address) = accept(std::slice::from_ref(listener)).await;
        (Delayed::new(stream, End::Broker(address), self.stage.clone()), address)
    }

    async fn connect(&self, link: LinkId) -> io::Result<(Delayed<TcpStream>, SocketAddr)> {
        let latency = {
            let stage = self.stage.lock();
            stage.lasts(stage.least_latency())
        };
        // There and back.
        tokio::time::sleep(latency).await;
        let connected = TcpStream::connect(self.dialled()).await;
        tokio::time::sleep(latency).await;
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => io::Error::new(error.kind(), "connection refused"),
            _ => error,
        })?;
        // Packets are small and someone waits for them; that this cannot be had is no reason to give up.
        let _ = stream.set_nodelay(true);
        let address = stream.local_addr()?;
        Ok((Delayed::new(stream, End::Client(link), self.stage.clone()), address))
    }
}
