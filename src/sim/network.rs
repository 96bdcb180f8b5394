//! The direct engine's network: connections as two pipes of bytes each, and what can befall them (design section 6).
//!
//! Nothing here waits. A pipe is a queue of parcels, each with the moment it arrives; whoever owns the network calls
//! [`Network::arrive`] at the moments that [`Network::wakes`] names.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use super::random::{Purpose, Random};
use crate::link::{Cause, LinkId};
use crate::time::Time;
use crate::trace::Way;

/// A machine on the network, by its place among all machines of the run.
pub(crate) type Place = usize;

/// So many bytes may be on their way before the sender is told that they pile up.
const CONGESTED_BYTES: usize = 256 * 1024;
/// So few must be left before it is told that it may go on.
const DRAINED_BYTES: usize = 64 * 1024;

/// How a path between two machines treats its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    /// How long bytes travel.
    pub latency: RangeInclusive<Duration>,
    /// How large the pieces are at most into which the stream is cut; `None` leaves it as it was written.
    pub chunk: Option<u32>,
    /// How many bytes the client reads in a second at most; `None` for as many as there are.
    pub reads: Option<u32>,
}

/// What arrives at a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// At the broker: a client connected.
    Opened,
    /// At the client: it is connected.
    Dialed,
    /// At the client: it cannot connect, and why.
    Refused(&'static str),
    /// At the end that reads `way`: bytes.
    Bytes(Way, Bytes),
    /// At the end that sends `way`: the connection is gone.
    Closed(Way, Cause),
    /// At the end that sends `way`: what it sends piles up.
    Congested(Way),
    /// At the end that sends `way`: it has been sent.
    Drained(Way),
}

/// What travels in a pipe.
#[derive(Debug)]
enum Parcel {
    Syn,
    SynAck,
    Refused(&'static str),
    Data(Bytes),
    Fin,
    Reset,
}

/// How one end sees its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Not yet connected.
    Dialling,
    /// Connected.
    Open,
    /// It closed, or it knows that the other side did.
    Done,
    /// Its host died and knows nothing of it: whoever writes to it is sent a reset.
    Forgotten,
}

/// One direction of a connection. Parcels arrive in the order they were sent.
#[derive(Debug, Default)]
struct Pipe {
    parcels: VecDeque<(Time, Parcel)>,
    last_arrival: Time,
    unread: usize,
    congested: bool,
    /// The path has forgotten the connection: nothing passes any more.
    dead: bool,
}

#[derive(Debug)]
struct Link {
    client: Place,
    broker: Place,
    ends: [End; 2],
    pipes: [Pipe; 2],
    weather: Weather,
    latency: Random,
    chunk: Random,
}

/// A fault of the path between a client and a broker.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    cut: [bool; 2],
    held: bool,
}

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Up,
    /// The process is dead, the host lives: dials are refused.
    Killed,
    /// The host is dead: nothing answers.
    Off,
}

/// All connections of a run, and the state of all paths.
#[derive(Debug)]
pub(crate) struct Network {
    seed: u64,
    links: BTreeMap<LinkId, Link>,
    paths: BTreeMap<(Place, Place), Path>,
    hosts: BTreeMap<Place, Host>,
    wakes: Vec<(Time, LinkId, Way)>,
    arrivals: VecDeque<(LinkId, Arrival)>,
}

/// How long a client takes to read so many bytes at so many a second.
fn reading_takes(bytes: usize, reads: u32) -> Duration {
    const NEVER: Duration = Duration::from_secs(1 << 40);
    let nanos = (bytes as u128 * 1_000_000_000).checked_div(u128::from(reads));
    nanos.and_then(|nanos| u64::try_from(nanos).ok()).map_or(NEVER, Duration::from_nanos)
}

impl Network {
    /// A network on which nothing has happened.
    pub fn new(seed: u64) -> Network {
        Network {
            seed,
            links: BTreeMap::new(),
            paths: BTreeMap::new(),
            hosts: BTreeMap::new(),
            wakes: Vec::new(),
            arrivals: VecDeque::new(),
        }
    }

    /// The moments at which [`Network::arrive`] is to be called, since this was last asked.
    pub fn wakes(&mut self) -> impl Iterator<Item = (Time, LinkId, Way)> + '_ {
        self.wakes.drain(..)
    }

    /// What has arrived. To be drained after every call.
    pub fn poll(&mut self) -> Option<(LinkId, Arrival)> {
        self.arrivals.pop_front()
    }

    /// The client and the broker of a link, while it is known.
    pub fn ends(&self, link: LinkId) -> Option<(Place, Place)> {
        self.links.get(&link).map(|link| (link.client, link.broker))
    }

    /// A client dials a broker.
    pub fn dial(&mut self, now: Time, id: LinkId, client: Place, broker: Place, weather: Weather) {
        let link = Link {
            client,
            broker,
            ends: [End::Dialling; 2],
            pipes: [Pipe::default(), Pipe::default()],
            weather,
            latency: Random::new(self.seed, Purpose::Latency, id.0),
            chunk: Random::new(self.seed, Purpose::Chunk, id.0),
        };
        self.links.insert(id, link);
        if self.path(client, broker).cut != [false; 2] {
            self.enqueue(now, id, Way::Down, Parcel::Refused("the network is unreachable"));
        } else if self.host(broker) == Host::Off {
            self.enqueue(now, id, Way::Down, Parcel::Refused("the host is down"));
        } else {
            self.enqueue(now, id, Way::Up, Parcel::Syn);
        }
    }

    /// One end sends bytes.
    pub fn send(&mut self, now: Time, id: LinkId, way: Way, bytes: Bytes) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.ends[way as usize] != End::Open {
            return;
        }
        let pipe = &mut link.pipes[way as usize];
        pipe.unread += bytes.len();
        if !pipe.congested && pipe.unread > CONGESTED_BYTES {
            pipe.congested = true;
            self.arrivals.push_back((id, Arrival::Congested(way)));
        }
        let Some(most) = link.weather.chunk else {
            return self.enqueue(now, id, way, Parcel::Data(bytes));
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(link) = self.links.get_mut(&id) else { return };
            let size = link.chunk.within(1..=u64::from(most));
            let size = usize::try_from(size).unwrap_or(usize::MAX).clamp(1, rest.len());
            let piece = rest.split_to(size);
            self.enqueue(now, id, way, Parcel::Data(piece));
        }
    }

    /// One end closes, once what it sent is sent.
    pub fn close(&mut self, now: Time, id: LinkId, way: Way) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let end = &mut link.ends[way as usize];
        let was = std::mem::replace(end, End::Done);
        if matches!(was, End::Open | End::Dialling) {
            self.enqueue(now, id, way, Parcel::Fin);
        }
        self.forget_if_over(id);
    }

    /// The moment has come for a parcel of this pipe.
    pub fn arrive(&mut self, now: Time, id: LinkId, way: Way) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if self.paths.get(&(link.client, link.broker)).is_some_and(|path| path.held) {
            return;
        }
        let pipe = &mut link.pipes[way as usize];
        if pipe.parcels.front().is_some_and(|(due, _)| *due <= now)
            && let Some((_, parcel)) = pipe.parcels.pop_front()
        {
            self.deliver(now, id, way, parcel);
        }
        self.forget_if_over(id);
    }

    fn deliver(&mut self, now: Time, id: LinkId, way: Way, parcel: Parcel) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let receiver = way.back();
        let end = link.ends[receiver as usize];
        let place = if way == Way::Up { link.broker } else { link.client };
        let host = self.hosts.get(&place).copied().unwrap_or(Host::Up);
        if host == Host::Off {
            return;
        }
        match parcel {
            Parcel::Syn if host == Host::Killed => {
                link.ends[receiver as usize] = End::Done;
                self.enqueue(now, id, Way::Down, Parcel::Refused("connection refused"));
            }
            Parcel::Syn => {
                link.ends[receiver as usize] = End::Open;
                self.arrivals.push_back((id, Arrival::Opened));
                self.enqueue(now, id, Way::Down, Parcel::SynAck);
            }
            Parcel::SynAck if end == End::Dialling => {
                link.ends[receiver as usize] = End::Open;
                self.arrivals.push_back((id, Arrival::Dialed));
            }
            Parcel::Refused(why) if end == End::Dialling => {
                link.ends = [End::Done; 2];
                self.arrivals.push_back((id, Arrival::Refused(why)));
            }
            Parcel::Data(bytes) => {
                let pipe = &mut link.pipes[way as usize];
                pipe.unread = pipe.unread.saturating_sub(bytes.len());
                let drained = pipe.congested && pipe.unread <= DRAINED_BYTES;
                if drained {
                    pipe.congested = false;
                }
                match end {
                    End::Open => self.arrivals.push_back((id, Arrival::Bytes(way, bytes))),
                    End::Forgotten => self.enqueue(now, id, receiver, Parcel::Reset),
                    End::Dialling | End::Done => {}
                }
                if drained {
                    self.arrivals.push_back((id, Arrival::Drained(way)));
                }
            }
            Parcel::Fin if end == End::Open => self.end(id, receiver, Cause::End),
            Parcel::Reset if end == End::Open => self.end(id, receiver, Cause::Reset),
            Parcel::SynAck | Parcel::Refused(_) | Parcel::Fin | Parcel::Reset => {}
        }
    }

    /// Tells the end that sends `way` that the connection is gone.
    fn end(&mut self, id: LinkId, way: Way, cause: Cause) {
        if let Some(link) = self.links.get_mut(&id) {
            link.ends[way as usize] = End::Done;
            self.arrivals.push_back((id, Arrival::Closed(way, cause)));
        }
    }

    fn enqueue(&mut self, now: Time, id: LinkId, way: Way, parcel: Parcel) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let travels = link.latency.span(link.weather.latency.clone());
        let pipe = &mut link.pipes[way as usize];
        if pipe.dead {
            return;
        }
        let mut due = pipe.last_arrival.max(now + travels);
        if let (Way::Down, Parcel::Data(bytes), Some(reads)) = (way, &parcel, link.weather.reads) {
            due = due + reading_takes(bytes.len(), reads);
        }
        pipe.last_arrival = due;
        pipe.parcels.push_back((due, parcel));
        self.wakes.push((due, id, way));
    }

    fn forget_if_over(&mut self, id: LinkId) {
        let over = |link: &Link| link.ends == [End::Done; 2] && link.pipes.iter().all(|pipe| pipe.parcels.is_empty());
        if self.links.get(&id).is_some_and(over) && !self.arrivals.iter().any(|(link, _)| *link == id) {
            self.links.remove(&id);
        }
    }

    fn path(&self, client: Place, broker: Place) -> Path {
        self.paths.get(&(client, broker)).copied().unwrap_or_default()
    }

    fn host(&self, place: Place) -> Host {
        self.hosts.get(&place).copied().unwrap_or(Host::Up)
    }
}

/// Faults. Each names the path by its client and broker, or the host by its place.
impl Network {
    /// The path forgets its connections and takes no new ones, in the given directions.
    pub fn cut(&mut self, now: Time, client: Place, broker: Place, ways: &[Way]) {
        let path = self.paths.entry((client, broker)).or_default();
        for way in ways {
            path.cut[*way as usize] = true;
        }
        for id in self.on_path(client, broker) {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if link.ends[Way::Up as usize] == End::Dialling {
                // A dial under way fails at once rather than never: nobody resends its first segment here.
                link.pipes = [Pipe::default(), Pipe::default()];
                link.ends[Way::Down as usize] = End::Forgotten;
                self.enqueue(now, id, Way::Down, Parcel::Refused("the network is unreachable"));
                continue;
            }
            for way in ways {
                let pipe = &mut link.pipes[*way as usize];
                pipe.dead = true;
                pipe.parcels.clear();
            }
        }
    }

    /// New connections work again on this path.
    pub fn heal(&mut self, client: Place, broker: Place) {
        self.paths.entry((client, broker)).or_default().cut = [false; 2];
    }

    /// Nothing arrives on this path until [`Network::release`].
    pub fn hold(&mut self, client: Place, broker: Place) {
        self.paths.entry((client, broker)).or_default().held = true;
    }

    /// Everything that was held arrives, in order.
    pub fn release(&mut self, now: Time, client: Place, broker: Place) {
        self.paths.entry((client, broker)).or_default().held = false;
        for id in self.on_path(client, broker) {
            let Some(link) = self.links.get(&id) else { continue };
            for way in Way::BOTH {
                let late = link.pipes[way as usize].parcels.iter().filter(|(due, _)| *due <= now).count();
                self.wakes.extend(std::iter::repeat_n((now, id, way), late));
            }
        }
    }

    /// Both ends of each connection on this path see a reset.
    pub fn reset(&mut self, client: Place, broker: Place) {
        for id in self.on_path(client, broker) {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let ends = link.ends;
            for pipe in &mut link.pipes {
                pipe.dead = true;
                pipe.parcels.clear();
            }
            if ends[Way::Up as usize] == End::Dialling {
                link.ends[Way::Up as usize] = End::Done;
                self.arrivals.push_back((id, Arrival::Refused("connection reset")));
            }
            for way in Way::BOTH {
                if ends[way as usize] == End::Open {
                    self.end(id, way, Cause::Reset);
                }
            }
        }
    }

    /// The end that sends `way` of each connection on this path closes in good order, its machine not being asked.
    pub fn shut(&mut self, now: Time, client: Place, broker: Place, way: Way) {
        for id in self.on_path(client, broker) {
            if self.links.get(&id).is_some_and(|link| link.ends[way as usize] == End::Open) {
                self.enqueue(now, id, way, Parcel::Fin);
                self.end(id, way, Cause::End);
            }
        }
    }

    /// The process on this host dies: its connections end as if it had closed them.
    pub fn kill(&mut self, now: Time, place: Place) {
        for (id, way) in self.at(place) {
            self.close(now, id, way);
        }
        self.hosts.insert(place, Host::Killed);
    }

    /// The host dies: whoever is connected to it hears nothing.
    pub fn power_off(&mut self, place: Place) {
        for (id, way) in self.at(place) {
            if let Some(link) = self.links.get_mut(&id) {
                link.ends[way as usize] = End::Forgotten;
            }
        }
        self.hosts.insert(place, Host::Off);
    }

    /// The host and its process live again.
    pub fn start(&mut self, place: Place) {
        self.hosts.insert(place, Host::Up);
    }

    /// Changes how all connections treat what is sent from now on.
    pub fn set_weather(&mut self, change: impl Fn(&mut Weather)) {
        for link in self.links.values_mut() {
            change(&mut link.weather);
        }
    }

    fn on_path(&self, client: Place, broker: Place) -> Vec<LinkId> {
        let mut on_path = Vec::new();
        for (id, link) in &self.links {
            if link.client == client && link.broker == broker {
                on_path.push(*id);
            }
        }
        on_path
    }

    /// The links that end at this host, each with the way that it sends, in order.
    pub fn at(&self, place: Place) -> Vec<(LinkId, Way)> {
        let mut at = Vec::new();
        for (id, link) in &self.links {
            for (way, end) in [(Way::Up, link.client), (Way::Down, link.broker)] {
                if end == place && matches!(link.ends[way as usize], End::Open | End::Dialling) {
                    at.push((*id, way));
                }
            }
        }
        at
    }
}
