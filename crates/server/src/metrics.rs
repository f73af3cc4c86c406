//! Metrics over HTTP, for Prometheus and for whoever keeps the process running.
//!
//! * `/metrics`: every figure, as text ([`families`]).
//! * `/healthz`: 200 when the Broker answers, 503 when it does not within a second.
//! * `/readyz`: 200, and 503 from the moment the server shuts down.
//!
//! Everything here is bounded: connections, the bytes and the time of a request, and the life of a
//! connection. No TLS and no password: it is off by default, and listens where it is told to.

mod exposition;
mod families;
mod visitors;

use crate::listener::why_not_accepted;
use crate::notices::Kind;
use crate::process::{self, Process};
use crate::server::Doors;
use crate::snapshot::Snapshot;
use aldis_broker::{Answer, Command};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use visitors::{Asks, Visitors};

/// Connections at one time. A few scrapers and probes have one or two each; for one more the one is closed
/// that has asked nothing for longest, so that nobody who merely holds connections open keeps a probe
/// waiting.
const CONNECTIONS: usize = 32;
/// Time for the head of a request, the pause before it on a kept connection included.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of a request's head: more than any scraper sends.
const HEAD_BYTES: usize = 16 << 10;
/// The life of a connection, whatever happens on it: one that never reads its answer must not keep
/// one of the places for ever.
const LIFE: Duration = Duration::from_secs(60);
/// Time for the answer that is under way at the end of that.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Time for the Broker to answer before it counts as ill. Its steps take well under a millisecond.
const ANSWER: Duration = Duration::from_secs(1);
/// How long accepting rests when the system has nothing left to accept with (file descriptors).
const REST: Duration = Duration::from_millis(100);

/// Serves metrics, also while the server shuts down, until no client is left.
pub(crate) async fn serve(listener: TcpListener, doors: Arc<Doors>) {
    let mut visitors = Visitors::default();
    let open_files = process::open_files_limit();
    let mut over = pin!(over(&doors));
    loop {
        // The end first; then what makes room for more.
        tokio::select! {
            biased;
            () = &mut over => return,
            () = visitors.leave() => {}
            accepted = listener.accept() => match accepted {
                // If all are being answered at this moment, the new one is closed.
                Ok((stream, _)) => if visitors.make_room(CONNECTIONS) {
                    visitors.enter(|busy| serve_one(stream, busy, Arc::clone(&doors)));
                },
                Err(error) => {
                    let why = why_not_accepted(&error, open_files);
                    doors
                        .notices
                        .warn(Kind::AcceptMetrics, format_args!("cannot accept connections for metrics: {why}"));
                    sleep(REST).await;
                }
            }
        }
    }
}

/// Resolves when the server has shut down and its last client is gone.
async fn over(doors: &Doors) {
    doors.closing().await;
    while doors.places.counts().open() > 0 {
        // Nobody announces the last one; this runs once in a life.
        sleep(Duration::from_secs(1)).await;
    }
}

async fn serve_one(stream: TcpStream, asks: Arc<Asks>, doors: Arc<Doors>) {
    let service = service_fn(move |request| {
        let (doors, asks) = (Arc::clone(&doors), Arc::clone(&asks));
        async move {
            asks.begin();
            let answer = answer(&request, &doors).await;
            asks.end();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    if timeout(LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        // How a scraper's connection ends is of no interest: it asks again.
        let _ = timeout(LAST_ANSWER, connection).await;
    }
}

/// The answer to a request. What its body holds does not matter: it is not read.
async fn answer<B>(request: &Request<B>, doors: &Doors) -> Response<String> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused =
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => text(StatusCode::OK, scrape(doors)),
        "/healthz" => health(doors).await,
        "/readyz" if doors.is_closing() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the broker is shutting down\n".to_owned())
        }
        "/readyz" => text(StatusCode::OK, "ready\n".to_owned()),
        _ => text(
            StatusCode::NOT_FOUND,
            "there is nothing here; ask for /metrics, /healthz or /readyz\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn scrape(doors: &Doors) -> String {
    let (snapshot, process) = (Snapshot::take(doors), Process::look());
    // Copied, so that the lock is not held while the text is written.
    let trends = doors.trends.lock().clone();
    families::exposition(&snapshot, &trends, &process)
}

/// Whether the Broker answers. It is asked to retain nothing, which it does and says so.
async fn health(doors: &Doors) -> Response<String> {
    health_by(doors.broker.ask(|reply| Command::Retain { publications: Vec::new(), reply })).await
}

async fn health_by(asked: impl Future<Output = Option<Answer>>) -> Response<String> {
    match timeout(ANSWER, asked).await {
        Ok(Some(_)) => text(StatusCode::OK, "ok\n".to_owned()),
        Ok(None) => text(StatusCode::SERVICE_UNAVAILABLE, "the broker has stopped\n".to_owned()),
        Err(_) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the broker has not answered within {} s\n", ANSWER.as_secs()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, StatusCode, health_by};

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_ill() {
        let healthy = health_by(async { Some(Answer::Retained(Vec::new())) }).await;
        assert_eq!((healthy.status(), healthy.body().as_str()), (StatusCode::OK, "ok\n"));
        let silent = health_by(std::future::pending()).await;
        assert_eq!(silent.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(silent.body(), "the broker has not answered within 1 s\n");
        let gone = health_by(async { None }).await;
        assert_eq!(gone.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
