//! Entries by whom they cover, and the order in which they are asked. The same for every kind of entry.
//! Invariant: the first entry that covers a project decides; what a filter of it says afterwards brings no other one back.

use std::collections::HashMap;

use adit_identity::FullPath;

/// The entries of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Scopes<E> {
    pub(crate) projects: HashMap<FullPath, E>,
    pub(crate) groups: HashMap<FullPath, E>,
    pub(crate) instance: Option<E>,
    /// For jobs of the agent's own config project, when no entry names that project.
    pub(crate) implicit: E,
}

impl<E> Scopes<E> {
    /// The entries that cover a project, the one that decides first. `is_own` says that the project holds the agent's config.
    pub(crate) fn covering(
        &self,
        project: Option<&FullPath>,
        is_own: bool,
    ) -> impl Iterator<Item = &E> {
        let named = project.and_then(|path| self.projects.get(path));
        let own = is_own.then_some(&self.implicit);
        let groups = project.into_iter().flat_map(FullPath::ancestors);
        let of_groups = groups.filter_map(|group| self.groups.get(&group));
        named
            .into_iter()
            .chain(own)
            .chain(of_groups)
            .chain(&self.instance)
    }
}
