//! Hops that die, vanish without a word, or come back: found out in time, named rightly, recovered from without hands.

use std::time::Duration;

use adit_tests::{
    Answer, Direction, Line, TestAgent, World, agent, body,
    caller::{get, request},
    job, kube, logs, relay, scenario, until, within, world,
};
use http::{Method, StatusCode};
use tokio::time::Instant;

mod silence;

/// Asks until the answer is good; nobody helps meanwhile.
async fn until_answered(world: &World) {
    let began = Instant::now();
    loop {
        let answer = world.job.get("/api").await;
        if answer.status == StatusCode::OK {
            return;
        }
        assert!(
            began.elapsed() < adit_tests::SOON,
            "still {}",
            answer.text()
        );
    }
}

#[test]
fn relay_that_restarts_gets_its_agents_back() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        world.relay.kill().await;
        within("the watch's end", Answer::of(watch))
            .await
            .expect_err("it must not look complete");
        until("the API server's requests are cancelled", || {
            world.kube.open() == 0
        })
        .await;
        drop(http2);
        world.relay.revive().await;
        until_answered(&world).await;
        world.stop().await;
    });
}

#[test]
fn agent_that_restarts_serves_again() {
    scenario(async {
        let mut world = world().await;
        let (http2, mut http1) = (world.job.http2().await, world.job.http1().await);
        let watches = [
            http2.send(get("/watch")).await.unwrap(),
            http1.send(get("/watch")).await.unwrap(),
        ];
        world.agent.kill().await;
        for watch in watches {
            within("the watch's end", Answer::of(watch))
                .await
                .expect_err("it must not look complete");
        }
        until("the API server's requests are cancelled", || {
            world.kube.open() == 0
        })
        .await;
        // Who asks meanwhile waits, and gets an answer.
        let (answer, ()) = tokio::join!(http2.get("/api"), world.agent.revive());
        answer.echo();
        drop((http2, http1));
        world.stop().await;
    });
}

#[test]
fn api_server_that_restarts_is_found_again() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        world.kube.kill().await;
        within("the watch's end", Answer::of(watch))
            .await
            .expect_err("it must not look complete");
        assert_eq!(http2.get("/api").await.refused().hop, "api-server");
        world.kube.revive().await;
        until_answered(&world).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn api_server_that_says_goodbye_loses_no_request() {
    scenario(async {
        // As an API server does each few minutes on purpose: one answer, then GOAWAY.
        let script =
            async |mut connection: h2::server::Connection<adit_tests::Io, bytes::Bytes>| {
                let mut answered = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let mut body = respond
                        .send_response(http::Response::new(()), false)
                        .unwrap();
                    body.send_data("ok".into(), true).unwrap();
                    answered += 1;
                    if answered == 2 {
                        connection.graceful_shutdown();
                    }
                }
            };
        let world = World::of(kube().http2_by_hand(script), relay()).await;
        let http2 = world.job.http2().await;
        for _ in 0..60 {
            let answer = http2.get("/api").await;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (StatusCode::OK, "ok")
            );
        }
        assert!(world.kube.accepted() >= 20);
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn line_that_breaks_is_dialled_again() {
    scenario(async {
        let kube = kube().start().await;
        let relay = relay().start().await;
        let mut line = Line::to(relay.address()).await;
        let agent = agent("prod")
            .to(&relay)
            .via(line.address())
            .serving(&kube)
            .start()
            .await;
        for round in 0..5 {
            let http2 = relay.job(9001).http2().await;
            let watch = http2.send(get("/watch")).await.unwrap();
            if round % 2 == 0 {
                line.cut();
            } else {
                line.close().await;
                line.reopen().await;
            }
            within("the watch's end", Answer::of(watch))
                .await
                .expect_err("it must not look complete");
            // Waits for the agent, which is back in a moment.
            http2.get("/api").await.echo();
            kube.until_open(0).await;
        }
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}

#[test]
fn pending_requests_are_told_when_the_agent_dies() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let pending = futures_util::future::join_all(
            (0..500).map(|_| http2.send(request(Method::POST, "/never", body::empty()))),
        );
        let (answers, ()) = tokio::join!(pending, async {
            world.kube.until_open(500).await;
            world.agent.kill().await;
        });
        for answer in answers {
            let refused = Answer::of(answer.unwrap()).await.unwrap().refused();
            assert_eq!(
                (
                    refused.status,
                    refused.reason.as_str(),
                    refused.hop.as_str()
                ),
                (502, "agent_lost", "agent")
            );
        }
        world.kube.until_open(0).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn slow_line_carries_everything() {
    scenario(async {
        let kube = kube().start().await;
        let relay = relay().start().await;
        let line = Line::to(relay.address()).await;
        line.delay(Duration::from_millis(20));
        let agent = agent("prod")
            .to(&relay)
            .via(line.address())
            .serving(&kube)
            .start()
            .await;
        let http2 = relay.job(9001).http2().await;
        let downloads = futures_util::future::join_all((0..4).map(|_| http2.get("/big/1000000")));
        for answer in downloads.await {
            assert_eq!(answer.body.len(), 1_000_000);
        }
        drop(http2);
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}

/// An agent that will not get in.
async fn shut_out(
    world: &World,
    change: impl FnOnce(adit_tests::AgentBuilder) -> adit_tests::AgentBuilder,
) -> TestAgent {
    let builder = agent("staging").to(&world.relay).serving(&world.kube);
    change(builder).start_anyway().await
}

#[test]
fn agent_that_does_not_believe_the_relay_stays_away_and_says_why() {
    scenario(async {
        let world = world().await;
        let folder = tempfile::tempdir().unwrap();
        let other = adit_tests::pki::Pki::new("somebody else").write_ca(folder.path());
        let agent = shut_out(&world, |agent| {
            agent.with("relay", "ca_file", other.display())
        })
        .await;
        until("the log says why", || logs().contains("relay.ca_file")).await;
        assert_eq!(
            world.relay.metrics().await.value("adit_relay_tunnels_open"),
            1.0
        );
        assert_eq!(agent.admin_get("/readyz").await.0, 503);
        agent.stop().await;
        world.stop().await;
    });
}

#[test]
fn agent_that_the_relay_does_not_know_is_told() {
    scenario(async {
        let world = world().await;
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "canary-unknown-agent-token").unwrap();
        let agent = shut_out(&world, |agent| {
            agent.with("relay", "token_file", token.display())
        })
        .await;
        until("the log says why", || logs().contains("adit token new")).await;
        assert!(
            world
                .relay
                .metrics()
                .await
                .value("adit_relay_tunnels_refused_total{reason=\"unauthenticated\"}")
                >= 1.0
        );
        let refused = world
            .relay
            .caller(&job(9001), "staging")
            .get("/api")
            .await
            .refused();
        assert_eq!(refused.reason, "agent_never_connected");
        agent.stop().await;
        world.stop().await;
    });
}

#[test]
fn agent_does_not_believe_another_api_server() {
    scenario(async {
        let world = world().await;
        let other = adit_tests::pki::Pki::new("somebody else");
        std::fs::write(
            world.kube.kubeconfig().with_file_name("ca.pem"),
            other.ca_pem(),
        )
        .unwrap();
        let agent = agent("staging")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let refused = world
            .relay
            .caller(&job(9001), "staging")
            .get("/api")
            .await
            .refused();
        assert_eq!(
            (
                refused.status,
                refused.reason.as_str(),
                refused.hop.as_str()
            ),
            (502, "api_server_unreachable", "api-server")
        );
        agent.stop().await;
        world.stop().await;
    });
}

#[test]
fn connection_that_goes_silent_in_its_handshake_holds_up_nobody() {
    scenario(async {
        let kube = kube().start().await;
        let relay = relay().start().await;
        let line = Line::to(relay.address()).await;
        line.swallow(&[Direction::Back]);
        let agent = agent("prod")
            .to(&relay)
            .via(line.address())
            .serving(&kube)
            .with("relay", "connect_timeout", "300ms")
            .start_anyway()
            .await;
        until("it tried again", || line.connections() >= 3).await;
        line.mend();
        within("its tunnel", agent.connected()).await;
        relay.job(9001).get("/api").await.echo();
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}
