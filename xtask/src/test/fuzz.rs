//! A short run of the fuzz targets, coverage-guided. `fuzz/README.md` says what they are and how to run them for long.

use std::process::Command;

use anyhow::{Context, Result};

use super::quietly;
use crate::tools::debian::{self, CPP};
use crate::workspace::{cargo, root};

/// Why it cannot be run, and how it could.
pub(super) fn available() -> Result<()> {
    debian::available(&[CPP]).context("libFuzzer is C++")
}

/// The targets are a workspace of their own, which the checks of ours do not see.
pub(super) fn check() -> Result<()> {
    debian::ready(&[CPP])?;
    quietly(fuzz_cargo().args(["fmt", "--check"]))?;
    let clippy = ["clippy", "--locked", "--release", "--all-targets"];
    quietly(fuzz_cargo().args(clippy).args(["--", "-D", "warnings"]))
}

pub(super) fn run() -> Result<()> {
    debian::ready(&[CPP])?;
    for target in TARGETS {
        run_target(target).with_context(|| format!("target {target}"))?;
    }
    Ok(())
}

fn run_target(target: &str) -> Result<()> {
    let folder = root().join("fuzz");
    std::fs::create_dir_all(folder.join("corpus").join(target))?;
    std::fs::create_dir_all(folder.join("artifacts"))?;
    let mut command = fuzz_cargo();
    command.args([
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--bin",
        target,
        "--",
    ]);
    command.args([
        &format!("-max_total_time={SECONDS}"),
        "-len_control=0",
        "-max_len=804",
        "-timeout=10",
    ]);
    command.args([
        "-rss_limit_mb=1024",
        &format!("-artifact_prefix=artifacts/{target}-"),
    ]);
    command.args([format!("corpus/{target}"), format!("seeds/{target}")]);
    quietly(&mut command)
}

fn fuzz_cargo() -> Command {
    let mut command = cargo();
    // These would replace the flags of `fuzz/.cargo/config.toml`, without which nothing guides.
    command
        .current_dir(root().join("fuzz"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

const TARGETS: [&str; 3] = ["decoder", "session_ops", "hostile"];

/// For each target. A finding of the last hours' changes shows at once or needs a long run.
const SECONDS: u32 = 10;
