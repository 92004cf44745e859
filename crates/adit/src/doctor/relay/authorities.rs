//! Checks `issuers`, `gitlab`, `api_secret` and `webhook`: does whoever vouches for jobs, agents and users answer the relay?

use adit_process::chain;
use adit_relay::{IssuerKeys, NoGitLab, Trial};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::doctor::finding::{Check, Hop, Report};
use crate::kubernetes_status::Status;

pub(super) const ISSUERS: Check = Check::new("issuers", Hop::Authority);
pub(super) const GITLAB: Check = Check::new("gitlab", Hop::Authority);
pub(super) const API_SECRET: Check = Check::new("api_secret", Hop::Relay);
pub(super) const WEBHOOK: Check = Check::new("webhook", Hop::Relay);

pub(super) async fn check(trial: &Trial, report: &mut Report) {
    issuers(trial, report).await;
    gitlab(trial, report).await;
    match trial.api_secret() {
        Ok(Some(())) => report.ok(API_SECRET, "it can be used, whether it is GitLab's or not"),
        Ok(None) => report.not_run(
            API_SECRET,
            "none is configured, so GitLab is not asked about agents and users",
        ),
        Err(error) => {
            let advice = "put GitLab's kas_shared_secret into the file: docs/gitlab.md";
            report.failed(API_SECRET, chain(&error), advice);
        }
    }
    match trial.webhook_secrets() {
        Ok(Some(())) => report.ok(WEBHOOK, "its secrets can be used"),
        Ok(None) => report.not_run(
            WEBHOOK,
            "no secret is configured, so a job's end is seen at the next question",
        ),
        Err(error) => {
            let advice = "put the webhook's secret token into the file: docs/gitlab.md";
            report.failed(WEBHOOK, chain(&error), advice);
        }
    }
}

async fn issuers(trial: &Trial, report: &mut Report) {
    let fetched = match trial.issuers().await {
        Ok(fetched) => fetched,
        Err(error) => {
            report.failed(at_relay(ISSUERS), chain(&error), CA);
            return;
        }
    };
    if fetched.is_empty() {
        report.not_run(ISSUERS, "none is configured");
    }
    for IssuerKeys { issuer, keys } in fetched {
        match keys {
            Ok(count) => report.ok(ISSUERS, format!("{issuer}: {count} keys")),
            Err(error) => {
                let what = format!("{issuer}: its keys cannot be had: {}", chain(&error));
                let advice = "check that this machine reaches the issuer directly, its certificate (authorities.ca_file), and jwks_url or jwks_file";
                report.failed(ISSUERS, what, advice);
            }
        }
    }
}

async fn gitlab(trial: &Trial, report: &mut Report) {
    match trial.gitlab().await {
        Ok(None) => report.not_run(GITLAB, "it is not configured as an authority"),
        Ok(Some(answer)) => answered(answer, report),
        Err(error) => report.failed(at_relay(GITLAB), chain(&error), CA),
    }
}

fn answered(answer: Result<Response<Bytes>, NoGitLab>, report: &mut Report) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let advice = "check authorities.gitlab.url, that this machine reaches it directly, and its certificate (authorities.gitlab.ca_file)";
            report.failed(GITLAB, chain(&error), advice);
            return;
        }
    };
    // Who shows no token is told so, by GitLab and nobody else.
    if answer.status() == StatusCode::UNAUTHORIZED {
        report.ok(GITLAB, "it answers");
        return;
    }
    let status = answer.status();
    let advice = if status.is_redirection() {
        "it leads elsewhere: write that address into authorities.gitlab.url"
    } else if status.is_server_error() {
        "GitLab, or something in front of it, is in trouble"
    } else {
        "that is not GitLab's API for jobs: check authorities.gitlab.url, and GitLab's version"
    };
    let said = Status::read(answer.body()).message;
    report.failed(GITLAB, format!("it answers {status}: {said}"), advice);
}

/// A file of the relay's own is at fault.
const fn at_relay(check: Check) -> Check {
    Check {
        hop: Hop::Relay,
        ..check
    }
}

const CA: &str =
    "name a PEM file with certificates: authorities.ca_file, authorities.gitlab.ca_file";
