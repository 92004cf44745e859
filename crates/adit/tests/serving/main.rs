//! The commands that keep running: how they start, what they tell, how signals end them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

mod agent;
mod dev;
mod kube;
mod ours;
mod pair;
mod process;
mod proxy;
mod relay;
mod reload;
