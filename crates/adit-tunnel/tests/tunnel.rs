//! Both ends of a tunnel over an in-memory transport.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]
#![allow(
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use adit_tunnel::{
    Budget, OpenError, Options, Read, RequestBody, ResetReason, SessionError, StreamError, Terms,
};
use bytes::Bytes;
use futures_util::future::join_all;
use support::{echo, failure, head, options, pair, pattern, read, read_all, within, write_all};
use tokio::{task::JoinSet, time::Instant};

#[tokio::test]
async fn an_exchange_crosses_whole() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(echo(pair.agent.clone()));
        let stream = pair
            .relay
            .open("GET /".into(), RequestBody::Follows, Terms::default())
            .unwrap();
        let body = pattern(3 << 20);
        let (sent, received) = tokio::join!(write_all(&stream, body.clone(), true), async {
            assert_eq!(head(&stream).await.unwrap(), "GET /");
            read_all(&stream).await
        });
        sent.unwrap();
        assert_eq!(received.unwrap(), body);
        assert!(stream.is_read_end());
        drop(stream);
        assert_eq!(pair.relay.stats().streams, 0);
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_streams_run_at_once() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(echo(pair.agent.clone()));
        let exchanges = (0..500_usize).map(|number| {
            let relay = pair.relay.clone();
            async move {
                let stream = relay
                    .open(
                        number.to_string().into(),
                        RequestBody::Follows,
                        Terms::default(),
                    )
                    .unwrap();
                let body = pattern(number * 97);
                let (sent, received) =
                    tokio::join!(write_all(&stream, body.clone(), true), read_all(&stream));
                sent.unwrap();
                assert_eq!(received.unwrap(), body);
                assert_eq!(head(&stream).await.unwrap(), number.to_string());
            }
        });
        join_all(exchanges).await;
        assert_eq!(pair.relay.stats().buffered_bytes, 0);
    })
    .await;
}

#[tokio::test]
async fn readers_that_stop_hold_up_nobody() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut tasks = JoinSet::new();
        let agent = pair.agent.clone();
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Some((stream, open)) = agent.accept().await {
                let bytes = if open == "big" { 2 << 20 } else { 10 };
                streams.spawn(async move {
                    stream.send_head(Bytes::new())?;
                    write_all(&stream, pattern(bytes), true).await
                });
            }
        });
        let big = || {
            pair.relay
                .open("big".into(), RequestBody::Absent, Terms::default())
                .unwrap()
        };
        let stalled: Vec<_> = (0..100).map(|_| big()).collect();
        for stream in &stalled {
            head(stream).await.unwrap();
        }
        for _ in 0..12 {
            let small = pair
                .relay
                .open("small".into(), RequestBody::Absent, Terms::default())
                .unwrap();
            assert_eq!(read_all(&small).await.unwrap().len(), 10);
        }
        assert!(pair.relay.stats().buffered_bytes <= 100 * (64 << 10));
        // And a reader that comes back gets everything.
        assert_eq!(read_all(&stalled[0]).await.unwrap(), pattern(2 << 20));
    })
    .await;
}

#[tokio::test]
async fn a_dropped_stream_is_reset_at_the_other_end() {
    within(async {
        let pair = pair(options(), options()).await;
        let stream = pair
            .relay
            .open("x".into(), RequestBody::Follows, Terms::default())
            .unwrap();
        let (theirs, _) = pair.agent.accept().await.unwrap();
        drop(stream);
        let error = read(&theirs).await.unwrap_err();
        assert!(
            matches!(
                error,
                StreamError::Reset {
                    reason: ResetReason::Cancelled,
                    ..
                }
            ),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_drops_half_an_answer_never_makes_it_look_complete() {
    within(async {
        let pair = pair(options(), options()).await;
        let stream = pair
            .relay
            .open("x".into(), RequestBody::Absent, Terms::default())
            .unwrap();
        let (theirs, _) = pair.agent.accept().await.unwrap();
        theirs.send_head(Bytes::new()).unwrap();
        theirs.write("half".into(), false).unwrap();
        drop(theirs);
        head(&stream).await.ok();
        let error = read_all(&stream).await.unwrap_err();
        assert!(matches!(error, StreamError::Reset { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn trailers_end_a_half() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(echo(pair.agent.clone()));
        let stream = pair
            .relay
            .open("x".into(), RequestBody::Follows, Terms::default())
            .unwrap();
        stream.write("body".into(), false).unwrap();
        stream.send_trailers("fields".into()).unwrap();
        assert_eq!(read(&stream).await.unwrap(), Read::Data("body".into()));
        assert_eq!(
            read(&stream).await.unwrap(),
            Read::Trailers("fields".into())
        );
        assert_eq!(read(&stream).await.unwrap(), Read::End);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_expires_cuts_its_streams() {
    let pair = pair(options(), options()).await;
    let deadline = Instant::now() + Duration::from_secs(3);
    let terms = Terms {
        deadline: Some(deadline),
        owner: 7,
    };
    let stream = pair
        .relay
        .open("watch".into(), RequestBody::Absent, terms)
        .unwrap();
    let (theirs, _) = pair.agent.accept().await.unwrap();
    let error = read(&stream).await.unwrap_err();
    assert!(
        matches!(
            error,
            StreamError::Cut {
                reason: ResetReason::PermitEnded,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(Instant::now().duration_since(deadline) < Duration::from_millis(500));
    let error = failure(&theirs).await;
    assert!(
        matches!(
            error,
            StreamError::Reset {
                reason: ResetReason::PermitEnded,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn streams_of_one_owner_are_cut_together() {
    within(async {
        let pair = pair(options(), options()).await;
        let open = |owner| {
            pair.relay
                .open(
                    "x".into(),
                    RequestBody::Absent,
                    Terms {
                        owner,
                        deadline: None,
                    },
                )
                .unwrap()
        };
        let (theirs, others) = ([open(1), open(1)], open(2));
        assert_eq!(
            pair.relay
                .end_streams(1, ResetReason::PermitEnded, "the job has ended"),
            2
        );
        for stream in &theirs {
            assert!(read(stream).await.is_err());
        }
        let cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(others.poll_read(&cx).is_pending());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dead_after_fifteen_seconds() {
    let mut pair = pair(options(), options()).await;
    let stream = pair
        .relay
        .open("watch".into(), RequestBody::Absent, Terms::default())
        .unwrap();
    let (theirs, _) = pair.agent.accept().await.unwrap();
    let silent_since = Instant::now();
    pair.wire.fall_silent().await;
    for stream in [stream, theirs] {
        let error = failure(&stream).await;
        let StreamError::SessionEnded(end) = error else {
            panic!("{error:?}")
        };
        assert!(matches!(*end, SessionError::Silent(15)), "{end:?}");
    }
    let noticed = silent_since.elapsed();
    assert!(
        (Duration::from_secs(14)..Duration::from_secs(16)).contains(&noticed),
        "{noticed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_stays_up() {
    let pair = pair(options(), options()).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!pair.relay.is_closed() && !pair.agent.is_closed());
    assert!(pair.relay.round_trip().is_some());
}

#[tokio::test]
async fn a_drained_session_finishes_what_runs_and_opens_nothing() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut tasks = JoinSet::new();
        let stream = pair
            .relay
            .open("x".into(), RequestBody::Follows, Terms::default())
            .unwrap();
        tasks.spawn(echo(pair.agent.clone()));
        pair.agent.drain("rolling update");
        pair.relay.draining().await;
        assert!(
            pair.relay
                .open("y".into(), RequestBody::Absent, Terms::default())
                .is_err()
        );
        write_all(&stream, pattern(100_000), true).await.unwrap();
        assert_eq!(read_all(&stream).await.unwrap(), pattern(100_000));
        drop(stream);
        pair.agent.drained().await;
        pair.agent.close(adit_tunnel::CloseReason::Done, "drained");
        let end = pair.relay.closed().await;
        assert!(matches!(*end, SessionError::ClosedByPeer { .. }), "{end:?}");
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_vanishes_fails_every_stream() {
    within(async {
        let mut pair = pair(options(), options()).await;
        let stream = pair
            .relay
            .open("x".into(), RequestBody::Absent, Terms::default())
            .unwrap();
        pair.agent.accept().await.unwrap();
        pair.tasks.abort_all();
        let error = read(&stream).await.unwrap_err();
        assert!(
            matches!(
                error,
                StreamError::SessionEnded(_) | StreamError::Reset { .. }
            ),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn past_the_process_budget_the_hungriest_stream_is_reset() {
    within(async {
        let relay = Options {
            budget: Budget::new(300 << 10),
            ..options()
        };
        let pair = pair(relay.clone(), options()).await;
        let mut tasks = JoinSet::new();
        let agent = pair.agent.clone();
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Some((stream, _)) = agent.accept().await {
                streams.spawn(async move {
                    stream.send_head(Bytes::new())?;
                    write_all(&stream, pattern(1 << 20), true).await
                });
            }
        });
        let mut streams = Vec::new();
        while streams.len() < 5 {
            match pair
                .relay
                .open("x".into(), RequestBody::Absent, Terms::default())
            {
                Ok(stream) => streams.push(stream),
                Err(_) => break,
            }
        }
        for stream in &streams {
            let _ = head(stream).await;
        }
        let mut cut = 0;
        for stream in streams {
            cut += usize::from(read_all(&stream).await.is_err());
        }
        assert!(cut >= 1);
        assert_eq!(relay.budget.held(), 0);
    })
    .await;
}

#[tokio::test]
async fn callers_that_cancel_at_once_are_stopped_before_the_agent_loses_patience() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut agent = JoinSet::new();
        let accepting = pair.agent.clone();
        agent.spawn(async move {
            let mut held = Vec::new();
            while let Some((stream, _)) = accepting.accept().await {
                held.push(stream);
                held.retain(has_not_failed);
            }
        });
        let mut refused = 0;
        for _ in 0..40_000 {
            match pair
                .relay
                .open("x".into(), RequestBody::Absent, Terms::default())
            {
                Ok(stream) => {
                    // Its head leaves before it is cancelled.
                    tokio::task::yield_now().await;
                    drop(stream);
                }
                Err(OpenError::TooManyCancels) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 0);
        assert!(!pair.relay.is_closed() && !pair.agent.is_closed());
    })
    .await;
}

#[tokio::test]
async fn a_cancel_behind_the_answers_head_is_no_abuse() {
    within(async {
        let pair = pair(options(), options()).await;
        let mut agent = JoinSet::new();
        let accepting = pair.agent.clone();
        agent.spawn(async move {
            let mut watches = Vec::new();
            while let Some((stream, head)) = accepting.accept().await {
                let _ = stream.send_head(head);
                watches.push(stream);
                watches.retain(has_not_failed);
            }
        });
        for _ in 0..45_000 {
            let stream = pair
                .relay
                .open("x".into(), RequestBody::Absent, Terms::default())
                .unwrap();
            head(&stream).await.unwrap();
        }
        assert!(!pair.relay.is_closed() && !pair.agent.is_closed());
    })
    .await;
}

fn has_not_failed(stream: &adit_tunnel::TunnelStream) -> bool {
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    stream.poll_failure(&cx).is_pending()
}
