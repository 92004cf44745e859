//! What an agent carries out, and where: no more than its own ceiling, whatever a job or the relay asks.

use adit_tests::{AgentBuilder, World, body, caller::request, kube, relay, scenario, within};
use http::{Method, StatusCode};
use serde_json::Value;

use crate::upgrades::{SPDY, WEBSOCKET};

/// It looks at `shop`, creates there, reads logs, and nothing else.
fn narrow(agent: AgentBuilder) -> AgentBuilder {
    agent
        .with("ceiling", "namespaces", "[shop]")
        .with("ceiling", "verbs", "[get, list, watch, create]")
        .with("ceiling", "subresources", "[log]")
}

#[test]
fn ceiling_holds_for_what_is_done_and_where() {
    scenario(async {
        let world = World::with(kube(), relay(), narrow).await;
        let http2 = world.job.http2().await;
        let pod = "/api/v1/namespaces/shop/pods/p";
        for (method, target, key) in [
            (
                Method::GET,
                "/api/v1/namespaces/kube-system/secrets",
                "namespaces",
            ),
            (
                Method::GET,
                "/api/v1/watch/namespaces/default/pods",
                "namespaces",
            ),
            (Method::GET, "/api/v1/namespaces/shop%2Fpods", "namespaces"),
            (
                Method::GET,
                "//api/v1/namespaces/default/pods",
                "namespaces",
            ),
            (Method::GET, "/api/v1/pods?watch=1", "cluster_scope"),
            (Method::POST, "/api/v1/namespaces", "cluster_scope"),
            (Method::DELETE, pod, "verbs"),
            (Method::PATCH, pod, "verbs"),
            (
                Method::POST,
                "/api/v1/namespaces/shop/pods/p/exec",
                "subresources",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/shop/serviceaccounts/a/token",
                "subresources",
            ),
        ] {
            let refused = http2
                .answer(request(method, target, body::empty()))
                .await
                .refused();
            assert_eq!(
                refused.told(),
                (403, "beyond_ceiling", "agent", None),
                "{target}"
            );
            let key = format!("`ceiling.{key}");
            assert!(
                refused.message.contains(&key),
                "{target}: {}",
                refused.message
            );
        }
        for (line, fields) in [("GET", WEBSOCKET), ("POST", SPDY)] {
            for below in ["exec", "attach", "portforward", "proxy/x"] {
                let line = format!("{line} {pod}/{below}");
                let mut connection = world.job.raw_asking(&line, fields).await;
                let (status, _, body) = within("the answer", connection.answer()).await.unwrap();
                let told: Value = serde_json::from_slice(&body).unwrap();
                let message = told["message"].as_str().unwrap();
                assert_eq!(status, 403, "{line}");
                assert!(
                    message.contains("`ceiling.subresources`"),
                    "{line}: {message}"
                );
            }
        }
        assert_eq!(
            world.kube.request_count(),
            1,
            "only the agent's own question for the version"
        );
        let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        for (method, target) in [
            (Method::GET, "/api"),
            (Method::GET, "/openapi/v3"),
            (Method::POST, reviews),
            (Method::GET, pod),
            (Method::GET, "/api/v1/namespaces/shop/pods/p/log"),
            (Method::POST, "/api/v1/namespaces/shop/pods"),
        ] {
            let answer = http2.answer(request(method, target, body::empty())).await;
            assert_eq!(answer.status, StatusCode::OK, "{target}");
        }
        drop(http2);
        world.stop().await;
    });
}
