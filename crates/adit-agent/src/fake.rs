//! The agent's peers, for its tests: an API server and a relay on loopback, as real as they need be. Each test starts its
//! own; dropping one ends it.

mod api_server;
mod relay;

use std::future::Future;
use std::time::Duration;

pub(crate) use self::api_server::{ApiServer, Terms, empty, full};
pub(crate) use self::relay::{Relay, TOKEN, checked};

/// Nothing here takes as long on the slowest machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Fails a test that hangs.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("this takes no time unless something hangs")
}
