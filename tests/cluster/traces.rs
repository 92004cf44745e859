//! The collector to which the API server tells its spans, and whoever else is told to: it runs beside the tests, which wait by
//! conditions and not by tasks.

use std::net::SocketAddr;

use adit_tests::collector::{Collector, Told};
use tokio::runtime::{Builder, Runtime};

use crate::until::until;

pub struct Traces {
    collector: Collector,
    _running: Runtime,
}

impl Traces {
    pub fn start() -> Self {
        let running = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            collector: running.block_on(Collector::start()),
            _running: running,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.collector.address()
    }

    /// All that it was told.
    pub fn told(&self) -> Vec<Told> {
        self.collector.told()
    }

    /// Waits for a span like that.
    pub fn until_told(&self, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
        until(what, || self.told().into_iter().find(&is_it))
    }
}
