//! `cargo xtask bench`: builds what is released and lets `adit-bench` measure it, or `gitlab-bench`.

mod peers;

use std::path::PathBuf;

use anyhow::Result;

use self::peers::are_set;
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
    if are_set(&["KAS_BIN", "AGENTK_BIN"]) {
        debian::ready(NEEDED_BY_KAS)?;
        build("adit-tests", "gitlab-double")?;
    }
    if args.iter().any(|arg| arg.starts_with("--gate")) {
        debian::ready(NEEDED_BY_GATE)?;
    }
    measure("adit-benches", "adit-bench", args, peers::built(args)?)
}

fn before_gitlab(args: &[String]) -> Result<()> {
    build("adit", "adit")?;
    measure("adit-tests", "gitlab-bench", args, vec![])
}

/// Each program by itself, so that adit is built as it is released, and not with what benches and tests need of it.
fn build(package: &str, program: &str) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--locked", "--release"]);
    command::show(build.args(["--package", package, "--bin", program]))
}

/// The variables name programs that it is to find.
fn measure(
    package: &str,
    program: &str,
    args: &[String],
    variables: Vec<(&str, PathBuf)>,
) -> Result<()> {
    let mut run = cargo();
    run.args(["run", "--locked", "--release", "--quiet"]);
    run.args(["--package", package, "--bin", program, "--"]);
    command::show(run.args(args).envs(variables))
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
