//! Decides what operators and probes see: `/livez`, `/readyz` and `/metrics`, on a listener apart
//! from the public one.
//!
//! The relay and the agent bind it first and stop it last, so that a drain can be watched. These
//! three ask nobody who he is; a caller's own routes may, by what [`Asker`] tells of him.

mod port;
mod readiness;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use self::port::Port;
pub use self::port::{Asker, Way};
pub use self::readiness::{Condition, Readiness};
use crate::net::{Listener, ReusePort, listen};
use crate::tls::ServerTls;

/// The admin listener, bound but not yet served.
#[derive(Debug)]
pub struct Admin {
    port: Port,
    local_addr: SocketAddr,
    router: Router,
}

impl Admin {
    /// Binds `addr` and builds the routes; `extra` adds the caller's own, and answers for paths that are none. Without `tls` it speaks plain
    /// HTTP.
    ///
    /// # Errors
    /// When the address cannot be bound.
    ///
    /// # Panics
    /// When `extra` has one of this listener's own paths, or outside a tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        tls: Option<ServerTls>,
        registry: Arc<Registry>,
        readiness: Readiness,
        extra: Option<Router>,
    ) -> io::Result<Self> {
        let listener = Listener::new(listen(addr, ReusePort::Exclusive)?)?;
        let port = Port::new(listener, tls);
        let local_addr = port.local_addr()?;
        Ok(Self {
            port,
            local_addr,
            router: match extra {
                Some(extra) => router(registry, readiness).merge(extra),
                None => router(registry, readiness).fallback(nothing_there),
            },
        })
    }

    /// The address that is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers until `stop` resolves; requests that run then have a second to end.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) {
        // axum leaves its wait for the signal to a task of its own: what that waits for must end with this future, too.
        let (stopping, stopped) = oneshot::channel::<()>();
        let service = self.router.into_make_service_with_connect_info::<Asker>();
        let server = axum::serve(self.port, service).with_graceful_shutdown(async move {
            let _ = stopped.await;
        });
        let overdue = async {
            stop.await;
            drop(stopping);
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            // It cannot fail: our listener's accept never does.
            _ = server.into_future() => {}
            () = overdue => {}
        }
    }
}

fn router(registry: Arc<Registry>, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(|| std::future::ready("live\n")))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(metrics).with_state(registry))
        .method_not_allowed_fallback(other_method)
}

async fn nothing_there() -> (StatusCode, &'static str) {
    let paths = "there is nothing at this path. GET: /livez, /readyz and /metrics\n";
    (StatusCode::NOT_FOUND, paths)
}

/// The answer's `Allow` has those that are.
async fn other_method() -> (StatusCode, &'static str) {
    let told = "this method is not for this path: it is read, by GET\n";
    (StatusCode::METHOD_NOT_ALLOWED, told)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let missing = readiness.missing();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    let text = missing
        .iter()
        .map(|name| format!("missing: {name}\n"))
        .collect::<String>();
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Content type of the OpenMetrics 1.0 text format (its section "Text Format", "Overall structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
