//! The commands that keep running: how they start, what they tell, how signals end them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube_client::config::Kubeconfig;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, copy_bidirectional,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

fn adit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(arguments).env_clear().kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn signal(child: &Child, name: &str) {
    let id = child.id().expect("it runs");
    // The shell's own: not every machine has a program `kill`.
    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -s {name} {id}")])
            .status()
            .await
            .unwrap()
            .success()
    );
}

/// The first line that holds `wanted`.
async fn line<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    wanted: &str,
) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("it ended without {wanted}");
    };
    timeout(SOON, found)
        .await
        .unwrap_or_else(|_| panic!("no line with {wanted}"))
}

fn stderr(child: &mut Child) -> Lines<BufReader<ChildStderr>> {
    BufReader::new(child.stderr.take().unwrap()).lines()
}

fn stdout(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

const RELAY: &str = "
listen: { address: '127.0.0.1:0' }
admin: { address: '127.0.0.1:0' }
";

#[tokio::test]
async fn relay_drains_and_ends_with_0_on_the_first_signal() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, RELAY).unwrap();
    for name in ["TERM", "INT"] {
        let mut relay = adit(&["relay", "--config", config.to_str().unwrap()])
            .spawn()
            .unwrap();
        line(&mut stderr(&mut relay), "relay is up").await;
        signal(&relay, name).await;
        let ended = timeout(SOON, relay.wait())
            .await
            .expect("it ends early")
            .unwrap();
        assert_eq!(ended.code(), Some(0), "SIG{name}");
    }
}

/// A log that nobody reads once stopped the thread that wrote it, and with it every connection of that thread.
#[tokio::test]
async fn relay_whose_log_is_not_read_goes_on_and_ends() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, RELAY).unwrap();
    let mut relay = adit(&[
        "relay",
        "--log",
        "trace",
        "--config",
        config.to_str().unwrap(),
    ])
    .spawn()
    .unwrap();
    let mut diary = stderr(&mut relay);
    let up = line(&mut diary, "relay is up").await;
    let io = TokioIo::new(TcpStream::connect(address_in(&up)).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    // Each is worth a line of the log at least. A pipe holds a few hundred, and some thousand wait for it.
    let admin = field_in(&up, "admin");
    let asking = async {
        while lost_lines(admin).await == 0.0 {
            for _ in 0..1_000 {
                let request = Request::get("/k8s-proxy/api").header("host", "relay");
                let request = request.body(Full::<Bytes>::default()).unwrap();
                let answer = send.send_request(request).await.unwrap();
                assert_eq!(answer.status(), 401);
            }
        }
    };
    timeout(SOON, asking).await.expect("all are answered");
    signal(&relay, "TERM").await;
    let ended = timeout(SOON, relay.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}

/// What the metric says of lines that were lost.
async fn lost_lines(admin: &str) -> f64 {
    let mut socket = TcpStream::connect(admin).await.unwrap();
    let asked = "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    socket.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let sample = answer
        .lines()
        .find_map(|line| line.strip_prefix("adit_log_lines_lost_total "));
    sample.unwrap().parse().unwrap()
}

/// The address in a line of the log.
fn address_in(line: &str) -> &str {
    field_in(line, "address")
}

fn field_in<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, value) = line.split_once(&format!("{name}=")).unwrap();
    value.split(' ').next().unwrap()
}

#[tokio::test]
async fn sigterm_loses_no_audit_record() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let audit = "audit: { to: stdout, strangers_per_second: 1000000 }\nshards: 2\n";
    fs::write(&config, format!("{RELAY}{audit}")).unwrap();
    let mut relay = adit(&["relay", "--config", config.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut printed = stdout(&mut relay);
    let up = line(&mut stderr(&mut relay), "relay is up").await;
    let address = address_in(&up);
    let asked = "GET /elsewhere HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let mut answers = 0;
    for _ in 0..50 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answers += usize::from(answer.starts_with("HTTP/1.1 404"));
    }
    signal(&relay, "TERM").await;
    let ended = timeout(SOON, relay.wait()).await.expect("it ends");
    assert_eq!(ended.unwrap().code(), Some(0));
    let mut records = 0;
    while let Some(line) = printed.next_line().await.unwrap() {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["refusal"], "unknown_path");
        records += 1;
    }
    assert_eq!((answers, records), (50, 50));
}

#[tokio::test]
async fn relay_config_with_mistakes_ends_with_64_and_tells_all() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, "listen: { address: nowhere }\nshards: 0\n").unwrap();
    for arguments in [["relay", "--config", "FILE"], ["config", "check", "FILE"]] {
        let arguments = arguments.map(|argument| {
            if argument == "FILE" {
                config.to_str().unwrap()
            } else {
                argument
            }
        });
        let Output { status, stderr, .. } = adit(&arguments).output().await.unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(64), "{stderr}");
        assert!(
            stderr.contains("listen.address: ") && stderr.contains("shards: "),
            "{stderr}"
        );
    }
    fs::write(&config, RELAY).unwrap();
    let checked = adit(&["config", "check", config.to_str().unwrap()])
        .output()
        .await
        .unwrap();
    assert_eq!(checked.status.code(), Some(0));
}

#[tokio::test]
async fn port_in_use_ends_with_69() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let address = taken.local_addr().unwrap();
    fs::write(
        &config,
        RELAY.replacen("127.0.0.1:0", &address.to_string(), 1),
    )
    .unwrap();
    let ended = timeout(
        SOON,
        adit(&["relay", "--config", config.to_str().unwrap()]).output(),
    )
    .await;
    assert_eq!(ended.expect("it ends").unwrap().status.code(), Some(69));
}

#[tokio::test]
async fn agent_without_a_relay_or_token_ends_with_64() {
    let Output { status, stderr, .. } = adit(&["agent"]).output().await.unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(64), "{stderr}");
    assert!(
        stderr.contains("relay.url: ") && stderr.contains("ADIT_AGENT_TOKEN"),
        "{stderr}"
    );
}

#[tokio::test]
async fn agent_reaches_a_relay_by_flags_and_variables_alone() {
    let mut ours = Ours::start(RELAY).await;
    let agent = ours.agent(&format!("http://{}", ours.address)).spawn();
    ours.tunnel_of(agent.unwrap()).await;
}

/// A relay that knows one agent, and what that needs.
struct Ours {
    folder: TempDir,
    token: String,
    address: String,
    diary: Lines<BufReader<ChildStderr>>,
    _relay: Child,
    tasks: JoinSet<()>,
}

/// What `adit token new --json` prints.
#[derive(serde::Deserialize)]
struct NewToken {
    token: String,
    hash: String,
}

impl Ours {
    /// With these sections of the relay's configuration.
    async fn start(sections: &str) -> Self {
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

    /// By flags and variables alone.
    fn agent(&self, relay: &str) -> Command {
        let kubeconfig = self.folder.path().join("kubeconfig");
        let mut agent = adit(&["agent", "--admin", "127.0.0.1:0"]);
        agent.arg("--kubeconfig").arg(kubeconfig);
        agent
            .env("ADIT_RELAY_URL", relay)
            .env("ADIT_AGENT_TOKEN", &self.token);
        agent
    }

    /// Waits until the agent has a tunnel, and ends it.
    async fn tunnel_of(&mut self, mut agent: Child) {
        line(&mut self.diary, "tunnel opened").await;
        signal(&agent, "TERM").await;
        let ended = timeout(SOON, agent.wait()).await.expect("it ends");
        assert_eq!(ended.unwrap().code(), Some(0));
    }
}

/// A relay at `localhost` with a certificate of its own, and its host and port.
async fn with_tls(certificates: &Path) -> (Ours, String) {
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

/// As kubectl does, which would get through where `adit kubeconfig` did not.
#[tokio::test]
async fn job_takes_the_proxy_that_the_environment_names() {
    let certificates = TempDir::new().unwrap();
    let (mut ours, host) = with_tls(certificates.path()).await;
    let (proxy, mut asked) = proxy(&mut ours.tasks).await;
    for (excepted, is_taken) in [("elsewhere.test", true), ("localhost", false)] {
        let mut job = adit(&["kubeconfig", "--output", "-"]);
        job.env("ADIT_RELAY_URL", format!("https://{host}"))
            .env("ADIT_RELAY_CA", certificates.path().join("cert.pem"))
            .env("ADIT_ID_TOKEN", "e30.e30.c2ln")
            .env("HTTPS_PROXY", format!("http://{proxy}"))
            .env("NO_PROXY", excepted);
        let ended = timeout(SOON, job.output()).await.expect("it ends").unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(77), "the relay answers: {stderr}");
        let head = asked.try_recv().ok();
        assert_eq!(head.is_some(), is_taken, "{excepted}");
        if let Some(head) = head {
            assert!(
                head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
                "{head}"
            );
        }
    }
}

#[tokio::test]
async fn agent_takes_the_proxy_that_the_environment_names() {
    let certificates = TempDir::new().unwrap();
    let (mut ours, host) = with_tls(certificates.path()).await;
    let (proxy, mut asked) = proxy(&mut ours.tasks).await;
    let named = format!("http://user:canary-password@{proxy}");
    let nowhere = "http://127.0.0.1:1".to_owned();
    let none = || ("NO_PROXY", String::new());
    for (variables, is_taken) in [
        ([("HTTPS_PROXY", named.clone()), none()], true),
        ([("https_proxy", named.clone()), none()], true),
        ([("ALL_PROXY", named.clone()), none()], true),
        (
            [
                ("HTTPS_PROXY", named.clone()),
                ("ALL_PROXY", nowhere.clone()),
            ],
            true,
        ),
        (
            [
                ("HTTPS_PROXY", named.clone()),
                ("NO_PROXY", "elsewhere.test".to_owned()),
            ],
            true,
        ),
        (
            [
                ("HTTPS_PROXY", named.clone()),
                ("NO_PROXY", "elsewhere.test, localhost".to_owned()),
            ],
            false,
        ),
        (
            [("HTTPS_PROXY", named.clone()), ("no_proxy", host.clone())],
            false,
        ),
        (
            [("HTTPS_PROXY", named.clone()), ("NO_PROXY", "*".to_owned())],
            false,
        ),
        // Not meant for connections with TLS.
        ([("HTTP_PROXY", nowhere), none()], false),
    ] {
        let mut agent = ours.agent(&format!("https://{host}"));
        agent.env("ADIT_RELAY_CA", certificates.path().join("cert.pem"));
        agent.envs(variables.clone());
        ours.tunnel_of(agent.spawn().unwrap()).await;
        let head = asked.try_recv().ok();
        assert_eq!(head.is_some(), is_taken, "{variables:?}");
        if let Some(head) = head {
            assert!(
                head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
                "{head}"
            );
            assert!(
                head.contains("Basic dXNlcjpjYW5hcnktcGFzc3dvcmQ="),
                "{head}"
            );
        }
        assert!(
            asked.try_recv().is_err(),
            "the API server is dialled directly"
        );
    }
}

/// A company's proxy: opens the way for everybody who asks, and gives the heads of their requests.
async fn proxy(tasks: &mut JoinSet<()>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = mpsc::channel(16);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let tell = tell.clone();
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.split(' ').nth(1).unwrap().to_owned();
                tell.send(head).await.unwrap();
                let mut far = TcpStream::connect(to).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                // However it ends, the agent finds out.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, asked)
}

/// An API server that answers every request with who was impersonated.
async fn kube(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server
                    .serve_connection(TokioIo::new(socket), service_fn(who))
                    .await;
            });
        }
    });
    url
}

async fn who(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name| {
        request
            .headers()
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let who = serde_json::json!({
        "path": request.uri().to_string(),
        "user": header("impersonate-user").collect::<Vec<_>>(),
        "groups": header("impersonate-group").collect::<Vec<_>>(),
    });
    Ok(Response::new(Full::from(who.to_string())))
}

fn kubeconfig_for(url: &str, path: &Path) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{ name: it, cluster: {{ server: '{url}' }} }}]\n\
         users: [{{ name: me, user: {{}} }}]\n\
         contexts: [{{ name: it, context: {{ cluster: it, user: me }} }}]\n",
    );
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn dev_puts_a_relay_before_the_current_cluster_and_leaves_nothing_behind() {
    let mut tasks = JoinSet::new();
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("own");
    kubeconfig_for(&kube(&mut tasks).await, &own);

    let mut dev = adit(&[
        "dev",
        "--kubeconfig",
        own.to_str().unwrap(),
        "--project",
        "group/app",
    ])
    .env("TMPDIR", folder.path())
    .spawn()
    .unwrap();
    // Kept to the end: it has more to print, and ends when nobody is there to read it.
    let mut printed = stdout(&mut dev);
    let export = line(&mut printed, "export KUBECONFIG=").await;
    let path = Path::new(export.trim().strip_prefix("export KUBECONFIG=").unwrap()).to_owned();
    let job = Kubeconfig::read_from(&path).unwrap();
    let mode = fs::metadata(path.parent().unwrap())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(job.current_context.as_deref(), Some("group/app:dev"));

    // As the job, through the relay, the tunnel and the agent.
    let config = kube_client::Config::from_custom_kubeconfig(job.clone(), &Default::default())
        .await
        .unwrap();
    let client = kube_client::Client::try_from(config).unwrap();
    let request = Request::get("/api/v1/namespaces/a%2Fb/pods?limit=1")
        .body(Vec::new())
        .unwrap();
    let who: serde_json::Value = timeout(SOON, client.request(request))
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(who["path"], "/api/v1/namespaces/a%2Fb/pods?limit=1");
    assert_eq!(who["user"], serde_json::json!(["gitlab:ci_job:1"]));
    assert_eq!(
        who["groups"],
        serde_json::json!(["gitlab:ci_job", "gitlab:group:1", "gitlab:project:1"])
    );

    // What a real job would do first.
    let credential = job.auth_infos[0]
        .auth_info
        .as_ref()
        .unwrap()
        .token
        .clone()
        .unwrap();
    let token = credential
        .expose_secret()
        .strip_prefix("ci:1:")
        .unwrap()
        .to_owned();
    let relay = job.clusters[0]
        .cluster
        .as_ref()
        .unwrap()
        .server
        .clone()
        .unwrap();
    let ca = path.with_file_name("ca.pem");
    let asked = adit(&[
        "kubeconfig",
        "--relay",
        &relay,
        "--ca",
        ca.to_str().unwrap(),
        "--output",
        "-",
    ])
    .env("ADIT_ID_TOKEN", token)
    .output();
    let asked = timeout(SOON, asked).await.expect("an answer").unwrap();
    let written = String::from_utf8(asked.stdout).unwrap();
    assert_eq!(
        asked.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    assert_eq!(written, fs::read_to_string(&path).unwrap());

    signal(&dev, "INT").await;
    let mut said = String::new();
    let mut stderr = dev.stderr.take().unwrap();
    let ended = async {
        tokio::join!(stderr.read_to_string(&mut said), dev.wait())
            .1
            .unwrap()
    };
    assert_eq!(
        timeout(SOON, ended).await.expect("it ends").code(),
        Some(0),
        "{said}"
    );
    assert!(
        !path.parent().unwrap().exists(),
        "its folder is left behind"
    );
}
