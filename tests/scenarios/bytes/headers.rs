//! Header fields, trailers and informational heads: in order, unchanged, and those of one hop on that hop only.

use adit_tests::{
    GZIPPED, Raw, World, body,
    caller::{get, request},
    kube, relay, scenario, within, world,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};

#[test]
fn repeated_headers_keep_their_order() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.raw().await;
        let fields = "X-Many: one\r\nAccept: a/b\r\nX-MANY: two, three\r\nAccept: c/d;q=0.5\r\nx-many:\r\nX-Odd: !~ é\r\nCookie: a=1\r\nCookie: b=2\r\n";
        connection
            .write(world.job.head("GET /api", fields))
            .await
            .unwrap();
        let (status, _, _) = within("an answer", connection.answer()).await.unwrap();
        assert_eq!(status, 200);
        let came = world.kube.last();
        assert_eq!(came.values("x-many"), ["one", "two, three", ""]);
        assert_eq!(came.values("accept"), ["a/b", "c/d;q=0.5"]);
        assert_eq!(came.values("x-odd"), ["!~ é"]);
        // HTTP/2 may cut cookies up and join them again: RFC 9113 section 8.2.3.
        assert_eq!(came.values("cookie").join("; "), "a=1; b=2");
        drop(connection);
        world.stop().await;
    });
}

#[test]
fn headers_of_an_answer_pass_and_those_of_one_hop_do_not() {
    scenario(async {
        let script = async |mut connection: Raw<adit_tests::Io>| {
            while connection.head().await.is_some() {
                let answer = "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nWarning: 299 - \"a\"\r\nwarning: 299 - \"b\"\r\n\
                    Audit-Id: 7\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive, x-hop\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nok";
                if connection.write(answer).await.is_err() {
                    return;
                }
            }
        };
        let world = World::of(kube().http1_only().raw(script), relay()).await;
        for answer in [
            world.job.http1().await.get("/api").await,
            world.job.get("/api").await,
        ] {
            let all = |name| answer.headers.get_all(name).iter().collect::<Vec<_>>();
            assert_eq!(all("warning"), ["299 - \"a\"", "299 - \"b\""]);
            assert_eq!(all("set-cookie"), ["a", "b"]);
            assert_eq!(
                (
                    all("audit-id").len(),
                    all("x-hop").len(),
                    all("keep-alive").len()
                ),
                (1, 0, 0)
            );
            assert_eq!(answer.text(), "ok");
        }
        world.stop().await;
    });
}

#[test]
fn encoded_bytes_are_not_touched() {
    scenario(async {
        let world = world().await;
        let answer = world.job.get("/gzip").await;
        assert_eq!(
            (
                &answer.headers[header::CONTENT_ENCODING],
                &answer.headers[header::ETAG]
            ),
            (
                &HeaderValue::from_static("gzip"),
                &HeaderValue::from_static("\"strong\"")
            )
        );
        assert_eq!(answer.body, GZIPPED);

        let mut upload = request(Method::POST, "/api", body::full(GZIPPED));
        upload
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        upload.headers_mut().insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("gzip;q=1, br"),
        );
        let echo = world.job.http2().await.answer(upload).await.echo();
        assert_eq!(
            (
                echo.values("content-encoding"),
                echo.values("accept-encoding")
            ),
            (vec!["gzip"], vec!["gzip;q=1, br"])
        );
        assert_eq!(echo.0["bytes"], GZIPPED.len());

        // Nobody on the way asks for an encoding of its own.
        assert!(
            world
                .job
                .get("/api")
                .await
                .echo()
                .values("accept-encoding")
                .is_empty()
        );
        world.stop().await;
    });
}

#[test]
fn trailers_pass_both_ways() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let mut get = get("/trailers");
            get.headers_mut()
                .insert(header::TE, HeaderValue::from_static("trailers"));
            let http2 = world.job.http2().await;
            let answer = http2.answer(get).await;
            let trailers = answer.trailers.unwrap_or_default();
            assert_eq!(answer.body, "body");
            // An HTTP/1.1 server sends them to those only who said that they take them, and that is said hop by hop.
            if world.kube.last().version == Version::HTTP_2 {
                assert_eq!(trailers["x-checksum"], "0123");
                assert_eq!(
                    trailers.get_all("x-more").iter().collect::<Vec<_>>(),
                    ["a", "b"]
                );
            }

            let (hand, body) = body::by_hand();
            let mut upload = request(Method::POST, "/api", body);
            upload
                .headers_mut()
                .insert(header::TRAILER, HeaderValue::from_static("x-sum"));
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("42"));
            hand.data("body").await;
            hand.trailers(trailers).await;
            let echo = http2.answer(upload).await.echo();
            assert_eq!((echo.body(), echo.trailer("x-sum")), ("body", vec!["42"]));
            drop(http2);
            world.stop().await;
        }
    });
}

/// What a caller over HTTP/1.1 gets of `/trailers` behind the head, as it is on the wire.
async fn trailing(world: &World, fields: &str) -> String {
    let fields = format!("{fields}Connection: close, TE\r\n");
    let mut connection = world.job.raw_asking("GET /trailers", &fields).await;
    let head = within("a head", connection.head()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (rest, end) = within("the rest", connection.rest()).await;
    end.unwrap();
    String::from_utf8(rest).unwrap()
}

#[test]
fn trailers_of_an_answer_pass_from_http_1_and_to_it() {
    scenario(async {
        let script = async |mut connection: Raw<adit_tests::Io>| {
            while connection.head().await.is_some() {
                let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum, x-more\r\n\r\n\
                    4\r\nbody\r\n0\r\nx-checksum: 0123\r\nx-more: a\r\nx-more: b\r\n\r\n";
                if connection.write(answer).await.is_err() {
                    return;
                }
            }
        };
        for kube in [kube(), kube().http1_only().raw(script)] {
            let world = World::of(kube, relay()).await;
            let answer = world.job.get("/trailers").await;
            let trailers = answer.trailers.clone().unwrap_or_default();
            let more: Vec<_> = trailers.get_all("x-more").iter().collect();
            assert_eq!(more, ["a", "b"]);
            assert_eq!(answer.text(), "body");
            assert_eq!(trailers["x-checksum"], "0123");

            let asked = trailing(&world, "TE: trailers\r\n").await;
            let (body, trailers) = asked.split_once("\r\n0\r\n").unwrap();
            assert_eq!(body, "4\r\nbody");
            let mut lines: Vec<_> = trailers.trim_end().split("\r\n").collect();
            lines.sort_unstable();
            assert_eq!(lines, ["x-checksum: 0123", "x-more: a", "x-more: b"]);
            // Who did not say that it takes them might read them as another answer.
            assert_eq!(trailing(&world, "").await, "4\r\nbody\r\n0\r\n\r\n");
            world.stop().await;
        }
    });
}

#[test]
fn chunks_and_their_trailers_arrive_from_http_1() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let mut connection = world.job.raw().await;
            let head = world.job.head(
                "POST /api",
                "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n",
            );
            connection.write(head).await.unwrap();
            connection
                .write("5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n")
                .await
                .unwrap();
            let (status, _, body) = within("an answer", connection.answer()).await.unwrap();
            let echo: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (status, &echo["body"], &echo["trailers"][0][1]),
                (200, &"hello world".into(), &"7".into())
            );
            drop(connection);
            world.stop().await;
        }
    });
}

#[test]
fn informational_answers_pass_to_http_2() {
    scenario(async {
        let script = async |mut connection: h2::server::Connection<adit_tests::Io, Bytes>| {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let hints = Response::builder()
                    .status(103)
                    .header("link", "</a>")
                    .body(())
                    .unwrap();
                respond.send_informational(hints).unwrap();
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                body.send_data("ok".into(), true).unwrap();
            }
        };
        let world = World::of(kube().http2_by_hand(script), relay()).await;
        assert_eq!(early_heads(&world).await, [(103, "</a>".to_owned())]);
        // An HTTP/1.1 client gets the final answer, and nothing that it could take for it.
        let answer = world.job.http1().await.get("/api").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (StatusCode::OK, "ok")
        );
        world.stop().await;
    });
}

#[test]
fn informational_answers_of_an_api_server_without_http_2_pass_too() {
    scenario(async {
        let script = async |mut connection: Raw<adit_tests::Io>| {
            while connection.head().await.is_some() {
                let heads = "HTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                    HTTP/1.1 103 Early Hints\r\nlink: </b>\r\n\r\n\
                    HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                connection.write(heads).await.unwrap();
            }
        };
        let world = World::of(kube().http1_only().raw(script), relay()).await;
        // Nobody asked to be told to go on.
        let expected = [(103, "</a>".to_owned()), (103, "</b>".to_owned())];
        assert_eq!(early_heads(&world).await, expected);
        world.stop().await;
    });
}

/// The informational heads before an answer: status and `link`.
async fn early_heads(world: &World) -> Vec<(u16, String)> {
    let mut connection = world.job.h2().await;
    let (mut response, _) = connection.send(world.job.h2_get("/api"), true);
    let mut early = Vec::new();
    let answer = within("an answer", async {
        std::future::poll_fn(|cx| {
            while let std::task::Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                let link = head.headers()["link"].to_str().unwrap().to_owned();
                early.push((head.status().as_u16(), link));
            }
            std::pin::Pin::new(&mut response).poll(cx)
        })
        .await
    });
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    early
}

#[test]
fn host_of_a_request_chooses_nothing() {
    scenario(async {
        let world = world().await;
        let credential = world.job.authorization.clone().unwrap();
        let mut connection = world.job.raw().await;
        for (line, host) in [
            ("/k8s-proxy/api", "169.254.169.254"),
            ("http://elsewhere.test:81/k8s-proxy/api", "localhost"),
        ] {
            connection
                .write(format!(
                    "GET {line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {credential}\r\n\r\n"
                ))
                .await
                .unwrap();
            let (status, _, _) = within("an answer", connection.answer()).await.unwrap();
            assert_eq!(status, 200);
            let came = world.kube.last();
            assert_eq!(came.target, "/api");
            assert!(
                !came
                    .values("host")
                    .iter()
                    .any(|host| host.contains("169.254") || host.contains("elsewhere"))
            );
        }
        drop(connection);
        world.stop().await;
    });
}
