//! How much there may be of what is measured, what the process uses, and agents that have series of their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_tests::{TestIssuer, World, agent, kube, relay, scenario, world};

use super::{are, moved};

#[test]
fn limits_are_told_beside_what_they_limit() {
    scenario(async {
        let small = |agent: adit_tests::AgentBuilder| {
            agent
                .with("limits", "max_streams", 7)
                .with("limits", "max_buffered_bytes", 1_000_000)
                .with("limits", "max_queued_bytes", 2_000_000)
                .with("kubernetes", "max_connections", 5)
                .with("kubernetes", "max_upgrades", 6)
                .with("kubernetes", "max_read_ahead_bytes", 3_000_000)
        };
        let relay = relay()
            .with("limits", "connections", 9)
            .with("tunnel", "max_queued", "5MiB")
            .with("tunnel", "max_buffered_in_all", "300MiB");
        let world = World::with(kube(), relay, small).await;
        are(
            &world.relay.metrics().await,
            &[
                ("adit_relay_connections_limit", 9.0),
                (
                    "adit_relay_tunnel_buffered_limit_bytes",
                    f64::from(300 << 20),
                ),
                ("adit_relay_tunnel_queued_limit_bytes", f64::from(5 << 20)),
                ("adit_relay_tunnel_most_queued_bytes", 0.0),
            ],
        );
        are(
            &world.agent.metrics().await,
            &[
                ("adit_agent_streams_limit", 7.0),
                ("adit_agent_connections_limit", 5.0),
                ("adit_agent_upgrades_limit", 6.0),
                ("adit_agent_read_ahead_limit_bytes", 3_000_000.0),
                ("adit_agent_in_hand_limit_bytes", 1_000_000.0),
                ("adit_agent_tunnel_buffered_limit_bytes", 1_000_000.0),
                ("adit_agent_tunnel_queued_limit_bytes", 2_000_000.0),
                ("adit_agent_tunnel_most_queued_bytes", 0.0),
            ],
        );
        world.stop().await;
    });
}

#[test]
fn end_of_issuers_keys_is_told_while_there_are_issuers() {
    scenario(async {
        let relay = relay()
            .believing(TestIssuer::over_https().await)
            .start()
            .await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let end = "adit_relay_issuer_keys_expiry_timestamp_seconds";
        // A day by default; until the first fetch there is no key that could end.
        let is_late = |end: f64| end > (now + Duration::from_secs(3600)).as_secs_f64();
        relay.until_metric(end, is_late).await;
        relay.stop().await;
    });
}

#[test]
fn use_of_the_machine_is_told() {
    scenario(async {
        let world = world().await;
        let metrics = world.relay.metrics().await;
        moved(&metrics, &["process_open_fds", "process_max_fds"]);
        assert!(metrics.value("process_resident_memory_bytes") > f64::from(1 << 20));
        assert!(metrics.value("process_cpu_seconds_total") >= 0.0);
        world.stop().await;
    });
}

#[test]
fn agents_have_series_of_their_own_as_far_as_wanted() {
    scenario(async {
        let world = World::of(kube(), relay().with("metrics", "agents", 1)).await;
        let staging = agent("staging")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let relay = world.relay.metrics().await;
        are(
            &relay,
            &[
                ("adit_relay_agent_tunnels_open{agent=\"1\"}", 1.0),
                ("adit_relay_agent_streams_open{agent=\"1\"}", 0.0),
                ("adit_relay_agents_left_out", 1.0),
            ],
        );
        assert!(!relay.0.contains("agent=\"2\""));
        staging.stop().await;
        world.stop().await;

        let world = adit_tests::world().await;
        assert!(!world.relay.metrics().await.0.contains("agent="));
        world.stop().await;
    });
}
