//! `adit doctor` as a user meets it: each thing that can be broken is broken in turn, and named, with its hop and exit code.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's way to fail"
)]

mod agent;
mod job;
mod relay;
mod support;
