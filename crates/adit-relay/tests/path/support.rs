//! A relay, an agent, and clients.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use adit_authority::{
    issuer::{Issuer, KeyKind},
    token::{self, TokenHash},
};
use adit_exchange::{Asked, HeadLimits, answer, informational, switch};
use adit_identity::{
    ActAs, GitRef, GroupId, JobId, JobIdentity, Namespace, PipelineId, Project, ProjectId, RefKind,
    User, UserId,
};
use adit_process::tls::{ClientTls, TrustRoots};
use adit_relay::{Config, RawConfig, Relay};
use adit_tunnel::{ConnectError, Options, ResetReason, Tunnel, TunnelStream};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
};

const AUDIENCE: &str = "https://relay.example";

pub(crate) struct Setup {
    pub(crate) relay: Relay,
    pub(crate) address: String,
    agent_token: String,
    issuer: Issuer,
    files: tempfile::TempDir,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with("route: {wait: 0s}").await
    }

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

    pub(crate) async fn metrics(&self) -> String {
        let request = Request::get("/metrics")
            .header("host", "x")
            .body(Vec::new())
            .unwrap();
        let answer = http1(&self.relay.admin_addr().to_string(), request).await;
        answer.text().to_owned()
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
        setup.ready().await;
        setup
    }

    async fn ready(&self) {
        let admin = self.relay.admin_addr().to_string();
        loop {
            let request = Request::get("/readyz")
                .header("host", "x")
                .body(Vec::new())
                .unwrap();
            if http1(&admin, request).await.status == 200 {
                return;
            }
        }
    }

    pub(crate) async fn agent(&self) -> Agent {
        self.agent_with_token(&self.agent_token).await.unwrap()
    }

    pub(crate) async fn agent_with_token(&self, token: &str) -> Result<Agent, ConnectError> {
        let io = TcpStream::connect(&self.address).await.unwrap();
        let token = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let (tunnel, driver) =
            adit_tunnel::connect(io, "relay.example", &token, Options::default()).await?;
        Ok(Agent::run(tunnel, driver))
    }

    pub(crate) fn token(&self) -> String {
        self.token_for(Duration::from_secs(600))
    }

    pub(crate) fn token_for(&self, lifetime: Duration) -> String {
        let job = JobIdentity {
            issuer: "https://gitlab.example".into(),
            job: JobId(9001),
            pipeline: PipelineId(880),
            source: None,
            project: Project {
                id: ProjectId(150),
                path: Some("group/app".parse().unwrap()),
            },
            namespace: Some(Namespace {
                id: GroupId(25),
                path: "group".parse().unwrap(),
            }),
            groups: vec![GroupId(25)],
            user: User {
                id: UserId(12),
                login: "dev1".into(),
            },
            git_ref: Some(GitRef {
                name: "main".into(),
                kind: Some(RefKind::Branch),
                protected: true,
            }),
            environment: None,
        };
        self.issuer
            .token(&job, AUDIENCE, SystemTime::now(), lifetime)
            .unwrap()
    }

    pub(crate) fn bare(&self) -> String {
        format!("Bearer {}", self.token())
    }

    pub(crate) fn get(&self, target: &str) -> Request<Vec<u8>> {
        self.request("GET", target, Vec::new())
    }

    pub(crate) fn get_as(&self, target: &str, agent: u64) -> Request<Vec<u8>> {
        self.get_with(target, Some(&format!("Bearer ci:{agent}:{}", self.token())))
    }

    pub(crate) fn get_with(&self, target: &str, authorization: Option<&str>) -> Request<Vec<u8>> {
        let mut request = self.get(target);
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(authorization) = authorization {
            request
                .headers_mut()
                .insert(AUTHORIZATION, authorization.parse().unwrap());
        }
        request
    }

    pub(crate) fn request(&self, method: &str, target: &str, body: Vec<u8>) -> Request<Vec<u8>> {
        Request::builder()
            .method(method)
            .uri(target)
            .header(AUTHORIZATION, format!("Bearer ci:7:{}", self.token()))
            .body(body)
            .unwrap()
    }

    /// A connection that is driven by hand.
    pub(crate) async fn h2(
        &self,
    ) -> (
        h2::client::SendRequest<Bytes>,
        h2::client::Connection<TcpStream>,
    ) {
        let io = TcpStream::connect(&self.address).await.unwrap();
        h2::client::handshake(io).await.unwrap()
    }

    /// As HTTP/2 has it.
    pub(crate) fn absolute<B>(&self, mut request: Request<B>) -> Request<B> {
        *request.uri_mut() = format!("http://relay{}", request.uri()).parse().unwrap();
        request
    }

    /// A head in its own bytes.
    pub(crate) fn raw(&self, method: &str, target: &str, fields: &str) -> String {
        let token = self.token();
        format!(
            "{method} {target} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer ci:7:{token}\r\n{fields}\r\n"
        )
    }

    /// GET under a token that lives so long.
    pub(crate) async fn raw_request_for(
        &self,
        lifetime: Duration,
        target: &str,
        fields: &str,
    ) -> TcpStream {
        let token = self.token_for(lifetime);
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "GET {target} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer ci:7:{token}\r\n{fields}\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket
    }

    pub(crate) async fn raw_request(&self, method: &str, target: &str, fields: &str) -> TcpStream {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket
            .write_all(self.raw(method, target, fields).as_bytes())
            .await
            .unwrap();
        socket
    }
}

/// Reads up to the blank line, and no byte more.
pub(crate) async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// The body broke off.
    pub(crate) is_cut: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The relay's own reason.
    pub(crate) fn reason(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let causes = json["details"]["causes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let cause = causes.iter().find(|cause| cause["reason"] == "AditReason");
        cause
            .map(|cause| cause["message"].as_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    async fn read<B: http_body::Body<Data = Bytes> + Unpin>(response: Response<B>) -> Self {
        let (head, mut rest) = response.into_parts();
        let (mut body, mut trailers, mut is_cut) = (Vec::new(), HeaderMap::new(), false);
        while let Some(frame) = rest.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => body.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                Err(_) => {
                    is_cut = true;
                    break;
                }
            }
        }
        Self {
            status: head.status,
            headers: head.headers,
            body,
            trailers,
            is_cut,
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn http1(address: &str, request: Request<Vec<u8>>) -> Answer {
    http1_then(address, request, || {}).await
}

/// Calls `on_head` between the answer's head and its body.
pub(crate) async fn http1_then(
    address: &str,
    request: Request<Vec<u8>>,
    on_head: impl FnOnce(),
) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("relay"));
    let response = send.send_request(request).await.unwrap();
    on_head();
    Answer::read(response).await
}

/// One request on a connection of its own.
pub(crate) async fn http2(address: &str, request: Request<Vec<u8>>) -> Answer {
    http2_then(address, request, || {}).await
}

/// Calls `on_head` between the answer's head and its body.
pub(crate) async fn http2_then(
    address: &str,
    mut request: Request<Vec<u8>>,
    on_head: impl FnOnce(),
) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    *request.uri_mut() = format!("http://relay{}", request.uri()).parse().unwrap();
    let response = send
        .send_request(request.map(|body| Full::new(Bytes::from(body))))
        .await
        .unwrap();
    on_head();
    Answer::read(response).await
}

type Answered = UnsyncBoxBody<Bytes, std::io::Error>;

/// An agent that answers by itself, by path.
#[derive(Debug)]
pub(crate) struct Agent {
    tunnel: Tunnel,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    begun: Notify,
    cancelled: Notify,
    released: Notify,
    refuses: AtomicBool,
}

impl Agent {
    fn run(tunnel: Tunnel, driver: adit_tunnel::Driver) -> Self {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            driver.await;
        });
        let (accepting, telling) = (tunnel.clone(), Arc::clone(&seen));
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Some((stream, head)) = accepting.accept().await {
                streams.spawn(serve(Arc::new(stream), head, Arc::clone(&telling)));
            }
        });
        Self {
            tunnel,
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) async fn begun(&self) {
        self.seen.begun.notified().await;
    }

    pub(crate) async fn cancelled(&self) {
        self.seen.cancelled.notified().await;
    }

    pub(crate) async fn told_to_drain(&self) {
        self.tunnel.draining().await;
    }

    /// Streams that run.
    pub(crate) fn open(&self) -> usize {
        self.tunnel.stats().streams
    }

    pub(crate) fn release(&self) {
        self.seen.released.notify_one();
    }

    pub(crate) fn refuse_everything(&self) {
        self.seen.refuses.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn stop(self) {
        self.tunnel
            .close(adit_tunnel::CloseReason::Stopping, "the test says so");
        self.tunnel.closed().await;
    }
}

async fn serve(stream: Arc<TunnelStream>, head: Bytes, seen: Arc<Seen>) {
    if seen.refuses.load(Ordering::Relaxed) {
        return stream.reset(ResetReason::Refused, "not today");
    }
    let asked = Asked::read(&head, HeadLimits::default()).unwrap();
    let path = asked.target.path().to_owned();
    match path.as_str() {
        "/exec" => return exec(&stream).await,
        "/flood" => return flood(&stream).await,
        "/endless" => {
            let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 64 << 10])));
            let pieces = futures_util::stream::repeat_with(piece);
            // It ends when the relay wants no more.
            let _ = answer(&stream, Response::new(StreamBody::new(pieces))).await;
            return;
        }
        "/watch" => {
            let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(
                Bytes::from_static(b"event"),
            ))]);
            let body = StreamBody::new(futures_util::StreamExt::chain(
                first,
                futures_util::stream::pending(),
            ));
            seen.begun.notify_one();
            let _ = answer(&stream, Response::new(body)).await;
            return seen.cancelled.notify_one();
        }
        _ => {}
    }
    let body = match path.as_str() {
        "/large" => {
            UnsyncBoxBody::new(Full::from(vec![b'x'; 100 << 10]).map_err(|never| match never {}))
        }
        "/broken" => broken(Arc::clone(&seen)),
        "/hint" => {
            let link = [(
                "link".parse().unwrap(),
                HeaderValue::from_static("</style.css>"),
            )];
            informational(
                &stream,
                StatusCode::EARLY_HINTS,
                &link.into_iter().collect(),
            )
            .unwrap();
            echo(&asked, &stream).await
        }
        "/slow" => {
            seen.begun.notify_one();
            seen.released.notified().await;
            echo(&asked, &stream).await
        }
        _ => echo(&asked, &stream).await,
    };
    let mut response = Response::new(body);
    if path == "/fields" {
        for at in 0..60 {
            let name: http::HeaderName = format!("x-{at}").parse().unwrap();
            let value = HeaderValue::try_from("x".repeat(200)).unwrap();
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(status) = path.strip_prefix("/status/") {
        *response.status_mut() = status.parse().unwrap();
        if *response.status_mut() != StatusCode::FORBIDDEN {
            *response.body_mut() =
                UnsyncBoxBody::new(Full::default().map_err(|never: Infallible| match never {}));
        }
    }
    if asked.method == "HEAD" {
        *response.body_mut() =
            UnsyncBoxBody::new(Full::default().map_err(|never: Infallible| match never {}));
    }
    // The client may have left.
    let _ = answer(&stream, response).await;
}

async fn echo(asked: &Asked, stream: &Arc<TunnelStream>) -> Answered {
    let ActAs::Impersonate(user) = &asked.act_as else {
        panic!("nobody to act as")
    };
    let mut text = format!("{} {} as {}: ", asked.method, asked.target, user.user()).into_bytes();
    let sent = asked
        .body(stream)
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    text.extend_from_slice(&sent);
    let trailers =
        HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(sent.len()))]);
    let frames = [
        Ok(Frame::data(Bytes::from(text))),
        Ok(Frame::trailers(trailers)),
    ];
    UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// Half a body, and once released a failure.
fn broken(seen: Arc<Seen>) -> Answered {
    let half = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"half of it")))]);
    let failure = futures_util::stream::once(async move {
        seen.released.notified().await;
        Err(std::io::Error::other("gone"))
    });
    UnsyncBoxBody::new(StreamBody::new(futures_util::StreamExt::chain(
        half, failure,
    )))
}

/// Writes until the relay wants no more.
async fn flood(stream: &Arc<TunnelStream>) {
    let headers = [("upgrade".parse().unwrap(), HeaderValue::from_static("tcp"))];
    let mut upgraded = switch(stream, &headers.into_iter().collect()).unwrap();
    while upgraded.write_all(&[b'x'; 32 << 10]).await.is_ok() {}
}

async fn exec(stream: &Arc<TunnelStream>) {
    let headers = [("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4")];
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    let mut upgraded = switch(stream, &headers.collect()).unwrap();
    let mut buffer = [0; 1024];
    loop {
        match upgraded.read(&mut buffer).await.unwrap() {
            0 => break,
            n => upgraded.write_all(&buffer[..n]).await.unwrap(),
        }
    }
    upgraded.write_all(b", and bye").await.unwrap();
    upgraded.shutdown().await.unwrap();
}
