//! The hand that a running double is led by from outside: jobs begin and end, files change, faults come and go. Its own
//! listener, without TLS and without any credential: for loopback only. Called by demos and pipelines; tests have the type.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use anyhow::{Context, Result, bail};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    Endpoint, Fault, GitLab, JobStatus,
    call::{Answer, Call},
    seed::JobSeed,
    world::TakenId,
};
use crate::{body::Body, tasks::accept};

/// `POST /jobs/:id/status`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusOrder {
    status: JobStatus,
}

/// `POST /faults`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    /// All, when it is left out.
    endpoint: Option<Endpoint>,
    fault: Fault,
    /// Until `DELETE /faults`, when it is left out. Of one endpoint only.
    times: Option<usize>,
}

/// `POST /commits`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitOrder {
    project: String,
    branch: Option<String>,
    /// By their paths; without content they are removed.
    files: BTreeMap<String, Option<String>>,
}

/// Obeys whoever calls, until dropped.
pub async fn control(listener: TcpListener, gitlab: Arc<GitLab>) {
    accept(listener, |socket, _| {
        let gitlab = Arc::clone(&gitlab);
        async move {
            let service = service_fn(|request| exchange(request, Arc::clone(&gitlab)));
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }
    })
    .await;
}

async fn exchange(
    request: Request<Incoming>,
    gitlab: Arc<GitLab>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    let call = Call::new(&head, body.unwrap_or_default());
    let answer = match obey(&call, &gitlab).await {
        Ok(done) => Answer::json(StatusCode::OK, &done),
        Err(error) => {
            let status = if error.is::<TakenId>() {
                StatusCode::CONFLICT
            } else {
                StatusCode::BAD_REQUEST
            };
            Answer::error(status, &format!("{error:#}"))
        }
    };
    Ok(answer.into_response())
}

async fn obey(call: &Call, gitlab: &GitLab) -> Result<Value> {
    let segments = call.segments();
    let segments: Vec<_> = segments.iter().skip(1).map(String::as_str).collect();
    match (&call.method, &segments[..]) {
        (&Method::POST, ["jobs"]) => gitlab.run(&order::<JobSeed>(call)?),
        (&Method::POST, ["jobs", id, "status"]) => {
            let id = id.parse().context("a job's id is a number")?;
            let deliveries = gitlab.end_job(id, order::<StatusOrder>(call)?.status).await;
            let statuses: Vec<_> = deliveries.iter().map(|one| one.status).collect();
            Ok(json!({ "webhooks": statuses }))
        }
        (&Method::POST, ["commits"]) => commit(&order(call)?, gitlab),
        (&Method::POST, ["faults"]) => {
            set(&order(call)?, gitlab);
            Ok(json!({}))
        }
        (&Method::DELETE, ["faults"]) => {
            gitlab.faults().clear();
            Ok(json!({}))
        }
        (&Method::GET, ["calls"]) => Ok(json!({ "total": gitlab.calls().total() })),
        _ => bail!("no such order"),
    }
}

fn order<T: DeserializeOwned>(call: &Call) -> Result<T> {
    Ok(serde_json::from_slice(&call.body)?)
}

fn commit(order: &CommitOrder, gitlab: &GitLab) -> Result<Value> {
    let world = gitlab.world();
    let project = world
        .find_project(&order.project)
        .context("no such project")?;
    let branch = order.branch.as_ref().unwrap_or(&project.default_branch);
    let changes: Vec<_> = order
        .files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_deref()))
        .collect();
    let id = world.repository(project.id).commit_to(branch, &changes);
    Ok(json!({ "commit": id }))
}

fn set(order: &FaultOrder, gitlab: &GitLab) {
    let faults = gitlab.faults();
    match (order.endpoint, order.times) {
        (Some(endpoint), Some(times)) => faults.times(endpoint, order.fault, times),
        (Some(endpoint), None) => faults.set(endpoint, order.fault),
        (None, _) => faults.set_everywhere(order.fault),
    }
}
