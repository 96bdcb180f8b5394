//! The direct engine: one ordered queue of what happens next. Nothing waits, and idle time costs nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::crash::{Crash, Crashed, DARK, Flaw};
use super::disk::{Disk, SYNC};
use super::ending::Ending;
use super::faults::{BROKER, Blow, Fault, faults};
use super::network::{Arrival, Network, Place, Weather};
use super::platter::Mishap;
use super::random::{Purpose, Random};
use super::{Engine, Run, names};
use crate::broker::{Broker, Peer};
use crate::link::{Cause, LinkId};
use crate::machine::{Input, Machine, Output};
use crate::scenario::actor::Actor;
use crate::scenario::{self, Scenario, setup};
use crate::store::Mark;
use crate::time::Time;
use crate::trace::{Name, Recorder, Way, What};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// The fault of this number.
    Fault(usize),
    /// A parcel may have arrived.
    Parcel(LinkId, Way),
    /// The broker's disk has synced, if it is still the process with this number of lives behind it.
    Synced(Mark, u32),
    /// A machine's timeout may be due.
    Timeout(Place),
    /// The broker's host has power again after a crash.
    Restart,
}

/// A machine's process, which can die and start anew.
struct Process {
    name: Name,
    machine: Option<Machine>,
    lives: u32,
    /// The earliest timeout that stands in the queue.
    timeout: Option<Time>,
    /// A client's own names of its links.
    links: BTreeMap<LinkId, LinkId>,
    mood: Mood,
}

/// What a client's application is about, as far as the end of the run hangs on it.
#[derive(Clone, Copy, Debug, Default)]
struct Mood {
    /// It has something to do by itself.
    busy: bool,
    /// It waits for an answer.
    waiting: bool,
}

/// A run.
struct Direct<'a> {
    scenario: &'a Scenario,
    seed: u64,
    now: Time,
    queue: BinaryHeap<Reverse<(Time, u64, Next)>>,
    sequence: u64,
    processes: Vec<Process>,
    clients: Vec<scenario::Client>,
    network: Network,
    weather: Weather,
    faults: Vec<Fault>,
    disk: Disk,
    /// Crashes to come, in the order of the disk's operations, and how many there were.
    crashes: VecDeque<Crash>,
    crashed: usize,
    flaw: Option<Flaw>,
    last_link: u64,
    recorder: Recorder,
    ending: Ending,
    /// How many applications are busy, and how many wait: counted as it changes, for it is asked at every step.
    busy: usize,
    waiting: usize,
    run: Run,
}

/// What the trace says of the power of the broker's host.
fn power_off(began: bool) -> What {
    What::Fault { word: if began { "power_off" } else { "start" }, names: vec![Name::from(setup::BROKER)], began }
}

/// Runs a scenario, until `most` things have happened.
pub(super) fn run(scenario: &Scenario, seed: u64, most: usize) -> Run {
    let mut direct = Direct::new(scenario, seed);
    direct.begin();
    direct.go(most);
    direct.run.packets = direct.recorder.packets();
    direct.run
}

/// Runs a scenario with crashes of the broker's host.
pub(super) fn run_with_crashes(scenario: &Scenario, seed: u64, crashes: &[Crash], flaw: Option<Flaw>) -> Crashed {
    let mut direct = Direct::new(scenario, seed);
    direct.disk = Disk::flawed(flaw);
    direct.crashes = crashes.iter().copied().collect();
    direct.flaw = flaw;
    direct.plan_crash();
    direct.begin();
    direct.go(usize::MAX);
    direct.run.packets = direct.recorder.packets();
    let (operations, damaged) = (direct.disk.platter().operations(), direct.disk.damaged());
    Crashed { run: direct.run, operations, crashes: direct.crashed, damaged }
}

impl<'a> Direct<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Direct<'a> {
        let names = names(scenario);
        let process = |name: &Name| Process {
            name: name.clone(),
            machine: None,
            lives: 0,
            timeout: None,
            links: BTreeMap::new(),
            mood: Mood::default(),
        };
        Direct {
            scenario,
            seed,
            now: Time::ZERO,
            queue: BinaryHeap::new(),
            sequence: 0,
            processes: names.iter().map(process).collect(),
            clients: setup::cast(scenario).into_iter().map(|(_, client)| client).collect(),
            network: Network::new(seed),
            weather: Weather {
                latency: scenario.network.latency.least..=scenario.network.latency.most,
                chunk: scenario.network.chunk,
                reads: None,
            },
            faults: faults(scenario, &names),
            disk: Disk::default(),
            crashes: VecDeque::new(),
            crashed: 0,
            flaw: None,
            last_link: 0,
            recorder: Recorder::new(),
            ending: Ending::of(scenario),
            busy: 0,
            waiting: 0,
            run: Run::new(Engine::Direct, seed),
        }
    }

    /// Starts every process and lays the faults out in time.
    fn begin(&mut self) {
        for number in 0..self.faults.len() {
            self.push(self.faults[number].at, Next::Fault(number));
        }
        for place in 0..self.processes.len() {
            self.start(place);
        }
        self.settle();
    }

    /// Goes from one thing that happens to the next, until the run is over.
    fn go(&mut self, most: usize) {
        while self.run.trace.len() < most {
            let next = self.queue.peek().map(|Reverse((at, _, _))| *at);
            let over = self.over();
            match (next, over) {
                (Some(next), Some(over)) if next > over => return self.end(over),
                (None, Some(over)) => return self.end(over),
                (None, None) => return self.end(self.now),
                (Some(_), _) => {}
            }
            let Some(Reverse((at, _, next))) = self.queue.pop() else { return };
            self.now = at;
            match next {
                Next::Fault(number) => self.befall(number),
                Next::Parcel(link, way) => self.network.arrive(at, link, way),
                Next::Synced(mark, lives) if self.processes[BROKER].lives == lives => {
                    if self.disk.sync(mark) {
                        self.hand(BROKER, Input::Stored(mark));
                    } else {
                        self.crash();
                    }
                }
                Next::Synced(..) => {}
                Next::Timeout(place) => self.time_out(place),
                Next::Restart => {
                    self.recorder.note(at, power_off(false));
                    self.start(BROKER);
                }
            }
            self.settle();
        }
        self.end(self.now);
    }

    fn end(&mut self, at: Time) {
        self.run.ended = at.max(self.now);
    }

    /// When the run is over if nothing more happens.
    fn over(&self) -> Option<Time> {
        self.ending.moment(self.busy > 0, self.waiting > 0)
    }

    /// Notes what the application at a place is about now.
    fn note_mood(&mut self, place: Place) {
        let process = &mut self.processes[place];
        let actor = process.machine.as_ref().and_then(Machine::actor);
        let mood = actor
            .map(|actor| Mood { busy: actor.next_own().is_some(), waiting: actor.is_waiting() })
            .unwrap_or_default();
        let was = std::mem::replace(&mut process.mood, mood);
        self.busy = self.busy + usize::from(mood.busy) - usize::from(was.busy);
        self.waiting = self.waiting + usize::from(mood.waiting) - usize::from(was.waiting);
    }

    fn push(&mut self, at: Time, next: Next) {
        self.sequence += 1;
        self.queue.push(Reverse((at.max(self.now), self.sequence, next)));
    }

    /// Starts the process at a place, with what its disk holds.
    fn start(&mut self, place: Place) {
        if self.processes[place].machine.is_some() {
            return;
        }
        let number = (place as u64) << 32 | u64::from(self.processes[place].lives);
        let seed = Random::new(self.seed, Purpose::Machine, number).number();
        let machine = match place.checked_sub(1) {
            None => {
                let config = setup::broker(&self.scenario.broker, seed);
                let restored = self.disk.start();
                if self.disk.platter().has_no_power() {
                    return self.crash();
                }
                Machine::Broker(Box::new(Broker::new(config, restored, self.now)))
            }
            Some(client) => {
                let spec = &self.clients[client];
                Machine::Actor(Box::new(Actor::new(self.scenario, &self.processes[place].name, spec, seed, self.now)))
            }
        };
        self.network.start(place);
        self.processes[place].machine = Some(machine);
        self.hand(place, Input::Timeout);
    }

    fn stop(&mut self, place: Place) {
        let process = &mut self.processes[place];
        process.machine = None;
        process.timeout = None;
        process.lives += 1;
        process.links.clear();
        self.note_mood(place);
    }

    fn time_out(&mut self, place: Place) {
        let process = &mut self.processes[place];
        if process.timeout.is_some_and(|timeout| timeout <= self.now) {
            process.timeout = None;
        }
        let due = process.machine.as_ref().and_then(Machine::next_timeout);
        match due {
            Some(due) if due <= self.now => self.hand(place, Input::Timeout),
            _ => self.set_timeout(place),
        }
    }

    /// Sees to it that a machine's next timeout stands in the queue. Those that became later stay, and do nothing.
    fn set_timeout(&mut self, place: Place) {
        let process = &mut self.processes[place];
        let Some(due) = process.machine.as_ref().and_then(Machine::next_timeout) else { return };
        if process.timeout.is_none_or(|timeout| due < timeout) {
            process.timeout = Some(due);
            self.push(due, Next::Timeout(place));
        }
    }

    /// Hands something to a machine and does what it wants done.
    fn hand(&mut self, place: Place, input: Input) {
        let Some(machine) = &mut self.processes[place].machine else { return };
        machine.handle(self.now, input);
        while let Some(output) = self.processes[place].machine.as_mut().and_then(Machine::poll) {
            self.obey(place, output);
        }
        self.set_timeout(place);
        self.note_mood(place);
    }

    fn obey(&mut self, place: Place, output: Output) {
        let way = if place == BROKER { Way::Down } else { Way::Up };
        match output {
            Output::Dial(own) => self.dial(place, own),
            Output::Send(own, frame) => {
                let Some(link) = self.global(place, own) else { return };
                let bytes = frame.to_bytes();
                self.recorder.left(self.now, link, way, bytes.clone());
                self.network.send(self.now, link, way, bytes);
            }
            Output::Close(own, cause) => {
                let Some(link) = self.global(place, own) else { return };
                self.processes[place].links.remove(&own);
                self.recorder.closed(self.now, link, way, cause);
                self.network.close(self.now, link, way);
            }
            Output::Store(changes, mark) => {
                self.disk.write(mark, changes);
                self.push(self.now + SYNC, Next::Synced(mark, self.processes[place].lives));
                if self.flaw == Some(Flaw::TellsTooEarly)
                    && let Some(machine) = &mut self.processes[place].machine
                {
                    machine.handle(self.now, Input::Stored(mark));
                }
            }
            Output::Note(what) => self.recorder.note(self.now, what),
        }
    }

    fn dial(&mut self, place: Place, own: LinkId) {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        self.processes[place].links.insert(own, link);
        self.recorder.dialled(link, &self.processes[place].name, &self.processes[BROKER].name);
        let reads = self.clients[place - 1].reads_slowly;
        let weather = Weather { reads, ..self.weather.clone() };
        self.network.dial(self.now, link, place, BROKER, weather);
    }

    /// The name of a machine's link in the whole run.
    fn global(&self, place: Place, own: LinkId) -> Option<LinkId> {
        if place == BROKER { Some(own) } else { self.processes[place].links.get(&own).copied() }
    }

    /// A client's own name of a link.
    fn own(&self, place: Place, link: LinkId) -> Option<LinkId> {
        self.processes[place].links.iter().find(|(_, global)| **global == link).map(|(own, _)| *own)
    }

    /// Passes on what the network brought, until it brings nothing more.
    fn settle(&mut self) {
        while let Some((link, arrival)) = self.network.poll() {
            let Some((client, broker)) = self.network.ends(link) else { continue };
            self.deliver(link, client, broker, arrival);
        }
        let wakes: Vec<_> = self.network.wakes().collect();
        for (at, link, way) in wakes {
            self.push(at, Next::Parcel(link, way));
        }
        for event in self.recorder.take() {
            self.ending.saw(&event);
            self.run.trace.push(event);
        }
    }

    fn deliver(&mut self, link: LinkId, client: Place, broker: Place, arrival: Arrival) {
        let end = |way: Way| if way == Way::Up { client } else { broker };
        match arrival {
            Arrival::Opened => {
                self.recorder.opened(self.now, link);
                let peer = Peer(self.processes[client].name.to_string());
                self.hand(broker, Input::Opened(link, peer));
            }
            Arrival::Dialed => self.hand_own(client, link, Input::Dialed),
            Arrival::Refused(why) => {
                self.recorder.unreachable(self.now, link, why);
                self.hand_own(client, link, |own| Input::DialFailed(own, why.to_owned()));
            }
            Arrival::Bytes(way, bytes) => {
                self.recorder.arrived(self.now, link, way, bytes.clone());
                self.hand_own(end(way.back()), link, |own| Input::Received(own, bytes));
            }
            Arrival::Closed(way, cause) => {
                self.recorder.closed(self.now, link, way, cause.clone());
                self.hand_own(end(way), link, |own| Input::Closed(own, cause));
            }
            Arrival::Congested(way) => self.hand_own(end(way), link, Input::Congested),
            Arrival::Drained(way) => self.hand_own(end(way), link, Input::Drained),
        }
    }

    fn hand_own(&mut self, place: Place, link: LinkId, input: impl FnOnce(LinkId) -> Input) {
        let own = if place == BROKER { Some(link) } else { self.own(place, link) };
        if let Some(own) = own {
            self.hand(place, input(own));
        }
    }

    fn befall(&mut self, number: usize) {
        let fault = self.faults[number].clone();
        self.recorder.note(self.now, fault.what());
        let now = self.now;
        match fault.blow {
            Blow::Cut(clients, ways) => {
                clients.iter().for_each(|client| self.network.cut(now, *client, BROKER, &ways));
            }
            Blow::Heal(clients) => clients.iter().for_each(|client| self.network.heal(*client, BROKER)),
            Blow::Hold(clients) => clients.iter().for_each(|client| self.network.hold(*client, BROKER)),
            Blow::Release(clients) => clients.iter().for_each(|client| self.network.release(now, *client, BROKER)),
            Blow::Reset(clients) => clients.iter().for_each(|client| self.network.reset(*client, BROKER)),
            Blow::Close(clients, way) => {
                clients.iter().for_each(|client| self.network.shut(now, *client, BROKER, way));
            }
            Blow::Kill(places) => places.into_iter().for_each(|place| self.kill(place)),
            Blow::PowerOff(places) => places.into_iter().for_each(|place| self.power_off(place)),
            Blow::Start(places) => places.into_iter().for_each(|place| self.start(place)),
            Blow::Latency(latency) => {
                self.weather.latency = latency.clone();
                self.network.set_weather(|weather| weather.latency = latency.clone());
            }
            Blow::Chunk(most) => {
                self.weather.chunk = Some(most);
                self.network.set_weather(|weather| weather.chunk = Some(most));
            }
        }
    }

    /// Lets the disk fail where the next crash is planned.
    fn plan_crash(&mut self) {
        if let Some(crash) = self.crashes.front() {
            self.disk.platter().plan(crash.operation, Mishap::PowerOff);
        }
    }

    /// The broker's host loses its power while its disk works, if that was planned.
    fn crash(&mut self) {
        if !self.disk.platter().has_no_power() {
            return;
        }
        let Some(crash) = self.crashes.pop_front() else { return };
        self.crashed += 1;
        self.recorder.note(self.now, power_off(true));
        self.abandon(BROKER, &Cause::Reset);
        self.network.power_off(BROKER);
        let pending = self.disk.platter().pending();
        self.disk.fail_power(crash.wreck.fates(pending));
        self.stop(BROKER);
        self.plan_crash();
        self.push(self.now + DARK, Next::Restart);
    }

    fn kill(&mut self, place: Place) {
        self.abandon(place, &Cause::ShuttingDown);
        self.network.kill(self.now, place);
        if place == BROKER {
            self.disk.killed();
            if self.disk.platter().has_no_power()
                && let Some(crash) = self.crashes.pop_front()
            {
                // Its host dies while it does.
                self.crashed += 1;
                let pending = self.disk.platter().pending();
                self.disk.fail_power(crash.wreck.fates(pending));
            }
            self.plan_crash();
        }
        self.stop(place);
    }

    fn power_off(&mut self, place: Place) {
        self.abandon(place, &Cause::Reset);
        self.network.power_off(place);
        if place == BROKER {
            let lives = u64::from(self.processes[place].lives);
            self.disk.power_failed(&mut Random::new(self.seed, Purpose::Disk, lives));
            self.plan_crash();
        }
        self.stop(place);
    }

    /// Notes that the process is done with its connections, as it is about to die.
    fn abandon(&mut self, place: Place, cause: &Cause) {
        for (link, way) in self.network.at(place) {
            self.recorder.closed(self.now, link, way, cause.clone());
        }
    }
}
