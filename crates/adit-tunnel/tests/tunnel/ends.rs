//! Streams and tunnels that end by accident, by force, or because nobody speaks any more.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    pin::pin,
    task::{Context, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use adit_tunnel::{Options, RequestBody, ResetReason, SessionError, StreamError, Terms, testing};
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use crate::support::{assert_reset, failure, head, pair, read, read_all, wired_pair, within};

#[tokio::test]
async fn a_dropped_stream_is_reset_at_the_other_end() {
    within(async {
        let pair = pair().await;
        let stream = pair.post("x");
        let theirs = pair.accepted().await;
        drop(stream);
        assert_reset(&read(&theirs).await.unwrap_err(), ResetReason::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_drops_half_an_answer_never_makes_it_look_complete() {
    within(async {
        let pair = pair().await;
        let stream = pair.get("x");
        let theirs = pair.accepted().await;
        theirs.send_head(Bytes::new()).unwrap();
        theirs.write("half".into(), false).unwrap();
        drop(theirs);
        head(&stream).await.ok();
        let error = read_all(&stream).await.unwrap_err();
        assert!(matches!(error, StreamError::Reset { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_expires_cuts_its_streams() {
    let pair = pair().await;
    let deadline = Instant::now() + Duration::from_secs(3);
    let terms = Terms {
        deadline: Some(deadline),
        owner: 7,
    };
    let stream = pair
        .relay
        .open("watch".into(), RequestBody::Absent, terms)
        .unwrap();
    let theirs = pair.accepted().await;
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
    assert_reset(&failure(&theirs).await, ResetReason::PermitEnded);
}

#[tokio::test]
async fn streams_of_one_owner_are_cut_together() {
    within(async {
        let pair = pair().await;
        let open = |owner| {
            let terms = Terms {
                owner,
                deadline: None,
            };
            pair.relay
                .open("x".into(), RequestBody::Absent, terms)
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
        let cx = Context::from_waker(Waker::noop());
        assert!(others.poll_read(&cx).is_pending());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dead_after_fifteen_seconds() {
    let (pair, mut wire) = wired_pair().await;
    let stream = pair.get("watch");
    let theirs = pair.accepted().await;
    let silent_since = Instant::now();
    wire.fall_silent().await;
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
    let pair = pair().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!pair.relay.is_closed() && !pair.agent.is_closed());
    assert!(pair.relay.round_trip().is_some());
}

/// A relay has thousands of them: an alarm that wakes each for nothing is what they cost.
#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_is_woken_by_its_questions_alone() {
    let relay = Options {
        ping_interval: Duration::from_secs(27),
        ..Options::default()
    };
    let (_relay, _agent, driver) = testing::pair(relay, Options::default()).await;
    let (mut driver, mut moments) = (pin!(driver), BTreeSet::new());
    let watched = poll_fn(|cx| {
        moments.insert(Instant::now());
        driver.as_mut().poll(cx)
    });
    let hour = timeout(Duration::from_secs(3600), watched).await;
    assert!(hour.is_err(), "it stays up");
    // One in 25 seconds, when the agent asks, the first, and the end of the hour.
    assert!(moments.len() <= 146, "{}", moments.len());
}

/// So the questions of many reach their relay together.
#[tokio::test(start_paused = true)]
async fn an_agent_asks_at_whole_seconds_of_the_clock() {
    let (shown, began) = (SystemTime::now(), Instant::now());
    let relay = Options {
        ping_interval: Duration::from_secs(27),
        ..Options::default()
    };
    let (_relay, _agent, driver) = testing::pair(relay, Options::default()).await;
    let took = shown.elapsed().unwrap();
    let (mut driver, mut asked) = (pin!(driver), None);
    let watched = poll_fn(|cx| {
        let now = began.elapsed();
        if now >= Duration::from_secs(20) {
            asked.get_or_insert(now);
        }
        driver.as_mut().poll(cx)
    });
    assert!(timeout(Duration::from_secs(26), watched).await.is_err());
    let asked = asked.expect("it asks before 26 seconds are over");
    assert!(asked <= Duration::from_millis(25_001), "{asked:?}");
    // Its session began while the pair was made, and an alarm rings up to a millisecond late.
    let alarm = Duration::from_millis(2);
    let earliest = shown.duration_since(UNIX_EPOCH).unwrap() + asked - alarm;
    let until_whole = Duration::from_secs(1) - Duration::from_nanos(earliest.subsec_nanos().into());
    assert!(until_whole <= took + alarm, "{until_whole:?} of {took:?}");
}

#[tokio::test]
async fn an_agent_that_vanishes_fails_every_stream() {
    within(async {
        let mut pair = pair().await;
        let stream = pair.get("x");
        pair.accepted().await;
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
