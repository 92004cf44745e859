//! All of the Kubernetes API passes, byte for byte: whatever the HTTP version in front, and HTTP/2 or HTTP/1.1 behind.

use adit_tests::{
    GZIPPED, World, body,
    caller::{Answer, get, request},
    kube,
    pattern::Check,
    raw::field,
    relay, scenario, until, within, world,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header};
use http_body_util::BodyExt;

mod early;
mod large;

#[test]
fn target_arrives_byte_for_byte() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        let long = format!(
            "/api/v1/pods?labelSelector={}",
            "app%20in%20(a,b),".repeat(500)
        );
        let targets = [
            "/api/v1/namespaces/default/pods",
            "/api/v1//pods",
            "//api///v1/",
            "/api/v1/pods/a%2Fb",
            "/api/v1/pods/a%2fb",
            "/api/v1/pods;v=1;w/status",
            "/api/v1/pods?watch=1&x=%2F%00&y",
            "/api/v1/pods?",
            "/api/v1/pods??a=b?c=d&&&",
            "/api/v1/pods?x=a+b%20c/../d",
            "/api/v1/%E2%98%83/:@!$&'()*+,=~",
            "/",
            &long,
        ];
        for target in targets {
            assert_eq!(http1.get(target).await.echo().target(), target);
            assert_eq!(http2.get(target).await.echo().target(), target);
        }
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn every_method_and_its_body_pass() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
            for method in [
                "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
            ] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                for text in ["", r#"{"kind":"Pod"}"#] {
                    let request = || request(method.clone(), "/api/v1/pods", body::full(text));
                    for answer in [http1.answer(request()).await, http2.answer(request()).await] {
                        let echo = answer.echo();
                        assert_eq!(
                            (echo.0["method"].as_str().unwrap(), echo.body()),
                            (method.as_str(), text)
                        );
                    }
                }
            }
            drop((http1, http2));
            world.stop().await;
        }
    });
}

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
        let script = async |mut connection: adit_tests::Raw<adit_tests::Io>| {
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
fn every_status_passes() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        for status in [
            200, 201, 202, 206, 300, 301, 307, 400, 401, 403, 404, 409, 410, 415, 418, 422, 429,
            500, 501, 503, 504, 599,
        ] {
            let path = format!("/status/{status}");
            for answer in [http1.get(&path).await, http2.get(&path).await] {
                assert_eq!(answer.status.as_u16(), status);
                assert!(answer.text().starts_with(&status.to_string()));
                assert!(
                    !answer.headers.contains_key("x-request-id"),
                    "the relay answered itself"
                );
            }
        }
        drop((http1, http2));
        world.stop().await;
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

#[test]
fn chunks_and_their_trailers_arrive_from_http_1() {
    scenario(async {
        let world = world().await;
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
        let mut connection = world.job.h2().await;
        let (mut response, _) = connection.send(world.job.h2_get("/api"), true);
        let mut early = Vec::new();
        let answer = within("an answer", async {
            std::future::poll_fn(|cx| {
                while let std::task::Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                    early.push(head);
                }
                std::pin::Pin::new(&mut response).poll(cx)
            })
            .await
        });
        assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        let early: Vec<_> = early
            .iter()
            .map(|head| (head.status().as_u16(), head.headers().get("link").cloned()))
            .collect();
        assert_eq!(early, [(103, Some(HeaderValue::from_static("</a>")))]);
        // An HTTP/1.1 client gets the final answer, and nothing that it could take for it.
        let answer = world.job.http1().await.get("/api").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (StatusCode::OK, "ok")
        );
        drop(connection);
        world.stop().await;
    });
}

#[test]
fn two_versions_of_http_answer_alike() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        for path in [
            "/api/v1/x",
            "/status/404",
            "/gzip",
            "/sized/70000",
            "/big/70000",
        ] {
            let (old, new) = (http1.get(path).await, http2.get(path).await);
            assert_eq!(
                (old.version, new.version),
                (Version::HTTP_11, Version::HTTP_2)
            );
            let fields = |answer: &Answer| -> HeaderMap {
                let mut headers = answer.headers.clone();
                for name in ["date", "transfer-encoding"] {
                    headers.remove(name);
                }
                headers
            };
            assert_eq!(
                (old.status, fields(&old)),
                (new.status, fields(&new)),
                "{path}"
            );
            if !path.starts_with("/api") {
                assert_eq!(old.body, new.body);
            }
        }
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn redirect_is_passed_on_and_never_followed() {
    scenario(async {
        let world = world().await;
        let answer = world.job.get("/redirect").await;
        assert_eq!(
            (answer.status, &answer.headers[header::LOCATION]),
            (
                StatusCode::FOUND,
                &HeaderValue::from_static("https://127.0.0.1:1/elsewhere")
            )
        );
        let asked: Vec<_> = world
            .kube
            .requests()
            .into_iter()
            .map(|request| request.target)
            .collect();
        assert_eq!(asked, ["/version", "/redirect"]);
        world.stop().await;
    });
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
                let frame = within("an event", watch.body_mut().frame())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(frame.into_data().unwrap(), format!("event {at}\n"));
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
                let frame = within("a word", answer.body_mut().frame())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(frame.into_data().unwrap(), word);
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
        let mut connection = world.job.raw().await;
        connection
            .write(world.job.head(
                "POST /early",
                "Content-Length: 5\r\nExpect: 100-continue\r\n",
            ))
            .await
            .unwrap();
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
