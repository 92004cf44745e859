//! `cargo xtask bench`: builds what is released and lets `adit-bench` measure it, or `gitlab-bench`.

use anyhow::Result;

use crate::command;
use crate::tools::debian::{self, Needed};
use crate::workspace::cargo;

/// Builds, then runs the race with these arguments; or, when the first of them is `gitlab`, measures before a double of GitLab.
///
/// # Errors
/// A peer or a load generator is missing and cannot be installed, a build fails, or the measurement does.
pub fn run(args: &[String]) -> Result<()> {
    match args.split_first() {
        Some((first, rest)) if first == "gitlab" => before_gitlab(rest),
        _ => race(args),
    }
}

fn race(args: &[String]) -> Result<()> {
    debian::ready(NEEDED)?;
    build("adit", "adit")?;
    if has_kas() {
        debian::ready(NEEDED_BY_KAS)?;
        build("adit-tests", "gitlab-double")?;
    }
    if args.iter().any(|arg| arg.starts_with("--gate")) {
        debian::ready(NEEDED_BY_GATE)?;
    }
    measure("adit-benches", "adit-bench", args)
}

fn before_gitlab(args: &[String]) -> Result<()> {
    build("adit", "adit")?;
    measure("adit-tests", "gitlab-bench", args)
}

/// Each program by itself, so that adit is built as it is released, and not with what benches and tests need of it.
fn build(package: &str, program: &str) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--locked", "--release"]);
    command::show(build.args(["--package", package, "--bin", program]))
}

fn measure(package: &str, program: &str, args: &[String]) -> Result<()> {
    let mut run = cargo();
    run.args(["run", "--locked", "--release", "--quiet"]);
    run.args(["--package", package, "--bin", program, "--"]);
    command::show(run.args(args))
}

/// Whether GitLab's own agent server and agent run along: whoever names both programs has them.
fn has_kas() -> bool {
    ["KAS_BIN", "AGENTK_BIN"]
        .iter()
        .all(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

const NEEDED_BY_KAS: &[Needed] = &[Needed {
    what: "redis-server",
    package: "redis-server",
}];

const NEEDED_BY_GATE: &[Needed] = &[Needed {
    what: "callgrind_control",
    package: "valgrind",
}];

const NEEDED: &[Needed] = &[
    Needed {
        what: "nginx",
        package: "nginx-light",
    },
    Needed {
        what: "nghttpx",
        package: "nghttp2-proxy",
    },
    Needed {
        what: "h2load",
        package: "nghttp2-client",
    },
    Needed {
        what: "haproxy",
        package: "haproxy",
    },
    Needed {
        what: "wrk",
        package: "wrk",
    },
    Needed {
        what: "curl",
        package: "curl",
    },
];
