//! Upgraded connections: begun by a 101 and by nothing else, and two halves from then on.

use std::io::ErrorKind;

use adit_exchange::{AnswerError, AskError, Upgraded, answer, switch};
use adit_tunnel::ResetReason;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Pair, headers, lost, pair, question, within};

fn exec() -> Request<Empty<Bytes>> {
    let mut request = Request::post("/exec?command=sh")
        .body(Empty::new())
        .unwrap();
    *request.headers_mut() = headers(&[
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "v4"),
    ]);
    request
}

async fn upgraded(pair: &Pair) -> (Upgraded, Upgraded) {
    let agent = async {
        let (asked, stream) = pair.asked().await;
        assert_eq!(asked.upgrade.as_ref().unwrap(), "SPDY/3.1");
        assert_eq!(
            asked.headers,
            headers(&[("x-stream-protocol-version", "v4")])
        );
        assert!(
            asked.body(&stream).is_end_stream(),
            "what comes is not the request's"
        );
        switch(
            &stream,
            &headers(&[
                ("connection", "Upgrade"),
                ("upgrade", "SPDY/3.1"),
                ("x-own", "1"),
            ]),
            None,
        )
        .unwrap()
    };
    let relay = async {
        let response = pair.ask(exec()).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(
            *response.headers(),
            headers(&[
                ("x-own", "1"),
                ("connection", "upgrade"),
                ("upgrade", "SPDY/3.1")
            ])
        );
        response.into_body().into_upgraded().unwrap()
    };
    tokio::join!(relay, agent)
}

#[tokio::test]
async fn both_directions_carry_bytes_and_end_on_their_own() {
    within(async {
        let pair = pair().await;
        let (mut caller, mut server) = upgraded(&pair).await;
        caller.write_all(b"stdin").await.unwrap();
        caller.shutdown().await.unwrap();
        let mut came = String::new();
        server.read_to_string(&mut came).await.unwrap();
        assert_eq!(came, "stdin");
        // The other half goes on.
        let sent = vec![5; 1 << 20];
        let reading = async {
            let mut came = Vec::new();
            caller.read_to_end(&mut came).await.unwrap();
            came
        };
        let writing = async {
            server.write_all(&sent).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let (came, ()) = tokio::join!(reading, writing);
        assert!(came == sent);
        assert_eq!(
            caller.write(b"late").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        drop((caller, server));
        assert_eq!(
            (pair.agent.stats().resets, pair.relay.stats().resets),
            (0, 0)
        );
    })
    .await;
}

#[tokio::test]
async fn reads_may_be_smaller_than_what_came() {
    within(async {
        let pair = pair().await;
        let (mut caller, mut server) = upgraded(&pair).await;
        caller.write_all(b"abcdef").await.unwrap();
        for expected in [b"ab", b"cd", b"ef"] {
            let mut two = [0; 2];
            server.read_exact(&mut two).await.unwrap();
            assert_eq!(&two, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_dropped_is_an_error_at_the_other_end() {
    within(async {
        let pair = pair().await;
        let (mut caller, mut server) = upgraded(&pair).await;
        server.write_all(b"half").await.unwrap();
        drop(server);
        let mut came = Vec::new();
        let error = caller.read_to_end(&mut came).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(
            caller.write(b"x").await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    })
    .await;
}

#[tokio::test]
async fn a_switched_connection_that_nobody_takes_is_cancelled() {
    within(async {
        let pair = pair().await;
        let agent = async {
            let (_, stream) = pair.asked().await;
            let mut server = switch(&stream, &headers(&[("upgrade", "SPDY/3.1")]), None).unwrap();
            server.read(&mut [0; 8]).await.unwrap_err()
        };
        let (error, ()) = tokio::join!(agent, async { drop(pair.ask(exec()).await.unwrap()) });
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    within(async {
        let pair = pair().await;
        let agent = async {
            let (_, stream) = pair.asked().await;
            let response = Response::builder()
                .status(403)
                .body(Full::new(Bytes::from_static(b"no")))
                .unwrap();
            answer(&stream, response, None).await.unwrap();
        };
        let relay = async {
            let response = pair.ask(exec()).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let mut body = response.into_body();
            assert_eq!(
                body.frame().await.unwrap().unwrap().into_data().unwrap(),
                "no"
            );
            assert!(body.frame().await.is_none());
            assert!(body.into_upgraded().is_none());
        };
        tokio::join!(agent, relay);
        assert_eq!(pair.relay.stats().resets, 0);
    })
    .await;
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_no_answer() {
    within(async {
        let pair = pair().await;
        let agent = async {
            let (_, stream) = pair.asked().await;
            let _server = switch(&stream, &headers(&[("upgrade", "SPDY/3.1")]), None).unwrap();
            lost(&stream).await
        };
        let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        let (_, refused) = tokio::join!(agent, pair.ask(request));
        assert!(matches!(refused, Err(AskError::BadAnswer(_))));
    })
    .await;
}

#[tokio::test]
async fn a_101_that_names_no_protocol_is_not_sent() {
    within(async {
        let pair = pair().await;
        let agent = async {
            let (_, stream) = pair.asked().await;
            assert!(matches!(
                switch(&stream, &headers(&[("x-own", "1")]), None),
                Err(AnswerError::NoProtocol)
            ));
            stream.reset(ResetReason::ApiServerLost, "no protocol");
        };
        let (_, refused) = tokio::join!(agent, pair.ask(exec()));
        assert!(matches!(refused, Err(AskError::NoAnswer(_))));
    })
    .await;
}

#[test]
fn an_upgrade_with_a_body_is_refused() {
    let request = exec().map(|_| Full::new(Bytes::from_static(b"smuggled")));
    assert!(matches!(
        question(request),
        Err(AskError::BadRequest(
            adit_exchange::BadRequest::UpgradeWithBody
        ))
    ));
}
