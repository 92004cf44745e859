//! What `adit dev` tells its user once everything runs: how to point kubectl at it, who the job is
//! in the cluster, and how to give it rights.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use adit_agent::NoAnswer;
use adit_identity::Impersonation;

use crate::kubeconfig::RelayUrl;

/// What there is to tell.
pub(super) struct Announcement<'a> {
    pub(super) kubeconfig: &'a Path,
    pub(super) context: &'a str,
    pub(super) relay: &'a RelayUrl,
    pub(super) job: &'a Impersonation,
    /// Why the cluster did not tell what the user's kubeconfig may, if it did not.
    pub(super) untold: Option<&'a NoAnswer>,
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
            untold,
        } = self;
        writeln!(
            f,
            "A relay at {relay} and an agent are up; your cluster is behind context {context}."
        )?;
        match untold {
            None => {}
            Some(why @ (NoAnswer::Unreached(_) | NoAnswer::Late)) => writeln!(
                f,
                "It does not answer, and until it does no request will work: {why}"
            )?,
            Some(why @ NoAnswer::Answered(..)) => writeln!(
                f,
                "It does not tell whether your kubeconfig may act for a job: {why}"
            )?,
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
    use http::StatusCode;

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
            untold: None,
        };
        let away = NoAnswer::Unreached("connection refused".to_owned());
        let refusing = NoAnswer::Answered(StatusCode::FORBIDDEN, "not you".to_owned());
        for (why, first, last) in [
            (&away, "It does not answer", ": connection refused"),
            (
                &refusing,
                "It does not tell",
                "it answers 403 Forbidden: not you",
            ),
        ] {
            let untold = Announcement {
                untold: Some(why),
                ..text
            };
            let told = untold.to_string();
            let second = told.lines().nth(1).unwrap();
            assert!(
                second.starts_with(first) && second.ends_with(last),
                "{second}"
            );
        }
        let text = text.to_string();
        assert!(!text.contains("It does not"), "{text}");
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
