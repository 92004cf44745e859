//! Checks `tunnel`, `api-server` and `identity`: through the relay to an agent and its API server, and as whom.
//!
//! Two questions that every identity may ask: which version it is, and who is asking.

use adit_process::chain;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;

use super::access::Access;
use super::grant::REFUSED;
use crate::doctor::finding::{Check, Hop, Report};
use crate::exchange::{Answer, NoAnswer, exchange};
use crate::kubeconfig::{Reachable, bearer};
use crate::kubernetes_status::{Status, printable};

pub(super) const TUNNEL: Check = Check::new("tunnel", Hop::Agent);
pub(super) const API_SERVER: Check = Check::new("api-server", Hop::ApiServer);
pub(super) const IDENTITY: Check = Check::new("identity", Hop::ApiServer);

/// Nothing when the API server does not come to answer.
pub(super) async fn check(access: &Access, agent: &Reachable, report: &mut Report) -> Option<()> {
    let name = printable(&agent.context);
    let answer = match exchange(&access.way.dialler, version(access, agent)).await {
        Ok(answer) => answer,
        Err(error) => {
            report.failed(at(TUNNEL, Hop::Network), unanswered(&name, &error), LATE);
            return None;
        }
    };
    let said = Status::read(&answer.body);
    match said.hop.as_deref().map(Hop::named) {
        None => {}
        Some(Some(Hop::ApiServer)) => {
            report.ok(TUNNEL, format!("{name} is connected"));
            report.failed(API_SERVER, said.message, REFUSED);
            return None;
        }
        Some(hop) => {
            report.failed(at(TUNNEL, hop.unwrap_or(Hop::Relay)), said.message, REFUSED);
            return None;
        }
    }
    if answer.status.is_server_error() && !is_json(&answer) {
        let what = format!(
            "{name}: {} by something in between: {}",
            answer.status, said.message
        );
        report.failed(at(TUNNEL, Hop::Network), what, LATE);
        return None;
    }
    report.ok(TUNNEL, format!("{name} is connected"));
    report.ok(API_SERVER, answered(&name, &answer));
    identity(access, agent, &name, report).await;
    Some(())
}

/// A request for what is below the agent's API.
pub(super) fn below(access: &Access, agent: &Reachable, target: &str) -> http::request::Builder {
    Request::get(format!("{}{target}", access.relay.kubernetes()))
        .header(AUTHORIZATION, bearer(&access.credential(agent.id)))
        .header(ACCEPT, JSON)
}

/// Whether something of the cluster wrote it.
pub(super) fn is_json(answer: &Answer) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body).is_ok()
}

/// The same check with another hop to blame.
pub(super) const fn at(check: Check, hop: Hop) -> Check {
    Check { hop, ..check }
}

fn version(access: &Access, agent: &Reachable) -> Request<Full<Bytes>> {
    let request = below(access, agent, "/version").body(Full::default());
    request.expect("a checked URL and fixed headers")
}

fn answered(name: &str, answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "gitVersion")]
        git_version: String,
    }
    match serde_json::from_slice::<Version>(&answer.body) {
        Ok(version) => format!("{name}: Kubernetes {}", printable(&version.git_version)),
        Err(_) => format!("{name}: it answers {}", answer.status),
    }
}

async fn identity(access: &Access, agent: &Reachable, name: &str, report: &mut Report) {
    let request = below(
        access,
        agent,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    )
    .method(http::Method::POST)
    .header(CONTENT_TYPE, JSON)
    .body(Full::from(REVIEW))
    .expect("a checked URL and fixed headers");
    let answer = match exchange(&access.way.dialler, request).await {
        Ok(answer) => answer,
        Err(error) => {
            report.failed(at(IDENTITY, Hop::Network), unanswered(name, &error), LATE);
            return;
        }
    };
    if let Some(who) = reviewed(&answer) {
        let holder = access.holder.as_str();
        report.ok(IDENTITY, format!("{name}: the {holder} is {who}"));
        return;
    }
    let said = Status::read(&answer.body);
    let what = format!("{name}: {} {}", answer.status, said.message);
    if let Some(hop) = said.hop {
        let hop = Hop::named(&hop).unwrap_or(Hop::Relay);
        report.failed(at(IDENTITY, hop), what, REFUSED);
    } else if answer.status == StatusCode::FORBIDDEN && said.message.contains("impersonate") {
        let advice = "the agent's own roles do not let it act for this caller: docs/rbac.md, \"Who refused\"";
        report.failed(at(IDENTITY, Hop::Agent), what, advice);
    } else {
        let advice =
            "the API server, or its roles, are not as Kubernetes sets them up: docs/rbac.md";
        report.warning(IDENTITY, what, advice);
    }
}

/// Who asks, in the API server's eyes.
fn reviewed(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        #[serde(rename = "userInfo")]
        user: User,
    }
    #[derive(Deserialize)]
    struct User {
        username: String,
        #[serde(default)]
        groups: Vec<String>,
    }
    if answer.status != StatusCode::CREATED {
        return None;
    }
    let review: Review = serde_json::from_slice(&answer.body).ok()?;
    let User { username, groups } = review.status.user;
    let who = format!("{username}, in {}", groups.join(", "));
    Some(printable(&who))
}

fn unanswered(name: &str, error: &NoAnswer) -> String {
    format!("{name}: {}", chain(error))
}

const LATE: &str = "the relay answers by itself, and not for the agent: what stands before it may cut what takes longer; look into the relay's log";
const JSON: &str = "application/json";
const REVIEW: &str = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
