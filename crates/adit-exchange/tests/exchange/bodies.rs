//! How bodies flow: at once, at whose pace, and how they end.

use std::time::Duration;

use adit_exchange::{AnswerError, AskError, answer, informational};
use adit_tunnel::{OpenError, ResetReason};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;

use crate::support::{Pair, data, fed, headers, pair, question, side_by_side, whole, within};

fn post<B>(body: B) -> Request<B> {
    Request::post("/api").body(body).unwrap()
}

#[tokio::test]
async fn an_upload_and_a_download_flow_at_the_same_time() {
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        answer(&stream, Response::new(asked.body(&stream)), None)
            .await
            .unwrap();
    };
    let sent: Bytes = (0..3_000_000_u32)
        .map(|at| at.to_le_bytes()[at as usize % 3])
        .collect();
    let relay = async |pair: &Pair| {
        let response = pair.ask(post(Full::new(sent.clone()))).await.unwrap();
        let came = whole(response).await;
        assert!(came == sent, "{} of {} bytes", came.len(), sent.len());
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn what_the_agent_says_of_the_api_server_is_told_beside_the_answer() {
    for took in [Some(Duration::from_micros(1234)), None] {
        let agent = async |pair: &Pair| {
            let (_, stream) = pair.asked().await;
            let response = Response::new(Full::new(Bytes::new()));
            answer(&stream, response, took).await.unwrap();
        };
        let relay = async |pair: &Pair| {
            let request = Request::get("/api").body(Full::default()).unwrap();
            let response = pair.ask(request).await.unwrap();
            assert_eq!(response.body().api_server(), took);
            assert!(response.headers().is_empty());
            whole(response).await;
        };
        side_by_side(agent, relay).await;
    }
}

#[tokio::test]
async fn each_piece_crosses_before_the_next_is_there() {
    within(async {
        let pair = pair().await;
        let (upload, body) = fed();
        let (download, answered) = fed();
        let (asked, response) = tokio::join!(
            async {
                let (asked, stream) = pair.asked().await;
                stream.send_head(head_of_200()).unwrap();
                (asked, stream)
            },
            pair.ask(post(body)),
        );
        drop(answered);
        drop(download);
        let (asked, stream) = asked;
        let mut came = asked.body(&stream);
        let mut answer = response.unwrap().into_body();
        for text in ["one", "two", "three"] {
            upload.data(text).await;
            assert_eq!(data(&mut came).await, text);
            stream.write(text.into(), false).unwrap();
            assert_eq!(data(&mut answer).await, text);
        }
        drop(upload);
        assert!(came.frame().await.is_none());
        stream.write(Bytes::new(), true).unwrap();
        assert!(answer.frame().await.is_none());
    })
    .await;
}

fn head_of_200() -> Bytes {
    // `status: 200`, by hand.
    Bytes::from_static(&[8, 200, 1])
}

#[tokio::test]
async fn an_answer_may_begin_and_end_while_the_body_still_flows() {
    let (upload, body) = fed();
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        let mut body = asked.body(&stream);
        assert_eq!(data(&mut body).await, "first");
        answer(
            &stream,
            Response::new(Full::new(Bytes::from_static(b"enough"))),
            None,
        )
        .await
        .unwrap();
    };
    let relay = async |pair: &Pair| {
        upload.data("first").await;
        let response = pair.ask(post(body)).await.unwrap();
        assert_eq!(whole(response).await, "enough");
        // Nobody wants the rest.
        upload.frames.closed().await;
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn an_upload_waits_for_its_reader() {
    within(async {
        let pair = pair().await;
        let (upload, body) = fed();
        let mut asking = Box::pin(pair.ask(post(body)));
        let piece = Bytes::from(vec![7; 32 << 10]);
        let mut sent = 0;
        // Until neither side moves any more.
        let feeding = async {
            loop {
                upload.data(piece.clone()).await;
                sent += piece.len();
            }
        };
        tokio::select! {
            _ = &mut asking => panic!("nobody answered"),
            () = feeding => {}
            () = settled(&pair.relay) => {}
        }
        assert!(
            sent < 1 << 20,
            "{sent} bytes were taken for a reader that reads nothing"
        );
    })
    .await;
}

/// Waits until a tunnel has a stream that waits for credit and whose queue is full.
async fn settled(relay: &adit_tunnel::Tunnel) {
    loop {
        tokio::task::yield_now().await;
        let stats = relay.stats();
        if stats.credit_stalls > 0 && stats.queued_bytes >= 128 << 10 {
            return;
        }
    }
}

#[tokio::test]
async fn trailers_cross_both_ways_without_what_must_not() {
    let (upload, body) = fed();
    let (download, answered) = fed();
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        let collected = asked.body(&stream).collect().await.unwrap();
        assert_eq!(
            *collected.trailers().unwrap(),
            headers(&[("x-sum", "1"), ("x-sum", "2")])
        );
        assert_eq!(collected.to_bytes(), "up");
        tokio::join!(
            async {
                answer(&stream, Response::new(Box::pin(answered)), None)
                    .await
                    .unwrap()
            },
            async {
                download.data("down").await;
                download.trailers(headers(&[("x-sum", "3")])).await;
            }
        );
    };
    let relay = async |pair: &Pair| {
        let (response, ()) = tokio::join!(pair.ask(post(body)), async {
            upload.data("up").await;
            let trailers = [
                ("x-sum", "1"),
                ("impersonate-user", "root"),
                ("x-sum", "2"),
                ("authorization", "x"),
                ("host", "x"),
            ];
            upload.trailers(headers(&trailers)).await;
        });
        let collected = response.unwrap().into_body().collect().await.unwrap();
        assert_eq!(*collected.trailers().unwrap(), headers(&[("x-sum", "3")]));
        assert_eq!(collected.to_bytes(), "down");
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn empty_frames_are_not_passed_on() {
    let (upload, body) = fed();
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        let mut body = asked.body(&stream);
        assert_eq!(data(&mut body).await, "x");
        assert!(body.frame().await.is_none());
    };
    let relay = async |pair: &Pair| {
        let feed = async {
            for piece in ["", "", "x", "", ""] {
                upload.data(piece).await;
            }
            drop(upload);
        };
        tokio::join!(feed, async { drop(pair.ask(post(body)).await) });
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn a_body_that_waits_for_100_is_not_touched_before() {
    let (upload, body) = fed();
    let mut request = post(body);
    request
        .headers_mut()
        .insert("expect", "100-Continue".parse().unwrap());
    let (polled, was_polled) = oneshot::channel();
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        assert!(asked.expect_continue);
        assert!(
            !asked.headers.contains_key("expect"),
            "it crosses as a flag"
        );
        was_polled.await.unwrap();
        let came = asked.body(&stream).collect().await.unwrap().to_bytes();
        answer(&stream, Response::new(Full::new(came)), None)
            .await
            .unwrap();
    };
    let relay = async |pair: &Pair| {
        let mut question = question(request).unwrap();
        let (told, was_told) = oneshot::channel();
        let mut told = Some(told);
        question.on_informational(move |status, _| told.take().unwrap().send(status).unwrap());
        let asking = question.put(&pair.relay, Default::default());
        let feeding = async {
            upload.data("body").await;
            assert_eq!(upload.polls(), 0);
            polled.send(()).unwrap();
            assert_eq!(was_told.await.unwrap(), StatusCode::CONTINUE);
            drop(upload);
        };
        let (response, ()) = tokio::join!(asking, feeding);
        assert_eq!(whole(response.unwrap()).await, "body");
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn a_final_answer_instead_of_100_leaves_the_body_alone() {
    let (upload, body) = fed();
    let mut request = post(body);
    request
        .headers_mut()
        .insert("expect", "100-continue".parse().unwrap());
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        let response = Response::builder()
            .status(401)
            .body(Full::new(Bytes::from_static(b"no")))
            .unwrap();
        answer(&stream, response, None).await.unwrap();
    };
    let relay = async |pair: &Pair| {
        let response = pair.ask(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(whole(response).await, "no");
        assert_eq!(upload.polls(), 0);
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn informational_heads_come_before_the_answer() {
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        let hints = headers(&[("link", "</style.css>")]);
        informational(&stream, StatusCode::EARLY_HINTS, &hints).unwrap();
        informational(&stream, StatusCode::PROCESSING, &HeaderMap::new()).unwrap();
        let not = informational(&stream, StatusCode::SWITCHING_PROTOCOLS, &hints);
        assert!(matches!(not, Err(AnswerError::Status(_))));
        answer(&stream, Response::new(Full::new(Bytes::new())), None)
            .await
            .unwrap();
    };
    let relay = async |pair: &Pair| {
        let (send, mut heads) = tokio::sync::mpsc::channel(4);
        let mut question = question(Request::get("/").body(Full::default()).unwrap()).unwrap();
        question.on_informational(move |status, headers| send.try_send((status, headers)).unwrap());
        let response = question.put(&pair.relay, Default::default()).await.unwrap();
        assert!(response.body().is_end_stream());
        let (status, hints) = heads.recv().await.unwrap();
        assert_eq!(
            (status, hints),
            (
                StatusCode::EARLY_HINTS,
                headers(&[("link", "</style.css>")])
            )
        );
        assert_eq!(heads.recv().await.unwrap().0, StatusCode::PROCESSING);
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn a_question_that_no_tunnel_took_stays_whole() {
    within(async {
        let (first, second) = (pair().await, pair().await);
        let mut question = question(post(Full::new(Bytes::from_static(b"body")))).unwrap();
        first.relay.drain("going");
        let refused = question.put(&first.relay, Default::default()).await;
        assert!(matches!(refused, Err(AskError::Open(OpenError::Draining))));
        assert!(question.is_whole());
        let agent = async {
            let (asked, stream) = second.asked().await;
            assert_eq!(
                asked.body(&stream).collect().await.unwrap().to_bytes(),
                "body"
            );
            stream.reset(ResetReason::ApiServerUnreachable, "no route");
        };
        let relay = async {
            let error = question
                .put(&second.relay, Default::default())
                .await
                .unwrap_err();
            assert!(matches!(error, AskError::NoAnswer(_)), "{error:?}");
        };
        tokio::join!(agent, relay);
        assert!(!question.is_whole(), "its body is gone");
    })
    .await;
}
