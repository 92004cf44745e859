//! Checks `impersonation` and `namespaces`: as whom the API server lets the agent act, and what for whom where.
//!
//! From Kubernetes 1.36 impersonation is constrained (KEP-5284): one right for the identity, and one for each verb and resource. The
//! older right, `impersonate`, works there, too, and before it alone. Asked by `SelfSubjectAccessReview`, for the identity that a job
//! of an example has; docs/rbac.md tells of both. `adit dev` asks the same of its user's kubeconfig ([`lacking`]).

use adit_agent::{Cluster, NoAnswer, Right, Trial};
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

/// Where the agent is to act, and what is asked about it.
pub(super) struct Place<'a> {
    pub(super) trial: &'a Trial,
    pub(super) cluster: &'a Cluster,
    /// None: the whole cluster.
    pub(super) namespaces: &'a [String],
}

pub(super) async fn check(place: &Place<'_>, version: Option<&str>, report: &mut Report) {
    let checked = async {
        match impersonation(place.cluster, constrains(version), report).await? {
            Some(Means::Constrained) => place.check(report).await?,
            Some(Means::Plain) => {
                let within = place.within_ceiling(report);
                if within.len() == place.namespaces.len() {
                    let why = "by the plain right the API server holds neither what the agent does for jobs nor where";
                    report.not_run(NAMESPACES, why);
                }
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

/// What is missing for whoever this is to act for a job, by any means; empty if nothing is.
pub(crate) async fn lacking(cluster: &Cluster) -> Result<Vec<String>, NoAnswer> {
    let plain = missing(cluster, Means::Plain).await?;
    if !plain.is_empty() && constrains(cluster.version().await?.as_deref()) {
        let constrained = missing(cluster, Means::Constrained).await?;
        if constrained.is_empty() {
            return Ok(constrained);
        }
    }
    Ok(plain)
}

fn constrains(version: Option<&str>) -> bool {
    version
        .and_then(|version| version.parse::<Version>().ok())
        .unwrap_or_default()
        .constrains_impersonation()
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
                report.warning(IMPERSONATION, BOTH, LESS);
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
        report.warning(IMPERSONATION, "it may, but by the plain right `impersonate` alone, which the API server does not constrain", LESS);
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

impl Place<'_> {
    async fn check(&self, report: &mut Report) -> Result<(), NoAnswer> {
        let reads_all = self.may(READS, PODS, "").await?;
        if self.namespaces.is_empty() {
            let place = "in the whole cluster";
            if reads_all {
                report.ok(
                    NAMESPACES,
                    format!("it may {READS} pods for others {place}"),
                );
            } else {
                let why = format!(
                    "it may not {READS} pods for others {place}: name namespaces where it is to act by --namespace"
                );
                report.not_run(NAMESPACES, why);
            }
            return Ok(());
        }
        for namespace in self.within_ceiling(report) {
            self.look_into(namespace, reads_all, report).await?;
        }
        Ok(())
    }

    /// Those namespaces that its own ceiling lets it act in; of the others it is told that it does not.
    fn within_ceiling(&self, report: &mut Report) -> Vec<&str> {
        let names = self.namespaces.iter().map(String::as_str);
        let (within, beyond): (Vec<_>, Vec<_>) =
            names.partition(|namespace| self.trial.may_act_in(namespace));
        for namespace in beyond {
            let namespace = printable(namespace);
            let what = format!("ceiling.namespaces keeps it out of {namespace}");
            report.failed(NAMESPACES, what, RAISE);
        }
        within
    }

    /// Who reads in the whole cluster reads in each namespace, bound there or not: what it may write tells that.
    async fn look_into(
        &self,
        namespace: &str,
        reads_all: bool,
        report: &mut Report,
    ) -> Result<(), NoAnswer> {
        let mut may = Vec::new();
        for (verb, of) in [(READS, PODS)].into_iter().chain(WRITES) {
            if self.may(verb, of, namespace).await? {
                may.push(format!("{verb} {}", of.1));
            }
        }
        let told = printable(namespace);
        let reads = format!("{READS} {}", PODS.1);
        let writes = may.iter().any(|right| *right != reads);
        if self.cluster.has_namespace(namespace).await? == Some(false) {
            let what = format!("there is no namespace {told}");
            report.failed(NAMESPACES, what, "mend the name, or make the namespace");
        } else if may.is_empty() {
            let what = format!("it may not {READS} pods for others in {told}");
            report.failed(NAMESPACES, what, BIND);
        } else if reads_all && !writes {
            let what = format!(
                "it may read for others in {told}, as in every namespace, there or not, and neither make pods nor change deployments: its role is not bound there"
            );
            report.warning(NAMESPACES, what, BIND);
        } else {
            let may = may.join(", ");
            report.ok(NAMESPACES, format!("it may {may} for others in {told}"));
        }
        Ok(())
    }

    async fn may(
        &self,
        verb: &str,
        (group, resource): (&str, &str),
        namespace: &str,
    ) -> Result<bool, NoAnswer> {
        let right = Right {
            verb: format!("impersonate-on:user-info:{verb}"),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            ..Right::default()
        };
        self.cluster.may(&right).await
    }
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
/// And which tell that it is there for more than reading.
const WRITES: [(&str, (&str, &str)); 2] = [("create", PODS), ("patch", ("apps", "deployments"))];
const PODS: (&str, &str) = ("", "pods");
const GIVE: &str = "apply the agent's manifests for this Kubernetes, as `adit manifests agent` prints them: docs/rbac.md";
const BOTH: &str = "it may, constrained by the API server, and it has the plain right `impersonate`, too, with which it is not constrained";
const LESS: &str = "a cluster-admin's kubeconfig has every right, this one too: give the agent an account of its own. Else take the plain right `impersonate` away, which ends at no namespace: docs/rbac.md has the rights that the API server constrains";
const RAISE: &str = "add the namespace to ceiling.namespaces in the agent's configuration, if it is to act there: docs/agent.md";
const BIND: &str = "bind the agent's role there: kubectl create rolebinding adit-agent --clusterrole=adit-agent-in-namespace --serviceaccount=adit-agent:adit-agent (docs/rbac.md)";
