//! Licences, banned crates, sources: `deny.toml`, checked by cargo-deny, which is built once into the cache.
//!
//! Advisories are not among them: their database cannot be had from every machine, and a check that needs it would fail there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::quietly;
use crate::progress::line;
use crate::tools;
use crate::workspace::{cargo, root};

pub(super) fn check() -> Result<()> {
    let program = cargo_deny()?;
    // Offline it looks at every crate of the lock file, those of other platforms too.
    quietly(cargo().args(["fetch", "--locked"]))?;
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .args(["--offline", "check", "bans", "licenses", "sources"]);
    quietly(&mut command)
}

fn cargo_deny() -> Result<PathBuf> {
    let name = format!("cargo-deny-{VERSION}");
    let cache = tools::cache()?;
    let folder = cache.join(&name);
    let program = folder.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    let _lock = tools::lock(&cache.join(format!("{name}.lock")), &name)?;
    if !program.is_file() {
        line("  building cargo-deny, once: about a minute and a half on two cores");
        let mut install = cargo();
        install
            .args([
                "install",
                "cargo-deny",
                "--version",
                VERSION,
                "--locked",
                // It runs for seconds: optimising it takes minutes.
                "--debug",
                "--quiet",
                "--root",
            ])
            .arg(&folder);
        // Not beside ours: it would be rebuilt with each change of ours.
        install.env("CARGO_TARGET_DIR", folder.join("target"));
        quietly(&mut install).context("cannot build cargo-deny")?;
        // Only the program is wanted.
        let _ = std::fs::remove_dir_all(folder.join("target"));
    }
    Ok(program)
}

const VERSION: &str = "0.20.2";
