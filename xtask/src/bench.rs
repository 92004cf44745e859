//! `cargo xtask bench`: builds what is released and lets `adit-bench` measure it.

use anyhow::Result;

use crate::command;
use crate::tools::debian::{self, Needed};
use crate::workspace::cargo;

/// Builds, then runs the race with these arguments.
///
/// # Errors
/// A peer or a load generator is missing and cannot be installed, a build fails, or the race does.
pub fn run(args: &[String]) -> Result<()> {
    debian::ready(NEEDED)?;
    command::show(cargo().args([
        "build",
        "--locked",
        "--release",
        "--package",
        "adit",
        "--package",
        "adit-benches",
    ]))?;
    let mut race = cargo();
    race.args([
        "run",
        "--locked",
        "--release",
        "--quiet",
        "--package",
        "adit-benches",
        "--bin",
        "adit-bench",
        "--",
    ]);
    command::show(race.args(args))
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
