//! Who may ask, from where, and what browsers are told to refuse.
//!
//! A page of another site can make a browser send requests here. So what changes anything has to carry a header that
//! such a page cannot add without being allowed to (and nobody is), and an `Origin` of our own; and where nobody logs in,
//! the `Host` has to be an address or `localhost`, which no name of another site is (DNS rebinding).

use std::net::{IpAddr, SocketAddr};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::api::Problem;
use super::logins::{Edition, is_right};
use super::{ANSWER_TIME, BODY_MAXIMUM, Web};

/// The header that a request has to carry that changes something.
pub(super) const OURS: HeaderName = HeaderName::from_static("x-simrun");

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerAddress(pub(super) SocketAddr);

/// Who asks; nobody in particular where the door is open.
#[derive(Clone, Debug)]
pub(super) struct User(pub(super) Option<String>);

const SECURITY: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Adds to every answer what browsers are to refuse, and gives up on what takes too long.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(ANSWER_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the broker is too busy to answer").into_response(),
    };
    for (name, value) in SECURITY {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let caching = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(caching);
    response
}

/// Refuses what another site may have made a browser send, and what is too large.
pub(super) async fn same_site(State(web): State<Web>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if web.door.is_open() && !host_is_ours(headers) {
        return Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this broker has no users, so its page is served under an address or localhost alone",
        )
        .into_response();
    }
    let length = text(headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_MAXIMUM) {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 2 MiB").into_response();
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !comes_from_our_page(headers) {
        let why = "a request that changes something needs the header X-Simrun: 1, and no Origin but ours";
        return Problem::new(StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// Whether the host that was asked for is an address or this machine, and so no name that somebody else gives out.
fn host_is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, &header::HOST) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok()
}

fn comes_from_our_page(headers: &HeaderMap) -> bool {
    let marked = headers.contains_key(OURS);
    let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
    let same_site = site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let same_origin = match (text(headers, &header::ORIGIN), text(headers, &header::HOST)) {
        (None, _) => !headers.contains_key(header::ORIGIN),
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    };
    marked && same_site && same_origin
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Lets in who has logged in, or brings a user name and password (HTTP Basic).
pub(super) async fn known(
    State(web): State<Web>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    mut request: Request,
    next: Next,
) -> Response {
    let user = match who(&web, peer.ip(), request.headers()).await {
        Ok(user) => user,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(user);
    next.run(request).await
}

/// Who asks, by what the request carries.
///
/// # Errors
/// Why they are not let in.
pub(super) async fn who(web: &Web, peer: IpAddr, headers: &HeaderMap) -> Result<User, Problem> {
    if web.door.is_open() {
        return Ok(User(None));
    }
    let edition = web.door.edition();
    if let Some(token) = token(headers, web.address)
        && let Some(user) = web.logins.lock().await.user_of(token, edition)
    {
        return Ok(User(Some(user)));
    }
    let Some(credentials) = text(headers, &header::AUTHORIZATION).and_then(|given| given.strip_prefix("Basic ")) else {
        return Err(Problem::log_in(headers.contains_key(OURS)));
    };
    if let Some(user) = web.logins.lock().await.remembered(credentials, edition) {
        return Ok(User(Some(user)));
    }
    let decoded = BASE64_STANDARD.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((user, password)) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')) else {
        return Err(Problem::log_in(false));
    };
    let edition = admit(web, peer, user, password).await?;
    web.logins.lock().await.remember(credentials, user, edition);
    Ok(User(Some(user.to_owned())))
}

/// Looks whether a password is right and its user may see everything, and says by which edition of the door. Who has failed
/// before waits for the answer.
///
/// # Errors
/// Why they are not let in.
pub(super) async fn admit(web: &Web, peer: IpAddr, user: &str, password: &str) -> Result<Edition, Problem> {
    // Of before the question: what changes meanwhile ends the login.
    let edition = web.door.edition();
    if web.door.is_open() {
        return Ok(edition);
    }
    let penalty = web.logins.lock().await.penalty(peer);
    tokio::time::sleep(penalty).await;
    if !is_right(&web.control, user.to_owned(), Bytes::copy_from_slice(password.as_bytes())).await {
        web.logins.lock().await.failed(peer);
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "the user name or the password is wrong"));
    }
    web.logins.lock().await.succeeded(peer);
    let name = user.to_owned();
    match web.control.ask(move |broker, _| broker.is_operator(&name)).await {
        Some(true) => Ok(edition),
        Some(false) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "this page shows everything, and an access rule denies this user something",
        )),
        None => Err(Problem::ended()),
    }
}

/// The name of our cookie: browsers share cookies among the ports of a host.
pub(super) fn cookie_name(address: SocketAddr) -> String {
    format!("simrun_{}", address.port())
}

/// The token of a login that the request carries.
pub(super) fn token(headers: &HeaderMap, address: SocketAddr) -> Option<&str> {
    let name = cookie_name(address);
    let cookies = text(headers, &header::COOKIE)?;
    cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix(&*name)?.strip_prefix('='))
}
