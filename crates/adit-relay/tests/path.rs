//! A relay on a real socket, clients that write their own bytes, and an agent made of `adit-tunnel` and `adit-exchange`.
//!
//! What kubectl and a real API server make of it is tested in the package `tests`; here are the front door's own rules.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use http::{Request, StatusCode};
use support::{Answer, Setup, http1, http1_then, http2, http2_then};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

#[path = "path/stalled.rs"]
mod stalled;
#[path = "path/support.rs"]
mod support;

const SOON: Duration = Duration::from_secs(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("done in time")
}

#[tokio::test]
async fn get_goes_to_the_agent_and_back_over_both_protocols() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let get = |target: &str| setup.get(target);
        for answer in [
            http1(&setup.address, get("/k8s-proxy/api/v1/pods?x=%2F")).await,
            http2(&setup.address, get("/k8s-proxy/api/v1/pods?x=%2F")).await,
        ] {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                answer.text(),
                "GET /api/v1/pods?x=%2F as gitlab:ci_job:9001: "
            );
        }
        setup.relay.drain(Duration::from_secs(1)).await;
    })
    .await;
}

#[tokio::test]
async fn body_and_trailers_cross_whole() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let body = vec![b'x'; 3 << 20];
        let request = setup.request("POST", "/k8s-proxy/upload", body.clone());
        let answer = http2(&setup.address, request).await;
        assert!(answer.text().ends_with(std::str::from_utf8(&body).unwrap()));
        assert_eq!(answer.trailers.get("x-sum").unwrap(), "3145728");
        let request = setup.request("POST", "/k8s-proxy/upload", body.clone());
        let answer = http1(&setup.address, request).await;
        assert!(answer.text().ends_with(std::str::from_utf8(&body).unwrap()));
    })
    .await;
}

#[tokio::test]
async fn refusals_are_statuses_that_kubectl_prints() {
    within(async {
        let setup = Setup::new().await;
        let cases: [(Request<Vec<u8>>, u16, &str); 8] = [
            (setup.get("/api"), 404, "unknown_path"),
            (setup.get("/k8s-proxy/../x"), 400, "bad_path"),
            (
                setup.get_with("/k8s-proxy/api", None),
                401,
                "credential_missing",
            ),
            (
                setup.get_with("/k8s-proxy/api", Some("Bearer ci:7:nonsense")),
                401,
                "token_malformed",
            ),
            (setup.get_as("/k8s-proxy/api", 8), 403, "not_permitted"),
            (
                setup.get_as("/k8s-proxy/agents/8/api", 7),
                400,
                "agents_differ",
            ),
            (
                setup.get_with("/k8s-proxy/api", Some(&setup.bare())),
                400,
                "no_agent_named",
            ),
            (
                setup.get_with("/k8s-proxy/agents/7/api", Some(&setup.bare())),
                503,
                "agent_never_connected",
            ),
        ];
        for (request, status, reason) in cases {
            for answer in [
                http1(&setup.address, request.clone()).await,
                http2(&setup.address, request.clone()).await,
            ] {
                assert_eq!(
                    (answer.status.as_u16(), answer.reason().as_str()),
                    (status, reason),
                    "{answer:?}"
                );
                assert_eq!(answer.json()["kind"], "Status");
                assert!(answer.headers.contains_key("x-request-id"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_agent_and_forbidden_agent_look_the_same() {
    within(async {
        let setup = Setup::new().await;
        let forbidden = http1(&setup.address, setup.get_as("/k8s-proxy/api", 8)).await;
        let unknown = http1(&setup.address, setup.get_as("/k8s-proxy/api", 12)).await;
        let said = |answer: &Answer, id: &str| {
            let message = answer.json()["message"]
                .as_str()
                .unwrap()
                .replace(&format!("id {id}:"), "id N:");
            message.split(" (client").next().unwrap().to_owned()
        };
        assert_eq!(said(&forbidden, "8"), said(&unknown, "12"));
    })
    .await;
}

#[tokio::test]
async fn contexts_lists_what_the_token_may_reach() {
    within(async {
        let setup = Setup::new().await;
        let answer = http2(
            &setup.address,
            setup.get_with("/adit/v1/agents", Some(&setup.bare())),
        )
        .await;
        let expected = r#"{"agents":[{"id":7,"context":"group/app:demo"}]}"#;
        assert_eq!(answer.text(), expected);
    })
    .await;
}

#[tokio::test]
async fn client_that_leaves_cancels_the_call() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        for protocol in ["http1", "http2"] {
            let watching = async {
                let request = setup.get("/k8s-proxy/watch");
                if protocol == "http1" {
                    http1(&setup.address, request).await
                } else {
                    http2(&setup.address, request).await
                }
            };
            tokio::select! {
                biased;
                answer = watching => panic!("a watch does not end: {answer:?}"),
                () = agent.begun() => {}
            }
            agent.cancelled().await;
        }
    })
    .await;
}

#[tokio::test]
async fn truncated_answer_looks_truncated() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let broken = || setup.get("/k8s-proxy/broken");
        for answer in [
            http1_then(&setup.address, broken(), || agent.release()).await,
            http2_then(&setup.address, broken(), || agent.release()).await,
        ] {
            assert!(answer.status == 200 && answer.is_cut, "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn head_no_content_and_not_modified_have_no_body() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        for (method, path) in [
            ("HEAD", "/k8s-proxy/api"),
            ("GET", "/k8s-proxy/status/204"),
            ("GET", "/k8s-proxy/status/304"),
            ("HEAD", "/nowhere"),
        ] {
            for answer in [
                http1(&setup.address, setup.request(method, path, Vec::new())).await,
                http2(&setup.address, setup.request(method, path, Vec::new())).await,
            ] {
                assert!(
                    !answer.is_cut && answer.body.is_empty(),
                    "{method} {path}: {answer:?}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn upgrade_is_two_byte_streams_with_half_close() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let mut socket = setup
            .raw_request(
                "GET",
                "/k8s-proxy/exec",
                "connection: upgrade\r\nupgrade: SPDY/3.1\r\n",
            )
            .await;
        let head = support::head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("upgrade: spdy/3.1") && head.contains("connection: upgrade"),
            "{head}"
        );
        assert!(head.contains("x-stream-protocol-version: v4"), "{head}");
        socket.write_all(b"ping").await.unwrap();
        let mut echo = [0; 4];
        socket.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"ping");
        socket.write_all(b"last words").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "last words, and bye");
    })
    .await;
}

#[tokio::test]
async fn upgrade_that_is_answered_otherwise_is_an_ordinary_answer() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
        let mut socket = setup
            .raw_request("GET", "/k8s-proxy/status/403", upgrade)
            .await;
        assert!(
            support::head(&mut socket)
                .await
                .starts_with("HTTP/1.1 403 ")
        );
        socket
            .write_all(
                setup
                    .raw("GET", "/k8s-proxy/again", "connection: close\r\n")
                    .as_bytes(),
            )
            .await
            .unwrap();
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        assert!(
            rest.contains("HTTP/1.1 200 ") && rest.contains("GET /again"),
            "{rest}"
        );
    })
    .await;
}

#[tokio::test]
async fn agent_with_a_wrong_token_is_refused() {
    within(async {
        let setup = Setup::new().await;
        let error = setup
            .agent_with_token("adit-agent-wrong")
            .await
            .expect_err("no tunnel");
        assert!(error.to_string().contains("gRPC status 16"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn offline_agent_is_told_with_since_when() {
    within(async {
        let setup = Setup::with("route: {wait: 0s, reconnecting: 0s}").await;
        let agent = setup.agent().await;
        agent.stop().await;
        let answer = loop {
            let answer = http1(&setup.address, setup.get("/k8s-proxy/api")).await;
            if answer.reason() == "agent_offline" {
                break answer;
            }
        };
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("agent group/app:demo has been offline since 20"),
            "{message}"
        );
        assert!(!answer.headers.contains_key("retry-after"));
    })
    .await;
}

#[tokio::test]
async fn drain_lets_an_exchange_finish() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let address = setup.address.clone();
        let slow = http2(&address, setup.get("/k8s-proxy/slow"));
        let drained = async {
            agent.begun().await;
            setup.relay.drain(Duration::from_secs(10)).await;
        };
        let release = async {
            agent.told_to_drain().await;
            agent.release();
        };
        let ((), (), answer) = tokio::join!(drained, release, slow);
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("GET /slow"));
    })
    .await;
}

#[tokio::test]
async fn smuggled_and_oversized_heads_are_refused_and_harm_nobody() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let bomb = format!("x-bomb: {}\r\n", "x".repeat(100 << 10));
        let many = "x-many: 1\r\n".repeat(300);
        for head in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: +5\r\n",
            "transfer-encoding: chunked, identity\r\n",
            "transfer-encoding: xchunked\r\n",
            " folded: yes\r\n",
            "bad name: yes\r\n",
            &bomb,
            &many,
        ] {
            let mut socket = setup.raw_request("POST", "/k8s-proxy/api", head).await;
            let mut answer = String::new();
            let _ = socket.read_to_string(&mut answer).await;
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
                "{head:.40}: {answer}"
            );
            assert_eq!(
                http1(&setup.address, setup.get("/k8s-proxy/api"))
                    .await
                    .status,
                200
            );
        }
    })
    .await;
}

#[tokio::test]
async fn limits_on_heads_are_for_requests_alone() {
    within(async {
        let setup = Setup::with("limits: {head_size: 8KiB, head_fields: 16}").await;
        let _agent = setup.agent().await;
        for answer in [
            http1(&setup.address, setup.get("/k8s-proxy/fields")).await,
            http2(&setup.address, setup.get("/k8s-proxy/fields")).await,
        ] {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.headers.len() >= 60);
        }
        let mut request = setup.get("/k8s-proxy/api");
        for at in 0..20 {
            let name: http::HeaderName = format!("x-{at}").parse().unwrap();
            request.headers_mut().insert(name, 1.into());
        }
        let answer = http2(&setup.address, request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (431, "head_too_large")
        );
    })
    .await;
}

#[tokio::test]
async fn watch_is_cut_when_its_token_expires() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let token = setup.token_for(Duration::from_secs(1));
        let request = setup.get_with("/k8s-proxy/watch", Some(&format!("Bearer ci:7:{token}")));
        let answer = http2(&setup.address, request.clone()).await;
        assert!(answer.status == 200 && answer.is_cut, "{answer:?}");
        assert_eq!(
            http1(&setup.address, request).await.reason(),
            "token_expired"
        );
    })
    .await;
}

#[tokio::test]
async fn job_at_its_limit_is_told_to_wait() {
    within(async {
        let setup = Setup::with("limits: {streams_per_job: 1}").await;
        let agent = setup.agent().await;
        let token = setup.token();
        let get = |path| setup.get_with(path, Some(&format!("Bearer ci:7:{token}")));
        tokio::select! {
            biased;
            answer = http2(&setup.address, get("/k8s-proxy/watch")) => panic!("a watch does not end: {answer:?}"),
            () = async {
                agent.begun().await;
                let answer = http1(&setup.address, get("/k8s-proxy/api")).await;
                assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (429, "job_streams"));
                assert_eq!(answer.headers["retry-after"], "1");
            } => {}
        }
        agent.cancelled().await;
        // The place is free again once the watch is gone.
        while http1(&setup.address, get("/k8s-proxy/api")).await.status != 200 {}
    })
    .await;
}

#[tokio::test]
async fn request_that_waits_for_its_agent_counts_for_its_job() {
    within(async {
        let setup = Setup::with("route: {wait: 15s}\nlimits: {streams_per_job: 1}").await;
        setup.agent().await.stop().await;
        let token = setup.token();
        let get = |path| setup.get_with(path, Some(&format!("Bearer ci:7:{token}")));
        let waiting = http2(&setup.address, get("/k8s-proxy/api"));
        let others = async {
            while http1(&setup.address, get("/adit/v1/agents")).await.reason() != "job_streams" {}
            setup.agent().await
        };
        let (answer, _agent) = tokio::join!(waiting, others);
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn list_of_agents_counts_for_its_job() {
    within(async {
        let setup = Setup::with("limits: {opens_per_second: 1}").await;
        let bare = setup.bare();
        let list = || setup.get_with("/adit/v1/agents", Some(&bare));
        while http1(&setup.address, list()).await.reason() != "job_rate" {}
    })
    .await;
}

#[tokio::test]
async fn client_is_told_to_continue_when_the_agent_wants_the_body() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let fields = "expect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n";
        let mut socket = setup.raw_request("POST", "/k8s-proxy/api", fields).await;
        assert!(
            support::head(&mut socket)
                .await
                .starts_with("HTTP/1.1 100 ")
        );
        socket.write_all(b"hello").await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.contains("POST /api as gitlab:ci_job:9001: hello"),
            "{answer}"
        );
    })
    .await;
}

#[tokio::test]
async fn request_that_one_replica_refuses_goes_to_another() {
    within(async {
        let setup = Setup::new().await;
        let _one = setup.agent().await;
        let other = setup.agent().await;
        other.refuse_everything();
        for _ in 0..8 {
            let answer = http2(&setup.address, setup.get("/k8s-proxy/api")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn request_that_only_reads_outlives_its_replica() {
    within(async {
        let setup = Setup::new().await;
        let dying = setup.agent().await;
        let slow = http1(&setup.address, setup.get("/k8s-proxy/slow"));
        let death = async {
            dying.begun().await;
            let other = setup.agent().await;
            other.release();
            dying.stop().await;
            other
        };
        let (answer, _other) = tokio::join!(slow, death);
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn request_that_writes_is_never_sent_twice() {
    within(async {
        let setup = Setup::new().await;
        let dying = setup.agent().await;
        let slow = http1(
            &setup.address,
            setup.request("POST", "/k8s-proxy/slow", b"once".to_vec()),
        );
        let death = async {
            dying.begun().await;
            let other = setup.agent().await;
            other.release();
            dying.stop().await;
            other
        };
        let (answer, _other) = tokio::join!(slow, death);
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str()),
            (502, "agent_lost")
        );
    })
    .await;
}

#[tokio::test]
async fn upgrade_is_never_sent_twice() {
    within(async {
        let setup = Setup::new().await;
        let dying = setup.agent().await;
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
        let mut socket = setup.raw_request("GET", "/k8s-proxy/slow", upgrade).await;
        dying.begun().await;
        let other = setup.agent().await;
        other.release();
        dying.stop().await;
        assert!(
            support::head(&mut socket)
                .await
                .starts_with("HTTP/1.1 502 ")
        );
    })
    .await;
}

#[tokio::test]
async fn impersonation_by_the_caller_is_refused() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        for (name, value) in [
            ("impersonate-user", "root"),
            ("impersonate-group", "system:masters"),
            ("impersonate-extra-scopes", "all"),
            ("connection", "impersonate-user"),
        ] {
            let mut socket = setup
                .raw_request("GET", "/k8s-proxy/api", &format!("{name}: {value}\r\n"))
                .await;
            assert!(
                support::head(&mut socket)
                    .await
                    .starts_with("HTTP/1.1 400 "),
                "{name}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn flood_of_requests_taken_back_ends_the_connection() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let (mut send, connection) = setup.h2().await;
        let flood = async {
            for _ in 0..5_000 {
                let Ok(ready) = send.clone().ready().await else {
                    return;
                };
                send = ready;
                let request = setup.get("/k8s-proxy/watch");
                let request = setup.absolute(request).map(|_| ());
                let Ok((_, mut stream)) = send.send_request(request, true) else {
                    return;
                };
                stream.send_reset(h2::Reason::CANCEL);
                tokio::task::yield_now().await;
            }
        };
        let (ended, ()) = tokio::join!(connection, flood);
        assert_eq!(
            ended.unwrap_err().reason(),
            Some(h2::Reason::ENHANCE_YOUR_CALM)
        );
        let metrics = setup.metrics().await;
        let counted = "adit_relay_connections_refused_total{reason=\"hasty\"} 1";
        assert!(metrics.contains(counted), "{metrics}");
        assert_eq!(
            http1(&setup.address, setup.get("/k8s-proxy/api"))
                .await
                .status,
            200
        );
    })
    .await;
}

#[tokio::test]
async fn requests_taken_back_are_limited_by_the_second() {
    within(async {
        let setup = Setup::with("limits: {cancels_per_second: 1}").await;
        let agent = setup.agent().await;
        let (mut send, connection) = setup.h2().await;
        let takes_back = async {
            for _ in 0..100 {
                let Ok(ready) = send.clone().ready().await else {
                    return;
                };
                send = ready;
                let request = setup.absolute(setup.get("/k8s-proxy/slow")).map(|_| ());
                let Ok((_, mut stream)) = send.send_request(request, true) else {
                    return;
                };
                // It has got as far as it can: h2 counts those that have not itself.
                if timeout(Duration::from_secs(1), agent.begun())
                    .await
                    .is_err()
                {
                    return;
                }
                stream.send_reset(h2::Reason::CANCEL);
            }
        };
        let (ended, ()) = tokio::join!(connection, takes_back);
        assert_eq!(
            ended.unwrap_err().reason(),
            Some(h2::Reason::ENHANCE_YOUR_CALM)
        );
        let metrics = setup.metrics().await;
        let counted = "adit_relay_connections_refused_total{reason=\"hasty\"} 1";
        assert!(metrics.contains(counted), "{metrics}");
    })
    .await;
}

#[tokio::test]
async fn connection_at_its_limit_of_requests_is_counted() {
    within(async {
        let setup = Setup::with("limits: {streams_per_connection: 2}").await;
        let agent = setup.agent().await;
        let (send, connection) = setup.h2().await;
        let asked = async {
            let mut waiting = Vec::new();
            let mut send = send;
            for _ in 0..2 {
                send = send.ready().await.unwrap();
                let request = setup.absolute(setup.get("/k8s-proxy/slow")).map(|_| ());
                waiting.push(send.send_request(request, true).unwrap());
            }
            while agent.open() < 2 {
                tokio::task::yield_now().await;
            }
            let metrics = setup.metrics().await;
            let counted = "adit_relay_connections_full_total 1\n";
            assert!(metrics.contains(counted), "{metrics}");
        };
        tokio::select! {
            biased;
            () = asked => {}
            ended = connection => panic!("{ended:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn agent_that_reconnects_is_waited_for() {
    within(async {
        let setup = Setup::with("route: {wait: 15s}").await;
        setup.agent().await.stop().await;
        let waiting = http2(&setup.address, setup.get("/k8s-proxy/api"));
        let (answer, _agent) = tokio::join!(waiting, setup.agent());
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn tls_chooses_the_protocol_by_alpn() {
    within(async {
        let setup = Setup::tls().await;
        for (alpn, start) in [("http/1.1", "HTTP/1.1 404 "), ("", "HTTP/1.1 404 ")] {
            let mut socket = setup.handshake(alpn).await;
            let request = "GET / HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n";
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(start), "{answer}");
        }
        let (send, connection) = h2::client::handshake(setup.handshake("h2").await)
            .await
            .unwrap();
        let request = setup.absolute(Request::get("/").body(()).unwrap());
        let asked = async {
            let (answer, _) = send
                .ready()
                .await
                .unwrap()
                .send_request(request, true)
                .unwrap();
            answer.await.unwrap().status()
        };
        tokio::select! {
            biased;
            status = asked => assert_eq!(status, StatusCode::NOT_FOUND),
            ended = connection => panic!("{ended:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        http1(&setup.address, setup.get("/k8s-proxy/api")).await;
        http2(&setup.address, setup.get("/nowhere")).await;
        let metrics = setup.metrics().await;
        for line in [
            "adit_relay_requests_total{outcome=\"answered\"} 1",
            "adit_relay_requests_total{outcome=\"refused\"} 1",
            "adit_relay_refusals_total{reason=\"unknown_path\"} 1",
            "adit_relay_tunnels_open 1",
            "adit_relay_tokens_cached 1",
            "adit_relay_stage_duration_seconds_count{stage=\"answer\"} 2",
        ] {
            assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
        }
        assert!(!metrics.contains("eyJ"), "a token is among the metrics");
    })
    .await;
}

#[tokio::test]
async fn informational_answers_come_before_the_final_one() {
    within(async {
        let setup = Setup::new().await;
        let _agent = setup.agent().await;
        let (send, connection) = setup.h2().await;
        let mut request = setup
            .absolute(setup.request("POST", "/k8s-proxy/hint", Vec::new()))
            .map(|_| ());
        request
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        let asked = async {
            let (mut answer, mut body) = send
                .ready()
                .await
                .unwrap()
                .send_request(request, false)
                .unwrap();
            let mut informational = Vec::new();
            while let Some(head) = std::future::poll_fn(|cx| answer.poll_informational(cx)).await {
                let head = head.unwrap();
                informational.push(head.status().as_u16());
                if head.status() == StatusCode::CONTINUE {
                    body.send_data("hello".into(), true).unwrap();
                }
            }
            (informational, answer.await.unwrap().status())
        };
        tokio::select! {
            biased;
            (informational, status) = asked => {
                assert_eq!((informational, status.as_u16()), (vec![103, 100], 200));
            }
            ended = connection => panic!("{ended:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn refusal_reaches_a_client_that_is_still_uploading() {
    within(async {
        let setup = Setup::new().await;
        for _ in 0..20 {
            let mut request = setup.request("POST", "/k8s-proxy/upload", vec![b'x'; 8 << 20]);
            request
                .headers_mut()
                .insert("authorization", "Bearer ci:7:nonsense".parse().unwrap());
            assert_eq!(
                http2(&setup.address, request.clone()).await.reason(),
                "token_malformed"
            );
            assert_eq!(
                http1(&setup.address, request).await.reason(),
                "token_malformed"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn shards_share_one_port_and_all_tunnels() {
    within(async {
        let setup = Setup::with("shards: 3").await;
        let _agents = [setup.agent().await, setup.agent().await];
        for _ in 0..24 {
            assert_eq!(
                http1(&setup.address, setup.get("/k8s-proxy/api"))
                    .await
                    .status,
                200
            );
        }
        setup.relay.drain(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn drain_cuts_what_outlasts_the_grace() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let watch = http2(&setup.address, setup.get("/k8s-proxy/watch"));
        let drained = async {
            agent.begun().await;
            setup.relay.drain(Duration::from_millis(1)).await;
        };
        let (answer, ()) = tokio::join!(watch, drained);
        assert!(
            answer.is_cut || answer.reason() == "agent_lost",
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn abort_ends_everything_at_once() {
    within(async {
        let setup = Setup::new().await;
        let agent = setup.agent().await;
        let mut socket = setup.raw_request("GET", "/k8s-proxy/watch", "").await;
        agent.begun().await;
        setup.relay.abort().await;
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "a watch that was cut must not look complete"
        );
    })
    .await;
}
