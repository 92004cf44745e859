//! Programs of crates.io, built once by cargo.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{cache, keep};
use crate::command;
use crate::workspace::cargo;

/// A crate with a program of its name.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The crate.
    pub name: &'static str,
    /// Of the crate; of what it is made of only where `flags` say `--locked`.
    pub version: &'static str,
    /// What else `cargo install` is told.
    pub flags: &'static [&'static str],
}

impl Program {
    /// Builds it unless it is in the cache, with progress, and gives its path.
    ///
    /// # Errors
    /// The crates cannot be had, or it does not build.
    pub fn ready(self) -> Result<PathBuf> {
        let (cache, name) = (cache()?, format!("{}-{}", self.name, self.version));
        keep(&name, &cache, &format!("{name} built"), |into| {
            self.build(into)
        })?;
        Ok(cache.join(name).join("bin").join(self.name))
    }

    fn build(self, into: &Path) -> Result<()> {
        // Not beside ours: it would be rebuilt with each change of ours.
        let target = into.join("target");
        let mut install = cargo();
        install
            .args(["install", self.name, "--version", self.version, "--quiet"])
            .args(self.flags)
            .arg("--root")
            .arg(into)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_BUILD_BUILD_DIR", &target);
        command::text_of(&mut install, "", Duration::from_hours(1))
            .with_context(|| format!("cannot build {}", self.name))?;
        // Only the program is wanted.
        let _ = std::fs::remove_dir_all(target);
        Ok(())
    }
}
