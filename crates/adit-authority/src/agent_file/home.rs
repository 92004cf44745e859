//! Which entries of an agent's file count: what GitLab knows of the agent's project, and drops without a word.
//! Invariant: of several entries for one path the last counts, as far as GitLab reads; a project or a group counts only where the
//! agent's project may let it in.

use std::collections::HashMap;

use adit_identity::FullPath;

use super::{
    Place,
    entry::{Covers, Entry, Lists},
};

/// Where an agent's file is kept.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// The agent's project. Without it, nothing is dropped for standing elsewhere.
    pub project: Option<FullPath>,
    /// The project stands in a user's namespace, not in a group.
    pub is_personal: bool,
    /// "Enable instance level authorization" is on.
    pub has_instance_authorization: bool,
}

/// Why GitLab drops an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Past what is read of a list.
    #[error("GitLab reads the first {MAX_ENTRIES} of a list")]
    PastTheFirst500,
    /// Entries are never merged.
    #[error("another entry for the same path, at {0}, stands after it and counts instead")]
    Repeated(Place),
    /// Another top-level group, or another user.
    #[error(
        "it is not below `{root}`, as the agent's project is; only with GitLab's setting \"Enable instance level authorization\" would it count"
    )]
    Elsewhere {
        /// The agent's.
        root: FullPath,
    },
    /// A user's namespace is no group.
    #[error("`{0}` is a user's namespace, and no group")]
    NoGroup(FullPath),
    /// An entry for the instance without the setting.
    #[error("it counts only with GitLab's setting \"Enable instance level authorization\"")]
    NoInstanceAuthorization,
    /// The job's project has no licence for the mode: the entry is as if it were not there.
    #[error(
        "`access_as` other than `agent` takes Premium, which the job's project has not: GitLab looks for another entry"
    )]
    Unlicensed,
}

impl Home {
    /// Each entry with its fate: projects, groups, the instance.
    pub(super) fn judge<'a>(&self, lists: &'a Lists) -> Vec<(&'a Entry, Option<Dropped>)> {
        let mut judged = self.judge_list(&lists.projects);
        judged.extend(self.judge_list(&lists.groups));
        judged.extend(
            lists
                .instance
                .iter()
                .map(|entry| (entry, self.judge_entry(entry))),
        );
        judged
    }

    fn judge_list<'a>(&self, list: &'a [Entry]) -> Vec<(&'a Entry, Option<Dropped>)> {
        let mut last = HashMap::new();
        for entry in list.iter().take(MAX_ENTRIES) {
            last.extend(entry.path().zip(entry.place));
        }
        let judge = |(at, entry): (usize, &'a Entry)| {
            let counting = entry.path().and_then(|path| last.get(path));
            let dropped = match counting {
                _ if at >= MAX_ENTRIES => Some(Dropped::PastTheFirst500),
                Some(place) if Some(*place) != entry.place => Some(Dropped::Repeated(*place)),
                _ => self.judge_entry(entry),
            };
            (entry, dropped)
        };
        list.iter().enumerate().map(judge).collect()
    }

    /// Whether the agent's project may let in whom the entry covers.
    fn judge_entry(&self, entry: &Entry) -> Option<Dropped> {
        if self.has_instance_authorization {
            return self.no_group(entry);
        }
        if entry.covers == Covers::Instance {
            return Some(Dropped::NoInstanceAuthorization);
        }
        let root = self.project.as_ref()?.root();
        if entry.path()?.root() != root {
            return Some(Dropped::Elsewhere { root });
        }
        self.no_group(entry)
    }

    fn no_group(&self, entry: &Entry) -> Option<Dropped> {
        let Covers::Group(group) = &entry.covers else {
            return None;
        };
        let root = self.project.as_ref()?.root();
        (self.is_personal && group.root() == root).then(|| Dropped::NoGroup(group.clone()))
    }
}

impl Entry {
    fn path(&self) -> Option<&FullPath> {
        match &self.covers {
            Covers::Project(path) | Covers::Group(path) => Some(path),
            Covers::Own | Covers::Instance => None,
        }
    }
}

/// Of each list, for jobs and for users alike.
const MAX_ENTRIES: usize = 500;
