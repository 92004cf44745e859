//! Flux in a scenario's cluster, as far as an agent has to do with it: repositories that an API server lists, the Lease and the key in
//! the agent's namespace, Secrets and Receivers as they are made, and notification-controller behind the API server's proxy, which
//! checks that a call is signed. It is an API server's answers: [`Flux::on`] adds them to one.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    KubeBuilder,
    body::{self, Body, Hand},
    hex,
};

/// Where the agent finds notification-controller.
pub const PROXY: &str = "/api/v1/namespaces/flux-system/services/http:webhook-receiver:80/proxy";
/// Where its Lease and its key are.
pub const NAMESPACE: &str = "adit-agent";

const REPOSITORIES: &str =
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories";
const RECEIVERS: &str = "/apis/notification.toolkit.fluxcd.io/v1/namespaces/flux-system/receivers";
const SECRETS: &str = "/api/v1/namespaces/flux-system/secrets";
const OWN_SECRETS: &str = "/api/v1/namespaces/adit-agent/secrets";
const OWN_KEY: &str = "/api/v1/namespaces/adit-agent/secrets/adit-agent-flux";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/adit-agent/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/adit-agent/leases/adit-agent-flux";

/// A cluster's Flux.
#[derive(Clone)]
pub struct Flux {
    /// Name and project.
    repositories: Vec<(String, String)>,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// By their paths.
    objects: BTreeMap<String, Value>,
    version: u64,
    calls: Vec<String>,
    watches: Vec<Hand>,
}

impl Flux {
    /// With a repository for each of these projects, named after the project.
    #[must_use]
    pub fn following(gitlab: &str, projects: &[&str]) -> Self {
        let repository = |project: &&str| {
            let name = project.rsplit('/').next().unwrap_or_default();
            (name.to_owned(), format!("{gitlab}/{project}.git"))
        };
        Self {
            repositories: projects.iter().map(repository).collect(),
            held: Arc::default(),
        }
    }

    /// An API server that has it.
    #[must_use]
    pub fn on(&self, kube: KubeBuilder) -> KubeBuilder {
        let fixed = [REPOSITORIES, SECRETS, OWN_SECRETS, OWN_KEY, LEASES, LEASE];
        let mut paths: Vec<_> = fixed.map(str::to_owned).into();
        for (name, _) in &self.repositories {
            paths.push(receiver(name));
            paths.push(format!("{PROXY}{}", hook(name)));
        }
        paths.into_iter().fold(kube, |kube, path| {
            let flux = self.clone();
            kube.answer(&path, move |request| flux.clone().answer(request))
        })
    }

    /// The repositories whose Receivers were called, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.held.lock().calls.clone()
    }

    /// The Receiver of a repository, once there is one.
    #[must_use]
    pub fn receiver(&self, name: &str) -> Option<Value> {
        self.held.lock().objects.get(&receiver(name)).cloned()
    }

    /// Who holds the Lease.
    #[must_use]
    pub fn leader(&self) -> String {
        let held = self.held.lock();
        let lease = held.objects.get(LEASE);
        let holder = lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str());
        holder.unwrap_or_default().to_owned()
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = body.unwrap_or_default();
        let path = head.uri.path().to_owned();
        if let Some(hook) = path.strip_prefix(PROXY) {
            return self.call(hook, &head, &body);
        }
        if path == REPOSITORIES {
            return self.repositories(&head);
        }
        self.object(&head, &path, &body)
    }

    fn repositories(&self, head: &Parts) -> Response<Body> {
        if head.uri.query().unwrap_or_default().contains("watch=1") {
            let (hand, body) = body::by_hand();
            self.held.lock().watches.push(hand);
            return Response::new(body);
        }
        let items: Vec<_> = self
            .repositories
            .iter()
            .map(|(name, url)| json!({ "metadata": { "name": name, "uid": name }, "spec": { "url": url } }))
            .collect();
        let list = json!({ "metadata": { "resourceVersion": "1" }, "items": items });
        answer(StatusCode::OK, &list)
    }

    fn object(&self, head: &Parts, path: &str, body: &Bytes) -> Response<Body> {
        let mut held = self.held.lock();
        if head.method == Method::GET {
            return match held.objects.get(path) {
                Some(object) => answer(StatusCode::OK, object),
                None => refused(StatusCode::NOT_FOUND),
            };
        }
        let mut object: Value = serde_json::from_slice(body).unwrap();
        let path = match head.method {
            Method::POST => format!("{path}/{}", object["metadata"]["name"].as_str().unwrap()),
            _ => path.to_owned(),
        };
        let known = held.objects.get(&path);
        let known = known.map(|known| &known["metadata"]["resourceVersion"]);
        let is_stale =
            head.method == Method::PUT && known != object["metadata"].get("resourceVersion");
        if is_stale || head.method == Method::POST && known.is_some() {
            return refused(StatusCode::CONFLICT);
        }
        held.version += 1;
        object["metadata"]["resourceVersion"] = json!(held.version.to_string());
        if let Some(texts) = object.get("stringData").and_then(Value::as_object).cloned() {
            let encoded = |(key, text): (String, Value)| {
                let text = text.as_str().unwrap_or_default();
                (key, json!(STANDARD.encode(text)))
            };
            object["data"] = texts.into_iter().map(encoded).collect();
        }
        if head.method == Method::PATCH {
            let of = object["spec"]["resources"][0]["name"]
                .as_str()
                .unwrap_or_default();
            object["status"] = json!({ "webhookPath": hook(of) });
        }
        held.objects.insert(path, object.clone());
        answer(StatusCode::OK, &object)
    }

    /// As notification-controller does it: 400 for a call that is not signed with the token.
    fn call(&self, hook: &str, head: &Parts, body: &[u8]) -> Response<Body> {
        let mut held = self.held.lock();
        let name = hook.trim_start_matches("/hook/").to_owned();
        let secret = held
            .objects
            .get(&format!("{SECRETS}/gitlab-receiver-{name}"));
        let token = secret.and_then(|secret| secret["stringData"]["token"].as_str());
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.unwrap_or_default().as_bytes());
        let signature = format!("sha256={}", hex::encode(hmac::sign(&key, body).as_ref()));
        let shown = head
            .headers
            .get("x-signature")
            .map(|value| value.as_bytes());
        if token.is_none() || shown != Some(signature.as_bytes()) {
            return refused(StatusCode::BAD_REQUEST);
        }
        held.calls.push(name);
        Response::new(body::empty())
    }
}

fn receiver(name: &str) -> String {
    format!("{RECEIVERS}/gitlab-{name}")
}

fn hook(name: &str) -> String {
    format!("/hook/{name}")
}

fn answer(status: StatusCode, object: &Value) -> Response<Body> {
    let mut answer = Response::new(body::full(object.to_string()));
    *answer.status_mut() = status;
    answer
}

fn refused(status: StatusCode) -> Response<Body> {
    answer(
        status,
        &json!({ "kind": "Status", "message": "no", "code": status.as_u16() }),
    )
}
