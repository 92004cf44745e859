//! What clients do together: many kubectls at once, each with connections of its own, and what an operator sees of it.

use adit_tests::{
    Answer, body,
    caller::{get, next_piece, request},
    logs, scenario, until, world,
};
use futures_util::{StreamExt, future::join_all, stream};
use http::Method;

use crate::upgrades::{SPDY, upgrade};

#[test]
fn two_hundred_kubectls_at_once() {
    scenario(async {
        let world = world().await;
        stream::iter(0..200_u64)
            .for_each_concurrent(40, async |at| {
                let caller = world.relay.job(9000 + at);
                let http2 = caller.http2().await;
                let discovery =
                    join_all(["/api", "/apis", "/openapi/v3"].map(|path| http2.get(path)));
                for answer in discovery.await {
                    assert_eq!(
                        answer.echo().values("impersonate-user"),
                        [format!("gitlab:ci_job:{}", 9000 + at)]
                    );
                }
                let apply = request(
                    Method::PATCH,
                    "/api/v1/namespaces/x/configmaps/y",
                    body::full("{}"),
                );
                assert_eq!(http2.answer(apply).await.echo().body(), "{}");
            })
            .await;
        world.stop().await;
    });
}

#[test]
fn metrics_tell_what_goes_on() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let (session, _) = upgrade(&world.job, SPDY).await;
        http2
            .answer(request(Method::PUT, "/sink", body::pattern(1000)))
            .await;
        http2.get("/big/3000").await;

        let (relay, agent) = (world.relay.metrics().await, world.agent.metrics().await);
        for (metrics, sample, expected) in [
            (
                &relay,
                "adit_relay_requests_total{outcome=\"answered\",class=\"read\"}",
                2.0,
            ),
            (
                &relay,
                "adit_relay_requests_total{outcome=\"answered\",class=\"change\"}",
                2.0,
            ),
            (
                &relay,
                "adit_relay_stream_bytes_total{kind=\"short\",direction=\"request\"}",
                1000.0,
            ),
            (
                &relay,
                "adit_relay_connections_open{protocol=\"http1\"}",
                1.0,
            ),
            (
                &relay,
                "adit_relay_connections_open{protocol=\"http2\"}",
                2.0,
            ),
            (&relay, "adit_relay_tunnels_open", 1.0),
            (&relay, "adit_relay_tunnels_opened_total", 1.0),
            (&relay, "adit_relay_upgraded_open", 1.0),
            (&agent, "adit_agent_tunnels", 1.0),
            (&agent, "adit_agent_streams_open", 2.0),
            (&agent, "adit_agent_upgrades_open", 1.0),
            (
                &agent,
                "adit_agent_connects_total{outcome=\"connected\",transport=\"http2\"}",
                1.0,
            ),
        ] {
            assert_eq!(metrics.value(sample), expected, "{sample}\n{}", metrics.0);
        }
        let sent = relay.sum_where("adit_relay_stream_bytes_total", "direction=\"answer\"");
        assert!(sent >= 3000.0, "{sent}");
        for metrics in [&relay, &agent] {
            assert!(metrics.0.ends_with("# EOF\n"));
            for word in ["9001", "gitlab:", "group/", "/big", "127.0.0.1"] {
                assert!(!metrics.0.contains(word), "a label holds {word}");
            }
        }
        drop((watch, session, http2));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn logs_of_both_ends_say_which_tunnel_was_lost_and_which_ended() {
    scenario(async {
        let mut world = world().await;
        let lost = id_of_tunnel(AGENT, "tunnel is up");
        world.relay.kill().await;
        world.relay.revive().await;
        world.job.get("/api").await.echo();
        until("it is told", || logs().contains("the tunnel was lost")).await;
        assert_eq!(id_of_tunnel(AGENT, "the tunnel was lost"), lost);
        let next = id_of_tunnel(AGENT, "tunnel is up");
        assert_ne!(next, lost);
        world.agent.stop().await;
        assert_eq!(id_of_tunnel(AGENT, "tunnel ended"), next);
        world.relay.stop().await;
        assert_eq!(id_of_tunnel("adit_relay::agents", "tunnel ended"), next);
        world.kube.stop().await;
    });
}

const AGENT: &str = "adit_agent::agent::link";

/// By the last line of this part that says so, without the spans around it, which a log at `info` has not.
#[track_caller]
fn id_of_tunnel(part: &str, what: &str) -> String {
    let logs = logs();
    let said = format!(" {part}: {what}");
    let mut of_line = logs
        .lines()
        .filter_map(|line| line.split_once(&said)?.1.split_once("tunnel.id="));
    let (_, from_id) = of_line.next_back().expect("a line with its tunnel");
    from_id.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn probes_say_what_is_missing() {
    scenario(async {
        let world = world().await;
        assert_eq!(world.relay.admin_get("/livez").await.0, 200);
        assert_eq!(world.agent.admin_get("/livez").await.0, 200);
        assert_eq!(world.agent.admin_get("/readyz").await.0, 200);
        // Nothing of it on the public port.
        for path in ["/metrics", "/livez", "/readyz"] {
            assert_eq!(
                world.job.under("").get(path).await.refused().reason,
                "unknown_path"
            );
        }
        world.stop().await;
    });
}

#[test]
fn rollout_status_sees_each_event_as_it_comes() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let mut watch = http2.send(get("/apis/apps/v1/watch")).await.unwrap();
        for at in 0..20 {
            let change = http2.answer(request(
                Method::PATCH,
                "/apis/apps/v1/x",
                body::full(at.to_string()),
            ));
            let (changed, ()) = tokio::join!(change, async { world.kube.event(&at.to_string()) });
            changed.echo();
            assert_eq!(next_piece(&mut watch).await, format!("{at}\n"));
        }
        drop((watch, http2));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn answers_do_not_wait_for_bulk_ones() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let bulk = async {
            for _ in 0..4 {
                let all = join_all((0..4).map(|_| http2.send(get("/big/3000000")))).await;
                for answer in all {
                    Answer::of(answer.unwrap()).await.unwrap();
                }
            }
        };
        let heartbeat = async {
            let other = world.relay.job(9002).http2().await;
            for _ in 0..20 {
                let began = tokio::time::Instant::now();
                other.get("/api").await.echo();
                assert!(
                    began.elapsed() < std::time::Duration::from_secs(1),
                    "{:?}",
                    began.elapsed()
                );
            }
        };
        tokio::join!(bulk, heartbeat);
        drop(http2);
        world.stop().await;
    });
}
