//! A relay that knows one agent, for tests of whoever calls it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::kube::{kube, kubeconfig_for};
use crate::process::{SOON, address_in, adit, line, signal, stderr};

pub(crate) const RELAY: &str = "
listen: { address: '127.0.0.1:0' }
admin: { address: '127.0.0.1:0' }
";

/// A relay that knows one agent, and what that needs.
pub(crate) struct Ours {
    folder: TempDir,
    pub(crate) token: String,
    pub(crate) address: String,
    diary: Lines<BufReader<ChildStderr>>,
    _relay: Child,
    pub(crate) tasks: JoinSet<()>,
}

/// What `adit token new --json` prints.
#[derive(serde::Deserialize)]
struct NewToken {
    pub(crate) token: String,
    hash: String,
}

impl Ours {
    /// With these sections of the relay's configuration.
    pub(crate) async fn start(sections: &str) -> Self {
        let made = adit(&["token", "new", "--json"]).output().await.unwrap();
        let made: NewToken = serde_json::from_slice(&made.stdout).unwrap();
        let folder = TempDir::new().unwrap();
        let path = |name| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("keys.json"), r#"{"keys":[]}"#).unwrap();
        let issuer = serde_json::json!({ "url": "https://x.invalid", "audiences": ["a"], "jwks_file": path("keys.json") });
        let agent =
            serde_json::json!({ "id": 7, "name": "demo", "project": "g/p", "tokens": [made.hash] });
        let config = format!(
            "{sections}authorities: {{ oidc: {{ issuers: [{issuer}] }} }}\nagents: [{agent}]\n"
        );
        fs::write(path("relay.yaml"), config).unwrap();
        let mut tasks = JoinSet::new();
        kubeconfig_for(&kube(&mut tasks).await, Path::new(&path("kubeconfig")));
        let mut relay = adit(&["relay", "--config", &path("relay.yaml")])
            .spawn()
            .unwrap();
        let mut diary = stderr(&mut relay);
        let up = line(&mut diary, "relay is up").await;
        Self {
            token: made.token,
            address: address_in(&up).to_owned(),
            folder,
            diary,
            _relay: relay,
            tasks,
        }
    }

    /// Of a cluster that answers.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// By flags and variables alone.
    pub(crate) fn agent(&self, relay: &str) -> Command {
        let mut agent = adit(&["agent", "--admin", "127.0.0.1:0"]);
        agent.arg("--kubeconfig").arg(self.kubeconfig());
        agent
            .env("ADIT_RELAY_URL", relay)
            .env("ADIT_AGENT_TOKEN", &self.token);
        agent
    }

    /// Waits until an agent has a tunnel.
    pub(crate) async fn until_tunnel(&mut self) {
        line(&mut self.diary, "tunnel opened").await;
    }

    /// Waits until the agent has a tunnel, and ends it.
    pub(crate) async fn tunnel_of(&mut self, mut agent: Child) {
        self.until_tunnel().await;
        signal(&agent, "TERM").await;
        let ended = timeout(SOON, agent.wait()).await.expect("it ends");
        assert_eq!(ended.unwrap().code(), Some(0));
    }
}

/// A relay at `localhost` with a certificate of its own, and its host and port.
pub(crate) async fn with_tls(certificates: &Path) -> (Ours, String) {
    let path = |name| certificates.join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let shown = format!(
        "address: '127.0.0.1:0', certificate: {}, key: {}",
        path("cert.pem"),
        path("key.pem")
    );
    let ours = Ours::start(&RELAY.replacen("address: '127.0.0.1:0'", &shown, 1)).await;
    let port = ours.address.rsplit(':').next().unwrap();
    let host = format!("localhost:{port}");
    (ours, host)
}
