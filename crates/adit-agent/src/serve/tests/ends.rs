//! Requests that end early: because their caller leaves, the session ends, or the API server is not there.

use super::*;

/// An API server that answers nobody, and what it sees of those who ask.
struct Unanswering {
    server: ApiServer,
    arrived: mpsc::Receiver<()>,
    left: mpsc::Receiver<()>,
}

impl Unanswering {
    async fn start(speaks: Speaks) -> Self {
        let (tell_arrived, arrived) = mpsc::channel(1);
        let (tell_left, left) = mpsc::channel(1);
        let server = ApiServer::start(speaks, move |_| {
            let (arrived, held) = (tell_arrived.clone(), Held(tell_left.clone()));
            async move {
                arrived.send(()).await.unwrap();
                std::future::pending::<()>().await;
                drop(held);
                empty()
            }
        })
        .await;
        Self {
            server,
            arrived,
            left,
        }
    }
}

/// Tells when it is dropped: what a handler of the API server sees of a caller that leaves.
struct Held(mpsc::Sender<()>);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn caller_that_leaves_takes_the_request_back_from_the_api_server() {
    for speaks in [Speaks::default(), Speaks::http1()] {
        let mut kube = Unanswering::start(speaks).await;
        let near = serving(&kube.server).await;
        tokio::select! {
            _ = near.get() => panic!("nobody answers"),
            _ = soon(kube.arrived.recv()) => {}
        }
        soon(kube.left.recv()).await.unwrap();
        near.until_none(&near.metrics.streams).await;
    }
}

#[tokio::test]
async fn session_that_ends_takes_its_requests_with_it() {
    let mut kube = Unanswering::start(Speaks::default()).await;
    let near = serving(&kube.server).await;
    let cut = async {
        soon(kube.arrived.recv()).await.unwrap();
        near.tunnel
            .close(adit_tunnel::CloseReason::Stopping, "test");
    };
    let (answered, ()) = tokio::join!(near.get(), cut);
    assert!(answered.is_err());
    soon(kube.left.recv()).await.unwrap();
    soon(near.tunnel.closed()).await;
}

#[tokio::test]
async fn api_server_that_breaks_off_is_named() {
    let Unanswering {
        server,
        mut arrived,
        ..
    } = Unanswering::start(Speaks::default()).await;
    let near = serving(&server).await;
    let broken = async {
        soon(arrived.recv()).await.unwrap();
        drop(server);
    };
    let (answered, ()) = tokio::join!(near.get(), broken);
    assert_eq!(
        reset(answered.map(|_| ()).unwrap_err()).0,
        ResetReason::ApiServerLost
    );
}

#[tokio::test]
async fn watcher_that_leaves_ends_the_watch() {
    let (tell, mut dropped) = mpsc::channel(1);
    let server = ApiServer::start(Speaks::default(), move |_| {
        let held = Held(tell.clone());
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
    let near = serving(&server).await;
    let mut body = near.get().await.unwrap().into_body();
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

#[tokio::test]
async fn api_server_that_cannot_be_reached_is_named() {
    let server = ApiServer::start(Speaks::default(), |_| async { empty() }).await;
    let kube = server.kube().await;
    let addr = server.addr;
    drop(server);
    let near = serving_with(kube).await;
    let (reason, message) = reset(near.get().await.unwrap_err());
    assert_eq!(reason, ResetReason::ApiServerUnreachable);
    assert!(
        message.contains("cannot reach the API server") && message.contains(&addr.to_string()),
        "{message}"
    );
    assert!(!message.contains("agent-secret"));
}

#[tokio::test]
async fn requests_above_what_an_agent_serves_are_refused_and_counted() {
    let server = ApiServer::start(Speaks::default(), |_| async { empty() }).await;
    let bounded = |max_streams, max_in_hand| {
        let server = &server;
        async move {
            let service = service(server.kube().await, Ceiling::default());
            let in_hand = InHand {
                max: max_in_hand,
                ..service.in_hand
            };
            serving_by(Service {
                max_streams,
                in_hand,
                ..service
            })
            .await
        }
    };
    for (streams, in_hand) in [(0, MAX_IN_HAND), (200, 1)] {
        let near = bounded(streams, in_hand).await;
        let (reason, message) = reset(near.get().await.unwrap_err());
        assert_eq!(reason, ResetReason::Overloaded, "{message}");
        let refused = near.metrics.failures.of(Failure::Overloaded).get();
        assert_eq!(refused, 1, "{message}");
    }
}
