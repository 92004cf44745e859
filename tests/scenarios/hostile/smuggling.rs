//! Heads that frame a body in two ways, or in a way that only some programs accept. Whatever becomes of them, no second
//! request ever comes out of one body, and none reaches the API server but as itself.

use adit_tests::{scenario, within, world};

use super::Bystander;

/// Header lines and what follows the head; each is refused, or at most read in one way.
const CORPUS: [(&str, &str); 30] = [
    (
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "0\r\n\r\nG",
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "0\r\n\r\nG",
    ),
    ("Content-Length: 3\r\nContent-Length: 5", "12345"),
    ("Content-Length: 3, 5", "12345"),
    ("Content-Length: +3", "123"),
    ("Content-Length: -1", "123"),
    ("Content-Length: 0x3", "123"),
    ("Content-Length: 3 3", "123"),
    ("Content-Length: 99999999999999999999", "123"),
    ("Content-Length : 3", "123"),
    ("Content-Length:\r\n 3", "123"),
    ("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
    ("Transfer-Encoding: identity, chunked", "0\r\n\r\n"),
    ("Transfer-Encoding: identity", "0\r\n\r\n"),
    ("Transfer-Encoding: gzip", "0\r\n\r\n"),
    ("Transfer-Encoding: xchunked", "0\r\n\r\n"),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "0\r\n\r\n",
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "0\r\n\r\n",
    ),
    ("Transfer-Encoding : chunked", "0\r\n\r\n"),
    ("Transfer-Encoding:\u{b}chunked", "0\r\n\r\n"),
    (" Transfer-Encoding: chunked", "0\r\n\r\n"),
    ("X: 1\r\n Transfer-Encoding: chunked", "0\r\n\r\n"),
    ("X: 1\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    ("X: a\rTransfer-Encoding: chunked", "0\r\n\r\n"),
    ("X\0: a", ""),
    ("X: a\0b", ""),
    ("X Y: a", ""),
    (": a", ""),
    ("no colon", ""),
    ("Transfer-Encoding: chunked", "ffffffffffffffff1\r\n"),
];

const SMUGGLED: &str = "GET /k8s-proxy/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

#[test]
fn no_request_hides_in_another() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        for (fields, body) in CORPUS {
            let mut connection = world.job.raw().await;
            let head = world.job.head("POST /api/front", &format!("{fields}\r\n"));
            let _ = connection.write(format!("{head}{body}{SMUGGLED}")).await;
            let _ = connection.shut().await;
            let (answers, _) = within("the end", connection.rest()).await;
            let answers = String::from_utf8_lossy(&answers).into_owned();
            // The hidden one has no credential: when it is read as a request of its own it is answered 401, openly.
            assert!(!answers.contains("/smuggled"), "{fields:?}: {answers}");
            let came = world.kube.requests();
            assert!(
                came.iter()
                    .all(|request| !request.target.contains("smuggled")),
                "{fields:?}"
            );
        }
        // What did pass was framed in one way.
        for request in world.kube.requests() {
            assert!(request.value("transfer-encoding").is_none(), "{request:?}");
        }
        bystander.is_unharmed().await;
        drop(bystander);
        world.stop().await;
    });
}

#[test]
fn refused_framing_is_answered_400_and_the_connection_ends() {
    scenario(async {
        let world = world().await;
        for fields in [
            "Content-Length: 3\r\nContent-Length: 5",
            "Content-Length: +3",
            "Content-Length : 3",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding : chunked",
            "X\0: a",
        ] {
            let mut connection = world.job.raw().await;
            connection
                .write(world.job.head("POST /api", &format!("{fields}\r\n")) + SMUGGLED)
                .await
                .unwrap();
            let (answers, _) = within("the end", connection.rest()).await;
            let answers = String::from_utf8_lossy(&answers).into_owned();
            assert!(
                answers.starts_with("HTTP/1.1 400") && answers.matches("HTTP/1.1 ").count() == 1,
                "{fields:?}: {answers}"
            );
        }
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}

#[test]
fn http_1_0_with_chunks_is_refused() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.raw().await;
        let head = world
            .job
            .head("POST /api", "Transfer-Encoding: chunked\r\n")
            .replace("HTTP/1.1", "HTTP/1.0");
        connection
            .write(format!("{head}0\r\n\r\n{SMUGGLED}"))
            .await
            .unwrap();
        let (answers, _) = within("the end", connection.rest()).await;
        assert!(
            !String::from_utf8_lossy(&answers).contains(" 200 "),
            "{}",
            String::from_utf8_lossy(&answers)
        );
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}

#[test]
fn targets_with_other_bytes_are_refused() {
    scenario(async {
        let world = world().await;
        for path in [
            "/api\t/x",
            "/api /x",
            "/api\u{7f}",
            "/api/\0",
            "/api#fragment",
            "/api\\..\\x",
            "/..%2f",
            "/%2e%2e%2f",
            "/%2E./x",
            "/a/%2e",
        ] {
            let mut connection = world.job.raw_asking(&format!("GET {path}"), "").await;
            if let Some((status, _, _)) = within("an answer or the end", connection.answer()).await
                && status == 200
            {
                // A fragment is no part of a target: RFC 9112 section 3.2.1.
                assert_eq!(
                    (path, world.kube.last().target.as_str()),
                    ("/api#fragment", "/api")
                );
            }
        }
        world.stop().await;
    });
}

#[test]
fn http_2_fields_that_belong_to_http_1_are_refused() {
    scenario(async {
        let world = world().await;
        for (name, value) in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "SPDY/3.1"),
            ("keep-alive", "x"),
            ("te", "gzip"),
            ("proxy-connection", "x"),
        ] {
            let mut connection = world.job.h2().await;
            let mut head = world.job.h2_get("/api");
            head.headers_mut().insert(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            );
            let Ok((answer, _)) = connection.sender.send_request(head, true) else {
                // The client's library would not send it.
                continue;
            };
            if let Ok(answer) = within("an answer or the end", answer).await {
                let came = world.kube.last();
                assert!(
                    answer.status() != 200 || came.value(name).is_none(),
                    "{name}: {came:?}"
                );
            }
        }
        world.stop().await;
    });
}

#[test]
fn authority_of_http_2_chooses_nothing() {
    scenario(async {
        let world = world().await;
        for authority in ["169.254.169.254", "elsewhere.test:81", "127.0.0.1:1"] {
            let mut connection = world.job.h2().await;
            let mut head = world.job.h2_get("/api");
            *head.uri_mut() = format!("https://{authority}/k8s-proxy/api")
                .parse()
                .unwrap();
            head.headers_mut()
                .insert("host", http::HeaderValue::from_static("elsewhere.test"));
            let (answer, _) = connection.send(head, true);
            assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
            let came = world.kube.last();
            assert_eq!(came.target, "/api");
            for host in came.values("host") {
                assert!(!host.contains("elsewhere") && host != authority, "{host}");
            }
        }
        world.stop().await;
    });
}
