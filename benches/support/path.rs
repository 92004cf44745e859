//! One way from the load generator to the backend: two processes, and where to knock.

use anyhow::Result;

use crate::{load::Target, process::Process, rig::Rig};

pub mod adit;
pub mod haproxy;
pub mod nghttpx;

/// A path that is up.
#[derive(Debug)]
pub struct Path {
    /// The one that clients talk to, then the one that talks to the backend.
    pub hops: [Process; 2],
    base: String,
    headers: Vec<String>,
}

impl Path {
    #[must_use]
    pub fn target(&self, file: &str) -> Target {
        Target {
            url: format!("{}/{file}", self.base),
            headers: self.headers.clone(),
        }
    }

    /// CPU of both hops so far, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> [u64; 2] {
        self.hops.each_ref().map(Process::cpu_ns)
    }
}

/// The paths there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The peer that ratios refer to.
    Nghttpx,
    Haproxy,
    Adit,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Nghttpx, Self::Haproxy, Self::Adit];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nghttpx => "nghttpx pair",
            Self::Haproxy => "HAProxy pair",
            Self::Adit => "adit",
        }
    }

    pub fn start(self, rig: &Rig) -> Result<Path> {
        match self {
            Self::Nghttpx => nghttpx::start(rig),
            Self::Haproxy => haproxy::start(rig),
            Self::Adit => adit::start(rig),
        }
    }
}
