//! Dashboards and alerts before a real Prometheus, which scrapes real relays and agents: every panel shows something, and every alert
//! fires when its fault is made.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, time::Duration};

use adit_tests::{
    AuditLog, Caller, GitLab, Kube, Line, Prometheus, TestAgent, TestIssuer, TestRelay, World,
    agent, body,
    caller::{get, request},
    gitlab,
    gitlab::arrange,
    job, kube, lonely, pass, prometheus, relay, scenario, within,
};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xtask::tools::Prometheus as Programs;

use crate::{
    documents::{
        alerts::{alerts, rules},
        dashboards,
    },
    metrics::denying,
    streams::until_still,
    upgrades::SPDY,
};

const PODS: &str = "/api/v1/namespaces/shop/pods";

#[test]
fn every_panel_shows_what_goes_on() {
    let Some(programs) = prometheus::programs("monitoring::every_panel_shows_what_goes_on") else {
        return;
    };
    scenario(async {
        let gitlab = gitlab_of_ours().await;
        let log = AuditLog::default();
        let keys = format!("{}, agent_files: {{}}", trusting(&gitlab));
        let relay = log
            .of(relay())
            .asking(&gitlab, &keys)
            .believing(TestIssuer::over_https().await)
            .with("metrics", "agents", 1);
        let world = World::of(kube(), relay).await;
        // The table of alerts has something to show.
        let gone = cut_off(&world.relay, &world.kube).await;
        let seen = Prometheus::watching(
            &programs,
            &[
                ("relay", world.relay.admin()),
                ("agent", world.agent.admin()),
                ("gone", gone.admin()),
            ],
            &impatient_rules(),
        )
        .await;
        let lasting = traffic(&world, &gitlab).await;
        for choice in dashboards::choices() {
            let jobs = format!("group by (job, instance) ({choice})");
            seen.until("it can be chosen", &jobs, |found| !found.is_empty())
                .await;
        }
        for panel in dashboards::panels() {
            for (legend, query) in &panel.queries {
                let shows = |found: &[prometheus::Series]| is_shown(legend, found);
                seen.until(&panel.what, &filled_in(query), shows).await;
            }
        }
        drop((seen, lasting));
        world.kube.until_open(0).await;
        gone.stop().await;
        world.stop().await;
    });
}

/// Something of every kind, with what lasts still running.
async fn traffic(world: &World, gitlab: &GitLab) -> impl Sized {
    let http2 = world.job.http2().await;
    let created = request(Method::POST, PODS, body::full("0123456789"));
    http2.answer(created).await.echo();
    let watch = http2.send(get(&format!("{PODS}?watch=1"))).await.unwrap();
    let followed = get(&format!("{PODS}/web/log/watch?follow=1"));
    let log = http2.send(followed).await.unwrap();
    let (exec, forward) = (
        upgraded(&world.job, "exec").await,
        upgraded(&world.job, "portforward").await,
    );
    job_of(&world.relay, gitlab).get("/api").await.echo();
    refusals(&world.job, 3).await;
    (http2, watch, log, exec, forward)
}

async fn upgraded(job: &Caller, subresource: &str) -> impl Sized + use<> {
    let asked = format!("POST {PODS}/web/{subresource}/upgrade");
    let mut connection = job.raw_asking(&asked, SPDY).await;
    within("101", connection.head()).await.unwrap();
    connection.write("hello").await.unwrap();
    within("it back", connection.exactly(5)).await.unwrap();
    connection
}

async fn refusals(job: &Caller, count: usize) {
    let stranger = job.anonymous().http2().await;
    for _ in 0..count {
        assert_eq!(stranger.get("/api").await.refused().status, 401);
    }
}

/// As Grafana would send it, with everything chosen.
fn filled_in(query: &str) -> String {
    let filled = query
        .replace("$job", ".+")
        .replace("$instance", ".+")
        .replace("$__rate_interval", "1m");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// There is a number, and every label that the legend names.
fn is_shown(legend: &str, found: &[prometheus::Series]) -> bool {
    let named = legend.split("{{").skip(1);
    let labels: Vec<_> = named.map(|rest| rest.split("}}").next().unwrap()).collect();
    found.iter().any(|series| !series.value.is_nan())
        && found
            .iter()
            .all(|series| labels.iter().all(|label| !series.label(label).is_empty()))
}

#[test]
fn every_alert_fires_when_its_fault_is_made() {
    let name = "monitoring::every_alert_fires_when_its_fault_is_made";
    let Some(programs) = prometheus::programs(name) else {
        return;
    };
    // In a process of its own, as it lowers what this process may have open.
    lonely::alone(name, || {
        scenario(async {
            let mut place = Place::new().await;
            let seen = place.watched(&programs).await;
            // So it was begun, and nothing else is wrong.
            let begun = ["AditAgentGone", "AditIssuerKeysEnd", "AditNoTunnels"];
            let begun = begun.map(str::to_owned).into();
            seen.until("they fire", FIRED, |found| names(found) == begun)
                .await;
            place.break_tunnels().await;
            place.spoil_files().await;
            place.lose_api_server().await;
            place.lose_gitlab().await;
            let held = (
                place.refuse_all().await,
                place.stop_writing_records().await,
                place.read_nothing().await,
            );
            lower_descriptors();
            let all = alerts().into_iter().map(|(name, ..)| name).collect();
            seen.until("all have fired", FIRED, |found| names(found) == all)
                .await;
            drop((seen, held));
            place.stop().await;
        });
    });
}

/// Whether or not they do so still.
const FIRED: &str = r#"count by (alertname) (last_over_time(ALERTS{alertstate="firing"}[5m]))"#;

fn names(found: &[prometheus::Series]) -> BTreeSet<String> {
    let names = found.iter().map(|series| series.label("alertname"));
    names.map(str::to_owned).collect()
}

/// As they are shipped, but that a fault need not last as long.
fn impatient_rules() -> String {
    let rules = rules();
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) => format!("{indent}for: 1s\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// A GitLab with the usual project.
async fn gitlab_of_ours() -> GitLab {
    let gitlab = gitlab().start().await;
    arrange(&gitlab);
    gitlab
}

/// The relay's key for the secret that it shares with this GitLab.
fn trusting(gitlab: &GitLab) -> String {
    format!("api_secret_file: '{}'", gitlab.secret_file().display())
}

/// A job that runs, with its own token of GitLab's.
fn job_of(relay: &TestRelay, gitlab: &GitLab) -> Caller {
    let mut world = gitlab.world();
    let job = world.job("group/sub/app").run();
    let token = world.job_of(job).token();
    relay.showing(&format!("Bearer ci:1:{token}"))
}

/// An agent where no relay is.
async fn cut_off(relay: &TestRelay, kube: &Kube) -> TestAgent {
    let nowhere = (Ipv4Addr::LOCALHOST, 1).into();
    let agent = agent("staging").to(relay).via(nowhere).serving(kube);
    agent.start_anyway().await
}

/// Where everything goes wrong, one thing after the other.
struct Place {
    gitlab: GitLab,
    log: AuditLog,
    kube: Kube,
    relay: TestRelay,
    /// To the relay.
    line: Line,
    prod: TestAgent,
    /// Of `staging`.
    other_kube: Kube,
    staging: TestAgent,
    /// A relay without agents, on which only a few may call.
    lonely: TestRelay,
    gone: TestAgent,
}

impl Place {
    async fn new() -> Self {
        let (gitlab, log) = (gitlab_of_ours().await, AuditLog::default());
        let relay = log
            .of(relay())
            .with("audit", "queue", "1MiB")
            .with("tunnel", "max_buffered_in_all", "1MiB")
            .with("tunnel", "max_stream_credit", "64KiB")
            .asking(&gitlab, &trusting(&gitlab))
            .believing(TestIssuer::over_https().await.kept_for("1h"));
        let relay = relay.start().await;
        let line = Line::to(relay.address()).await;
        let kube = kube().start().await;
        let prod = agent("prod").to(&relay).via(line.address()).serving(&kube);
        let other_kube = denying().start().await;
        let staging = agent("staging").to(&relay).serving(&other_kube);
        let lonely = adit_tests::relay().with("limits", "connections", FEW);
        Self {
            prod: prod.start().await,
            staging: staging.start().await,
            lonely: lonely.start().await,
            gone: cut_off(&relay, &kube).await,
            gitlab,
            log,
            kube,
            relay,
            line,
            other_kube,
        }
    }

    async fn watched(&self, programs: &Programs) -> Prometheus {
        let targets = [
            ("relay", self.relay.admin()),
            ("prod", self.prod.admin()),
            ("staging", self.staging.admin()),
            ("lonely", self.lonely.admin()),
            ("gone", self.gone.admin()),
        ];
        Prometheus::watching(programs, &targets, &impatient_rules()).await
    }

    fn of_staging(&self) -> Caller {
        self.relay.caller(&job(9001), "staging")
    }

    /// Six times, which is more often than is left alone.
    async fn break_tunnels(&self) {
        for times in 1..=6 {
            self.line.cut();
            let lost = r#"adit_relay_tunnel_ends_total{cause="lost"}"#;
            let opened = "adit_relay_tunnels_opened_total";
            for (metric, expected) in [(lost, times), (opened, 2 + times)] {
                let is_so = |count: f64| count == f64::from(expected);
                self.relay.until_metric(metric, is_so).await;
            }
        }
    }

    /// A certificate that soon ends, then one that cannot be read, a configuration and a secret that are none, and credentials that are
    /// gone.
    async fn spoil_files(&mut self) {
        fs::write(self.relay.run_by_file(), "spoilt").unwrap();
        self.relay.shorten_certificate();
        fs::write(self.gitlab.secret_file(), "spoilt").unwrap();
        self.other_kube.lose_token();
        let denied = self.of_staging().get("/api/denied").await;
        assert_eq!(denied.status, StatusCode::UNAUTHORIZED);
        pass(Duration::from_secs(40)).await;
        let replaced = r#"adit_tls_certificate_reloads_total{outcome="replaced"}"#;
        self.relay.until_metric(replaced, |count| count > 0.0).await;
        self.relay.spoil_certificate();
        pass(Duration::from_secs(20)).await;
    }

    async fn lose_api_server(&mut self) {
        self.other_kube.kill().await;
        let http2 = self.of_staging().http2().await;
        for _ in 0..12 {
            assert_eq!(http2.get("/api").await.refused().status, 502);
        }
    }

    async fn lose_gitlab(&mut self) {
        self.gitlab.be_away().await;
        let open = r#"adit_relay_gitlab_breaker{state="open"}"#;
        while self.relay.metrics().await.value(open) == 0.0 {
            let refused = job_of(&self.relay, &self.gitlab).get("/api").await;
            assert_eq!(refused.refused().reason, "gitlab_unavailable");
        }
    }

    /// By as many callers as there may be.
    async fn refuse_all(&self) -> impl Sized + use<> {
        let stranger = self.lonely.job(9001).anonymous();
        let strangers = join_all((0..FEW).map(|_| stranger.http2())).await;
        for stranger in &strangers {
            assert_eq!(stranger.get("/api").await.refused().status, 401);
        }
        strangers
    }

    async fn stop_writing_records(&self) -> impl Sized + use<> {
        self.log.break_off();
        let http2 = self.relay.job(9001).http2().await;
        let lost = "adit_relay_audit_records_dropped_total";
        while self.relay.metrics().await.value(lost) == 0.0 {
            join_all((0..50).map(|_| http2.get("/version"))).await;
        }
        http2
    }

    /// More answers, until so many bytes of them lie unread that the alert is told, and nothing moves any more.
    async fn read_nothing(&self) -> impl Sized + use<> {
        let http2 = self.relay.job(9001).http2().await;
        let mut begun = Vec::new();
        while self.unread().await < 0.8 {
            begun.push(http2.send(get("/big/2500000")).await);
            until_still(&self.relay, "answer").await;
        }
        (http2, begun)
    }

    /// As a part of what may be.
    async fn unread(&self) -> f64 {
        let metrics = self.relay.metrics().await;
        metrics.value("adit_relay_tunnel_buffered_bytes")
            / metrics.value("adit_relay_tunnel_buffered_limit_bytes")
    }

    async fn stop(self) {
        self.log.mend();
        self.relay.stop().await;
        self.lonely.stop().await;
        for agent in [self.prod, self.staging, self.gone] {
            agent.stop().await;
        }
        drop(self.line);
        self.kube.stop().await;
        self.other_kube.stop().await;
    }
}

/// What is open now is nine tenths of what may be from now on.
fn lower_descriptors() {
    let most = lonely::open_files() * 10 / 9;
    let limit = Rlimit {
        current: Some(most as u64),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Connections that may call the relay without agents.
const FEW: usize = 5;
