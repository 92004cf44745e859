//! Both ends of a tunnel over an in-memory transport, and other gRPC implementations in the place of either.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod crowds;
mod ends;
mod exchanges;
mod grpc;
mod support;
