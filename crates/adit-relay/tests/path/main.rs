//! A relay on a real socket, clients that write their own bytes, and an agent made of `adit-tunnel` and `adit-exchange`.
//!
//! What kubectl and a real API server make of it is tested in the package `tests`; here are the front door's own rules.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod doors;
mod expiry;
mod limits;
mod passing;
mod refusals;
mod replicas;
mod stopping;
mod support;
mod upgrades;
