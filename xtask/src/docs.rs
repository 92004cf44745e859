//! `cargo xtask docs`: writes what is generated of the documentation, docs/metrics.md. The test that compares it is what writes it,
//! too: it has the relay and the agent whose metrics are listed.

use anyhow::Result;
use xtask::command;
use xtask::workspace::cargo;

pub(crate) fn write() -> Result<()> {
    let mut test = cargo();
    test.args([
        "test",
        "--locked",
        "--quiet",
        "--workspace",
        "--test",
        "scenarios",
        "--",
        "--exact",
        "documents::metrics_are_documented_as_they_are_registered",
    ]);
    command::show(test.env("ADIT_WRITE_DOCS", "1"))
}
