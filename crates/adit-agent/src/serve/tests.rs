use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_exchange::{Ask, AskError, ask};
use adit_identity::{ActAs, Impersonation};
use adit_tunnel::{Options, SendBuf, SessionError, Terms};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::fake::{ApiServer, Terms as Speaks, empty, full, soon};

const MAX_IN_HAND: usize = 256 << 10;

/// A tunnel whose other end is served with a real API server behind it.
struct Near {
    tunnel: Tunnel,
    metrics: Metrics,
    _tasks: JoinSet<()>,
}

async fn serving(kube: Kube) -> Near {
    let metrics = Metrics::unregistered();
    let service = Service {
        kube,
        ceiling: Ceiling::default(),
        head_limits: HeadLimits::default(),
        max_streams: 200,
        in_hand: InHand {
            bytes: metrics.in_hand.clone(),
            max: MAX_IN_HAND,
        },
        metrics: metrics.clone(),
    };
    let (near, far) = tokio::io::duplex(1 << 20);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let token = HeaderValue::from_static("Bearer t");
        let (tunnel, driver) = adit_tunnel::connect(far, "relay", &token, Options::default())
            .await
            .unwrap();
        tokio::join!(driver, serve(tunnel, Arc::new(service)));
    });
    let mut server = h2::server::Builder::new()
        .handshake::<_, SendBuf>(near)
        .await
        .unwrap();
    let (request, respond) = soon(server.accept()).await.unwrap().unwrap();
    let (opening, driver) = adit_tunnel::serve(request, respond, Options::default());
    tasks.spawn(async move {
        let _: Arc<SessionError> = driver.await;
    });
    tasks.spawn(async move { while let Some(Ok(_)) = server.accept().await {} });
    Near {
        tunnel: soon(opening).await.unwrap(),
        metrics,
        _tasks: tasks,
    }
}

fn as_user(user: &str, groups: &[&str]) -> ActAs {
    let groups = groups.iter().map(|&group| group.into()).collect();
    ActAs::Impersonate(Impersonation::new(user.into(), None, groups, vec![]).unwrap())
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

fn get() -> Request<Body> {
    Request::new(Empty::new().boxed_unsync())
}

fn post(body: Body) -> Request<Body> {
    Request::builder().method(Method::POST).body(body).unwrap()
}

impl Near {
    async fn ask(
        &self,
        request: Request<Body>,
        act_as: &ActAs,
    ) -> Result<Response<adit_exchange::AnswerBody>, AskError> {
        self.put(request, act_as, None).await
    }

    async fn put(
        &self,
        request: Request<Body>,
        act_as: &ActAs,
        upgrade: Option<&HeaderValue>,
    ) -> Result<Response<adit_exchange::AnswerBody>, AskError> {
        let how = Ask {
            target: "/api/v1/pods?watch=1",
            act_as,
            request_id: "0123456789abcdef",
            upgrade,
            limits: HeadLimits::default(),
        };
        soon(ask(&self.tunnel, request, how, Terms::default())).await
    }
}

async fn text(response: Response<adit_exchange::AnswerBody>) -> String {
    let body = soon(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn request_arrives_with_its_identity_and_the_agents_credential() {
    let server = ApiServer::start(Speaks::default(), |request| async move {
        let names = [
            "authorization",
            "impersonate-user",
            "impersonate-group",
            "audit-id",
        ];
        let values = names.map(|name| request.headers()[name].to_str().unwrap().to_owned());
        full(format!(
            "{} {}",
            values.join(" "),
            request.uri().path_and_query().unwrap()
        ))
    })
    .await;
    let near = serving(server.kube().await).await;
    let answer = near
        .ask(get(), &as_user("gitlab:ci_job:1", &["gitlab:ci_job"]))
        .await
        .unwrap();
    let want =
        "Bearer agent-secret gitlab:ci_job:1 gitlab:ci_job 0123456789abcdef /api/v1/pods?watch=1";
    assert_eq!(text(answer).await, want);
    assert_eq!(near.metrics.streams.get(), 0);
}

#[tokio::test]
async fn identity_beyond_the_ceiling_is_answered_and_never_sent() {
    let asked = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&asked);
    let server = ApiServer::start(Speaks::default(), move |_| {
        mark.store(true, Ordering::SeqCst);
        async { empty() }
    })
    .await;
    let near = serving(server.kube().await).await;
    let answer = near
        .ask(get(), &as_user("gitlab:ci_job:1", &["system:masters"]))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let status: serde_json::Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(
        (&status["kind"], &status["reason"]),
        (&"Status".into(), &"Forbidden".into())
    );
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("system:masters")
    );
    assert!(!asked.load(Ordering::SeqCst));
}

#[tokio::test]
async fn body_is_echoed_while_it_flows_over_both_protocols() {
    for speaks in [Speaks::default(), Speaks::http1()] {
        let server = ApiServer::start(speaks, |request| async move {
            Response::new(
                request
                    .into_body()
                    .map_err(|_| unreachable!("it ends well"))
                    .boxed_unsync(),
            )
        })
        .await;
        let near = serving(server.kube().await).await;
        let (give, mut take) = mpsc::channel::<Bytes>(1);
        let stream = futures_util::stream::poll_fn(move |cx| {
            take.poll_recv(cx)
                .map(|data| data.map(|data| Ok(Frame::data(data))))
        });
        give.send("first".into()).await.unwrap();
        let answer = near
            .ask(post(StreamBody::new(stream).boxed_unsync()), &ActAs::Agent)
            .await
            .unwrap();
        let mut body = answer.into_body();
        let mut echoed = soon(body.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .to_vec();
        assert_eq!(echoed, b"first");
        give.send(Bytes::from(vec![b'x'; 1 << 20])).await.unwrap();
        drop(give);
        while let Some(frame) = soon(body.frame()).await {
            echoed.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(echoed.len(), 5 + (1 << 20));
    }
}

/// Tells when it is dropped: what a handler of the API server sees of a caller that leaves.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn caller_that_leaves_takes_the_request_back_from_the_api_server() {
    for speaks in [Speaks::default(), Speaks::http1()] {
        let (tell, mut dropped) = mpsc::channel(1);
        let (arrived, mut arrivals) = mpsc::channel(1);
        let server = ApiServer::start(speaks, move |_| {
            let (held, arrived) = (Dropped(tell.clone()), arrived.clone());
            async move {
                arrived.send(()).await.unwrap();
                std::future::pending::<()>().await;
                drop(held);
                empty()
            }
        })
        .await;
        let near = serving(server.kube().await).await;
        tokio::select! {
            _ = near.ask(get(), &ActAs::Agent) => panic!("nobody answers"),
            _ = soon(arrivals.recv()) => {}
        }
        soon(dropped.recv()).await.unwrap();
        soon(async {
            while near.metrics.streams.get() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn watcher_that_leaves_ends_the_watch() {
    let (tell, mut dropped) = mpsc::channel(1);
    let server = ApiServer::start(Speaks::default(), move |_| {
        let held = Dropped(tell.clone());
        async move {
            let mut first = Some(Frame::data(Bytes::from_static(b"event")));
            let events = futures_util::stream::poll_fn(move |_| {
                let _held = &held;
                first
                    .take()
                    .map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))))
            });
            Response::new(StreamBody::new(events).boxed_unsync())
        }
    })
    .await;
    let near = serving(server.kube().await).await;
    let mut body = near.ask(get(), &ActAs::Agent).await.unwrap().into_body();
    assert_eq!(
        soon(body.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "event"
    );
    drop(body);
    soon(dropped.recv()).await.unwrap();
}

fn reset(error: AskError) -> (ResetReason, String) {
    let AskError::NoAnswer(StreamError::Reset { reason, message }) = error else {
        panic!("{error:?}")
    };
    (reason, message)
}

#[tokio::test]
async fn api_server_that_cannot_be_reached_is_named() {
    let server = ApiServer::start(Speaks::default(), |_| async { empty() }).await;
    let kube = server.kube().await;
    let addr = server.addr;
    drop(server);
    let near = serving(kube).await;
    let (reason, message) = reset(near.ask(get(), &ActAs::Agent).await.unwrap_err());
    assert_eq!(reason, ResetReason::ApiServerUnreachable);
    assert!(
        message.contains("cannot reach the API server") && message.contains(&addr.to_string()),
        "{message}"
    );
    assert!(!message.contains("agent-secret"));
}

#[tokio::test]
async fn api_server_that_breaks_off_is_named() {
    let (arrived, mut arrivals) = mpsc::channel(1);
    let server = ApiServer::start(Speaks::default(), move |_| {
        let arrived = arrived.clone();
        async move {
            arrived.send(()).await.unwrap();
            std::future::pending().await
        }
    })
    .await;
    let near = serving(server.kube().await).await;
    let broken = async {
        soon(arrivals.recv()).await.unwrap();
        drop(server);
    };
    let (answered, ()) = tokio::join!(near.ask(get(), &ActAs::Agent), broken);
    assert_eq!(
        reset(answered.map(|_| ()).unwrap_err()).0,
        ResetReason::ApiServerLost
    );
}

#[tokio::test]
async fn hundred_requests_at_once_are_all_answered() {
    let server = ApiServer::start(
        Speaks {
            max_streams: 40,
            ..Speaks::default()
        },
        |_| async { full("ok") },
    )
    .await;
    let near = serving(server.kube().await).await;
    let act_as = as_user("gitlab:ci_job:1", &["gitlab:ci_job"]);
    let answers = futures_util::future::join_all((0..100).map(|_| near.ask(get(), &act_as))).await;
    for answer in answers {
        assert_eq!(text(answer.unwrap()).await, "ok");
    }
    assert!(server.connections() <= 3, "{}", server.connections());
}

#[tokio::test]
async fn session_that_ends_takes_its_requests_with_it() {
    let (tell, mut dropped) = mpsc::channel(1);
    let (arrived, mut arrivals) = mpsc::channel(1);
    let server = ApiServer::start(Speaks::default(), move |_| {
        let (held, arrived) = (Dropped(tell.clone()), arrived.clone());
        async move {
            arrived.send(()).await.unwrap();
            std::future::pending::<()>().await;
            drop(held);
            empty()
        }
    })
    .await;
    let near = serving(server.kube().await).await;
    let cut = async {
        soon(arrivals.recv()).await.unwrap();
        near.tunnel
            .close(adit_tunnel::CloseReason::Stopping, "test");
    };
    let (answered, ()) = tokio::join!(near.ask(get(), &ActAs::Agent), cut);
    assert!(answered.is_err());
    soon(dropped.recv()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), near.tunnel.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn handler_of_a_plain_request_is_small() {
    let server = ApiServer::start(Speaks::default(), |_| async { empty() }).await;
    let service = Service {
        kube: server.kube().await,
        ceiling: Ceiling::default(),
        head_limits: HeadLimits::default(),
        max_streams: 1,
        in_hand: InHand {
            bytes: Default::default(),
            max: MAX_IN_HAND,
        },
        metrics: Metrics::unregistered(),
    };
    let near = serving(server.kube().await).await;
    let terms = Terms::default();
    let stream = near
        .tunnel
        .open(Bytes::new(), adit_tunnel::RequestBody::Absent, terms)
        .unwrap();
    let size = size_of_val(&handle(Arc::new(service), stream, Bytes::new()));
    assert!(
        size < 4 << 10,
        "ten thousand idle watches hold one each: {size} bytes"
    );
}

#[tokio::test]
async fn requests_go_on_while_the_api_server_rotates_its_connections() {
    let server = ApiServer::start(Speaks::default(), |_| async { full("ok") }).await;
    let near = serving(server.kube().await).await;
    for _ in 0..20 {
        let connections = server.connections();
        let asking = futures_util::future::join_all((0..8).map(|_| near.ask(get(), &ActAs::Agent)));
        let rotating = async { server.go_away() };
        for answer in tokio::join!(asking, rotating).0 {
            assert_eq!(text(answer.unwrap()).await, "ok");
        }
        assert!(server.connections() <= connections + 2);
    }
    assert!(server.connections() > 1);
}

#[tokio::test]
async fn upgraded_connection_ends_half_by_half() {
    let kept = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let server = ApiServer::start(Speaks::default(), move |mut request| {
        let keep = Arc::clone(&keep);
        async move {
            assert_eq!(request.headers()["impersonate-user"], "gitlab:ci_job:1");
            let upgrading = hyper::upgrade::on(&mut request);
            // It writes only once it has read to the end: the other half must still be open then.
            let echoing = async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrading.await.unwrap());
                let mut bytes = Vec::new();
                io.read_to_end(&mut bytes).await.unwrap();
                io.write_all(&bytes).await.unwrap();
                io.shutdown().await.unwrap();
            };
            let mut response = empty();
            let mut tasks = JoinSet::new();
            tasks.spawn(echoing);
            // Lives as long as the test: whoever drops a set ends its tasks.
            keep.lock().push(tasks);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            for (name, value) in [
                (header::CONNECTION, "upgrade"),
                (header::UPGRADE, "websocket"),
            ] {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response
        }
    })
    .await;
    let near = serving(server.kube().await).await;
    let protocol = HeaderValue::from_static("websocket");
    let answer = near
        .put(get(), &as_user("gitlab:ci_job:1", &[]), Some(&protocol))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut io = answer.into_body().into_upgraded().unwrap();
    soon(async {
        let sent = vec![7; 300_000];
        io.write_all(&sent).await.unwrap();
        io.shutdown().await.unwrap();
        let mut echoed = Vec::new();
        io.read_to_end(&mut echoed).await.unwrap();
        assert_eq!(echoed.len(), sent.len());
    })
    .await;
}

#[tokio::test]
async fn refused_upgrade_is_an_ordinary_answer() {
    let server = ApiServer::start(Speaks::default(), |_| async {
        let mut response = full("no");
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    })
    .await;
    let near = serving(server.kube().await).await;
    let protocol = HeaderValue::from_static("SPDY/3.1");
    let answer = near
        .put(get(), &ActAs::Agent, Some(&protocol))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(answer).await, "no");
}

#[tokio::test]
async fn bodies_that_the_api_server_does_not_take_are_bounded() {
    // It reads nothing of any body.
    let server = ApiServer::start(Speaks::default(), |request| async move {
        std::future::pending::<()>().await;
        drop(request);
        empty()
    })
    .await;
    let near = serving(server.kube().await).await;
    let endless = || {
        let chunk = || Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])));
        let endless = futures_util::stream::repeat_with(chunk);
        near.ask(post(StreamBody::new(endless).boxed_unsync()), &ActAs::Agent)
    };
    // More than the bound, if each has a chunk of 16 KiB in hand.
    let mut asking: futures_util::stream::FuturesUnordered<_> =
        (0..40).map(|_| endless()).collect();
    let ended = soon(futures_util::StreamExt::next(&mut asking))
        .await
        .unwrap();
    let (reason, message) = reset(ended.map(|_| ()).unwrap_err());
    assert_eq!(reason, ResetReason::Overloaded, "{message}");
    assert!(near.metrics.in_hand.get() <= i64::try_from(MAX_IN_HAND).unwrap());
    drop(asking);
    soon(async {
        while near.metrics.in_hand.get() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn head_is_let_go_of_once_the_answer_has_come() {
    let server = ApiServer::start(Speaks::default(), |_| async {
        Response::new(StreamBody::new(futures_util::stream::pending()).boxed_unsync())
    })
    .await;
    let near = serving(server.kube().await).await;
    let answer = near.ask(get(), &ActAs::Agent).await.unwrap();
    assert_eq!(near.metrics.streams.get(), 1);
    assert_eq!(near.metrics.in_hand.get(), 0);
    drop(answer);
}
