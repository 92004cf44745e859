//! Decides which connection to the API server a request takes, and when one more is opened: when all are full, one dial at
//! a time. Owned by [`super::Kube`].
//! Invariant: every task that drives a connection is in this pool's set. Nobody waits for a dial that began before it asked
//! and has failed: all who waited for it fail with it, instead of dialling in turn.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_process::metrics::{Held, Label};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::http2::window::{ReadAhead, Share, Window};
use super::{CallError, http1, http2};
use crate::config::PoolLimits;
use crate::dial::{Dialled, Dialler, Wire};
use crate::metrics::{Loss, Metrics};

/// The connections to one API server.
#[derive(Debug)]
pub(crate) struct Pool {
    dialler: Dialler,
    upgrades: Dialler,
    limits: PoolLimits,
    read_ahead: ReadAhead,
    metrics: Metrics,
    http2: Mutex<Vec<Arc<http2::Connection>>>,
    /// Those that came before a change of credentials go back to others, which nobody looks at.
    http1: Mutex<http1::Idle>,
    /// What ALPN chose last.
    speaks_http1: AtomicBool,
    /// Held while dialling: those who wait look at the shelf again after it. Holds when the last dial failed, and why.
    dialling: tokio::sync::Mutex<Option<(Instant, CallError)>>,
    drivers: Mutex<JoinSet<()>>,
}

/// A connection that will take one request.
#[derive(Debug)]
pub(crate) enum Lease {
    Http2(http2::Lease),
    Http1(http1::Sender, http1::Idle),
}

/// Which connections will do for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Exact,
    Narrower,
}

impl Lease {
    /// HTTP/1.1 reads no more ahead than its connection's buffer.
    fn with(self, share: Share) -> Self {
        match self {
            Self::Http2(lease) => Self::Http2(lease.with(share)),
            Self::Http1(..) => self,
        }
    }
}

impl Pool {
    pub(crate) fn new(endpoint: &Endpoint, limits: PoolLimits, metrics: Metrics) -> Self {
        Self {
            dialler: endpoint.any.clone(),
            upgrades: endpoint.http1.clone(),
            limits,
            read_ahead: ReadAhead::new(metrics.clone(), limits.max_read_ahead_bytes),
            metrics,
            http2: Mutex::default(),
            http1: Mutex::default(),
            speaks_http1: AtomicBool::new(false),
            dialling: tokio::sync::Mutex::new(None),
            drivers: Mutex::default(),
        }
    }

    /// A connection with room, and a window up to the one that is wished for. Cancel-safe. Small while no dial is needed: it is part of every handler's memory.
    ///
    /// # Errors
    /// None has room, and no other can be opened.
    pub(crate) async fn lease(&self, wished: Window) -> Result<Lease, CallError> {
        match self.open_lease(self.read_ahead.share(wished), Fit::Exact) {
            Ok(lease) => Ok(lease),
            Err(share) => Box::pin(self.new_lease(share)).await,
        }
    }

    async fn new_lease(&self, share: Share) -> Result<Lease, CallError> {
        if self.speaks_http1.load(Ordering::Relaxed) {
            // One connection carries one request: there is nothing to share by waiting.
            return self
                .dial(share.window())
                .await
                .map(|dialled| dialled.with(share));
        }
        let asked = Instant::now();
        let mut failure = self.dialling.lock().await;
        let share = match self.open_lease(share, Fit::Exact) {
            Ok(lease) => return Ok(lease),
            Err(share) => share,
        };
        if let Some((at, error)) = &*failure
            && *at > asked
        {
            return Err(error.clone());
        }
        let dialled = self.dial(share.window()).await;
        if let Err(CallError::Full(max)) = dialled {
            // Slower is better than not at all.
            let narrower = self.open_lease(share, Fit::Narrower);
            return narrower.map_err(|_| CallError::Full(max));
        }
        *failure = dialled
            .as_ref()
            .err()
            .map(|error| (Instant::now(), error.clone()));
        dialled.map(|dialled| dialled.with(share))
    }

    /// A fresh connection that speaks HTTP/1.1, for an upgrade, and its place among them: to be held as long as the
    /// upgraded connection lives.
    ///
    /// # Errors
    /// It cannot be opened, or there are as many as may be.
    pub(crate) async fn fresh_http1(&self) -> Result<(http1::Sender, Held), CallError> {
        let max = self.limits.max_upgrades;
        let held =
            Held::within(&self.metrics.upgrades, 1, max).ok_or(CallError::ManyUpgrades(max))?;
        let dialled = self.upgrades.dial().await?;
        dialled.keep_alive();
        let (sender, driver) = http1::open(dialled.wire).await?;
        self.run(async move {
            // How it ended is told to whoever waits for its answer. After a 101 it ends at once: the bytes are theirs then.
            let _: hyper::Result<()> = driver.with_upgrades().await;
        });
        Ok((sender, held))
    }

    /// No connection that is there takes another request; those that run go on.
    pub(crate) fn retire(&self) {
        // First, so that a dial which ends meanwhile sees it.
        *self.http1.lock() = http1::Idle::default();
        let shelf = self.http2.lock();
        for connection in shelf.iter() {
            connection.load().retire();
        }
    }

    fn idle(&self) -> http1::Idle {
        Arc::clone(&self.http1.lock())
    }

    /// Requests that run on HTTP/2.
    #[cfg(test)]
    pub(crate) fn loads(&self) -> Vec<usize> {
        self.http2
            .lock()
            .iter()
            .map(|connection| connection.load().streams())
            .collect()
    }

    /// What is open and has room, or else the share again.
    fn open_lease(&self, share: Share, fit: Fit) -> Result<Lease, Share> {
        if self.speaks_http1.load(Ordering::Relaxed) {
            return self.idle_http1().ok_or(share);
        }
        let fits = |window: Window| match fit {
            Fit::Exact => window == share.window(),
            Fit::Narrower => window <= share.window(),
        };
        let mut shelf = self.http2.lock();
        // First fit: what comes after a peak empties the later ones, which then go idle and are closed.
        let mut has_retired = false;
        let leased = shelf.iter().find_map(|connection| {
            has_retired |= connection.load().is_retired();
            let lease = fits(connection.window()).then(|| connection.lease());
            lease.flatten()
        });
        if has_retired {
            shelf.retain(|connection| !connection.load().is_retired());
        }
        match leased {
            Some(lease) => Ok(Lease::Http2(lease.with(share))),
            None => Err(share),
        }
    }

    fn idle_http1(&self) -> Option<Lease> {
        let all = self.idle();
        let mut idle = all.lock();
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(Lease::Http1(sender, Arc::clone(&all)));
            }
        }
        None
    }

    async fn dial(&self, window: Window) -> Result<Lease, CallError> {
        let max = self.limits.max_connections;
        // Counted from before the dial: many may dial at once.
        let held = Held::within(&self.metrics.connections, 1, max).ok_or(CallError::Full(max))?;
        let idle = self.idle();
        let dialled = self.dialler.dial().await?;
        dialled.keep_alive();
        let Dialled { wire, alpn } = dialled;
        if alpn.as_deref() == Some(adit_process::tls::H2) {
            self.speaks_http1.store(false, Ordering::Relaxed);
            return self.open_http2(wire, window, held, &idle).await;
        }
        self.speaks_http1.store(true, Ordering::Relaxed);
        let (sender, driver) = http1::open(wire).await?;
        self.drive(held, async move {
            if driver.await.is_ok() {
                Loss::Closed
            } else {
                Loss::Broken
            }
        });
        Ok(Lease::Http1(sender, idle))
    }

    /// `idle` is that of before the dial.
    async fn open_http2(
        &self,
        wire: Wire,
        window: Window,
        held: Held,
        idle: &http1::Idle,
    ) -> Result<Lease, CallError> {
        let timeout = self.dialler.timeout;
        let opened = tokio::time::timeout(timeout, http2::open(wire, self.limits, window)).await;
        let opened = opened.map_err(|_| CallError::Mute(timeout))?;
        let (connection, driver) = opened.map_err(|error| CallError::Lost {
            loss: None,
            source: Arc::new(error),
        })?;
        let connection = Arc::new(connection);
        let driver = http2::drive(driver, Arc::clone(connection.load()), self.limits);
        self.drive(held, driver);
        let lease = connection.lease().ok_or(CallError::Mute(timeout))?;
        self.http2.lock().push(Arc::clone(&connection));
        if !Arc::ptr_eq(idle, &self.idle()) {
            // It began with credentials that were replaced.
            connection.load().retire();
        }
        Ok(Lease::Http2(lease))
    }

    fn drive(&self, held: Held, driver: impl Future<Output = Loss> + Send + 'static) {
        let metrics = self.metrics.clone();
        self.run(async move {
            let loss = driver.await;
            drop(held);
            metrics.connection_end(loss);
            tracing::debug!(cause = loss.as_str(), "connection to the API server ended");
        });
    }

    fn run(&self, driver: impl Future<Output = ()> + Send + 'static) {
        let mut drivers = self.drivers.lock();
        while drivers.try_join_next().is_some() {}
        drivers.spawn(driver);
    }
}

#[cfg(test)]
mod tests;
