//! Clients that ask and then read nothing: their answers end with their token all the same, and hold nothing up.

use std::time::Duration;

use h2::{RecvStream, client::SendRequest};
use http::{Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::{
    support::{Agent, Setup},
    within,
};

const LIFETIME: Duration = Duration::from_secs(2);

/// Asks over HTTP/2, and leaves the answer where it is.
async fn ask(send: &SendRequest<bytes::Bytes>, request: Request<()>) -> RecvStream {
    let mut send = send.clone().ready().await.unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body()
}

/// Waits until the relay and the agent hold nothing more; `by` then.
async fn none_left(setup: &Setup, agent: &Agent, by: Instant) {
    let none = async {
        while !setup
            .metrics()
            .await
            .contains("adit_relay_exchanges_open 0\n")
            || agent.open() > 0
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
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let token = format!("Bearer ci:7:{}", setup.token_for(LIFETIME));
        let by = Instant::now() + LIFETIME + Duration::from_secs(2);
        let (send, connection) = setup.h2().await;
        let mut connection = std::pin::pin!(connection);
        let stalls = async {
            let mut unread = Vec::new();
            // The second is read whole by the relay, and its end waits there.
            for path in [
                "/k8s-proxy/endless",
                "/k8s-proxy/large",
                "/k8s-proxy/endless",
            ] {
                let request = setup.get_with(path, Some(&token));
                unread.push(ask(&send, setup.absolute(request).map(drop)).await);
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
                assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
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

#[tokio::test]
async fn unread_download_over_http1_ends_with_its_token() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let by = Instant::now() + LIFETIME + Duration::from_secs(2);
        let _unread = setup
            .raw_request_for(LIFETIME, "/k8s-proxy/endless", "")
            .await;
        while agent.open() == 0 {
            tokio::task::yield_now().await;
        }
        none_left(&setup, &agent, by).await;
        setup.relay.drain(Duration::from_secs(600)).await;
    })
    .await;
}

#[tokio::test]
async fn unread_upgrade_ends_with_its_token() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let by = Instant::now() + LIFETIME + Duration::from_secs(2);
        let upgrade = "connection: upgrade\r\nupgrade: tcp\r\n";
        let _unread = setup
            .raw_request_for(LIFETIME, "/k8s-proxy/flood", upgrade)
            .await;
        while agent.open() == 0 {
            tokio::task::yield_now().await;
        }
        none_left(&setup, &agent, by).await;
        setup.relay.drain(Duration::from_secs(600)).await;
    })
    .await;
}
