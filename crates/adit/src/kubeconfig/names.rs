//! Names of agents that the relay has not: one that asks GitLab learns an agent's name when the agent connects, and lists it by its id
//! until then. GitLab's own kubeconfig of the job has names and ids, where the job has that file.
//!
//! Invariant: a name is believed with the id that it comes with, and never because there is only one agent that it could be the name
//! of: the job may have been kept out of the agent that it names.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;

use kube_client::config::Kubeconfig;

use super::ask::Reachable;
use super::mark::{self, Writer};

/// What GitLab calls agents, by their ids.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<u64, String>);

impl Names {
    /// Those in the file that the variable `KUBECONFIG` names, if GitLab has written it.
    pub(super) fn of_job(kubeconfig: Option<&OsStr>) -> Self {
        let text = kubeconfig.and_then(|path| fs::read_to_string(path).ok());
        text.map(|text| Self::read(&text)).unwrap_or_default()
    }

    fn read(text: &str) -> Self {
        if mark::writer(text) != Writer::GitLab {
            return Self::default();
        }
        let Ok(file) = serde_saphyr::from_str::<Kubeconfig>(text) else {
            return Self::default();
        };
        let named = file.contexts.into_iter().filter_map(|named| {
            let user = named.context?.user?;
            let id = user.strip_prefix("agent:")?.parse().ok()?;
            Some((id, named.name))
        });
        Self(named.collect())
    }

    /// GitLab has said it of one more.
    pub(super) fn add(&mut self, id: u64, name: &str) {
        self.0.insert(id, name.to_owned());
    }

    /// Gives those agents their names that the relay lists by their ids.
    pub(super) fn give(&self, agents: &mut [Reachable]) {
        for agent in agents.iter_mut().filter(|agent| is_unnamed(agent)) {
            if let Some(name) = self.0.get(&agent.id) {
                agent.context.clone_from(name);
            }
        }
    }
}

/// Whether the relay has the agent's id in the place of its name, which it does not know.
pub(super) fn is_unnamed(agent: &Reachable) -> bool {
    let context = &agent.context;
    let name = context
        .rsplit_once(':')
        .map_or(&**context, |(_, name)| name);
    name == agent.id.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITLABS: &str = "
apiVersion: v1
kind: Config
clusters: [{name: gitlab, cluster: {server: https://kas.test/k8s-proxy}}]
users:
- {name: 'agent:41', user: {token: 'ci:41:t'}}
- {name: 'agent:42', user: {token: 'ci:42:t'}}
contexts:
- {name: 'group/app:demo', context: {cluster: gitlab, user: 'agent:41'}}
- {name: 'group/app:prod', context: {cluster: gitlab, user: 'agent:42'}}
";

    fn given(names: &Names, listed: &[(u64, &str)]) -> Vec<String> {
        let listed = listed.iter();
        let mut agents: Vec<_> = listed
            .map(|(id, context)| Reachable::new(*id, context, None))
            .collect();
        names.give(&mut agents);
        agents.into_iter().map(|agent| agent.context).collect()
    }

    #[test]
    fn names_go_to_the_agents_of_their_ids_alone() {
        let names = Names::read(GITLABS);
        let listed = [(42, "group/app:42"), (41, "41"), (43, "group/app:43")];
        let expected = ["group/app:prod", "group/app:demo", "group/app:43"];
        assert_eq!(given(&names, &listed), expected);
        // What the relay calls by a name keeps it, whatever that is.
        assert_eq!(given(&names, &[(42, "group/app:41")]), ["group/app:41"]);
    }

    #[test]
    fn a_file_that_is_not_gitlabs_names_nobody() {
        let somebodys = GITLABS.replace("clusters: [{name: gitlab", "clusters: [{name: other");
        let listed = [(42, "group/app:42")];
        for text in [somebodys.as_str(), "", "listen: {}"] {
            assert_eq!(given(&Names::read(text), &listed), ["group/app:42"]);
        }
        let mut names = Names::of_job(Some(OsStr::new("/nowhere")));
        assert_eq!(given(&names, &listed), ["group/app:42"]);
        names.add(42, "group/app:prod");
        assert_eq!(given(&names, &listed), ["group/app:prod"]);
    }

    #[test]
    fn an_id_in_the_place_of_a_name_is_seen() {
        let unnamed = |id: u64, context: &str| is_unnamed(&Reachable::new(id, context, None));
        assert!(unnamed(42, "g/p:42") && unnamed(42, "42"));
        let named = ["g/p:prod", "g/p:prod-42", "g/p:7", "g/p:", ""];
        assert!(!named.iter().any(|context| unnamed(42, context)));
    }
}
