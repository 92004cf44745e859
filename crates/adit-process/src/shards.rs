//! Decides how a process uses its cores: one single-threaded runtime each.
//!
//! The relay runs its data path in shards. A connection stays on the shard that accepted it, so
//! its tasks never move between cores. The invariant: a shard that panics takes the process with
//! it; a relay that lost a part of its listeners without a word would be worse than a restart.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Number of a shard, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub usize);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a thread that carries traffic runs on: one thread's runtime, which looks at few of those that are ready at a time, so that the
/// next hop begins with the first while this one is still at the others.
///
/// # Errors
/// The system has no room for what it watches sockets with.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(READY_AT_A_TIME)
        .build()
}

/// Running shards. Dropping it stops them where they await, without waiting for it.
#[derive(Debug)]
pub struct Shards {
    running: Running,
}

#[derive(Debug)]
enum Running {
    Threads(Vec<Shard>),
    Ambient(JoinSet<()>),
}

impl Shards {
    /// How many shards this machine should run: the cores this process may use.
    #[must_use]
    pub fn per_core() -> usize {
        thread::available_parallelism().map_or(1, NonZeroUsize::get)
    }

    /// Starts `count` threads named `<name>-<n>`, each with a runtime of its own that runs a clone
    /// of `run` to its end. Tasks that it leaves behind on its runtime are dropped then.
    ///
    /// # Errors
    /// When a thread or a runtime cannot be made; those already started are stopped.
    pub fn start<F, Fut>(name: &str, count: usize, run: F) -> io::Result<Self>
    where
        F: FnOnce(ShardId) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut threads = Vec::with_capacity(count);
        for id in (0..count).map(ShardId) {
            threads.push(Shard::start(name, id, run.clone())?);
        }
        Ok(Self {
            running: Running::Threads(threads),
        })
    }

    /// One shard, number 0, on the runtime this is called in: for tests and small processes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn ambient<F, Fut>(run: F) -> Self
    where
        F: FnOnce(ShardId) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        tasks.spawn(run(ShardId(0)));
        Self {
            running: Running::Ambient(tasks),
        }
    }

    /// Waits until the future of each shard has ended and its runtime is gone. Cancelling it
    /// stops them.
    ///
    /// # Panics
    /// When an ambient shard panicked, with its panic.
    pub async fn join(self) {
        match self.running {
            Running::Threads(threads) => {
                for shard in threads {
                    shard.join().await;
                }
            }
            Running::Ambient(mut tasks) => {
                while let Some(ended) = tasks.join_next().await {
                    if let Err(error) = ended {
                        resume_unwind(error.into_panic());
                    }
                }
            }
        }
    }
}

/// One thread with its runtime.
#[derive(Debug)]
struct Shard {
    thread: thread::JoinHandle<()>,
    /// Resolves as the last thing the thread does.
    ended: oneshot::Receiver<Infallible>,
    /// Never sent on: dropping it stops the shard.
    _stop: oneshot::Sender<Infallible>,
}

impl Shard {
    fn start<F, Fut>(name: &str, id: ShardId, run: F) -> io::Result<Self>
    where
        F: FnOnce(ShardId) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = runtime()?;
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(format!("{name}-{id}"))
            .spawn(move || {
                drive(id, runtime, run, stopped);
                drop(ending);
            })?;
        Ok(Self {
            thread,
            ended,
            _stop: stop,
        })
    }

    async fn join(self) {
        // An error is how it ends: the sender is dropped, nothing can be sent.
        let _ = self.ended.await;
        self.thread
            .join()
            .expect("a shard's panic has aborted the process");
    }
}

fn drive<F, Fut>(id: ShardId, runtime: Runtime, run: F, stopped: oneshot::Receiver<Infallible>)
where
    F: FnOnce(ShardId) -> Fut,
    Fut: Future<Output = ()>,
{
    // Whatever the panic left half done is not looked at again: the process ends.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped => {}
                () = run(id) => {}
            }
        });
        // Not `drop`, which would wait for blocking calls such as a name lookup.
        runtime.shutdown_background();
    }));
    if ended.is_err() {
        tracing::error!(shard = id.0, "shard panicked, ending the process");
        std::process::abort();
    }
}

/// Found by measuring: fewer win nothing more, and with 32 two thirds of it are lost. See `benches/NOTES.md`.
const READY_AT_A_TIME: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net;
    use std::process::Command;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;
    use tokio::sync::{Barrier, Semaphore};
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn each_shard_runs_on_its_own_named_thread() {
        let barrier = Arc::new(Barrier::new(4));
        let meet = Arc::clone(&barrier);
        let (names, mut seen) = tokio::sync::mpsc::channel(3);
        let shards = Shards::start("part", 3, move |id| async move {
            let name = thread::current().name().map(str::to_owned);
            names.send((id, name)).await.unwrap();
            meet.wait().await;
        })
        .unwrap();
        timeout(SOON, barrier.wait())
            .await
            .expect("all three run at once");
        timeout(SOON, shards.join()).await.expect("all three end");
        let mut got = Vec::new();
        while let Some(one) = seen.recv().await {
            got.push(one);
        }
        got.sort();
        let want = [0, 1, 2].map(|n| (ShardId(n), Some(format!("part-{n}"))));
        assert_eq!(got, want);
    }

    #[tokio::test]
    async fn dropping_stops_a_shard_that_would_never_end() {
        let (held, mut released) = tokio::sync::mpsc::channel::<Infallible>(1);
        let shards = Shards::start("stuck", 1, move |_| async move {
            let _held = held;
            std::future::pending::<()>().await;
        })
        .unwrap();
        drop(shards);
        assert!(
            timeout(SOON, released.recv())
                .await
                .expect("its future is dropped")
                .is_none()
        );
    }

    #[tokio::test]
    async fn ambient_shard_runs_on_the_callers_runtime() {
        let here = thread::current().id();
        let (send, receive) = oneshot::channel();
        let shards = Shards::ambient(|id| async move {
            send.send((id, thread::current().id())).unwrap();
        });
        timeout(SOON, shards.join()).await.unwrap();
        assert_eq!(receive.await.unwrap(), (ShardId(0), here));
    }

    #[test]
    fn the_next_hop_begins_before_all_that_were_ready_are_done() {
        const READY: usize = 48;
        let done = Arc::new(Semaphore::new(0));
        let done_before = runtime().unwrap().block_on(async {
            let (mut callers, mut here, mut next_hop) = (vec![], JoinSet::new(), JoinSet::new());
            for _ in 0..READY {
                let (caller, socket) = net::UnixStream::pair().unwrap();
                callers.push(caller);
                socket.set_nonblocking(true).unwrap();
                let mut socket = UnixStream::from_std(socket).unwrap();
                let done = Arc::clone(&done);
                here.spawn(async move {
                    socket.read_u8().await.unwrap();
                    done.add_permits(1);
                });
            }
            next_hop.spawn(async move {
                done.acquire().await.unwrap().forget();
                1 + done.available_permits()
            });
            yield_now().await;
            for caller in &mut callers {
                caller.write_all(b".").unwrap();
            }
            timeout(SOON, next_hop.join_all()).await.unwrap()
        });
        assert!(done_before[0] < READY, "{done_before:?} of {READY}");
    }

    #[test]
    fn panic_in_a_shard_ends_the_process() {
        const INSIDE: &str = "ADIT_TEST_PANIC_IN_A_SHARD";
        if std::env::var_os(INSIDE).is_some() {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let shards = Shards::start("doomed", 1, |_| async { panic!("on purpose") }).unwrap();
            runtime.block_on(shards.join());
            std::process::exit(0);
        }
        let ended = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "shards::tests::panic_in_a_shard_ends_the_process",
                "--nocapture",
            ])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), None, "ended by SIGABRT, not by itself");
    }
}
