//! A relay with its issuer, the agents that dial it, and the clients that call it.

use std::time::Duration;

use adit_authority::{
    issuer::{Issuer, KeyKind},
    token::{self, TokenHash},
};
use adit_process::tls::{ClientTls, TrustRoots};
use adit_relay::{Config, RawConfig, Relay};
use adit_tunnel::{ConnectError, Options};
use http::{HeaderValue, Request};
use secrecy::ExposeSecret as _;
use tokio::{net::TcpStream, time::timeout};

mod agent;
mod by_hand;
mod client;
mod requests;

pub(crate) use agent::Agent;
pub(crate) use by_hand::{ask, h2_head, head, rest, while_open};
pub(crate) use client::Answer;

const SOON: Duration = Duration::from_secs(20);

/// Fails a test that hangs.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("done in time")
}

/// The usual test: a relay of its own, and an agent.
pub(crate) async fn with_agent(test: impl AsyncFnOnce(Setup, Agent)) {
    with_agent_and(USUAL, test).await;
}

/// The same, with more lines in the relay's configuration.
pub(crate) async fn with_agent_and(more: &str, test: impl AsyncFnOnce(Setup, Agent)) {
    within(async {
        let setup = Setup::with(more).await;
        let agent = setup.agent().await;
        test(setup, agent).await;
    })
    .await;
}

/// Nobody waits for an agent.
const USUAL: &str = "route: {wait: 0s}";
const AUDIENCE: &str = "https://relay.example";

/// A running relay. It knows the agents 7, `group/app:demo`, and 8, which the tests' job may not use.
pub(crate) struct Setup {
    pub(crate) relay: Relay,
    pub(crate) address: String,
    agent_token: String,
    issuer: Issuer,
    files: tempfile::TempDir,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with(USUAL).await
    }

    /// With more lines in its configuration.
    pub(crate) async fn with(more: &str) -> Self {
        Self::start(tempfile::tempdir().unwrap(), "address: '127.0.0.1:0'", more).await
    }

    /// Only [`Setup::handshake`] gets in.
    pub(crate) async fn tls() -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["relay".to_owned()]).unwrap();
        let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let listen = format!(
            "address: '127.0.0.1:0', certificate: '{}', key: '{}'",
            certificate.display(),
            key.display()
        );
        Self::start(files, &listen, "").await
    }

    async fn start(files: tempfile::TempDir, listen: &str, more: &str) -> Self {
        let issuer = Issuer::new("https://gitlab.example", KeyKind::EcP256).unwrap();
        let jwks = files.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks()).unwrap();
        let agent_token = token::new().expose_secret().to_owned();
        let other = TokenHash::of("another-agents-token");
        let yaml = format!(
            "
listen: {{{listen}}}
admin: {{address: '127.0.0.1:0'}}
authorities: {{oidc: {{issuers: [{{url: 'https://gitlab.example', audiences: ['{AUDIENCE}'], jwks_file: '{}', leeway: 0s}}]}}}}
agents:
- {{id: 7, name: demo, project: group/app, tokens: ['{}']}}
- {{id: 8, name: other, project: elsewhere/app, tokens: ['{other}']}}
{more}
",
            jwks.display(),
            TokenHash::of(&agent_token),
        );
        let config = Config::try_from(RawConfig::from_yaml(&yaml).unwrap()).unwrap();
        let relay = if more.starts_with("shards:") {
            Relay::start(config)
        } else {
            Relay::start_here(config)
        };
        let relay = relay.unwrap();
        let address = relay.public_addr().to_string();
        let setup = Self {
            relay,
            address,
            agent_token,
            issuer,
            files,
        };
        while setup.admin("/readyz").await.status != 200 {}
        setup
    }

    /// TLS with this protocol, or with none when it is empty.
    pub(crate) async fn handshake(&self, alpn: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
        let roots = TrustRoots::Only(self.files.path().join("tls.crt"));
        let alpn: Vec<_> = [alpn.as_bytes()]
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect();
        let tls = ClientTls::new(&roots, &alpn).unwrap();
        let socket = TcpStream::connect(&self.address).await.unwrap();
        tls.connector()
            .connect("relay".try_into().unwrap(), socket)
            .await
            .unwrap()
    }

    pub(crate) async fn agent(&self) -> Agent {
        self.agent_with_token(&self.agent_token).await.unwrap()
    }

    pub(crate) async fn agent_with_token(&self, token: &str) -> Result<Agent, ConnectError> {
        let io = TcpStream::connect(&self.address).await.unwrap();
        let token = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let (tunnel, _, driver) =
            adit_tunnel::connect(io, "relay.example", &token, Options::default()).await?;
        Ok(Agent::run(tunnel, driver))
    }

    pub(crate) async fn metrics(&self) -> String {
        self.admin("/metrics").await.text().to_owned()
    }

    /// Fails unless each of these lines begins with what is said here.
    pub(crate) async fn assert_metrics(&self, lines: &[&str]) {
        let metrics = self.metrics().await;
        for line in lines {
            assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
        }
    }

    async fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "x").body(Vec::new());
        client::http1(self.relay.admin_addr().to_string(), request.unwrap(), || {}).await
    }
}
