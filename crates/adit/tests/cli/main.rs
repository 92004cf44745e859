//! The commands that do one thing and end, as a user meets them: output, exit codes, files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

mod config;
mod cut;
mod fake_relay;
mod help;
mod kubeconfig;
mod manifests;
mod process;
mod rules;
mod status;
mod token;
