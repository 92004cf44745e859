//! One way from the load generator to the backend: two processes, and where to knock.

use std::path::PathBuf;

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

/// A path by its name in tables.
#[derive(Clone, Debug)]
pub struct Contender {
    pub name: String,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    /// The peer that ratios refer to.
    Nghttpx,
    Haproxy,
    /// Relay and agent of this binary.
    Adit(PathBuf),
}

impl Contender {
    /// The pairs of proxies, and adit as it was built beside this program.
    pub fn usual() -> Result<Vec<Self>> {
        let binary = std::env::current_exe()?.with_file_name("adit");
        Ok(vec![
            Self::new("nghttpx pair", Way::Nghttpx),
            Self::new("HAProxy pair", Way::Haproxy),
            Self::adit("adit", binary),
        ])
    }

    /// One more build of adit.
    #[must_use]
    pub fn adit(name: &str, binary: PathBuf) -> Self {
        Self::new(name, Way::Adit(binary))
    }

    fn new(name: &str, way: Way) -> Self {
        Self {
            name: name.to_owned(),
            way,
        }
    }

    pub fn start(&self, rig: &Rig) -> Result<Path> {
        match &self.way {
            Way::Nghttpx => nghttpx::start(rig),
            Way::Haproxy => haproxy::start(rig),
            Way::Adit(binary) => adit::start(rig, binary),
        }
    }
}
