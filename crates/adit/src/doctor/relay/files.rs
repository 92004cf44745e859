//! Checks `admin_token`, `audit` and `traces`: can the relay read the token that opens its private port, write down who did what, or send it
//! to a collector that takes it, and spans of requests?

use adit_process::chain;
use adit_relay::{AuditTo, NoSink, Trial};

use crate::doctor::finding::{Check, Hop, Report};

pub(super) const ADMIN_TOKEN: Check = Check::new("admin_token", Hop::Relay);
pub(super) const AUDIT: Check = Check::new("audit", Hop::Relay);
pub(super) const TRACES: Check = Check::new("traces", Hop::Relay);

pub(super) async fn check(trial: &Trial, report: &mut Report) {
    match trial.admin_token() {
        Ok(Some(())) => report.ok(ADMIN_TOKEN, "it can be used"),
        Ok(None) => report.not_run(ADMIN_TOKEN, "none is configured"),
        Err(error) => report.failed(ADMIN_TOKEN, chain(&error), error.advice()),
    }
    match trial.audit().await {
        Ok(Some(to @ AuditTo::Collector(_))) => report.ok(AUDIT, format!("{to} takes records")),
        Ok(Some(to)) => report.ok(AUDIT, format!("this user can write to {to}")),
        Ok(None) => report.not_run(AUDIT, "none is kept: audit.to"),
        Err(error) => report.failed(AUDIT, chain(&error), error.advice()),
    }
    match trial.traces().await {
        Ok(Some(to)) => report.ok(TRACES, format!("{to} takes spans")),
        Ok(None) => report.not_run(TRACES, "no requests are traced"),
        // No request waits for it.
        Err(error @ NoSink::Collector { .. }) => {
            report.warning(TRACES, chain(&error), error.advice());
        }
        Err(error @ NoSink::Start(_)) => report.failed(TRACES, chain(&error), error.advice()),
    }
}
