//! What a request costs on its way from a client to the API server, beside pairs of proxies that do less.
//!
//! A [`rig::Rig`] holds certificates, bodies and the backend; a [`path::Path`] is one way through it: two processes between the load
//! generator and the backend, on a [`course::Course`], which may go through a long [`line`](mod@line) or to a [`kube`] that is no file server;
//! [`load`] drives it with other people's programs, [`caller`] where those do not do; [`process`] reads what its processes spent. The
//! [`race`] is made of heats, each of which adds rows to a [`report`], with what they must be. [`gate`] compares two builds.
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

pub mod gate;
pub mod instructions;
pub mod race;

pub mod report;

pub mod course;
pub mod path;

pub mod caller;
pub mod latency;
pub mod load;
pub mod open_loop;

pub mod fleet;
pub mod kube;
pub mod line;
pub mod pair;

pub mod aside;
pub mod body;
pub mod job;
pub mod process;
pub mod rig;
pub mod shape;
