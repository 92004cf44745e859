//! Upgrades that come to nothing: any answer but 101 is an ordinary answer, and what the client sends afterwards never
//! reaches the API server (CVE-2018-1002105).

use std::sync::Arc;

use adit_tests::{Io, KubeBuilder, Raw, World, kube, relay, scenario, until, within, world};
use http::StatusCode;
use parking_lot::Mutex;

use super::{SPDY, WEBSOCKET};

/// What came on a connection after its first head, and whether it is over.
type Rest = Arc<Mutex<Option<Vec<u8>>>>;

/// Answers the first request on each connection with `answer`, and remembers everything that follows.
fn refusing(answer: String, rest: &Rest) -> KubeBuilder {
    let rest = Arc::clone(rest);
    kube().raw(move |mut connection: Raw<Io>| {
        let (answer, rest) = (answer.clone(), Arc::clone(&rest));
        async move {
            if connection.head().await.is_some() {
                let _ = connection.write(answer).await;
                let (came, _) = connection.rest().await;
                *rest.lock() = Some(came);
            }
        }
    })
}

#[test]
fn bytes_after_a_refused_upgrade_never_reach_the_api_server() {
    scenario(async {
        let smuggled =
            "GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\nImpersonate-User: system:admin\r\n\r\n";
        for status in [
            "200 OK",
            "302 Found",
            "400 Bad Request",
            "403 Forbidden",
            "500 Internal Server Error",
        ] {
            let rest = Rest::default();
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: https://elsewhere.test/\r\nContent-Length: 6\r\n\r\nanswer"
            );
            let world = World::of(refusing(answer, &rest), relay()).await;
            for fields in [SPDY, WEBSOCKET] {
                *rest.lock() = None;
                let mut connection = world.job.raw().await;
                // Some of it at once, some when the answer is there.
                connection
                    .write(world.job.head("POST /exec", fields))
                    .await
                    .unwrap();
                let (code, _, body) = within("the answer", connection.answer()).await.unwrap();
                assert_eq!(
                    (code.to_string().as_str(), body.as_slice()),
                    (&status[..3], &b"answer"[..])
                );
                let _ = connection.write(smuggled).await;
                drop(connection);
                until("the API server's connection is over", || {
                    rest.lock().is_some()
                })
                .await;
                assert_eq!(rest.lock().take().unwrap(), b"", "after {status}");
            }
            assert_eq!(
                world.kube.request_count(),
                1,
                "only the agent's own question for the version came by HTTP/2"
            );
            world.stop().await;
        }
    });
}

#[test]
fn pipelined_request_after_a_refused_upgrade_is_a_request_of_its_own() {
    scenario(async {
        let rest = Rest::default();
        let world = World::of(
            refusing(
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".into(),
                &rest,
            ),
            relay(),
        )
        .await;
        let mut connection = world.job.raw().await;
        let both = world.job.head("POST /exec", SPDY) + &world.job.head("GET /api", "");
        connection.write(both).await.unwrap();
        let (status, _, _) = within("the answer", connection.answer()).await.unwrap();
        assert_eq!(status, 403);
        // Either it is answered with its own identity, or the connection ends; it is never spliced.
        if let Some((status, _, _)) = within("the next answer", connection.answer()).await {
            assert_eq!(status, 200);
            assert_eq!(
                world.kube.last().value("impersonate-user").unwrap(),
                "gitlab:ci_job:9001"
            );
        }
        drop(connection);
        until("the API server's connection is over", || {
            rest.lock().is_some()
        })
        .await;
        assert_eq!(rest.lock().take().unwrap(), b"");
        world.stop().await;
    });
}

#[test]
fn refused_upgrades_leave_nothing_behind() {
    scenario(async {
        let rest = Rest::default();
        let world = World::of(
            refusing(
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into(),
                &rest,
            ),
            relay(),
        )
        .await;
        for _ in 0..100 {
            let mut connection = world.job.raw_asking("GET /exec", WEBSOCKET).await;
            let (status, _, _) = within("the answer", connection.answer()).await.unwrap();
            assert_eq!(status, 403);
        }
        until("the agent's connections are over", || {
            world.kube.connections() <= 1
        })
        .await;
        world.stop().await;
    });
}

#[test]
fn upgrade_that_nobody_asked_for_is_refused() {
    scenario(async {
        let rest = Rest::default();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
        let world = World::of(refusing(answer.into(), &rest).http1_only(), relay()).await;
        let answer = world.job.http1().await.get("/api").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        world.stop().await;
    });
}

#[test]
fn upgrade_with_a_body_is_refused() {
    scenario(async {
        let world = world().await;
        for framing in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut connection = world
                .job
                .raw_asking("POST /upgrade", &format!("{SPDY}{framing}"))
                .await;
            let (status, _, _) = within("the answer", connection.answer()).await.unwrap();
            assert_eq!(status, 400, "{framing}");
        }
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}

#[test]
fn upgrade_to_http_2_in_the_clear_is_not_made() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.raw().await;
        let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
        connection
            .write(world.job.head("GET /api", fields))
            .await
            .unwrap();
        let head = within("an answer", connection.head()).await.unwrap();
        assert!(!head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(
            world
                .kube
                .requests()
                .iter()
                .all(|request| request.value("http2-settings").is_none())
        );
        drop(connection);
        world.stop().await;
    });
}

#[test]
fn token_as_a_subprotocol_is_refused() {
    scenario(async {
        let world = world().await;
        let mut connection = world.job.raw().await;
        let fields = WEBSOCKET.replace(
            "v5.channel.k8s.io",
            "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c3lzdGVt",
        );
        connection
            .write(world.job.head("GET /upgrade", &fields))
            .await
            .unwrap();
        let (status, _, _) = within("the answer", connection.answer()).await.unwrap();
        assert_eq!(status, 400);
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}

#[test]
fn refused_by_the_relay_the_connection_is_no_tunnel() {
    scenario(async {
        let world = world().await;
        let mut connection = world
            .job
            .anonymous()
            .raw_asking("POST /upgrade", SPDY)
            .await;
        let (status, _, _) = within("the answer", connection.answer()).await.unwrap();
        assert_eq!(status, 401);
        let _ = connection.write("\0\0\0\0 not HTTP \r\n\r\n").await;
        let (rest, _) = within("the end", connection.rest()).await;
        assert!(!rest.windows(3).any(|window| window == b"bye"));
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}
