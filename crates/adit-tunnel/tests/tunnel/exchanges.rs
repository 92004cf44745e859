//! Streams that run well: whole, many at once, and beside readers that have stopped.

use std::time::Duration;

use adit_tunnel::{Options, Read, SessionError};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::{
    distant_pair, echoing_pair, head, pair, pattern, read, read_all, send_and_read, within,
    write_all,
};

#[tokio::test]
async fn an_exchange_crosses_whole() {
    within(async {
        let pair = echoing_pair().await;
        let stream = pair.post("GET /");
        let body = pattern(3 << 20);
        let (received, head) = tokio::join!(send_and_read(&stream, body.clone()), head(&stream));
        assert_eq!(head.unwrap(), "GET /");
        assert_eq!(received, body);
        assert!(stream.is_read_end());
        drop(stream);
        assert_eq!(pair.relay.stats().streams, 0);
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_streams_run_at_once() {
    within(async {
        let pair = echoing_pair().await;
        let exchanges = (0..500_usize).map(async |number| {
            let stream = pair.post(number.to_string());
            let body = pattern(number * 97);
            assert_eq!(send_and_read(&stream, body.clone()).await, body);
            assert_eq!(head(&stream).await.unwrap(), number.to_string());
        });
        join_all(exchanges).await;
        assert_eq!(pair.relay.stats().buffered_bytes, 0);
    })
    .await;
}

/// Nothing but a stream's credit holds bytes back. By HTTP/2's own default window it would take five hundred times there and back.
#[tokio::test(start_paused = true)]
async fn wire_that_is_far_carries_at_once_all_that_credit_allows() {
    const BYTES: usize = 4 << 20;
    let each_way = Duration::from_millis(100);
    let options = Options {
        stream_credit: 4 << 20,
        ..Options::default()
    };
    let pair = distant_pair(each_way, &options).await;
    let began = Instant::now();
    let exchanges = (0..7).map(async |_| {
        let stream = pair.post("far");
        let body = pattern(BYTES);
        assert_eq!(send_and_read(&stream, body.clone()).await, body);
    });
    join_all(exchanges).await;
    assert_eq!(began.elapsed(), 2 * each_way);
}

#[tokio::test]
async fn readers_that_stop_hold_up_nobody() {
    within(async {
        let mut pair = pair().await;
        pair.serve(async |stream, open| {
            stream.send_head(Bytes::new())?;
            let bytes = if open == "big" { 2 << 20 } else { 10 };
            write_all(&stream, pattern(bytes)).await
        });
        let stalled: Vec<_> = (0..100).map(|_| pair.get("big")).collect();
        for stream in &stalled {
            head(stream).await.unwrap();
        }
        for _ in 0..12 {
            assert_eq!(read_all(&pair.get("small")).await.unwrap().len(), 10);
        }
        assert!(pair.relay.stats().buffered_bytes <= 100 * (64 << 10));
        // And a reader that comes back gets everything.
        let first = stalled.first().unwrap();
        assert_eq!(read_all(first).await.unwrap(), pattern(2 << 20));
    })
    .await;
}

#[tokio::test]
async fn trailers_end_a_half() {
    within(async {
        let pair = echoing_pair().await;
        let stream = pair.post("x");
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

#[tokio::test]
async fn a_drained_session_finishes_what_runs_and_opens_nothing() {
    within(async {
        let pair = echoing_pair().await;
        let stream = pair.post("x");
        pair.agent.drain("rolling update");
        pair.relay.draining().await;
        let refused = pair.relay.open(
            "y".into(),
            adit_tunnel::RequestBody::Absent,
            adit_tunnel::Terms::default(),
        );
        assert!(refused.is_err());
        let body = pattern(100_000);
        assert_eq!(send_and_read(&stream, body.clone()).await, body);
        drop(stream);
        pair.agent.drained().await;
        pair.agent.close(adit_tunnel::CloseReason::Done, "drained");
        let end = pair.relay.closed().await;
        assert!(matches!(*end, SessionError::ClosedByPeer { .. }), "{end:?}");
    })
    .await;
}
