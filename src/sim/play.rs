//! A scenario's machines as programs over byte streams: what is the same on turmoil's network and on real sockets.
//!
//! Faults act where a machine meets its stream (`gate`), so that they mean the same on both.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::disk::SYNC;
use super::faults::BROKER;
use super::gate::{End, Gate};
use super::network::Place;
use super::random::{Purpose, Random};
use super::stage::{Doing, Life, Shared};
use crate::broker::{Broker, Peer};
use crate::drive::{External, Net, Seen, Stream, drive};
use crate::link::LinkId;
use crate::machine::Machine;
use crate::scenario::actor::Actor;
use crate::scenario::{self, Scenario, setup};
use crate::store::{Change, Mark};
use crate::time::Time;
use crate::trace::{Name, Way};

/// How often a program that cannot go on looks whether it can.
const TICK: Duration = Duration::from_millis(1);

/// What carries the bytes.
pub(crate) trait World: Debug + Send + Sync + 'static {
    /// Its byte streams.
    type Stream: Stream + Any;
    /// What waits for clients.
    type Listener: Send + Sync;

    /// The time since the run began.
    fn now(&self) -> Time;

    /// Begins to wait for clients where they look for the broker.
    fn listen(&self) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// A client's connection and its address. Dropping the future loses nothing.
    fn accept(&self, listener: &Self::Listener) -> impl Future<Output = (Self::Stream, SocketAddr)> + Send;

    /// Connects to the broker; the stream and the address of this end.
    fn connect(&self, link: LinkId) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// What all programs of a run share and never changes.
#[derive(Debug)]
pub(crate) struct Play<W> {
    scenario: Scenario,
    clients: Vec<scenario::Client>,
    names: Vec<Name>,
    seed: u64,
    /// What the broker draws from instead, where strangers might guess.
    secret: Option<u64>,
    pub(crate) stage: Shared,
    pub(crate) world: W,
}

impl<W: World> Play<W> {
    pub(crate) fn new(scenario: &Scenario, seed: u64, secret: Option<u64>, stage: &Shared, world: W) -> Arc<Play<W>> {
        Arc::new(Play {
            scenario: scenario.clone(),
            clients: setup::cast(scenario).into_iter().map(|(_, client)| client).collect(),
            names: super::names(scenario),
            seed,
            secret,
            stage: stage.clone(),
            world,
        })
    }

    /// The same seeds as in the direct engine, but for the broker's secret.
    fn machine_seed(&self, place: Place) -> u64 {
        let lives = self.stage.lock().lives_lost(place);
        let seed = self.secret.filter(|_| place == BROKER).unwrap_or(self.seed);
        Random::new(seed, Purpose::Machine, (place as u64) << 32 | u64::from(lives)).number()
    }
}

/// The broker's program: starts again whenever it is alive again.
pub(crate) async fn serve<W: World>(play: Arc<Play<W>>) {
    while until_alive(&play.stage, BROKER).await {
        let Ok(listener) = play.world.listen().await else { return };
        let config = setup::broker(&play.scenario.broker, play.machine_seed(BROKER));
        let disk = play.stage.lock().disk.start();
        let machine = Machine::Broker(Box::new(Broker::new(config, disk, play.world.now())));
        drive(machine, BrokerNet::new(play.clone(), listener)).await;
    }
}

/// A client's program.
pub(crate) async fn live<W: World>(play: Arc<Play<W>>, place: Place) {
    while until_alive(&play.stage, place).await {
        let (name, spec) = (&play.names[place], &play.clients[place - 1]);
        let actor = Actor::new(&play.scenario, name, spec, play.machine_seed(place), play.world.now());
        drive(Machine::Actor(Box::new(actor)), ClientNet { play: play.clone(), place }).await;
    }
}

/// Whether the process at a place is alive, once it is; `false` once the run is over.
pub(crate) async fn until_alive(stage: &Shared, place: Place) -> bool {
    loop {
        let (closing, life) = {
            let stage = stage.lock();
            (stage.is_closing(), stage.life(place))
        };
        if closing || life == Life::Alive {
            return !closing;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Ready once the process at a place is to end.
pub(crate) async fn until_gone<S>(stage: &Shared, place: Place) -> External<S> {
    poll_fn(|context| {
        let mut stage = stage.lock();
        if stage.life(place) != Life::Alive {
            return Poll::Ready(External::Stop);
        }
        if place == BROKER && stage.is_closing() {
            return Poll::Ready(External::Shutdown);
        }
        stage.wake_at_fault(context.waker());
        Poll::Pending
    })
    .await
}

/// Notes for the trace what a machine did or met on a link.
fn note(stage: &Shared, now: Time, sends: Way, link: Option<LinkId>, seen: Seen<'_>) {
    let mut stage = stage.lock();
    let link = match (&seen, link) {
        (Seen::Note(_), _) => LinkId(0),
        (_, None) => return,
        (_, Some(link)) => link,
    };
    let stranger = stage.is_stranger(link);
    match seen {
        Seen::Note(what) => stage.recorder.note(now, what),
        // Both ends say so; the client does when it has a name for the broker's end too.
        Seen::Opened(_) if sends == Way::Up => stage.recorder.opened(now, link),
        Seen::Opened(_) => {}
        Seen::DialFailed(_, why) => stage.recorder.unreachable(now, link, why),
        Seen::Received(_, bytes) if stranger => stage.recorder.overheard(now, link, sends.back(), bytes.clone()),
        Seen::Received(_, bytes) => stage.recorder.arrived(now, link, sends.back(), bytes.clone()),
        Seen::Sent(_, frame) if stranger => stage.recorder.overheard(now, link, sends, frame.to_bytes()),
        Seen::Sent(_, frame) => stage.recorder.left(now, link, sends, frame.to_bytes()),
        Seen::Ended(_, cause) | Seen::Closed(_, cause) => {
            stage.done(link, sends);
            stage.recorder.closed(now, link, sends, cause.clone());
        }
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
struct BrokerNet<W: World> {
    play: Arc<Play<W>>,
    listener: W::Listener,
    /// Accepted, and not yet named by the machine.
    accepted: VecDeque<SocketAddr>,
    peers: BTreeMap<LinkId, SocketAddr>,
    last_mark: u64,
}

impl<W: World> BrokerNet<W> {
    fn new(play: Arc<Play<W>>, listener: W::Listener) -> BrokerNet<W> {
        BrokerNet { play, listener, accepted: VecDeque::new(), peers: BTreeMap::new(), last_mark: 0 }
    }

    /// The name in the whole run of the link that this is about. Who sends something and has none is a stranger: the
    /// scenario's clients have theirs before they send.
    fn link(&self, now: Time, seen: &Seen<'_>) -> Option<LinkId> {
        let address = *self.peers.get(&own_link(seen)?)?;
        let mut stage = self.play.stage.lock();
        match stage.link_at(address) {
            None if matches!(seen, Seen::Received(..)) => Some(stage.stranger(now, address)),
            link => link,
        }
    }
}

impl<W: World> Net for BrokerNet<W> {
    type Stream = Gate<W::Stream>;

    fn now(&self) -> Time {
        self.play.world.now()
    }

    fn lasts(&self, span: Duration) -> Duration {
        self.play.stage.lock().lasts(span)
    }

    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }

    async fn next(&mut self) -> External<Self::Stream> {
        let stage = &self.play.stage;
        tokio::select! {
            biased;
            gone = until_gone(stage, BROKER) => gone,
            (stream, address) = self.play.world.accept(&self.listener) => {
                self.accepted.push_back(address);
                let gate = Gate::new(stream, End::Broker(address), stage.clone(), None);
                External::Accepted(gate, Peer(address.to_string()))
            }
        }
    }

    async fn store(&mut self, changes: Vec<Change>) {
        self.last_mark += 1;
        let mark = Mark(self.last_mark);
        let stage = &self.play.stage;
        stage.lock().disk.write(mark, changes);
        let sync = stage.lock().lasts(SYNC);
        tokio::time::sleep(sync).await;
        let durable = stage.lock().disk.sync(mark);
        if !durable {
            // Nothing is promised any more.
            std::future::pending().await
        }
    }

    fn saw(&mut self, now: Time, _machine: &Machine, seen: Seen<'_>) {
        if let Seen::Opened(link) = seen
            && let Some(address) = self.accepted.pop_front()
        {
            self.peers.insert(link, address);
        }
        // A process that is to die says nothing any more.
        if self.play.stage.lock().life(BROKER) != Life::Alive {
            return;
        }
        let link = self.link(now, &seen);
        if let Seen::Ended(own, _) | Seen::Closed(own, _) = &seen {
            self.peers.remove(own);
        }
        note(&self.play.stage, now, Way::Down, link, seen);
    }
}

/// The world around a client.
struct ClientNet<W> {
    play: Arc<Play<W>>,
    place: Place,
}

impl<W: World> Net for ClientNet<W> {
    type Stream = Gate<W::Stream>;

    fn now(&self) -> Time {
        self.play.world.now()
    }

    fn lasts(&self, span: Duration) -> Duration {
        self.play.stage.lock().lasts(span)
    }

    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        let link = self.play.stage.lock().attempt(self.place);
        connect(self.play.clone(), self.place, link)
    }

    async fn next(&mut self) -> External<Self::Stream> {
        until_gone(&self.play.stage, self.place).await
    }

    async fn store(&mut self, _changes: Vec<Change>) {}

    fn settled(&mut self, machine: &Machine) {
        let Some(actor) = machine.actor() else { return };
        let doing = Doing { busy: actor.next_own().is_some(), waiting: actor.is_waiting() };
        self.play.stage.lock().does(self.place, doing);
    }

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
pub(crate) async fn connect<W: World>(play: Arc<Play<W>>, place: Place, link: LinkId) -> io::Result<Gate<W::Stream>> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::ConnectionRefused, why.to_owned());
    loop {
        let dialling = play.stage.lock().dialling(place);
        match dialling {
            Ok(false) => break,
            Ok(true) => tokio::time::sleep(TICK).await,
            Err(why) => {
                let latency = play.stage.lock().lasts(play.scenario.network.latency.least);
                tokio::time::sleep(latency).await;
                return Err(refused(why));
            }
        }
    }
    let (stream, address) = play.world.connect(link).await?;
    let mut stage = play.stage.lock();
    stage.connected(place, link, address);
    // Cut while it was under way.
    stage.dialling(place).map_err(refused)?;
    drop(stage);
    Ok(Gate::new(stream, End::Client(link), play.stage.clone(), play.clients[place - 1].reads_slowly))
}
