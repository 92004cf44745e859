//! Checks `gitlab_api_certificate` and `gitlab_api`: could GitLab call the relay? The certificate and the secret of the port for it are looked at, and the port
//! itself.

use adit_process::chain;
use adit_process::tls::{H2, ShownTo};
use adit_relay::{StartError, Trial};

use super::certificate::TAKEN;
use super::running::{Relay, could_listen, listens};
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::of_own;

pub(super) const GITLAB_API: Check = Check::new("gitlab_api", Hop::Relay);
pub(super) const GITLAB_API_CERTIFICATE: Check = Check::new("gitlab_api_certificate", Hop::Relay);

pub(super) async fn check(trial: &Trial, relay: Relay, report: &mut Report) {
    match trial.gitlab_api() {
        // One that is over does not hide what else is wrong.
        Ok(Some(certificate)) => of_own(
            GITLAB_API_CERTIFICATE,
            &certificate,
            ShownTo::GitLab,
            TAKEN,
            report,
        ),
        Ok(None) => report.not_run(GITLAB_API_CERTIFICATE, "there is none"),
        Err(error) => {
            report.failed(GITLAB_API, chain(&error), error.advice());
            report.not_run(GITLAB_API_CERTIFICATE, "needs gitlab_api");
            return;
        }
    }
    let Some(api) = &trial.config().gitlab_api else {
        let why = "GitLab's pages are to ask nothing here, and pushes are not told of";
        report.not_run(GITLAB_API, why);
        return;
    };
    match relay {
        Relay::Absent => could_listen(GITLAB_API, api.address, StartError::gitlab_api, report),
        Relay::Runs => {
            let port = (api.address, api.tls.as_ref());
            listens(GITLAB_API, "gitlab_api", port, &[H2], report).await;
        }
    }
}
