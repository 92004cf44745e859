//! Whole paths: the real relay and the real agent in one process, between callers of every kind and an API server that does
//! as it is told. A file for each theme; `support/` has the words.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code: a failure is a panic with a place"
)]

mod audit;
mod bytes;
mod certificates;
mod client_certificates;
mod clients;
mod documents;
mod double;
mod faults;
mod gitlab;
mod hostile;
mod identity;
mod limits;
mod metrics;
mod monitoring;
mod networks;
mod proxy;
mod refusals;
mod reload;
mod replicas;
mod secrets;
mod sessions;
mod shards;
mod shutdown;
mod status;
mod streams;
mod traces;
mod upgrades;
mod websockets;
