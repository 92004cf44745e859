//! Agents that are taken out of a relay's configuration, or put in; and an agent's own configuration.

use super::*;

const REVOKED: &str = "tunnel_ends_total{cause=\"revoked\"}";

#[test]
fn agent_that_is_taken_out_loses_its_tunnels_and_has_them_again_when_it_is_back() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        world.relay.change(|told| told.forget_agent("prod"));
        breaks_off(watch).await;
        let is_one = |count: f64| count == 1.0;
        let of_relay = format!("adit_relay_{REVOKED}");
        world.relay.until_metric(&of_relay, is_one).await;
        let of_agent = format!("adit_agent_{REVOKED}");
        world.agent.until_metric(&of_agent, is_one).await;
        let refused = "adit_agent_connects_total{outcome=\"unauthenticated\",transport=\"http2\"}";
        world
            .agent
            .until_metric(refused, |count| count >= 1.0)
            .await;
        assert!(logs().contains("no longer lists the agent's token"));
        // Nobody learns that there was one.
        let refused = http2.get("/api").await.refused();
        assert_eq!(refused.told(), (403, "not_permitted", "client", None));
        world.kube.until_open(0).await;

        world.relay.change(|told| told.know_prod());
        within("its tunnel", world.agent.connected()).await;
        let tunnels = "adit_relay_tunnels_open";
        world.relay.until_metric(tunnels, is_one).await;
        http2.get("/api").await.echo();
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn token_that_is_taken_out_ends_the_tunnels_that_were_opened_with_it() {
    scenario(async {
        let mut world = world().await;
        let new = "canary-agent-token-that-is-new";
        let old = "canary-agent-token-of-prod";
        world
            .relay
            .change(|told| told.set_tokens("prod", &[old, new]));
        let second = agent("prod")
            .showing(new, &world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let open = "adit_relay_tunnels_open";
        world.relay.until_metric(open, |count| count == 2.0).await;
        world.relay.change(|told| told.set_tokens("prod", &[new]));
        let ends = format!("adit_relay_{REVOKED}");
        world.relay.until_metric(&ends, |count| count == 1.0).await;
        world.relay.until_metric(open, |count| count == 1.0).await;
        world.job.get("/api").await.echo();
        let metrics = second.metrics().await;
        assert_eq!(metrics.value("adit_agent_tunnels"), 1.0);
        second.stop().await;
        world.stop().await;
    });
}

#[test]
fn ceiling_that_is_lowered_resets_what_is_above_it_and_nothing_else() {
    scenario(async {
        let mut world = world().await;
        let (one, other) = (world.job.http2().await, world.relay.job(9002).http2().await);
        let watch = one.send(get("/watch")).await.unwrap();
        let mut stays = other.send(get("/watch")).await.unwrap();
        let (refused, ()) = tokio::join!(one.answer(get("/never")), async {
            world.kube.until_open(3).await;
            world
                .agent
                .change(|settings| settings.set("ceiling", "users", "['gitlab:ci_job:9002']"));
        });
        assert_eq!(
            refused.refused().told(),
            (403, "beyond_ceiling", "agent", None)
        );
        breaks_off(watch).await;
        world.kube.until_open(1).await;
        let refused = one.get("/api").await.refused();
        assert_eq!(refused.told(), (403, "beyond_ceiling", "agent", None));
        world.kube.event("still here");
        assert_eq!(next_piece(&mut stays).await, "still here\n");
        let beyond = "adit_agent_failures_total{kind=\"beyond_ceiling\"}";
        world.agent.until_metric(beyond, |count| count == 3.0).await;

        world
            .agent
            .change(|settings| settings.set("ceiling", "users", "['*']"));
        one.get("/api").await.echo();
        drop((stays, one, other));
        world.stop().await;
    });
}

#[test]
fn ceiling_that_is_lowered_resets_what_does_more_than_it_covers() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let mut pods = http2
            .send(get("/api/v1/namespaces/shop/pods?watch=1"))
            .await
            .unwrap();
        let secrets = http2
            .send(get("/api/v1/namespaces/other/secrets?watch=1"))
            .await
            .unwrap();
        let exec = "POST /api/v1/namespaces/shop/pods/p/exec/upgrade";
        let mut exec = world.job.raw_asking(exec, SPDY).await;
        let head = within("101", exec.head()).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        world.kube.until_open(3).await;

        world
            .agent
            .change(|settings| settings.set("ceiling", "namespaces", "[shop]"));
        breaks_off(secrets).await;
        world.kube.until_open(2).await;
        world.kube.event("still here");
        assert_eq!(next_piece(&mut pods).await, "still here\n");

        world
            .agent
            .change(|settings| settings.set("ceiling", "subresources", "[]"));
        assert!(within("its end", exec.rest()).await.0.is_empty());
        world.kube.until_open(1).await;

        world
            .agent
            .change(|settings| settings.set("ceiling", "verbs", "[get, list]"));
        breaks_off(pods).await;
        world.kube.until_open(0).await;
        drop((exec, http2));
        world.stop().await;
    });
}

#[test]
fn keys_of_an_agent_that_wait_for_its_start_are_told() {
    scenario(async {
        let mut world = world().await;
        let pending = "adit_agent_config_keys_pending";
        world.agent.change(|settings| {
            settings.set("limits", "max_streams", 7);
            settings.set("relay", "healthy_after", "1m");
        });
        assert!(logs().contains("relay.healthy_after, limits.max_streams"));
        assert_eq!(world.agent.metrics().await.value(pending), 2.0);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn ceiling_that_gives_jobs_the_rights_of_a_kubeconfig_is_warned_of() {
    scenario(async {
        let mut world = world().await;
        let count = || logs().matches("all the rights of this kubeconfig").count();
        let at_start = count();
        for (may, warnings) in [(false, 0), (true, 1)] {
            let before = count();
            world
                .agent
                .change(|settings| settings.set("ceiling", "agent", may));
            assert_eq!(count() - before, warnings);
        }
        assert_eq!(at_start, 1);
        world.stop().await;
    });
}
