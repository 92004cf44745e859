//! Many streams in one tunnel: readers that stop harm nobody, watches are many, and whoever leaves is gone at once.

use adit_tests::{
    Answer, Caller, TestRelay, World, body,
    caller::{Http1, Http2, get, request},
    kube,
    lonely::{alone, memory, peak_memory},
    pattern::Check,
    relay, scenario, until, within, world,
};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use tokio::time::{Duration, Instant};

mod cancelled;
mod idle;
mod many;
mod small_frames;

/// What a stalled reader has not read.
const STALLED: u64 = 64 << 20;
/// How many times as long as before the median of small requests may take while others are stalled, and what is added for a
/// machine that was busier then with other things. Behind a full window it would take for ever.
const NEAR_NORMAL: (u32, Duration) = (5, Duration::from_millis(200));
/// Likewise for the slowest of them: one that waits for a stalled reader takes until its deadline, and one that the machine holds
/// up takes much less.
const SLOWEST_NEAR_NORMAL: (u32, Duration) = (5, Duration::from_secs(5));

/// What small requests took.
#[derive(Clone, Copy, Debug)]
struct Took {
    median: Duration,
    slowest: Duration,
}

/// Readers of one large answer each, which read nothing of it; half of them over HTTP/1.1.
struct Stalled {
    answers: Vec<Response<Incoming>>,
    _http1: Vec<Http1>,
    _http2: Http2,
}

async fn stall(world: &World, count: usize) -> Stalled {
    let path = format!("/big/{STALLED}");
    let mut stalled = Stalled {
        answers: Vec::new(),
        _http1: Vec::new(),
        _http2: world.job.http2().await,
    };
    for at in 0..count {
        if at % 2 == 0 {
            let mut http1 = world.job.http1().await;
            stalled
                .answers
                .push(within("a head", http1.send(get(&path))).await.unwrap());
            stalled._http1.push(http1);
        } else {
            stalled.answers.push(
                within("a head", stalled._http2.send(get(&path)))
                    .await
                    .unwrap(),
            );
        }
    }
    until_still(&world.relay, "answer").await;
    stalled
}

/// Waits until no more bytes of requests or answers flow: every window is full.
pub(crate) async fn until_still(relay: &TestRelay, direction: &str) {
    let label = format!("direction=\"{direction}\"");
    let (mut before, mut still) = (-1.0, 0);
    within("the flow's end", async {
        while still < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let metrics = relay.metrics().await;
            let now = metrics.sum_where("adit_relay_stream_bytes_total", &label);
            still = if now == before { still + 1 } else { 0 };
            before = now;
        }
    })
    .await;
}

/// What twelve small requests take, one after the other. All of them are answered.
async fn small_requests(caller: &Caller) -> Took {
    let (mut http1, http2) = (caller.http1().await, caller.http2().await);
    let mut took = Vec::new();
    for at in 0..12 {
        let began = Instant::now();
        let path = format!("/api/v1/small/{at}");
        let answer = if at % 2 == 0 {
            http1.get(&path).await
        } else {
            http2.get(&path).await
        };
        assert_eq!(answer.echo().target(), path);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Took {
        median: took[took.len() / 2],
        slowest: took[took.len() - 1],
    }
}

/// Twelve small requests pass in about the time that they took when nothing else went on.
async fn small_requests_pass(caller: &Caller, normal: Took) {
    let took = small_requests(caller).await;
    let near = |now: Duration, before: Duration, (times, more): (u32, Duration)| {
        now <= before * times + more
    };
    assert!(
        near(took.median, normal.median, NEAR_NORMAL)
            && near(took.slowest, normal.slowest, SLOWEST_NEAR_NORMAL),
        "{took:?} now, {normal:?} before"
    );
}

#[test]
fn one_stalled_reader_harms_nobody() {
    alone("streams::one_stalled_reader_harms_nobody", || {
        scenario(harms_nobody(1))
    });
}

#[test]
fn sixteen_stalled_readers_harm_nobody() {
    alone("streams::sixteen_stalled_readers_harm_nobody", || {
        scenario(harms_nobody(16))
    });
}

#[test]
fn a_hundred_stalled_readers_harm_nobody() {
    alone("streams::a_hundred_stalled_readers_harm_nobody", || {
        scenario(harms_nobody(100))
    });
}

async fn harms_nobody(count: usize) {
    let world = world().await;
    let normal = small_requests(&world.job).await;
    let before = memory();
    let stalled = stall(&world, count).await;
    small_requests_pass(&world.job, normal).await;
    // Everything on the way is in this process: each reader's windows, our credit, the API server's.
    let bound = count * (3 << 20) + (48 << 20);
    assert!(
        peak_memory() - before < bound,
        "{} MiB more",
        (peak_memory() - before) >> 20
    );
    drop(stalled);
    until("the stalled requests are gone", || world.kube.open() == 0).await;
    world.stop().await;
}

#[test]
fn stalled_stream_does_not_stop_others_on_its_connection() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let stalled = http2.send(get("/big/50000000")).await.unwrap();
        until_still(&world.relay, "answer").await;
        for _ in 0..12 {
            within("a small answer", http2.get("/api")).await.echo();
        }
        drop((stalled, http2));
        world.stop().await;
    });
}

#[test]
fn stalled_reader_that_goes_on_gets_every_byte() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        let answers = [
            http1.send(get("/big/20000000")).await,
            http2.send(get("/sized/20000000")).await,
        ];
        until_still(&world.relay, "answer").await;
        for answer in answers {
            let mut body = answer.unwrap().into_body();
            let mut check = Check::default();
            while let Some(frame) = within("more", body.frame()).await {
                check.take(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(check.seen, 20_000_000);
        }
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn upload_that_the_api_server_does_not_read_harms_nobody() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let normal = small_requests(&world.job).await;
        world.kube.hold_sink();
        let stuck = http2.send(request(Method::PUT, "/sink", body::pattern(10_000_000)));
        let others = async {
            world.kube.until_open(1).await;
            small_requests_pass(&world.job, normal).await;
            for _ in 0..12 {
                http2.get("/api").await.echo();
            }
            world.kube.let_sink();
        };
        let (stuck, ()) = tokio::join!(stuck, others);
        let answer = Answer::of(stuck.unwrap()).await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["bytes"]),
            (StatusCode::OK, &10_000_000.into())
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn two_thousand_watches_on_one_agent_all_get_an_event() {
    const WATCHES: usize = 2000;
    scenario(async {
        let world = world().await;
        let normal = small_requests(&world.job).await;
        // Two jobs, because one opens as many a second as it may.
        let connections = [world.job.http2().await, world.relay.job(9002).http2().await];
        let mut watches = Vec::new();
        for (at, http2) in (0..WATCHES).map(|at| (at, &connections[at % 2])) {
            watches.push(
                within("a head", http2.send(get(&format!("/api/v1/{at}/watch"))))
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(world.kube.watchers(), WATCHES);
        for event in ["ADDED", "MODIFIED"] {
            world.kube.event(event);
            let all = join_all(
                watches
                    .iter_mut()
                    .map(async |watch| watch.body_mut().frame().await.unwrap().unwrap()),
            );
            for frame in within("the event everywhere", all).await {
                assert_eq!(frame.into_data().unwrap(), format!("{event}\n"));
            }
        }
        small_requests_pass(&world.job, normal).await;
        drop((watches, connections));
        until("all watches have ended at the API server", || {
            world.kube.watchers() == 0
        })
        .await;
        world.stop().await;
    });
}

#[test]
fn more_requests_at_once_than_the_api_server_takes_on_a_connection() {
    scenario(async {
        let world = World::of(kube().max_streams(20), relay()).await;
        let http2 = world.job.http2().await;
        let waiting = (0..100).map(|_| http2.send(get("/wait")));
        let release = async {
            world.kube.until_open(100).await;
            assert!(
                world.kube.connections() >= 5,
                "{} connections",
                world.kube.connections()
            );
            world.kube.release();
        };
        let (answers, ()) = tokio::join!(join_all(waiting), release);
        for answer in answers {
            assert_eq!(
                Answer::of(answer.unwrap()).await.unwrap().text(),
                "released"
            );
        }
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn large_answers_at_once_take_turns() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let downloads = (0..8).map(|_| http2.get("/big/2000000"));
        for answer in within("all", join_all(downloads)).await {
            assert_eq!(answer.body.len(), 2_000_000);
        }
        let uploads =
            (0..8).map(|_| http2.answer(request(Method::PUT, "/sink", body::pattern(2_000_000))));
        for answer in within("all", join_all(uploads)).await {
            assert_eq!(answer.json()["bytes"], 2_000_000);
        }
        drop(http2);
        world.stop().await;
    });
}
