//! What the relay refuses by itself, and how it says so.

use http::{HeaderName, Request, StatusCode, header};
use tokio::io::AsyncReadExt;

use crate::support::{Answer, Setup, head, with_agent, with_agent_and, within};

#[tokio::test]
async fn refusals_are_statuses_that_kubectl_prints() {
    within(async {
        let setup = Setup::new().await;
        let with = |authorization| setup.get_with("/k8s-proxy/api", authorization);
        let bare = setup.bare();
        let cases: [(Request<Vec<u8>>, u16, &str); 8] = [
            (setup.get("/api"), 404, "unknown_path"),
            (setup.get("/k8s-proxy/../x"), 400, "bad_path"),
            (with(None), 401, "credential_missing"),
            (with(Some("Bearer ci:7:nonsense")), 401, "token_malformed"),
            (setup.get_as("/k8s-proxy/api", 8), 403, "not_permitted"),
            (
                setup.get_as("/k8s-proxy/agents/8/api", 7),
                400,
                "agents_differ",
            ),
            (with(Some(&bare)), 400, "no_agent_named"),
            (
                setup.get_with("/k8s-proxy/agents/7/api", Some(&bare)),
                503,
                "agent_never_connected",
            ),
        ];
        for (request, status, reason) in cases {
            for answer in setup.both(request).await {
                answer.assert_refused(status, reason);
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
        let forbidden = setup.http1(setup.get_as("/k8s-proxy/api", 8)).await;
        let unknown = setup.http1(setup.get_as("/k8s-proxy/api", 12)).await;
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
        let list = setup.get_with("/adit/v1/agents", Some(&setup.bare()));
        let expected = concat!(
            r#"{"version":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","agents":[{"id":7,"context":"group/app:demo"}]}"#
        );
        assert_eq!(setup.http2(list).await.text(), expected);
    })
    .await;
}

#[tokio::test]
async fn offline_agent_is_told_with_since_when() {
    with_agent_and(
        "route: {wait: 0s, reconnecting: 0s}",
        async |setup, agent| {
            agent.stop().await;
            let answer = loop {
                let answer = setup.http1(setup.get("/k8s-proxy/api")).await;
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
        },
    )
    .await;
}

#[tokio::test]
async fn smuggled_and_oversized_heads_are_refused_and_harm_nobody() {
    with_agent(async |setup, _| {
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
            assert_eq!(setup.http1(setup.get("/k8s-proxy/api")).await.status, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn limits_on_heads_are_for_requests_alone() {
    let limits = "limits: {head_size: 8KiB, head_fields: 16}";
    with_agent_and(limits, async |setup, _| {
        for answer in setup.both(setup.get("/k8s-proxy/fields")).await {
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.headers.len() >= 60);
        }
        let mut request = setup.get("/k8s-proxy/api");
        for at in 0..20 {
            let name: HeaderName = format!("x-{at}").parse().unwrap();
            request.headers_mut().insert(name, 1.into());
        }
        let answer = setup.http2(request).await;
        answer.assert_refused(431, "head_too_large");
    })
    .await;
}

#[tokio::test]
async fn impersonation_by_the_caller_is_refused() {
    with_agent(async |setup, _| {
        for (name, value) in [
            ("impersonate-user", "root"),
            ("impersonate-group", "system:masters"),
            ("impersonate-extra-scopes", "all"),
            ("connection", "impersonate-user"),
        ] {
            let field = format!("{name}: {value}\r\n");
            let mut socket = setup.raw_request("GET", "/k8s-proxy/api", &field).await;
            assert!(
                head(&mut socket).await.starts_with("HTTP/1.1 400 "),
                "{name}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn refusal_reaches_a_client_that_is_still_uploading() {
    within(async {
        let setup = Setup::new().await;
        let mut request = setup.request("POST", "/k8s-proxy/upload", vec![b'x'; 8 << 20]);
        let nonsense = "Bearer ci:7:nonsense".parse().unwrap();
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, nonsense);
        for _ in 0..20 {
            for answer in setup.both(request.clone()).await {
                answer.assert_refused(401, "token_malformed");
            }
        }
    })
    .await;
}
