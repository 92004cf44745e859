//! What passes between a client and an agent, by HTTP/1.1 and by HTTP/2: heads, bodies, their ends, and where they break off.

use http::StatusCode;
use tokio::io::AsyncWriteExt;

use crate::support::{h2_head, head, rest, while_open, with_agent};

#[tokio::test]
async fn get_goes_to_the_agent_and_back_over_both_protocols() {
    with_agent(async |setup, _| {
        for answer in setup.both(setup.get("/k8s-proxy/api/v1/pods?x=%2F")).await {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                answer.text(),
                "GET /api/v1/pods?x=%2F as gitlab:ci_job:9001: "
            );
        }
    })
    .await;
}

#[tokio::test]
async fn body_and_trailers_cross_whole() {
    with_agent(async |setup, _| {
        let body = "x".repeat(3 << 20);
        let request = setup.request("POST", "/k8s-proxy/upload", body.clone().into());
        let [http1, http2] = setup.both(request).await;
        assert!(http1.text().ends_with(&body));
        assert!(http2.text().ends_with(&body));
        assert_eq!(http2.trailers["x-sum"], "3145728");
    })
    .await;
}

#[tokio::test]
async fn head_no_content_and_not_modified_have_no_body() {
    with_agent(async |setup, _| {
        for (method, path) in [
            ("HEAD", "/k8s-proxy/api"),
            ("GET", "/k8s-proxy/status/204"),
            ("GET", "/k8s-proxy/status/304"),
            ("HEAD", "/nowhere"),
        ] {
            for answer in setup.both(setup.request(method, path, Vec::new())).await {
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
async fn client_that_leaves_cancels_the_call() {
    with_agent(async |setup, agent| {
        for protocol in ["http1", "http2"] {
            let watching = async {
                let request = setup.get("/k8s-proxy/watch");
                if protocol == "http1" {
                    setup.http1(request).await
                } else {
                    setup.http2(request).await
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
    with_agent(async |setup, agent| {
        let broken = setup.get("/k8s-proxy/broken");
        for answer in setup.both_then(broken, || agent.release()).await {
            assert!(answer.status == 200 && answer.is_cut, "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn client_is_told_to_continue_when_the_agent_wants_the_body() {
    with_agent(async |setup, _| {
        let fields = "expect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n";
        let mut socket = setup.raw_request("POST", "/k8s-proxy/api", fields).await;
        assert!(head(&mut socket).await.starts_with("HTTP/1.1 100 "));
        socket.write_all(b"hello").await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(
            answer.contains("POST /api as gitlab:ci_job:9001: hello"),
            "{answer}"
        );
    })
    .await;
}

#[tokio::test]
async fn informational_answers_come_before_the_final_one() {
    with_agent(async |setup, _| {
        let (send, connection) = setup.h2().await;
        let mut request = h2_head(setup.request("POST", "/k8s-proxy/hint", Vec::new()));
        request
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        let asked = async {
            let mut send = send.ready().await.unwrap();
            let (mut answer, mut body) = send.send_request(request, false).unwrap();
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
        let (informational, status) = while_open(connection, asked).await;
        assert_eq!((informational, status.as_u16()), (vec![103, 100], 200));
    })
    .await;
}
