//! Cuts a stream or a tunnel because an operator says so: `POST /status/streams/<request id>/cut`, `POST /status/tunnels/<id>/cut`.
//!
//! Routed by `status.rs`. Invariant: nothing is cut that was not let in by the gate, confirmed, found, and written down, in this order.

use std::{net::SocketAddr, sync::Arc};

use adit_identity::AgentId;
use adit_process::admin::Asker;
use adit_tunnel::{CloseReason, ResetReason, Tunnel};
use axum::{
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{Gate, Outside, Status, confirm};
use crate::{
    audit::{Cutting, What},
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

pub(super) async fn stream(
    State(of): State<Arc<(Status, Gate)>>,
    ConnectInfo(Asker(client)): ConnectInfo<Asker>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(&of, client, What::Stream(&id), &headers).await
}

pub(super) async fn tunnel(
    State(of): State<Arc<(Status, Gate)>>,
    ConnectInfo(Asker(client)): ConnectInfo<Asker>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(&of, client, What::Tunnel(&id), &headers).await
}

async fn answer(
    of: &(Status, Gate),
    client: SocketAddr,
    what: What<'_>,
    headers: &HeaderMap,
) -> Response {
    let (status, gate) = of;
    let cutting = Cutting { client, what };
    match status.cut(gate, &cutting, headers).await {
        Ok(()) => format!("{what} is cut\n").into_response(),
        Err(not) => {
            tracing::info!(client.addr = %client, error = %not, "cut nothing for an operator");
            not.into_response()
        }
    }
}

impl Status {
    async fn cut(
        &self,
        gate: &Gate,
        cutting: &Cutting<'_>,
        headers: &HeaderMap,
    ) -> Result<(), NotCut> {
        self.let_in(gate, cutting.what, headers)
            .inspect_err(|not| {
                self.audit.not_let(cutting, not.reason());
            })?;
        let found = self.find(cutting.what).inspect_err(|_| {
            self.audit.unknown(cutting);
        })?;
        let written = self.audit.cut(cutting, found.agent()).await;
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
        Ok(())
    }

    fn let_in(&self, gate: &Gate, what: What<'_>, headers: &HeaderMap) -> Result<(), NotCut> {
        gate.check(headers)?;
        confirm::check(what.id(), headers)?;
        Ok(())
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
}

impl NotCut {
    fn reason(&self) -> &'static str {
        match self {
            Self::Outside(outside) => outside.reason(),
            Self::NotMeant(not) => not.reason(),
            Self::NoStream | Self::NoTunnel => "unknown",
            Self::AuditFull => "audit_full",
        }
    }
}

impl IntoResponse for NotCut {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::Outside(outside) => outside.into_response(),
            Self::NotMeant(not) => not.into_response(),
            Self::NoStream | Self::NoTunnel => (StatusCode::NOT_FOUND, text).into_response(),
            Self::AuditFull => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
        }
    }
}

/// For the agent's log.
const MESSAGE: &str = "an operator of the relay cut it";
