//! The relay: callers and agents both connect to it.
//!
//! # The life of a request
//!
//! A CI job's kubectl sends `GET /k8s-proxy/api/v1/pods` with `Authorization: Bearer ci:7:<token>`.
//!
//! 1. The [`front_door`] accepts the connection, does TLS, and reads the request's head, by HTTP/1 or HTTP/2 as ALPN says.
//! 2. [`handle::Handler::answer`] gives it an id and asks [`target`] what it is for. For the Kubernetes API,
//!    [`handle::Handler::handle`] is the rest of the walk, four lines that each take what the one before proved:
//! 3. [`authenticate`]: an issuer's key vouches for the token, or GitLab itself does, so the caller is a job, or a user with
//!    `Bearer pat:7:<token>`, a [`Caller`](adit_authority::Caller);
//! 4. [`authorise`]: the agent's `ci_access` lets that job in, or GitLab's list does, as a certain user there and until the token
//!    expires or the job ends, a [`Permit`](adit_authority::Permit).
//!    Beside other jobs, one that has many requests waits for its turn here: [`turns`];
//! 5. [`route`]: the [`registry`] has a tunnel of that agent, or one arrives within moments, a
//!    [`Tunnel`](adit_tunnel::Tunnel);
//! 6. [`forward`]: `adit-exchange` strips the credential, writes head and body to a new stream of the tunnel, and brings
//!    the answer back.
//!
//! The answer returns through the same calls. What goes wrong on the way is a [`refusal::Refusal`], which [`respond`] turns
//! into a Kubernetes `Status`; `docs/errors.md` lists them all.
//!
//! What came of each request is written to the [`audit`] log, if there is one. What goes on is counted by [`metrics`], and shown to
//! operators by [`status`].
//!
//! What GitLab's pages ask, and what GitLab tells of pushes, comes by a port of its own: [`gitlab`].
//!
//! Agents come in by the same door: [`agents`] checks the token of their gRPC call and registers the tunnel. [`Relay`]
//! starts all this and stops it in order.
//!
//! What the configuration says, and may say anew while the relay runs, is one value for all stages: [`rules`]. [`Configured`] replaces it,
//! and ends what it no longer permits.
//!
//! # Invariants
//!
//! - Code that holds a `Permit` cannot have skipped a check: nothing else makes one than `adit-authority`.
//! - A caller's token never enters a tunnel, a log, a metric or an answer.
//! - Who drops a future or a body cancels the exchange behind it, up to the API server.
//! - An answer that was cut off looks cut off, over either HTTP.
//! - Every connection, exchange and tunnel is counted against a limit while it lives, by a guard.
//!
//! Absent on purpose: impersonation headers, which the agent writes; what a request means to Kubernetes, which RBAC decides;
//! redirects, retries of requests that may have been carried out, caches of answers.
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the walk above is for those who read the source, with --document-private-items"
)]

mod relay;

mod authenticate;
mod authorise;
mod call;
mod client;
mod connections;
mod forward;
mod front_door;
mod handle;
mod jobs;
mod registry;
mod route;
mod target;
mod turns;

mod agents;
mod browsers;
mod contexts;
mod gitlab;

mod audit;

mod refusal;
mod respond;

mod config;
mod in_flight;
mod lasting;
mod metrics;
mod rules;
mod seldom;
mod spans;
pub mod status;
mod trial;

pub use audit::{AuditConfig, AuditTo, FileConfig, WhenFull};
pub use client::Proxies;
pub use config::{
    AdminConfig, Config, FrontDoorConfig, GitLabApiConfig, LimitsConfig, RawAdmin, RawAudit,
    RawAuditTo, RawAuthorities, RawConfig, RawDrain, RawGitLabApi, RawLimits, RawListen, RawLog,
    RawMetrics, RawRoute, RawTunnel, RouteConfig, TunnelConfig,
};
pub use relay::{Configured, Relay, StartError};
pub use trial::{IssuerKeys, NoFile, NoGitLab, NoSink, Reads, Trial};
