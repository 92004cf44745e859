//! Runs one scenario: a runtime of its own, a deadline, its log, and a look at what it left behind.
//! Called by every test. Invariant: when [`scenario`] returns, the runtime had no task left before it was dropped.

#![allow(
    clippy::disallowed_types,
    reason = "a deadline must hold while a test has tokio's clock paused"
)]

use std::{
    net::{IpAddr, UdpSocket},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle},
    time::{sleep, timeout},
};

use crate::logs;

/// How long a condition may take that is expected at once. Generous: two cores and everybody's compiler.
pub const SOON: Duration = Duration::from_secs(10);
/// How long a whole scenario may take before it is taken for hung.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

/// Runs `story` to its end; fails when it takes longer than a minute, or leaves a task running.
///
/// # Panics
///
/// When the story does. Its log is printed then.
pub fn scenario(story: impl Future<Output = ()>) {
    scenario_logging(logs::FILTER, story);
}

/// The same with a log of its own filter.
///
/// # Panics
///
/// When the story does. Its log is printed then.
pub fn scenario_logging(filter: &str, story: impl Future<Output = ()>) {
    let log = logs::capture(filter);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    // On the heap: what a scenario holds across its awaits is large.
    let story = Box::pin(story);
    runtime.block_on(async {
        finished_in_time(story).await;
        nothing_is_left().await;
    });
    log.passed();
}

/// Waits for `what` to become true.
///
/// # Panics
///
/// When it takes longer than [`SOON`].
pub async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    // Real time, so that it also serves where tokio's clock is paused.
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < SOON, "waited in vain until {what}");
        sleep(POLL).await;
    }
}

/// The future's output.
///
/// # Panics
///
/// When it takes longer than [`SOON`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(SOON, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Lets so much time pass on tokio's clock, and next to none in truth, while everybody waits.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    sleep(time).await;
    tokio::time::resume();
}

/// Runs `story` while tokio's clock stands still: what counts by time gets nothing back meanwhile, however busy the machine is.
///
/// # Panics
///
/// When the story takes longer than a minute by real time.
pub async fn without_time<T>(story: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let began = Instant::now();
    // The clock jumps ahead when everybody waits: somebody never does.
    let awake = async {
        while began.elapsed() < DEADLINE {
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::select! {
        told = story => told,
        () = awake => panic!("it takes a minute at most"),
    };
    tokio::time::resume();
    told
}

/// By real time: a story may pause tokio's clock and let hours pass on it.
async fn finished_in_time(story: impl Future<Output = ()>) {
    let (deadline, mut story) = (Instant::now() + DEADLINE, std::pin::pin!(story));
    while timeout(DEADLINE, story.as_mut()).await.is_err() {
        assert!(
            Instant::now() < deadline,
            "the scenario takes a minute at most"
        );
    }
}

async fn nothing_is_left() {
    let metrics = Handle::current().metrics();
    let began = Instant::now();
    while metrics.num_alive_tasks() > 0 {
        let left = metrics.num_alive_tasks();
        assert!(began.elapsed() < SOON, "{left} tasks are left over");
        sleep(POLL).await;
    }
}

/// An address of this machine's that others reach it by. Nothing is sent.
#[must_use]
pub fn beyond_loopback() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback()).then_some(own)
}
