//! Checks `impersonation` and `namespaces`: as whom the API server lets the agent act, and what for whom where.
//!
//! From Kubernetes 1.36 impersonation is constrained (KEP-5284): one right for the identity, and one for each verb and resource. The
//! older right, `impersonate`, works there, too, and before it alone. Asked by `SelfSubjectAccessReview`, for the identity that a job
//! of an example has; docs/rbac.md tells of both.

use adit_agent::{Cluster, NoAnswer, Right};
use adit_identity::{AgentId, Environment, Impersonation, JobIdentity, ProjectId, Tier};

use super::cluster::advice;
use crate::cluster_version::Version;
use crate::doctor::finding::{Check, Hop, Report};
use crate::kubernetes_status::printable;

pub(super) const IMPERSONATION: Check = Check::new("impersonation", Hop::Agent);
pub(super) const NAMESPACES: Check = Check::new("namespaces", Hop::Agent);

/// By which rights the agent acts for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Constrained,
    Plain,
}

pub(super) async fn check(
    cluster: &Cluster,
    version: Option<&str>,
    namespaces: &[String],
    report: &mut Report,
) {
    let constrains = version
        .and_then(|version| version.parse::<Version>().ok())
        .unwrap_or_default()
        .constrains_impersonation();
    let checked = async {
        match impersonation(cluster, constrains, report).await? {
            Some(Means::Constrained) => namespaces_of(cluster, namespaces, report).await?,
            Some(Means::Plain) => {
                let why = "by the plain right the API server holds neither what the agent does for jobs nor where";
                report.not_run(NAMESPACES, why);
            }
            None => {}
        }
        Ok::<_, NoAnswer>(())
    };
    if let Err(error) = checked.await {
        let what = printable(&error.to_string());
        report.failed(IMPERSONATION, what, advice(&error));
    }
}

/// By what means it may act for a job, if it may.
async fn impersonation(
    cluster: &Cluster,
    constrains: bool,
    report: &mut Report,
) -> Result<Option<Means>, NoAnswer> {
    let plain = missing(cluster, Means::Plain).await?;
    if constrains {
        let constrained = missing(cluster, Means::Constrained).await?;
        if constrained.is_empty() {
            if plain.is_empty() {
                report.warning(IMPERSONATION, "it may, without any constraint, too", LESS);
            } else {
                report.ok(IMPERSONATION, "it may, constrained by the API server");
            }
            return Ok(Some(Means::Constrained));
        }
        if !plain.is_empty() {
            let what = format!(
                "it may not act for a job: {} is missing",
                constrained.join(", ")
            );
            report.failed(IMPERSONATION, what, GIVE);
            return Ok(None);
        }
        report.warning(IMPERSONATION, "it may, by the plain right alone", LESS);
        return Ok(Some(Means::Plain));
    }
    if plain.is_empty() {
        report.ok(IMPERSONATION, "it may");
        return Ok(Some(Means::Plain));
    }
    let what = format!("it may not act for a job: {} is missing", plain.join(", "));
    report.failed(IMPERSONATION, what, GIVE);
    Ok(None)
}

/// What of the rights to be a job's identity the agent does not have.
async fn missing(cluster: &Cluster, means: Means) -> Result<Vec<String>, NoAnswer> {
    let mut missing = Vec::new();
    for right in identity(means) {
        if !cluster.may(&right).await? {
            missing.push(told(&right));
        }
    }
    Ok(missing)
}

/// The user, the group that each job has, and every extra. Other groups are as the cluster's owner listed them.
fn identity(means: Means) -> Vec<Right> {
    let job = example();
    let right = |group: &str, resource: &str, subresource: &str, name: &str| Right {
        verb: match means {
            Means::Constrained => "impersonate:user-info".to_owned(),
            Means::Plain => "impersonate".to_owned(),
        },
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: name.to_owned(),
        namespace: String::new(),
    };
    let of_names = match means {
        Means::Constrained => AUTHENTICATION,
        Means::Plain => "",
    };
    let mut rights = vec![
        right(of_names, "users", "", job.user()),
        right(of_names, "groups", "", EVERY_JOB),
    ];
    let extras = job.extra().iter();
    rights.extend(extras.map(|extra| right(AUTHENTICATION, "userextras", &extra.key, "1")));
    rights
}

fn example() -> Impersonation {
    let environment = Environment::named("production", Tier::Production, true);
    let job = JobIdentity {
        environment: environment.ok(),
        ..JobIdentity::example("https://gitlab.example.com", "group/app")
    };
    let impersonation = job.impersonation(AgentId(1), Some(ProjectId(1)));
    impersonation.expect("the example is sound")
}

async fn namespaces_of(
    cluster: &Cluster,
    namespaces: &[String],
    report: &mut Report,
) -> Result<(), NoAnswer> {
    let whole = [String::new()];
    let is_told = !namespaces.is_empty();
    let asked: &[String] = if is_told { namespaces } else { &whole };
    for namespace in asked {
        let right = Right {
            verb: format!("impersonate-on:user-info:{READS}"),
            resource: "pods".to_owned(),
            namespace: namespace.clone(),
            ..Right::default()
        };
        let may = cluster.may(&right).await?;
        let place = if is_told {
            format!("in {}", printable(namespace))
        } else {
            "in the whole cluster".to_owned()
        };
        match (may, is_told) {
            (true, _) => report.ok(
                NAMESPACES,
                format!("it may {READS} pods for others {place}"),
            ),
            (false, true) => {
                let what = format!("it may not {READS} pods for others {place}");
                report.failed(NAMESPACES, what, BIND);
            }
            (false, false) => {
                let why = format!(
                    "it may not {READS} pods for others {place}: name namespaces where it is to act by --namespace"
                );
                report.not_run(NAMESPACES, why);
            }
        }
    }
    Ok(())
}

fn told(right: &Right) -> String {
    let Right {
        verb,
        resource,
        subresource,
        name,
        ..
    } = right;
    if subresource.is_empty() {
        format!("{verb} {resource} {name}")
    } else {
        format!("{verb} {resource}/{subresource}")
    }
}

const AUTHENTICATION: &str = "authentication.k8s.io";
/// The group that every job is in.
const EVERY_JOB: &str = "gitlab:ci_job";
/// Which right in a namespace stands for all: whatever a job is for, it looks at something.
const READS: &str = "get";
const GIVE: &str = "apply the agent's manifests for this Kubernetes, as `adit manifests agent` prints them: docs/rbac.md";
const LESS: &str = "take the plain right `impersonate` away, which ends at no namespace: docs/rbac.md has the rights that the API server constrains";
const BIND: &str = "bind the agent's role there: kubectl create rolebinding adit-agent --clusterrole=adit-agent-in-namespace --serviceaccount=adit-agent:adit-agent (docs/rbac.md)";
