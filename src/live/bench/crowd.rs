//! Publishers and subscribers at work, each a task of the same thread, and what they count together.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::peer::{Peer, answer, put_ack, text};
use super::{BenchError, Latency, Load, Outcome, Process, STAMP, TICK, histogram};
use crate::codec::{
    AckKind, AckRef, Disconnect, Packet, PacketIdentifier, PacketRef, Publish, PublishRef, Qos, Reason, Version, encode,
};

/// How many bytes are added to what waits to be sent before it is sent.
const BATCH: usize = 64 * 1024;
/// How much is read at once.
const READ_SIZE: usize = 64 * 1024;
/// After so many ticks without a delivery a publisher gives up what is on its way.
const PATIENCE: u32 = 8;
/// How many ticks what is on its way at the end has to arrive, counted from the last that did.
const DRAIN: u32 = 12;
/// How long connections may take to say goodbye.
const LINGER: Duration = Duration::from_secs(5);

/// Who publishes and subscribes to what. Where there are as many publishers as topics each has its own; a single one
/// serves them all.
pub(super) struct Flow {
    pub(super) topics: Vec<String>,
    /// For each subscriber.
    pub(super) filters: Vec<Vec<String>>,
    /// For each topic the subscribers that are to hear it.
    pub(super) heard_by: Vec<Vec<usize>>,
    pub(super) publishers: usize,
}

/// All of them, connected.
pub(super) struct Crowd<'a> {
    load: &'a Load,
    world: Rc<World>,
    tasks: JoinSet<()>,
}

/// What they share.
struct World {
    version: Version,
    qos: Qos,
    /// The payload, in bytes.
    size: usize,
    started: Instant,
    publishing: Cell<bool>,
    measuring: Cell<bool>,
    over: Cell<bool>,
    topics: Vec<Topic>,
    publishers: Vec<Account>,
    /// One for each subscriber, to be woken at the end.
    subscribers: Vec<Notify>,
    counts: Counts,
    latency: RefCell<Histogram<u64>>,
}

#[derive(Default)]
struct Counts {
    published: Cell<u64>,
    /// Deliveries that were the first of their message.
    delivered: Cell<u64>,
    measured_published: Cell<u64>,
    measured_delivered: Cell<u64>,
    duplicated: Cell<u64>,
    reordered: Cell<u64>,
    misrouted: Cell<u64>,
    closed: Cell<u64>,
    expected: Cell<u64>,
    stalls: Cell<u64>,
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

/// A topic, and a PUBLISH to it that lacks its packet identifier and its stamp.
struct Topic {
    template: Vec<u8>,
    next: Cell<u64>,
    heard_by: Vec<usize>,
}

/// What of a publisher is on its way.
#[derive(Default)]
struct Account {
    /// Deliveries that are owed.
    owed: Cell<u64>,
    /// Deliveries that were made; how many at the last tick, and for how many ticks nothing came.
    made: Cell<u64>,
    before: Cell<u64>,
    ticks: Cell<u32>,
    wake: Notify,
}

/// What stands at the beginning of each payload.
struct Stamp {
    publisher: usize,
    topic: usize,
    number: u64,
    /// When it was to be sent, in nanoseconds since the beginning.
    sent: u64,
}

impl Stamp {
    fn write(&self, payload: &mut [u8]) {
        let small = |place: usize| u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes();
        payload[..4].copy_from_slice(&small(self.publisher));
        payload[4..8].copy_from_slice(&small(self.topic));
        payload[8..16].copy_from_slice(&self.number.to_be_bytes());
        payload[16..24].copy_from_slice(&self.sent.to_be_bytes());
    }

    fn read(mut payload: &[u8]) -> Option<Stamp> {
        let (publisher, topic) = (payload.try_get_u32().ok()?, payload.try_get_u32().ok()?);
        let (number, sent) = (payload.try_get_u64().ok()?, payload.try_get_u64().ok()?);
        Some(Stamp { publisher: usize::try_from(publisher).ok()?, topic: usize::try_from(topic).ok()?, number, sent })
    }
}

/// Ends the client identifier of a subscriber.
fn subscriber(place: usize) -> String {
    format!("s{place}")
}

impl Crowd<'_> {
    /// Connects everybody, subscribers first.
    pub(super) async fn gather<'a>(
        load: &'a Load,
        flow: Flow,
        progress: &dyn Fn(String),
    ) -> Result<Crowd<'a>, BenchError> {
        let total = flow.filters.len() + flow.publishers;
        let mut subscribers = Vec::new();
        for (place, filters) in flow.filters.iter().enumerate() {
            let mut peer = Peer::connect(load, &subscriber(place), !load.lasting).await?;
            peer.subscribe(filters).await?;
            subscribers.push(peer);
            progress(format!("{} of {total} connected", place + 1));
        }
        let mut publishers = Vec::new();
        for place in 0..flow.publishers {
            publishers.push(Peer::join(load, &format!("p{place}")).await?);
        }
        let world = Rc::new(World::new(load, flow)?);
        let mut tasks = JoinSet::new();
        for (place, peer) in subscribers.into_iter().enumerate() {
            let role = Role::Subscriber { place, streams: Vec::new() };
            tasks.spawn_local(Member { world: world.clone(), role, out: Vec::new(), sent: 0 }.live(peer));
        }
        let count = publishers.len();
        for (place, peer) in publishers.into_iter().enumerate() {
            let role = Role::Publisher(Publisher::new(load, &world, place, count, peer.receive_maximum));
            tasks.spawn_local(Member { world: world.clone(), role, out: Vec::new(), sent: 0 }.live(peer));
        }
        Ok(Crowd { load, world, tasks })
    }

    /// Lets them work, and measures.
    pub(super) async fn work(mut self, progress: &dyn Fn(String)) -> Result<Outcome, BenchError> {
        let (load, world) = (self.load, self.world.clone());
        world.publishing.set(true);
        world.wake_all();
        self.pass(load.warmup, progress).await;
        world.measuring.set(true);
        let (before, own, started) = (load.process.map(Process::cpu), Process::own().cpu(), Instant::now());
        self.pass(load.span, progress).await;
        world.measuring.set(false);
        let (seconds, counts) = (started.elapsed().as_secs_f64(), &world.counts);
        let mut outcome = load.outcome();
        outcome.measured(seconds, counts.measured_published.get(), counts.measured_delivered.get());
        outcome.cost(load, before, own, counts.measured_delivered.get());
        world.publishing.set(false);
        self.drain().await;
        world.over.set(true);
        outcome.lost = counts.expected.get().saturating_sub(counts.delivered.get());
        outcome.duplicated = counts.duplicated.get();
        outcome.reordered = counts.reordered.get();
        outcome.misrouted = counts.misrouted.get();
        outcome.stalls = counts.stalls.get();
        outcome.closed = counts.closed.get();
        outcome.latency = Latency::of(&world.latency.borrow());
        world.wake_all();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LINGER, all).await;
        if load.lasting {
            for place in 0..world.subscribers.len() {
                Peer::join(load, &subscriber(place)).await?.leave().await;
            }
        }
        Ok(outcome)
    }

    /// Lets time pass, and sees to publishers that wait in vain.
    async fn pass(&self, span: Duration, progress: &dyn Fn(String)) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            let before = self.world.counts.delivered.get();
            let begun = Instant::now();
            sleep_until(end.min(begun + TICK)).await;
            let delivered = self.world.counts.delivered.get() - before;
            progress(format!("{:.0} messages/s", super::ratio(delivered, begun.elapsed().as_secs_f64())));
            self.world.publishers.iter().for_each(|account| self.world.look_after(account));
        }
    }

    /// Waits for what is on its way, for as long as something comes.
    async fn drain(&self) {
        let counts = &self.world.counts;
        let (mut before, mut quiet) = (counts.delivered.get(), 0);
        while counts.delivered.get() < counts.expected.get() && quiet < DRAIN {
            sleep(TICK).await;
            let now = counts.delivered.get();
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
    }
}

impl World {
    fn new(load: &Load, flow: Flow) -> Result<World, BenchError> {
        let topics = flow.topics.iter().zip(flow.heard_by).map(|(topic, mut heard_by)| {
            heard_by.sort_unstable();
            Ok(Topic { template: template(load, topic)?, next: Cell::new(0), heard_by })
        });
        let account = Account::default;
        Ok(World {
            version: load.version,
            qos: load.qos,
            size: load.size.max(STAMP),
            started: Instant::now(),
            publishing: Cell::new(false),
            measuring: Cell::new(false),
            over: Cell::new(false),
            topics: topics.collect::<Result<_, BenchError>>()?,
            publishers: (0..flow.publishers).map(|_| account()).collect(),
            subscribers: flow.filters.iter().map(|_| Notify::new()).collect(),
            counts: Counts::default(),
            latency: RefCell::new(histogram()),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wake_all(&self) {
        self.publishers.iter().for_each(|account| account.wake.notify_one());
        self.subscribers.iter().for_each(Notify::notify_one);
    }

    /// A publisher for which nothing comes any more has lost what was on its way, and goes on.
    fn look_after(&self, account: &Account) {
        let stuck = account.owed.get() > 0 && account.made.get() == account.before.get();
        account.ticks.set(if stuck { account.ticks.get() + 1 } else { 0 });
        account.before.set(account.made.get());
        if account.ticks.get() >= PATIENCE {
            account.ticks.set(0);
            account.owed.set(0);
            add(&self.counts.stalls, 1);
            account.wake.notify_one();
        }
    }

    /// A message came to a subscriber at this moment.
    fn delivered(&self, subscriber: usize, streams: &mut Vec<Numbers>, publish: &PublishRef<'_>, now: u64) {
        let counts = &self.counts;
        let topic = Stamp::read(publish.payload).and_then(|stamp| Some((self.topics.get(stamp.topic)?, stamp)));
        let Some((_, stamp)) = topic.filter(|(topic, _)| topic.heard_by.binary_search(&subscriber).is_ok()) else {
            return add(&counts.misrouted, 1);
        };
        if streams.len() <= stamp.topic {
            streams.resize_with(stamp.topic + 1, Numbers::default);
        }
        match streams[stamp.topic].came(stamp.number) {
            Came::Again => return add(&counts.duplicated, 1),
            Came::Late => add(&counts.reordered, 1),
            Came::InOrder => {}
        }
        add(&counts.delivered, 1);
        if self.measuring.get() {
            add(&counts.measured_delivered, 1);
            self.latency.borrow_mut().saturating_record(now.saturating_sub(stamp.sent));
        }
        if let Some(account) = self.publishers.get(stamp.publisher) {
            account.owed.set(account.owed.get().saturating_sub(1));
            add(&account.made, 1);
            account.wake.notify_one();
        }
    }
}

/// A PUBLISH to this topic, its payload to be stamped.
fn template(load: &Load, topic: &str) -> Result<Vec<u8>, BenchError> {
    let publish = Publish {
        qos: load.qos,
        topic: text(topic)?,
        packet_identifier: (load.qos != Qos::AtMostOnce).then_some(PacketIdentifier::MIN),
        payload: vec![b'x'; load.size.max(STAMP)].into(),
        ..Publish::default()
    };
    let mut bytes = Vec::new();
    encode(&Packet::Publish(publish), load.version, &mut bytes)
        .map_err(|error| BenchError::Refused(error.to_string()))?;
    Ok(bytes)
}

/// The numbers of the messages of one topic that came to one subscriber.
#[derive(Clone, Default)]
struct Numbers {
    /// The number after the highest that came.
    next: u64,
    /// Which of the 64 before it came; the lowest bit is the highest number.
    recent: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Came {
    InOrder,
    Late,
    Again,
}

impl Numbers {
    fn came(&mut self, number: u64) -> Came {
        if number >= self.next {
            let ahead = number - self.next + 1;
            self.recent = if ahead < 64 { self.recent << ahead | 1 } else { 1 };
            self.next = number + 1;
            return Came::InOrder;
        }
        let behind = self.next - 1 - number;
        // What is further behind is taken to have come: a broker that late is told of all the same.
        if behind >= 64 || self.recent >> behind & 1 == 1 {
            return Came::Again;
        }
        self.recent |= 1 << behind;
        Came::Late
    }
}

/// What a connection does.
enum Role {
    Publisher(Publisher),
    Subscriber { place: usize, streams: Vec<Numbers> },
}

struct Publisher {
    place: usize,
    /// The topics it serves: every one, or that of its place.
    serves_all: bool,
    turn: usize,
    /// How many deliveries may be owed.
    owed_maximum: u64,
    /// How many messages may be without an answer, and are.
    unanswered_maximum: u32,
    unanswered: u32,
    next_id: u16,
    /// How long there is between two messages, in nanoseconds, and when the next is to be sent; without one at once.
    pace: Option<(f64, f64)>,
}

impl Publisher {
    fn new(load: &Load, world: &World, place: usize, count: usize, receive_maximum: u16) -> Publisher {
        let deliveries: usize = world.topics.iter().map(|topic| topic.heard_by.len()).sum();
        let fan = (deliveries / world.topics.len().max(1)).max(1) as u64;
        #[allow(clippy::cast_precision_loss)] // So many publishers there are not.
        let (place_part, count_part) = (place as f64, count as f64);
        let pace = load.rate.map(|rate| {
            let between = 1e9 * count_part / rate;
            (between, between * place_part / count_part)
        });
        Publisher {
            place,
            serves_all: count == 1,
            turn: 0,
            owed_maximum: u64::from(load.window) * fan,
            unanswered_maximum: load.window.min(receive_maximum.into()),
            unanswered: 0,
            next_id: 0,
            pace,
        }
    }

    /// Writes as many messages as may be on their way.
    fn fill(&mut self, world: &World, out: &mut Vec<u8>) {
        let Some(account) = world.publishers.get(self.place) else { return };
        let now = world.now();
        while world.publishing.get()
            && account.owed.get() < self.owed_maximum
            && self.unanswered < self.unanswered_maximum
            && out.len() < BATCH
        {
            let sent = match &mut self.pace {
                None => now,
                Some((between, due)) => {
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Nanoseconds of a short run.
                    let moment = *due as u64;
                    if moment > now {
                        return;
                    }
                    *due += *between;
                    moment
                }
            };
            self.publish(world, account, out, sent);
        }
    }

    fn publish(&mut self, world: &World, account: &Account, out: &mut Vec<u8>, sent: u64) {
        let place = if self.serves_all { self.turn } else { self.place };
        self.turn = (self.turn + 1) % world.topics.len();
        let topic = &world.topics[place];
        out.extend_from_slice(&topic.template);
        let qos = world.qos;
        let payload = out.len() - world.size;
        Stamp { publisher: self.place, topic: place, number: topic.next.get(), sent }.write(&mut out[payload..]);
        if qos != Qos::AtMostOnce {
            // Before the payload, and before the length of the properties where there are any.
            let at = payload - if world.version == Version::V5 { 3 } else { 2 };
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            out[at..at + 2].copy_from_slice(&self.next_id.to_be_bytes());
            self.unanswered += 1;
        }
        topic.next.set(topic.next.get() + 1);
        let deliveries = topic.heard_by.len() as u64;
        account.owed.set(account.owed.get() + deliveries);
        add(&world.counts.expected, deliveries);
        add(&world.counts.published, 1);
        if world.measuring.get() {
            add(&world.counts.measured_published, 1);
        }
    }

    /// When it has to wake up by itself.
    fn due(&self, world: &World) -> Option<Instant> {
        let (_, due) = self.pace.filter(|_| world.publishing.get())?;
        Some(world.started + Duration::from_secs_f64(due / 1e9))
    }
}

/// Waits until this moment. The runtime's timers tick in milliseconds, and latencies are shorter: the last of them pass awake.
async fn precisely(due: Instant) {
    const COARSE: Duration = Duration::from_millis(2);
    if let Some(early) = due.checked_sub(COARSE) {
        sleep_until(early).await;
    }
    while Instant::now() < due {
        yield_now().await;
    }
}

/// A connection at work.
struct Member {
    world: Rc<World>,
    role: Role,
    /// What waits to be sent, and how much of it is.
    out: Vec<u8>,
    sent: usize,
}

impl Member {
    /// Until everything is over, or the broker ends the connection.
    async fn live(mut self, peer: Peer) {
        let Peer { mut stream, mut reader, .. } = peer;
        let world = self.world.clone();
        let mut buffer = BytesMut::new();
        let mut unflushed = false;
        while !world.over.get() {
            if let Role::Publisher(publisher) = &mut self.role {
                publisher.fill(&world, &mut self.out);
            }
            let due = match &self.role {
                Role::Publisher(publisher) => publisher.due(&world),
                Role::Subscriber { .. } => None,
            };
            let wake = self.wake(&world);
            let paced = async {
                match due {
                    Some(due) => precisely(due).await,
                    None => std::future::pending().await,
                }
            };
            let (mut read_half, mut write_half) = tokio::io::split(&mut stream);
            let (unsent, has_unsent) = (&self.out[self.sent..], self.sent < self.out.len());
            let alive = tokio::select! {
                biased;
                written = write_some(&mut write_half, unsent), if has_unsent || unflushed => match written {
                    Ok(length) => {
                        unflushed = length > 0;
                        self.sent += length;
                        if self.sent == self.out.len() {
                            self.out.clear();
                            self.sent = 0;
                        }
                        true
                    }
                    Err(_) => false,
                },
                read = async { buffer.reserve(READ_SIZE); read_half.read_buf(&mut buffer).await } => match read {
                    Ok(0) | Err(_) => false,
                    Ok(_) => {
                        reader.feed(buffer.split().freeze());
                        let now = world.now();
                        loop {
                            match reader.next_packet(world.version) {
                                Ok(Some(packet)) => self.heard(&world, &packet, now),
                                Ok(None) => break true,
                                Err(_) => break false,
                            }
                        }
                    }
                },
                () = wake.notified() => true,
                () = paced => true,
            };
            if !alive && !world.over.get() {
                return add(&world.counts.closed, 1);
            }
        }
        let mut goodbye = self.out.split_off(self.sent);
        // It can always be written.
        let _ = encode(&Packet::Disconnect(Disconnect::new(Reason::Success)), world.version, &mut goodbye);
        // The broker may be gone, or slow: nothing is measured any more.
        let _ = stream.write_all(&goodbye).await;
        let _ = stream.shutdown().await;
    }

    fn wake<'a>(&self, world: &'a World) -> &'a Notify {
        match &self.role {
            Role::Publisher(publisher) => &world.publishers[publisher.place].wake,
            Role::Subscriber { place, .. } => &world.subscribers[*place],
        }
    }

    fn heard(&mut self, world: &World, packet: &PacketRef<'_>, now: u64) {
        match packet {
            PacketRef::Publish(publish) => {
                answer(publish.qos, publish.packet_identifier, world.version, &mut self.out);
                if let Role::Subscriber { place, streams } = &mut self.role {
                    world.delivered(*place, streams, publish, now);
                }
            }
            PacketRef::Ack(ack) => self.acknowledged(world, ack),
            _ => {}
        }
    }

    fn acknowledged(&mut self, world: &World, ack: &AckRef<'_>) {
        let refused = ack.reason.code() >= 0x80;
        match ack.kind {
            AckKind::PubRel => put_ack(AckKind::PubComp, ack.packet_identifier, world.version, &mut self.out),
            AckKind::PubRec if !refused => {
                put_ack(AckKind::PubRel, ack.packet_identifier, world.version, &mut self.out)
            }
            AckKind::PubAck | AckKind::PubRec | AckKind::PubComp => {
                if let Role::Publisher(publisher) = &mut self.role {
                    publisher.unanswered = publisher.unanswered.saturating_sub(1);
                }
            }
        }
    }
}

/// Writes some of this; of nothing it sees that what was written before leaves.
async fn write_some(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::{Came, Numbers};

    #[test]
    fn what_came_is_told_apart() {
        let mut numbers = Numbers::default();
        let came = [0, 1, 3, 2, 2, 3, 200, 199, 1].map(|number| numbers.came(number));
        use Came::{Again, InOrder, Late};
        assert_eq!(came, [InOrder, InOrder, InOrder, Late, Again, Again, InOrder, Late, Again]);
    }
}
