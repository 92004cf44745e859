//! Several tunnels of one agent: what one refuses or loses goes to another, where that is safe.

use crate::support::{Agent, Setup, head, with_agent, with_agent_and};

#[tokio::test]
async fn request_that_one_replica_refuses_goes_to_another() {
    with_agent(async |setup, _| {
        let other = setup.agent().await;
        other.refuse_everything();
        for _ in 0..8 {
            let answer = setup.http2(setup.get("/k8s-proxy/api")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    })
    .await;
}

/// The replica that a request for `/slow` has reached dies, and another one would answer at once.
async fn dies_with_it(setup: &Setup, dying: Agent) -> Agent {
    dying.begun().await;
    let other = setup.agent().await;
    other.release();
    dying.stop().await;
    other
}

#[tokio::test]
async fn request_that_only_reads_outlives_its_replica() {
    with_agent(async |setup, dying| {
        let slow = setup.http1(setup.get("/k8s-proxy/slow"));
        let (answer, _other) = tokio::join!(slow, dies_with_it(&setup, dying));
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn request_that_writes_is_never_sent_twice() {
    with_agent(async |setup, dying| {
        let slow = setup.http1(setup.request("POST", "/k8s-proxy/slow", b"once".to_vec()));
        let (answer, _other) = tokio::join!(slow, dies_with_it(&setup, dying));
        answer.assert_refused(502, "agent_lost");
    })
    .await;
}

#[tokio::test]
async fn upgrade_is_never_sent_twice() {
    with_agent(async |setup, dying| {
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
        let mut socket = setup.raw_request("GET", "/k8s-proxy/slow", upgrade).await;
        let _other = dies_with_it(&setup, dying).await;
        assert!(head(&mut socket).await.starts_with("HTTP/1.1 502 "));
    })
    .await;
}

#[tokio::test]
async fn agent_that_reconnects_is_waited_for() {
    with_agent_and("route: {wait: 15s}", async |setup, agent| {
        agent.stop().await;
        let waiting = setup.http2(setup.get("/k8s-proxy/api"));
        let (answer, _agent) = tokio::join!(waiting, setup.agent());
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}
