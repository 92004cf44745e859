//! Decides how a process uses its cores: one single-threaded runtime each.

use std::future::Future;
use std::io;

/// Number of a shard, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub usize);

/// Running shards. Dropping it stops them; it does not wait.
#[derive(Debug)]
pub struct Shards {
    _private: (),
}

impl Shards {
    /// How many shards this machine should run: its cores.
    #[must_use]
    pub fn per_core() -> usize {
        todo!()
    }

    /// Starts `count` threads named `{name}-{n}`, each with a runtime that runs `run(ShardId)` to its end.
    ///
    /// # Errors
    /// When a thread or runtime cannot be made; those already started are stopped.
    pub fn start<F, Fut>(name: &str, count: usize, run: F) -> io::Result<Self>
    where
        F: FnOnce(ShardId) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let _ = (name, count, run);
        todo!()
    }

    /// One shard, 0, on the runtime this is called in: for tests and small processes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn ambient<F, Fut>(run: F) -> Self
    where
        F: FnOnce(ShardId) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let _ = run;
        todo!()
    }

    /// Waits until each shard's future has ended and its runtime is gone. Cancelling stops them.
    pub async fn join(self) {
        todo!()
    }
}
