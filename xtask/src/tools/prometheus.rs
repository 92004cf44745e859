//! Prometheus and promtool: the machine's own, or those of Debian's package, unpacked into the cache. Installed, the package would
//! start a service.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{cache, debian, keep};
use crate::command;

/// Where the two programs lie.
#[derive(Clone, Debug)]
pub struct Prometheus {
    server: PathBuf,
    promtool: PathBuf,
}

impl Prometheus {
    /// Fetches them, unless they are there.
    ///
    /// # Errors
    /// They cannot be fetched.
    pub fn ready() -> Result<Self> {
        if let Some(own) = Self::own() {
            return Ok(own);
        }
        let cache = cache()?;
        keep(PACKAGE, &cache, "prometheus fetched", |into| {
            debian::unpack(PACKAGE, into)
        })?;
        let programs = folder(&cache).join("usr/bin");
        Ok(Self {
            server: programs.join("prometheus"),
            promtool: programs.join("promtool"),
        })
    }

    /// Whether they could be made ready. Tests ask before they say they skip.
    ///
    /// # Errors
    /// What is missing.
    pub fn available() -> Result<()> {
        if Self::own().is_some() || folder(&cache()?).is_dir() {
            return Ok(());
        }
        debian::can_unpack(PACKAGE)
    }

    fn own() -> Option<Self> {
        Some(Self {
            server: command::find("prometheus")?,
            promtool: command::find("promtool")?,
        })
    }

    /// The server's file.
    #[must_use]
    pub fn server(&self) -> &Path {
        &self.server
    }

    /// The file of what checks and tests rules.
    #[must_use]
    pub fn promtool(&self) -> &Path {
        &self.promtool
    }
}

fn folder(cache: &Path) -> PathBuf {
    cache.join(PACKAGE)
}

/// Its name in the cache, too. Which version it is depends on the machine's release of Debian.
const PACKAGE: &str = "prometheus";
