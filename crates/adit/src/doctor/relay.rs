//! `adit doctor relay`: beside a relay, with its configuration, whether that runs or not.
//!
//! It reads the files that the relay reads, and asks whom the relay asks ([`adit_relay::Trial`]).

mod authorities;
mod certificate;
mod files;
mod gitlab_api;
mod running;

use std::path::PathBuf;

use adit_relay::Trial;
use clap::Args;

use self::authorities::{API_SECRET, GITLAB, ISSUERS, READ_TOKEN, WEBHOOK};
use self::certificate::{ADMIN_CERTIFICATE, ADMIN_CLIENT_CA, CERTIFICATE, CLIENT_CA};
use self::files::{ADMIN_TOKEN, AUDIT, TRACES};
use self::gitlab_api::{GITLAB_API, GITLAB_API_CERTIFICATE};
use self::running::{ADMIN, GITALY, PORT, READY, VERSION};
use super::finding::{Check, Hop, Report};
use crate::relay;

/// Beside a relay: its files, its ports, and who vouches for jobs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  adit doctor relay --config /etc/adit/relay.yaml")]
pub(crate) struct RelayArgs {
    /// The relay's config file; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CONFIG")]
    config: PathBuf,
}

const SETTINGS: Check = Check::new("settings", Hop::Relay);

const CHECKS: [Check; 20] = [
    SETTINGS,
    CERTIFICATE,
    CLIENT_CA,
    ADMIN_CERTIFICATE,
    ADMIN_CLIENT_CA,
    ADMIN_TOKEN,
    AUDIT,
    TRACES,
    ADMIN,
    PORT,
    VERSION,
    ISSUERS,
    // What keeps the relay from being ready comes before.
    READY,
    GITLAB,
    API_SECRET,
    READ_TOKEN,
    GITALY,
    GITLAB_API_CERTIFICATE,
    GITLAB_API,
    WEBHOOK,
];

pub(super) async fn examine(args: RelayArgs, report: &mut Report) {
    match relay::read_config(&args.config).map(Trial::of) {
        Ok(trial) => {
            let file = args.config.display();
            report.ok(SETTINGS, format!("{file}: no mistakes"));
            for doubt in trial.config().doubts() {
                let advice = "docs/configuration.md has every key";
                report.warning(SETTINGS, format!("{file}: {doubt}"), advice);
            }
            certificate::check(&trial, report);
            files::check(&trial, report).await;
            let relay = running::check(&trial, report).await;
            authorities::check(&trial, report).await;
            gitlab_api::check(&trial, relay, report).await;
        }
        Err(failure) => {
            let mend = "mend what is named: docs/configuration.md has every key";
            let advice = failure.advice().unwrap_or(mend);
            report.failed(SETTINGS, failure.lines(), advice);
        }
    }
    report.complete(&CHECKS);
}
