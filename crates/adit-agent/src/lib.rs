//! The agent: dials out to a relay and serves one cluster's API through the tunnel.
//!
//! ```text
//!  relay ◀── dial (proxy, TLS) ── agent::link holds the tunnel
//!    │                                │
//!    └─ streams ──▶ serve ──▶ impersonate (ceiling) ──▶ kube (pool, HTTP/2 or 1.1) ──▶ API server
//! ```
//!
//! Beside that, and only when its configuration asks for it, `flux` passes pushes that GitLab tells of on to Flux's Receivers.
//!
//! Reading order is that of a request: [`Agent`] holds a tunnel, `serve` takes its streams, `impersonate` writes who asks,
//! `kube` calls the API server; `dial` is how either peer is reached.
//!
//! Invariants:
//! - The agent never sees a caller's token; the API server never sees a caller's credentials.
//! - One API server, fixed at start. Nothing in a request chooses whom the agent dials, and no redirect is followed.
//! - Whoever is impersonated is named by the relay and stays below the agent's own ceiling; a request without an identity
//!   is refused.
//! - When the relay leaves a stream, the API server's request is taken back at once; when an answer breaks off, it is
//!   never shown as complete.
//!
//! Absent on purpose: decisions about who may do what. The relay decides who a caller is, the cluster's RBAC what that
//! identity may do.

mod agent;
mod config;
mod serve;

mod flux;

mod impersonate;
mod in_hand;
mod kube;

pub mod dial;
mod explain;
#[cfg(test)]
mod fake;
mod metrics;
mod trial;

pub use adit_identity::mistakes::Mistakes;

pub use crate::agent::{Agent, Configured, StartError};
pub use crate::config::{
    Config, RawAdmin, RawCeiling, RawConfig, RawFlux, RawKubernetes, RawLimits, RawLog, RawRelay,
};
pub use crate::explain::ConnectFailure;
pub use crate::trial::{Cluster, NoAnswer, NoTraces, RelayWay, Right, Trial, Tried};
