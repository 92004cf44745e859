//! Decides whose a kubeconfig is. One is adit's own, and so may be replaced, whose every entry bears our mark.
//!
//! The mark is an extension, which the file's format has for such ends: kubectl rewrites the whole file for
//! `kubectl config use-context`, drops comments, and keeps extensions. Names would not do: GitLab's own file has the same.
//! Called by `document.rs`, which writes the mark, and by `place.rs`, which asks for it.

use kube_client::config::{Kubeconfig, NamedExtension};
use serde::Serialize;

/// An extension of a cluster, a user or a context: adit wrote it.
#[derive(Serialize)]
pub(super) struct Mark {
    name: &'static str,
    extension: Provider,
}

#[derive(Serialize)]
struct Provider {
    provider: &'static str,
}

/// The value of `extensions` in each of our entries.
pub(super) const MARKS: [Mark; 1] = [Mark {
    name: NAME,
    extension: Provider { provider: NAME },
}];

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// All that stands in it is ours.
    Adit,
    /// It has what GitLab gives a job, and nothing else.
    GitLab,
    /// An entry that somebody added makes it theirs, and so does anything that is no kubeconfig.
    Somebody,
}

pub(super) fn writer(text: &str) -> Writer {
    match serde_saphyr::from_str::<Kubeconfig>(text) {
        Ok(file) if is_ours(&file) => Writer::Adit,
        Ok(file) if is_gitlabs(&file) => Writer::GitLab,
        Ok(_) | Err(_) => Writer::Somebody,
    }
}

fn is_ours(file: &Kubeconfig) -> bool {
    let clusters = file.clusters.iter().map(|named| {
        let cluster = named.cluster.as_ref();
        cluster.and_then(|cluster| cluster.extensions.as_deref())
    });
    let users = file.auth_infos.iter().map(|named| {
        let user = named.auth_info.as_ref();
        user.and_then(|user| user.extensions.as_deref())
    });
    let contexts = file.contexts.iter().map(|named| {
        let context = named.context.as_ref();
        context.and_then(|context| context.extensions.as_deref())
    });
    let mut entries = clusters.chain(users).chain(contexts).peekable();
    entries.peek().is_some() && entries.all(|extensions| extensions.is_some_and(is_marked))
}

/// By its names, which GitLab gives: one cluster, and a user for each agent.
fn is_gitlabs(file: &Kubeconfig) -> bool {
    let users = &file.auth_infos;
    matches!(file.clusters.as_slice(), [only] if only.name == "gitlab")
        && !users.is_empty()
        && users.iter().all(|user| user.name.starts_with("agent:"))
}

fn is_marked(extensions: &[NamedExtension]) -> bool {
    extensions.iter().any(|extension| extension.name == NAME)
}

const NAME: &str = "adit";

#[cfg(test)]
mod tests {
    use super::*;

    /// What kubectl 1.36 made of a file of ours for `kubectl config use-context` and `set-context --current`.
    const REWRITTEN: &str = "\
apiVersion: v1
clusters:
- cluster:
    extensions:
    - extension:
        provider: adit
      name: adit
    server: https://relay.test/k8s-proxy
  name: gitlab
contexts:
- context:
    cluster: gitlab
    extensions:
    - extension:
        provider: adit
      name: adit
    namespace: web
    user: agent:41
  name: group/app:demo
current-context: group/app:demo
kind: Config
users:
- name: agent:41
  user:
    extensions:
    - extension:
        provider: adit
      name: adit
    token: ci:41:e30.e30.c2ln
";

    #[test]
    fn file_that_kubectl_rewrote_is_still_ours() {
        assert_eq!(writer(REWRITTEN), Writer::Adit);
    }

    #[test]
    fn entry_of_somebody_else_makes_the_file_theirs() {
        let mark = "    extensions:\n    - extension:\n        provider: adit\n      name: adit\n";
        assert_eq!(REWRITTEN.matches(mark).count(), 3);
        for (at, _) in REWRITTEN.match_indices(mark) {
            let (before, after) = REWRITTEN.split_at(at);
            let unmarked = format!("{before}{}", after.trim_start_matches(mark));
            // What is left of our other entries keeps their marks.
            assert_ne!(writer(&unmarked), Writer::Adit, "{unmarked}");
        }
        let added = format!("{REWRITTEN}- name: me\n  user:\n    token: mine\n");
        assert_eq!(writer(&added), Writer::Somebody);
        let gitlabs = REWRITTEN.replace(mark, "");
        assert_eq!(writer(&gitlabs), Writer::GitLab);
        assert_eq!(
            writer(&gitlabs.replace("name: agent:41", "name: me")),
            Writer::Somebody
        );
    }

    #[test]
    fn what_is_no_kubeconfig_is_not_ours() {
        let two = format!("{REWRITTEN}---\n{REWRITTEN}");
        for text in ["listen: {}\n", "clusters: []\n", "- a\n", "\u{0}", &two] {
            assert_eq!(writer(text), Writer::Somebody, "{text}");
        }
    }
}
