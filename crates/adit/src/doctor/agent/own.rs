//! Checks `admin` and `traces`: could the agent answer probes and scrapers where it is to, and does its collector take spans?

use adit_agent::dial::Dialler;
use adit_agent::{NoTraces, StartError, Trial};
use adit_process::chain;
use adit_process::net::{ReusePort, listen};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{PATIENCE, reachable};
use crate::exchange::exchange;

pub(super) const ADMIN: Check = Check::new("admin", Hop::Agent);
pub(super) const TRACES: Check = Check::new("traces", Hop::Agent);

pub(super) async fn check(trial: &Trial, report: &mut Report) {
    admin(trial, report).await;
    match trial.traces().await {
        Ok(Some(to)) => report.ok(TRACES, format!("{to} takes spans")),
        Ok(None) => report.not_run(TRACES, "no requests are traced"),
        // No request waits for it.
        Err(error @ NoTraces::Collector { .. }) => {
            report.warning(TRACES, chain(&error), error.advice());
        }
        Err(error @ NoTraces::Start(_)) => report.failed(TRACES, chain(&error), error.advice()),
    }
}

/// What answers there as an agent does is taken for this one, which runs already.
async fn admin(trial: &Trial, report: &mut Report) {
    let address = trial.admin();
    match listen(address, ReusePort::Exclusive) {
        Ok(_) => report.ok(
            ADMIN,
            format!("no agent runs, and {address} is free for one"),
        ),
        Err(_) if is_live(trial).await => {
            report.ok(ADMIN, format!("an agent runs: {address} answers"));
        }
        Err(source) => {
            let error = StartError::Admin { address, source };
            report.failed(ADMIN, chain(&error), error.advice());
        }
    }
}

async fn is_live(trial: &Trial) -> bool {
    let at = reachable(trial.admin());
    let dialler = Dialler {
        host: at.ip().to_string(),
        port: at.port(),
        tls: None,
        proxy: None,
        timeout: PATIENCE,
    };
    let request = Request::get(format!("http://{at}/livez")).body(Full::<Bytes>::default());
    let request = request.expect("an address and a path are a URI");
    let answer = exchange(&dialler, request).await;
    answer.is_ok_and(|answer| answer.body == "live\n")
}
