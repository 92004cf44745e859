//! Hops that die, vanish without a word, or come back: found out in time, named rightly, recovered from without hands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adit_tests::{
    AgentBuilder, Answer, Caller, Direction, Kube, Line, TestAgent, TestRelay, World, agent, body,
    caller::{breaks_off, get, request},
    job, kube, logs, pass, relay, scenario, until, within, world,
};
use http::{Method, Response, StatusCode};
use tokio::{sync::watch, time::Instant};

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
        breaks_off(watch).await;
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
            breaks_off(watch).await;
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
        breaks_off(watch).await;
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
                    let mut body = respond.send_response(Response::new(()), false).unwrap();
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

/// The usual case with a line on each of the agent's legs.
struct Lined {
    kube: Kube,
    relay: TestRelay,
    agent: TestAgent,
    job: Caller,
    to_relay: Line,
    to_kube: Line,
}

impl Lined {
    async fn start() -> Self {
        Self::start_with(async |agent, _, _| agent.start().await).await
    }

    /// `start` may change the agent, or the lines on which it will dial relay and API server, and starts it.
    async fn start_with(start: impl AsyncFnOnce(AgentBuilder, &Line, &Line) -> TestAgent) -> Self {
        let kube = kube().start().await;
        let relay = relay().start().await;
        let to_relay = Line::to(relay.address()).await;
        let to_kube = Line::to(kube.address()).await;
        let agent = agent("prod")
            .to(&relay)
            .via(to_relay.address())
            .serving_by(kube.kubeconfig_via(to_kube.address()));
        let agent = start(agent, &to_relay, &to_kube).await;
        let job = relay.job(9001);
        Self {
            kube,
            relay,
            agent,
            job,
            to_relay,
            to_kube,
        }
    }

    async fn stop(self) {
        self.relay.stop().await;
        self.agent.stop().await;
        drop((self.to_relay, self.to_kube));
        self.kube.stop().await;
    }
}

#[test]
fn line_that_breaks_is_dialled_again() {
    scenario(async {
        let mut lined = Lined::start().await;
        for round in 0..5 {
            let http2 = lined.job.http2().await;
            let watch = http2.send(get("/watch")).await.unwrap();
            if round % 2 == 0 {
                lined.to_relay.cut();
            } else {
                lined.to_relay.close().await;
                lined.to_relay.reopen().await;
            }
            breaks_off(watch).await;
            // Waits for the agent, which is back in a moment.
            http2.get("/api").await.echo();
            lined.kube.until_open(0).await;
        }
        let metric = "adit_relay_tunnel_ends_total{cause=\"lost\"}";
        lined.relay.until_metric(metric, |ends| ends == 5.0).await;
        lined.stop().await;
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
            assert_eq!(refused.told(), (502, "agent_lost", "agent", None));
        }
        world.kube.until_open(0).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn slow_line_carries_everything() {
    scenario(async {
        let lined = Lined::start().await;
        lined.to_relay.delay(Duration::from_millis(20));
        let http2 = lined.job.http2().await;
        let downloads = futures_util::future::join_all((0..4).map(|_| http2.get("/big/1000000")));
        for answer in downloads.await {
            assert_eq!(answer.body.len(), 1_000_000);
        }
        drop(http2);
        lined.stop().await;
    });
}

/// An agent that will not get in.
async fn shut_out(world: &World, change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> TestAgent {
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
fn agent_is_ready_once_its_api_server_has_answered() {
    scenario(async {
        // An answer of any kind: who is told 403 is there.
        let forbids = kube().answer("/version", |_| async {
            let mut answer = Response::new(body::full("{}"));
            *answer.status_mut() = StatusCode::FORBIDDEN;
            answer
        });
        let (relay, mut kube) = (relay().start().await, forbids.start().await);
        kube.kill().await;
        let agent = agent("prod").to(&relay).serving(&kube).start().await;
        let missing = (503, "missing: api server\n".to_owned());
        assert_eq!(agent.admin_get("/readyz").await, missing);
        kube.revive().await;
        // Then it asks again.
        pass(Duration::from_secs(5)).await;
        let is_ready = async { while agent.admin_get("/readyz").await.0 != 200 {} };
        within("it is ready", is_ready).await;
        // Nor is it taken back, so that no rollout or balancer goes by an API server's moods.
        kube.kill().await;
        let answer = relay.job(9001).get("/api").await;
        assert_eq!(answer.refused().status, 502);
        assert_eq!(agent.admin_get("/readyz").await.0, 200);
        agent.stop().await;
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn agents_log_tells_each_time_that_its_api_server_went_away() {
    scenario(async {
        let mut world = world().await;
        let told = |what| logs().matches(what).count();
        for times in 1..=2 {
            world.kube.kill().await;
            for _ in 0..3 {
                let answer = world.job.get("/api").await;
                assert_eq!(answer.refused().status, 502);
            }
            assert_eq!(told("the API server does not answer"), times);
            world.kube.revive().await;
            world.job.get("/api").await.echo();
            assert_eq!(told("the API server is there again"), times);
            // It is told once a minute at most.
            pass(Duration::from_secs(60)).await;
        }
        world.stop().await;
    });
}

#[test]
fn agents_log_takes_no_connection_for_an_answer() {
    scenario(async {
        let told = |what| logs().matches(what).count();
        let (asked, answers) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
        let (counted, answering) = (Arc::clone(&asked), answers.subscribe());
        // Until then it takes connections and requests, and says nothing.
        let mute = kube().http1_only().raw(move |mut connection| {
            let (asked, mut answering) = (Arc::clone(&counted), answering.clone());
            async move {
                while connection.head().await.is_some() {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let told = answering.wait_for(|answers| *answers).await;
                    told.expect("the test waits for it");
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                    connection.write(answer).await.ok();
                }
            }
        });
        let (relay, kube) = (relay().start().await, mute.start().await);
        let starting = agent("prod").to(&relay).serving(&kube).start();
        // It does not connect before it has waited for an answer.
        let (agent, ()) = tokio::join!(starting, pass(Duration::from_secs(5)));
        assert_eq!(told("the API server does not answer"), 1);
        let before = asked.load(Ordering::SeqCst);
        let has_asked = || asked.load(Ordering::SeqCst) > before;
        pass(Duration::from_secs(60)).await;
        until("it asks again, by another connection", has_asked).await;
        assert_eq!(told("the API server does not answer"), 1);
        assert_eq!(told("the API server is there again"), 0);
        assert_eq!(told("the API server answers at last"), 0);
        answers.send_replace(true);
        until("it is told", || told("the API server answers at last") == 1).await;
        assert_eq!(told("the API server is there again"), 0);
        agent.stop().await;
        relay.stop().await;
        kube.stop().await;
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
            refused.told(),
            (502, "api_server_unreachable", "api-server", None)
        );
        agent.stop().await;
        world.stop().await;
    });
}

#[test]
fn connection_that_goes_silent_in_its_handshake_holds_up_nobody() {
    scenario(async {
        let lined = Lined::start_with(async |agent, to_relay, _| {
            to_relay.swallow(&[Direction::Back]);
            agent
                .with("relay", "connect_timeout", "300ms")
                .start_anyway()
                .await
        })
        .await;
        until("it tried again", || lined.to_relay.connections() >= 3).await;
        lined.to_relay.mend();
        within("its tunnel", lined.agent.connected()).await;
        lined.job.get("/api").await.echo();
        lined.stop().await;
    });
}
