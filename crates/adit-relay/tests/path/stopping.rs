//! How a relay stops: it finishes what runs, cuts what outlasts the grace, and can be told to end at once.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::support::with_agent;

#[tokio::test]
async fn drain_with_nothing_left_ends() {
    with_agent(async |setup, _| {
        setup.both(setup.get("/k8s-proxy/api")).await;
        setup.relay.drain(Duration::from_secs(600)).await;
    })
    .await;
}

#[tokio::test]
async fn drain_lets_an_exchange_finish() {
    with_agent(async |setup, agent| {
        let slow = setup.http2(setup.get("/k8s-proxy/slow"));
        let drained = async {
            agent.begun().await;
            setup.relay.drain(Duration::from_secs(10)).await;
        };
        let release = async {
            agent.told_to_drain().await;
            agent.release();
        };
        let ((), (), answer) = tokio::join!(drained, release, slow);
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("GET /slow"));
    })
    .await;
}

#[tokio::test]
async fn drain_cuts_what_outlasts_the_grace() {
    with_agent(async |setup, agent| {
        let watch = setup.http2(setup.get("/k8s-proxy/watch"));
        let drained = async {
            agent.begun().await;
            setup.relay.drain(Duration::from_millis(1)).await;
        };
        let (answer, ()) = tokio::join!(watch, drained);
        assert!(
            answer.is_cut || answer.reason() == "agent_lost",
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn abort_ends_everything_at_once() {
    with_agent(async |setup, agent| {
        let mut socket = setup.raw_request("GET", "/k8s-proxy/watch", "").await;
        agent.begun().await;
        setup.relay.abort().await;
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "a watch that was cut must not look complete"
        );
    })
    .await;
}
