//! Check `gitlab_api`: could GitLab call the relay? The certificate and the secret of the port for it are looked at, and the port itself.

use adit_process::chain;
use adit_relay::{StartError, Trial};

use super::running::{Relay, connect, could_listen};
use crate::doctor::finding::{Check, Hop, Report};

pub(super) const GITLAB_API: Check = Check::new("gitlab_api", Hop::Relay);

pub(super) async fn check(trial: &Trial, relay: Relay, report: &mut Report) {
    if let Err(error) = trial.gitlab_api() {
        report.failed(GITLAB_API, chain(&error), error.advice());
        return;
    }
    let Some(api) = &trial.config().gitlab_api else {
        let why = "GitLab's pages are to ask nothing here, and pushes are not told of";
        report.not_run(GITLAB_API, why);
        return;
    };
    let address = api.address;
    if relay == Relay::Absent {
        could_listen(GITLAB_API, address, StartError::gitlab_api, report);
        return;
    }
    match connect(address).await {
        Ok(_) => report.ok(GITLAB_API, format!("{address} takes connections")),
        Err(error) => {
            let what = format!("the relay runs, and {address} takes no connection: {error}");
            let advice = "it is stopping, or runs with another file: gitlab_api.address, and the relay's log";
            report.failed(GITLAB_API, what, advice);
        }
    }
}
