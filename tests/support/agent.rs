//! The real agent, configured by YAML as a user would do it, on the scenario's own thread.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use adit_agent::{Agent, Config, RawConfig};
use adit_process::{ConfigFile, reread::keep};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    Kube, Metrics, Settings, TestRelay, metrics,
    pki::{Made, Pki},
    within,
};

/// An agent about to be started; `name` is what the relay calls it.
#[must_use]
pub fn agent(name: &str) -> AgentBuilder {
    let mut settings = Settings::default();
    settings.set("admin", "address", "127.0.0.1:0");
    settings.set("relay", "proxy", "none");
    settings.set("relay", "backoff_base", "50ms");
    settings.set("relay", "backoff_cap", "200ms");
    AgentBuilder {
        name: name.to_owned(),
        settings,
        folder: tempfile::tempdir().unwrap(),
    }
}

/// What an agent will be told.
pub struct AgentBuilder {
    name: String,
    settings: Settings,
    folder: TempDir,
}

impl AgentBuilder {
    /// Dials this relay, with the token that it knows.
    #[must_use]
    pub fn to(self, relay: &TestRelay) -> Self {
        let token = relay.entry(&self.name).token.clone();
        self.showing(&token, relay)
    }

    /// Dials this relay with another token, such as one of GitLab's.
    ///
    /// # Panics
    ///
    /// When no file can be written.
    #[must_use]
    pub fn showing(mut self, token: &str, relay: &TestRelay) -> Self {
        let file = self.folder.path().join("token");
        std::fs::write(&file, token).unwrap();
        self.settings.set("relay", "token_file", file.display());
        self.settings.set("relay", "ca_file", relay.ca().display());
        self.via(relay.address())
    }

    /// Dials this address, such as that of a line to the relay. After [`AgentBuilder::to`].
    #[must_use]
    pub fn via(self, address: SocketAddr) -> Self {
        self.with("relay", "url", format!("https://{address}"))
    }

    /// Serves this API server.
    #[must_use]
    pub fn serving(self, kube: &Kube) -> Self {
        self.serving_by(kube.kubeconfig().to_owned())
    }

    /// Serves what this kubeconfig says.
    #[must_use]
    pub fn serving_by(self, kubeconfig: PathBuf) -> Self {
        self.with("kubernetes", "kubeconfig", kubeconfig.display())
    }

    /// Sets `section.key` of its configuration; the value is YAML.
    #[must_use]
    pub fn with(mut self, section: &str, key: &str, value: impl ToString) -> Self {
        self.settings.set(section, key, value);
        self
    }

    /// Shows its relay a certificate of this CA's.
    #[must_use]
    pub fn certified(self, ca: &Pki, made: Made) -> Self {
        let (certificate, key) = ca.write_client(self.folder.path(), made);
        self.with("relay", "client_certificate", certificate.display())
            .with("relay", "client_key", key.display())
    }

    /// Finds out quickly that the relay or the API server is silent.
    #[must_use]
    pub fn impatient(self) -> Self {
        let this =
            self.with("relay", "ping_interval", "200ms")
                .with("relay", "dead_after", "600ms");
        this.with("kubernetes", "ping_interval", "200ms")
            .with("kubernetes", "dead_after", "600ms")
    }

    /// Writes its configuration into its folder, which goes with this value: for a process of its own.
    ///
    /// # Panics
    ///
    /// When the folder is gone.
    #[must_use]
    pub fn write(&self) -> PathBuf {
        let file = self.folder.path().join("agent.yaml");
        std::fs::write(&file, self.settings.to_yaml()).unwrap();
        file
    }

    /// Starts it and waits for its tunnel.
    pub async fn start(self) -> TestAgent {
        let agent = self.start_anyway().await;
        within("the agent's tunnel", agent.connected()).await;
        agent
    }

    /// Starts it, whether it reaches the relay or not.
    ///
    /// # Panics
    ///
    /// When its configuration is wrong.
    pub async fn start_anyway(self) -> TestAgent {
        let mut agent = TestAgent {
            running: None,
            settings: self.settings,
            folder: self.folder,
            file: None,
        };
        agent.revive_anyway().await;
        agent
    }
}

/// A running agent.
pub struct TestAgent {
    running: Option<Agent>,
    settings: Settings,
    folder: TempDir,
    /// Once it runs by one: what keeps it.
    file: Option<JoinSet<()>>,
}

impl TestAgent {
    /// Waits for a tunnel.
    pub async fn connected(&self) {
        self.agent().connected().await;
    }

    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.agent().admin_addr()
    }

    pub async fn metrics(&self) -> Metrics {
        Metrics::read(self.admin()).await
    }

    /// Waits until its admin port says so.
    pub async fn until_metric(&self, sample: &str, is_so: impl Fn(f64) -> bool) {
        metrics::until(self.admin(), sample, is_so).await;
    }

    /// Status and body of a GET to its admin port.
    pub async fn admin_get(&self, path: &str) -> (u16, String) {
        metrics::admin_get(self.admin(), path).await
    }

    /// Drains; what still runs after `grace` is cut.
    pub async fn drain(&mut self, grace: Duration) {
        self.file = None;
        if let Some(agent) = self.running.take() {
            agent.drain(grace).await;
        }
    }

    /// Ends at once.
    pub async fn kill(&mut self) {
        if let Some(agent) = self.running.take() {
            agent.abort().await;
        }
    }

    /// Is there again, with the same configuration and a tunnel.
    pub async fn revive(&mut self) {
        self.revive_anyway().await;
        within("the agent's tunnel", self.connected()).await;
    }

    /// Ends in order.
    pub async fn stop(mut self) {
        self.drain(Duration::from_secs(1)).await;
    }

    /// Runs by another configuration from now on, as it does when its file was changed.
    ///
    /// # Panics
    ///
    /// When that is wrong.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.agent().configured().change(self.check());
    }

    /// Writes its configuration into a file, by which it runs from now on.
    ///
    /// # Panics
    ///
    /// When that cannot be written.
    pub fn run_by_file(&mut self) -> PathBuf {
        let (path, text) = (
            self.folder.path().join("agent.yaml"),
            self.settings.to_yaml(),
        );
        std::fs::write(&path, &text).unwrap();
        let configured = self.agent().configured().clone();
        let looks = configured.looks().clone();
        let change = move |config| configured.change(config);
        let file = ConfigFile::new(path.clone(), text, parse, change, looks);
        let mut kept = JoinSet::new();
        kept.spawn(keep(Arc::new(file), self.agent().reread()));
        self.file = Some(kept);
        path
    }

    /// Has it read its files and secrets, as SIGHUP does.
    pub fn reread(&self) {
        self.agent().reread().now();
    }

    /// Puts another certificate in the place of the one that it shows its relay.
    pub fn renew_certificate(&self, ca: &Pki, made: Made) {
        let _ = ca.write_client(self.folder.path(), made);
    }

    fn check(&self) -> Config {
        let yaml = self.settings.to_yaml();
        parse(&yaml).unwrap_or_else(|mistakes| panic!("{mistakes}\n{yaml}"))
    }

    async fn revive_anyway(&mut self) {
        let config = self.check();
        self.running = Some(
            within("the agent's start", Agent::start(config))
                .await
                .unwrap(),
        );
    }

    fn agent(&self) -> &Agent {
        self.running.as_ref().expect("the agent runs")
    }
}

fn parse(yaml: &str) -> Result<Config, String> {
    let raw = RawConfig::from_yaml(yaml).map_err(|mistake| mistake.to_string())?;
    Config::try_from(raw).map_err(|mistakes| mistakes.to_string())
}
