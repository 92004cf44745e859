//! A call of the doctor, what it found, and who answers in a relay's place.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use adit_tests::{Raw, TestRelay, job};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// `adit doctor` about to be called, with an environment of its own.
pub(crate) struct Doctor {
    command: Command,
}

impl Doctor {
    /// At this place, with JSON.
    pub(crate) fn at(place: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["doctor", "--json", place])
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Self { command }
    }

    /// In a job that may use `prod` of this relay.
    pub(crate) fn of_job(relay: &TestRelay) -> Self {
        Self::at("job")
            .calling(relay.address())
            .env("ADIT_RELAY_CA", relay.ca().to_str().unwrap())
            .env("ADIT_ID_TOKEN", &relay.issuer().token(&job(9001)))
            .arg("--context")
            .arg("group/sub/app:prod")
    }

    /// Calls this address instead.
    pub(crate) fn calling(self, address: SocketAddr) -> Self {
        self.env("ADIT_RELAY_URL", &format!("https://{address}"))
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Calls it.
    pub(crate) async fn examine(mut self) -> Examined {
        let output = self.command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let told: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"));
        Examined {
            code: output.status.code().unwrap(),
            told,
            stderr,
        }
    }
}

/// What it found.
pub(crate) struct Examined {
    pub(crate) code: i32,
    pub(crate) told: Value,
    pub(crate) stderr: String,
}

impl Examined {
    /// The only finding of a check.
    pub(crate) fn finding(&self, check: &str) -> &Value {
        let findings = self.told["findings"].as_array().unwrap();
        let mut of_check = findings.iter().filter(|finding| finding["check"] == check);
        let finding = of_check.next();
        assert!(of_check.next().is_none(), "{check} is there twice: {self}");
        finding.unwrap_or_else(|| panic!("no {check}: {self}"))
    }

    pub(crate) fn outcome(&self, check: &str) -> &str {
        self.finding(check)["outcome"].as_str().unwrap()
    }

    pub(crate) fn what(&self, check: &str) -> &str {
        self.finding(check)["what"].as_str().unwrap()
    }

    /// Nothing is broken, and these checks did not run.
    pub(crate) fn is_well_but_for(&self, not_run: &[&str]) {
        assert_eq!(
            (self.code, &self.told["broken"]),
            (0, &Value::Null),
            "{self}"
        );
        for finding in self.told["findings"].as_array().unwrap() {
            let is_left_out = not_run.contains(&finding["check"].as_str().unwrap());
            let expected = if is_left_out { "not_run" } else { "ok" };
            assert_eq!(finding["outcome"], expected, "{self}");
        }
    }

    /// The first that failed is this check, at this hop, and what it says or advises has these words.
    pub(crate) fn is_broken_at(&self, check: &str, hop: &str, words: &str) {
        let code = match hop {
            "client" => 10,
            "network" => 11,
            "relay" => 12,
            "agent" => 13,
            "api-server" => 14,
            "authority" => 15,
            _ => panic!("{hop} is no hop"),
        };
        assert_eq!(
            (self.code, &self.told["broken"]),
            (code, &hop.into()),
            "{self}"
        );
        let mut findings = self.told["findings"].as_array().unwrap().iter();
        let broken = findings
            .find(|finding| finding["outcome"] == "failed")
            .unwrap();
        assert_eq!(
            (&broken["check"], &broken["hop"]),
            (&check.into(), &hop.into()),
            "{self}"
        );
        assert!(broken.to_string().contains(words), "{words}: {self}");
        assert!(!broken["advice"].as_str().unwrap().is_empty(), "{self}");
    }

    /// None of these came to run, because of that.
    pub(crate) fn did_not_run(&self, checks: &[&str], because_of: &str) {
        for check in checks {
            assert_eq!(self.outcome(check), "not_run", "{self}");
            assert_eq!(self.what(check), format!("needs {because_of}"), "{self}");
        }
    }
}

impl std::fmt::Display for Examined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:#}\n{}", self.code, self.told, self.stderr)
    }
}

/// A port at which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A kubeconfig for an API server without TLS, in this folder.
pub(crate) fn kubeconfig_for(server: SocketAddr, folder: &Path) -> PathBuf {
    let path = folder.join("kubeconfig");
    let text = format!(
        "{{ current-context: a, clusters: [{{ name: a, cluster: {{ server: 'http://{server}' }} }}],
           users: [{{ name: a, user: {{}} }}], contexts: [{{ name: a, context: {{ cluster: a, user: a }} }}] }}"
    );
    fs::write(&path, text).unwrap();
    path
}

/// Answers every request in a relay's place; ends when it is dropped.
pub(crate) struct Impostor {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Impostor {
    /// With these bytes, at this address.
    pub(crate) async fn at(host: &str, tls: Arc<ServerConfig>, answer: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, answer) = (TlsAcceptor::from(tls), answer.to_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                // Whoever does not believe it hangs up.
                if let Ok(io) = tls.accept(socket).await {
                    let mut connection = Raw::new(io);
                    if connection.head().await.is_some() {
                        let _ = connection.write(&answer).await;
                        let _ = connection.shut().await;
                    }
                }
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }
}
