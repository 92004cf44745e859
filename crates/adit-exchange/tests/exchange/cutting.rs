//! What ends by accident looks like it, at the other end and at once.

use adit_exchange::{AnswerError, AskError, answer};
use adit_tunnel::{ResetReason, StreamError};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};

use crate::support::{Pair, data, fed, lost, pair, side_by_side, within};

fn get() -> Request<Empty<Bytes>> {
    Request::get("/api").body(Empty::new()).unwrap()
}

fn is_reset(error: &StreamError, expected: ResetReason) -> bool {
    matches!(error, StreamError::Reset { reason, .. } if *reason == expected)
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_complete() {
    let (upload, body) = fed();
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        let mut body = asked.body(&stream);
        assert_eq!(data(&mut body).await, "half");
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(is_reset(&error, ResetReason::Cancelled), "{error:?}");
        assert!(body.frame().await.unwrap().is_err(), "nor on a second look");
    };
    let relay = async |pair: &Pair| {
        let request = Request::post("/api").body(body).unwrap();
        let (error, ()) = tokio::join!(pair.ask(request), async {
            upload.data("half").await;
            upload.fail().await;
        });
        assert!(matches!(error, Err(AskError::BodyLost(why)) if why == "cut off"));
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_after_the_answers_head_cuts_the_answer() {
    let (upload, body) = fed();
    let (_download, answered) = fed();
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        let error = answer(&stream, Response::new(answered), None)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, AnswerError::Stream(error) if is_reset(error, ResetReason::Cancelled)),
            "{error:?}"
        );
    };
    let relay = async |pair: &Pair| {
        let response = pair
            .ask(Request::post("/api").body(body).unwrap())
            .await
            .unwrap();
        upload.fail().await;
        let error = response.into_body().collect().await.unwrap_err();
        assert!(
            matches!(
                error,
                StreamError::Cut {
                    reason: ResetReason::Cancelled,
                    ..
                }
            ),
            "{error:?}"
        );
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_complete() {
    let (download, answered) = fed();
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        let (error, ()) = tokio::join!(answer(&stream, Response::new(answered), None), async {
            download.data("half").await;
            download.fail().await;
        });
        assert!(matches!(error, Err(AnswerError::ApiServerLost(why)) if why == "cut off"));
    };
    let relay = async |pair: &Pair| {
        let mut body = pair.ask(get()).await.unwrap().into_body();
        let error = loop {
            match body.frame().await.expect("no clean end") {
                Ok(frame) => assert_eq!(frame.into_data().unwrap(), "half"),
                Err(error) => break error,
            }
        };
        assert!(is_reset(&error, ResetReason::ApiServerLost), "{error:?}");
        assert!(!http_body::Body::is_end_stream(&body));
        assert!(body.frame().await.unwrap().is_err(), "nor on a second look");
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_answer_under_way() {
    within(async {
        let pair = pair().await;
        let (download, answered) = fed();
        let agent = async {
            let (_, stream) = pair.asked().await;
            let (error, ()) = tokio::join!(answer(&stream, Response::new(answered), None), async {
                download.data("event").await;
                // And then nothing, as in a quiet watch.
                download.frames.closed().await;
            });
            drop(error);
        };
        let agent = async {
            // `answered` is dropped with `answer`, which closes the feeder.
            agent.await;
        };
        let relay = async {
            let mut body = pair.ask(get()).await.unwrap().into_body();
            assert_eq!(data(&mut body).await, "event");
            drop(body);
        };
        tokio::join!(agent, relay);
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_is_noticed() {
    within(async {
        let pair = pair().await;
        let mut asking = Box::pin(pair.ask(get()));
        let (_, stream) = tokio::select! {
            _ = &mut asking => panic!("nobody answered"),
            asked = pair.asked() => asked,
        };
        drop(asking);
        let error = lost(&stream).await;
        assert!(is_reset(&error, ResetReason::Cancelled), "{error:?}");
        assert_eq!(pair.relay.stats().streams, 0);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_the_agent_gives_up_is_cut() {
    let (_download, answered) = fed();
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        let mut answering = Box::pin(answer(&stream, Response::new(answered), None));
        assert!((&mut answering).now_or_never().is_none());
        drop(answering);
        stream
    };
    let relay = async |pair: &Pair| {
        let error = match pair.ask(get()).await {
            Ok(response) => response.into_body().collect().await.unwrap_err(),
            Err(AskError::NoAnswer(error)) => error,
            Err(error) => panic!("{error:?}"),
        };
        assert!(is_reset(&error, ResetReason::Cancelled), "{error:?}");
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn a_tunnel_that_ends_cuts_the_answer() {
    within(async {
        let pair = pair().await;
        let (download, answered) = fed();
        let mut asking = Box::pin(pair.ask(get()));
        let (_, stream) = tokio::select! {
            _ = &mut asking => panic!("nobody answered"),
            asked = pair.asked() => asked,
        };
        let agent = async { drop(answer(&stream, Response::new(answered), None).await) };
        let relay = async {
            let mut body = asking.await.unwrap().into_body();
            download.data("half").await;
            assert_eq!(data(&mut body).await, "half");
            pair.agent.close(adit_tunnel::CloseReason::Stopping, "now");
            assert!(matches!(
                body.frame().await,
                Some(Err(StreamError::SessionEnded(_)))
            ));
        };
        tokio::join!(agent, relay);
    })
    .await;
}

#[tokio::test]
async fn a_bad_head_from_the_agent_is_no_answer() {
    within(async {
        let pair = pair().await;
        let status_of_42: &[u8] = &[8, 42];
        let hop_by_hop: &[u8] = b"\x08\xc8\x01\x12\x07\x12\x02te\x1a\x01x";
        for head in [status_of_42, hop_by_hop, b"\xff", b""] {
            let agent = async {
                let (_, stream) = pair.asked().await;
                stream.send_head(Bytes::copy_from_slice(head)).unwrap();
                assert!(is_reset(&lost(&stream).await, ResetReason::Protocol));
            };
            let relay = async {
                assert!(
                    matches!(pair.ask(get()).await, Err(AskError::BadAnswer(_))),
                    "{head:?}"
                );
            };
            tokio::join!(agent, relay);
        }
    })
    .await;
}

#[tokio::test]
async fn trailers_that_must_not_come_cut_the_body() {
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        stream.send_head(Bytes::from_static(&[8, 200, 1])).unwrap();
        stream
            .send_trailers(Bytes::from_static(b"\x0a\x09\x12\x04host\x1a\x01x"))
            .unwrap();
        stream
    };
    let relay = async |pair: &Pair| {
        let error = pair
            .ask(get())
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                StreamError::Cut {
                    reason: ResetReason::Protocol,
                    ..
                }
            ),
            "{error:?}"
        );
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn an_exchange_that_ended_well_leaves_nothing_behind() {
    within(async {
        let pair = pair().await;
        for _ in 0..20 {
            let agent = async {
                let (asked, stream) = pair.asked().await;
                answer(&stream, Response::new(asked.body(&stream)), None)
                    .await
                    .unwrap();
            };
            let relay = async {
                let request = Request::post("/")
                    .body(Full::new(Bytes::from_static(b"x")))
                    .unwrap();
                assert_eq!(
                    pair.ask(request)
                        .await
                        .unwrap()
                        .into_body()
                        .collect()
                        .await
                        .unwrap()
                        .to_bytes(),
                    "x"
                );
            };
            tokio::join!(agent, relay);
        }
        while pair.agent.stats().streams > 0 || pair.relay.stats().streams > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            (pair.agent.stats().resets, pair.relay.stats().resets),
            (0, 0)
        );
    })
    .await;
}
