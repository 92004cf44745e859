//! Both ends of an exchange, over a tunnel whose wire is in memory.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::large_futures,
    clippy::or_fun_call,
    reason = "tests"
)]

mod bodies;
mod cutting;
mod fields;
mod support;
mod upgrades;
