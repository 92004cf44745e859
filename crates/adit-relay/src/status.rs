//! What operators see of a relay, and may cut: `/status` on the admin port, as JSON, and `/`, as a page. [`Report`] has its words;
//! `adit status` shows it at a terminal.
//!
//! Invariants: a call's work is bounded, however much runs: lists are cut at [`MOST`]; and nothing is on the way of a request that it
//! would cost more than a count, but for what lasts (`lasting.rs`).

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use adit_authority::{
    Agents, GitLab, Who,
    gitlab::{AgentFiles, Gitaly},
};
use adit_identity::{
    AgentId,
    operation::{self, Object},
};
use adit_process::{
    Stop,
    admin::{Asker, Readiness},
    reread::Looks,
    tls::{ClientRoots, ServerRoots, ServerTls},
};
use adit_tunnel::Tunnel;
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::{
    audit::Audit,
    config::{Doubts, Pending},
    in_flight::InFlight,
    lasting::{Exchange, Lasting},
    metrics::Metrics,
    refusal::Moment,
    registry::{Registry, Seen},
    rules::Current,
};

mod confirm;
mod cut;
mod gate;
mod page;
mod problems;
mod report;
mod spoken;

pub use confirm::CONFIRM;
pub(crate) use gate::Gate;
use gate::Outside;
pub use report::{Agent, First, History, Problem, Replica, Report, Stream};
pub use spoken::{age, millis, size};

pub use crate::refusal::{REASONS, Reason};

/// Agents, and streams, that are shown at most.
const MOST: usize = 1000;
/// A form that confirms a cut holds an id.
const MOST_FORM_BYTES: usize = 1024;

/// Where what is shown is kept.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) started: SystemTime,
    pub(crate) stop: Stop,
    pub(crate) readiness: Readiness,
    pub(crate) rules: Current,
    pub(crate) pending: Pending,
    pub(crate) doubts: Doubts,
    /// How it goes with the files of secrets.
    pub(crate) secrets: Vec<Looks>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) lasting: Lasting,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) admin_tls: Option<ServerTls>,
    pub(crate) gitlab_api_tls: Option<ServerTls>,
    pub(crate) client_roots: Option<ClientRoots>,
    pub(crate) operators: Option<ClientRoots>,
    /// Those of the servers that the relay dials.
    pub(crate) servers: Vec<ServerRoots>,
    pub(crate) gitlab: Option<Arc<GitLab>>,
    pub(crate) gitaly: Option<Arc<Gitaly>>,
    pub(crate) agent_files: Option<Arc<AgentFiles>>,
    pub(crate) audit: Audit,
}

impl Status {
    /// The page, for who comes in by the gate.
    pub(crate) fn router(self, gate: Gate) -> Router {
        Router::new()
            .route("/", get(page::show))
            .route("/status", get(show))
            .route(
                "/status/streams/{id}/cut",
                get(cut::ask_stream).post(cut::stream),
            )
            .route(
                "/status/tunnels/{id}/cut",
                get(cut::ask_tunnel).post(cut::tunnel),
            )
            .layer(DefaultBodyLimit::max(MOST_FORM_BYTES))
            .route("/page.css", get(page::style))
            .route("/page.js", get(page::script))
            .route("/page.svg", get(page::icon))
            .method_not_allowed_fallback(other_method)
            .fallback(nothing_there)
            .with_state(Arc::new((self, gate)))
    }

    fn report(&self) -> Report {
        let agents = self.seen();
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: Moment(self.started).to_string(),
            draining: self.stop.is_draining(),
            requests: self.in_flight.running(),
            connected: Some(agents.iter().filter(|one| !one.tunnels.is_empty()).count()),
            agents: self.agents(&agents),
            streams: self.streams(),
            refusals: self.metrics.refusals_of_the_last_hour(),
            problems: self.problems(),
            history: self.metrics.history(),
        }
    }

    /// All agents, by id.
    fn seen(&self) -> Vec<Seen> {
        let mut seen = self.registry.seen();
        let known: HashSet<AgentId> = seen.iter().map(|one| one.agent).collect();
        let rules = self.rules.load();
        let unseen = rules.agents().ids().filter(|id| !known.contains(id));
        seen.extend(unseen.map(Seen::never));
        seen.sort_unstable_by_key(|one| one.agent);
        seen
    }

    fn agents(&self, seen: &[Seen]) -> First<Agent> {
        let rules = self.rules.load();
        First {
            count: seen.len(),
            shown: seen
                .iter()
                .take(MOST)
                .map(|one| self.agent(one, rules.agents()))
                .collect(),
        }
    }

    fn agent(&self, seen: &Seen, configured: &Agents) -> Agent {
        let configured = configured.agent(seen.agent);
        let of_gitlab = || self.gitlab.as_ref()?.agent_names().context(seen.agent);
        Agent {
            id: seen.agent.0,
            name: configured
                .map(|agent| agent.context().to_owned())
                .or_else(of_gitlab),
            replicas: seen
                .tunnels
                .iter()
                .map(|(since, tunnel)| replica(*since, tunnel))
                .collect(),
            offline_since: seen.offline_since.map(|at| Moment(at).to_string()),
        }
    }

    fn streams(&self) -> First<Stream> {
        let (oldest, count) = self.lasting.oldest(MOST);
        First {
            count,
            shown: oldest.iter().map(|exchange| stream(exchange)).collect(),
        }
    }
}

async fn show(
    State(of): State<Arc<(Status, Gate)>>,
    ConnectInfo(asker): ConnectInfo<Asker>,
    headers: HeaderMap,
) -> Response {
    let (status, gate) = &*of;
    match gate.check(&asker, &headers) {
        Ok(_) => Json(status.report()).into_response(),
        Err(outside) => outside.into_response(),
    }
}

/// Everybody may know: it is the same for each relay.
async fn nothing_there() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, PATHS)
}

/// The answer's `Allow` names those that are.
async fn other_method(uri: Uri) -> (StatusCode, &'static str) {
    let told = if uri.path().ends_with("/cut") {
        "this method is none of a cut's: POST cuts, with the header `Adit-Confirm: <id>`, and GET asks first, in a browser\n"
    } else {
        "this method is not for this path: it is read, by GET\n"
    };
    (StatusCode::METHOD_NOT_ALLOWED, told)
}

fn replica(since: SystemTime, tunnel: &Tunnel) -> Replica {
    let (peer, stats) = (tunnel.peer(), tunnel.stats());
    Replica {
        replica: peer.replica,
        version: peer.version,
        kubernetes: peer.kubernetes_version,
        tunnel: peer.session,
        since: Moment(since).to_string(),
        round_trip_ms: stats.round_trip.map(|took| took.as_secs_f64() * 1000.0),
        streams: stats.streams,
        draining: tunnel.is_draining(),
    }
}

fn stream(exchange: &Exchange) -> Stream {
    let sent_on = exchange.target.for_api_server();
    let target = operation::Target::new(&sent_on);
    let operation = target.operation(exchange.method.as_str());
    let (resource, namespace, name) = match &operation.object {
        Object::Path(path) => ((*path).to_owned(), "", ""),
        Object::Resource(of) if of.subresource.is_empty() => {
            (of.resource.to_owned(), of.namespace, &*of.name)
        }
        Object::Resource(of) => (
            format!("{}/{}", of.resource, of.subresource),
            of.namespace,
            &*of.name,
        ),
    };
    let (job, project, login) = match exchange.permit.who() {
        Who::Job(job) => {
            let path = job.project.path.as_ref();
            let path = path.map(|path| path.as_str().to_owned());
            let project = path.unwrap_or_else(|| job.project.id.0.to_string());
            (Some(job.job.0), project, &job.user.login)
        }
        Who::User(user) => (None, String::new(), &user.user.login),
    };
    Stream {
        request_id: exchange.request.to_string(),
        agent: exchange.permit.agent().0,
        agent_name: exchange.permit.context().to_owned(),
        job,
        project,
        login: login.to_string(),
        verb: operation.verb.as_str().to_owned(),
        resource,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: operation.kind.as_str().to_owned(),
        age: exchange.began.elapsed().as_secs(),
        request_bytes: exchange.request_bytes.load(Ordering::Relaxed),
        answer_bytes: exchange.answer_bytes.load(Ordering::Relaxed),
    }
}

/// What is on the private port.
const PATHS: &str = "there is nothing at this path. GET: /livez, /readyz, /metrics, / (a page) and /status (the same as JSON). POST: /status/streams/<request id>/cut and /status/tunnels/<id>/cut\n";
