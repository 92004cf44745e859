//! The double of GitLab on its own, before anybody relies on it: every endpoint's answers, the grants as a table, faults and
//! counts. Its independent witness is the official agent server (`KAS_BIN`, `AGENTK_BIN`), where there is one.

use adit_tests::{Answer, GitLab, body, caller::get};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::Value;

mod environments;
mod faults;
mod files;
mod gitaly;
mod grants;
mod internal;
mod issuer;
mod jobs;
mod kubeconfig;
mod program;
mod users;
mod webhooks;

/// What a job asks with its token.
const ALLOWED_AGENTS: &str = "/api/v4/job/allowed_agents";

/// Asks as the job whose token this is.
async fn allowed_agents(gitlab: &GitLab, token: &str) -> Answer {
    ask(gitlab, ALLOWED_AGENTS, &[("job-token", token)]).await
}

/// Asks with these headers.
async fn ask(gitlab: &GitLab, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(gitlab, get(path), headers).await
}

/// Posts JSON with these headers.
async fn post(gitlab: &GitLab, path: &str, value: &Value, headers: &[(&str, &str)]) -> Answer {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body::full(value.to_string()))
        .unwrap();
    send(gitlab, request, headers).await
}

async fn send(
    gitlab: &GitLab,
    mut request: Request<body::Body>,
    headers: &[(&str, &str)],
) -> Answer {
    let headers = headers.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    request.headers_mut().extend(headers.collect::<HeaderMap>());
    gitlab.caller().http2().await.answer(request).await
}
