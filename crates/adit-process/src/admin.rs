//! Decides what operators and probes see: `/livez`, `/readyz` and `/metrics` on a listener of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry;

mod readiness;

pub use readiness::{Condition, Readiness};

/// The admin listener, bound but not yet served.
#[derive(Debug)]
pub struct Admin {
    _private: (),
}

impl Admin {
    /// Binds `addr` and builds the routes; `extra` adds the caller's own.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(addr: SocketAddr, registry: Arc<Registry>, readiness: Readiness, extra: axum::Router) -> io::Result<Self> {
        let _ = (addr, registry, readiness, extra);
        todo!()
    }

    /// The address that is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Answers until `stop` resolves; running requests end first.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) {
        let _ = stop;
        todo!()
    }
}
