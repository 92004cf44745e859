//! Checks `admin_token` and `audit`: can the relay read the token that opens its private port, and write down who did what?

use adit_process::chain;
use adit_relay::Trial;

use crate::doctor::finding::{Check, Hop, Report};

pub(super) const ADMIN_TOKEN: Check = Check::new("admin_token", Hop::Relay);
pub(super) const AUDIT: Check = Check::new("audit", Hop::Relay);

pub(super) fn check(trial: &Trial, report: &mut Report) {
    match trial.admin_token() {
        Ok(Some(())) => report.ok(ADMIN_TOKEN, "it can be used"),
        Ok(None) => report.not_run(ADMIN_TOKEN, "none is configured"),
        Err(error) => report.failed(ADMIN_TOKEN, chain(&error), error.advice()),
    }
    match trial.audit() {
        Ok(Some(to)) => report.ok(AUDIT, format!("this user can write to {to}")),
        Ok(None) => report.not_run(AUDIT, "none is kept: audit.to"),
        Err(error) => report.failed(AUDIT, chain(&error), error.advice()),
    }
}
