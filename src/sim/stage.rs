//! What the machines of a run over byte streams share: the trace, the disk, and the state of every path and connection.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::disk::Disk;
use super::faults::{BROKER, Blow};
use super::network::Place;
use super::random::{Purpose, Random};
use crate::link::{Cause, LinkId};
use crate::scenario;
use crate::time::Time;
use crate::trace::{Name, Recorder, Way};

/// How a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// Its process is dead.
    Killed,
    /// Its host is dead.
    Off,
}

/// What a client's program is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doing {
    /// It has something to do by itself.
    pub(crate) busy: bool,
    /// It waits for an answer.
    pub(crate) waiting: bool,
}

/// A connection, as the faults see it.
#[derive(Debug)]
struct Wire {
    client: Place,
    /// Which ends have it open.
    open: [bool; 2],
    /// In which directions nothing arrives any more.
    dead: [bool; 2],
    /// Both ends see a reset.
    reset: bool,
    /// Which ends were closed from outside.
    shut: [bool; 2],
    /// Which ends' hosts died and know nothing of it.
    forgotten: [bool; 2],
    chunk: [Random; 2],
    latency: [Random; 2],
}

/// What a path does to its connections.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    cut: [bool; 2],
    held: bool,
}

/// What becomes of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It goes through, with at most so many bytes.
    Pass(Option<usize>),
    /// Nothing arrives now.
    Wait,
    /// What arrives is lost.
    Lose,
    /// The connection was closed at this end, from outside.
    End,
    /// It was reset.
    Reset,
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    Pass,
    Lose,
    Reset,
}

/// The state itself. Shared by tasks of one thread; the lock is never waited for.
#[derive(Debug)]
pub(crate) struct Stage {
    seed: u64,
    pub(crate) recorder: Recorder,
    pub(crate) disk: Disk,
    chunk: Option<u32>,
    latency: RangeInclusive<Duration>,
    /// How many seconds of the run pass in one second of the clock that programs wait by.
    speed: f64,
    names: Vec<Name>,
    lives: Vec<(Life, u32)>,
    doing: Vec<Doing>,
    paths: Vec<Path>,
    wires: BTreeMap<LinkId, Wire>,
    by_address: BTreeMap<SocketAddr, LinkId>,
    /// Connections of peers that are no part of the scenario: no fault befalls them, and only their end at the broker is
    /// seen.
    strangers: BTreeSet<LinkId>,
    /// For each client its attempts to connect since its process started, in order.
    attempts: Vec<Vec<LinkId>>,
    last_link: u64,
    wakers: Vec<Waker>,
    graveyard: Graveyard,
    /// The run is over: the broker is to tell everybody, and nobody starts again.
    closing: bool,
}

/// Streams whose end must not be seen by the other side.
#[derive(Default)]
struct Graveyard(Vec<Box<dyn Any + Send>>);

impl std::fmt::Debug for Graveyard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} streams", self.0.len())
    }
}

/// A handle to the shared state.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Stage>>);

impl Shared {
    pub(crate) fn new(seed: u64, names: Vec<Name>, network: &scenario::Network, speed: f64) -> Shared {
        let places = names.len();
        Shared(Arc::new(Mutex::new(Stage {
            seed,
            recorder: Recorder::new(),
            disk: Disk::default(),
            chunk: network.chunk,
            latency: network.latency.least..=network.latency.most,
            speed,
            names,
            lives: vec![(Life::Alive, 0); places],
            doing: vec![Doing::default(); places],
            paths: vec![Path::default(); places],
            wires: BTreeMap::new(),
            by_address: BTreeMap::new(),
            strangers: BTreeSet::new(),
            attempts: vec![Vec::new(); places],
            last_link: 0,
            wakers: Vec::new(),
            graveyard: Graveyard::default(),
            closing: false,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// How long a program waits for a span of the run to pass.
    pub(crate) fn lasts(&self, span: Duration) -> Duration {
        if self.speed == 1.0 { span } else { span.div_f64(self.speed) }
    }

    /// The run is over.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.wakers.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// How long bytes travel at least.
    pub(crate) fn least_latency(&self) -> Duration {
        *self.latency.start()
    }

    /// How long what goes `way` now is on its way. Strangers have a network of their own.
    pub(crate) fn travels(&mut self, link: LinkId, way: Way) -> Duration {
        let Some(wire) = self.wires.get_mut(&link) else { return Duration::ZERO };
        wire.latency[way as usize].span(self.latency.clone())
    }

    pub(crate) fn life(&self, place: Place) -> Life {
        self.lives[place].0
    }

    /// A client says what its program is at.
    pub(crate) fn does(&mut self, client: Place, doing: Doing) {
        if self.life(client) == Life::Alive {
            self.doing[client] = doing;
        }
    }

    /// What all programs together are at.
    pub(crate) fn doing(&self) -> Doing {
        let any = |is: fn(&Doing) -> bool| self.doing.iter().any(is);
        Doing { busy: any(|doing| doing.busy), waiting: any(|doing| doing.waiting) }
    }

    /// How often the process at a place has died.
    pub(crate) fn lives_lost(&self, place: Place) -> u32 {
        self.lives[place].1
    }

    /// Wakes this task at the next fault.
    pub(crate) fn wake_at_fault(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|other| other.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    /// A client dials: the name of what may become a connection.
    pub(crate) fn attempt(&mut self, client: Place) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.attempts[client].push(link);
        self.recorder.dialled(link, &self.names[client], &self.names[BROKER]);
        link
    }

    /// The name in the whole run of a client's attempt of this number.
    pub(crate) fn attempt_named(&self, client: Place, number: LinkId) -> Option<LinkId> {
        let number = usize::try_from(number.0).ok()?;
        self.attempts[client].get(number).copied()
    }

    /// The connection whose client end has this address, unless it is over: addresses are used again.
    pub(crate) fn link_at(&self, address: SocketAddr) -> Option<LinkId> {
        let link = self.by_address.get(&address)?;
        let over = self.wires.get(link).is_some_and(|wire| wire.open == [false; 2]);
        (!over).then_some(*link)
    }

    /// Somebody sent something from an address that none of the scenario's clients has: the new connection's name.
    pub(crate) fn stranger(&mut self, now: Time, address: SocketAddr) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.strangers.insert(link);
        self.by_address.insert(address, link);
        self.recorder.overhear(now, link, &Name::from(address.to_string()), &self.names[BROKER]);
        link
    }

    pub(crate) fn is_stranger(&self, link: LinkId) -> bool {
        self.strangers.contains(&link)
    }

    /// Why a client cannot dial now, or whether it has to wait.
    pub(crate) fn dialling(&self, client: Place) -> Result<bool, &'static str> {
        let path = self.paths[client];
        if path.cut != [false; 2] {
            Err("the network is unreachable")
        } else if self.life(BROKER) == Life::Off {
            Err("the host is down")
        } else {
            Ok(path.held)
        }
    }

    /// A connection was made.
    pub(crate) fn connected(&mut self, client: Place, link: LinkId, address: SocketAddr) {
        let random = |purpose| Way::BOTH.map(|way| Random::new(self.seed, purpose, link.0 * 2 + way as u64));
        let wire = Wire {
            client,
            open: [true; 2],
            dead: [false; 2],
            reset: false,
            shut: [false; 2],
            forgotten: [false; 2],
            chunk: random(Purpose::Chunk),
            latency: random(Purpose::Latency),
        };
        self.wires.insert(link, wire);
        self.by_address.insert(address, link);
    }

    /// The end that sends `way` is done with the connection.
    pub(crate) fn done(&mut self, link: LinkId, way: Way) {
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.open[way as usize] = false;
        }
        if self.strangers.remove(&link) {
            self.by_address.retain(|_, other| *other != link);
        }
    }

    /// What becomes of a read of what came `way`.
    pub(crate) fn reading(&mut self, link: LinkId, way: Way) -> Reading {
        let Some(wire) = self.wires.get_mut(&link) else { return Reading::Pass(None) };
        if wire.reset {
            Reading::Reset
        } else if wire.shut[way.back() as usize] {
            Reading::End
        } else if wire.dead[way as usize] {
            Reading::Lose
        } else if self.paths[wire.client].held {
            Reading::Wait
        } else {
            let most = self.chunk.map(|most| wire.chunk[way as usize].within(1..=u64::from(most)));
            Reading::Pass(most.and_then(|most| usize::try_from(most).ok()))
        }
    }

    /// What becomes of a write that goes `way`.
    pub(crate) fn writing(&mut self, link: LinkId, way: Way) -> Writing {
        let Some(wire) = self.wires.get_mut(&link) else { return Writing::Pass };
        let other = if way == Way::Up { BROKER } else { wire.client };
        if wire.reset {
            return Writing::Reset;
        }
        if wire.dead[way as usize] {
            return Writing::Lose;
        }
        if !wire.forgotten[way.back() as usize] {
            return Writing::Pass;
        }
        if self.lives[other].0 == Life::Off {
            return Writing::Lose;
        }
        wire.reset = true;
        Writing::Reset
    }

    /// Whether the other side must not see that the end that sends `way` is dropped; if so, it is kept.
    pub(crate) fn bury(&mut self, link: LinkId, way: Way, stream: Box<dyn Any + Send>) {
        let hidden = self.wires.get(&link).is_some_and(|wire| wire.dead[way as usize] || wire.forgotten[way as usize]);
        if hidden {
            self.graveyard.0.push(stream);
        }
    }

    /// A fault; `now` is for the trace.
    pub(crate) fn befall(&mut self, now: Time, blow: &Blow) {
        match blow {
            Blow::Cut(clients, ways) => self.cut(clients, ways),
            Blow::Heal(clients) => clients.iter().for_each(|client| self.paths[*client].cut = [false; 2]),
            Blow::Hold(clients) => clients.iter().for_each(|client| self.paths[*client].held = true),
            Blow::Release(clients) => clients.iter().for_each(|client| self.paths[*client].held = false),
            Blow::Reset(clients) => {
                self.each_wire(clients, |wire| wire.reset = true);
            }
            Blow::Close(clients, way) => self.each_wire(clients, |wire| wire.shut[*way as usize] = true),
            Blow::Kill(places) => places.iter().for_each(|place| self.stop(now, *place, Life::Killed)),
            Blow::PowerOff(places) => places.iter().for_each(|place| self.stop(now, *place, Life::Off)),
            Blow::Start(places) => places.iter().for_each(|place| self.lives[*place].0 = Life::Alive),
            Blow::Latency(latency) => self.latency = latency.clone(),
            Blow::Chunk(most) => self.chunk = Some(*most),
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn cut(&mut self, clients: &[Place], ways: &[Way]) {
        for client in clients {
            ways.iter().for_each(|way| self.paths[*client].cut[*way as usize] = true);
        }
        self.each_wire(clients, |wire| ways.iter().for_each(|way| wire.dead[*way as usize] = true));
    }

    fn each_wire(&mut self, clients: &[Place], change: impl Fn(&mut Wire)) {
        self.wires.values_mut().filter(|wire| clients.contains(&wire.client)).for_each(change);
    }

    fn stop(&mut self, now: Time, place: Place, life: Life) {
        if self.lives[place].0 != Life::Alive {
            self.lives[place].0 = life;
            return;
        }
        let way = if place == BROKER { Way::Down } else { Way::Up };
        let cause = if life == Life::Off { Cause::Reset } else { Cause::ShuttingDown };
        for (link, wire) in &mut self.wires {
            if (place != BROKER && wire.client != place) || !wire.open[way as usize] {
                continue;
            }
            wire.open[way as usize] = false;
            wire.forgotten[way as usize] = life == Life::Off;
            self.recorder.closed(now, *link, way, cause.clone());
        }
        if place == BROKER {
            for link in std::mem::take(&mut self.strangers) {
                self.recorder.closed(now, link, Way::Down, cause.clone());
                self.by_address.retain(|_, other| *other != link);
            }
        }
        if place == BROKER && life == Life::Off {
            let lives = u64::from(self.lives[place].1);
            self.disk.power_failed(&mut Random::new(self.seed, Purpose::Disk, lives));
        } else if place == BROKER {
            self.disk.killed();
        }
        self.attempts[place].clear();
        self.doing[place] = Doing::default();
        self.lives[place] = (life, self.lives[place].1 + 1);
    }
}
