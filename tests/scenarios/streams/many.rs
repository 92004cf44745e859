//! Very many requests, one after the other or all at once: nothing of them stays.

use adit_tests::{
    Answer, World, body,
    caller::{get, request},
    kube,
    lonely::{alone, memory, open_files},
    relay, scenario, scenario_logging, until, within,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;

/// Memory that the allocator may keep without anybody holding it.
const SLACK: usize = 4 << 20;

fn tireless() -> adit_tests::RelayBuilder {
    relay().with("limits", "opens_per_second", 1_000_000)
}

/// Runs a round, and then more of them, after which no more memory and no more files may be held than after the first. Alone in a
/// process: `name` is the calling test's.
fn holds_nothing(name: &str, rounds: usize, round: impl AsyncFn(&World)) {
    alone(name, || {
        // The harness keeps what is logged, and at `debug` that is a kilobyte for each request.
        scenario_logging("warn", async {
            let world = World::of(kube(), tireless()).await;
            round(&world).await;
            let (before, files) = (memory(), open_files());
            for _ in 0..rounds {
                round(&world).await;
            }
            let more = memory().saturating_sub(before);
            assert!(more < SLACK, "{} MiB more", more >> 20);
            until("no more files are open", || open_files() <= files).await;
            world.stop().await;
        });
    });
}

#[test]
fn ten_thousand_cancelled_requests_hold_nothing() {
    let name = "streams::many::ten_thousand_cancelled_requests_hold_nothing";
    holds_nothing(name, 10, async |world| {
        let http2 = world.job.http2().await;
        for _ in 0..10 {
            let all = join_all((0..100).map(|_| http2.send(get("/silent")))).await;
            assert!(all.iter().all(Result::is_ok));
            drop(all);
            until("nothing is open", || world.kube.open() == 0).await;
            world.kube.forget();
        }
    });
}

#[test]
fn connections_that_end_hold_nothing() {
    let name = "streams::many::connections_that_end_hold_nothing";
    holds_nothing(name, 5, async |world| {
        for _ in 0..10 {
            let all = join_all((0..10).map(|_| world.job.get("/api"))).await;
            drop(all);
            let watch = world.job.http1().await.send(get("/watch")).await;
            drop(watch);
        }
        until("nothing is open", || world.kube.open() == 0).await;
        world.kube.forget();
    });
}

#[test]
fn uploads_that_wait_for_a_free_stream_all_arrive() {
    scenario(async {
        // Far fewer streams on a connection to the API server than there are uploads with bodies pending.
        let world = World::of(kube().max_streams(7), tireless()).await;
        let http2 = world.job.http2().await;
        let (hands, uploads): (Vec<_>, Vec<_>) = (0..150)
            .map(|_| {
                let (hand, body) = body::by_hand();
                (hand, http2.answer(request(Method::PUT, "/sink", body)))
            })
            .unzip();
        let feeding = async {
            for half in 0..2 {
                for hand in &hands {
                    assert!(
                        hand.data(adit_tests::pattern::piece(half * 5000, 5000))
                            .await
                    );
                }
            }
            drop(hands);
        };
        let (answers, ()) = within(
            "all uploads",
            futures_util::future::join(join_all(uploads), feeding),
        )
        .await;
        for answer in answers {
            assert_eq!(answer.json()["bytes"], 10_000);
        }
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn answers_of_odd_sizes_arrive_whole() {
    scenario(async {
        let world = World::of(kube(), tireless()).await;
        let http2 = world.job.http2().await;
        // Around every window, frame and buffer size there is.
        let edges = [
            1,
            255,
            256,
            16_384,
            32_768,
            65_535,
            65_536,
            131_072,
            262_144,
            1 << 20,
        ];
        let sizes = edges
            .into_iter()
            .flat_map(|edge| [edge - 1, edge, edge + 1]);
        for size in sizes {
            for path in ["big", "sized"] {
                let answer = http2.send(get(&format!("/{path}/{size}"))).await.unwrap();
                let answer = within("its end", Answer::of(answer)).await.unwrap();
                let mut check = adit_tests::pattern::Check::default();
                check.take(&answer.body);
                assert_eq!(check.seen, size);
            }
            let upload = request(Method::PUT, "/sink", body::pattern(size));
            assert_eq!(http2.answer(upload).await.json()["bytes"], size);
        }
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn callers_with_windows_of_any_size_get_every_byte() {
    scenario(async {
        let world = World::of(kube(), tireless()).await;
        for (window, size) in [
            (1, 500),
            (99, 20_000),
            (65_534, 300_000),
            (65_535, 300_000),
            (65_537, 300_000),
            (1 << 24, 1_000_000),
        ] {
            let io = world.job.tls(adit_tests::pki::HTTP2).await;
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(window);
            let (mut sender, connection) = builder.handshake::<_, Bytes>(io).await.unwrap();
            let reading = async {
                let head = world.job.h2_get(&format!("/big/{size}"));
                let (answer, _) = sender.send_request(head, true).unwrap();
                let mut body = answer.await.unwrap().into_body();
                let mut check = adit_tests::pattern::Check::default();
                while let Some(data) = body.data().await {
                    let data = data.unwrap();
                    body.flow_control().release_capacity(data.len()).unwrap();
                    check.take(&data);
                }
                assert_eq!(check.seen, size, "{window}");
            };
            within("the whole answer", async {
                tokio::select! {
                    biased;
                    () = reading => {}
                    ended = connection => panic!("{window}: {ended:?}"),
                }
            })
            .await;
        }
        world.stop().await;
    });
}
