//! The session protocol in simulation: properties under any sequence of operations, fairness, windows, hostile peers, time, and
//! the wire format against another implementation.
#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect should panic"
)]

mod bounds;
mod budget;
mod drain;
mod ends;
mod fairness;
mod hostile;
mod lost;
mod properties;
mod support;
mod time;
mod windows;
mod wire_format;
