//! What the scenarios speak: a Kubernetes API server that does as it is told, the real relay and the real agent in front of
//! it, callers of every kind, and a line between any two of them that can go bad.
//!
//! ```text
//! let kube = kube().start().await;
//! let relay = relay().start().await;
//! let agent = agent("prod").to(&relay).serving(&kube).start().await;
//! let answer = relay.job(9001).get("/api/v1/pods").await;
//! ```
//!
//! Everything runs on the one thread of the scenario's own runtime ([`scenario()`]), on ports the system chose, with TLS on all
//! legs. Invariants: nothing here waits by the clock, only for conditions with a deadline ([`until`]); and a scenario that
//! leaves a task behind has failed.
//!
//! From the environment: `ADIT_TEST_LOG` is a filter for the log that a failed scenario prints, such as `trace`;
//! `ADIT_TEST_ROUNDS` is how many requests of two identities are mixed, such as 1000000 over night.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code: a failure is a panic with a place"
)]

mod agent;
pub mod audit;
pub mod balancer;
pub mod body;
pub mod browser;
pub mod caller;
pub mod collector;
mod connect_proxy;
pub mod dashboards;
pub mod documents;
pub mod flux;
pub mod gitlab;
mod hex;
mod issuer;
mod job;
mod kube;
mod kubeconfig;
mod line;
mod logs;
pub mod lonely;
mod metrics;
pub mod pattern;
pub mod pki;
pub mod prometheus;
pub mod raw;
pub mod reference;
mod relay;
mod scenario;
mod settings;
mod tasks;
pub mod tinyproxy;
mod world;

pub use agent::{AgentBuilder, TestAgent, agent};
pub use audit::AuditLog;
pub use caller::{Answer, Caller, CallerIo, Refused};
pub use connect_proxy::ConnectProxy;
pub use documents::documents;
pub use flux::Flux;
pub use gitlab::{Endpoint, Fault, GitLab, JobStatus, Role, gitlab};
pub use issuer::TestIssuer;
pub use job::job;
pub use kube::{GZIPPED, Io, Kube, KubeBuilder, Recorded, kube};
pub use line::{Direction, Line};
pub use logs::logs;
pub use metrics::{Metrics, admin_get};
pub use prometheus::Prometheus;
pub use raw::Raw;
pub use relay::{RelayBuilder, TestRelay, Told, relay};
pub use scenario::{
    SOON, beyond_loopback, pass, scenario, scenario_logging, until, within, without_time,
};
pub use settings::Settings;
pub use world::{World, world};
