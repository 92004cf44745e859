//! Limits of a job and of a connection: who is at one is told, who floods is hung up on, and both are counted.

use h2::Reason;
use tokio::time::{Duration, timeout};

use crate::support::{Setup, ask, h2_head, while_open, with_agent, with_agent_and, within};

/// GETs under one token: the relay counts by job.
fn of_one_job(setup: &Setup) -> impl Fn(&str) -> http::Request<Vec<u8>> {
    let credential = format!("Bearer ci:7:{}", setup.token());
    move |path| setup.get_with(path, Some(&credential))
}

#[tokio::test]
async fn job_at_its_limit_is_told_to_wait() {
    let limits = "limits: {streams_per_job: 1}";
    with_agent_and(limits, async |setup, agent| {
        let get = of_one_job(&setup);
        tokio::select! {
            biased;
            answer = setup.http2(get("/k8s-proxy/watch")) => panic!("a watch does not end: {answer:?}"),
            () = async {
                agent.begun().await;
                let answer = setup.http1(get("/k8s-proxy/api")).await;
                answer.assert_refused(429, "job_streams");
                assert_eq!(answer.headers["retry-after"], "1");
            } => {}
        }
        agent.cancelled().await;
        // The place is free again once the watch is gone.
        while setup.http1(get("/k8s-proxy/api")).await.status != 200 {}
    })
    .await;
}

#[tokio::test]
async fn request_that_waits_for_its_agent_counts_for_its_job() {
    let limits = "route: {wait: 15s}\nlimits: {streams_per_job: 1}";
    with_agent_and(limits, async |setup, agent| {
        agent.stop().await;
        let get = of_one_job(&setup);
        let waiting = setup.http2(get("/k8s-proxy/api"));
        let others = async {
            while setup.http1(get("/adit/v1/agents")).await.reason() != "job_streams" {}
            setup.agent().await
        };
        let (answer, _agent) = tokio::join!(waiting, others);
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn list_of_agents_counts_for_its_job() {
    within(async {
        let setup = Setup::with("limits: {opens_per_second: 1}").await;
        let list = setup.get_with("/adit/v1/agents", Some(&setup.bare()));
        while setup.http1(list.clone()).await.reason() != "job_rate" {}
    })
    .await;
}

#[tokio::test]
async fn flood_of_requests_taken_back_ends_the_connection() {
    with_agent(async |setup, _| {
        let (mut send, connection) = setup.h2().await;
        let flood = async {
            for _ in 0..5_000 {
                let watch = h2_head(setup.get("/k8s-proxy/watch"));
                let Some((_, mut stream)) = ask(&mut send, watch).await else {
                    return;
                };
                stream.send_reset(Reason::CANCEL);
                tokio::task::yield_now().await;
            }
        };
        let (ended, ()) = tokio::join!(connection, flood);
        is_hasty(&setup, ended).await;
        assert_eq!(setup.http1(setup.get("/k8s-proxy/api")).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn requests_taken_back_are_limited_by_the_second() {
    let limits = "limits: {cancels_per_second: 1}";
    with_agent_and(limits, async |setup, agent| {
        let (mut send, connection) = setup.h2().await;
        let takes_back = async {
            for _ in 0..100 {
                let slow = h2_head(setup.get("/k8s-proxy/slow"));
                let Some((_, mut stream)) = ask(&mut send, slow).await else {
                    return;
                };
                // It has got as far as it can: h2 counts those that have not itself.
                let begun = timeout(Duration::from_secs(1), agent.begun());
                if begun.await.is_err() {
                    return;
                }
                stream.send_reset(Reason::CANCEL);
            }
        };
        let (ended, ()) = tokio::join!(connection, takes_back);
        is_hasty(&setup, ended).await;
    })
    .await;
}

/// The connection was ended for too many requests taken back, and counted as such.
async fn is_hasty(setup: &Setup, ended: Result<(), h2::Error>) {
    assert_eq!(ended.unwrap_err().reason(), Some(Reason::ENHANCE_YOUR_CALM));
    setup
        .assert_metrics(&["adit_relay_connections_refused_total{reason=\"hasty\"} 1"])
        .await;
}

#[tokio::test]
async fn connection_at_its_limit_of_requests_is_counted() {
    let limits = "limits: {streams_per_connection: 2}";
    with_agent_and(limits, async |setup, agent| {
        let (mut send, connection) = setup.h2().await;
        let asked = async {
            let mut waiting = Vec::new();
            for _ in 0..2 {
                let slow = h2_head(setup.get("/k8s-proxy/slow"));
                waiting.push(ask(&mut send, slow).await.unwrap());
            }
            while agent.open() < 2 {
                tokio::task::yield_now().await;
            }
            setup
                .assert_metrics(&["adit_relay_connections_full_total 1\n"])
                .await;
        };
        while_open(connection, asked).await;
    })
    .await;
}
