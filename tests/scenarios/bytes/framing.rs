//! Where a body begins and ends, over every version of HTTP, and that its pieces come as they are sent.

use adit_tests::{
    World, body,
    caller::{get, next_piece, request},
    kube,
    pattern::Check,
    raw::field,
    relay, scenario, until, within, world,
};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;

#[test]
fn answers_without_a_body_have_none() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
            for (path, status) in [("/status/204", 204), ("/status/304", 304)] {
                for answer in [http1.get(path).await, http2.get(path).await] {
                    assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
                    assert_eq!(answer.headers.contains_key(header::ETAG), status == 304);
                }
            }
            // Each answer must end where it ends, or the next one on the connection is read from the middle of this one.
            let head = || request(Method::HEAD, "/sized/1000000", body::empty());
            for answer in [http1.answer(head()).await, http2.answer(head()).await] {
                assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
                assert_eq!(answer.headers[header::CONTENT_LENGTH], "1000000");
            }
            assert_eq!(http1.get("/api").await.echo().target(), "/api");
            drop((http1, http2));
            world.stop().await;
        }
    });
}

#[test]
fn http_1_0_gets_an_answer_that_ends_with_the_connection() {
    scenario(async {
        let world = world().await;
        let credential = world.job.authorization.clone().unwrap();
        for path in ["/api", "/big/100000", "/sized/100000"] {
            let mut connection = world.job.raw().await;
            let head =
                format!("GET /k8s-proxy{path} HTTP/1.0\r\nAuthorization: {credential}\r\n\r\n");
            connection.write(head).await.unwrap();
            let head = within("a head", connection.head()).await.unwrap();
            assert!(
                head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"),
                "{head}"
            );
            assert_eq!(
                field(&head, "transfer-encoding"),
                None,
                "HTTP/1.0 knows no chunks"
            );
            let (rest, end) = within("the end", connection.rest()).await;
            end.unwrap();
            if path != "/api" {
                let mut check = Check::default();
                check.take(&rest);
                assert_eq!(check.seen, 100_000);
            }
        }
        world.stop().await;
    });
}

#[test]
fn requests_on_one_connection_follow_each_other() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.raw().await;
        // All at once: RFC 9112 section 9.3.2.
        let all: String = (0..20)
            .map(|at| world.job.head(&format!("GET /api/{at}"), ""))
            .collect();
        connection.write(all).await.unwrap();
        for at in 0..20 {
            let (status, _, body) = within("an answer", connection.answer()).await.unwrap();
            let echo: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (status, echo["target"].as_str().unwrap()),
                (200, format!("/api/{at}").as_str())
            );
        }
        drop(connection);
        world.stop().await;
    });
}

#[test]
fn small_pieces_are_not_held_back() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        let mut watches = [
            http1.send(get("/watch")).await.unwrap(),
            http2.send(get("/api/v1/watch")).await.unwrap(),
        ];
        for at in 0..50 {
            world.kube.event(&format!("event {at}"));
            for watch in &mut watches {
                assert_eq!(next_piece(watch).await, format!("event {at}\n"));
            }
        }
        drop((watches, http1, http2));
        until("the watches have ended", || world.kube.watchers() == 0).await;
        world.stop().await;
    });
}

#[test]
fn body_goes_both_ways_at_once() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let http2 = world.job.http2().await;
            let (hand, body) = body::by_hand();
            hand.data("first").await;
            let mut answer = within("a head", http2.send(request(Method::POST, "/duplex", body)))
                .await
                .unwrap();
            for word in ["first", "second", "third"] {
                if word != "first" {
                    hand.data(word).await;
                }
                assert_eq!(next_piece(&mut answer).await, word);
            }
            drop(hand);
            let end = within("the end", answer.body_mut().collect())
                .await
                .unwrap();
            assert!(end.to_bytes().is_empty());
            drop((answer, http2));
            world.stop().await;
        }
    });
}

#[test]
fn expect_is_answered_before_the_body_is_sent() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let mut connection = world.job.raw().await;
            connection
                .write(
                    world
                        .job
                        .head("POST /api", "Content-Length: 5\r\nExpect: 100-continue\r\n"),
                )
                .await
                .unwrap();
            let head = within("100 Continue", connection.head()).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
            connection.write("hello").await.unwrap();
            let (status, _, body) = within("an answer", connection.answer()).await.unwrap();
            assert_eq!(status, 200);
            assert_eq!(
                serde_json::from_slice::<serde_json::Value>(&body).unwrap()["body"],
                "hello"
            );
            drop(connection);
            world.stop().await;
        }
    });
}

#[test]
fn expect_that_is_refused_leaves_no_body_on_the_connection() {
    scenario(async {
        let world = world().await;
        let mut connection = world
            .job
            .raw_asking(
                "POST /early",
                "Content-Length: 5\r\nExpect: 100-continue\r\n",
            )
            .await;
        let (status, head, _) = within("an answer", connection.answer()).await.unwrap();
        assert_eq!(status, 413, "{head}");
        // Whatever the client sends now is no request: CVE-2024-24791.
        let _ = connection
            .write("GET /k8s-proxy/smuggled HTTP/1.1\r\n\r\n")
            .await;
        let (rest, _) = within("the end", connection.rest()).await;
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
        assert!(
            world
                .kube
                .requests()
                .iter()
                .all(|request| !request.target.contains("smuggled"))
        );
        world.stop().await;
    });
}
