//! A call of the doctor, what it found, and who answers in a relay's place.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use adit_tests::{Caller, CallerIo, Raw, TestRelay, job, pki};
use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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
        Self::of_job_for(relay, "group/sub/app:prod")
    }

    /// In that job, for the sake of this context.
    pub(crate) fn of_job_for(relay: &TestRelay, context: &str) -> Self {
        Self::at("job")
            .calling(relay.address())
            .env("ADIT_RELAY_CA", relay.ca().to_str().unwrap())
            .env("ADIT_ID_TOKEN", &relay.issuer().token(&job(9001)))
            .arg("--context")
            .arg(context)
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
        // What is wrong is told once, by the report.
        for level in [" ERROR ", " WARN ", " INFO "] {
            assert!(!stderr.contains(level), "{stderr}");
        }
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

    /// This check has a warning with these words, and with something to do.
    pub(crate) fn warns(&self, check: &str, words: &str) {
        let findings = self.told["findings"].as_array().unwrap();
        let warned = findings.iter().any(|finding| {
            finding["check"] == check
                && finding["outcome"] == "warning"
                && finding.to_string().contains(words)
                && finding["advice"].is_string()
        });
        assert!(warned, "{check}: {words}: {self}");
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

/// Ends TLS before a relay, as a balancer does, with one HTTP that it offers; ends when it is dropped.
pub(crate) struct Terminator {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Terminator {
    /// What the relay sends is changed on its way.
    pub(crate) async fn before(
        relay: &TestRelay,
        alpn: &'static [u8],
        change: fn(&mut [u8]),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = TlsAcceptor::from(pki::shared().server(&[alpn]));
        let relay = relay.job(9001);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (tls, relay) = (tls.clone(), relay.clone());
                connections.spawn(async move {
                    // Whoever looks at the certificate alone hangs up.
                    if let Ok(near) = tls.accept(socket).await {
                        pass_on(near, &relay, alpn, change).await;
                    }
                });
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }
}

async fn pass_on(
    near: impl AsyncRead + AsyncWrite,
    relay: &Caller,
    alpn: &'static [u8],
    change: fn(&mut [u8]),
) {
    let far: CallerIo = relay.tls(alpn).await;
    let (mut near_in, mut near_out) = tokio::io::split(near);
    let (mut far_in, mut far_out) = tokio::io::split(far);
    let asked = async {
        let _ = tokio::io::copy(&mut near_in, &mut far_out).await;
        let _ = far_out.shutdown().await;
    };
    let answered = async {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(len @ 1..) = far_in.read(&mut piece).await {
            change(&mut piece[..len]);
            if near_out.write_all(&piece[..len]).await.is_err() {
                break;
            }
            let _ = near_out.flush().await;
        }
        let _ = near_out.shutdown().await;
    };
    tokio::join!(asked, answered);
}

/// What answers in the place of a relay's admin port; ends when it is dropped.
pub(crate) struct AdminPort {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl AdminPort {
    /// With these texts at these paths, and with 404 elsewhere.
    pub(crate) async fn telling(pages: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let mut connection = Raw::new(socket);
                let head = connection.head().await.unwrap_or_default();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let page = pages.iter().find(|(at, _)| *at == path);
                let (status, text) = page.map_or(("404 Not Found", ""), |page| ("200 OK", page.1));
                let length = text.len();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{text}");
                let _ = connection.write(answer).await;
                let _ = connection.shut().await;
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }
}

/// A port whose queue is full: it takes no connection, and refuses none. The second holds it so.
pub(crate) async fn full_port() -> (TcpListener, TcpStream) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let first = TcpStream::connect(listener.local_addr().unwrap()).await;
    (listener, first.unwrap())
}
