//! `cargo xtask docs`: writes what is generated of the documentation, docs/metrics.md, what reasons mean in docs/errors.md, the tables of
//! keys in docs/configuration.md and docs/agent.md, what the charts' schemas say of `config`, and the dashboards of deploy/grafana/. The
//! tests that compare them are what writes them, too: they have the relay and the agent whose metrics are listed, and that know their keys.

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
        "documents::reasons_mean_in_the_documents_what_the_page_says",
        "documents::keys::keys_of_the_relay_are_as_documented",
        "documents::keys::keys_of_the_agent_are_as_documented",
        "documents::dashboards::dashboards_are_written_from_their_pages",
    ]);
    command::show(test.env("ADIT_WRITE_DOCS", "1"))
}
