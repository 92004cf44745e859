//! What the project's commands are made of, as a library: the tests start the same cluster as the demo.
//!
//! [`tools`] builds Kubernetes' own programs once, [`cluster`] runs them, [`image`] writes container images without a
//! container engine. All of it blocks: call it from a thread that may wait. Progress goes to standard error.
//!
//! Invariant: whatever is started or changed on the machine is written down first ([`cluster`] says where), so that it
//! can be undone even after this process was killed.

#![allow(
    clippy::disallowed_types,
    reason = "no tokio here, and so no clock of tokio's"
)]

pub mod bench;
pub mod cluster;
pub mod command;
pub mod hex;
pub mod image;
pub mod interrupt;
mod lock;
pub mod ports;
pub mod progress;
pub mod skip;
pub mod template;
pub mod test;
pub mod tools;
pub mod wait;
pub mod workspace;
