//! More than there is room for, and callers that leave by the thousand.

use std::time::Duration;

use adit_tunnel::{
    Budget, OpenError, Options, RequestBody, ResetReason, StreamError, Terms, TunnelStream,
};
use bytes::Bytes;

use crate::support::{
    Pair, has_not_failed, head, pair_of, pair_with, pattern, read_all, within, write_all,
};

/// A pair whose ends have little patience with those who cancel, because the agent takes few streams.
async fn pair_of_few_streams() -> Pair {
    let agent = Options {
        max_streams: 100,
        ..Options::default()
    };
    pair_of(Options::default(), agent).await
}

#[tokio::test]
async fn past_the_process_budget_the_hungriest_stream_is_reset() {
    within(async {
        let relay = Options {
            budget: Budget::new(300 << 10),
            ..Options::default()
        };
        let mut pair = pair_with(relay.clone()).await;
        pair.serve(async |stream, _| {
            stream.send_head(Bytes::new())?;
            write_all(&stream, pattern(1 << 20)).await
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
async fn past_the_process_budget_the_tunnel_that_holds_most_lets_go() {
    within(async {
        let relay = Options {
            budget: Budget::new(1 << 20),
            ..Options::default()
        };
        let mut hoarder = pair_with(relay.clone()).await;
        let mut other = pair_with(relay).await;
        for pair in [&mut hoarder, &mut other] {
            pair.serve(async |stream, _| {
                stream.send_head(Bytes::new())?;
                stream.write(pattern(64 << 10), true)
            });
        }
        // Nobody reads; seven eighths of the budget are room for 13.
        let hoarded: Vec<_> = (0..12).map(|_| hoarder.get("x")).collect();
        while hoarder.relay.stats().buffered_bytes < 12 * (64 << 10) {
            tokio::task::yield_now().await;
        }
        let asked: Vec<_> = (0..3).map(|_| other.get("x")).collect();
        while hoarder.relay.stats().buffered_bytes >= 12 * (64 << 10) {
            tokio::task::yield_now().await;
        }
        for stream in &asked {
            assert_eq!(read_all(stream).await.unwrap(), pattern(64 << 10));
        }
        let mut cut = 0;
        for stream in &hoarded {
            match read_all(stream).await {
                Ok(whole) => assert_eq!(whole, pattern(64 << 10)),
                Err(StreamError::Cut { reason, .. }) => {
                    assert_eq!(reason, ResetReason::Overloaded);
                    cut += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!((1..=3).contains(&cut), "{cut}");
    })
    .await;
}

/// Has the agent greet each stream like this, and hold it until it fails.
fn hold(pair: &mut Pair, greet: impl Fn(&TunnelStream, Bytes) + Send + 'static) {
    let agent = pair.agent.clone();
    pair.tasks.spawn(async move {
        let mut held = Vec::new();
        while let Some((stream, open)) = agent.accept().await {
            greet(&stream, open);
            held.push(stream);
            held.retain(has_not_failed);
        }
    });
}

// A clock that stands still: patience does not come back while a busy machine takes its time.
#[tokio::test(start_paused = true)]
async fn callers_that_cancel_at_once_are_stopped_before_the_agent_loses_patience() {
    within(async {
        let mut pair = pair_of_few_streams().await;
        hold(&mut pair, |_, _| {});
        let mut refused = 0;
        for _ in 0..12_000 {
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
        // What a refusal's `Retry-After` promises holds on a wire that stays silent.
        tokio::time::advance(Duration::from_secs(1)).await;
        pair.relay
            .open("x".into(), RequestBody::Absent, Terms::default())
            .unwrap();
    })
    .await;
}

// A clock that stands still: patience does not come back while a busy machine takes its time.
#[tokio::test(start_paused = true)]
async fn a_cancel_behind_the_answers_head_is_no_abuse() {
    within(async {
        let mut pair = pair_of_few_streams().await;
        hold(&mut pair, |stream, open| drop(stream.send_head(open)));
        for _ in 0..12_000 {
            head(&pair.get("x")).await.unwrap();
        }
        assert!(!pair.relay.is_closed() && !pair.agent.is_closed());
    })
    .await;
}
