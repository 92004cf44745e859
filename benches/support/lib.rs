//! What a request costs on its way from a client to the API server, beside pairs of proxies that do less.
//!
//! A [`rig::Rig`] holds certificates, bodies and the backend; a [`path::Path`] is one way through it: two processes between the load
//! generator and the backend; [`load`] drives it, [`process`] reads what its processes spent, [`report`] prints medians and ratios.
//!
//! All legs are TLS. Everything runs on loopback, on the same cores, in turn.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "a program that measures and prints; its items are documented where a name does not say it"
)]

pub mod job;
pub mod load;
pub mod path;
pub mod process;
pub mod report;
pub mod rig;
pub mod shape;
