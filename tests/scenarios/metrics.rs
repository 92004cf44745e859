//! What an operator sees in numbers: each metric that the documents name is there, and moves when that happens which it counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_tests::{
    KubeBuilder, Line, Metrics, TestIssuer, World, agent, body,
    caller::{breaks_off, get, request},
    kube, pass, relay, scenario, within, world,
};
use futures_util::future::join_all;
use http::{HeaderValue, Method, Response, StatusCode, header};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::upgrades::{SPDY, WEBSOCKET, upgrade};

mod kinds;
mod limits;

/// Each of these is so much by now.
#[track_caller]
fn are(metrics: &Metrics, expected: &[(&str, f64)]) {
    for (sample, value) in expected {
        assert_eq!(metrics.value(sample), *value, "{sample}\n{}", metrics.0);
    }
}

/// Each of these has moved.
#[track_caller]
fn moved(metrics: &Metrics, samples: &[&str]) {
    for sample in samples {
        assert!(metrics.value(sample) > 0.0, "{sample}\n{}", metrics.0);
    }
}

#[test]
fn requests_and_tokens_are_counted() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        http2.get("/api").await.echo();
        assert_eq!(http2.get("/status/404").await.status, 404);
        // The same token on another connection is known.
        world.job.get("/api").await.echo();
        world.relay.job(9002).get("/api").await.echo();
        let watch = http2.send(get("/watch")).await.unwrap();
        let relay = world.relay.metrics().await;
        are(
            &relay,
            &[
                ("adit_relay_exchanges_open", 1.0),
                ("adit_relay_tunnel_streams_open", 1.0),
                ("adit_relay_tokens_cached", 2.0),
                ("adit_relay_token_cache_misses_total", 2.0),
                ("adit_relay_token_cache_hits_total", 1.0),
                ("adit_relay_token_cache_evictions_total", 0.0),
                (
                    "adit_relay_stage_duration_seconds_count{stage=\"answer\"}",
                    5.0,
                ),
                (
                    "adit_relay_stage_duration_seconds_count{stage=\"authenticate\"}",
                    3.0,
                ),
                ("adit_relay_audit_queue_limit_bytes", 0.0),
                ("adit_log_lines_lost_total", 0.0),
            ],
        );
        moved(
            &relay,
            &[
                "adit_relay_stage_duration_seconds_sum{stage=\"answer\"}",
                "process_start_time_seconds",
            ],
        );
        assert_eq!(relay.sum("adit_build_info"), 1.0);
        let agent = world.agent.metrics().await;
        are(
            &agent,
            &[
                ("adit_agent_api_server_answers_total{class=\"2xx\"}", 4.0),
                ("adit_agent_api_server_answers_total{class=\"4xx\"}", 1.0),
                ("adit_agent_first_byte_seconds_count", 5.0),
                ("adit_agent_api_server_seconds_count", 5.0),
                (
                    "adit_agent_read_ahead_bytes{window=\"wide\"}",
                    f64::from(1 << 20),
                ),
                ("adit_agent_read_ahead_bytes{window=\"least\"}", 0.0),
            ],
        );
        moved(&agent, &["adit_agent_connections_open"]);
        drop((watch, http2));
        let closed = |open: f64| open == 0.0;
        world
            .relay
            .until_metric("adit_relay_exchanges_open", closed)
            .await;
        world
            .agent
            .until_metric("adit_agent_read_ahead_bytes{window=\"wide\"}", closed)
            .await;
        world.stop().await;
    });
}

#[test]
fn time_at_the_api_server_has_no_wait_for_a_connection() {
    scenario(async {
        let (kube, relay) = (kube().start().await, relay().start().await);
        let line = Line::to(kube.address()).await;
        let agent = agent("prod")
            .to(&relay)
            .serving_by(kube.kubeconfig_via(line.address()))
            .with("kubernetes", "max_streams_per_connection", 1);
        let agent = agent.start().await;
        let http2 = relay.job(9001).http2().await;
        // Whoever comes next needs a connection of his own.
        let watch = http2.send(get("/watch")).await.unwrap();
        let sums = async || {
            let metrics = agent.metrics().await;
            ["first_byte", "api_server"]
                .map(|what| metrics.value(&format!("adit_agent_{what}_seconds_sum")))
        };
        let [first_byte, api_server] = sums().await;
        let each_way = Duration::from_millis(40);
        line.delay(each_way);
        http2.get("/api").await.echo();
        let [first_byte_then, api_server_then] = sums().await;
        let took = api_server_then - api_server;
        let waited = first_byte_then - first_byte - took;
        // TLS goes there and back before the request does.
        let there_and_back = 2.0 * each_way.as_secs_f64();
        assert!(took >= there_and_back, "{took}");
        assert!(waited >= there_and_back, "{waited}");
        drop((watch, http2));
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}

#[test]
fn tokens_that_find_no_room_push_others_out() {
    scenario(async {
        let world = World::of(kube(), relay().remembering(1)).await;
        // One for each of the sixteen parts that the memory has, and one more.
        for id in 1..=17 {
            world.relay.job(id).get("/api").await.echo();
        }
        let metrics = world.relay.metrics().await;
        moved(&metrics, &["adit_relay_token_cache_evictions_total"]);
        assert!(metrics.value("adit_relay_tokens_cached") <= 16.0);
        world.stop().await;
    });
}

#[test]
fn fetches_of_keys_are_counted() {
    scenario(async {
        let relay = relay()
            .believing(TestIssuer::over_https().await)
            .start()
            .await;
        let grows = |before: f64| move |now: f64| now > before;
        let before = relay.metrics().await.value("adit_relay_key_fetches_total");
        relay
            .until_metric("adit_relay_key_fetches_total", grows(before))
            .await;
        are(
            &relay.metrics().await,
            &[("adit_relay_key_fetch_failures_total", 0.0)],
        );
        relay.issuer().be_away();
        relay
            .until_metric("adit_relay_key_fetch_failures_total", grows(0.0))
            .await;
        relay.stop().await;
    });
}

#[test]
fn bytes_that_wait_are_counted_until_they_are_taken() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        world.kube.hold_sink();
        let upload = http2.answer(request(Method::PUT, "/sink", body::pattern(10_000_000)));
        let (waiting, full) = (|bytes: f64| bytes > 0.0, |bytes: f64| bytes >= 30_000.0);
        let observed = async {
            let (relay, agent) = (&world.relay, &world.agent);
            agent
                .until_metric("adit_agent_tunnel_buffered_bytes", full)
                .await;
            agent
                .until_metric("adit_agent_in_hand_bytes", waiting)
                .await;
            relay
                .until_metric("adit_relay_tunnel_queued_bytes", full)
                .await;
            relay
                .until_metric("adit_relay_tunnel_credit_stalls_total", waiting)
                .await;
            world.kube.let_sink();
        };
        let (answer, ()) = tokio::join!(upload, observed);
        assert_eq!(answer.json()["bytes"], 10_000_000);

        let stalled = http2.send(get("/big/50000000")).await.unwrap();
        world
            .relay
            .until_metric("adit_relay_tunnel_buffered_bytes", full)
            .await;
        world
            .agent
            .until_metric("adit_agent_tunnel_queued_bytes", waiting)
            .await;
        world
            .agent
            .until_metric("adit_agent_tunnel_credit_stalls_total", waiting)
            .await;
        drop((stalled, http2));
        world.kube.until_open(0).await;
        let nothing = |bytes: f64| bytes == 0.0;
        for sample in [
            "adit_relay_tunnel_queued_bytes",
            "adit_relay_tunnel_buffered_bytes",
        ] {
            world.relay.until_metric(sample, nothing).await;
        }
        for sample in [
            "adit_agent_tunnel_buffered_bytes",
            "adit_agent_tunnel_queued_bytes",
            "adit_agent_in_hand_bytes",
        ] {
            world.agent.until_metric(sample, nothing).await;
        }
        world.stop().await;
    });
}

#[test]
fn tunnels_and_connections_that_end_are_counted() {
    scenario(async {
        let mut kube = kube().start().await;
        let relay = relay().start().await;
        let line = Line::to(relay.address()).await;
        let agent = agent("prod").to(&relay).via(line.address()).serving(&kube);
        let agent = agent.impatient().start().await;
        agent
            .until_metric("adit_agent_round_trip_seconds", |took| took > 0.0)
            .await;

        line.cut();
        let once = |count: f64| count == 1.0;
        agent
            .until_metric("adit_agent_tunnel_ends_total{cause=\"lost\"}", once)
            .await;
        relay
            .until_metric("adit_relay_tunnel_ends_total{cause=\"lost\"}", once)
            .await;
        let twice = |count: f64| count == 2.0;
        agent
            .until_metric(
                "adit_agent_connects_total{outcome=\"connected\",transport=\"http2\"}",
                twice,
            )
            .await;

        let http2 = relay.job(9001).http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        kube.kill().await;
        breaks_off(watch).await;
        until_ends(&agent).await;
        drop(http2);
        relay.stop().await;
        agent.stop().await;
        drop(line);
        kube.stop().await;
    });
}

/// Waits until a connection to the API server has ended, for whatever reason.
async fn until_ends(agent: &adit_tests::TestAgent) {
    within("the end of a connection", async {
        while agent
            .metrics()
            .await
            .sum("adit_agent_connection_ends_total")
            == 0.0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn requests_that_hold_too_much_of_an_agent_are_counted_and_told() {
    scenario(async {
        let small = |agent: adit_tests::AgentBuilder| {
            agent.with("limits", "max_buffered_bytes", 200_000).with(
                "limits",
                "max_stream_credit_bytes",
                65_536,
            )
        };
        let world = World::with(kube(), relay(), small).await;
        let http2 = world.job.http2().await;
        world.kube.hold_sink();
        let uploads = join_all(
            (0..16).map(|_| http2.answer(request(Method::PUT, "/sink", body::pattern(4_000_000)))),
        );
        let observed = async {
            world
                .agent
                .until_metric("adit_agent_tunnel_streams_overloaded_total", |cut| {
                    cut > 0.0
                })
                .await;
            world.kube.let_sink();
        };
        let (answers, ()) = tokio::join!(uploads, observed);
        let mut refused = 0;
        for answer in answers {
            if answer.status == StatusCode::OK {
                assert_eq!(answer.json()["bytes"], 4_000_000);
                continue;
            }
            assert_eq!(
                answer.refused().told(),
                (503, "overloaded", "agent", Some(1))
            );
            refused += 1;
        }
        assert!(refused > 0);
        moved(
            &world.agent.metrics().await,
            &["adit_agent_failures_total{kind=\"left\"}"],
        );
        http2.get("/api").await.echo();
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn strangers_are_counted_by_what_is_wrong_with_them() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "streams_per_connection", 2)).await;
        let mut stranger = TcpStream::connect(world.relay.address()).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let counted = |count: f64| count == 1.0;
        world
            .relay
            .until_metric(
                "adit_relay_handshakes_failed_total{reason=\"tls\"}",
                counted,
            )
            .await;
        let mut odd = world.job.raw().await;
        odd.write("no head at all\r\n\r\n").await.unwrap();
        world
            .relay
            .until_metric(
                "adit_relay_heads_refused_total{reason=\"malformed\"}",
                counted,
            )
            .await;
        let http2 = world.job.http2().await;
        let watches = join_all((0..2).map(|_| http2.send(get("/watch")))).await;
        world
            .relay
            .until_metric("adit_relay_connections_full_total", |full| full > 0.0)
            .await;
        drop((stranger, odd, watches, http2));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

/// An API server that finds its agent's token wrong when asked for `/api/denied`.
pub(crate) fn denying() -> KubeBuilder {
    kube().answer("/api/denied", |_| async {
        let mut answer = Response::new(body::full("{}"));
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        answer
    })
}

#[test]
fn credential_that_cannot_be_renewed_is_counted() {
    scenario(async {
        let world = World::of(denying(), relay()).await;
        world.kube.lose_token();
        assert_eq!(world.job.get("/api/denied").await.status, 401);
        pass(Duration::from_secs(40)).await;
        world
            .agent
            .until_metric("adit_agent_credential_failures_total", |failed| {
                failed > 0.0
            })
            .await;
        // The last one stays in use.
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn certificate_and_its_renewal_are_told() {
    scenario(async {
        let world = world().await;
        let ends = world
            .relay
            .metrics()
            .await
            .value("adit_tls_certificate_expiry_timestamp_seconds{port=\"public\"}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(ends > now.as_secs_f64());
        let lives = "adit_tls_certificate_lifetime_seconds{port=\"public\"}";
        let lives = world.relay.metrics().await.value(lives);
        assert!(lives > ends - now.as_secs_f64(), "{lives}");
        world.relay.renew_certificate();
        pass(Duration::from_secs(20)).await;
        world
            .relay
            .until_metric(
                "adit_tls_certificate_reloads_total{port=\"public\",outcome=\"replaced\"}",
                |replaced| replaced == 1.0,
            )
            .await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn caller_that_leaves_is_counted_as_such() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        tokio::select! {
            _ = http2.send(get("/never")) => panic!("nobody answers"),
            () = world.kube.until_open(1) => {}
        }
        let counted = |count: f64| count == 1.0;
        world
            .relay
            .until_metric(
                "adit_relay_requests_total{outcome=\"cancelled\",class=\"read\"}",
                counted,
            )
            .await;
        world
            .agent
            .until_metric("adit_agent_failures_total{kind=\"left\"}", counted)
            .await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn session_that_its_caller_or_relay_leaves_is_no_fault_of_the_api_server() {
    scenario(async {
        let mut world = world().await;
        let [left, broken] =
            ["left", "broken"].map(|kind| format!("adit_agent_failures_total{{kind=\"{kind}\"}}"));
        let (mut exec, _) = upgrade(&world.job, SPDY).await;
        exec.write("x").await.unwrap();
        within("it back", exec.exactly(1)).await.unwrap();
        // Without a goodbye.
        drop(exec);
        world.agent.until_metric(&left, |left| left == 1.0).await;
        are(&world.agent.metrics().await, &[(&broken, 0.0)]);

        let (exec, _) = upgrade(&world.job, WEBSOCKET).await;
        world.relay.kill().await;
        world.agent.until_metric(&left, |left| left == 2.0).await;
        are(&world.agent.metrics().await, &[(&broken, 0.0)]);
        drop(exec);
        world.relay.revive().await;
        let once = |count| count == 1.0;
        world
            .relay
            .until_metric("adit_relay_tunnels_open", once)
            .await;

        let (mut exec, _) = upgrade(&world.job, SPDY).await;
        world.kube.kill().await;
        within("its end", exec.rest()).await.1.unwrap_err();
        world.agent.until_metric(&broken, once).await;
        are(&world.agent.metrics().await, &[(&left, 2.0)]);
        world.stop().await;
    });
}
