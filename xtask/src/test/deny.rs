//! Licences, banned crates, sources: `deny.toml`, checked by cargo-deny, which is built once into the cache.
//!
//! Advisories are not among them: their database cannot be had from every machine, and a check that needs it would fail there.

use std::process::Command;

use anyhow::Result;

use super::quietly;
use crate::tools::Program;
use crate::workspace::{cargo, root};

pub(super) fn check() -> Result<()> {
    let program = CARGO_DENY.ready()?;
    // Offline it looks at every crate of the lock file, those of other platforms too.
    quietly(cargo().args(["fetch", "--locked"]))?;
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .args(["--offline", "check", "bans", "licenses", "sources"]);
    quietly(&mut command)
}

const CARGO_DENY: Program = Program {
    name: "cargo-deny",
    version: "0.20.2",
    // It runs for seconds: optimising it takes minutes.
    flags: &["--locked", "--debug"],
};
