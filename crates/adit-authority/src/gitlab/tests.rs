//! The authority against a GitLab that does as it is told, by a clock that stands still until somebody waits.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use adit_identity::AgentId;
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::*;
use crate::Affected;

mod agents;
mod ends;
mod floods;
mod jobs;
mod outages;
mod users;

const URL: &str = "https://gitlab.example.com";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A GitLab that does as it is told.
#[derive(Default)]
struct Script {
    /// Answers by token; another token is answered with 401.
    jobs: Mutex<HashMap<String, Value>>,
    /// A path at which there is nothing.
    missing: Mutex<&'static str>,
    /// What happens instead, if anything does.
    instead: Mutex<Option<Instead>>,
    /// How long an answer takes.
    latency: Mutex<Duration>,
    calls: AtomicUsize,
    last: Mutex<Option<Request<Bytes>>>,
}

#[derive(Clone, Debug)]
enum Instead {
    Unreachable,
    SendsTooMuch,
    Hangs,
    Answers(u16, Vec<(&'static str, String)>, String),
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It knows tokens, which those under test must not print.
        f.write_str("Script")
    }
}

impl AskGitLab for Script {
    fn ask(&self, request: Request<Bytes>) -> Asked<'_> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let shown = |name: &'static str| request.headers().get(name)?.to_str().ok();
            let bearer = || shown("authorization")?.strip_prefix("Bearer ");
            let posted: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            let token = shown("job-token")
                .or_else(bearer)
                .or_else(|| posted["access_key"].as_str());
            let token = token.unwrap().to_owned();
            let is_missing = request.uri().path() == *self.missing.lock();
            *self.last.lock() = Some(request);
            if is_missing {
                return Ok(answer(404, &[], r#"{"error":"404 Not Found"}"#.into()));
            }
            let (latency, instead) = (*self.latency.lock(), self.instead.lock().clone());
            // Decided now, told later.
            let known = self.jobs.lock().get(&token).cloned();
            sleep(latency).await;
            match (instead, known) {
                (Some(Instead::Unreachable), _) => Err(AskError::Unreachable("gone".into())),
                (Some(Instead::SendsTooMuch), _) => Err(AskError::TooLong),
                (Some(Instead::Hangs), _) => std::future::pending().await,
                (Some(Instead::Answers(status, fields, body)), _) => {
                    Ok(answer(status, &fields, body))
                }
                (None, Some(job)) => Ok(answer(200, &[], job.to_string())),
                (None, None) => Ok(answer(401, &[], r#"{"message":"401 Unauthorized"}"#.into())),
            }
        })
    }
}

fn answer(status: u16, fields: &[(&'static str, String)], body: String) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, value);
    }
    response.body(Bytes::from(body)).unwrap()
}

impl Script {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn start(&self, token: &str, job: Value) {
        self.jobs.lock().insert(token.to_owned(), job);
    }

    fn end(&self, token: &str) {
        self.jobs.lock().remove(token);
    }

    fn now(&self, instead: Instead) {
        *self.instead.lock() = Some(instead);
    }

    fn well(&self) {
        *self.instead.lock() = None;
    }
}

/// What was cut: whose, at which agents unless at all, and why.
type Cut = (u64, Option<Vec<u64>>, Ended);

#[derive(Debug, Default)]
struct Cuts(Mutex<Vec<Cut>>);

impl Running for Cuts {
    fn cut(&self, owner: u64, agents: Affected<'_>, why: Ended) {
        let agents = match agents {
            Affected::All => None,
            Affected::Only(agents) => Some(agents.iter().map(|agent| agent.0).collect()),
        };
        self.0.lock().push((owner, agents, why));
    }
}

/// The authority under test, with its work running.
struct World {
    gitlab: Arc<GitLab>,
    script: Arc<Script>,
    cuts: Arc<Cuts>,
    _work: JoinSet<()>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut GitLabConfig)) -> Self {
        let mut config = GitLabConfig::new(URL);
        change(&mut config);
        let (script, cuts) = (Arc::<Script>::default(), Arc::<Cuts>::default());
        let transport: Arc<dyn AskGitLab> = Arc::clone(&script) as _;
        let secret = ApiSecret::new("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
        let (gitlab, work) = GitLab::new(
            &config,
            Some(Arc::new(secret)),
            transport,
            Arc::clone(&cuts) as _,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(work.run());
        Self {
            gitlab: Arc::new(gitlab),
            script,
            cuts,
            _work: tasks,
        }
    }

    async fn job(&self, token: &str) -> Result<Caller, GitLabError> {
        self.job_from(token, HERE).await
    }

    async fn job_from(&self, token: &str, from: IpAddr) -> Result<Caller, GitLabError> {
        within(self.gitlab.job(Token::parse(token).unwrap(), from)).await
    }

    /// A job that runs, its token shown once.
    async fn running(&self, token: &str, id: u64) -> Caller {
        self.script.start(token, said(id));
        self.job(token).await.unwrap()
    }

    fn stats(&self) -> QuestionStats {
        self.gitlab.stats().remove(0)
    }

    fn cuts(&self) -> Vec<Cut> {
        self.cuts.0.lock().clone()
    }
}

/// What GitLab says of job `id`, which may use agents 41 and 42.
fn said(id: u64) -> Value {
    json!({
        "allowed_agents": [
            {
                "id": 41,
                "config_project": { "id": 7, "name": "agents", "path_with_namespace": "platform/agents", "created_at": "2026-01-01T00:00:00Z" },
                "configuration": { "default_namespace": "shop", "access_as": { "ci_job": {} }, "environments": ["prod"] },
            },
            { "id": 42, "config_project": { "id": 7 }, "configuration": {} },
        ],
        "job": { "id": id },
        "pipeline": { "id": 880 },
        "project": { "id": 150, "groups": [{ "id": 23 }, { "id": 25 }] },
        "user": { "id": 12, "username": "dev1", "roles_in_project": ["guest", "developer"] },
        "environment": { "slug": "prod", "tier": "production" },
    })
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_hours(1), future)
        .await
        .expect("done in an hour of paused time")
}

/// How often each word was counted; those that were not are left out.
fn counts<W: Copy>(
    counted: &[(W, u64)],
    word: fn(W) -> &'static str,
) -> BTreeMap<&'static str, u64> {
    counted
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(counted, count)| (word(*counted), *count))
        .collect()
}
