//! A relay whose configuration changes while it runs: what is still permitted goes on, what is not is cut and says so, and what cannot
//! be used changes nothing.

use adit_relay::status::Report;
use adit_tests::{
    AuditLog, TestRelay, World, agent,
    caller::{breaks_off, get, next_piece},
    job, kube, logs, relay, scenario, until, within, world,
};
use http::StatusCode;

use crate::upgrades::{SPDY, upgrade};

mod agents;
mod files;
mod traffic;

/// Lets the tests' jobs use the agent of another project.
const GRANT: &str = "ci_access: { projects: [{ id: group/sub/app }] }";
const WITHDRAWN: &str = "adit_relay_exchanges_cut_total{reason=\"withdrawn\"}";

/// What operators see.
async fn report(relay: &TestRelay) -> Report {
    let (_, text) = relay.admin_get("/status").await;
    serde_json::from_str(&text).unwrap()
}

/// What operators are told of the configuration.
async fn problems(relay: &TestRelay) -> Vec<String> {
    let problems = report(relay).await.problems.into_iter();
    let of_configuration = problems.filter(|problem| problem.about == "configuration");
    of_configuration.map(|problem| problem.message).collect()
}

#[test]
fn who_may_go_on_notices_nothing() {
    scenario(async {
        let mut world = world().await;
        let (http2, mut http1) = (world.job.http2().await, world.job.http1().await);
        let mut watch = http2.send(get("/watch")).await.unwrap();
        let (mut exec, _) = upgrade(&world.job, SPDY).await;
        http1.get("/api").await.echo();
        for wait in ["3s", "4s"] {
            world.relay.change(|told| {
                told.set("route", "wait", wait);
                told.forget_agent("staging");
                told.set_agent("foreign", GRANT);
            });
            http2.get("/api").await.echo();
            http1.get("/api").await.echo();
        }
        world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        exec.write("hello").await.unwrap();
        within("it back", exec.exactly(5)).await.unwrap();
        let metrics = world.relay.metrics().await;
        assert_eq!(metrics.value("adit_relay_tunnels_opened_total"), 1.0);
        assert_eq!(metrics.value(WITHDRAWN), 0.0);
        drop((watch, exec, http1, http2));
        world.stop().await;
    });
}

#[test]
fn grant_that_is_taken_away_cuts_what_runs_by_it_and_nothing_else() {
    scenario(async {
        let log = AuditLog::default();
        let relay = log.of(relay()).with_agent("foreign", GRANT);
        let mut world = World::of(kube(), relay).await;
        let foreign = agent("foreign")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let own = world.job.http2().await;
        let mut stays = own.send(get("/watch")).await.unwrap();

        let job = world.relay.caller(&job(9001), "foreign");
        let (http2, mut http1) = (job.http2().await, job.http1().await);
        let watches = [
            http2.send(get("/watch")).await.unwrap(),
            http1.send(get("/watch")).await.unwrap(),
        ];
        let (mut exec, _) = upgrade(&job, SPDY).await;
        let (refused, ()) = tokio::join!(http2.answer(get("/never")), async {
            world.kube.until_open(5).await;
            world.relay.change(|told| told.set_agent("foreign", ""));
        });

        // One that has no answer yet is told why.
        let refused = refused.refused();
        assert_eq!(refused.told(), (403, "access_withdrawn", "relay", None));
        assert!(refused.message.contains("configuration"), "{refused:?}");
        for watch in watches {
            breaks_off(watch).await;
        }
        let (_, end) = within("the session's end", exec.rest()).await;
        end.unwrap_err();
        world.kube.until_open(1).await;
        assert_eq!(world.relay.metrics().await.value(WITHDRAWN), 4.0);
        // At once, and on connections on which the token was known.
        for refused in [http2.get("/api").await, job.get("/api").await] {
            let refused = refused.refused();
            assert_eq!(refused.told(), (403, "not_permitted", "client", None));
        }
        world.kube.event("still here");
        assert_eq!(next_piece(&mut stays).await, "still here\n");

        let records = log.until(7).await;
        let cut = records.iter().filter(|record| record["ended"] == "cut");
        let reasons: Vec<_> = cut.map(|record| &record["refusal"]).collect();
        assert_eq!(reasons, ["access_withdrawn"; 3]);
        drop((stays, own, http1, http2));
        foreign.stop().await;
        world.stop().await;
    });
}

#[test]
fn job_acts_as_somebody_else_from_its_next_request_on() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let before = http2.get("/api").await.echo();
        assert_eq!(before.values("impersonate-user"), ["gitlab:ci_job:9001"]);
        world.relay.change(|told| {
            let access = "{ impersonate: { username: robot } }";
            let grant = format!(
                "ci_access: {{ projects: [{{ id: group/sub/app, access_as: {access} }}] }}"
            );
            told.set_agent("prod", &grant);
        });
        breaks_off(watch).await;
        let after = http2.get("/api").await.echo();
        assert_eq!(after.values("impersonate-user"), ["robot"]);
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn issuer_that_is_trusted_with_less_has_its_tokens_checked_anew() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let issuer = world.relay.shared_issuer();
        world
            .relay
            .change(|told| told.trust_for(&issuer, "another-audience"));
        breaks_off(watch).await;
        let refused = http2.get("/api").await.refused();
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (401, "token_wrong_audience")
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn limits_hold_for_the_next_request_and_the_next_connection() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        world
            .relay
            .change(|told| told.set("limits", "streams_per_job", 1));
        let refused = http2.get("/api").await.refused();
        assert_eq!(refused.told(), (429, "job_streams", "client", Some(1)));
        world.relay.change(|told| {
            told.set("limits", "streams_per_job", 10);
            told.set("limits", "streams_per_tunnel", 1);
        });
        let refused = http2.get("/api").await.refused();
        assert_eq!(refused.told(), (503, "tunnel_full", "agent", Some(1)));
        world.relay.change(|told| {
            told.set("limits", "streams_per_tunnel", 10);
            told.set("limits", "connections", 1);
        });
        http2.get("/api").await.echo();
        let late = world.job.try_tls(adit_tests::pki::HTTP2).await;
        late.map(drop).unwrap_err();
        let full = "adit_relay_connections_refused_total{reason=\"relay\"}";
        world.relay.until_metric(full, |count| count >= 1.0).await;
        world
            .relay
            .change(|told| told.set("limits", "connections", 10));
        world.job.get("/api").await.echo();
        drop((watch, http2));
        world.stop().await;
    });
}

#[test]
fn bounds_of_the_audit_log_hold_at_once() {
    scenario(async {
        let log = AuditLog::default();
        let mut world = World::of(kube(), log.of(relay())).await;
        let stranger = world.job.anonymous().http2().await;
        world
            .relay
            .change(|told| told.set("audit", "strangers_per_second", 0));
        assert_eq!(stranger.get("/api").await.status, 401);
        world
            .relay
            .change(|told| told.set("audit", "strangers_per_second", 10));
        assert_eq!(stranger.get("/api").await.status, 401);
        let records = log.until(2).await;
        assert_eq!(records[0]["event"], "gap");
        assert_eq!(records[0]["withheld"], 1);
        assert_eq!(records[1]["refusal"], "credential_missing");
        drop(stranger);
        world.stop().await;
    });
}

#[test]
fn what_waits_for_a_start_is_told_by_key_and_the_rest_is_taken() {
    scenario(async {
        let mut world = world().await;
        assert_eq!(problems(&world.relay).await, [""; 0]);
        world.relay.change(|told| {
            told.set("listen", "address", "127.0.0.1:1");
            told.set("tunnel", "max_buffered_in_all", "7MiB");
            told.set("limits", "streams_per_job", 1);
        });
        let [problem] = &problems(&world.relay).await[..] else {
            panic!("there is one");
        };
        let keys = "listen.address, tunnel.max_buffered_in_all";
        assert!(problem.ends_with(keys), "{problem}");
        assert!(logs().contains(keys));
        let pending = "adit_relay_config_keys_pending";
        assert_eq!(world.relay.metrics().await.value(pending), 2.0);
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        assert_eq!(
            http2.get("/api").await.status,
            StatusCode::TOO_MANY_REQUESTS
        );
        world.relay.change(|told| {
            told.set("listen", "address", "127.0.0.1:0");
            told.set("tunnel", "max_buffered_in_all", "1GiB");
        });
        assert_eq!(problems(&world.relay).await, [""; 0]);
        assert_eq!(world.relay.metrics().await.value(pending), 0.0);
        drop((watch, http2));
        until("the watch is over", || world.kube.open() == 0).await;
        world.stop().await;
    });
}
