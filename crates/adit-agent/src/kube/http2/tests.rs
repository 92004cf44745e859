use std::collections::VecDeque;
use std::convert::Infallible;

use adit_tunnel::{ResetReason, StreamError};
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use super::exchange::{Receiving, call};
use super::upload::{Expectation, Upload};
use super::*;
use crate::fake::soon;
use crate::kube::{CallError, RequestBody};

const LIMITS: PoolLimits = PoolLimits {
    max_connections: 1,
    max_upgrades: 1,
    max_read_ahead_bytes: 64 << 20,
    max_streams_per_connection: 1000,
    ping_interval: Duration::from_secs(10),
    dead_after: Duration::from_secs(15),
    idle_after: Duration::from_secs(90),
};

type Server = server::Connection<DuplexStream, Bytes>;

/// A connection whose driver runs.
struct Client {
    connection: Arc<Connection>,
    driver: JoinSet<Loss>,
}

async fn pair(builder: &server::Builder) -> (Client, Server) {
    pair_with(builder, Window::Wide).await
}

async fn pair_with(builder: &server::Builder, window: Window) -> (Client, Server) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (opened, server) =
        soon(async { tokio::join!(open(near, LIMITS, window), builder.handshake(far)) }).await;
    let (connection, client) = opened.unwrap();
    let connection = Arc::new(connection);
    let mut driver = JoinSet::new();
    driver.spawn(drive(client, Arc::clone(connection.load()), LIMITS));
    (Client { connection, driver }, server.unwrap())
}

impl Client {
    /// Sends a request, and lets the server take it; the server's connection must be driven on.
    async fn call(
        &self,
        body: Option<RequestBody>,
    ) -> Result<(Response<Receiving>, Upload), CallError> {
        let request = request(&body);
        call(
            self.connection.lease().unwrap(),
            request,
            body,
            Expectation::None,
            |_, _| {},
        )
        .await
    }
}

fn request(body: &Option<RequestBody>) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = "https://kube/api".parse().unwrap();
    *request.method_mut() = if body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    request
}

fn body(frames: Vec<Result<Frame<Bytes>, StreamError>>) -> RequestBody {
    RequestBody::new(StreamBody::new(futures_util::stream::iter(frames)))
}

fn text(text: &'static str) -> RequestBody {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body that never gives anything.
fn silent() -> RequestBody {
    RequestBody::new(StreamBody::new(futures_util::stream::pending()))
}

async fn accept(server: &mut Server) -> (Request<RecvStream>, SendResponse<Bytes>) {
    soon(server.accept()).await.unwrap().unwrap()
}

/// Drives the server's connection beside `work`, which holds what it accepted.
async fn while_served<T>(server: &mut Server, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    soon(poll_fn(|cx| {
        let _ = server.poll_accept(cx);
        work.as_mut().poll(cx)
    }))
    .await
}

async fn read_all(mut recv: RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(data) = recv.data().await {
        let data = data.unwrap();
        recv.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    (bytes, recv.trailers().await.unwrap())
}

#[tokio::test]
async fn connection_takes_as_many_requests_as_its_peer_allows() {
    let mut builder = server::Builder::new();
    let (Client { connection, .. }, _server) = pair(builder.max_concurrent_streams(3)).await;
    let mut leases: VecDeque<_> = (0..3).map(|_| connection.lease().unwrap()).collect();
    assert!(connection.lease().is_none());
    leases.pop_front();
    assert_eq!(connection.load().streams(), 2);
    let last = connection.lease().unwrap();
    connection.load().retire();
    drop((last, leases));
    assert!(connection.lease().is_none());
    assert_eq!(connection.load().streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn peer_that_allows_none_is_never_open() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(0);
    let serving = async {
        let mut server: Server = builder.handshake(far).await.unwrap();
        let _ = server.accept().await;
    };
    tokio::select! {
        opened = open(near, LIMITS, Window::Wide) => panic!("{:?}", opened.map(|_| ())),
        () = serving => panic!("the client hung up"),
        // The clock runs when nothing else can.
        () = tokio::time::sleep(Duration::from_secs(60)) => {}
    }
}

#[tokio::test]
async fn body_and_trailers_cross_both_ways() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))]);
    let frames = vec![
        Ok(Frame::data(Bytes::from_static(b"one "))),
        Ok(Frame::data(Bytes::new())),
        Ok(Frame::data(Bytes::from(vec![b'x'; 300_000]))),
        Ok(Frame::trailers(trailers.clone())),
    ];
    let serving = async {
        let (request, mut respond) = accept(&mut server).await;
        let (bytes, theirs) = while_served(&mut server, read_all(request.into_body())).await;
        assert_eq!((bytes.len(), theirs), (300_004, Some(trailers.clone())));
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send.send_data(Bytes::from_static(b"answer"), false)
            .unwrap();
        send.send_trailers(trailers.clone()).unwrap();
        while_served(&mut server, std::future::pending::<()>()).await;
    };
    let calling = async {
        let (response, _upload) = client.call(Some(body(frames))).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "answer");
    };
    tokio::select! {
        () = soon(calling) => {}
        () = serving => {}
    }
}

#[tokio::test]
async fn answer_comes_while_the_body_still_flows() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        let (_request, mut respond) = accept(&mut server).await;
        respond
            .send_response(Response::new(()), false)
            .unwrap()
            .send_data("early".into(), true)
            .unwrap();
        while_served(&mut server, std::future::pending::<()>()).await;
    };
    let calling = async {
        let (response, upload) = client.call(Some(silent())).await.unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "early"
        );
        drop(upload);
    };
    tokio::select! {
        () = soon(calling) => {}
        () = serving => {}
    }
}

#[tokio::test]
async fn api_server_that_wants_no_more_of_a_body_is_still_heard() {
    let answered = tokio::sync::Notify::new();
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        let (request, mut respond) = accept(&mut server).await;
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        respond
            .send_response(response, false)
            .unwrap()
            .send_data("no".into(), true)
            .unwrap();
        while_served(&mut server, answered.notified()).await;
        respond.send_reset(Reason::NO_ERROR);
        while_served(&mut server, std::future::pending::<()>()).await;
        drop(request);
    };
    let endless =
        futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![0; 64 << 10]))));
    let calling = async {
        let (response, mut upload) = client
            .call(Some(RequestBody::new(StreamBody::new(endless))))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        answered.notify_one();
        poll_fn(|cx| upload.poll(cx)).await;
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            "no"
        );
    };
    tokio::select! {
        () = soon(calling) => {}
        () = serving => {}
    }
}

#[tokio::test]
async fn who_leaves_takes_the_request_back() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let reset = async {
        let (_request, mut respond) = accept(&mut server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        while_served(&mut server, poll_fn(|cx| send.poll_reset(cx)))
            .await
            .unwrap()
    };
    let calling = async {
        let (response, upload) = client.call(None).await.unwrap();
        assert_eq!(client.connection.load().streams(), 1);
        drop((response, upload));
    };
    let (reason, ()) = soon(async { tokio::join!(reset, calling) }).await;
    assert_eq!(reason, Reason::CANCEL);
    assert_eq!(client.connection.load().streams(), 0);
}

#[tokio::test]
async fn body_that_breaks_off_never_looks_complete() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let broken = StreamError::Reset {
        reason: ResetReason::Cancelled,
        message: String::new(),
    };
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"half"))), Err(broken)];
    let reading = async {
        let (request, _respond) = accept(&mut server).await;
        let mut recv = request.into_body();
        while_served(&mut server, async {
            loop {
                match recv.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.reason(),
                    None => panic!("it looks complete"),
                }
            }
        })
        .await
    };
    let (reason, called) =
        soon(async { tokio::join!(reading, client.call(Some(body(frames)))) }).await;
    assert_eq!(reason, Some(Reason::CANCEL));
    assert!(called.is_err());
}

#[tokio::test]
async fn answer_that_breaks_off_is_an_error() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        let (_request, mut respond) = accept(&mut server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        send.send_data("half".into(), false).unwrap();
        while_served(&mut server, tokio::task::yield_now()).await;
        // RFC 9113 section 8.1 has it only after a complete answer.
        send.send_reset(Reason::NO_ERROR);
        while_served(&mut server, std::future::pending::<()>()).await;
    };
    let calling = async {
        let (response, _upload) = client.call(None).await.unwrap();
        let error = response
            .into_body()
            .collect()
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, CallError::Lost { .. }), "{error:?}");
    };
    tokio::select! {
        () = soon(calling) => {}
        () = serving => {}
    }
}

#[tokio::test]
async fn refused_stream_may_be_tried_again_unless_its_body_has_begun() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        loop {
            let (_request, mut respond) = accept(&mut server).await;
            respond.send_reset(Reason::REFUSED_STREAM);
        }
    };
    let calling = async {
        let lease = client.connection.lease().unwrap();
        let untouched = call(lease, request(&None), None, Expectation::None, |_, _| {}).await;
        assert!(
            matches!(untouched, Err(CallError::NotTaken(_))),
            "{:?}",
            untouched.map(|_| ())
        );
        assert!(
            client.connection.lease().is_none(),
            "who refuses once gets no more"
        );
    };
    tokio::select! {
        () = soon(calling) => {}
        () = serving => {}
    }
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        loop {
            let (_request, mut respond) = accept(&mut server).await;
            respond.send_reset(Reason::REFUSED_STREAM);
        }
    };
    tokio::select! {
        begun = client.call(Some(text("x"))) => {
            assert!(matches!(begun, Err(CallError::Lost { .. })), "{:?}", begun.map(|_| ()));
        }
        () = serving => {}
    }
}

/// Whether the body came, for a request whose caller waits to be told to send it.
async fn expecting(serve: impl AsyncFnOnce(&mut Server, Request<RecvStream>, SendResponse<Bytes>)) {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        let (request, respond) = accept(&mut server).await;
        serve(&mut server, request, respond).await;
        while_served(&mut server, std::future::pending::<()>()).await;
    };
    let calling = async {
        let (lease, body) = (client.connection.lease().unwrap(), Some(text("body")));
        let (response, mut upload) = call(
            lease,
            request(&body),
            body,
            Expectation::Continue,
            |_, _| {},
        )
        .await
        .unwrap();
        poll_fn(|cx| upload.poll(cx)).await;
        response.into_body().collect().await.unwrap();
    };
    tokio::select! {
        () = soon(calling) => {}
        () = serving => {}
    }
}

#[tokio::test(start_paused = true)]
async fn expected_continue_lets_the_body_go() {
    let asked = tokio::time::Instant::now();
    expecting(async |server, request, mut respond| {
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        respond.send_informational(go_on).unwrap();
        assert_eq!(
            while_served(server, read_all(request.into_body())).await.0,
            b"body"
        );
        respond.send_response(Response::new(()), true).unwrap();
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "nobody waited for the timer"
    );
}

#[tokio::test(start_paused = true)]
async fn body_goes_after_a_second_without_continue() {
    expecting(async |server, request, mut respond| {
        assert_eq!(
            while_served(server, read_all(request.into_body())).await.0,
            b"body"
        );
        respond.send_response(Response::new(()), true).unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn body_is_not_asked_for_after_a_final_answer() {
    expecting(async |server, request, mut respond| {
        respond.send_response(Response::new(()), true).unwrap();
        let mut recv = request.into_body();
        let came = while_served(server, async { recv.data().await }).await;
        assert!(came.is_none_or(|data| data.is_err()), "no byte of the body");
    })
    .await;
}

#[tokio::test]
async fn other_informational_heads_are_passed_on() {
    let (client, mut server) = pair(&server::Builder::new()).await;
    let serving = async {
        let (_request, mut respond) = accept(&mut server).await;
        let hints = Response::builder()
            .status(103)
            .header("link", "</x>")
            .body(())
            .unwrap();
        respond.send_informational(hints).unwrap();
        respond.send_response(Response::new(()), true).unwrap();
        while_served(&mut server, std::future::pending::<()>()).await;
    };
    let mut seen = Vec::new();
    let tell = |status: StatusCode, headers: &HeaderMap| {
        seen.push((status.as_u16(), headers["link"].clone()))
    };
    let calling = call(
        client.connection.lease().unwrap(),
        request(&None),
        None,
        Expectation::None,
        tell,
    );
    tokio::select! {
        called = soon(calling) => drop(called.unwrap()),
        () = serving => {}
    }
    assert_eq!(seen, [(103, HeaderValue::from_static("</x>"))]);
}

#[tokio::test(start_paused = true)]
async fn silent_connection_is_given_up_within_its_time() {
    let (mut client, _server) = pair(&server::Builder::new()).await;
    // The server's end is not driven: nothing is answered, nothing is closed.
    let began = tokio::time::Instant::now();
    let lease = client.connection.lease().unwrap();
    let called = call(lease, request(&None), None, Expectation::None, |_, _| {}).await;
    let error = called.map(|_| ()).unwrap_err();
    assert_eq!(
        client.driver.join_next().await.unwrap().unwrap(),
        Loss::Silent
    );
    assert_eq!(began.elapsed().as_secs(), LIMITS.dead_after.as_secs());
    assert!(error.to_string().contains("ping"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_in_the_end() {
    let (mut client, mut server) = pair(&server::Builder::new()).await;
    let began = tokio::time::Instant::now();
    let closed = async { while server.accept().await.is_some() {} };
    let (loss, ()) = tokio::join!(client.driver.join_next(), closed);
    assert_eq!(loss.unwrap().unwrap(), Loss::Idle);
    assert!(began.elapsed() >= LIMITS.idle_after);
}

#[tokio::test(start_paused = true)]
async fn answers_are_not_read_faster_than_they_are_taken() {
    for window in Window::ALL {
        read_no_further_than(window).await;
    }
}

async fn read_no_further_than(window: Window) {
    let (client, mut server) = pair_with(&server::Builder::new(), window).await;
    let sent = async {
        let (_request, mut respond) = accept(&mut server).await;
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        let mut sent = 0;
        let filling = poll_fn(|cx| {
            send.reserve_capacity(4 << 20);
            while let Poll::Ready(Some(Ok(room))) = send.poll_capacity(cx) {
                send.send_data(Bytes::from(vec![0; room]), false).unwrap();
                sent += room;
                send.reserve_capacity(4 << 20);
            }
            Poll::<()>::Pending
        });
        let _ =
            tokio::time::timeout(Duration::from_secs(5), while_served(&mut server, filling)).await;
        sent
    };
    let calling = async {
        let (response, upload) = client.call(None).await.unwrap();
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        (body, upload)
    };
    let (sent, held) = soon(async { tokio::join!(sent, calling) }).await;
    assert!(sent <= window.bytes() as usize + (32 << 10), "{sent}");
    assert!(!held.0.is_end_stream());
}
