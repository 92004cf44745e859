//! A token's end is the end of what runs under it, also for clients that ask and then read nothing.

use std::time::Duration;

use h2::{Reason, RecvStream, client::SendRequest};
use http::{Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::support::{Agent, Setup, ask, h2_head, with_agent};

const LIFETIME: Duration = Duration::from_secs(2);

#[tokio::test]
async fn watch_is_cut_when_its_token_expires() {
    with_agent(async |setup, _| {
        let token = setup.token_for(Duration::from_secs(1));
        let request = setup.get_with("/k8s-proxy/watch", Some(&format!("Bearer ci:7:{token}")));
        let answer = setup.http2(request.clone()).await;
        assert!(answer.status == 200 && answer.is_cut, "{answer:?}");
        let answer = setup.http1(request).await;
        answer.assert_refused(401, "token_expired");
    })
    .await;
}

/// Asks over HTTP/2, and leaves the answer where it is.
async fn leave(send: &mut SendRequest<bytes::Bytes>, request: Request<()>) -> RecvStream {
    let (answer, _) = ask(send, request).await.unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body()
}

/// Waits until the relay and the agent hold nothing more; `by` then.
async fn none_left(setup: &Setup, agent: &Agent, by: Instant) {
    let none = async {
        while agent.open() > 0
            || !setup
                .metrics()
                .await
                .contains("adit_relay_exchanges_open 0\n")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout_at(by, none)
        .await
        .expect("nothing outlives its token");
}

#[tokio::test]
async fn unread_download_over_http2_ends_with_its_token() {
    with_agent(async |setup, agent| {
        let token = format!("Bearer ci:7:{}", setup.token_for(LIFETIME));
        let by = Instant::now() + LIFETIME + Duration::from_secs(2);
        let (mut send, connection) = setup.h2().await;
        let mut connection = std::pin::pin!(connection);
        let stalls = async {
            let mut unread = Vec::new();
            // The second is read whole by the relay, and its end waits there.
            for path in ["endless", "large", "endless"] {
                let request = setup.get_with(&format!("/k8s-proxy/{path}"), Some(&token));
                unread.push(leave(&mut send, h2_head(request)).await);
            }
            none_left(&setup, &agent, by).await;
            for mut body in unread {
                let end = loop {
                    match body.data().await {
                        Some(Ok(_)) => {}
                        other => break other,
                    }
                };
                let error = end.expect("it must not look complete").unwrap_err();
                assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
            }
        };
        tokio::select! {
            biased;
            () = stalls => {}
            ended = connection.as_mut() => panic!("the connection goes on: {ended:?}"),
        }
        drop(send);
        let (_, ended) = tokio::join!(setup.relay.drain(Duration::from_secs(600)), connection);
        ended.unwrap();
    })
    .await;
}

/// What nobody reads of an answer over HTTP/1.1, or of an upgraded connection, ends with its token.
async fn unread_ends(target: &str, fields: &str) {
    with_agent(async |setup, agent| {
        let by = Instant::now() + LIFETIME + Duration::from_secs(2);
        let _unread = setup.raw_request_for(LIFETIME, target, fields).await;
        while agent.open() == 0 {
            tokio::task::yield_now().await;
        }
        none_left(&setup, &agent, by).await;
        setup.relay.drain(Duration::from_secs(600)).await;
    })
    .await;
}

#[tokio::test]
async fn unread_download_over_http1_ends_with_its_token() {
    unread_ends("/k8s-proxy/endless", "").await;
}

#[tokio::test]
async fn unread_upgrade_ends_with_its_token() {
    unread_ends(
        "/k8s-proxy/flood",
        "connection: upgrade\r\nupgrade: tcp\r\n",
    )
    .await;
}
