//! The engine that runs each machine as a program on turmoil's simulated network, with the same stream code as on real
//! sockets. The only file that names turmoil.
//!
//! The broker has a host; so has each of the first clients that a fault names; the other clients share one, because a
//! tick costs with the number of hosts. Faults act where a machine meets its stream (`gate`), so that they mean the
//! same as on real sockets; only latency is turmoil's.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

use super::disk::SYNC;
use super::ending::Ending;
use super::faults::{BROKER, Blow, Fault, faults};
use super::gate::{End, Gate};
use super::network::Place;
use super::random::{Purpose, Random};
use super::stage::{Life, Shared};
use super::{Engine, Run, names};
use crate::broker::{Broker, Peer};
use crate::drive::{External, Net, Seen, drive};
use crate::link::LinkId;
use crate::machine::Machine;
use crate::scenario::actor::Actor;
use crate::scenario::{self, Scenario, setup};
use crate::store::{Change, Mark};
use crate::time::Time;
use crate::trace::{Name, Way};

/// turmoil goes in whole milliseconds; other ticks bend its time.
const TICK: Duration = Duration::from_millis(1);
/// So many hosts a run has at most: what a tick costs grows with them.
const HOSTS: usize = 9;
const BROKER_HOST: &str = "broker";

/// What all programs of a run share and never changes.
#[derive(Debug)]
struct Play {
    scenario: Scenario,
    clients: Vec<scenario::Client>,
    names: Vec<Name>,
    seed: u64,
    port: u16,
    stage: Shared,
}

/// Runs a scenario.
pub(super) fn run(scenario: &Scenario, seed: u64) -> Run {
    let names = names(scenario);
    let stage = Shared::new(seed, names.clone(), scenario.network.chunk);
    let play = Arc::new(Play {
        scenario: scenario.clone(),
        clients: setup::cast(scenario).into_iter().map(|(_, client)| client).collect(),
        port: setup::port(&scenario.broker),
        seed,
        stage: stage.clone(),
        names,
    });
    let faults = faults(scenario, &play.names);
    let mut sim = build(scenario, seed);
    let hosts = add_hosts(&mut sim, &play, &faults);

    // The direct engine knows what each program is about to do, and so when all are done; this engine sees only what
    // they have done. It goes on for as long as the other did, and then until all is quiet here too.
    let least = super::direct::run(scenario, seed).ended;
    let mut ending = Ending::after(scenario, least);
    let mut faults = VecDeque::from(faults);
    let mut run = Run::new(Engine::Turmoil, seed);
    loop {
        let now = Time::after(sim.elapsed());
        while faults.front().is_some_and(|fault| fault.at <= now) {
            let Some(fault) = faults.pop_front() else { break };
            stage.lock().recorder.note(now, fault.what());
            if let Blow::Latency(latency) = &fault.blow {
                for host in &hosts {
                    sim.set_link_latency(BROKER_HOST, host.as_str(), *latency.start());
                    sim.set_link_max_message_latency(BROKER_HOST, host.as_str(), *latency.end());
                }
            }
            stage.lock().befall(now, &fault.blow);
        }
        for event in stage.lock().recorder.take() {
            ending.saw(&event);
            run.trace.push(event);
        }
        if ending.moment(false, false).is_some_and(|end| end <= now) {
            run.ended = now;
            break;
        }
        if let Err(error) = sim.step() {
            // No program ends, and none fails: what they meet, their machines handle.
            unreachable!("a program on a host failed: {error}");
        }
    }
    run.packets = stage.lock().recorder.packets();
    run
}

#[allow(clippy::disallowed_types)] // turmoil wants a date to begin with, which nothing here looks at.
fn build(scenario: &Scenario, seed: u64) -> Sim<'static> {
    const CENTURIES: Duration = Duration::from_secs(400 * 365 * 24 * 3600);
    let latency = &scenario.network.latency;
    Builder::new()
        .tick_duration(TICK)
        .simulation_duration(CENTURIES)
        .epoch(std::time::SystemTime::UNIX_EPOCH)
        .rng_seed(seed)
        .min_message_latency(latency.least)
        .max_message_latency(latency.most)
        .tcp_capacity(4096)
        .build()
}

/// Puts the machines on hosts; gives back the names of the clients' hosts.
fn add_hosts(sim: &mut Sim<'static>, play: &Arc<Play>, faults: &[Fault]) -> Vec<String> {
    let mut alone = Vec::new();
    for client in 1..play.names.len() {
        if alone.len() < HOSTS - 2
            && faults.iter().any(|fault| fault.names.iter().any(|name| *name == play.names[client]))
        {
            alone.push(client);
        }
    }
    let broker = play.clone();
    sim.host(BROKER_HOST, move || {
        let play = broker.clone();
        async move {
            serve(play).await;
            Ok(())
        }
    });
    let mut hosts = Vec::new();
    let mut groups: Vec<Vec<Place>> = alone.iter().map(|client| vec![*client]).collect();
    groups.push((1..play.names.len()).filter(|client| !alone.contains(client)).collect());
    for (number, group) in groups.into_iter().enumerate().filter(|(_, group)| !group.is_empty()) {
        let host = format!("clients-{number}");
        hosts.push(host.clone());
        let play = play.clone();
        sim.host(host, move || {
            let (play, group) = (play.clone(), group.clone());
            async move {
                let mut programs = tokio::task::JoinSet::new();
                for client in group {
                    programs.spawn(live(play.clone(), client));
                }
                while let Some(ended) = programs.join_next().await {
                    ended?;
                }
                Ok(())
            }
        });
    }
    hosts
}

/// The broker's program: starts again whenever it is alive again.
async fn serve(play: Arc<Play>) {
    loop {
        until_alive(&play.stage, BROKER).await;
        let Ok(listener) = TcpListener::bind(("0.0.0.0", play.port)).await else { return };
        let config = setup::broker(&play.scenario.broker, machine_seed(&play, BROKER));
        let disk = play.stage.lock().disk.read();
        let machine = Machine::Broker(Box::new(Broker::new(config, disk, now())));
        drive(machine, BrokerNet::new(play.stage.clone(), listener)).await;
    }
}

/// A client's program.
async fn live(play: Arc<Play>, place: Place) {
    loop {
        until_alive(&play.stage, place).await;
        let spec = &play.clients[place - 1];
        let seed = machine_seed(&play, place);
        let actor = Actor::new(&play.scenario, &play.names[place], spec, seed, now());
        drive(Machine::Actor(Box::new(actor)), ClientNet { play: play.clone(), place }).await;
    }
}

/// The same seeds as in the direct engine.
fn machine_seed(play: &Play, place: Place) -> u64 {
    let lives = play.stage.lock().lives_lost(place);
    Random::new(play.seed, Purpose::Machine, (place as u64) << 32 | u64::from(lives)).number()
}

async fn until_alive(stage: &Shared, place: Place) {
    while stage.lock().life(place) != Life::Alive {
        tokio::time::sleep(TICK).await;
    }
}

/// Ready once the process at a place is to die.
async fn until_dead(stage: &Shared, place: Place) {
    poll_fn(|context| {
        let mut stage = stage.lock();
        if stage.life(place) != Life::Alive {
            return Poll::Ready(());
        }
        stage.wake_at_fault(context.waker());
        Poll::Pending
    })
    .await;
}

fn now() -> Time {
    Time::after(turmoil::sim_elapsed().unwrap_or_default())
}

/// Notes for the trace what a machine did or met on a link.
fn note(stage: &Shared, now: Time, sends: Way, link: Option<LinkId>, seen: Seen<'_>) {
    let mut stage = stage.lock();
    let link = match (seen, link) {
        (Seen::Note(what), _) => return stage.recorder.note(now, what),
        (_, None) => return,
        (seen, Some(link)) => (seen, link),
    };
    match link {
        // Both ends say so; the client does when it has a name for the broker's end too.
        (Seen::Opened(_), link) if sends == Way::Up => stage.recorder.opened(now, link),
        (Seen::DialFailed(_, why), link) => stage.recorder.unreachable(now, link, why),
        (Seen::Received(_, bytes), link) => stage.recorder.arrived(now, link, sends.back(), bytes.clone()),
        (Seen::Sent(_, frame), link) => stage.recorder.left(now, link, sends, frame.to_bytes()),
        (Seen::Ended(_, cause) | Seen::Closed(_, cause), link) => {
            stage.done(link, sends);
            stage.recorder.closed(now, link, sends, cause.clone());
        }
        (Seen::Opened(_) | Seen::Note(_), _) => {}
    }
}

/// Which link it is about, by the machine's own name.
const fn own_link(seen: &Seen<'_>) -> Option<LinkId> {
    match seen {
        Seen::Opened(link)
        | Seen::DialFailed(link, _)
        | Seen::Received(link, _)
        | Seen::Sent(link, _)
        | Seen::Ended(link, _)
        | Seen::Closed(link, _) => Some(*link),
        Seen::Note(_) => None,
    }
}

/// The world around the broker.
struct BrokerNet {
    stage: Shared,
    listener: TcpListener,
    /// Accepted, and not yet named by the machine.
    accepted: VecDeque<SocketAddr>,
    peers: BTreeMap<LinkId, SocketAddr>,
    last_mark: u64,
}

impl BrokerNet {
    fn new(stage: Shared, listener: TcpListener) -> BrokerNet {
        BrokerNet { stage, listener, accepted: VecDeque::new(), peers: BTreeMap::new(), last_mark: 0 }
    }
}

impl Net for BrokerNet {
    type Stream = Gate<TcpStream>;

    fn now(&self) -> Time {
        now()
    }

    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    async fn next(&mut self) -> External<Self::Stream> {
        tokio::select! {
            biased;
            () = until_dead(&self.stage, BROKER) => External::Stop,
            (stream, address) = accept(&self.listener) => {
                self.accepted.push_back(address);
                let gate = Gate::new(stream, End::Broker(address), self.stage.clone(), None);
                External::Accepted(gate, Peer(address.to_string()))
            }
        }
    }

    async fn store(&mut self, changes: Vec<Change>) {
        self.last_mark += 1;
        let mark = Mark(self.last_mark);
        self.stage.lock().disk.write(mark, changes);
        tokio::time::sleep(SYNC).await;
        self.stage.lock().disk.sync(mark);
    }

    fn saw(&mut self, now: Time, _machine: &Machine, seen: Seen<'_>) {
        if let Seen::Opened(link) = seen
            && let Some(address) = self.accepted.pop_front()
        {
            self.peers.insert(link, address);
        }
        // A process that is to die says nothing any more.
        if self.stage.lock().life(BROKER) != Life::Alive {
            return;
        }
        let link = own_link(&seen).and_then(|link| self.stage.lock().link_at(*self.peers.get(&link)?));
        note(&self.stage, now, Way::Down, link, seen);
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    match listener.accept().await {
        Ok(accepted) => accepted,
        Err(_) => std::future::pending().await,
    }
}

/// The world around a client.
struct ClientNet {
    play: Arc<Play>,
    place: Place,
}

impl Net for ClientNet {
    type Stream = Gate<TcpStream>;

    fn now(&self) -> Time {
        now()
    }

    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        let (play, place) = (self.play.clone(), self.place);
        let link = play.stage.lock().attempt(place);
        connect(play, place, link)
    }

    async fn next(&mut self) -> External<Self::Stream> {
        until_dead(&self.play.stage, self.place).await;
        External::Stop
    }

    async fn store(&mut self, _changes: Vec<Change>) {}

    fn saw(&mut self, now: Time, _machine: &Machine, seen: Seen<'_>) {
        let stage = &self.play.stage;
        if stage.lock().life(self.place) != Life::Alive {
            return;
        }
        let link = own_link(&seen).and_then(|link| stage.lock().attempt_named(self.place, link));
        note(stage, now, Way::Up, link, seen);
    }
}

/// Dials the broker, as far as the faults of the path let it.
async fn connect(play: Arc<Play>, place: Place, link: LinkId) -> io::Result<Gate<TcpStream>> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::ConnectionRefused, why.to_owned());
    loop {
        let dialling = play.stage.lock().dialling(place);
        match dialling {
            Ok(false) => break,
            Ok(true) => tokio::time::sleep(TICK).await,
            Err(why) => {
                tokio::time::sleep(play.scenario.network.latency.least).await;
                return Err(refused(why));
            }
        }
    }
    let connected = TcpStream::connect((BROKER_HOST, play.port)).await;
    let stream = connected.map_err(|_| refused("connection refused"))?;
    let address = stream.local_addr()?;
    let mut stage = play.stage.lock();
    stage.connected(place, link, address);
    // Cut while it was under way.
    stage.dialling(place).map_err(refused)?;
    drop(stage);
    Ok(Gate::new(stream, End::Client(link), play.stage.clone(), play.clients[place - 1].reads_slowly))
}
