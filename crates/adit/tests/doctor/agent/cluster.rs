//! Beside an agent: the API server, and what that lets the agent do.

use adit_tests::body::{Body, full};
use adit_tests::pki::Pki;
use adit_tests::{AgentBuilder, KubeBuilder, kube, relay, scenario};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::examined;
use crate::support::{Examined, closed_port, kubeconfig_for};

/// An API server of this version, whose RBAC allows the agent what `may` says of `resourceAttributes`.
pub(crate) fn cluster(version: &'static str, may: fn(&Value) -> bool) -> KubeBuilder {
    let kube = kube().route("/version", json!({ "gitVersion": version }).to_string());
    let kube = kube.answer(WHO, |_| async {
        let user = json!({ "username": "system:serviceaccount:adit-agent:adit-agent" });
        created(json!({ "status": { "userInfo": user } }))
    });
    kube.answer(MAY, move |request| async move {
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&asked).unwrap();
        let allowed = may(&asked["spec"]["resourceAttributes"]);
        created(json!({ "status": { "allowed": allowed } }))
    })
}

fn created(document: Value) -> Response<Body> {
    let mut answer = Response::new(full(document.to_string()));
    *answer.status_mut() = StatusCode::CREATED;
    answer
}

/// The agent's own roles for Kubernetes 1.36.
pub(crate) fn all(asked: &Value) -> bool {
    let is_bound = ["pods", "deployments"].contains(&asked["resource"].as_str().unwrap());
    constrained(asked) || (is_bound && asked["namespace"] == "shop")
}

fn constrained(asked: &Value) -> bool {
    asked["verb"] == "impersonate:user-info" && asked["group"] == "authentication.k8s.io"
}

fn plain(asked: &Value) -> bool {
    let group = if asked["resource"] == "userextras" {
        "authentication.k8s.io"
    } else {
        ""
    };
    asked["verb"] == "impersonate" && asked["group"] == group
}

/// In front of this API server.
async fn in_front_of(kube: KubeBuilder) -> Examined {
    let kube = kube.start().await;
    let relay = relay().start().await;
    let examined = examined(&relay, &kube, |agent| agent).await;
    relay.stop().await;
    kube.stop().await;
    examined
}

#[test]
fn rights_for_each_kubernetes_are_enough_there() {
    scenario(async {
        let before = in_front_of(cluster("v1.35.2", plain)).await;
        before.is_well_but_for(&["namespaces", "traces"]);

        let unconstrained = in_front_of(cluster("v1.36.0", plain)).await;
        assert_eq!(unconstrained.code, 0, "{unconstrained}");
        assert_eq!(
            unconstrained.outcome("impersonation"),
            "warning",
            "{unconstrained}"
        );
        assert_eq!(
            unconstrained.outcome("namespaces"),
            "not_run",
            "{unconstrained}"
        );

        let both = |asked: &Value| all(asked) || plain(asked);
        let both = in_front_of(cluster("v1.36.0", both)).await;
        assert_eq!(both.outcome("impersonation"), "warning", "{both}");
        for words in [
            "the plain right `impersonate`, too",
            "a cluster-admin's kubeconfig",
        ] {
            assert!(both.to_string().contains(words), "{both}");
        }
        assert_eq!(both.outcome("namespaces"), "ok", "{both}");
    });
}

#[test]
fn rights_that_are_missing_are_named() {
    scenario(async {
        let none = in_front_of(cluster("v1.36.0", |_| false)).await;
        none.is_broken_at("impersonation", "agent", "impersonate:user-info users");
        none.did_not_run(&["namespaces"], "impersonation");

        // What 1.36 takes is nothing to the older.
        let too_new = in_front_of(cluster("v1.35.2", all)).await;
        too_new.is_broken_at("impersonation", "agent", "impersonate users");

        let extra = |asked: &Value| {
            all(asked) && asked["subresource"] != "agent.gitlab.com/environment_slug"
        };
        let extra = in_front_of(cluster("v1.36.0", extra)).await;
        extra.is_broken_at(
            "impersonation",
            "agent",
            "userextras/agent.gitlab.com/environment_slug",
        );
        assert!(!extra.what("impersonation").contains("users"), "{extra}");

        let nowhere = in_front_of(cluster("v1.36.0", constrained)).await;
        nowhere.is_broken_at("namespaces", "agent", "kubectl create rolebinding");

        let reads_all =
            |asked: &Value| constrained(asked) || asked["verb"] == "impersonate-on:user-info:get";
        let reads_all = in_front_of(cluster("v1.36.0", reads_all)).await;
        assert_eq!(reads_all.code, 0, "{reads_all}");
        reads_all.warns("namespaces", "its role is not bound there");
        let missing = cluster("v1.36.0", all).answer("/api/v1/namespaces/shop", |_| async {
            let mut answer = Response::new(full(r#"{"reason":"NotFound"}"#));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        });
        let missing = in_front_of(missing).await;
        missing.is_broken_at("namespaces", "agent", "there is no namespace shop");
    });
}

#[test]
fn ceiling_that_keeps_the_agent_out_is_told() {
    scenario(async {
        for (version, may) in [("v1.36.0", all as fn(&Value) -> bool), ("v1.35.2", plain)] {
            let kube = cluster(version, may).start().await;
            let relay = relay().start().await;
            let elsewhere = |agent: AgentBuilder| agent.with("ceiling", "namespaces", "[other]");
            let examined = examined(&relay, &kube, elsewhere).await;
            examined.is_broken_at(
                "namespaces",
                "agent",
                "ceiling.namespaces keeps it out of shop",
            );
            relay.stop().await;
            kube.stop().await;
        }
    });
}

#[test]
fn api_server_that_is_away_or_keeps_the_agent_out_is_told() {
    scenario(async {
        let (server, relay) = (kube().start().await, relay().start().await);
        let lost = |agent: AgentBuilder| agent.serving_by("/nowhere/kubeconfig".into());
        let examined_so = examined(&relay, &server, lost).await;
        examined_so.is_broken_at("kubeconfig", "agent", "/nowhere/kubeconfig");
        assert_eq!(examined_so.outcome("tunnel"), "ok", "{examined_so}");
        examined_so.did_not_run(&["api-server", "account", "impersonation"], "kubeconfig");

        let folder = TempDir::new().unwrap();
        let nowhere = kubeconfig_for(closed_port().await, folder.path());
        let away = |agent: AgentBuilder| agent.serving_by(nowhere.clone());
        let examined_so = examined(&relay, &server, away).await;
        examined_so.is_broken_at("api-server", "api-server", "cannot connect");
        examined_so.did_not_run(&["account", "impersonation", "namespaces"], "api-server");

        let others = Pki::new("another cluster").write_ca(folder.path());
        let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
        let mut believing: Value = serde_saphyr::from_str(&text).unwrap();
        believing["clusters"][0]["cluster"]["certificate-authority"] =
            others.to_str().unwrap().into();
        let kubeconfig = folder.path().join("believing");
        std::fs::write(&kubeconfig, believing.to_string()).unwrap();
        let stranger = |agent: AgentBuilder| agent.serving_by(kubeconfig);
        let examined_so = examined(&relay, &server, stranger).await;
        examined_so.is_broken_at("api-server", "api-server", "UnknownIssuer");
        examined_so.is_broken_at("api-server", "api-server", "its certificate's authority");
        relay.stop().await;
        server.stop().await;

        let strangers = kube()
            .route("/version", r#"{"gitVersion":"v1.36.0"}"#)
            .answer(WHO, |_| async {
                let mut answer = Response::new(full(r#"{"message":"Unauthorized"}"#));
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                answer
            });
        let examined_so = in_front_of(strangers).await;
        examined_so.is_broken_at("account", "agent", "does not let the agent in");
        examined_so.did_not_run(&["impersonation", "namespaces"], "account");
    });
}

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const MAY: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
