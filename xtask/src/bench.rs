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
    build(&["adit", "adit-benches"])?;
    measure("adit-benches", "adit-bench", args)
}

/// In two builds: the double's features are none of adit's.
fn before_gitlab(args: &[String]) -> Result<()> {
    build(&["adit"])?;
    measure("adit-tests", "gitlab-bench", args)
}

fn build(packages: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--locked", "--release"]);
    for package in packages {
        build.args(["--package", package]);
    }
    command::show(&mut build)
}

fn measure(package: &str, program: &str, args: &[String]) -> Result<()> {
    let mut run = cargo();
    run.args(["run", "--locked", "--release", "--quiet"]);
    run.args(["--package", package, "--bin", program, "--"]);
    command::show(run.args(args))
}

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
