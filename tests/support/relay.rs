//! The real relay, configured by YAML as a user would do it, on the scenario's own thread.

use std::{
    fmt::Write,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use adit_authority::token::TokenHash;
use adit_identity::JobIdentity;
use adit_process::{ConfigFile, reread::keep};
use adit_relay::{Config, RawConfig, Relay};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{Caller, GitLab, Metrics, Settings, TestIssuer, job, metrics, pki};

/// A relay about to be started. It knows the agents `prod` (1) and `staging` (2) of project `group/sub/app`, which the
/// tests' job may use, and `foreign` (3) of another project, which it may not.
#[must_use]
pub fn relay() -> RelayBuilder {
    let mut settings = Settings::default();
    settings.set("listen", "address", "127.0.0.1:0");
    settings.set("admin", "address", "127.0.0.1:0");
    let agents = ["prod", "staging", "foreign"]
        .into_iter()
        .zip(1..)
        .map(|(name, id)| Entry::new(id, name))
        .collect();
    RelayBuilder {
        shards: None,
        told: Told { settings, agents },
        issuer: None,
        cached_tokens: None,
        has_tls: true,
    }
}

/// What a relay will be told.
pub struct RelayBuilder {
    shards: Option<usize>,
    told: Told,
    issuer: Option<TestIssuer>,
    cached_tokens: Option<usize>,
    has_tls: bool,
}

/// What a relay's configuration says.
#[derive(Clone, Debug)]
pub struct Told {
    settings: Settings,
    agents: Vec<Entry>,
}

impl Told {
    /// Sets `section.key`; the value is YAML.
    pub fn set(&mut self, section: &str, key: &str, value: impl ToString) {
        self.settings.set(section, key, value);
    }

    /// Has these lines of YAML below an agent, such as its `ci_access`, and none of those before.
    pub fn set_agent(&mut self, name: &str, yaml: &str) {
        self.entry(name).more.clear();
        self.add_to_agent(name, yaml);
    }

    /// Takes an agent out.
    pub fn forget_agent(&mut self, name: &str) {
        self.agents.retain(|entry| entry.name != name);
    }

    /// Knows `prod` alone, as it does by default.
    pub fn know_prod(&mut self) {
        self.agents = vec![Entry::new(1, "prod")];
    }

    /// Knows an agent by these tokens.
    pub fn set_tokens(&mut self, name: &str, tokens: &[&str]) {
        self.entry(name).tokens = tokens.iter().map(|&token| token.to_owned()).collect();
    }

    /// Trusts this issuer's tokens for another audience alone.
    pub fn trust_for(&mut self, issuer: &TestIssuer, audience: &str) {
        let issuers = issuer.settings().replace(crate::issuer::AUDIENCE, audience);
        self.set("authorities", "oidc", format!("{{ issuers: {issuers} }}"));
    }

    fn add_to_agent(&mut self, name: &str, yaml: &str) {
        let entry = self.entry(name);
        for line in yaml.lines() {
            writeln!(entry.more, "  {line}").unwrap();
        }
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        let mut entries = self.agents.iter_mut();
        let entry = entries.find(|entry| entry.name == name);
        entry.expect("the agent is known")
    }

    fn yaml(&self) -> String {
        let mut yaml = self.settings.to_yaml();
        let list = if self.agents.is_empty() {
            "agents: []\n"
        } else {
            "agents:\n"
        };
        yaml.push_str(list);
        self.agents
            .iter()
            .for_each(|agent| yaml.push_str(&agent.yaml()));
        yaml
    }

    fn check(&self) -> Config {
        let yaml = self.yaml();
        parse(&yaml).unwrap_or_else(|mistakes| panic!("{mistakes}\n{yaml}"))
    }
}

fn parse(yaml: &str) -> Result<Config, String> {
    let config = RawConfig::from_yaml(yaml).and_then(Config::try_from);
    config.map_err(|mistakes| mistakes.to_string())
}

/// An agent in the relay's configuration.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) token: String,
    /// What it may come in by, if not by that.
    tokens: Vec<String>,
    project: &'static str,
    /// Lines of YAML below the agent.
    more: String,
}

impl Entry {
    fn new(id: u64, name: &str) -> Self {
        let project = if name == "foreign" {
            "other/project"
        } else {
            "group/sub/app"
        };
        let token = format!("canary-agent-token-of-{name}");
        Self {
            id,
            name: name.to_owned(),
            token,
            tokens: Vec::new(),
            project,
            more: String::new(),
        }
    }

    fn yaml(&self) -> String {
        let Self {
            id,
            name,
            token,
            tokens,
            project,
            more,
        } = self;
        let own = std::slice::from_ref(token);
        let listed = if tokens.is_empty() { own } else { tokens };
        let hashes: Vec<_> = listed
            .iter()
            .map(|token| format!("'{}'", TokenHash::of(token)))
            .collect();
        format!(
            "- id: {id}\n  name: {name}\n  project: {project}\n  project_id: {project_id}\n  tokens: [{hashes}]\n{more}",
            project_id = if name == "foreign" { 999 } else { 150 },
            hashes = hashes.join(", "),
        )
    }
}

impl RelayBuilder {
    /// Sets `section.key` of its configuration; the value is YAML.
    #[must_use]
    pub fn with(mut self, section: &str, key: &str, value: impl ToString) -> Self {
        self.told.set(section, key, value);
        self
    }

    /// Lines of YAML below an agent it knows, such as its `ci_access`.
    #[must_use]
    pub fn with_agent(mut self, name: &str, yaml: &str) -> Self {
        self.told.add_to_agent(name, yaml);
        self
    }

    /// Knows no agent by itself.
    #[must_use]
    pub fn without_agents(mut self) -> Self {
        self.told.agents.clear();
        self
    }

    /// Knows so many agents more, of lower ids than its own, none of which is ever there.
    #[must_use]
    pub fn behind_others(mut self, others: u64) -> Self {
        let own = self.told.agents.iter_mut();
        own.for_each(|entry| entry.id += others);
        let absent = (1..=others).map(|id| Entry::new(id, &format!("absent-{id}")));
        self.told.agents.extend(absent);
        self
    }

    /// Carries traffic on so many threads of its own, as in production, instead of on the scenario's.
    #[must_use]
    pub fn on_threads(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    #[must_use]
    pub fn believing(mut self, issuer: TestIssuer) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// Asks this GitLab about jobs, too, with more keys of its section. The agents `prod` and `staging` are GitLab's as well, `foreign`
    /// is the relay's own.
    #[must_use]
    pub fn asking(self, gitlab: &GitLab, more: &str) -> Self {
        let section = format!("{{ url: '{}', {more} }}", gitlab.url());
        self.with("authorities", "gitlab", section)
            .with_agent("prod", "authorities: [oidc, gitlab]")
            .with_agent("staging", "authorities: [oidc, gitlab]")
            .with_agent("foreign", "authorities: [oidc]")
    }

    /// Remembers so many verified tokens.
    #[must_use]
    pub fn remembering(mut self, tokens: usize) -> Self {
        self.cached_tokens = Some(tokens);
        self
    }

    /// Speaks plain HTTP, since TLS ends before it.
    #[must_use]
    pub fn behind_tls(mut self) -> Self {
        self.has_tls = false;
        self.with("listen", "tls_ended_before", true)
    }

    /// Has a certificate on its admin port, too; its files are in the folder.
    #[must_use]
    pub fn with_admin_certificate(self, folder: &std::path::Path) -> Self {
        let (certificate, key) = pki::shared().write_server(folder);
        self.with("admin", "certificate", certificate.display())
            .with("admin", "key", key.display())
    }

    /// Finds out quickly that an agent is silent, and says so at once: for scenarios about lost agents.
    #[must_use]
    pub fn impatient(self) -> Self {
        self.with("tunnel", "ping_interval", "200ms")
            .with("tunnel", "dead_after", "600ms")
            .with("route", "wait", "300ms")
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When its configuration is wrong.
    pub async fn start(self) -> TestRelay {
        let relay = self.start_unready().await;
        relay.until_ready().await;
        relay
    }

    /// Starts it, whether it gets ready or not.
    ///
    /// # Panics
    ///
    /// When its configuration is wrong.
    #[expect(clippy::unused_async, reason = "a relay starts inside a runtime only")]
    pub async fn start_unready(self) -> TestRelay {
        let folder = tempfile::tempdir().unwrap();
        let ca = pki::shared().write_ca(folder.path());
        let (certificate, key) = pki::shared().write_server(folder.path());
        let issuer = Arc::new(self.issuer.unwrap_or_default());
        let cached = self
            .cached_tokens
            .map(|tokens| format!(", max_cached_tokens: {tokens}"))
            .unwrap_or_default();
        let mut told = self.told;
        if self.has_tls {
            told.set("listen", "certificate", certificate.display());
            told.set("listen", "key", key.display());
        }
        told.set("authorities", "ca_file", ca.display());
        told.set(
            "authorities",
            "oidc",
            format!("{{ issuers: {}{cached} }}", issuer.settings()),
        );
        let agents = told.agents.clone();
        let mut relay = TestRelay {
            running: None,
            shards: self.shards,
            told,
            agents,
            file: None,
            issuer,
            address: UNBOUND,
            admin: UNBOUND,
            ca,
            folder,
        };
        relay.begin();
        relay
    }
}

const UNBOUND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running relay.
pub struct TestRelay {
    running: Option<Relay>,
    shards: Option<usize>,
    told: Told,
    /// All that it was ever told of.
    agents: Vec<Entry>,
    /// Once it runs by one: what keeps it.
    file: Option<JoinSet<()>>,
    issuer: Arc<TestIssuer>,
    address: SocketAddr,
    admin: SocketAddr,
    ca: PathBuf,
    folder: TempDir,
}

impl TestRelay {
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The address that GitLab calls.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn gitlab_api(&self) -> SocketAddr {
        let relay = self.running.as_ref().expect("the relay runs");
        let address = relay.gitlab_api_addr();
        address.expect("the relay has a port for GitLab")
    }

    #[must_use]
    pub fn issuer(&self) -> &TestIssuer {
        &self.issuer
    }

    #[must_use]
    pub fn shared_issuer(&self) -> Arc<TestIssuer> {
        Arc::clone(&self.issuer)
    }

    /// Runs by another configuration from now on, as it does when its file was changed.
    ///
    /// # Panics
    ///
    /// When that is wrong, or the relay does not run.
    pub fn change(&mut self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told);
        let config = self.told.check();
        let relay = self.running.as_ref().expect("the relay runs");
        relay.configured().change(config);
    }

    /// Writes its configuration into a file, by which it runs from now on.
    ///
    /// # Panics
    ///
    /// When that cannot be written, or the relay does not run.
    pub fn run_by_file(&mut self) -> PathBuf {
        let (path, text) = (self.folder.path().join("relay.yaml"), self.told.yaml());
        std::fs::write(&path, &text).unwrap();
        let relay = self.running.as_ref().expect("the relay runs");
        let (configured, looks) = (relay.configured().clone(), relay.configured().looks());
        let change = move |config| configured.change(config);
        let file = ConfigFile::new(path.clone(), text, parse, change, looks.clone());
        let mut kept = JoinSet::new();
        kept.spawn(keep(Arc::new(file), relay.reread()));
        self.file = Some(kept);
        path
    }

    /// Has it read its files, as SIGHUP does.
    ///
    /// # Panics
    ///
    /// When the relay does not run.
    pub fn reread(&self) {
        let relay = self.running.as_ref().expect("the relay runs");
        relay.reread().now();
    }

    /// Puts a new certificate in the place of the one it shows.
    pub fn renew_certificate(&self) {
        let _ = pki::shared().write_server(self.folder.path());
    }

    /// The same, with one that is over tomorrow.
    pub fn shorten_certificate(&self) {
        let tomorrow = SystemTime::now() + Duration::from_hours(24);
        let _ = pki::shared().write_server_until(self.folder.path(), Some(tomorrow));
    }

    /// Makes its certificate's file one that cannot be read.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn spoil_certificate(&self) {
        std::fs::write(self.folder.path().join(pki::CERTIFICATE), "spoilt").unwrap();
    }

    /// The files of its certificate and key.
    #[must_use]
    pub fn certificate(&self) -> [PathBuf; 2] {
        [pki::CERTIFICATE, pki::KEY].map(|name| self.folder.path().join(name))
    }

    /// The file with the CA of its certificate.
    #[must_use]
    pub fn ca(&self) -> &std::path::Path {
        &self.ca
    }

    pub(crate) fn entry(&self, agent: &str) -> &Entry {
        self.agents
            .iter()
            .find(|entry| entry.name == agent)
            .expect("the agent is known")
    }

    /// Job `id` as a caller of `prod`.
    #[must_use]
    pub fn job(&self, id: u64) -> Caller {
        self.caller(&job(id), "prod")
    }

    /// A job as a caller of an agent, with the credential that a kubeconfig holds.
    #[must_use]
    pub fn caller(&self, job: &JobIdentity, agent: &str) -> Caller {
        self.showing(&format!(
            "Bearer ci:{}:{}",
            self.entry(agent).id,
            self.issuer.token(job)
        ))
    }

    /// Anybody, with this `Authorization`.
    #[must_use]
    pub fn showing(&self, authorization: &str) -> Caller {
        Caller::new(self.address, authorization)
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics(self.admin_get("/metrics").await.1)
    }

    /// Status and body of a GET to its admin port, by TLS where that has a certificate.
    pub async fn admin_get(&self, path: &str) -> (u16, String) {
        if self.told.settings.has("admin", "certificate") {
            return metrics::admin_get_over_tls(self.admin, path).await;
        }
        metrics::admin_get(self.admin, path).await
    }

    /// Waits until its admin port says so.
    pub async fn until_metric(&self, sample: &str, is_so: impl Fn(f64) -> bool) {
        metrics::until(self.admin, sample, is_so).await;
    }

    /// Drains; what still runs after `grace` is cut.
    pub async fn drain(&mut self, grace: Duration) {
        self.file = None;
        if let Some(relay) = self.running.take() {
            relay.drain(grace).await;
        }
    }

    /// Ends at once, as a killed process would: what runs is cut.
    pub async fn kill(&mut self) {
        if let Some(relay) = self.running.take() {
            relay.abort().await;
        }
    }

    /// Is there again, at the same address and with the same configuration.
    ///
    /// # Panics
    ///
    /// When the port was taken meanwhile.
    pub async fn revive(&mut self) {
        self.told.set("listen", "address", self.address);
        self.told.set("admin", "address", self.admin);
        self.begin();
        self.until_ready().await;
    }

    /// Ends in order.
    pub async fn stop(mut self) {
        self.drain(Duration::from_secs(1)).await;
    }

    /// Its configuration, as its file would have it, with the addresses that it listens on.
    #[must_use]
    pub fn config(&self) -> String {
        let mut told = self.told.clone();
        told.set("listen", "address", self.address);
        told.set("admin", "address", self.admin);
        told.yaml()
    }

    fn begin(&mut self) {
        let config = self.told.check();
        let relay = match self.shards {
            None => Relay::start_here(config),
            Some(shards) => Relay::start(Config { shards, ..config }),
        };
        let relay = relay.unwrap();
        self.address = relay.public_addr();
        self.admin = relay.admin_addr();
        self.running = Some(relay);
    }

    /// Waits until its admin port says that it is ready.
    ///
    /// # Panics
    ///
    /// When it takes longer than [`crate::SOON`].
    pub async fn until_ready(&self) {
        let began = tokio::time::Instant::now();
        while self.admin_get("/readyz").await.0 != 200 {
            assert!(
                began.elapsed() < crate::SOON,
                "the relay does not become ready"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
