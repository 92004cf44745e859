//! The relay: callers and agents both connect to it.
#![doc = ""]

mod relay;

mod front_door;
mod handle;
mod target;
mod authenticate;
mod jobs;
mod authorise;
mod route;
mod registry;
mod forward;

mod agents;
mod contexts;

mod refusal;
mod respond;

mod config;
mod in_flight;
mod metrics;

pub use config::*;
pub use relay::{Relay, StartError};
