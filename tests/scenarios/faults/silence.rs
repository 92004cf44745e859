//! Peers that vanish without a word, at the default settings: given up within 20 seconds. The clock is tokio's and runs ahead
//! while everybody waits, so these take no time; the line keeps its connections open, as a firewall that drops packets does.

use std::time::Duration;

use adit_tests::{
    Answer, Direction, body,
    caller::{get, request},
    scenario, until,
};
use http::{Method, StatusCode};
use tokio::time::{Instant, timeout};

use super::Lined;

const IN_TIME: Duration = Duration::from_secs(20);
const BOTH: [Direction; 2] = [Direction::There, Direction::Back];

/// A POST without an answer, and a watch with one, both before the silence; how each ended and when.
async fn ends_in_time(lined: &Lined, silence: impl AsyncFnOnce()) -> Answer {
    let http2 = lined.job.http2().await;
    let watch = http2.send(get("/watch")).await.unwrap();
    let mut pending = Box::pin(http2.send(request(Method::POST, "/never", body::empty())));
    tokio::select! {
        _ = pending.as_mut() => panic!("nobody answers"),
        () = lined.kube.until_open(2) => {}
    }
    tokio::time::pause();
    silence().await;
    let began = Instant::now();
    let answer = timeout(IN_TIME, pending)
        .await
        .expect("the request is answered in time")
        .unwrap();
    timeout(IN_TIME - began.elapsed(), Answer::of(watch))
        .await
        .expect("the watch ends in time")
        .expect_err("it must not look complete");
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "a moment of silence is no death: {:?}",
        began.elapsed()
    );
    let answer = Answer::of(answer).await.unwrap();
    tokio::time::resume();
    answer
}

#[test]
fn silent_agent_is_given_up() {
    for directions in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
        scenario(async {
            let lined = Lined::start().await;
            let answer = ends_in_time(&lined, async || lined.to_relay.swallow(directions)).await;
            let refused = answer.refused();
            assert_eq!(refused.told(), (502, "agent_lost", "agent", None));
            // The agent gives the relay up, too, and what it asked for.
            tokio::time::pause();
            until("the API server's requests are cancelled", || {
                lined.kube.open() == 0
            })
            .await;
            tokio::time::resume();
            lined.to_relay.mend();
            // Or the agent waits out the connection that it tried meanwhile.
            lined.to_relay.cut();
            recovers(&lined).await;
            lined.stop().await;
        });
    }
}

#[test]
fn silent_api_server_is_given_up() {
    for directions in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
        scenario(async {
            let lined = Lined::start().await;
            let answer = ends_in_time(&lined, async || lined.to_kube.swallow(directions)).await;
            let refused = answer.refused();
            assert_eq!(refused.hop, "api-server", "{refused:?}");
            assert!(matches!(refused.status, 502 | 504), "{refused:?}");
            lined.to_kube.mend();
            lined.to_kube.cut();
            recovers(&lined).await;
            lined.stop().await;
        });
    }
}

async fn recovers(lined: &Lined) {
    let began = Instant::now();
    while lined.job.get("/api").await.status != StatusCode::OK {
        assert!(began.elapsed() < adit_tests::SOON, "it does not recover");
    }
}
