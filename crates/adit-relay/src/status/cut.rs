//! Cuts a stream or a tunnel because an operator says so: `POST /status/streams/<request id>/cut`, `POST /status/tunnels/<id>/cut`. A GET
//! of the same asks, in a browser, whether it is meant.
//!
//! Routed by `status.rs`. Invariant: nothing is cut that was not let in by the gate, confirmed, found, and written down, in this order.

use std::sync::Arc;

use adit_identity::AgentId;
use adit_process::{admin::Asker, tls::Certificate};
use adit_tunnel::{CloseReason, ResetReason, Tunnel};
use axum::{
    body::Bytes,
    extract::{
        ConnectInfo, Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, Uri, header::ACCEPT},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    Gate, MOST_FORM_BYTES, Outside, Status,
    confirm::{self, By},
    gate::Proof,
    page::{self, Confirm, Notice},
    spoken,
};
use crate::{
    audit::{Cutting, Operator, What},
    lasting::Exchange,
    metrics::Cut,
};

/// What is found of what an operator named.
enum Found {
    Stream(Arc<Exchange>),
    Tunnel(AgentId, Tunnel),
}

/// Why nothing was cut.
#[derive(Debug, thiserror::Error)]
enum NotCut {
    #[error(transparent)]
    Outside(#[from] Outside),
    #[error(transparent)]
    NotMeant(#[from] confirm::NotMeant),
    #[error(
        "the body cannot be read: a cut needs none, and none of more than {MOST_FORM_BYTES} bytes is taken"
    )]
    Unread(StatusCode),
    #[error("no such stream runs here, or no longer: /status lists those that do, by `request_id`")]
    NoStream,
    #[error(
        "there is no such tunnel here, or no longer: /status lists those that are, by `tunnel`"
    )]
    NoTunnel,
    #[error(
        "there is no room for the audit log's record, and nothing is cut without one: the relay's log says why it is not written"
    )]
    AuditFull,
}

type Shared = State<Arc<(Status, Gate)>>;
/// What stands in the path and what is sent is looked at after the gate: who is not let in hears that, whatever else is wrong.
type Id = Result<Path<String>, PathRejection>;
type Sent = Result<Bytes, BytesRejection>;

pub(super) async fn stream(
    State(of): Shared,
    ConnectInfo(asker): ConnectInfo<Asker>,
    path: Id,
    uri: Uri,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    answer(&of, &asker, What::Stream(&id(path, &uri)), &headers, sent).await
}

pub(super) async fn tunnel(
    State(of): Shared,
    ConnectInfo(asker): ConnectInfo<Asker>,
    path: Id,
    uri: Uri,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    answer(&of, &asker, What::Tunnel(&id(path, &uri)), &headers, sent).await
}

pub(super) async fn ask_stream(
    State(of): Shared,
    ConnectInfo(asker): ConnectInfo<Asker>,
    path: Id,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    ask(&of, &asker, What::Stream(&id(path, &uri)), &headers)
}

pub(super) async fn ask_tunnel(
    State(of): Shared,
    ConnectInfo(asker): ConnectInfo<Asker>,
    path: Id,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    ask(&of, &asker, What::Tunnel(&id(path, &uri)), &headers)
}

/// What stands between `/status/streams/` and `/cut`: as it is written there, if it is no text.
fn id(path: Id, uri: &Uri) -> String {
    path.map_or_else(
        |_| uri.path().split('/').nth(3).unwrap_or_default().to_owned(),
        |Path(id)| id,
    )
}

async fn answer(
    (status, gate): &(Status, Gate),
    asker: &Asker,
    what: What<'_>,
    headers: &HeaderMap,
    sent: Sent,
) -> Response {
    let client = asker.from;
    let let_in = gate.check(asker, headers);
    let shown = match let_in {
        Ok(Proof::Certificate) => asker.shown.first().and_then(|own| Certificate::read(own)),
        Ok(Proof::Token | Proof::Machine) | Err(_) => None,
    };
    let (subject, issuer) = shown
        .as_ref()
        .map_or(("", ""), |shown| (&*shown.subject, &*shown.issuer));
    let operator = let_in.ok().map(|proof| Operator {
        proof: proof.as_str(),
        subject,
        issuer,
    });
    let cutting = Cutting {
        client,
        what,
        operator,
    };
    let meant = let_in.map_err(NotCut::from).and_then(|_| {
        let body = sent.map_err(|unread| NotCut::Unread(unread.status()))?;
        Ok(confirm::check(what.id(), headers, &body)?)
    });
    match status.cut(meant, &cutting).await {
        Ok(By::Header) => format!("{what} is cut\n").into_response(),
        Ok(By::Form) => Redirect::to("/").into_response(),
        Err(not) => {
            tracing::info!(client.addr = %client, error = %not, "cut nothing for an operator");
            not.told(headers)
        }
    }
}

fn ask(
    (status, gate): &(Status, Gate),
    asker: &Asker,
    what: What<'_>,
    headers: &HeaderMap,
) -> Response {
    let found = gate.check(asker, headers).map_err(NotCut::from);
    match found.and_then(|_| status.find(what)) {
        Ok(found) => page::answer(StatusCode::OK, &found.confirm(what)),
        Err(not) => not.told(headers),
    }
}

impl Status {
    /// If it is meant by somebody who may, which is told either way.
    async fn cut(&self, meant: Result<By, NotCut>, cutting: &Cutting<'_>) -> Result<By, NotCut> {
        let by = meant.inspect_err(|not| self.audit.not_let(cutting, not.reason()))?;
        let found = self.find(cutting.what);
        let found = found.inspect_err(|_| self.audit.unknown(cutting))?;
        let when_full = self.rules.load().audit.changes_when_full;
        let written = self.audit.cut(cutting, found.agent(), when_full).await;
        written.map_err(|_| NotCut::AuditFull)?;
        tracing::warn!(
            client.addr = %cutting.client,
            agent.id = found.agent().0,
            cut = %cutting.what,
            "an operator cuts a stream or a tunnel"
        );
        match found {
            Found::Stream(exchange) => {
                exchange.cutter.cut(ResetReason::CutByOperator, MESSAGE);
                self.metrics.exchanges_cut(Cut::Operator, 1);
            }
            Found::Tunnel(_, tunnel) => tunnel.close(CloseReason::CutByOperator, MESSAGE),
        }
        Ok(by)
    }

    fn find(&self, what: What<'_>) -> Result<Found, NotCut> {
        match what {
            What::Stream(id) => {
                let found = self.lasting.find(id).map(Found::Stream);
                found.ok_or(NotCut::NoStream)
            }
            What::Tunnel(id) => {
                let found = self.registry.find(id);
                let found = found.map(|(agent, tunnel)| Found::Tunnel(agent, tunnel));
                found.ok_or(NotCut::NoTunnel)
            }
        }
    }
}

impl Found {
    fn agent(&self) -> AgentId {
        match self {
            Self::Stream(exchange) => exchange.permit.agent(),
            Self::Tunnel(agent, _) => *agent,
        }
    }

    fn confirm<'a>(&self, what: What<'a>) -> Confirm<'a> {
        let (kind, facts, follows) = match self {
            Self::Stream(exchange) => ("stream", of_stream(exchange), AFTER_A_STREAM),
            Self::Tunnel(agent, tunnel) => ("tunnel", of_tunnel(*agent, tunnel), AFTER_A_TUNNEL),
        };
        Confirm {
            kind,
            what: what.to_string(),
            id: what.id(),
            facts,
            follows,
        }
    }
}

fn of_stream(exchange: &Exchange) -> Vec<(&'static str, String)> {
    let stream = super::stream(exchange);
    let job = stream.job.map(|job| format!("{job} of {}", stream.project));
    vec![
        ("Job", job.unwrap_or_default()),
        ("User", stream.login),
        ("Verb", stream.verb),
        ("Resource", stream.resource),
        ("Namespace", stream.namespace),
        ("Name", stream.name),
        ("Agent", stream.agent_name),
        ("For", spoken::age(stream.age)),
        ("Request", stream.request_id),
    ]
}

fn of_tunnel(agent: AgentId, tunnel: &Tunnel) -> Vec<(&'static str, String)> {
    let peer = tunnel.peer();
    vec![
        ("Agent", agent.0.to_string()),
        ("Replica", peer.replica),
        ("Version", peer.version),
        ("Runs", tunnel.stats().streams.to_string()),
        ("Tunnel", peer.session),
    ]
}

impl NotCut {
    /// For the audit log.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Outside(outside) => outside.reason(),
            Self::NotMeant(not) => not.reason(),
            Self::Unread(_) => "body",
            Self::NoStream | Self::NoTunnel => "unknown",
            Self::AuditFull => "audit_full",
        }
    }

    /// As a page to a browser.
    fn told(self, headers: &HeaderMap) -> Response {
        let status = match &self {
            Self::Outside(outside) => return (*outside).into_response(),
            Self::NotMeant(not) => not.status(),
            Self::Unread(status) => *status,
            Self::NoStream | Self::NoTunnel => StatusCode::NOT_FOUND,
            Self::AuditFull => StatusCode::SERVICE_UNAVAILABLE,
        };
        let message = self.to_string();
        let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        if accepted.is_some_and(|accept| accept.contains("text/html")) {
            page::answer(status, &Notice { message })
        } else {
            (status, format!("{message}\n")).into_response()
        }
    }
}

/// For the agent's log.
const MESSAGE: &str = "an operator of the relay cut it";
const AFTER_A_STREAM: &str = "Its caller sees it break off. Most clients begin a watch anew at once: to keep somebody out, take away the access.";
const AFTER_A_TUNNEL: &str = "All that runs on it breaks off. The agent connects again by itself.";
