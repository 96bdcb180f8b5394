//! Packets and messages as they pass, as server-sent events: each event is a JSON list of what came together.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event as Beat, KeepAlive, Sse};
use futures_util::future::BoxFuture;
use futures_util::stream::TakeUntil;
use futures_util::{FutureExt, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Web;
use super::api::{BEAT, Problem, Query, ask};
use crate::broker::inspect::message_view;
use crate::broker::{ListenerId, SessionChange};
use crate::codec::{Auth, Packet, PacketType, Properties, Text, Version, decode};
use crate::link::LinkId;
use crate::topic::{TopicFilter, TopicName};
use crate::trace::{Event, Transfer, What, describe};

/// How many packets one event holds; more than that in a beat are counted only.
const PACKETS: usize = 200;
/// How many messages one event holds.
const MESSAGES: usize = 500;
/// How much of a message's payload is shown, in bytes.
const SHOWN: usize = 2_048;
/// How many retained messages a stream begins with.
const RETAINED: usize = 200;
/// How many filters a stream may have.
const FILTERS: usize = 50;
/// How long a stream lasts. A browser opens it again by itself; one that is not read does not stay for ever.
const LASTS: std::time::Duration = std::time::Duration::from_secs(60 * 60);
/// How many aliases and names are remembered.
const REMEMBERED: usize = 100_000;

type Beats = Sse<axum::response::sse::KeepAliveStream<TakeUntil<Receiving, BoxFuture<'static, ()>>>>;

/// The events of one stream, and its place among the streams.
pub(super) struct Receiving {
    beats: mpsc::Receiver<Beat>,
    _place: OwnedSemaphorePermit,
}

impl Stream for Receiving {
    type Item = Result<Beat, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.beats.poll_recv(context).map(|beat| beat.map(Ok))
    }
}

/// A new stream, if there is a place for one: where its events are put, and the answer. It ends when others are let in than
/// now: whoever still is opens it again.
fn open(web: &Web) -> Result<(mpsc::Sender<Beat>, Beats), Problem> {
    let place = web.streams.clone().try_acquire_owned();
    let place =
        place.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open; close a page"))?;
    let (put, beats) = mpsc::channel(4);
    let (door, edition) = (web.door.clone(), web.door.edition());
    let over = async move { door.changed_since(edition).await }.boxed();
    let beats = Receiving { beats, _place: place }.take_until(over);
    Ok((put, Sse::new(beats).keep_alive(KeepAlive::default())))
}

fn beat(of: &impl Serialize) -> Beat {
    // What is made of our own types can be written.
    Beat::default().data(serde_json::to_string(of).unwrap_or_default())
}

// ---- packets ----

/// Which packets are wanted. What is left out applies to all.
#[derive(Deserialize)]
pub(super) struct PacketFilter {
    /// What the client identifier contains.
    #[serde(default)]
    client: String,
    /// Packet types by the standard's names, with commas between them.
    #[serde(default)]
    types: String,
    /// A topic filter for PUBLISH; others are left out then.
    #[serde(default)]
    topic: String,
}

/// The same, understood.
struct Wanted {
    client: String,
    types: Vec<String>,
    topic: Option<TopicFilter>,
}

impl TryFrom<PacketFilter> for Wanted {
    type Error = Problem;

    fn try_from(filter: PacketFilter) -> Result<Wanted, Problem> {
        let topic = match filter.topic.as_str() {
            "" => None,
            topic => Some(filter_of(topic)?),
        };
        let types = filter.types.split(',').filter(|word| !word.is_empty()).map(str::to_ascii_uppercase).collect();
        Ok(Wanted { client: filter.client.to_lowercase(), types, topic })
    }
}

fn filter_of(text: &str) -> Result<TopicFilter, Problem> {
    let refused = |error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the topic filter {text}: {error}"));
    TopicFilter::try_from(text).map_err(refused)
}

/// One line of the timeline.
#[derive(Serialize)]
struct Line {
    /// Milliseconds since the broker began.
    at: u64,
    link: u64,
    client: String,
    /// `in` from the client, `out` to it; empty for what is no packet.
    way: &'static str,
    kind: String,
    text: String,
    topic: Option<String>,
    size: usize,
}

pub(super) async fn packets(State(web): State<Web>, Query(filter): Query<PacketFilter>) -> Result<Beats, Problem> {
    let wanted = Wanted::try_from(filter)?;
    let (put, beats) = open(&web)?;
    let events = web.control.watch().await;
    tokio::spawn(Timeline { web, wanted, clients: BTreeMap::new(), aliases: BTreeMap::new() }.run(events, put));
    Ok(beats)
}

struct Timeline {
    web: Web,
    wanted: Wanted,
    /// Who is at the other end of each connection.
    clients: BTreeMap<LinkId, String>,
    /// What topic aliases stand for, by connection and direction.
    aliases: BTreeMap<(LinkId, bool, u16), Text>,
}

impl Timeline {
    async fn run(mut self, mut events: mpsc::Receiver<Arc<Event>>, put: mpsc::Sender<Beat>) {
        let ends = Instant::now() + LASTS;
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut lines, mut missed) = (Vec::new(), 0_u64);
        if put.send(beat(&json!({ "lines": [], "missed": 0 }))).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return };
                    match self.line(&event, lines.len() < PACKETS).await {
                        Some(Some(line)) => lines.push(line),
                        Some(None) => missed += 1,
                        None => {}
                    }
                }
                _ = ticks.tick() => {
                    if Instant::now() > ends {
                        return;
                    }
                    if lines.is_empty() && missed == 0 && !put.is_closed() {
                        continue;
                    }
                    let full = json!({ "lines": std::mem::take(&mut lines), "missed": std::mem::take(&mut missed) });
                    if put.send(beat(&full)).await.is_err() {
                        return;
                    }
                }
                () = put.closed() => return,
            }
        }
    }

    /// The line for an event, if it is wanted: `Some(None)` if there is no room for it.
    async fn line(&mut self, event: &Event, room: bool) -> Option<Option<Line>> {
        let at = u64::try_from(event.time.since_start().as_millis()).unwrap_or(u64::MAX);
        let line = |link: LinkId, client: String, kind: &str, text: String| Line {
            at,
            link: link.0,
            client,
            way: "",
            kind: kind.to_owned(),
            text,
            topic: None,
            size: 0,
        };
        match &event.what {
            What::Arrived(transfer) => self.packet(transfer, true, at, room).await,
            What::Left(transfer) if &*transfer.from == "broker" => self.packet(transfer, false, at, room).await,
            What::Opened { link, client, .. } if self.wants("OPENED") && self.wanted.client.is_empty() => {
                Some(room.then(|| line(*link, client.to_string(), "OPENED", format!("connection from {client}"))))
            }
            What::Closed { link, cause, .. } => {
                let client = self.name(*link).await;
                self.forget(*link);
                let wanted = self.wants("CLOSED") && self.client_is_wanted(&client);
                wanted.then(|| room.then(|| line(*link, client, "CLOSED", cause.to_string())))
            }
            What::Session { client_id, change } if self.wants("SESSION") && self.client_is_wanted(client_id) => {
                let text = match change {
                    SessionChange::Made => "session made",
                    SessionChange::Restored => "session read from the disk",
                    SessionChange::Resumed => "session taken up again",
                    SessionChange::Ended => "session ended",
                };
                Some(room.then(|| line(LinkId(0), client_id.clone(), "SESSION", text.to_owned())))
            }
            _ => None,
        }
    }

    async fn packet(&mut self, transfer: &Transfer, inward: bool, at: u64, room: bool) -> Option<Option<Line>> {
        let link = transfer.link;
        let kind = transfer.bytes.first().and_then(|first| PacketType::from_number(first >> 4));
        let name = kind.map_or("MALFORMED", |kind| kind.name());
        let introduces = matches!(kind, Some(PacketType::Connect | PacketType::ConnAck));
        let aliased = kind == Some(PacketType::Publish) && transfer.version == Version::V5;
        let wanted = self.wants(name);
        if !wanted && !introduces && !aliased {
            return None;
        }
        let decoded = decode(transfer.version, &transfer.bytes).ok();
        let mut topic = None;
        match &decoded {
            Some(Packet::Connect(connect)) if !connect.client_id.is_empty() => {
                self.introduce(link, connect.client_id.to_string());
            }
            Some(Packet::ConnAck(connack)) => {
                if let Some(assigned) = connack.properties.assigned_client_identifier() {
                    self.introduce(link, assigned.to_string());
                }
            }
            Some(Packet::Publish(publish)) => {
                topic = Some(self.topic(link, inward, &publish.topic, publish.properties.topic_alias()));
            }
            _ => {}
        }
        if !wanted || !self.topic_is_wanted(topic.as_deref()) {
            return None;
        }
        let client = self.name(link).await;
        if !self.client_is_wanted(&client) {
            return None;
        }
        if !room {
            return Some(None);
        }
        let text = match &decoded {
            // What it proves a password with stays out.
            Some(Packet::Auth(auth)) => {
                describe(&Packet::Auth(Auth { reason: auth.reason, properties: Properties::new() }))
            }
            Some(packet) => describe(packet),
            None => format!("{} bytes that are no packet", transfer.bytes.len()),
        };
        Some(Some(Line {
            at,
            link: link.0,
            client,
            way: if inward { "in" } else { "out" },
            kind: name.to_owned(),
            text: text.strip_prefix(name).unwrap_or(&text).trim_start().to_owned(),
            topic,
            size: transfer.bytes.len(),
        }))
    }

    fn introduce(&mut self, link: LinkId, client_id: String) {
        if self.clients.len() < REMEMBERED {
            self.clients.insert(link, client_id);
        }
    }

    /// The client identifier of a connection, or `link …` while it has none.
    async fn name(&mut self, link: LinkId) -> String {
        if let Some(name) = self.clients.get(&link) {
            return name.clone();
        }
        match ask(&self.web, move |broker, _| broker.client_of(link)).await {
            Ok(Some((client_id, _))) => {
                self.introduce(link, client_id.to_string());
                client_id.to_string()
            }
            _ => link.to_string(),
        }
    }

    fn topic(&mut self, link: LinkId, inward: bool, topic: &Text, alias: Option<u16>) -> String {
        let Some(alias) = alias else { return topic.to_string() };
        let key = (link, inward, alias);
        if topic.is_empty() {
            return self.aliases.get(&key).map_or_else(|| format!("alias {alias}"), ToString::to_string);
        }
        if self.aliases.len() < REMEMBERED {
            self.aliases.insert(key, topic.detached());
        }
        topic.to_string()
    }

    fn forget(&mut self, link: LinkId) {
        self.clients.remove(&link);
        let of_it: Vec<_> =
            self.aliases.range((link, false, 0)..=(link, true, u16::MAX)).map(|(key, _)| *key).collect();
        for key in of_it {
            self.aliases.remove(&key);
        }
    }

    fn wants(&self, kind: &str) -> bool {
        let named = self.wanted.types.is_empty() || self.wanted.types.iter().any(|wanted| wanted == kind);
        named && (self.wanted.topic.is_none() || kind == PacketType::Publish.name())
    }

    fn client_is_wanted(&self, client: &str) -> bool {
        self.wanted.client.is_empty() || client.to_lowercase().contains(&self.wanted.client)
    }

    fn topic_is_wanted(&self, topic: Option<&str>) -> bool {
        let Some(filter) = &self.wanted.topic else { return true };
        topic.and_then(|topic| TopicName::try_from(topic).ok()).is_some_and(|topic| filter.matches(&topic))
    }
}

// ---- messages ----

#[derive(Deserialize)]
pub(super) struct MessageFilter {
    /// Topic filters, one in a line.
    filters: String,
}

pub(super) async fn messages(State(web): State<Web>, Query(wanted): Query<MessageFilter>) -> Result<Beats, Problem> {
    let lines = wanted.filters.lines().filter(|line| !line.is_empty()).take(FILTERS);
    let filters = lines.map(filter_of).collect::<Result<Vec<_>, _>>()?;
    let (put, beats) = open(&web)?;
    let retained = filters.clone();
    let begin = move |broker: &mut crate::broker::Broker, now| {
        let listener = broker.listen(filters, now)?;
        let mut found = Vec::new();
        for filter in &retained {
            found.extend(broker.retained_matching(filter, RETAINED - found.len(), now));
        }
        let views = found.iter().map(|message| message_view(message, SHOWN, now)).collect::<Vec<_>>();
        let at = u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX);
        Some((listener, views.into_iter().map(move |view| json!({ "at": at, "message": view })).collect::<Vec<_>>()))
    };
    let Some((listener, found)) = ask(&web, begin).await? else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many listen already; close a page"));
    };
    tokio::spawn(async move {
        let first = beat(&json!({ "messages": found, "missed": 0 }));
        if put.send(first).await.is_ok() {
            relay(&web, listener, put).await;
        }
        // It fails only if the broker has ended.
        let _ = web.control.ask(move |broker, _| broker.stop_listening(listener)).await;
    });
    Ok(beats)
}

/// Passes on what is heard until nobody wants it any more.
async fn relay(web: &Web, listener: ListenerId, put: mpsc::Sender<Beat>) {
    let ends = Instant::now() + LASTS;
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < ends {
        tokio::select! {
            _ = ticks.tick() => {}
            () = put.closed() => return,
        }
        let fetch = move |broker: &mut crate::broker::Broker, now| {
            let heard = broker.heard(listener, now)?;
            let more = heard.messages.len().saturating_sub(MESSAGES) as u64;
            let views = heard.messages.into_iter().take(MESSAGES).map(|(came, message)| {
                let at = u64::try_from(came.since_start().as_millis()).unwrap_or(u64::MAX);
                json!({ "at": at, "message": message_view(&message, SHOWN, now) })
            });
            Some((views.collect::<Vec<_>>(), heard.missed + more))
        };
        let Some(Some((messages, missed))) = web.control.ask(fetch).await else { return };
        if messages.is_empty() && missed == 0 {
            continue;
        }
        if put.send(beat(&json!({ "messages": messages, "missed": missed }))).await.is_err() {
            return;
        }
    }
}
