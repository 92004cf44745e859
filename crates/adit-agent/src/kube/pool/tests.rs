use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::*;
use crate::fake::{ApiServer, Terms, empty, full, soon};
use crate::kube::{Answer, Call, Expectation, Kube, Upgrading};

fn get(target: &'static str) -> Call {
    Call {
        method: Method::GET,
        target: target.parse().unwrap(),
        headers: HeaderMap::new(),
    }
}

async fn ask(kube: &Kube, target: &'static str) -> Result<Answer, CallError> {
    soon(async {
        kube.call(
            kube.lease(Window::Wide).await?,
            get(target),
            None,
            Expectation::None,
            |_, _| {},
        )
        .await
    })
    .await
}

async fn text(answer: Answer) -> String {
    let body = soon(answer.response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn request_carries_the_agents_credential_and_its_target_byte_for_byte() {
    let server = ApiServer::start(Terms::default(), |request| async move {
        let authorization = request.headers()[header::AUTHORIZATION]
            .to_str()
            .unwrap()
            .to_owned();
        full(format!(
            "{:?} {authorization} {}",
            request.version(),
            request.uri()
        ))
    })
    .await;
    let kube = server.kube().await;
    let answer = ask(&kube, "/api//v1/%2F;x?watch=1&q=%20").await.unwrap();
    let want = format!(
        "HTTP/2.0 Bearer agent-secret https://{}/api//v1/%2F;x?watch=1&q=%20",
        server.addr
    );
    assert_eq!(text(answer).await, want);
}

#[tokio::test]
async fn full_connection_gets_a_second_one_beside_it() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let terms = Terms {
        max_streams: 2,
        ..Terms::default()
    };
    let server = ApiServer::start(terms, move |_| {
        let gate = Arc::clone(&waiting);
        async move {
            gate.acquire().await.unwrap().forget();
            empty()
        }
    })
    .await;
    let kube = server.kube().await;
    let asking = futures_util::future::join_all((0..5).map(|_| ask(&kube, "/")));
    let opened = async {
        while kube.pool.loads().iter().sum::<usize>() < 5 {
            tokio::task::yield_now().await;
        }
        let loads = kube.pool.loads();
        gate.add_permits(5);
        loads
    };
    let (answers, loads) = soon(async { tokio::join!(asking, opened) }).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(loads, [2, 2, 1], "none carries more than the server allows");
    assert_eq!(server.connections(), 3);
    drop(answers);
    assert_eq!(kube.pool.loads(), [0, 0, 0]);
    gate.add_permits(1);
    ask(&kube, "/").await.unwrap();
    assert_eq!(server.connections(), 3, "what is open is used again");
}

#[tokio::test]
async fn number_of_connections_has_a_bound() {
    let server = ApiServer::start(
        Terms {
            max_streams: 1,
            ..Terms::default()
        },
        |_| async {
            Response::new(StreamBody::new(futures_util::stream::pending()).boxed_unsync())
        },
    )
    .await;
    let kube = server.kube().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(ask(&kube, "/").await.unwrap());
    }
    let refused = ask(&kube, "/").await.map(|_| ());
    assert!(matches!(refused, Err(CallError::Full(4))), "{refused:?}");
    held.pop();
    ask(&kube, "/").await.unwrap();
}

#[tokio::test]
async fn connection_that_was_dialled_before_credentials_were_replaced_serves_who_dialled_alone() {
    for terms in [Terms::default(), Terms::http1()] {
        let server = ApiServer::start(terms, |_| async { full("answer") }).await;
        let kube = server.kube().await;
        let mut asking = Box::pin(ask(&kube, "/"));
        assert!(asking.as_mut().now_or_never().is_none());
        kube.pool.retire();
        text(asking.await.unwrap()).await;
        for _ in 0..2 {
            text(ask(&kube, "/").await.unwrap()).await;
        }
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn connection_that_goes_away_is_replaced() {
    let server = ApiServer::start(Terms::default(), |_| async { full("answer") }).await;
    let kube = server.kube().await;
    ask(&kube, "/").await.unwrap();
    server.go_away();
    // Until the GOAWAY has come, requests still go out on the old connection.
    soon(async {
        while server.connections() < 2 {
            match ask(&kube, "/").await {
                Ok(answer) => assert_eq!(text(answer).await, "answer"),
                Err(error) => assert!(matches!(error, CallError::NotTaken(_)), "{error:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn redirect_is_passed_on_and_not_followed() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let server = ApiServer::start(Terms::default(), move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            let mut response = empty();
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(
                header::LOCATION,
                HeaderValue::from_static("https://evil.example.com/"),
            );
            response
        }
    })
    .await;
    let kube = server.kube().await;
    let answer = ask(&kube, "/").await.unwrap();
    assert_eq!(answer.response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn api_server_without_http2_is_served_by_idle_connections() {
    let server = ApiServer::start(Terms::http1(), |request| async move {
        full(format!(
            "{:?} {:?} {}",
            request.version(),
            request.headers()[header::HOST],
            request.uri()
        ))
    })
    .await;
    let kube = server.kube().await;
    let want = format!("HTTP/1.1 \"{}\" //a?b=c", server.addr);
    assert_eq!(text(ask(&kube, "//a?b=c").await.unwrap()).await, want);
    // The connection is free again as soon as its task has noticed.
    soon(async {
        while !kube.pool.idle().lock().iter().any(http1::Sender::is_ready) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(text(ask(&kube, "//a?b=c").await.unwrap()).await, want);
    assert_eq!(server.connections(), 1);
    let unread = ask(&kube, "/").await.unwrap();
    drop(unread);
    let busy = ask(&kube, "/").await.unwrap();
    let other = ask(&kube, "/").await.unwrap();
    assert_eq!(
        (busy.response.status(), other.response.status()),
        (StatusCode::OK, StatusCode::OK)
    );
}

#[tokio::test]
async fn api_server_that_is_away_fails_all_who_wait_at_once() {
    let server = ApiServer::start(Terms::default(), |_| async { empty() }).await;
    let mut config = server.config();
    config.connect_timeout = Duration::from_millis(200);
    let kube = Kube::load(&config, Metrics::default()).await.unwrap();
    // Takes its port: accepts by the kernel's hand alone, and says nothing.
    let addr = server.addr;
    drop(server);
    let listener = soon(async {
        loop {
            match tokio::net::TcpListener::bind(addr).await {
                Ok(listener) => return listener,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let began = Instant::now();
    let failed = futures_util::future::join_all((0..50).map(|_| ask(&kube, "/"))).await;
    for failed in failed {
        assert!(matches!(failed.map(|_| ()), Err(CallError::Dial(_))));
    }
    assert!(
        began.elapsed() < config.connect_timeout * 10,
        "they did not dial in turn"
    );
    drop(listener);
}

#[tokio::test]
async fn upgrade_takes_a_fresh_http1_connection_and_carries_bytes_both_ways() {
    let tasks = Arc::new(Mutex::new(JoinSet::new()));
    let spawner = Arc::clone(&tasks);
    let server = ApiServer::start(Terms::default(), move |mut request| {
        let tasks = Arc::clone(&spawner);
        async move {
            assert_eq!(request.version(), http::Version::HTTP_11);
            assert_eq!(request.headers()[header::UPGRADE], "SPDY/3.1");
            assert!(!request.headers().contains_key(header::TRANSFER_ENCODING));
            let upgrading = hyper::upgrade::on(&mut request);
            tasks.lock().spawn(echo(upgrading));
            let mut response = empty();
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            response
                .headers_mut()
                .insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
            response
        }
    })
    .await;
    let kube = server.kube().await;
    ask_http2(&kube).await;
    let mut call = get("/exec");
    call.method = Method::POST;
    let upgrading = soon(kube.upgrade(call, HeaderValue::from_static("SPDY/3.1")))
        .await
        .unwrap();
    let (Upgrading::Switched(headers, mut io, _), _held) = upgrading else {
        panic!("not switched")
    };
    assert_eq!(headers[header::UPGRADE], "SPDY/3.1");
    soon(async {
        io.write_all(b"ping").await.unwrap();
        io.shutdown().await.unwrap();
        let mut echoed = Vec::new();
        io.read_to_end(&mut echoed).await.unwrap();
        assert_eq!(echoed, b"ping and end");
    })
    .await;
    assert_eq!(server.connections(), 2);
}

/// The pool has an HTTP/2 connection by then; it is never used for an upgrade.
async fn ask_http2(kube: &Kube) {
    assert!(matches!(
        soon(kube.lease(Window::Wide)).await.unwrap(),
        Lease::Http2(_)
    ));
}

async fn echo(upgrading: hyper::upgrade::OnUpgrade) {
    let mut io = hyper_util::rt::TokioIo::new(upgrading.await.unwrap());
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.unwrap();
    io.write_all(&bytes).await.unwrap();
    io.write_all(b" and end").await.unwrap();
    io.shutdown().await.unwrap();
}

#[tokio::test]
async fn refused_upgrade_is_an_answer_and_its_connection_is_not_used_again() {
    for terms in [Terms::default(), Terms::http1()] {
        let server = ApiServer::start(terms, |_| async {
            let frames = [Ok(Frame::data("no upgrade".into()))];
            let mut response =
                Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        })
        .await;
        let kube = server.kube().await;
        let upgrading = soon(kube.upgrade(get("/exec"), HeaderValue::from_static("websocket")))
            .await
            .unwrap();
        let (Upgrading::Answered(response), _held) = upgrading else {
            panic!("switched")
        };
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            soon(response.into_body().collect())
                .await
                .unwrap()
                .to_bytes(),
            "no upgrade"
        );
        assert!(kube.pool.idle().lock().is_empty());
        assert!(ask(&kube, "/").await.is_ok());
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn number_of_upgrades_has_a_bound_of_its_own() {
    let server = ApiServer::start(Terms::default(), |_| async { full("no upgrade") }).await;
    let kube = server.kube().await;
    let upgrade = || soon(kube.upgrade(get("/exec"), HeaderValue::from_static("websocket")));
    let held = (upgrade().await.unwrap(), upgrade().await.unwrap());
    let error = upgrade().await.map(|_| ()).unwrap_err();
    assert!(matches!(error, CallError::ManyUpgrades(2)), "{error:?}");
    assert_eq!(error.reset_reason(), adit_tunnel::ResetReason::Overloaded);
    assert!(ask(&kube, "/").await.is_ok(), "other requests go on");
    drop(held);
    upgrade().await.unwrap();
}

/// A tunnel's ends ask each other; an API server may be silent for long.
#[tokio::test]
async fn kernel_asks_after_connections_of_requests_and_of_upgrades() {
    let server = ApiServer::start(Terms::default(), |_| async {
        Response::new(StreamBody::new(futures_util::stream::pending()).boxed_unsync())
    })
    .await;
    let kube = server.kube().await;
    let until = async |count| {
        while asked_after(&server) < count {
            tokio::task::yield_now().await;
        }
    };
    let _request = ask(&kube, "/").await.unwrap();
    soon(until(1)).await;
    let websocket = HeaderValue::from_static("websocket");
    let _upgrade = soon(kube.upgrade(get("/exec"), websocket)).await.unwrap();
    soon(until(2)).await;
}

/// Connections to the server whose timer is the kernel's question: proc(5), `/proc/net/tcp`.
fn asked_after(server: &ApiServer) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let port = format!(":{:04X}", server.addr.port());
    let fields = table.lines().map(|line| line.split_whitespace().collect());
    let is_it = |fields: &Vec<&str>| fields[2].ends_with(&port) && fields[5].starts_with("02:");
    fields.filter(is_it).count()
}

#[test]
fn only_a_status_of_the_api_server_itself_casts_doubt_on_the_credential() {
    use crate::kube::{answers_itself, is_status};
    for (target, is_own) in [
        ("/api/v1/pods?watch=1", true),
        ("/apis/apps/v1/namespaces/proxy-tools/deployments", true),
        ("/api/v1/namespaces/a/pods/web:80/proxy/login", false),
        ("/api/v1/namespaces/a/services/https:web:/proxy", false),
        ("/api/v1/nodes/a/proxy/metrics", false),
        ("/api/v1/namespaces/a/services/web/%70roxy/login", false),
    ] {
        assert_eq!(answers_itself(&target.parse().unwrap()), is_own, "{target}");
    }
    let answer = |form: &str| {
        let builder = Response::builder().status(StatusCode::UNAUTHORIZED);
        builder.header(header::CONTENT_TYPE, form).body(()).unwrap()
    };
    assert!(is_status(
        &answer("application/json"),
        StatusCode::UNAUTHORIZED
    ));
    assert!(!is_status(&answer("text/html"), StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn windows_are_bounded_and_small_answers_pass_beside_stalled_ones() {
    let server = ApiServer::start(Terms::default(), |request| async move {
        match request.uri().path() {
            "/stalled" => {
                let endless = || Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])));
                let endless = futures_util::stream::repeat_with(endless);
                Response::new(StreamBody::new(endless).boxed_unsync())
            }
            _ => full("small"),
        }
    })
    .await;
    let mut config = server.config();
    config.pool.max_read_ahead_bytes = 2 << 20;
    let metrics = Metrics::default();
    let kube = Kube::load(&config, metrics.clone()).await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..30 {
        stalled.push(ask(&kube, "/stalled").await.unwrap());
    }
    assert_eq!(held(&metrics), [21 * (16 << 10), 8 * (128 << 10), 1 << 20]);
    assert_eq!(server.connections(), 3, "one for each window");
    assert_eq!(text(ask(&kube, "/").await.unwrap()).await, "small");
    drop(stalled);
    assert_eq!(held(&metrics), [0, 0, 0]);
}

/// What is held of each window, from the least.
fn held(metrics: &Metrics) -> [i64; 3] {
    [Window::Least, Window::Middle, Window::Wide].map(|window| metrics.read_ahead(window).get())
}

#[tokio::test]
async fn one_who_finds_no_connection_for_its_window_takes_a_narrower_one() {
    let server = ApiServer::start(Terms::default(), |_| async { empty() }).await;
    let mut config = server.config();
    config.pool.max_connections = 1;
    let kube = Kube::load(&config, Metrics::default()).await.unwrap();
    drop(soon(kube.lease(Window::Middle)).await.unwrap());
    assert!(matches!(
        soon(kube.lease(Window::Wide)).await,
        Ok(Lease::Http2(_))
    ));
    assert_eq!(server.connections(), 1);
}
