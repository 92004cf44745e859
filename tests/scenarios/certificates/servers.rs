//! The CAs of servers that relay and agent dial, which are replaced while both run: each key's file, and what depends on it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use adit_relay::status::Report;
use adit_tests::{
    AgentBuilder, TestIssuer, TestRelay, World, agent,
    collector::Collector,
    gitlab,
    gitlab::arrange,
    kube, logs,
    pki::{self, Made, Pki},
    relay, scenario, until, within,
};
use tempfile::TempDir;

use crate::certificates::lead;

const REPLACED: &str = "adit_relay_server_ca_reloads_total{outcome=\"replaced\"}";
const FAILED: &str = "adit_relay_server_ca_reloads_total{outcome=\"failed\"}";

/// A file with CAs, at first with one by which none of the scenarios' servers is known.
pub(crate) struct Bundle(TempDir);

impl Bundle {
    pub(crate) fn of_others() -> Self {
        let bundle = Self(tempfile::tempdir().unwrap());
        fs::write(bundle.file(), Pki::new("somebody else").ca_pem()).unwrap();
        bundle
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("bundle.pem")
    }

    /// Holds what is no CA, and then the right one.
    pub(crate) async fn mend(&self, relay: &TestRelay, key: &str) {
        refuse(relay, &self.file(), key).await;
        believe(relay, &self.file(), &pki::shared().ca_pem()).await;
        assert_eq!(problems(relay).await, [""; 0]);
    }
}

/// Looks at the file that `key` names when it is of no use: that is told, and changes nothing.
async fn refuse(relay: &TestRelay, file: &Path, key: &str) {
    let before = relay.metrics().await.value(FAILED);
    fs::write(file, "spoilt").unwrap();
    relay.reread();
    relay.until_metric(FAILED, |now| now > before).await;
    let problems = problems(relay).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    let stays = format!("{key} cannot be read again, the old CAs stay: ");
    assert!(problems[0].starts_with(&stays), "{problems:?}");
    let logs = logs();
    let not_reloaded = "CAs of servers not reloaded, the old ones stay";
    let mut lines = logs.lines();
    let is_said = lines.any(|line| line.contains(not_reloaded) && line.contains(key));
    assert!(is_said, "{logs}");
}

/// Takes the file's CAs, when asked to look.
async fn believe(relay: &TestRelay, file: &Path, text: &str) {
    let before = relay.metrics().await.value(REPLACED);
    fs::write(file, text).unwrap();
    relay.reread();
    relay.until_metric(REPLACED, |now| now > before).await;
}

/// What operators are told of these CAs.
async fn problems(relay: &TestRelay) -> Vec<String> {
    let (_, text) = relay.admin_get("/status").await;
    let report: Report = serde_json::from_str(&text).unwrap();
    let of_cas = report.problems.into_iter();
    of_cas
        .filter(|problem| problem.about == "server_ca")
        .map(|problem| problem.message)
        .collect()
}

#[test]
fn issuer_is_believed_by_what_the_file_holds_now() {
    scenario(async {
        let relay = relay().believing(TestIssuer::over_https().await);
        let relay = relay.start().await;
        let file = relay.ca().to_owned();
        believe(&relay, &file, &Pki::new("somebody else").ca_pem()).await;
        let failures = "adit_relay_key_fetch_failures_total";
        until_more(&relay, failures).await;
        refuse(&relay, &file, "authorities.ca_file").await;
        until_more(&relay, failures).await;
        believe(&relay, &file, &pki::shared().ca_pem()).await;
        let before = relay.issuer().fetches();
        until("keys are fetched", || relay.issuer().fetches() > before).await;
        assert_eq!(problems(&relay).await, [""; 0]);
        relay.stop().await;
    });
}

async fn until_more(relay: &TestRelay, counter: &str) {
    let before = relay.metrics().await.value(counter);
    relay.until_metric(counter, |now| now > before).await;
}

#[test]
fn gitlab_is_believed_by_what_the_file_holds_now() {
    scenario(async {
        let (gitlab, bundle) = (gitlab().start().await, Bundle::of_others());
        arrange(&gitlab);
        let keys = format!("ca_file: '{}'", bundle.file().display());
        let world = World::of(kube(), relay().asking(&gitlab, &keys)).await;
        let job = || {
            let mut all = gitlab.world();
            let job = all.job("group/sub/app").run();
            let token = all.job_of(job).token();
            world.relay.showing(&format!("Bearer ci:1:{token}"))
        };
        let refused = job().get("/api").await.refused();
        assert_eq!(refused.reason, "gitlab_unavailable");
        bundle
            .mend(&world.relay, "authorities.gitlab.ca_file")
            .await;
        job().get("/api").await.echo();
        world.stop().await;
    });
}

/// Also while a tunnel is up and nobody connects: whose file is spoilt hears of it before the next connect fails.
#[test]
fn relay_is_believed_by_what_the_file_holds_now() {
    scenario(async {
        let bundle = Bundle::of_others();
        let right = pki::shared().ca_pem();
        fs::write(bundle.file(), &right).unwrap();
        let believing = |agent: AgentBuilder| {
            let file = bundle.file();
            agent.with("relay", "ca_file", file.display())
        };
        let mut world = World::with(kube(), relay(), believing).await;
        let reloads = "adit_agent_server_ca_reloads_total";
        let some = |count: f64| count >= 1.0;
        fs::write(bundle.file(), "spoilt").unwrap();
        world.agent.reread();
        let failed = format!("{reloads}{{outcome=\"failed\"}}");
        world.agent.until_metric(&failed, some).await;
        let told = logs();
        assert!(told.lines().any(|line| {
            line.contains("CAs of servers not reloaded") && line.contains("relay.ca_file")
        }));
        // By those of before it connects anew.
        world.relay.kill().await;
        world.relay.revive().await;
        world.job.get("/api").await.echo();
        fs::write(bundle.file(), &right).unwrap();
        world.agent.reread();
        let mended = "CAs of servers can be read again, and are as they were";
        until("it is told to be mended", || logs().contains(mended)).await;
        let both = Pki::new("somebody else").ca_pem() + &right;
        fs::write(bundle.file(), both).unwrap();
        world.agent.reread();
        let replaced = format!("{reloads}{{outcome=\"replaced\"}}");
        world.agent.until_metric(&replaced, some).await;
        world.stop().await;
    });
}

/// What was put right a moment ago counts at the next attempt.
#[test]
fn agent_looks_at_its_files_each_time_that_it_connects() {
    scenario(async {
        let bundle = Bundle::of_others();
        let (certificate, key) = pki::shared().write_client(bundle.0.path(), Made::default());
        let (relay, kube) = (relay().start().await, kube().start().await);
        let agent = agent("prod").to(&relay).serving(&kube);
        let agent = agent
            .with("relay", "ca_file", bundle.file().display())
            .with("relay", "client_certificate", certificate.display())
            .with("relay", "client_key", key.display());
        let agent = agent.start_anyway().await;
        for file in [bundle.file(), certificate] {
            fs::write(file, "spoilt").unwrap();
        }
        let attempts = async || agent.metrics().await.sum("adit_agent_connects_total");
        let before = attempts().await;
        let tried = async { while attempts().await < before + 10.0 {} };
        within("ten attempts", tried).await;
        let metrics = agent.metrics().await;
        for kind in ["adit_agent_server_ca", "adit_tls_certificate"] {
            let looks = metrics.value(&format!("{kind}_reloads_total{{outcome=\"failed\"}}"));
            // All the same there is one in ten seconds.
            assert!(looks >= 5.0, "{kind}: {looks}");
        }
        relay.stop().await;
        agent.stop().await;
        kube.stop().await;
    });
}

/// Both keys, each with a file of its own, of which one comes to be a link, as in a mounted Secret.
#[test]
fn collectors_are_believed_by_what_the_files_hold_now() {
    scenario(async {
        let collector = Collector::start_with_tls().await;
        let endpoint = format!("https://localhost:{}", collector.address().port());
        let (audit, traces) = (Bundle::of_others(), Bundle::of_others());
        let otlp = format!(
            "{{ endpoint: '{endpoint}', ca_file: '{}' }}",
            audit.file().display()
        );
        let traced = traces.file().display().to_string();
        let relay = relay()
            .with("audit", "to", "otlp")
            .with("audit", "otlp", otlp)
            .with("traces", "endpoint", &endpoint)
            .with("traces", "ca_file", &traced)
            .with("traces", "sample", 1);
        let world = World::with(kube(), relay, |agent| {
            agent
                .with("traces", "endpoint", &endpoint)
                .with("traces", "ca_file", &traced)
        })
        .await;
        world.job.get("/api").await.echo();
        let failures = "adit_relay_audit_write_failures_total";
        world.relay.until_metric(failures, |now| now > 0.0).await;
        audit.mend(&world.relay, "audit.otlp.ca_file").await;
        collector.until_kept(1).await;

        assert!(collector.told().is_empty(), "they go by the other file");
        let right = traces.file().with_file_name("right.pem");
        fs::write(&right, pki::shared().ca_pem()).unwrap();
        refuse(&world.relay, &traces.file(), "traces.ca_file").await;
        world.agent.reread();
        let of_agent =
            |outcome| format!("adit_agent_server_ca_reloads_total{{outcome=\"{outcome}\"}}");
        let some = |count: f64| count >= 1.0;
        world.agent.until_metric(&of_agent("failed"), some).await;
        lead(&traces.file(), &right);
        world.relay.reread();
        world.agent.reread();
        world.agent.until_metric(&of_agent("replaced"), some).await;
        for last in ["forward", "api_server"] {
            collector.until_told(last, |told| told.name == last).await;
        }
        assert_eq!(problems(&world.relay).await, [""; 0]);
        world.stop().await;
    });
}
