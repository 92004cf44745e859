//! Answers that come, and end, while the request's body still flows; and answers that break off.

use adit_tests::{
    Answer, World, body,
    caller::{breaks_off, get, request},
    kube, relay, scenario, until, within, world,
};
use http::{Method, StatusCode};
use http_body_util::BodyExt;

#[test]
fn early_answer_arrives_while_the_body_still_flows() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
            for is_http2 in [false, true] {
                let (hand, body) = body::by_hand();
                hand.data("some of it").await;
                let upload = request(Method::POST, "/early", body);
                let answer = if is_http2 {
                    http2.send(upload).await
                } else {
                    http1.send(upload).await
                };
                let answer = within("the early answer", Answer::of(answer.unwrap()))
                    .await
                    .unwrap();
                assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
                assert!(answer.text().starts_with("413"));
            }
            drop((http1, http2));
            world.stop().await;
        }
    });
}

#[test]
fn upload_of_which_nobody_wants_the_rest_is_stopped() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let (hand, body) = body::by_hand();
        let answer = http2.answer(request(Method::POST, "/early", body)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        // The relay says that it takes no more (RFC 9113 section 8.1); endless bytes would otherwise go nowhere for ever.
        within("the upload's end", async {
            while hand.data(vec![0; 16 << 10]).await {}
        })
        .await;
        assert_eq!(
            http2.get("/api").await.status,
            StatusCode::OK,
            "the connection is as good as before"
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn truncated_answer_looks_truncated() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            for path in ["/cut/100000", "/cut-sized/100000", "/cut/0"] {
                let http2 = world.job.http2().await;
                let answer = http2.send(get(path)).await.unwrap();
                let error = breaks_off(answer).await;
                assert!(!error.is_canceled());
                assert_eq!(
                    http2.get("/api").await.status,
                    StatusCode::OK,
                    "the stream ended, the connection did not"
                );

                let mut http1 = world.job.http1().await;
                let answer = http1.send(get(path)).await.unwrap();
                breaks_off(answer).await;
            }
            until("nothing is open", || world.kube.open() == 0).await;
            world.stop().await;
        }
    });
}

#[test]
fn truncated_answer_keeps_what_came_before() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let mut answer = http2.send(get("/cut/100000")).await.unwrap();
        let mut check = adit_tests::pattern::Check::default();
        let failed = within("the end", async {
            loop {
                match answer.body_mut().frame().await {
                    Some(Ok(frame)) => check.take(&frame.into_data().unwrap()),
                    Some(Err(_)) => return true,
                    None => return false,
                }
            }
        });
        assert!(failed.await);
        assert_eq!(check.seen, 100_000);
        drop((answer, http2));
        world.stop().await;
    });
}

#[test]
fn upload_that_breaks_off_never_looks_complete() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let http2 = world.job.http2().await;
            let (hand, body) = body::by_hand();
            let sending = http2.send(request(Method::POST, "/sink", body));
            let breaking = async {
                hand.data(adit_tests::pattern::piece(0, 1000)).await;
                until("the API server has what there is", || {
                    world.kube.sunk() == 1000
                })
                .await;
                hand.fail().await;
            };
            let (answer, ()) = tokio::join!(sending, breaking);
            assert!(answer.is_err(), "the caller took it back: nobody answers");
            until("the API server noticed", || world.kube.open() == 0).await;
            assert_eq!(world.kube.whole_uploads(), 0);
            drop(http2);
            world.stop().await;
        }
    });
}
