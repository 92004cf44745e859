//! Where everything goes wrong, one thing after the other, for the alerts that tell of it.

use std::{fs, net::Ipv4Addr, time::Duration};

use adit_tests::{
    AuditLog, Caller, GitLab, Kube, Line, Prometheus, TestAgent, TestIssuer, TestRelay, agent,
    caller::get, job, kube, lonely, pass, pki, relay,
};
use futures_util::future::join_all;
use http::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xtask::tools::Prometheus as Programs;

use super::{gitlab_of_ours, impatient_rules, job_of, trusting};
use crate::{metrics::denying, streams::until_still};

/// An agent where no relay is.
pub(super) async fn cut_off(name: &str, relay: &TestRelay, kube: &Kube) -> TestAgent {
    let nowhere = (Ipv4Addr::LOCALHOST, 1).into();
    let agent = agent(name).to(relay).via(nowhere).serving(kube);
    agent.start_anyway().await
}

/// Relays, agents and what is beside them, all of it still well but for the agents that are cut off.
pub(super) struct Place {
    gitlab: GitLab,
    log: AuditLog,
    kube: Kube,
    pub(super) relay: TestRelay,
    /// To the relay.
    line: Line,
    prod: TestAgent,
    /// Of `staging`.
    other_kube: Kube,
    staging: TestAgent,
    /// A relay without agents, on which only a few may call.
    lonely: TestRelay,
    /// Another, on which one address may have but a few of very many.
    shared: TestRelay,
    /// `foreign`.
    gone: TestAgent,
    /// A replica of `staging`.
    second: TestAgent,
}

impl Place {
    pub(super) async fn new() -> Self {
        let (gitlab, log) = (gitlab_of_ours().await, AuditLog::default());
        let relay = log
            .of(relay())
            .with("audit", "queue", "1MiB")
            .with("tunnel", "max_buffered_in_all", "1MiB")
            .with("tunnel", "max_stream_credit", "64KiB")
            .with("metrics", "agents", 10)
            .asking(&gitlab, &trusting(&gitlab))
            .believing(TestIssuer::over_https().await.kept_for("1h"));
        let relay = relay.start().await;
        let kube = kube().start().await;
        let foreign = agent("foreign").to(&relay).serving(&kube);
        foreign.start().await.stop().await;
        let line = Line::to(relay.address()).await;
        let prod = agent("prod").to(&relay).via(line.address()).serving(&kube);
        let other_kube = denying().start().await;
        let staging = agent("staging").to(&relay).serving(&other_kube);
        let lonely = adit_tests::relay().with("limits", "connections", FEW);
        let shared = adit_tests::relay().with("limits", "connections_per_address", FEW);
        Self {
            prod: prod.start().await,
            staging: staging.start().await,
            lonely: lonely.start().await,
            shared: shared.start().await,
            gone: cut_off("foreign", &relay, &kube).await,
            second: cut_off("staging", &relay, &kube).await,
            gitlab,
            log,
            kube,
            relay,
            line,
            other_kube,
        }
    }

    pub(super) async fn watched(&self, programs: &Programs) -> Prometheus {
        let targets = [
            ("relay", "relay", self.relay.admin()),
            ("relay", "lonely", self.lonely.admin()),
            ("relay", "shared", self.shared.admin()),
            ("prod", "prod", self.prod.admin()),
            ("staging", "staging", self.staging.admin()),
            ("staging", "second", self.second.admin()),
            ("foreign", "gone", self.gone.admin()),
        ];
        Prometheus::watching(programs, &targets, &impatient_rules()).await
    }

    fn of_staging(&self) -> Caller {
        self.relay.caller(&job(9001), "staging")
    }

    /// Six times, which is more often than is left alone.
    pub(super) async fn break_tunnels(&self) {
        for times in 1..=6 {
            self.line.cut();
            let lost = r#"adit_relay_tunnel_ends_total{cause="lost"}"#;
            let opened = "adit_relay_tunnels_opened_total";
            for (metric, expected) in [(lost, times), (opened, 3 + times)] {
                let is_so = |count: f64| count == f64::from(expected);
                self.relay.until_metric(metric, is_so).await;
            }
        }
    }

    /// A certificate that soon ends, configurations and a secret that are none, and credentials that are gone.
    pub(super) async fn spoil_files(&mut self) {
        fs::write(self.relay.run_by_file(), "spoilt").unwrap();
        fs::write(self.prod.run_by_file(), "spoilt").unwrap();
        self.relay.shorten_certificate();
        fs::write(self.gitlab.secret_file(), "spoilt").unwrap();
        self.other_kube.lose_token();
        let denied = self.of_staging().get("/api/denied").await;
        assert_eq!(denied.status, StatusCode::UNAUTHORIZED);
        pass(Duration::from_secs(40)).await;
        let replaced = r#"adit_tls_certificate_reloads_total{port="public",outcome="replaced"}"#;
        self.relay.until_metric(replaced, |count| count > 0.0).await;
    }

    pub(super) async fn spoil_certificate(&self) {
        self.relay.spoil_certificate();
        pass(Duration::from_secs(20)).await;
    }

    pub(super) async fn lose_api_server(&mut self) {
        self.other_kube.kill().await;
        let http2 = self.of_staging().http2().await;
        for _ in 0..12 {
            assert_eq!(http2.get("/api").await.refused().status, 502);
        }
    }

    pub(super) async fn lose_gitlab(&mut self) {
        self.gitlab.be_away().await;
        let open = r#"adit_relay_gitlab_breaker{state="open"}"#;
        while self.relay.metrics().await.value(open) == 0.0 {
            let refused = job_of(&self.relay, &self.gitlab).get("/api").await;
            assert_eq!(refused.refused().reason, "gitlab_unavailable");
        }
    }

    /// As many jobs as may call, and the relay has another audience than their tokens are for.
    pub(super) async fn refuse_all(&mut self) -> impl Sized + use<> {
        let (job, issuer) = (self.lonely.job(9001), self.lonely.shared_issuer());
        self.lonely
            .change(|told| told.trust_for(&issuer, "another-audience"));
        let jobs = join_all((0..FEW).map(|_| job.http2())).await;
        // Each tries four times, which makes more than are left alone.
        for job in jobs.iter().cycle().take(4 * FEW) {
            let refused = job.get("/api").await.refused();
            assert_eq!(refused.reason, "token_wrong_audience");
        }
        jobs
    }

    /// By as many callers as one address may have, and one more.
    pub(super) async fn share_an_address(&self) -> impl Sized + use<> {
        let job = self.shared.job(9001);
        let callers = join_all((0..FEW).map(|_| job.http2())).await;
        assert!(job.try_tls(pki::HTTP2).await.is_err());
        callers
    }

    pub(super) async fn stop_writing_records(&self) -> impl Sized + use<> {
        self.log.break_off();
        let http2 = self.relay.job(9001).http2().await;
        let lost = "adit_relay_audit_records_dropped_total";
        while self.relay.metrics().await.value(lost) == 0.0 {
            join_all((0..50).map(|_| http2.get("/version"))).await;
        }
        http2
    }

    /// More answers, until so many bytes of them lie unread that the alert is told, and nothing moves any more.
    pub(super) async fn read_nothing(&self) -> impl Sized + use<> {
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

    pub(super) async fn stop(self) {
        self.log.mend();
        self.relay.stop().await;
        self.lonely.stop().await;
        self.shared.stop().await;
        for agent in [self.prod, self.staging, self.second, self.gone] {
            agent.stop().await;
        }
        drop(self.line);
        self.kube.stop().await;
        self.other_kube.stop().await;
    }
}

/// What is open now is nine tenths of what may be from now on.
pub(super) fn lower_descriptors() {
    let most = lonely::open_files() * 10 / 9;
    let limit = Rlimit {
        current: Some(most as u64),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Connections that may call a relay without agents, or come to one from an address.
const FEW: usize = 5;
