//! The web page of a running broker, and what it is made of: JSON under `/api`, streams of packets and messages, numbers
//! for Prometheus, a health check.
//!
//! | file | what |
//! |---|---|
//! | `mod` | connections and routes |
//! | `guard` | who may ask, from where, and what browsers are told to refuse |
//! | `logins` | who has logged in |
//! | `api` | views and actions as JSON |
//! | `stream` | packets and messages as they pass |
//! | `rates` | the numbers of the last minutes |
//! | `metrics` | the numbers for Prometheus |
//! | `page/` | the page itself, served as it is |
//!
//! Whatever a client chose (identifiers, topics, payloads) goes out as JSON alone, and the page puts it in as text.

mod api;
mod guard;
mod logins;
mod metrics;
mod rates;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};

use super::Control;
use guard::PeerAddress;
use logins::Logins;
use rates::Rates;

pub use logins::Door;

/// How many connections there may be at once.
const CONNECTIONS: usize = 256;
/// How many of them may be streams.
const STREAMS: usize = 64;
/// How long a request's head may take to come.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long its answer may take to begin.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// How large a request may be, in bytes: a payload of a MiB, and its JSON.
const BODY_MAXIMUM: usize = 2 * 1024 * 1024;
/// How long to wait before accepting again after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the broker may take to show that it is there.
const HEALTHY: Duration = Duration::from_secs(2);

/// What every request may need.
#[derive(Clone)]
struct Web(Arc<Shared>);

struct Shared {
    control: Control,
    door: Door,
    logins: Mutex<Logins>,
    rates: Rates,
    streams: Arc<Semaphore>,
    /// Where it listens.
    address: SocketAddr,
}

impl std::ops::Deref for Web {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Serves the page to whom the door lets in, until the broker has ended.
pub async fn serve(listener: TcpListener, control: Control, door: Door) {
    let Ok(address) = listener.local_addr() else { return };
    let web = Web(Arc::new(Shared {
        control,
        door,
        logins: Mutex::new(Logins::default()),
        rates: Rates::default(),
        streams: Arc::new(Semaphore::new(STREAMS)),
        address,
    }));
    let router = router(web.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let service = router.clone().layer(Extension(PeerAddress(peer)));
                    tokio::spawn(async move {
                        attend(stream, service).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = rates::sample(&web) => {}
    }
}

async fn attend(stream: TcpStream, router: Router) {
    // Events are small, and somebody waits for them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A browser that goes away in the middle is nobody's concern.
    let _ = connection.await;
}

fn router(web: Web) -> Router {
    let guarded = Router::new()
        .route("/api/overview", get(api::overview))
        .route("/api/rates", get(api::rates))
        .route("/api/clients", get(api::clients))
        .route("/api/client", get(api::client))
        .route("/api/clients/disconnect", post(api::disconnect))
        .route("/api/sessions", get(api::sessions))
        .route("/api/sessions/end", post(api::end_session))
        .route("/api/subscriptions", get(api::subscriptions))
        .route("/api/retained", get(api::retained))
        .route("/api/retained/message", get(api::retained_message))
        .route("/api/retained/delete", post(api::delete_retained))
        .route("/api/publish", post(api::publish))
        .route("/api/packets", get(stream::packets))
        .route("/api/messages", get(stream::messages))
        .route("/metrics", get(metrics::metrics))
        .layer(middleware::from_fn_with_state(web.clone(), guard::known));
    Router::new()
        .route("/api/hello", get(api::hello))
        .route("/api/login", post(api::login))
        .route("/api/logout", post(api::logout))
        .route("/healthz", get(healthz))
        .merge(files())
        .merge(guarded)
        .fallback(|| async { api::Problem::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(DefaultBodyLimit::max(BODY_MAXIMUM))
        .layer(middleware::from_fn_with_state(web.clone(), guard::same_site))
        .layer(middleware::from_fn(guard::headers))
        .with_state(web)
}

/// The page, as it lies beside this file.
fn files() -> Router<Web> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    let files = [
        ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
        ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
        ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
        ("/theme.js", SCRIPT, include_str!("page/theme.js")),
        ("/app.js", SCRIPT, include_str!("page/app.js")),
        ("/dom.js", SCRIPT, include_str!("page/dom.js")),
        ("/charts.js", SCRIPT, include_str!("page/charts.js")),
        ("/overview.js", SCRIPT, include_str!("page/overview.js")),
        ("/lists.js", SCRIPT, include_str!("page/lists.js")),
        ("/topics.js", SCRIPT, include_str!("page/topics.js")),
        ("/live.js", SCRIPT, include_str!("page/live.js")),
    ];
    files
        .into_iter()
        .fold(Router::new(), |router, (path, kind, text)| router.route(path, get(move || page(kind, text))))
}

async fn page(kind: &'static str, text: &'static str) -> Response {
    // A newer program has a newer page.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// Whether the broker answers. Anyone may ask.
async fn healthz(State(web): State<Web>) -> Response {
    match tokio::time::timeout(HEALTHY, web.control.ask(|_, _| ())).await {
        Ok(Some(())) => (StatusCode::OK, "ok\n").into_response(),
        Ok(None) => (StatusCode::SERVICE_UNAVAILABLE, "the broker has ended\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the broker does not answer\n").into_response(),
    }
}
