//! What `adit dev` tells its user once everything runs: how to point kubectl at it, who the job is
//! in the cluster, and how to give it rights.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use adit_identity::Impersonation;

use crate::kubeconfig::RelayUrl;

/// What there is to tell.
pub(super) struct Announcement<'a> {
    pub(super) kubeconfig: &'a Path,
    pub(super) context: &'a str,
    pub(super) relay: &'a RelayUrl,
    pub(super) job: &'a Impersonation,
    /// Why the cluster did not answer, if it did not.
    pub(super) silence: Option<&'a str>,
}

impl Announcement<'_> {
    pub(super) fn print(&self) -> io::Result<()> {
        write!(io::stdout().lock(), "{self}")
    }
}

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kubeconfig,
            context,
            relay,
            job,
            silence,
        } = self;
        writeln!(
            f,
            "A relay at {relay} and an agent are up; your cluster is behind context {context}."
        )?;
        if let Some(silence) = silence {
            writeln!(
                f,
                "It does not answer, and until it does no request will work: {silence}"
            )?;
        }
        write!(
            f,
            "\nIn the shell that is to be the CI job:\n\n    \
             export KUBECONFIG={}\n    kubectl auth whoami\n\n\
             Who the job is in your cluster:\n\n    user    {}\n",
            kubeconfig.display(),
            job.user(),
        )?;
        for (at, group) in job.groups().iter().enumerate() {
            let label = if at == 0 { "groups" } else { "" };
            writeln!(f, "    {label:<7} {group}")?;
        }
        f.write_str(
            "\nIt may do only what RBAC allows it. With your own kubeconfig, for example:\n\n    \
             kubectl create clusterrolebinding adit-dev-view --clusterrole=view --group=gitlab:ci_job\n\n\
             and, to take that back:\n\n    \
             kubectl delete clusterrolebinding adit-dev-view\n\n\
             Ctrl-C ends it and leaves nothing behind.\n",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_the_export_line_the_identity_and_the_rbac() {
        let groups = ["gitlab:ci_job", "gitlab:project:1"].map(str::to_owned);
        let job =
            Impersonation::new("gitlab:ci_job:1".to_owned(), None, groups.into(), vec![]).unwrap();
        let relay = "https://127.0.0.1:8443".parse().unwrap();
        let text = Announcement {
            kubeconfig: Path::new("/tmp/adit-dev-x/kubeconfig"),
            context: "group/app:dev",
            relay: &relay,
            job: &job,
            silence: None,
        };
        let away = Announcement {
            silence: Some("connection refused"),
            ..text
        };
        let (text, away) = (text.to_string(), away.to_string());
        assert!(!text.contains("does not answer"), "{text}");
        let second = away.lines().nth(1).unwrap();
        assert!(second.starts_with("It does not answer") && second.ends_with("connection refused"));
        for line in [
            "    export KUBECONFIG=/tmp/adit-dev-x/kubeconfig\n",
            "    user    gitlab:ci_job:1\n",
            "    groups  gitlab:ci_job\n            gitlab:project:1\n",
            "--clusterrole=view --group=gitlab:ci_job\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
