//! Checks `issuers`, `gitlab`, `api_secret`, `read_token` and `webhook`: does whoever vouches for jobs, agents and users answer the relay?

use adit_authority::gitlab::{ApiSecret, ReadToken, Trust};
use adit_authority::oidc::KeySource;
use adit_process::chain;
use adit_relay::{IssuerKeys, NoGitLab, Reads, Trial};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::doctor::finding::{Check, Hop, Report};
use crate::kubernetes_status::Status;

pub(super) const ISSUERS: Check = Check::new("issuers", Hop::Authority);
pub(super) const GITLAB: Check = Check::new("gitlab", Hop::Authority);
pub(super) const API_SECRET: Check = Check::new("api_secret", Hop::Relay);
pub(super) const READ_TOKEN: Check = Check::new("read_token", Hop::Relay);
pub(super) const WEBHOOK: Check = Check::new("webhook", Hop::Relay);

pub(super) async fn check(trial: &Trial, report: &mut Report) {
    issuers(trial, report).await;
    let has_answered = gitlab(trial, report).await;
    match trial.api_secret() {
        Ok(Some(secret)) if has_answered => trust(trial, &secret, report).await,
        Ok(Some(_)) => report.not_run(API_SECRET, "needs gitlab"),
        Ok(None) => report.not_run(
            API_SECRET,
            "none is configured, so GitLab is not asked about agents and users",
        ),
        Err(error) => report.failed(API_SECRET, chain(&error), SECRET),
    }
    match trial.read_token() {
        Ok(Some(token)) if has_answered => reads(trial, &token, report).await,
        Ok(Some(_)) => report.not_run(READ_TOKEN, "needs gitlab"),
        Ok(None) => report.not_run(
            READ_TOKEN,
            "none is configured, so no agent's file is read by GitLab's API",
        ),
        Err(error) => report.failed(READ_TOKEN, chain(&error), TOKEN),
    }
    match trial.webhook_secrets() {
        Ok(Some(())) => report.ok(WEBHOOK, "its secrets can be used"),
        Ok(None) => report.not_run(WEBHOOK, no_webhook(trial)),
        Err(error) => {
            let advice = "put the webhook's secret token into the file: docs/gitlab.md";
            report.failed(WEBHOOK, chain(&error), advice);
        }
    }
}

fn no_webhook(trial: &Trial) -> &'static str {
    if trial.config().gitlab.is_some() {
        "no secret is configured, so a job's end is seen at the next question"
    } else {
        "GitLab is no authority here, so a job's end is not heard of: its access ends with its token (docs/security.md, Limits)"
    }
}

async fn trust(trial: &Trial, secret: &ApiSecret, report: &mut Report) {
    match trial.trust(secret).await {
        Ok(None) => report.not_run(API_SECRET, "GitLab is not configured as an authority"),
        Ok(Some(Trust::Given)) => report.ok(API_SECRET, "GitLab accepts it"),
        Ok(Some(Trust::Refused)) => {
            report.failed(
                API_SECRET,
                "GitLab does not accept it: it is another GitLab's, or a clock is off",
                SECRET,
            );
        }
        Ok(Some(Trust::Unclear(status))) => {
            let what = format!("GitLab answers {status} where its agent server asks");
            let advice = "let the relay through to /api/v4/internal/, or name an address behind what keeps it out in authorities.gitlab.url: docs/gitlab.md";
            report.failed(at_authority(API_SECRET), what, advice);
        }
        Err(error) => report.failed(
            at_authority(API_SECRET),
            chain(&error),
            "ask again: GitLab answered a moment ago",
        ),
    }
}

async fn reads(trial: &Trial, token: &ReadToken, report: &mut Report) {
    let (agent, status) = match trial.reads(token).await {
        Ok(None) => {
            report.not_run(READ_TOKEN, "GitLab is not configured as an authority");
            return;
        }
        Ok(Some(Reads::All(0))) => {
            let why = "no agent of the configuration is GitLab's, so there is no file to try it on";
            report.not_run(READ_TOKEN, why);
            return;
        }
        Ok(Some(Reads::All(count))) => {
            let what = format!("GitLab lets it look for the files of {count} agents");
            report.ok(READ_TOKEN, what);
            return;
        }
        Ok(Some(Reads::Not { agent, status })) => (agent, status),
        Err(error) => {
            let advice = "ask again: GitLab answered a moment ago";
            report.failed(at_authority(READ_TOKEN), chain(&error), advice);
            return;
        }
    };
    let what = format!("GitLab answers {status} to it for the file of {agent}");
    match status {
        StatusCode::UNAUTHORIZED => {
            let what = "GitLab does not know it: it has ended, was revoked, or is another GitLab's";
            report.failed(READ_TOKEN, what, TOKEN);
        }
        StatusCode::FORBIDDEN => report.failed(READ_TOKEN, what, TOKEN),
        StatusCode::NOT_FOUND => {
            let advice = "mend `project_id` (or `project`) of the agent in the configuration if it is another project's; otherwise give the token's owner the role Reporter there";
            report.failed(READ_TOKEN, what, advice);
        }
        _ => {
            let advice = "GitLab, or something in front of it, is in trouble";
            report.failed(at_authority(READ_TOKEN), what, advice);
        }
    }
}

async fn issuers(trial: &Trial, report: &mut Report) {
    let fetched = match trial.issuers().await {
        Ok(fetched) => fetched,
        Err(error) => {
            report.failed(at_relay(ISSUERS), chain(&error), error.advice());
            return;
        }
    };
    if fetched.is_empty() {
        report.not_run(ISSUERS, "none is configured");
    }
    for IssuerKeys { issuer, from, keys } in fetched {
        match keys {
            Ok(1) => report.ok(ISSUERS, format!("{issuer}: 1 key")),
            Ok(count) => report.ok(ISSUERS, format!("{issuer}: {count} keys")),
            Err(error) => {
                let why = chain(&error);
                let what = format!("{issuer}: its keys cannot be had from {from}: {why}");
                let advice = match from {
                    KeySource::Url(_) => {
                        "check that this machine reaches that address directly, its certificate (authorities.ca_file), and jwks_url if the keys are elsewhere"
                    }
                    KeySource::File(_) => {
                        "name the file with the issuer's key set, as its own address for keys gives it, that the user that the relay runs as can read: authorities.oidc.issuers[].jwks_file"
                    }
                };
                report.failed(ISSUERS, what, advice);
            }
        }
    }
}

/// Whether it answers as it should.
async fn gitlab(trial: &Trial, report: &mut Report) -> bool {
    match trial.gitlab().await {
        Ok(None) => {
            report.not_run(GITLAB, "it is not configured as an authority");
            false
        }
        Ok(Some(answer)) => answered(&answer, report),
        Err(NoGitLab::Roots(error)) => {
            report.failed(at_relay(GITLAB), chain(&error), error.advice());
            false
        }
        Err(error) => {
            let advice = "check authorities.gitlab.url, that this machine reaches it directly, and its certificate (authorities.gitlab.ca_file)";
            report.failed(GITLAB, chain(&error), advice);
            false
        }
    }
}

fn answered(answer: &Response<Bytes>, report: &mut Report) -> bool {
    // Who shows no token is told so, by GitLab and nobody else.
    if answer.status() == StatusCode::UNAUTHORIZED {
        report.ok(GITLAB, "it answers");
        return true;
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
    false
}

/// A file of the relay's own is at fault.
const fn at_relay(check: Check) -> Check {
    Check {
        hop: Hop::Relay,
        ..check
    }
}

/// It is not the relay's own that is at fault.
const fn at_authority(check: Check) -> Check {
    Check {
        hop: Hop::Authority,
        ..check
    }
}

const TOKEN: &str = "put a token with the scope read_repository and the role Reporter into the file that agent_files.token_file names: docs/gitlab.md";
const SECRET: &str = "put GitLab's kas_shared_secret into the file: docs/gitlab.md";
