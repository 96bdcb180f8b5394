//! Views and actions as JSON. What is wrong with a request is answered with `{"error": "…"}`.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::guard::{self, PeerAddress, User};
use super::rates::Sample;
use super::{Web, metrics};
use crate::broker::Broker;
use crate::broker::inspect::{self, Page, Search};
use crate::codec::Qos;
use crate::time::Time;

/// How many items a page has if the request does not say.
const USUAL: usize = 50;
/// How much of a payload is shown of a message that is looked at alone, in bytes.
const SHOWN: usize = 64 * 1024;
/// How often a search goes on before its page is full: each time looks at many sessions.
const STRETCHES: usize = 100;

/// Why a request is not answered as it wishes.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
    /// Whether a browser is to ask for a user name and password itself.
    ask: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Problem {
        Problem { status, error: error.into(), ask: false }
    }

    /// Nobody has logged in; the page has a form for that.
    pub(super) fn log_in(page: bool) -> Problem {
        let error = "log in first, or bring a user name and password of the broker (HTTP Basic)".into();
        Problem { status: StatusCode::UNAUTHORIZED, error, ask: !page }
    }

    pub(super) fn ended() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the broker has ended")
    }

    fn nothing(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.error }))).into_response();
        if self.ask {
            let scheme = HeaderValue::from_static("Basic realm=\"simrun\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

/// A request's JSON; what is wrong with it is said as JSON.
pub(super) struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let Json(body) = Json::from_request(request, state).await?;
        Ok(Body(body))
    }
}

/// A request's query; what is wrong with it is said as JSON.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Query(query))
    }
}

pub(super) type Answer<T> = Result<Json<T>, Problem>;

/// What the broker's thread makes of this.
pub(super) async fn ask<T: Send + 'static>(
    web: &Web,
    ask: impl FnOnce(&mut Broker, Time) -> T + Send + 'static,
) -> Result<T, Problem> {
    web.control.ask(ask).await.ok_or_else(Problem::ended)
}

/// What a page of a list is asked for with.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    after: Option<String>,
    #[serde(default)]
    search: String,
    limit: Option<usize>,
    client: Option<String>,
    #[serde(default)]
    offline: bool,
}

impl Listing {
    fn search(&self) -> Search {
        Search {
            after: self.after.clone(),
            contains: self.search.clone(),
            most: self.limit.unwrap_or(USUAL).clamp(1, inspect::PAGE_MAXIMUM),
        }
    }
}

/// One page, put together from as many looks as it takes; between them the broker does its work.
async fn page<T: Send + 'static>(
    web: &Web,
    mut search: Search,
    look: impl Fn(&Broker, &Search, Time) -> Page<T> + Clone + Send + 'static,
) -> Answer<Page<T>> {
    let mut all = Page { items: Vec::new(), next: None };
    for _ in 0..STRETCHES {
        let (look, part) = (look.clone(), search.clone());
        let found = ask(web, move |broker, now| look(broker, &part, now)).await?;
        search.most = search.most.saturating_sub(found.items.len());
        search.after.clone_from(&found.next);
        all.items.extend(found.items);
        all.next = found.next;
        if all.next.is_none() || search.most == 0 {
            break;
        }
    }
    Ok(Json(all))
}

// ---- who is there ----

#[derive(Serialize)]
pub(super) struct Hello {
    /// Whether one has to log in first.
    login: bool,
    user: Option<String>,
    /// Whether one can log out.
    users: bool,
}

/// Whether one has to log in. Anyone may ask.
pub(super) async fn hello(
    State(web): State<Web>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Json<Hello> {
    let known = guard::who(&web, peer.ip(), &headers).await;
    let login = known.is_err();
    Json(Hello { login, user: known.ok().and_then(|User(user)| user), users: !web.door.is_open() })
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    user: String,
    password: String,
}

pub(super) async fn login(
    State(web): State<Web>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    Body(Credentials { user, password }): Body<Credentials>,
) -> Result<Response, Problem> {
    let edition = guard::admit(&web, peer.ip(), &user, &password).await?;
    let token = web.logins.lock().await.log_in(&user, edition);
    let token = token.map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let name = guard::cookie_name(web.address);
    let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200");
    Ok(([(header::SET_COOKIE, cookie)], Json(json!({ "user": user }))).into_response())
}

pub(super) async fn logout(State(web): State<Web>, headers: HeaderMap) -> Response {
    if let Some(token) = guard::token(&headers, web.address) {
        web.logins.lock().await.log_out(token);
    }
    let cookie = format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", guard::cookie_name(web.address));
    ([(header::SET_COOKIE, cookie)], Json(json!({}))).into_response()
}

// ---- what there is ----

pub(super) async fn overview(
    State(web): State<Web>,
    Extension(User(user)): Extension<User>,
) -> Answer<serde_json::Value> {
    let (totals, backlog, up) = ask(&web, |broker, now| (broker.totals(), broker.backlog(), now.since_start())).await?;
    let counters = totals.counters;
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "user": user,
        "users": !web.door.is_open(),
        "uptime": up.as_secs(),
        "memory": metrics::resident_bytes(),
        "connected": counters.connected,
        "connected_maximum": counters.connected_maximum,
        "connections": totals.connections,
        "sessions": totals.sessions,
        "subscriptions": totals.subscriptions,
        "retained": totals.retained,
        "queued": backlog.queued,
        "inflight": backlog.inflight,
        "packets_received": counters.packets.received.number,
        "packets_sent": counters.packets.sent.number,
        "bytes_received": counters.packets.received.bytes,
        "bytes_sent": counters.packets.sent.bytes,
        "publishes_received": counters.publishes.received.number,
        "publishes_sent": counters.publishes.sent.number,
        "dropped": counters.dropped,
        "accepted": counters.accepted,
        "refused": counters.refused,
        "expired": counters.expired,
    })))
}

#[derive(Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    after: u64,
}

/// One number a second for each kind of traffic.
pub(super) async fn rates(State(web): State<Web>, Query(since): Query<Since>) -> Json<Vec<Sample>> {
    Json(web.rates.after(since.after).await)
}

pub(super) async fn clients(
    State(web): State<Web>,
    Query(listing): Query<Listing>,
) -> Answer<Page<inspect::ClientView>> {
    page(&web, listing.search(), |broker, search, now| broker.clients(search, now)).await
}

#[derive(Deserialize)]
pub(super) struct OfClient {
    id: String,
}

/// One client: its connection, if it has one, and its session.
pub(super) async fn client(State(web): State<Web>, Query(of): Query<OfClient>) -> Answer<serde_json::Value> {
    let found = ask(&web, move |broker, now| Some((broker.client(&of.id, now), broker.session(&of.id, now)?))).await?;
    let (client, session) = found.ok_or_else(|| Problem::nothing("client"))?;
    Ok(Json(json!({ "client": client, "session": session })))
}

pub(super) async fn sessions(
    State(web): State<Web>,
    Query(listing): Query<Listing>,
) -> Answer<Page<inspect::SessionView>> {
    let offline = listing.offline;
    page(&web, listing.search(), move |broker, search, now| broker.session_list(search, offline, now)).await
}

pub(super) async fn subscriptions(
    State(web): State<Web>,
    Query(listing): Query<Listing>,
) -> Answer<Page<inspect::SubscriptionView>> {
    let of = listing.client.clone();
    page(&web, listing.search(), move |broker, search, _| broker.subscription_list(search, of.as_deref())).await
}

#[derive(Deserialize)]
pub(super) struct Branch {
    /// The topic below which to look; left out, the first level.
    below: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn retained(
    State(web): State<Web>,
    Query(branch): Query<Branch>,
) -> Answer<Page<inspect::BranchView>> {
    let most = branch.limit.unwrap_or(USUAL);
    let look = move |broker: &mut Broker, now| {
        broker.retained_level(branch.below.as_deref(), branch.after.as_deref(), most, now)
    };
    ask(&web, look).await.map(Json)
}

#[derive(Deserialize)]
pub(super) struct OfTopic {
    topic: String,
}

pub(super) async fn retained_message(
    State(web): State<Web>,
    Query(of): Query<OfTopic>,
) -> Answer<inspect::MessageView> {
    let found = ask(&web, move |broker, now| broker.retained_message(&of.topic, SHOWN, now)).await?;
    found.map(Json).ok_or_else(|| Problem::nothing("retained message"))
}

// ---- what is done ----

#[derive(Deserialize)]
pub(super) struct ClientId {
    client_id: String,
}

pub(super) async fn disconnect(State(web): State<Web>, Body(of): Body<ClientId>) -> Answer<serde_json::Value> {
    let done = ask(&web, move |broker, now| broker.disconnect(now, &of.client_id)).await?;
    if done { Ok(Json(json!({}))) } else { Err(Problem::nothing("client")) }
}

pub(super) async fn end_session(State(web): State<Web>, Body(of): Body<ClientId>) -> Answer<serde_json::Value> {
    let done = ask(&web, move |broker, now| broker.end_session_of(now, &of.client_id)).await?;
    if done { Ok(Json(json!({}))) } else { Err(Problem::nothing("session")) }
}

pub(super) async fn delete_retained(State(web): State<Web>, Body(of): Body<OfTopic>) -> Answer<serde_json::Value> {
    let done = ask(&web, move |broker, now| broker.delete_retained(now, &of.topic)).await?;
    if done { Ok(Json(json!({}))) } else { Err(Problem::nothing("retained message")) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publication {
    topic: String,
    /// The payload as text …
    payload: Option<String>,
    /// … or any bytes, in base 64.
    base64: Option<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
}

pub(super) async fn publish(State(web): State<Web>, Body(wanted): Body<Publication>) -> Answer<serde_json::Value> {
    let bad = |error: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error);
    let payload = match (wanted.payload, wanted.base64) {
        (Some(_), Some(_)) => return Err(bad("payload and base64 are both there; one is enough".into())),
        (text, None) => text.unwrap_or_default().into_bytes(),
        (None, Some(coded)) => BASE64_STANDARD.decode(coded).map_err(|error| bad(format!("base64: {error}")))?,
    };
    let qos = match wanted.qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => Qos::ExactlyOnce,
        other => return Err(bad(format!("qos {other}: it is 0, 1 or 2"))),
    };
    let publish = move |broker: &mut Broker, now| {
        broker.publish_from_operator(now, &wanted.topic, payload.into(), qos, wanted.retain)
    };
    let reached = ask(&web, publish).await?.map_err(|error| bad(error.to_string()))?;
    Ok(Json(json!({ "subscribers": reached })))
}

/// How often streams send what has come together.
pub(super) const BEAT: Duration = Duration::from_millis(150);
