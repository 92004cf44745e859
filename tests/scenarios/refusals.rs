//! Answers of the relay's own: each has its status, its reason, the hop that failed, and a message that says what to do.

use std::time::{Duration, SystemTime};

use adit_tests::{
    AgentBuilder, Answer, AuditLog, Direction, Line, Refused, RelayBuilder, World, agent, body,
    caller::{get, request},
    job, kube, logs, relay, scenario, within, world,
};
use http::{HeaderValue, Method, StatusCode, header};
use prost_types::Timestamp;
use tokio::time::Instant;

mod bounds;
mod by_agents;
mod forms;

#[track_caller]
fn expect(refused: &Refused, status: u16, reason: &str, hop: &str, retry_after: Option<u32>) {
    let message = &refused.message;
    assert_eq!(
        refused.told(),
        (status, reason, hop, retry_after),
        "{message}"
    );
    assert!(message.starts_with("adit: "), "{message}");
    assert!(
        message.contains(hop) && message.contains(&refused.request_id),
        "{message}"
    );
}

#[test]
fn mistakes_of_the_caller_are_named() {
    scenario(async {
        let world = world().await;
        let everywhere = world.job.under("");
        let http2 = everywhere.http2().await;
        for (path, status, reason) in [
            ("/api", 404, "unknown_path"),
            ("/k8s-proxy/api/../x", 400, "bad_path"),
            ("/k8s-proxy/%2e%2E/x", 400, "bad_path"),
            ("/k8s-proxy/agents/x/api", 400, "bad_path"),
        ] {
            let refused = http2.get(path).await.refused();
            expect(&refused, status, reason, "client", None);
        }
        let post = request(Method::POST, "/adit/v1/agents", body::empty());
        let refused = http2.answer(post).await.refused();
        expect(&refused, 405, "bad_method", "client", None);
        let mut impersonating = get("/k8s-proxy/api");
        impersonating
            .headers_mut()
            .insert("impersonate-user", HeaderValue::from_static("x"));
        let refused = http2.answer(impersonating).await.refused();
        expect(&refused, 400, "bad_request", "client", None);
        assert_eq!(world.kube.request_count(), 1);

        let mut connection = everywhere.raw_asking("CONNECT localhost:443", "").await;
        let (status, _, body) = within("an answer", connection.answer()).await.unwrap();
        assert_eq!(status, 405, "{}", String::from_utf8_lossy(&body));
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn body_that_is_no_chunks_is_lost_and_the_caller_told() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.raw().await;
        let head = world
            .job
            .head("POST /api", "Transfer-Encoding: chunked\r\n");
        connection
            .write(format!("{head}5\r\nhello\r\nnot a length\r\n"))
            .await
            .unwrap();
        let (status, _, body) = within("an answer", connection.answer()).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, &told["details"]["causes"][0]["message"]),
            (400, &"body_lost".into())
        );
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn head_that_the_agent_would_not_take_is_refused() {
    scenario(async {
        let strict = |agent: AgentBuilder| agent.with("limits", "max_head_bytes", 8192);
        let world = World::with(kube(), relay(), strict).await;
        let mut large = get("/api");
        large
            .headers_mut()
            .insert("x-large", HeaderValue::try_from("x".repeat(9000)).unwrap());
        let refused = world.job.http2().await.answer(large).await.refused();
        expect(&refused, 431, "head_too_large", "client", None);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn who_may_not_use_an_agent_does_not_learn_whether_it_exists() {
    scenario(async {
        let world = world().await;
        let foreign = world
            .relay
            .caller(&job(9001), "foreign")
            .get("/api")
            .await
            .refused();
        expect(&foreign, 403, "not_permitted", "client", None);
        let token = world.relay.issuer().token(&job(9001));
        let unknown = world
            .relay
            .showing(&format!("Bearer ci:4711:{token}"))
            .get("/api")
            .await
            .refused();
        expect(&unknown, 403, "not_permitted", "client", None);
        let told = |refused: &Refused, id: &str| {
            refused
                .message
                .replace(&refused.request_id, "")
                .replace(id, "")
        };
        assert_eq!(told(&foreign, "3"), told(&unknown, "4711"));
        world.stop().await;
    });
}

#[test]
fn a_job_that_is_refused_over_and_over_does_not_fill_the_log() {
    scenario(async {
        let world = world().await;
        let foreign = world.relay.caller(&job(9001), "foreign").http2().await;
        let began = Instant::now();
        for _ in 0..100 {
            let refused = foreign.get("/api").await.refused();
            expect(&refused, 403, "not_permitted", "client", None);
        }
        let seconds = began.elapsed().as_secs();
        let log = logs();
        let refused = log.lines().filter(|line| line.contains("not_permitted"));
        let (loud, quiet): (Vec<_>, Vec<_>) = refused.partition(|line| line.contains(" INFO "));
        assert_eq!(loud.len() + quiet.len(), 100, "{log}");
        assert!((1..=2 + seconds as usize).contains(&loud.len()), "{log}");
        // Each says whose job it is, and which agent was meant.
        let issuer = job(9001).issuer;
        for line in loud.iter().chain(&quiet) {
            for told in [
                "job.id=9001",
                "job.project=\"group/sub/app\"",
                "agent.id=3",
                &format!("authority=\"{issuer}\""),
            ] {
                assert!(line.contains(told), "{told} is not in {line}");
            }
        }
        drop(foreign);
        world.stop().await;
    });
}

#[test]
fn who_is_not_authenticated_learns_nothing() {
    scenario(async {
        let world = world().await;
        let mut answers = Vec::new();
        for path in [
            "/k8s-proxy/agents/1/api",
            "/k8s-proxy/agents/2/api",
            "/k8s-proxy/agents/3/api",
            "/k8s-proxy/agents/4711/api",
            "/k8s-proxy/api",
            "/adit/v1/agents",
        ] {
            let answer = world.job.anonymous().under("").get(path).await;
            let refused = answer.refused();
            expect(&refused, 401, "credential_missing", "client", None);
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(answer.headers["gitlab-unauthorized"], "true");
            answers.push(answer.text().replace(&refused.request_id, ""));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        for id in [1, 2, 3, 4711] {
            let refused = world
                .relay
                .showing(&format!("Bearer ci:{id}:eyJ.eyJ.x"))
                .get("/api")
                .await
                .refused();
            assert_eq!(
                (refused.status, refused.reason.as_str()),
                (401, "token_malformed"),
                "{refused:?}"
            );
        }
        world.stop().await;
    });
}

/// A world whose agent was there, and has left.
async fn left_by_its_agent(relay: RelayBuilder) -> World {
    let mut world = World::of(kube(), relay).await;
    world.agent.drain(Duration::from_secs(1)).await;
    world
        .relay
        .until_metric("adit_relay_tunnels_open", |open| open == 0.0)
        .await;
    world
}

/// This one, as messages have it.
fn second() -> String {
    let now = Timestamp::from(SystemTime::now());
    Timestamp { nanos: 0, ..now }.to_string()
}

#[test]
fn offline_agent_is_told_at_once_and_since_when() {
    scenario(async {
        let before = second();
        let world = left_by_its_agent(relay().with("route", "reconnecting", "0s")).await;
        let after = second();
        let began = Instant::now();
        let refused = world.job.get("/api").await.refused();
        assert!(began.elapsed() < Duration::from_secs(1));
        expect(&refused, 503, "agent_offline", "agent", None);
        let told = "agent group/sub/app:prod has been offline since ";
        let (_, since) = refused.message.split_once(told).unwrap();
        let since = &since[..before.len()];
        assert!(
            (before.as_str()..=after.as_str()).contains(&since),
            "{before} {since} {after}"
        );

        let never = world
            .relay
            .caller(&job(9001), "staging")
            .get("/api")
            .await
            .refused();
        expect(&never, 503, "agent_never_connected", "agent", None);
        assert!(
            never.message.contains("group/sub/app:staging"),
            "{}",
            never.message
        );
        world.stop().await;
    });
}

#[test]
fn agent_that_left_a_moment_ago_is_waited_for_and_no_longer() {
    scenario(async {
        let world = left_by_its_agent(relay().with("route", "wait", "300ms")).await;
        let began = Instant::now();
        let refused = world.job.get("/api").await.refused();
        assert!(
            (Duration::from_millis(290)..Duration::from_secs(3)).contains(&began.elapsed()),
            "{:?}",
            began.elapsed()
        );
        expect(&refused, 503, "agent_offline", "agent", Some(1));
        let metrics = world.relay.metrics().await;
        let waits = "adit_relay_stage_duration_seconds_count{stage=\"route\"}";
        assert_eq!(metrics.value(waits), 1.0);
        world.stop().await;
    });
}

#[test]
fn request_that_waits_when_the_relay_stops_is_sent_elsewhere() {
    scenario(async {
        let mut world = left_by_its_agent(relay().with("route", "wait", "600ms")).await;
        let mut http1 = world.job.http1().await;
        let (answer, ()) = tokio::join!(http1.get("/api"), async {
            // The request is on its way before the relay hears of its end.
            let known = "adit_relay_stage_duration_seconds_count{stage=\"authenticate\"}";
            world.relay.until_metric(known, |count| count == 1.0).await;
            world.relay.drain(Duration::from_secs(5)).await;
        });
        expect(&answer.refused(), 503, "draining", "relay", Some(1));
        drop(http1);
        world.stop().await;
    });
}

#[test]
fn api_server_that_is_away_is_named() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let (answer, ()) = tokio::join!(http2.send(get("/never")), async {
            world.kube.until_open(1).await;
            world.kube.kill().await;
        });
        let refused = Answer::of(answer.unwrap()).await.unwrap().refused();
        expect(&refused, 502, "api_server_lost", "api-server", None);
        let refused = http2.get("/api").await.refused();
        expect(&refused, 502, "api_server_unreachable", "api-server", None);
        for kind in ["broken", "unreachable"] {
            let failures = format!("adit_agent_failures_total{{kind=\"{kind}\"}}");
            world
                .agent
                .until_metric(&failures, |count| count == 1.0)
                .await;
        }
        assert!(
            refused.message.contains("group/sub/app:prod"),
            "{}",
            refused.message
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn api_server_that_says_nothing_is_named() {
    scenario(async {
        let kube = kube().start().await;
        let line = Line::to(kube.address()).await;
        line.swallow(&[Direction::There]);
        let log = AuditLog::default();
        let relay = log.of(relay()).start().await;
        let agent = agent("prod")
            .to(&relay)
            .serving_by(kube.kubeconfig_via(line.address()));
        let agent = agent
            .with("kubernetes", "connect_timeout", "300ms")
            .start()
            .await;
        let refused = relay.job(9001).get("/api").await.refused();
        expect(&refused, 504, "timed_out", "api-server", None);
        let timed_out = "adit_agent_failures_total{kind=\"timed_out\"}";
        agent.until_metric(timed_out, |count| count == 1.0).await;
        // What was waited for is told of the hop that failed, and of its stage.
        let records = log.until(1).await;
        let micros = &records[0]["microseconds"];
        assert!(
            micros["api_server"].as_u64() >= Some(300_000),
            "{records:?}"
        );
        assert!(micros["tunnel"].is_null(), "{records:?}");
        let forward = "adit_relay_stage_duration_seconds_count{stage=\"forward\"}";
        assert_eq!(relay.metrics().await.value(forward), 1.0);
        line.mend();
        relay.job(9001).get("/api").await.echo();
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}

#[test]
fn agent_that_is_lost_is_named() {
    scenario(async {
        let log = AuditLog::default();
        let mut world = World::of(kube(), log.of(relay())).await;
        let http2 = world.job.http2().await;
        let (answer, ()) = tokio::join!(
            http2.send(request(Method::POST, "/never", body::empty())),
            async {
                world.kube.until_open(1).await;
                world.agent.kill().await;
            }
        );
        let refused = Answer::of(answer.unwrap()).await.unwrap().refused();
        expect(&refused, 502, "agent_lost", "agent", None);
        let records = log.until(1).await;
        let micros = &records[0]["microseconds"];
        assert!(
            micros["tunnel"].is_u64() && micros["api_server"].is_null(),
            "{records:?}"
        );
        assert!(refused.message.contains("not known"), "{}", refused.message);
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn every_answer_of_our_own_is_counted() {
    scenario(async {
        let world = world().await;
        for _ in 0..3 {
            assert_eq!(
                world.job.anonymous().get("/api").await.status,
                StatusCode::UNAUTHORIZED
            );
        }
        world.job.get("/api").await.echo();
        let metrics = world.relay.metrics().await;
        assert_eq!(
            metrics.value("adit_relay_refusals_total{reason=\"credential_missing\"}"),
            3.0
        );
        assert_eq!(
            metrics.sum_where("adit_relay_requests_total", "outcome=\"refused\""),
            3.0
        );
        assert_eq!(
            metrics.sum_where("adit_relay_requests_total", "outcome=\"answered\""),
            1.0
        );
        world.stop().await;
    });
}
