//! The relay: callers and agents both connect to it.
#![doc = ""]

mod relay;

mod authenticate;
mod authorise;
mod forward;
mod front_door;
mod handle;
mod jobs;
mod registry;
mod route;
mod target;

mod agents;
mod contexts;

mod refusal;
mod respond;

mod config;
mod in_flight;
mod metrics;

pub use config::*;
pub use relay::{Relay, StartError};
