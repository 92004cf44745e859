//! Checks `kubeconfig`, `api-server` and `account`: from the agent to the API server, and who the agent is there.

use adit_agent::{NoAnswer, Trial};
use adit_process::chain;

use super::rights;
use crate::doctor::finding::{Check, Hop, Report};
use crate::kubernetes_status::printable;

pub(super) const KUBECONFIG: Check = Check::new("kubeconfig", Hop::Agent);
pub(super) const API_SERVER: Check = Check::new("api-server", Hop::ApiServer);
pub(super) const ACCOUNT: Check = Check::new("account", Hop::Agent);

pub(super) async fn walk(trial: &Trial, namespaces: &[String], report: &mut Report) -> Option<()> {
    let cluster = match trial.cluster().await {
        Ok(cluster) => cluster,
        Err(error) => {
            let advice = "in a cluster the pod's service account is needed, elsewhere a kubeconfig: docs/agent.md, \"Credentials\"";
            report.failed(KUBECONFIG, chain(&error), advice);
            return None;
        }
    };
    let address = cluster.address();
    report.ok(KUBECONFIG, format!("the API server is {address}"));
    let version = match cluster.version().await {
        Ok(version) => version,
        Err(error) => {
            let advice = "check that this machine or pod may reach it: a network policy, its address, its certificate's authority";
            report.failed(API_SERVER, error.to_string(), advice);
            return None;
        }
    };
    let version = version.map(|version| printable(&version));
    let told = version
        .as_deref()
        .unwrap_or("of a version that it does not tell");
    report.ok(API_SERVER, format!("Kubernetes {told}"));
    match cluster.user().await {
        Ok(user) => report.ok(ACCOUNT, format!("the agent is {}", printable(&user))),
        Err(error) => {
            report.failed(ACCOUNT, printable(&error.to_string()), advice(&error));
            return None;
        }
    }
    let place = rights::Place {
        trial,
        cluster: &cluster,
        namespaces,
    };
    rights::check(&place, version.as_deref(), report).await;
    Some(())
}

pub(super) fn advice(error: &NoAnswer) -> &'static str {
    match error {
        NoAnswer::Unreached(_) | NoAnswer::Late => {
            "it answered a moment ago: try again, and look at the API server"
        }
        NoAnswer::Answered(..) => {
            "the API server does not let the agent in: its token or certificate has ended, or is of another cluster"
        }
    }
}
