//! What cargo itself can tell: formatting, lints, documentation. Warnings are errors.

use anyhow::Result;

use super::quietly;
use crate::workspace::cargo;

pub(super) fn formatting() -> Result<()> {
    quietly(cargo().args(["fmt", "--all", "--check"]))
}

pub(super) fn lints() -> Result<()> {
    quietly(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

pub(super) fn documentation() -> Result<()> {
    let mut command = cargo();
    command.args(["doc", "--locked", "--workspace", "--no-deps"]);
    quietly(command.env("RUSTDOCFLAGS", "-D warnings"))
}
